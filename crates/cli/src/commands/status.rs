//! `lmbatch status`: prints the state of one batch from its provider, or of runs from their record.

use std::time::SystemTime;

use lmbatch::BatchSnapshot;
use lmbatch::adapter::format_time;
use lmbatch::engine::is_refused;
use lmbatch::record::Ledger as _;

use super::batch::{NamedBatch, named};
use super::run_facts::{block, open_runs};
use super::run_settings::Shown;
use super::runs::RunTable;
use super::show::{ended, hide_key, run_json};
use super::{clock, end, pilot_facts, state, waiting};
use crate::args::{BatchArgs, StatusArgs};
use crate::exit::{Exit, Failure};
use crate::session::Session;
use crate::table::Facts;
use crate::{format, plain, terminal};

pub(crate) async fn status(session: &Session, args: StatusArgs) -> Result<Exit, Failure> {
    if args.handle.is_some() {
        return of_batch(session, args).await;
    }
    match (&args.provider, &args.batch) {
        (Some(_), _) => of_batch(session, args).await,
        (None, Some(run)) => of_run(session, run, &args).await,
        (None, None) => of_open_runs(session, &args).await,
    }
}

/// Prints the status of a run.
async fn of_run(session: &Session, run: &str, args: &StatusArgs) -> Result<Exit, Failure> {
    let state = state::holding(session, &args.state, run).await?;
    let mut reader = state::live(session, &state).await?;
    let run = state::find(reader.ledger(), run).await?;
    hide_key(&run);
    let (live, shards, _) = reader.read(&run).await?;
    if args.json {
        terminal::json(&run_json(&run, &Shown::of(&run), &shards, &live));
        return Ok(ended(&run, &shards));
    }
    terminal::clean(&block(&run, &live));
    for line in pilot_facts::awaited(&run, live.state) {
        terminal::message(&line);
    }
    if is_refused(&shards) && !run.cancelled {
        terminal::message(&end::after_refusal(&run));
    }
    Ok(ended(&run, &shards))
}

/// Prints the status of every run that has not ended, and of those whose pilot awaits a decision.
async fn of_open_runs(session: &Session, args: &StatusArgs) -> Result<Exit, Failure> {
    let Some(mut reader) = state::live_if_any(session, &args.state).await? else {
        if !args.json {
            terminal::message(&state::no_runs(&args.state)?);
        }
        return Ok(Exit::Usable);
    };
    let open = reader.ledger().all_runs(open_runs()).await?;
    let pilots = waiting::pilots(reader.ledger()).await?;
    let mut table = RunTable::new();
    for run in open.iter().chain(&pilots) {
        hide_key(run);
        let (live, shards, _) = reader.read(run).await?;
        let shown = Shown::of(run);
        match args.json {
            true => terminal::json(&run_json(run, &shown, &shards, &live)),
            false => table.add(run, &shown, &live, None),
        }
    }
    if open.is_empty() && pilots.is_empty() {
        waiting::tell_none();
    } else if !args.json {
        table.print();
        for run in &pilots {
            terminal::message(&waiting::line(run));
        }
    }
    Ok(Exit::Usable)
}

async fn of_batch(session: &Session, args: StatusArgs) -> Result<Exit, Failure> {
    let args_of_batch = BatchArgs {
        batch: args.batch,
        provider: args.provider,
        handle: args.handle,
        connection: args.connection,
    };
    let NamedBatch { engine, batch, .. } = named(session, &args_of_batch)?;
    let snapshot = engine.status(&batch).await?;
    if args.json {
        terminal::json(&snapshot);
    } else {
        terminal::out(&batch_facts(&snapshot).to_string());
    }
    Ok(if snapshot.status.is_terminal() {
        Exit::Usable
    } else {
        Exit::Unfinished
    })
}

/// Returns the status of a batch, one fact a line; facts that the provider does not give are left out.
fn batch_facts(snapshot: &BatchSnapshot) -> Facts {
    let now = clock().now();
    let mut table = Facts::new();
    let counts = snapshot.counts;
    let count = |number: u64| (number > 0).then(|| format::number(number));
    let time = |at: Option<SystemTime>| {
        at.map(|at| format!("{} ({})", format_time(at), format::relative(at, now)))
    };
    let usage = snapshot.usage.map(|usage| {
        let [input, output] = [usage.input_tokens, usage.output_tokens].map(format::number);
        format!("{input} in, {output} out")
    });
    for (name, value) in [
        ("batch", Some(snapshot.id.to_string())),
        ("status", Some(snapshot.status.to_string())),
        ("requests", counts.total.map(format::number)),
        ("succeeded", count(counts.succeeded)),
        ("errored", count(counts.errored)),
        ("expired", count(counts.expired)),
        ("cancelled", count(counts.cancelled)),
        ("model", snapshot.model.clone()),
        ("label", snapshot.label.as_ref().map(ToString::to_string)),
        ("created", time(snapshot.created_at)),
        ("expires", time(snapshot.expires_at)),
        ("ended", time(snapshot.ended_at)),
        ("tokens", usage),
    ] {
        if let Some(value) = value {
            table.row(name, &value);
        }
    }
    for problem in &snapshot.problems {
        let line = problem.line.map(|line| format!(" at request {line}"));
        let why = format!("{}{}", problem.error, line.unwrap_or_default());
        table.row("problem", &why);
        if let Some(said) = problem.error.message().and_then(plain::provider_text) {
            table.row("provider said", &said);
        }
    }
    table
}
