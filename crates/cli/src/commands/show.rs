//! `lmbatch show`: prints one run with its batches, from its record.

use lmbatch_core::{
    BatchId, Certainty, Closed, Cost, RunRecord, ShardRecord, ShardState, format_time,
};
use lmbatch_engine::{RunState, ShardPhase, has_failed, is_refused};
use serde_json::{Value, json};

use super::end::{after_refusal, noted_failure};
use super::kept::Kept;
use super::run_settings::Shown;
use super::state;
use crate::args::ShowArgs;
use crate::exit::{Exit, Failure};
use crate::session::Session;
use crate::terminal::Table;
use crate::{format, summary, terminal};

pub(crate) async fn show(session: &Session, args: ShowArgs) -> Result<Exit, Failure> {
    let ledger = state::ledger(session, &args.run.state).await?;
    let run = state::find(&*ledger, &args.run.run).await?;
    hide_key(&run);
    let known = Shown::of(&run);
    let shards = ledger.shards(&run.id).await?;
    if args.json {
        let batches: Vec<Value> = shards.iter().map(shard_json).collect();
        let mut shown = run_json(&run, &known, &shards);
        shown["batches"] = batches.into();
        terminal::json(&shown);
        return Ok(ended(&run, &shards));
    }
    terminal::out(&format!(
        "run {} {}, {} to {}, attempt {}",
        run.id,
        RunState::of(&run, &shards),
        format::count(u64::from(run.requests), "request", "requests"),
        known.model_in_full(),
        run.attempt + 1
    ));
    let mut table = Table::with_header([
        "#",
        "attempt",
        "requests",
        "state",
        "id",
        "certainty",
        "evidence",
        "label",
    ]);
    for shard in &shards {
        let (phase, batch) = (ShardPhase::of(shard).as_str(), shard.state.batch());
        let (certainty, evidence) = proof(shard);
        table.row([
            (shard.key.shard + 1).to_string(),
            (shard.attempt + 1).to_string(),
            shard.count.to_string(),
            phase.to_owned(),
            batch.map_or("", BatchId::as_str).to_owned(),
            certainty.to_owned(),
            evidence.to_owned(),
            shard.label.to_string(),
        ]);
    }
    terminal::out(&table.to_string());
    if let Some(costs) = costs(&run, &shards) {
        terminal::out(&costs);
    }
    for line in reasons(&run, &shards) {
        terminal::message(&line);
    }
    if is_refused(&shards) && !run.cancelled {
        terminal::message(&after_refusal(&run));
    }
    Ok(ended(&run, &shards))
}

/// Returns the exit code of a command that shows a run.
fn ended(run: &RunRecord, shards: &[ShardRecord]) -> Exit {
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
pub(super) fn run_json(run: &RunRecord, shown: &Shown, shards: &[ShardRecord]) -> Value {
    let failure = noted_failure(run).filter(|_| has_failed(run, shards));
    let failure =
        failure.map(|(message, said)| json!({"message": message, "provider_message": said}));
    json!({
        "format": 1, "run": run.id, "name": run.name, "state": RunState::of(run, shards).as_str(), "failure": failure, "requests": run.requests,
        "attempt": run.attempt + 1, "provider": shown.provider, "known_provider": shown.is_known, "model": shown.model,
        "created_at": run.created_at.map(format_time), "output": shown.output,
    })
}

fn shard_json(shard: &ShardRecord) -> Value {
    let (phase, batch) = (ShardPhase::of(shard).as_str(), shard.state.batch());
    let (certainty, evidence) = proof(shard);
    let said = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let mut shown = json!({
        "number": shard.key.shard + 1, "attempt": shard.attempt + 1, "requests": shard.count, "state": phase,
        "batch": batch, "certainty": said(certainty), "evidence": said(evidence), "label": shard.label,
    });
    if let Some(cost) = &shard.cost {
        shown["cost"] = json!({
            "reserved_usd": cost.reserved, "doubted_usd": cost.doubted(), "settled_usd": cost.settled,
            "prices_as_of": cost.prices_as_of,
        });
    }
    shown
}

/// Formats what the batches of a run with a cost limit have cost or may cost, one batch per row; `None` for a run without
/// a limit.
fn costs(run: &RunRecord, shards: &[ShardRecord]) -> Option<String> {
    let max = Kept::read(run).cost().max_cost?;
    let mut table = Table::with_header([
        "#",
        "attempt",
        "reserved",
        "settled",
        "create unknown",
        "prices of",
    ]);
    let mut sum = Cost::ZERO;
    for shard in shards {
        let Some(cost) = &shard.cost else {
            continue;
        };
        sum = sum.saturating_add(cost.most());
        table.row([
            (shard.key.shard + 1).to_string(),
            (shard.attempt + 1).to_string(),
            cost.reserved.to_string(),
            cost.settled
                .map(|cost| cost.to_string())
                .unwrap_or_default(),
            cost.doubted().to_string(),
            cost.prices_as_of.to_string(),
        ]);
    }
    Some(format!(
        "cost limit {max}, of which {sum} is spent or reserved\n{table}"
    ))
}
