//! `lmbatch runs`, `show`, `audit`, and the cancel of a run: what the record says.

use std::io::{BufRead as _, BufReader};
use std::path::Path;

use comfy_table::Table;
use comfy_table::presets::NOTHING;
use lmbatch_core::{BatchId, Certainty, RunRecord, ShardRecord, ShardState, format_time};
use lmbatch_engine::Engine;
use serde_json::{Value, json};

use super::connect;
use super::resume::unfinished;
use super::state::{self, Notes};
use crate::args::{CancelArgs, OneRunArgs, RunsArgs, ShowArgs};
use crate::exit::{Exit, Failure};
use crate::{next, terminal, words};

fn word(run: &RunRecord) -> &'static str {
    match (run.finished, run.cancelled) {
        (true, false) => "finished",
        (true, true) => "cancelled",
        (false, true) => "cancelling",
        (false, false) => "goes on",
    }
}

pub(crate) async fn runs(args: RunsArgs) -> Result<Exit, Failure> {
    let runs = state::ledger(&args.state).await?.runs().await?;
    if args.json {
        for run in &runs {
            terminal::out(&run_json(run, &Notes::read(run)?).to_string());
        }
        return Ok(Exit::Usable);
    }
    let mut table = Table::new();
    table.load_style(NOTHING).set_header([
        "run", "name", "state", "requests", "model", "began", "output",
    ]);
    for run in &runs {
        let notes = Notes::read(run)?;
        table.add_row([
            run.id.to_string(),
            run.name.as_deref().unwrap_or_default().to_owned(),
            word(run).to_owned(),
            run.requests.to_string(),
            format!("{}/{}", notes.provider.id(), notes.model),
            run.created_at.map(words::time).unwrap_or_default(),
            notes.output.display().to_string(),
        ]);
    }
    terminal::out(&table.to_string());
    Ok(Exit::Usable)
}

/// What a shard's state says: a word, and its batch where there is one.
fn stage(shard: &ShardRecord) -> (&'static str, Option<&BatchId>) {
    match &shard.state {
        ShardState::Staged(_) => ("uploaded", None),
        ShardState::Posting(_) | ShardState::Doubt(_) => ("in doubt", None),
        ShardState::Refused => ("refused", None),
        ShardState::Created { batch, .. } => ("goes on", Some(batch)),
        ShardState::Ended(snapshot) => ("ended", Some(&snapshot.id)),
        ShardState::Sealed { snapshot, .. } => ("fetched", Some(&snapshot.id)),
        _ => ("planned", None),
    }
}

/// How we know that a shard's batch is ours, and from what.
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
    let notes = Notes::read(&run)?;
    let shards = ledger.shards(&run.id).await?;
    if args.json {
        let batches: Vec<Value> = shards.iter().map(shard_json).collect();
        let mut shown = run_json(&run, &notes);
        shown["batches"] = batches.into();
        terminal::out(&shown.to_string());
        return Ok(Exit::Usable);
    }
    terminal::out(&format!(
        "run {} {}, {} requests to {}/{}, try {}",
        run.id,
        word(&run),
        run.requests,
        notes.provider.id(),
        notes.model,
        run.attempt + 1
    ));
    let mut table = Table::new();
    table.load_style(NOTHING).set_header([
        "batch of the run",
        "try",
        "requests",
        "state",
        "id",
        "certainty",
        "evidence",
        "label",
    ]);
    for shard in &shards {
        let ((stage, batch), (certainty, evidence)) = (stage(shard), proof(shard));
        table.add_row([
            (shard.key.shard + 1).to_string(),
            (shard.attempt + 1).to_string(),
            shard.count.to_string(),
            stage.to_owned(),
            terminal::plain(batch.map_or("", BatchId::as_str)),
            certainty.to_owned(),
            terminal::plain(evidence),
            shard.label.to_string(),
        ]);
    }
    terminal::out(&table.to_string());
    Ok(Exit::Usable)
}

/// A run for programs; `"format": 1` changes when the fields do.
fn run_json(run: &RunRecord, notes: &Notes) -> Value {
    json!({
        "format": 1, "run": run.id, "name": run.name, "state": word(run), "requests": run.requests,
        "attempt": run.attempt + 1, "provider": notes.provider.id(), "model": notes.model,
        "created_at": run.created_at.map(format_time), "output": notes.output,
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
    let engine = Engine::new(connect(notes.provider, &notes.connection, notes.route)?);
    // A process that goes on with the run need not end first: it sees that it is cancelled.
    let engine = state::reading(engine, ledger, &args.state)?;
    let count = engine.cancel_run(&run).await?;
    terminal::say(&format!(
        "{} cancelled; what is answered by then is paid for",
        words::count(count, "batch is being", "batches are being")
    ));
    terminal::say(&match engine.claim(&run.id).await {
        Ok(_) => format!("fetch it with:\n  {}", next::on_runs(["resume", &run.id])),
        Err(_) => "the process that goes on with the run fetches it".to_owned(),
    });
    Ok(Exit::Usable)
}

pub(crate) async fn audit(args: OneRunArgs) -> Result<Exit, Failure> {
    let (run, notes, engine) = state::recorded(&args.run, &args.state).await?;
    let finished = engine.partial(&run).await?;
    if !finished.is_whole() {
        return Err(unfinished(&run));
    }
    let mut reader = engine.outcomes(&finished)?;
    let (mut outcomes, mut input, mut output) = (0, 0_u64, 0_u64);
    while let Some(answered) = reader.next()? {
        outcomes += 1;
        let usage = crate::output::usage(&answered.answer);
        input = input.saturating_add(usage.input_tokens);
        output = output.saturating_add(usage.output_tokens);
    }
    let lines = lines(&notes.output);
    let requests = u64::from(run.requests);
    let mut table = Table::new();
    table.load_style(NOTHING);
    for (what, count) in [
        ("requests", requests),
        ("outcomes", outcomes),
        ("batches", finished.batches().len() as u64),
        ("rows of results", finished.rows()),
        ("rows twice", finished.duplicates()),
        ("rows of others", finished.foreign()),
        ("rows unreadable", finished.malformed()),
        ("tokens in", input),
        ("tokens out", output),
    ] {
        table.add_row([what.to_owned(), count.to_string()]);
    }
    if let Some(lines) = lines {
        table.add_row(["lines of the output".to_owned(), lines.to_string()]);
    }
    for batch in finished.batches() {
        let counts = batch.counts;
        let billed = format!("{} answered, {}", counts.succeeded, batch.status);
        table.add_row([terminal::plain(batch.id.as_str()), billed]);
    }
    terminal::out(&table.to_string());
    let whole = outcomes == requests && lines.is_none_or(|lines| lines == requests);
    if whole {
        terminal::say("one outcome for each request");
        return Ok(Exit::Usable);
    }
    Err(Failure {
        exit: Exit::Failed,
        ..Failure::usage("the numbers do not agree")
    })
}

/// Lines of an output that is there.
fn lines(path: &Path) -> Option<u64> {
    let file = std::fs::File::open(path).ok()?;
    let mut count = 0;
    for line in BufReader::new(file).split(b'\n') {
        count += u64::from(!line.ok()?.is_empty());
    }
    Some(count)
}
