//! `lmbatch status`, `retrieve` and `cancel`: one batch by its id. `lmbatch list`: all of them.

use std::time::{Duration, SystemTime};

use futures::{StreamExt as _, TryStreamExt as _};
use lmbatch_core::{
    BatchHandle, BatchId, BatchSnapshot, ErrorKind, Result as CoreResult, WireId, format_time,
};
use lmbatch_engine::{DoubtPolicy, Engine, Finished, OnDoubt};

use super::{appear, clock, connect, warning, write};
use crate::args::{
    BatchArgs, CancelArgs, ListArgs, OneRunArgs, RetrieveArgs, ShowArgs, StatusArgs,
};
use crate::exit::{Exit, Failure};
use crate::output::Origin;
use crate::providers::Provider;
use crate::sink::Place;
use crate::summary::Summary;
use crate::terminal::Table;
use crate::{model, plain, target, terminal, text_file, words};

fn engine(args: &BatchArgs) -> Result<(&'static Provider, Engine, BatchId), Failure> {
    let Some(name) = &args.provider else {
        return Err(Failure::usage(
            "whose batch it is: name the provider with -p",
        ));
    };
    let provider = model::find(name)?;
    let provider_of_batch = connect(provider, &args.connection, provider.routes()[0])?;
    let engine = warning(Engine::new(provider_of_batch));
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
        terminal::json(&snapshot);
    } else {
        terminal::out(&table(&snapshot));
    }
    Ok(if snapshot.status.is_terminal() {
        Exit::Usable
    } else {
        Exit::Unfinished
    })
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
        terminal::say("requests that are answered by then are billed; when it has ended:");
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
            terminal::json(batch);
        }
    } else if batches.is_empty() {
        terminal::say(&format!("{} lists no batches", provider.id()));
    } else {
        terminal::out(&rows(&batches));
    }
    Ok(Exit::Usable)
}

fn rows(batches: &[BatchSnapshot]) -> String {
    let mut table = Table::with_header(["batch", "status", "done", "created", "model", "label"]);
    for batch in batches {
        let counts = batch.counts;
        let done = counts.total.map_or_else(String::new, |total| {
            format!("{} of {total}", counts.finished())
        });
        table.row([
            batch.id.to_string(),
            batch.status.to_string(),
            done,
            batch.created_at.map(words::time).unwrap_or_default(),
            batch.model.clone().unwrap_or_default(),
            batch
                .label
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
        ]);
    }
    table.to_string()
}

/// What the provider says, a line a fact; what it does not say is left out.
fn table(snapshot: &BatchSnapshot) -> String {
    let mut table = Table::new();
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
            table.row([name, &value]);
        }
    }
    for problem in &snapshot.problems {
        let line = problem.line.map(|line| format!(" at request {line}"));
        let why = format!("{}{}", problem.error, line.unwrap_or_default());
        table.row(["problem", &why]);
        if let Some(said) = problem.error.message().and_then(plain::saying) {
            table.row(["provider said", &said]);
        }
    }
    table.to_string()
}

pub(crate) async fn retrieve(args: RetrieveArgs) -> Result<Exit, Failure> {
    if args.batch.provider.is_none() && args.handle.is_none() {
        return super::resume::retrieve(&args).await;
    }
    let clock = clock();
    let start = clock.elapsed();
    let target = target::check(&args.output, args.force)?;
    if let Some(handle) = &args.handle {
        target::distinct(&target, &[("the handle", handle)])?;
    }
    let (provider, mut engine, batch) = engine(&args.batch)?;
    if let Some(time) = args.doubt_wait {
        engine = engine.with_doubt(DoubtPolicy::within(time));
    }
    let handle = match &args.handle {
        Some(path) => {
            let bad = |why: String| Failure::usage(format!("--handle: {} {why}", path.display()));
            let text =
                text_file::read(path).map_err(|error| bad(format!("cannot be read: {error}")))?;
            let handle: BatchHandle = serde_json::from_str(&text)
                .map_err(|error| bad(format!("is not a handle: {error}")))?;
            if handle.batch != batch {
                return Err(bad(format!("is of batch {}", handle.batch)));
            }
            Some(handle)
        }
        None => None,
    };
    let finished = match read(&engine, handle.as_ref(), &batch).await {
        Err(error) if error.kind() == ErrorKind::Timeout => {
            // The rows that are there come out, whatever is missing beside them.
            let engine = engine.clone().with_on_doubt(OnDoubt::Abandon);
            let engine = engine.with_doubt(DoubtPolicy::within(Duration::ZERO));
            match read(&engine, handle.as_ref(), &batch).await {
                Ok(finished) if finished.rows() > 0 => finished,
                _ => return Err(error.into()),
            }
        }
        finished => finished?,
    };
    let origin = Origin {
        provider: provider.id().to_owned(),
        emulated: false,
        raw: false,
    };
    let batches = finished.batches();
    let of_batch = batches.first().copied();
    let model = of_batch.and_then(|batch| batch.model.clone());
    let model = model.unwrap_or_default();
    let output = args.output.display().to_string();
    let summary = Summary::new(provider.id(), &model, &batches, &output, false, None);
    let place = Place::new(target, args.force);
    let (mut summary, complete) =
        write(&engine, &finished, origin, place, summary, Vec::new()).await?;
    appear(complete)?;
    summary.bill(None, &batches);
    summary.finish(clock.elapsed() - start);
    terminal::say(&summary.table());
    for line in summary.troubles() {
        terminal::say(&line);
    }
    if handle.is_none() && bears_our_ids(&engine, &finished)? {
        let model = format!("{}/MODEL", provider.id());
        let adopt = ["adopt", batch.as_str(), "INPUT", "-m", &model];
        terminal::say(
            "its ids are those of a run of lmbatch: they number the lines of its input. With the input, the ids of the input come back:",
        );
        terminal::say(&format!("  {}", crate::next::on_runs(adopt)));
    }
    let mismatch = finished.count_mismatch();
    let total = of_batch.and_then(|batch| batch.counts.total);
    let is_told = mismatch.is_some() || handle.is_some();
    if let Some(total) = total.filter(|total| !is_told && *total > summary.requests) {
        terminal::warn(&format!(
            "the provider counts {} in batch {batch}, and its results name {}",
            words::count(total, "request", "requests"),
            words::number(summary.requests)
        ));
    }
    // Rows that are short of the provider's counts are results that are not whole.
    if finished.undelivered() > 0 || mismatch.is_some_and(|mismatch| mismatch.is_short()) {
        terminal::say(
            "the results are not whole; what came of them is written, and the same command with --force reads them again",
        );
        return Ok(Exit::Unfinished);
    }
    Ok(match of_batch {
        Some(batch) => summary.exit_of_batch(batch),
        None => Exit::Unusable,
    })
}

/// Reads the results of a batch, by its handle where there is one.
async fn read(
    engine: &Engine,
    handle: Option<&BatchHandle>,
    batch: &BatchId,
) -> CoreResult<Finished> {
    match handle {
        Some(handle) => engine.retrieve(handle).await,
        None => engine.retrieve_rows(batch, Vec::new()).await,
    }
}

/// Whether the first outcome bears an id that lmbatch made.
fn bears_our_ids(engine: &Engine, finished: &Finished) -> Result<bool, Failure> {
    let mut reader = engine.outcomes(finished)?;
    let first = reader.next()?;
    let id = first.and_then(|answered| serde_json::from_str::<String>(answered.id.as_str()).ok());
    Ok(id.is_some_and(|id| WireId::parts(&id).is_some()))
}
