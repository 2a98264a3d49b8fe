//! `lmbatch status` and `lmbatch retrieve`: one batch by its id.

use std::time::SystemTime;

use comfy_table::Table;
use comfy_table::presets::NOTHING;
use lmbatch_core::{BatchHandle, BatchId, BatchSnapshot, format_time};
use lmbatch_engine::Engine;

use super::{clock, connect, write};
use crate::args::{BatchArgs, MaxFailed, RetrieveArgs, StatusArgs};
use crate::exit::{Exit, Failure};
use crate::output::{self, Origin, Sink};
use crate::providers::{Provider, Route};
use crate::summary::Summary;
use crate::{model, terminal};

fn engine(args: &BatchArgs) -> Result<(&'static Provider, Engine, BatchId), Failure> {
    let provider = model::find(&args.provider)?;
    let engine = Engine::new(connect(provider, &args.connection, Route::default())?);
    Ok((provider, engine, BatchId::new(args.batch.as_str())))
}

pub(crate) async fn status(args: StatusArgs) -> Result<Exit, Failure> {
    let (_, engine, batch) = engine(&args.batch)?;
    let snapshot = engine.status(&batch).await?;
    if args.json {
        let text = serde_json::to_string(&snapshot).map_err(|error| Failure {
            exit: Exit::Failed,
            ..Failure::usage(error.to_string())
        })?;
        terminal::out(&text);
    } else {
        terminal::out(&table(&snapshot));
    }
    Ok(if snapshot.status.is_terminal() {
        Exit::Usable
    } else {
        Exit::Unfinished
    })
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
        provider: provider.id.to_owned(),
        batch: batch.to_string(),
        emulated: false,
        raw: false,
    };
    let sink = Sink::open(&args.output, args.force)
        .map_err(|error| lmbatch_core::Error::local("making the output", error))?;
    let model = finished.snapshot().model.clone().unwrap_or_default();
    let summary = Summary::new(
        provider.id,
        &model,
        batch.as_str(),
        &args.output.display().to_string(),
        false,
    );
    let mut summary = write(&engine, &finished, origin, sink, summary, Vec::new()).await?;
    summary.finish(clock.elapsed() - start);
    terminal::say(&summary.table());
    Ok(summary.exit(MaxFailed::Requests(0)))
}
