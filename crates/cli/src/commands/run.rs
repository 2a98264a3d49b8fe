//! `lmbatch run`: every check that needs no money first, then the run.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lmbatch_core::{BatchId, BatchProvider};
use lmbatch_emulator::{Emulator, Pace};
use lmbatch_engine::{Engine, Finished, PollingPolicy, RunOptions};
use tokio::signal::unix::{SignalKind, signal};

use super::{clock, connect, default_output, handle_path, write};
use crate::args::RunArgs;
use crate::exit::{Exit, Failure};
use crate::model::{self, Model};
use crate::output::{self, Origin, Sink};
use crate::progress::Progress;
use crate::providers::Connection;
use crate::summary::Summary;
use crate::{input, settings, terminal};

pub(crate) async fn run(args: Box<RunArgs>) -> Result<Exit, Failure> {
    let clock = clock();
    let start = clock.elapsed();
    let model = model::parse(&args.settings.model)?;
    let options = settings::options(&args.settings)?;
    let output = args
        .output
        .clone()
        .unwrap_or_else(|| default_output(&args.input, &model, args.emulate));
    output::check(&output, args.force)?;
    let (_emulator, provider) = provider(&args, &model).await?;
    let progress = Arc::new(Progress::new(args.quiet));
    let mut engine = Engine::new(Arc::clone(&provider))
        .with_observer(progress.clone())
        .with_clock(Arc::clone(&clock));
    let interval = args
        .poll_interval
        .or(args.emulate.then_some(Duration::from_millis(100)));
    if let Some(interval) = interval {
        engine = engine.with_polling(PollingPolicy::every(interval));
    }
    let work = answer(&args, &model, &output, &engine, &progress, options);
    let finished = tokio::select! {
        finished = work => finished.map_err(|failure| {
            progress.finish();
            match progress.batch() {
                Some(batch) if failure.exit == Exit::Unfinished => {
                    failure.hint(format!("when it has ended: {}", next_command(&args, &model, &output, &batch)))
                }
                _ => failure,
            }
        })?,
        (exit, name) = stopped() => {
            progress.finish();
            return Ok(interrupted(&args, &model, &output, &progress, exit, name));
        }
    };
    progress.finish();
    let batch = finished.batch().to_string();
    let origin = Origin {
        provider: model.provider.id.to_owned(),
        emulated: args.emulate,
        raw: args.raw,
    };
    let sink = Sink::open(&output, args.force).map_err(|error| {
        lmbatch_core::Error::local("making the output", error).with_batch(finished.batch().clone())
    })?;
    let summary = Summary::new(
        model.provider.id,
        &model.name,
        &batch,
        &output.display().to_string(),
        args.emulate,
    );
    let mut summary = write(
        &engine,
        &finished,
        origin,
        sink,
        summary,
        args.accept.clone(),
    )
    .await?;
    summary.finish(clock.elapsed() - start);
    // Its outcomes are safe; without its handle nothing is lost.
    let _ = std::fs::remove_file(handle_path(&output));
    if args.json {
        terminal::out(&summary.json());
    }
    if !args.quiet {
        terminal::say(&summary.table());
    }
    Ok(summary.exit(args.max_failed))
}

async fn provider(
    args: &RunArgs,
    model: &Model,
) -> Result<(Option<Emulator>, Arc<dyn BatchProvider>), Failure> {
    let route = model.provider.route(args.settings.route.as_deref())?;
    if !args.emulate {
        return Ok((None, connect(model.provider, &args.connection, route)?));
    }
    let emulator = Emulator::builder().pace(Pace::BRISK).start().await;
    let emulator =
        emulator.map_err(|error| lmbatch_core::Error::local("starting the emulator", error))?;
    let connection = Connection {
        key: "emulated".to_owned(),
        base_url: Some((model.provider.emulated)(&emulator)),
        route,
    };
    let provider = (model.provider.connect)(connection)?;
    Ok((Some(emulator), provider))
}

async fn answer(
    args: &RunArgs,
    model: &Model,
    output: &Path,
    engine: &Engine,
    progress: &Progress,
    options: lmbatch_core::GenerateOptions,
) -> Result<Finished, Failure> {
    let raw_endpoints = engine.provider().codec().capabilities().raw_endpoints;
    let source = input::open(&args.input, model, options, raw_endpoints)?;
    let plan = engine
        .plan(Box::new(source))
        .await
        .map_err(|error| Failure::plan(error, &args.input.display().to_string()))?;
    if output != Path::new("-") && plan.batches() == 1 {
        progress.keep_handle(plan.handle_parts()?, handle_path(output));
    }
    engine.provider().probe(&model.name).await?;
    Ok(engine
        .run(
            plan,
            RunOptions {
                deadline: args.timeout,
                ..RunOptions::default()
            },
        )
        .await?)
}

/// The first of the signals that end a run.
async fn stopped() -> (Exit, &'static str) {
    let wait = |kind: SignalKind| async move {
        match signal(kind) {
            Ok(mut signals) => {
                signals.recv().await;
            }
            // Without a handler the signal ends the process by itself.
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = wait(SignalKind::interrupt()) => (Exit::Interrupted, "INT"),
        () = wait(SignalKind::terminate()) => (Exit::Terminated, "TERM"),
        () = wait(SignalKind::hangup()) => (Exit::Hangup, "HUP"),
    }
}

fn next_command(args: &RunArgs, model: &Model, output: &Path, batch: &BatchId) -> String {
    let to = (output != Path::new("-")).then(|| (handle_path(output), output));
    let to = to.as_ref().map(|(handle, output)| (&**handle, *output));
    super::retrieve_command(batch, model.provider, &args.connection, to)
}

fn interrupted(
    args: &RunArgs,
    model: &Model,
    output: &Path,
    progress: &Progress,
    exit: Exit,
    name: &str,
) -> Exit {
    if args.emulate {
        terminal::say(&format!(
            "stopped by {name}; what was emulated ends with it"
        ));
        return exit;
    }
    let Some(batch) = progress.batch() else {
        terminal::say(&format!(
            "stopped by {name}; no batch is known to exist. If the create was under way, look at the provider before you run again"
        ));
        return exit;
    };
    terminal::say(&format!(
        "stopped by {name}; batch {batch} goes on at {}. When it has ended:",
        model.provider.id
    ));
    terminal::say(&format!("  {}", next_command(args, model, output, &batch)));
    exit
}
