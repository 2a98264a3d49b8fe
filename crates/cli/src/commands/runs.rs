//! `lmbatch runs`, `show`, `audit`, and the cancel of a run: what the record says.

use std::io::{BufRead as _, BufReader};
use std::path::Path;

use comfy_table::Table;
use comfy_table::presets::NOTHING;
use lmbatch_core::{RunRecord, ShardRecord, ShardState, format_time};
use lmbatch_engine::Engine;

use super::connect;
use super::state::{self, Notes};
use crate::args::{CancelArgs, OneRunArgs, StateArgs};
use crate::exit::{Exit, Failure};
use crate::terminal;

fn word(run: &RunRecord) -> &'static str {
    match (run.finished, run.cancelled) {
        (true, false) => "finished",
        (true, true) => "cancelled",
        (false, true) => "cancelling",
        (false, false) => "goes on",
    }
}

pub(crate) async fn runs(args: StateArgs) -> Result<Exit, Failure> {
    let runs = state::ledger(&args).await?.runs().await?;
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
            run.created_at.map(format_time).unwrap_or_default(),
            notes.output.display().to_string(),
        ]);
    }
    terminal::out(&table.to_string());
    Ok(Exit::Usable)
}

/// What a shard's state says: a word, its batch, and how we know that it is ours.
fn stage(shard: &ShardRecord) -> (&'static str, String, &'static str) {
    let none = String::new;
    match &shard.state {
        ShardState::Staged(_) => ("uploaded", none(), ""),
        ShardState::Posting(_) | ShardState::Doubt(_) => ("in doubt", none(), "unknown"),
        ShardState::Refused => ("refused", none(), ""),
        ShardState::Created { batch, certainty } => {
            let certainty = match certainty {
                lmbatch_core::Certainty::Token => "token",
                lmbatch_core::Certainty::Proved => "proved",
                lmbatch_core::Certainty::Presumed => "presumed",
                lmbatch_core::Certainty::Unknown => "unknown",
            };
            ("goes on", batch.to_string(), certainty)
        }
        ShardState::Ended(snapshot) => ("ended", snapshot.id.to_string(), ""),
        ShardState::Sealed { snapshot, .. } => ("fetched", snapshot.id.to_string(), "proved"),
        _ => ("planned", none(), ""),
    }
}

pub(crate) async fn show(args: OneRunArgs) -> Result<Exit, Failure> {
    let ledger = state::ledger(&args.state).await?;
    let run = state::find(&*ledger, &args.run).await?;
    let notes = Notes::read(&run)?;
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
        "label",
    ]);
    for shard in ledger.shards(&run.id).await? {
        let (stage, batch, certainty) = stage(&shard);
        table.add_row([
            (shard.key.shard + 1).to_string(),
            (shard.attempt + 1).to_string(),
            shard.count.to_string(),
            stage.to_owned(),
            terminal::plain(&batch),
            certainty.to_owned(),
            shard.label.to_string(),
        ]);
    }
    terminal::out(&table.to_string());
    Ok(Exit::Usable)
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
    // First that nothing more is created, then what is there.
    let (_state, durable) = state::durable(engine.clone(), &args.state).await?;
    let run = RunRecord {
        cancelled: true,
        ..run
    };
    durable.ledger().begin(&run, &[]).await?;
    let mut count = 0;
    for shard in ledger.shards(&run.id).await? {
        if let ShardState::Created { batch, .. } = &shard.state {
            engine.cancel(batch).await?;
            count += 1;
        }
    }
    terminal::say(&format!(
        "{count} batches are being cancelled; what is answered by then is paid for. Fetch it with:\n  lmbatch resume {}",
        run.id
    ));
    Ok(Exit::Usable)
}

pub(crate) async fn audit(args: OneRunArgs) -> Result<Exit, Failure> {
    let ledger = state::ledger(&args.state).await?;
    let run = state::find(&*ledger, &args.run).await?;
    let notes = Notes::read(&run)?;
    let provider = connect(notes.provider, &notes.connection, notes.route)?;
    let (_state, engine) = state::durable(Engine::new(provider), &args.state).await?;
    let finished = engine.sealed(&run).await?;
    let mut reader = engine.outcomes(&finished)?;
    let (mut outcomes, mut input, mut output) = (0, 0, 0);
    while let Some(answered) = reader.next()? {
        outcomes += 1;
        let usage = crate::output::usage(&answered.answer);
        input += usage.input_tokens;
        output += usage.output_tokens;
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
