//! `lmbatch run`: every check that needs no money first, then the run.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lmbatch_core::{BatchId, BatchProvider};
use lmbatch_emulator::{Emulator, Pace};
use lmbatch_engine::{Engine, Finished, PollingPolicy, RunOptions};
use tokio::signal::unix::{SignalKind, signal};

use super::{clock, connect, write};
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
        batch: batch.clone(),
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
    if !args.emulate {
        return Ok((
            None,
            connect(model.provider, &args.connection, args.settings.endpoint)?,
        ));
    }
    let emulator = Emulator::builder().pace(Pace::BRISK).start().await;
    let emulator =
        emulator.map_err(|error| lmbatch_core::Error::local("starting the emulator", error))?;
    let connection = Connection {
        key: Some("emulated".to_owned()),
        base_url: Some(emulator.openai_base_url()),
        route: args.settings.endpoint,
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
    if output != Path::new("-") {
        progress.keep_handle(plan.handle_parts()?, handle_path(output));
    }
    engine.provider().probe(&model.name).await?;
    Ok(engine
        .run(
            plan,
            RunOptions {
                deadline: args.timeout,
                max_polls: None,
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

/// What fetches the outcomes of a batch that goes on without us.
fn next_command(args: &RunArgs, model: &Model, output: &Path, batch: &BatchId) -> String {
    let mut command = format!("lmbatch retrieve {batch} -p {}", model.provider.id);
    for (flag, value) in [
        ("--base-url", &args.connection.base_url),
        ("--key-env", &args.connection.key_env),
    ] {
        if let Some(value) = value {
            command.push_str(&format!(" {flag} {value}"));
        }
    }
    if output != Path::new("-") {
        command.push_str(&format!(
            " --handle {} -o {}",
            handle_path(output).display(),
            output.display()
        ));
    }
    command
}

fn handle_path(output: &Path) -> PathBuf {
    let mut name = output.as_os_str().to_owned();
    name.push(".handle.json");
    name.into()
}

/// `INPUT.PROVIDER.MODEL.jsonl`, in the input's folder; emulated outputs say so.
fn default_output(input: &Path, model: &Model, emulate: bool) -> PathBuf {
    let stem = match input.file_stem() {
        Some(stem) if input != Path::new("-") => stem.to_string_lossy().into_owned(),
        _ => "stdin".to_owned(),
    };
    let clean: String = model
        .name
        .chars()
        .map(|c| {
            if c.is_alphanumeric() || ".-_".contains(c) {
                c
            } else {
                '-'
            }
        })
        .collect();
    let ending = if emulate { ".emulated.jsonl" } else { ".jsonl" };
    input.with_file_name(format!("{stem}.{}.{clean}{ending}", model.provider.id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_is_named_after_input_provider_and_model() {
        let model = model::parse("openai/org/gpt:x").unwrap();
        for (input, emulate, expected) in [
            ("a/tickets.jsonl", false, "a/tickets.openai.org-gpt-x.jsonl"),
            (
                "tickets.jsonl",
                true,
                "tickets.openai.org-gpt-x.emulated.jsonl",
            ),
            ("-", false, "stdin.openai.org-gpt-x.jsonl"),
        ] {
            assert_eq!(
                default_output(Path::new(input), &model, emulate),
                Path::new(expected)
            );
        }
    }
}
