//! `lmbatch status`, `retrieve` and `cancel`: one batch by its id. `lmbatch list`: all of them.

use std::time::SystemTime;

use comfy_table::Table;
use comfy_table::presets::NOTHING;
use futures::{StreamExt as _, TryStreamExt as _};
use lmbatch_core::{BatchHandle, BatchId, BatchSnapshot, WireId, format_time};
use lmbatch_engine::{Engine, Finished};

use super::{clock, connect, write};
use crate::args::{
    BatchArgs, CancelArgs, ListArgs, MaxFailed, OneRunArgs, RetrieveArgs, ShowArgs, StatusArgs,
};
use crate::exit::{Exit, Failure};
use crate::output::{self, Origin, Sink};
use crate::providers::Provider;
use crate::summary::Summary;
use crate::{model, terminal, words};

fn engine(args: &BatchArgs) -> Result<(&'static Provider, Engine, BatchId), Failure> {
    let Some(name) = &args.provider else {
        return Err(Failure::usage(
            "whose batch it is: name the provider with -p",
        ));
    };
    let provider = model::find(name)?;
    let engine = Engine::new(connect(provider, &args.connection, provider.routes()[0])?);
    Ok((provider, engine, BatchId::new(args.batch.as_str())))
}

pub(crate) async fn status(args: StatusArgs) -> Result<Exit, Failure> {
    if args.batch.provider.is_none() {
        let run = args.batch.batch;
        let state = args.state;
        let (run, json) = (OneRunArgs { run, state }, args.json);
        return super::runs::show(ShowArgs { run, json }).await;
    }
    let (_, engine, batch) = engine(&args.batch)?;
    let snapshot = engine.status(&batch).await?;
    if args.json {
        terminal::out(&json(&snapshot));
    } else {
        terminal::out(&table(&snapshot));
    }
    Ok(if snapshot.status.is_terminal() {
        Exit::Usable
    } else {
        Exit::Unfinished
    })
}

/// A snapshot as one line of JSON: its fields are texts, numbers and lists of them, which cannot fail.
fn json(snapshot: &BatchSnapshot) -> String {
    serde_json::to_string(snapshot).unwrap_or_default()
}

pub(crate) async fn cancel(args: CancelArgs) -> Result<Exit, Failure> {
    if args.provider.is_none() {
        return super::runs::cancel(&args).await;
    }
    let args = BatchArgs {
        batch: args.batch,
        provider: args.provider,
        connection: args.connection,
    };
    let (provider, engine, batch) = engine(&args)?;
    engine.cancel(&batch).await?;
    let status = engine.status(&batch).await?.status;
    terminal::say(&format!("batch {batch} at {} is {status}", provider.id()));
    if !status.is_terminal() {
        terminal::say("what is answered by then is paid for. When it has ended:");
        let command = super::retrieve_command(&batch, provider, &args.connection, None);
        terminal::say(&format!("  {command}"));
    }
    Ok(Exit::Usable)
}

pub(crate) async fn list(args: ListArgs) -> Result<Exit, Failure> {
    let provider = model::find(&args.provider)?;
    let engine = Engine::new(connect(provider, &args.connection, provider.routes()[0])?);
    let most = if args.limit == 0 {
        usize::MAX
    } else {
        args.limit
    };
    let listed = engine.list(Some(most.min(100) as u32)).take(most);
    let batches: Vec<BatchSnapshot> = listed.try_collect().await?;
    if args.json {
        for batch in &batches {
            terminal::out(&json(batch));
        }
    } else if batches.is_empty() {
        terminal::say(&format!("{} lists no batches", provider.id()));
    } else {
        terminal::out(&rows(&batches));
    }
    Ok(Exit::Usable)
}

fn rows(batches: &[BatchSnapshot]) -> String {
    let mut table = Table::new();
    table
        .load_style(NOTHING)
        .set_header(["batch", "status", "done", "created", "model", "label"]);
    for batch in batches {
        let counts = batch.counts;
        let done = counts.total.map_or_else(String::new, |total| {
            format!("{} of {total}", counts.finished())
        });
        let or_nothing = |text: Option<String>| terminal::plain(&text.unwrap_or_default());
        table.add_row([
            terminal::plain(batch.id.as_str()),
            terminal::plain(batch.status.as_str()),
            done,
            or_nothing(batch.created_at.map(words::time)),
            or_nothing(batch.model.clone()),
            or_nothing(batch.label.as_ref().map(ToString::to_string)),
        ]);
    }
    table.to_string()
}

/// What the provider says, a line a fact; what it does not say is left out.
fn table(snapshot: &BatchSnapshot) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING);
    let counts = snapshot.counts;
    let count = |number: u64| (number > 0).then(|| number.to_string());
    let time = |at: Option<SystemTime>| at.map(format_time);
    let usage = snapshot
        .usage
        .map(|usage| format!("{} in, {} out", usage.input_tokens, usage.output_tokens));
    for (name, value) in [
        ("batch", Some(snapshot.id.to_string())),
        ("status", Some(snapshot.status.to_string())),
        ("requests", counts.total.map(|total| total.to_string())),
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
            table.add_row([name.to_owned(), terminal::plain(&value)]);
        }
    }
    for problem in &snapshot.problems {
        let line = problem.line.map(|line| format!(" at request {line}"));
        let why = format!("{}{}", problem.error, line.unwrap_or_default());
        table.add_row(["problem".to_owned(), terminal::plain(&why)]);
    }
    table.to_string()
}

pub(crate) async fn retrieve(args: RetrieveArgs) -> Result<Exit, Failure> {
    if args.batch.provider.is_none() && args.handle.is_none() {
        return super::resume::retrieve(&args).await;
    }
    let clock = clock();
    let start = clock.elapsed();
    output::check(&args.output, args.force)?;
    let (provider, engine, batch) = engine(&args.batch)?;
    let handle = match &args.handle {
        Some(path) => {
            let bad = |why: String| Failure::usage(format!("--handle: {} {why}", path.display()));
            let text =
                std::fs::read(path).map_err(|error| bad(format!("cannot be read: {error}")))?;
            let handle: BatchHandle = serde_json::from_slice(&text)
                .map_err(|error| bad(format!("is not a handle: {error}")))?;
            if handle.batch != batch {
                return Err(bad(format!("is of batch {}", handle.batch)));
            }
            Some(handle)
        }
        None => None,
    };
    let finished = match &handle {
        Some(handle) => engine.retrieve(handle).await?,
        None => engine.retrieve_rows(&batch, Vec::new()).await?,
    };
    let origin = Origin {
        provider: provider.id().to_owned(),
        emulated: false,
        raw: false,
    };
    let sink = Sink::open(&args.output, args.force)
        .map_err(|error| lmbatch_core::Error::local("making the output", error))?;
    let model = finished.snapshot().model.clone().unwrap_or_default();
    let summary = Summary::new(
        provider.id(),
        &model,
        &[batch.as_str()],
        &args.output.display().to_string(),
        false,
        None,
    );
    let mut summary = write(&engine, &finished, origin, sink, summary, Vec::new()).await?;
    summary.finish(clock.elapsed() - start);
    terminal::say(&summary.table());
    if handle.is_none() && bears_our_ids(&engine, &finished)? {
        let model = format!("{}/MODEL", provider.id());
        let adopt = ["adopt", batch.as_str(), "INPUT", "-m", &model];
        terminal::say(
            "its ids are those of a run of lmbatch: they number the lines of its input. With the input, the ids of the input come back:",
        );
        terminal::say(&format!("  {}", crate::next::on_runs(adopt)));
    }
    Ok(summary.exit(MaxFailed::Requests(0)))
}

/// Whether the first outcome bears an id that lmbatch made.
fn bears_our_ids(engine: &Engine, finished: &Finished) -> Result<bool, Failure> {
    let mut reader = engine.outcomes(finished)?;
    let first = reader.next()?;
    let id = first.and_then(|answered| serde_json::from_str::<String>(answered.id.as_str()).ok());
    Ok(id.is_some_and(|id| WireId::parts(&id).is_some()))
}
