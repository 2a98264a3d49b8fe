//! `lmbatch show`: prints one run with its batches, from its record.

use lmbatch_core::{
    BatchId, BatchSnapshot, Certainty, Closed, RunRecord, ShardRecord, ShardState, format_time,
};
use lmbatch_engine::{RunState, ShardPhase, has_failed, is_refused};
use lmbatch_ledger::LiveCounts;
use serde_json::{Value, json};

use super::end::{after_refusal, noted_failure};
use super::run_facts::facts;
use super::run_settings::Shown;
use super::state;
use crate::args::ShowArgs;
use crate::exit::{Exit, Failure};
use crate::live::{self, Live};
use crate::session::Session;
use crate::table::{Cell, Column, Table, coloured, column};
use crate::{format, summary, terminal};

pub(crate) async fn show(session: &Session, args: ShowArgs) -> Result<Exit, Failure> {
    let mut reader = state::live(session, &args.run.state).await?;
    let run = state::find(reader.ledger(), &args.run.run).await?;
    hide_key(&run);
    let known = Shown::of(&run);
    let (live, shards, noted) = reader.read(&run).await?;
    if args.json {
        let batches = shards.iter().map(|shard| shard_json(shard, noted.as_ref()));
        let mut shown = run_json(&run, &known, &shards, &live);
        shown["batches"] = batches.collect();
        terminal::json(&shown);
        return Ok(ended(&run, &shards));
    }
    terminal::clean(&format!(
        "run {} {}, {} to {}, attempt {}",
        terminal::plain(&run.id),
        coloured(live.state.as_str(), terminal::look()),
        format::count(u64::from(run.requests), "request", "requests"),
        terminal::plain(&known.model_in_full()),
        run.attempt + 1
    ));
    if live.is_open() {
        terminal::out(&facts(&run, &live).to_string());
    }
    batches(&shards, noted.as_ref()).print();
    for line in reasons(&run, &shards) {
        terminal::message(&line);
    }
    if is_refused(&shards) && !run.cancelled {
        terminal::message(&after_refusal(&run));
    }
    Ok(ended(&run, &shards))
}

const BATCH: [Column; 11] = [
    column("#"),
    column("attempt").rank(3),
    column("requests"),
    column("answered"),
    column("failed"),
    column("state"),
    column("expires").rank(2),
    column("id").cut_start(12),
    column("certainty").rank(4),
    column("evidence").cut_end(16).rank(6),
    column("label").cut_start(14).rank(5),
];

/// Returns the table of a run's batches.
fn batches(shards: &[ShardRecord], noted: Option<&LiveCounts>) -> Table {
    let mut table = Table::new(BATCH);
    for shard in shards {
        let (phase, batch) = (ShardPhase::of(shard).as_str(), shard.state.batch());
        let (certainty, evidence) = proof(shard);
        let counts = live::counts(shard, noted);
        let polled = live::noted_batch(shard, noted);
        table.row([
            (shard.key.shard + 1).into(),
            (shard.attempt + 1).into(),
            shard.count.into(),
            counts.succeeded.into(),
            (counts.finished() - counts.succeeded).into(),
            // The word of the provider says more than that the batch has not ended.
            Cell::state(polled.map_or(phase, |batch| batch.status.as_str())),
            polled.and_then(|batch| batch.expires_at).into(),
            batch.map(BatchId::as_str).into(),
            certainty.into(),
            evidence.into(),
            shard.label.to_string().into(),
        ]);
    }
    table
}

/// Returns the exit code of a command that shows a run.
pub(super) fn ended(run: &RunRecord, shards: &[ShardRecord]) -> Exit {
    match has_failed(run, shards) {
        true => Exit::Failed,
        false => Exit::Usable,
    }
}

/// Returns the reasons why the provider refused creates or whole batches, and why creates were given up.
fn reasons(run: &RunRecord, shards: &[ShardRecord]) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some((message, said)) = noted_failure(run).filter(|_| has_failed(run, shards)) {
        lines.push(format!("failed: {}", terminal::plain(&message)));
        lines.extend(said.map(|said| format!("provider said: {said}")));
    }
    for shard in shards {
        match &shard.state {
            ShardState::Sealed { snapshot, .. } => lines.extend(summary::failure_lines(snapshot)),
            ShardState::Closed(Closed::Abandoned { message }) => {
                lines.push(format!("abandoned: {}", terminal::plain(message)));
            }
            _ => {}
        }
    }
    lines
}

/// Keeps the key of a run's account out of everything that is printed.
pub(super) fn hide_key(run: &RunRecord) {
    if let Some(variable) = run.notes.get("key_env") {
        crate::providers::hide_key(variable);
    }
}

/// Returns the certainty that a batch belongs to its shard, and the evidence.
fn proof(shard: &ShardRecord) -> (&'static str, &str) {
    match (&shard.state, &shard.proof) {
        (ShardState::Posting(_) | ShardState::Doubt(_), _) => {
            (Certainty::Unknown.as_str(), "its create was not answered")
        }
        (_, Some(proof)) => (proof.certainty.as_str(), &proof.evidence),
        (_, None) => ("", ""),
    }
}

/// Formats a run as JSON. The value of `format` changes whenever the members do.
pub(super) fn run_json(
    run: &RunRecord,
    shown: &Shown,
    shards: &[ShardRecord],
    live: &Live,
) -> Value {
    let failure = noted_failure(run).filter(|_| has_failed(run, shards));
    let failure =
        failure.map(|(message, said)| json!({"message": message, "provider_message": said}));
    json!({
        "format": 1, "run": run.id, "name": run.name, "state": RunState::of(run, shards).as_str(), "failure": failure, "requests": run.requests,
        "attempt": run.attempt + 1, "provider": shown.provider, "known_provider": shown.is_known, "model": shown.model,
        "created_at": run.created_at.map(format_time), "output": shown.output,
        "progress": live.json(),
    })
}

fn shard_json(shard: &ShardRecord, noted: Option<&LiveCounts>) -> Value {
    let (phase, batch) = (ShardPhase::of(shard).as_str(), shard.state.batch());
    let (certainty, evidence) = proof(shard);
    let polled = live::noted_batch(shard, noted);
    let expires_at = polled.and_then(|batch: &BatchSnapshot| batch.expires_at);
    let said = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    json!({
        "number": shard.key.shard + 1, "attempt": shard.attempt + 1, "requests": shard.count, "state": phase,
        "batch": batch, "certainty": said(certainty), "evidence": said(evidence), "label": shard.label,
        "counts": live::counts(shard, noted), "status": polled.map(|batch| batch.status.as_str()),
        "expires_at": expires_at.map(format_time),
    })
}
