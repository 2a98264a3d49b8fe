//! `lmbatch runs`, `show`, and the cancel of a run, from the record.

use lmbatch_core::{
    BatchId, BatchStatus, Certainty, Closed, ErrorKind, Ledger as _, RunFilter, RunRecord,
    ShardRecord, ShardState, format_time,
};
use lmbatch_engine::Engine;
use serde_json::{Value, json};

use super::end::{after_refusal, is_refused, noted_failure};
use super::state::{self, Notes, Shown};
use super::{connect, warning};
use crate::args::{CancelArgs, RunsArgs, ShowArgs};
use crate::exit::{Exit, Failure};
use crate::terminal::Table;
use crate::{next, summary, terminal, words};

/// Keeps the key that a run was made with out of what is printed of it.
fn hide_key(run: &RunRecord) {
    if let Some(variable) = run.notes.get("key_env") {
        crate::providers::hide_key(variable);
    }
}

/// The state of a run as one word.
fn word(run: &RunRecord, shards: &[ShardRecord]) -> &'static str {
    match (run.finished, run.cancelled) {
        (_, false) if has_failed(run, shards) => "failed",
        (true, false) => "finished",
        (true, true) => "cancelled",
        (false, true) => "cancelling",
        (false, false) => "running",
    }
}

/// Reports whether the provider refused every batch of a run, its creates or as a whole, or they were given up.
fn has_failed(run: &RunRecord, shards: &[ShardRecord]) -> bool {
    let refused = |shard: &ShardRecord| match &shard.state {
        ShardState::Sealed { snapshot, .. } => snapshot.status == BatchStatus::Failed,
        ShardState::Closed(closed) => matches!(closed, Closed::Abandoned { .. }),
        _ => false,
    };
    is_refused(shards) || run.finished && !shards.is_empty() && shards.iter().all(refused)
}

pub(crate) async fn runs(args: RunsArgs) -> Result<Exit, Failure> {
    let Some(ledger) = state::ledger_if_any(&args.state).await? else {
        return none_yet(&args);
    };
    let mut table = Table::with_header([
        "run", "name", "state", "requests", "model", "started", "output",
    ]);
    let mut left = match args.limit {
        0 => usize::MAX,
        _ if args.all => usize::MAX,
        limit => limit,
    };
    let (mut filter, mut listed) = (RunFilter::default(), 0);
    let has_more = loop {
        filter.limit = Some(u32::try_from(left).unwrap_or(u32::MAX).min(PAGE));
        let page = ledger.runs(&filter).await?;
        left -= page.items.len().min(left);
        listed += page.items.len() as u64;
        for run in &page.items {
            hide_key(run);
            let (shown, shards) = (Shown::of(run), ledger.shards(&run.id).await?);
            if args.json {
                terminal::json(&run_json(run, &shown, &shards));
                continue;
            }
            table.row([
                run.id.to_string(),
                run.name.as_deref().unwrap_or_default().to_owned(),
                word(run, &shards).to_owned(),
                run.requests.to_string(),
                shown.model_in_full(),
                run.created_at.map(words::time).unwrap_or_default(),
                shown.output.display().to_string(),
            ]);
        }
        match page.next {
            Some(next) if left > 0 => filter.after = Some(next),
            rest => break rest.is_some(),
        }
    };
    if listed == 0 {
        return none_yet(&args);
    }
    if !args.json {
        terminal::out(&table.to_string());
    }
    if has_more {
        let more = ledger.count_runs().await?.saturating_sub(listed).max(1);
        terminal::say(&format!(
            "{} not listed; {} lists every run",
            words::count(more, "older run is", "older runs are"),
            next::on_runs(["runs", "--all"])
        ));
    }
    Ok(Exit::Usable)
}

/// The most runs that are read at once.
const PAGE: u32 = 100;

fn none_yet(args: &RunsArgs) -> Result<Exit, Failure> {
    if !args.json {
        terminal::say(&state::no_runs(&args.state)?);
    }
    Ok(Exit::Usable)
}

/// The state of a shard as a word, and its batch where there is one.
fn stage(shard: &ShardRecord) -> (&'static str, Option<&BatchId>) {
    match &shard.state {
        ShardState::Staged(_) => ("uploaded", None),
        ShardState::Posting(_) | ShardState::Doubt(_) => ("in doubt", None),
        ShardState::Refused => ("refused", None),
        ShardState::Created { batch, .. } => ("running", Some(batch)),
        ShardState::Ended(snapshot) => ("ended", Some(&snapshot.id)),
        ShardState::Sealed { snapshot, .. } => ("fetched", Some(&snapshot.id)),
        ShardState::Closed(Closed::Abandoned { .. }) => ("abandoned", None),
        ShardState::Closed(_) => ("cancelled", None),
        _ => ("planned", None),
    }
}

/// The certainty that a batch belongs to its shard, and the evidence.
fn proof(shard: &ShardRecord) -> (&'static str, &str) {
    match (&shard.state, &shard.proof) {
        (ShardState::Posting(_) | ShardState::Doubt(_), _) => {
            (Certainty::Unknown.as_str(), "its create was not answered")
        }
        (_, Some(proof)) => (proof.certainty.as_str(), &proof.evidence),
        (_, None) => ("", ""),
    }
}

pub(crate) async fn show(args: ShowArgs) -> Result<Exit, Failure> {
    let ledger = state::ledger(&args.run.state).await?;
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
        word(&run, &shards),
        words::count(u64::from(run.requests), "request", "requests"),
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
        let ((stage, batch), (certainty, evidence)) = (stage(shard), proof(shard));
        table.row([
            (shard.key.shard + 1).to_string(),
            (shard.attempt + 1).to_string(),
            shard.count.to_string(),
            stage.to_owned(),
            batch.map_or("", BatchId::as_str).to_owned(),
            certainty.to_owned(),
            evidence.to_owned(),
            shard.label.to_string(),
        ]);
    }
    terminal::out(&table.to_string());
    for line in reasons(&run, &shards) {
        terminal::say(&line);
    }
    if is_refused(&shards) && !run.cancelled {
        terminal::say(&after_refusal(&run));
    }
    Ok(ended(&run, &shards))
}

/// The exit code of a command that shows a run.
fn ended(run: &RunRecord, shards: &[ShardRecord]) -> Exit {
    match has_failed(run, shards) {
        true => Exit::Failed,
        false => Exit::Usable,
    }
}

/// Lines about why the provider refused a create, or whole batches, and why creates were given up.
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

/// A run for programs; `"format": 1` changes when the fields do.
fn run_json(run: &RunRecord, shown: &Shown, shards: &[ShardRecord]) -> Value {
    let failure = noted_failure(run).filter(|_| has_failed(run, shards));
    let failure =
        failure.map(|(message, said)| json!({"message": message, "provider_message": said}));
    json!({
        "format": 1, "run": run.id, "name": run.name, "state": word(run, shards), "failure": failure, "requests": run.requests,
        "attempt": run.attempt + 1, "provider": shown.provider, "known_provider": shown.is_known, "model": shown.model,
        "created_at": run.created_at.map(format_time), "output": shown.output,
    })
}

fn shard_json(shard: &ShardRecord) -> Value {
    let ((stage, batch), (certainty, evidence)) = (stage(shard), proof(shard));
    let said = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    json!({
        "number": shard.key.shard + 1, "attempt": shard.attempt + 1, "requests": shard.count, "state": stage,
        "batch": batch, "certainty": said(certainty), "evidence": said(evidence), "label": shard.label,
    })
}

pub(crate) async fn cancel(args: &CancelArgs) -> Result<Exit, Failure> {
    let ledger = state::ledger(&args.state).await?;
    let run = state::find(&*ledger, &args.batch).await?;
    if run.finished {
        terminal::say(&format!("run {} has ended", run.id));
        return Ok(Exit::Usable);
    }
    let notes = Notes::read(&run)?;
    let engine = warning(Engine::new(connect(
        notes.provider,
        &notes.connection,
        notes.route,
    )?));
    // A process that goes on with the run need not end first: it sees that it is cancelled.
    let engine = state::reading(engine, ledger, &args.state)?;
    let count = engine.cancel_run(&run).await?;
    let batches = words::count(count, "batch is being", "batches are being");
    terminal::say(&match count {
        0 => {
            "no batch is cancelled: none that is certain to be of the run is in progress".to_owned()
        }
        _ => format!("{batches} cancelled; requests that are answered by then are billed"),
    });
    match engine.claim(&run.id).await {
        Ok(_) => {
            let command = next::on_runs(["resume", &run.id]);
            terminal::say(&format!("to download completed results:\n  {command}"));
        }
        Err(error) if error.kind() == ErrorKind::Conflict => {
            terminal::say("the process that waits for the run downloads completed results");
        }
        Err(error) => return Err(error.into()),
    }
    Ok(Exit::Usable)
}
