//! `lmbatch show`: prints one run with its batches, from its record.

use std::collections::BTreeMap;

use lmbatch::adapter::{Certainty, format_time};
use lmbatch::durable::LiveCounts;
use lmbatch::engine::{RunState, ShardPhase, has_failed, is_refused};
use lmbatch::record::{Closed, RunRecord, ShardCost, ShardRecord, ShardState};
use lmbatch::{BatchId, BatchSnapshot};
use serde_json::{Value, json};

use super::end::{after_refusal, noted_failure};
use super::run_facts::facts;
use lmbatch::Cost;

use super::kept::Kept;
use super::run_settings::Shown;
use super::{pilot_facts, state};
use crate::args::{ShowArgs, StateArgs};
use crate::exit::{Exit, Failure};
use crate::live::{self, Live};
use crate::session::Session;
use crate::table::{Cell, Column, Table, coloured, column};
use crate::{format, hints, summary, terminal};

pub(crate) async fn show(session: &Session, mut args: ShowArgs) -> Result<Exit, Failure> {
    args.run.state = state::holding(session, &args.run.state, &args.run.run).await?;
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
    if live.is_open() || run.pilot_of.is_some() {
        terminal::out(&facts(&run, &live).to_string());
    }
    batches(&shards, noted.as_ref()).print();
    if let Some(max) = Kept::read(&run).cost().max_cost {
        let counted = counted(session, &args.run.state, &run).await;
        let (line, costs) = costs(max, &shards, counted.as_ref());
        terminal::out(&line);
        if !costs.is_empty() {
            costs.print();
        }
    } else if is_billed(&run, &shards) {
        let audit = hints::on_runs(["audit", &run.id]);
        terminal::message(&format!("cost: {audit} adds it up"));
    }
    if let Some(at) = run.answers_deleted_at {
        terminal::message(&format!(
            "its prompts and answers were deleted from this machine at {}",
            format::time(at)
        ));
    }
    for line in reasons(&run, &shards) {
        terminal::message(&line);
    }
    if is_refused(&shards) && !run.cancelled {
        terminal::message(&after_refusal(&run));
    }
    for line in pilot_facts::awaited(&run, live.state) {
        terminal::message(&line);
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
    column("id").cut_start(27),
    column("certainty").rank(4),
    column("evidence").cut_end(16).rank(6),
    column("label").rank(5),
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
            attempt(shard.attempt, shard.repair),
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

/// Returns the number of a batch's attempt, marked where its requests are repairs.
pub(super) fn attempt(attempt: u32, repair: bool) -> Cell {
    match repair {
        true => format!("{} (repair)", attempt + 1).into(),
        false => (attempt + 1).into(),
    }
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
        "pilot_of": run.pilot_of, "attempt": run.attempt + 1, "provider": shown.provider, "known_provider": shown.is_known, "model": shown.model,
        "created_at": run.created_at.map(format_time), "output": shown.output,
        "answers_deleted_at": run.answers_deleted_at.map(format_time), "progress": live.json(),
    })
}

fn shard_json(shard: &ShardRecord, noted: Option<&LiveCounts>) -> Value {
    let (phase, batch) = (ShardPhase::of(shard).as_str(), shard.state.batch());
    let (certainty, evidence) = proof(shard);
    let polled = live::noted_batch(shard, noted);
    let expires_at = polled.and_then(|batch: &BatchSnapshot| batch.expires_at);
    let said = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let mut shown = json!({
        "number": shard.key.shard + 1, "attempt": shard.attempt + 1, "requests": shard.count, "state": phase,
        "batch": batch, "certainty": said(certainty), "evidence": said(evidence), "label": shard.label,
        "counts": live::counts(shard, noted), "status": polled.map(|batch| batch.status.as_str()),
        "expires_at": expires_at.map(format_time), "repair": shard.repair,
    });
    if let Some(cost) = &shard.cost {
        shown["cost"] = json!({
            "reserved_usd": cost.reserved, "doubted_usd": cost.in_doubt(), "settled_usd": cost.settled,
            "prices_as_of": cost.prices_as_of,
        });
    }
    shown
}

const COST: [Column; 6] = [
    column("#"),
    column("attempt"),
    column("reserved"),
    column("settled"),
    column("create unknown"),
    column("prices of").rank(1),
];

/// Reports whether a run that has ended has answers that are paid for.
fn is_billed(run: &RunRecord, shards: &[ShardRecord]) -> bool {
    let is_emulated = run.notes.contains_key("emulated");
    run.finished
        && run.answers_deleted_at.is_none()
        && !is_emulated
        && shards
            .iter()
            .any(|shard| matches!(shard.state, ShardState::Sealed { .. }))
}

/// Returns what each batch of a run counts against its cost limit, as the next create counts it; `None` where the files of
/// the run or the program's provider are gone.
async fn counted(
    session: &Session,
    args: &StateArgs,
    run: &RunRecord,
) -> Option<BTreeMap<u32, Cost>> {
    let (run, notes, engine) = state::recorded(session, &run.id, args).await.ok()?;
    let engine = notes.kept.cost().limiting(engine);
    engine.costs_against_limit(&run).await.ok()
}

/// Returns the cost limit of a run with its use, and the table of what each batch has cost or may cost. Without `counted`,
/// batches that were created before the run had a limit are not counted.
fn costs(
    max: Cost,
    shards: &[ShardRecord],
    counted: Option<&BTreeMap<u32, Cost>>,
) -> (String, Table) {
    let mut table = Table::new(COST);
    let mut sum = Cost::ZERO;
    let mut is_whole = true;
    for shard in shards {
        let own = shard.cost.as_ref();
        let known = counted.and_then(|counted| counted.get(&shard.key.shard));
        is_whole &= known.is_some() || own.is_some() || shard.state.batch().is_none();
        let cost = known.copied().or_else(|| own.map(ShardCost::upper_bound));
        let cost = cost.unwrap_or(Cost::ZERO);
        sum = sum.saturating_add(cost);
        let (number, attempt) = (shard.key.shard + 1, attempt(shard.attempt, shard.repair));
        let is_sealed = matches!(shard.state, ShardState::Sealed { .. });
        match own {
            Some(own) => table.row([
                number.into(),
                attempt,
                own.reserved.to_string().into(),
                own.settled.map(|cost| cost.to_string()).into(),
                own.in_doubt().to_string().into(),
                own.prices_as_of.to_string().into(),
            ]),
            // The batch was created before the run had a limit.
            None if cost > Cost::ZERO => {
                let told = |is_told: bool| Cell::from(is_told.then(|| cost.to_string()));
                table.row([
                    number.into(),
                    attempt,
                    told(!is_sealed),
                    told(is_sealed),
                    Cell::Empty,
                    Cell::Empty,
                ]);
            }
            None => {}
        }
    }
    let least = if is_whole { "" } else { "at least " };
    let line = format!("cost limit {max}, of which {least}{sum} is spent or reserved");
    (line, table)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use lmbatch::adapter::Proof;
    use lmbatch::record::{Progress, ShardKey};
    use lmbatch::{BatchClass, BatchStatus, Label, RequestCounts};

    use super::*;
    use crate::terminal::Look;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn shard(number: u32, state: ShardState, proof: Option<Proof>) -> ShardRecord {
        ShardRecord {
            key: ShardKey {
                run: "r-b7h0xnabcdef".into(),
                shard: number,
            },
            label: Label::new(format!("lmbatch-b7h0xnabcdef-{number}")),
            class: BatchClass::new("/x", "file"),
            count: 50_000,
            bytes: 1,
            checksum: None,
            tables: None,
            attempt: 0,
            repair: false,
            epoch: 1,
            state,
            progress: Progress::default(),
            proof,
            doubted: None,
            remote_objects: Vec::new(),
            sent_twice: false,
            cost: None,
        }
    }

    #[test]
    fn the_batches_of_a_run_fit_eighty_and_a_hundred_and_twenty_columns() {
        let id = BatchId::new("batch_68b7f0c2a1d08190a2d4f7b35c1e9a06");
        let proof = Proof::proved("its create was answered");
        let created = ShardState::Created {
            batch: id.clone(),
            proof: proof.clone(),
        };
        let shards = [
            shard(0, created, Some(proof)),
            shard(1, ShardState::Planned, None),
        ];
        let polled = {
            let mut snapshot = BatchSnapshot::new(id, BatchStatus::InProgress);
            snapshot.counts = RequestCounts {
                total: Some(50_000),
                succeeded: 12_345,
                errored: 67,
                ..RequestCounts::default()
            };
            snapshot.expires_at = Some(at(80_000));
            snapshot
        };
        let noted = LiveCounts {
            batches: vec![polled],
            polled_at: at(500),
        };
        let table = batches(&shards, Some(&noted));
        let shown = |columns| {
            table.within(Look::Terminal {
                columns,
                colour: false,
                now: at(600),
            })
        };
        let at_80 = "\
#  requests  answered  failed  state        expires  id
1    50,000    12,345      67  in progress  in 22 h  …c2a1d08190a2d4f7b35c1e9a06
2    50,000         0       0  planned      -        -";
        assert_eq!(shown(80), at_80);
        let at_120 = "\
#  attempt  requests  answered  failed  state        expires  id                                      certainty
1        1    50,000    12,345      67  in progress  in 22 h  batch_68b7f0c2a1d08190a2d4f7b35c1e9a06  proved
2        1    50,000         0       0  planned      -        -                                       -";
        assert_eq!(shown(120), at_120);
        let in_a_pipe = "#\tattempt\trequests\tanswered\tfailed\tstate\texpires\tid\tcertainty\tevidence\tlabel
1\t1\t50000\t12345\t67\tin_progress\t1970-01-01T22:13:20Z\tbatch_68b7f0c2a1d08190a2d4f7b35c1e9a06\tproved\tits create was answered\tlmbatch-b7h0xnabcdef-0
2\t1\t50000\t0\t0\tplanned\t\t\t\t\tlmbatch-b7h0xnabcdef-1";
        assert_eq!(table.within(Look::Pipe), in_a_pipe);
    }
}
