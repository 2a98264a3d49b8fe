//! `lmbatch run`: every check that needs no money first, then the run, recorded so that any process can
//! go on with it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lmbatch_core::{AccountMatch, BatchProvider, Clock, Connection, RunRecord};
use lmbatch_emulator::{Emulator, Pace};
use lmbatch_engine::{Engine, Plan, PollingPolicy, RunOptions};

use super::resume::{self, Going};
use super::state::{self, Notes};
use super::{clock, connect, default_output};
use crate::args::{RunArgs, SettingsArgs};
use crate::exit::{Exit, Failure};
use crate::model::{self, Model};
use crate::output;
use crate::progress::Progress;
use crate::providers;
use crate::{input, next, settings, terminal};

pub(crate) async fn run(args: Box<RunArgs>) -> Result<Exit, Failure> {
    let clock = clock();
    let model = model::parse(&args.settings.model)?;
    let route = providers::route(model.provider, args.settings.route.as_deref())?;
    let path = args.output.clone();
    let path = path.unwrap_or_else(|| default_output(&args.input, &model, args.emulate));
    let notes = Notes {
        provider: model.provider,
        model: model.name.clone(),
        route,
        input: args.input.clone(),
        output: path,
        settings: Some(args.settings.clone()),
        raw: args.raw,
        connection: args.connection.clone(),
    };
    let progress = Arc::new(Progress::new(args.report.quiet));
    let (_emulator, provider) = provider(&args, &notes).await?;
    let engine = engine(&args, provider, &clock, &progress);
    let going = Going {
        notes,
        report: args.report.clone(),
        emulated: args.emulate,
        start: clock.elapsed(),
        progress,
    };
    let run_options = RunOptions {
        deadline: args.timeout,
        max_attempts: Some(args.max_attempts),
        once: args.detach,
        ..RunOptions::default()
    };
    if args.emulate {
        output::check(&going.notes.output, args.report.force)?;
        let plan = plan(&args.input, &args.settings, &engine).await?;
        engine.provider().probe(&model.name).await?;
        return resume::until_stopped(&going, &engine, engine.run(plan, run_options)).await;
    }
    let (_state, engine) = state::durable(engine, &args.state, args.report.quiet).await?;
    let plan = plan(&args.input, &args.settings, &engine).await?;
    // What is known is looked up twice: again when no other process can begin the same run any more.
    let mut begin = None;
    loop {
        match known(&args, &going.notes, &engine, &plan).await {
            Ok(Known::Nothing) if begin.is_some() => break,
            Ok(Known::Nothing) => {}
            Ok(Known::Same(run)) => {
                plan.discard();
                drop(begin);
                return resume::again(going, &engine, &run, run_options, args.detach).await;
            }
            Ok(Known::Changed(run)) => {
                drop(begin);
                return Box::pin(update(&args, going, &engine, &run, plan, run_options)).await;
            }
            Err(failure) => {
                plan.discard();
                return Err(failure);
            }
        }
        if let Err(failure) = ready(&args, &going, &engine, &model).await {
            plan.discard();
            return Err(failure);
        }
        begin = Some(engine.claim_begin().await?);
    }
    // Claimed until its outcomes are written: a command that follows it finds them.
    let engine = engine.holding_plan(&plan);
    let run = engine
        .begin(&plan, args.name.as_deref(), going.notes.write())
        .await?;
    drop(begin);
    going.progress.keep_run(&run.id);
    let work = engine.start(run, plan, run_options);
    resume::detached(args.detach, &engine, &going, work).await
}

/// The last checks before anything is noted.
async fn ready(
    args: &RunArgs,
    going: &Going,
    engine: &Engine,
    model: &Model,
) -> Result<(), Failure> {
    output::check(&going.notes.output, args.report.force)?;
    engine.provider().probe(&model.name).await?;
    Ok(())
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
    let engine = resume::doubting(engine, &args.doubt).with_batch_limit(args.limit.limit());
    let brisk = args.emulate.then_some(Duration::from_millis(100));
    match args.poll_interval.or(brisk) {
        Some(interval) => engine.with_polling(PollingPolicy::every(interval)),
        None => engine,
    }
}

/// What the record knows of what was asked for.
enum Known {
    Nothing,
    /// It was sent before.
    Same(Box<RunRecord>),
    /// It was sent otherwise before, and is to be brought up to date.
    Changed(Box<RunRecord>),
}

/// The run that this is again: of the same name, or of the same input under the same account. One whose
/// input has changed is only gone on with if that is asked for, since it costs money.
async fn known(
    args: &RunArgs,
    notes: &Notes,
    engine: &Engine,
    plan: &Plan,
) -> Result<Known, Failure> {
    // A key may have been rotated: then the run is found, and the provider says whose key it is.
    let is_other = |run: &RunRecord| engine.account_match(run) == AccountMatch::Other;
    let is_ours = |run: &RunRecord| !is_other(run) && !run.cancelled;
    let is_same = |run: &RunRecord| is_ours(run) && *run.digest == *plan.digest();
    let runs = engine.ledger().runs().await?;
    if let Some(name) = &args.name {
        let named = runs
            .into_iter()
            .find(|run| run.name.as_deref() == Some(name));
        return match named {
            Some(run) if args.new => Err(Failure::usage(format!(
                "there is a run {name:?} ({}); give the new one another name",
                run.id
            ))),
            Some(run) if run.cancelled => Err(Failure::usage(format!(
                "the run {name:?} ({}) was cancelled",
                run.id
            ))
            .hint(format!(
                "{} fetches what was answered; another name with --run sends all of it again",
                next::on_runs(["resume", &run.id])
            ))),
            Some(run) if is_same(&run) => Ok(Known::Same(run.into())),
            Some(run) if args.update && is_ours(&run) => Ok(Known::Changed(run.into())),
            Some(run) => Err(Failure::usage(format!(
                "the run {name:?} ({}) is of another input, model or account",
                run.id
            ))
            .hint(
                "--update sends what is new or changed; another name with --run sends all of it",
            )),
            None => Ok(Known::Nothing),
        };
    }
    let unnamed = || runs.iter().filter(|run| run.name.is_none());
    if args.new {
        return Ok(Known::Nothing);
    }
    if let Some(run) = unnamed().find(|run| is_same(run)) {
        return Ok(Known::Same(run.clone().into()));
    }
    // The same files under the same account are the same work, of a later day.
    let (input, output) = (state::whole(&notes.input), state::whole(&notes.output));
    let note = |run: &RunRecord, name: &str| run.notes.get(name).map(ToString::to_string);
    let is_earlier = |run: &RunRecord| {
        is_ours(run)
            && input != "-"
            && note(run, "input").as_ref() == Some(&input)
            && note(run, "output").as_ref() == Some(&output)
    };
    match unnamed().find(|run| is_earlier(run)) {
        Some(run) if args.update => Ok(Known::Changed(run.clone().into())),
        Some(run) => Err(Failure::usage(format!(
            "{} or its options have changed since run {}",
            args.input.display(),
            run.id
        ))
        .hint("--update sends only what is new or changed; --new sends all of it again")),
        None if args.update => Err(
            Failure::usage("there is no run of this input to update").hint(format!(
                "{} lists them; name one with --run",
                next::on_runs(["runs"])
            )),
        ),
        None => Ok(Known::Nothing),
    }
}

/// Brings a run up to date with its input: only what is new or changed is sent.
async fn update(
    args: &RunArgs,
    mut going: Going,
    engine: &Engine,
    run: &RunRecord,
    plan: Plan,
    options: RunOptions,
) -> Result<Exit, Failure> {
    // The output that is there is the run's own.
    going.report.force |= Notes::read(run)?.write().get("output") == run.notes.get("output");
    let engine = &match resume::claimed(&going, engine, &run.id, options, args.detach).await? {
        Ok(engine) => engine,
        Err(exit) => {
            plan.discard();
            return Ok(exit);
        }
    };
    let updated = engine.update(run, &plan).await;
    plan.discard();
    let (run, changes) = updated?;
    let run = engine.annotate(&run, going.notes.write()).await?;
    terminal::say(&format!(
        "{} unchanged, {} changed, {} new, {} gone",
        changes.unchanged, changes.changed, changes.new, changes.gone
    ));
    resume::again(going, engine, &run, options, args.detach).await
}

async fn provider(
    args: &RunArgs,
    notes: &Notes,
) -> Result<(Option<Emulator>, Arc<dyn BatchProvider>), Failure> {
    if !args.emulate {
        let provider = connect(notes.provider, &args.connection, notes.route)?;
        return Ok((None, provider));
    }
    let emulator = Emulator::builder().pace(Pace::BRISK).start().await;
    let emulator =
        emulator.map_err(|error| lmbatch_core::Error::local("starting the emulator", error))?;
    let connection = Connection {
        key: "emulated".to_owned(),
        base_url: Some(providers::emulated(notes.provider, &emulator)?),
        route: notes.route,
    };
    let provider = notes.provider.connect(connection)?;
    Ok((Some(emulator), provider))
}

/// Reads and encodes an input as its settings say. Sends nothing.
pub(crate) async fn plan(
    path: &Path,
    args: &SettingsArgs,
    engine: &Engine,
) -> Result<Plan, Failure> {
    let model = model::parse(&args.model)?;
    let options = settings::options(args)?;
    let raw_endpoints = engine.provider().codec().capabilities().raw_endpoints;
    let source = input::open(
        path,
        &model,
        options,
        raw_endpoints,
        args.attachments.as_deref(),
    )?;
    let plan = engine.plan(Box::new(source)).await;
    let plan = plan.map_err(|error| Failure::plan(error, &path.display().to_string()))?;
    if plan.batches() > 1 {
        terminal::say(&format!("{} batches are needed", plan.batches()));
    }
    Ok(plan)
}
