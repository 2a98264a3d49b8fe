//! `lmbatch run`: performs every free check first, then starts the run, which is recorded so that any process can
//! continue it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lmbatch_core::{BatchProvider, Clock, Connection, RunClaim, RunRecord};
use lmbatch_engine::{Changes, DoubtPolicy, Engine, Plan, PollingPolicy, RunOptions};

use super::end::until_stopped;
use super::kept::Kept;
use super::known::{Known, known, superseded, warn_of_twin};
use super::planning::{Planned, Unplanned, plan_unless_empty, stopped};
use super::run_context::{self, Patience, RunContext};
use super::run_settings::RunSettings;
use super::state;
use super::{clock, connect, continuing, default_output, dry_run};
use crate::args::RunArgs;
use crate::emulation::{self, Emulation};
use crate::exit::{Exit, Failure};
use crate::model::{self, Model};
use crate::progress::Progress;
use crate::session::Session;
use crate::signals::Handling;
use crate::sink::Place;
use crate::summary::Summary;
use crate::target::{self, Target};
use crate::{settings, terminal, written};

pub(crate) async fn run(session: &Arc<Session>, mut args: Box<RunArgs>) -> Result<Exit, Failure> {
    args.settings.keep_texts()?;
    let clock = clock();
    let start = clock.elapsed();
    let model = model::parse(&args.settings.model)?;
    let route = model::route(model.provider, args.settings.route.as_deref())?;
    let path = args.output.clone();
    let path = path.unwrap_or_else(|| default_output(&args.input, &model, args.emulate));
    let notes = RunSettings {
        provider: model.provider,
        model: model.name.clone(),
        route,
        input: args.input.clone(),
        output: path,
        settings: Some(args.settings.clone()),
        keep: Vec::new(),
        raw: args.raw,
        connection: args.connection.clone(),
        kept: Kept::said(args.max_attempts, &args.report, args.limit.clone()),
    };
    // A wrong path is reported before anything is read or sent.
    if args.input != Path::new("-") {
        std::fs::metadata(&args.input).map_err(|error| {
            Failure::usage(format!("{} cannot be read: {error}", args.input.display()))
        })?;
    }
    let target = Target::of(&notes.output)?;
    let mut read = vec![("the input", args.input.as_path())];
    read.extend(args.settings.reads());
    target::distinct(&target, &read)?;
    target.keep_stdout();
    if args.dry_run {
        return dry_run::run(&args, &notes);
    }
    // Invalid options are reported before a key is needed and before the input is read.
    settings::options(&args.settings, &*model.provider.codec(route), &model.name)?;
    let progress = Arc::new(Progress::new(args.report.quiet));
    let (_emulation, provider) = provider(&args, &notes).await?;
    let engine = engine(&args, provider, &clock, &progress);
    let mut context = RunContext {
        session: Arc::clone(session),
        notes,
        report: args.report.clone(),
        emulated: args.emulate,
        start,
        progress,
        patience: if args.detach {
            Patience::Detach
        } else {
            Patience::Wait
        },
        only_reads: false,
        notes_of_record: false,
        moved_to: None,
        turns: None,
    };
    let run_options = RunOptions {
        deadline: args.timeout,
        max_attempts: Some(context.notes.kept.max_attempts()),
        once: args.detach,
        ..RunOptions::default()
    };
    if args.emulate {
        let Some(Planned { plan, keep }) = planned(&args, &engine).await? else {
            return empty(&context, &engine);
        };
        context.notes.keep = keep;
        let place = ready(&args, &context.notes, &engine, &model).await?;
        let run_options = context.remaining(&engine, run_options);
        return until_stopped(&context, &engine, place, engine.run(plan, run_options)).await;
    }
    let (_state, engine) = state::durable(session, engine, &args.state, args.report.quiet).await?;
    let Some(Planned { plan, keep }) = planned(&args, &engine).await? else {
        return empty(&context, &engine);
    };
    context.notes.keep = keep;
    let mut handling = Handling::new();
    let decided = tokio::select! {
        decided = decided(&args, &context.notes, &engine, &plan, &model) => decided,
        (exit, name) = handling.stopped() => Err(stopped(exit, name)),
    };
    drop(handling);
    let (begin, place) = match decided {
        Ok(Decided::Begin(begin, place)) => (begin, place),
        Ok(Decided::Same(run)) => {
            plan.discard();
            let (engine, run_options) = context.keeping(engine, &run, run_options);
            return continuing::again(context, &engine, &run, run_options).await;
        }
        Ok(Decided::Changed(run)) => {
            let (engine, run_options) = context.keeping(engine, &run, run_options);
            return Box::pin(update(context, &engine, &run, plan, run_options)).await;
        }
        Err(failure) => {
            plan.discard();
            return Err(failure);
        }
    };
    // Claimed until its outcomes are written, so that a command that waits for the claim finds them.
    let engine = engine.holding_plan(&plan);
    let run = engine
        .begin(&plan, args.name.as_deref(), context.notes.write())
        .await?;
    drop(begin);
    context.progress.keep_run(&run.id);
    let work = engine.start(run, plan, context.remaining(&engine, run_options));
    until_stopped(&context, &engine, place, work).await
}

/// Decision of a command about its plan.
enum Decided {
    /// Starts a run, under a claim that keeps other processes from starting the same run.
    Begin(RunClaim, Place),
    /// Continues the recorded run of the same requests.
    Same(Box<RunRecord>),
    /// Brings an earlier run up to date.
    Changed(Box<RunRecord>),
}

/// Decides about a plan. The record is searched twice: the second time under the claim, when no other process can
/// start the same run.
async fn decided(
    args: &RunArgs,
    notes: &RunSettings,
    engine: &Engine,
    plan: &Plan,
    model: &Model,
) -> Result<Decided, Failure> {
    let mut checked = None;
    loop {
        match (known(args, notes, engine, plan).await?, checked.take()) {
            (Known::Nothing { refused, twin }, Some((begin, place))) => {
                // If a batch of one of them may exist by now, the record is searched again.
                if superseded(args, engine, &refused).await? {
                    warn_of_twin(engine, twin.as_deref()).await?;
                    return Ok(Decided::Begin(begin, place));
                }
                continue;
            }
            (Known::Nothing { .. }, None) => {}
            (Known::Same(run), _) => return Ok(Decided::Same(run)),
            (Known::Changed { run, refused }, checked) => {
                drop(checked);
                superseded(args, engine, &refused).await?;
                return Ok(Decided::Changed(run));
            }
        }
        let place = ready(args, notes, engine, model).await?;
        checked = Some((engine.claim_begin().await?, place));
    }
}

/// Performs the last checks before the run is recorded.
async fn ready(
    args: &RunArgs,
    notes: &RunSettings,
    engine: &Engine,
    model: &Model,
) -> Result<Place, Failure> {
    let target = target::check(&notes.output, args.report.force).map_err(|failure| {
        let exists = Target::of(&notes.output);
        match matches!(exists, Ok(Target::File { exists: true, .. })) && args.emulate {
            true => failure.hint(
                "emulated runs are not recorded, so that each command starts a new one: overwrite the output with --force, or choose another path with -o",
            ),
            false => failure,
        }
    })?;
    engine.provider().probe(&model.name).await?;
    Ok(Place::new(target, args.report.force))
}

/// Reads the input; `None` if it has no requests and `--allow-empty` is set.
async fn planned(args: &RunArgs, engine: &Engine) -> Result<Option<Planned>, Failure> {
    match plan_unless_empty(&args.input, &args.settings, engine).await {
        Ok(planned) => {
            if planned.plan.batches() > 1 {
                terminal::message(&format!("{} batches are needed", planned.plan.batches()));
            }
            Ok(Some(planned))
        }
        Err(Unplanned::Empty) if args.allow_empty => Ok(None),
        Err(Unplanned::Empty) => Err(Unplanned::Empty
            .failure(&args.input)
            .hint("--allow-empty writes an empty output")),
        Err(unplanned) => Err(unplanned.failure(&args.input)),
    }
}

/// Writes the output of an input without requests. Nothing is sent, and nothing is recorded.
fn empty(context: &RunContext, engine: &Engine) -> Result<Exit, Failure> {
    context.progress.finish();
    let (notes, report) = (&context.notes, &context.report);
    let target = Target::of(&notes.output)?;
    let is_there = match &target {
        Target::File { path, exists: true } => {
            std::fs::metadata(path).is_ok_and(|facts| facts.len() == 0)
        }
        _ => false,
    };
    if !is_there {
        let target = target::check(&notes.output, report.force)?;
        if target == Target::Standard {
            terminal::keep_stdout_for_outcomes();
        }
        let failed = |error| lmbatch_core::Error::local("writing the output", error);
        let sink = Place::new(target, report.force).open().map_err(failed)?;
        sink.complete()
            .and_then(|complete| complete.appear())
            .map_err(failed)?;
    }
    let output = notes.output.display().to_string();
    let provider = notes.provider.id();
    let mut summary = Summary::new(provider, &notes.model, &[], &output, context.emulated, None);
    summary.finish(engine.clock().elapsed() - context.start);
    if report.json {
        terminal::json(&summary);
    }
    terminal::message("the input has no requests: nothing was sent");
    terminal::message(&summary.table());
    Ok(Exit::Usable)
}

fn engine(
    args: &RunArgs,
    provider: Arc<dyn BatchProvider>,
    clock: &Arc<dyn Clock>,
    progress: &Arc<Progress>,
) -> Engine {
    let engine = Engine::new(provider)
        .with_observer(progress.clone())
        .with_clock(Arc::clone(clock));
    let mut engine = continuing::doubting(engine, &args.doubt).with_batch_limit(args.limit.limit());
    if args.emulate && args.doubt.doubt_wait.is_none() {
        // A batch that the emulator does not list at once will never appear.
        engine = engine.with_doubt(DoubtPolicy::within(Duration::from_secs(2)));
    }
    let brisk = args.emulate.then_some(Duration::from_millis(100));
    match args.poll_interval.or(brisk) {
        Some(interval) => engine.with_polling(PollingPolicy::every(interval)),
        None => engine,
    }
}

/// Brings a run up to date with its input: only what is new or changed is sent.
async fn update(
    mut context: RunContext,
    engine: &Engine,
    run: &RunRecord,
    plan: Plan,
    options: RunOptions,
) -> Result<Exit, Failure> {
    let updated = updated(&mut context, engine, run, &plan, options).await;
    plan.discard();
    let (engine, run, changes, place) = match updated? {
        Ok(updated) => updated,
        Err(exit) => return Ok(exit),
    };
    let mut notes = context.notes.write();
    written::carry(&run, &mut notes);
    let run = engine.annotate(&run, notes).await?;
    terminal::message(&format!(
        "{} unchanged, {} changed, {} new, {} gone",
        changes.unchanged, changes.changed, changes.new, changes.gone
    ));
    continuing::again_at(context, &engine, &run, options, place).await
}

/// Claims a run and brings its record up to date with a plan. Returns the exit code if the command is stopped
/// meanwhile.
async fn updated(
    context: &mut RunContext,
    engine: &Engine,
    run: &RunRecord,
    plan: &Plan,
    options: RunOptions,
) -> Result<Result<(Engine, RunRecord, Changes, Place), Exit>, Failure> {
    let (engine, run) = match continuing::claimed(context, engine, &run.id, options).await? {
        Ok(claimed) => claimed,
        Err(exit) => return Ok(Err(exit)),
    };
    let place = run_context::place(context, &run, true)?;
    let (run, changes) = engine.update(&run, plan).await?;
    Ok(Ok((engine, run, changes, place)))
}

async fn provider(
    args: &RunArgs,
    notes: &RunSettings,
) -> Result<(Option<Emulation>, Arc<dyn BatchProvider>), Failure> {
    if !args.emulate {
        let provider = connect(notes.provider, &args.connection, notes.route)?;
        return Ok((None, provider));
    }
    let emulation = emulation::start(notes.provider, notes.route).await?;
    let connection = Connection {
        key: "emulated".to_owned(),
        base_url: Some(emulation.base_url().to_owned()),
        route: notes.route,
    };
    let provider = notes.provider.connect(connection)?;
    Ok((Some(emulation), provider))
}
