//! `lmbatch run`: every check that needs no money first, then the run, recorded so that any process can
//! go on with it.

use std::sync::Arc;
use std::time::Duration;

use lmbatch_core::{BatchProvider, Clock, GenerateOptions};
use lmbatch_emulator::{Emulator, Pace};
use lmbatch_engine::{Engine, Plan, PollingPolicy, RunOptions};

use super::resume::{self, Going};
use super::state::{self, Notes};
use super::{clock, connect, default_output};
use crate::args::RunArgs;
use crate::exit::{Exit, Failure};
use crate::model::{self, Model};
use crate::output;
use crate::progress::Progress;
use crate::providers::Connection;
use crate::{input, settings, terminal};

pub(crate) async fn run(args: Box<RunArgs>) -> Result<Exit, Failure> {
    let clock = clock();
    let model = model::parse(&args.settings.model)?;
    let options = settings::options(&args.settings)?;
    let route = model.provider.route(args.settings.route.as_deref())?;
    let path = args.output.clone();
    let path = path.unwrap_or_else(|| default_output(&args.input, &model, args.emulate));
    let notes = Notes {
        provider: model.provider,
        model: model.name.clone(),
        route,
        output: path,
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
        let plan = plan(&args, &model, &engine, options).await?;
        engine.provider().probe(&model.name).await?;
        return resume::until_stopped(&going, &engine, engine.run(plan, run_options)).await;
    }
    let (_state, engine) = state::durable(engine, &args.state).await?;
    let plan = plan(&args, &model, &engine, options).await?;
    if let Some(known) = known(&args, &engine, &plan).await? {
        plan.discard();
        return resume::again(going, &engine, &known, run_options, args.detach).await;
    }
    if let Err(failure) = ready(&args, &going, &engine, &model).await {
        plan.discard();
        return Err(failure);
    }
    let run = engine
        .begin(&plan, args.name.as_deref(), going.notes.write())
        .await?;
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

/// The run that this is again: of the same name, or of the same input under the same account.
async fn known(
    args: &RunArgs,
    engine: &Engine,
    plan: &Plan,
) -> Result<Option<lmbatch_core::RunRecord>, Failure> {
    let account = engine.provider().account();
    let same = |run: &lmbatch_core::RunRecord| {
        run.account == account && *run.digest == *plan.digest() && !run.cancelled
    };
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
            Some(run) if !same(&run) => Err(Failure::usage(format!(
                "the run {name:?} ({}) is of another input, model or account",
                run.id
            ))
            .hint("give it another name with --run")),
            found => Ok(found),
        };
    }
    let found = runs.into_iter().find(|run| run.name.is_none() && same(run));
    Ok(found.filter(|_| !args.new))
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
        base_url: Some((notes.provider.emulated)(&emulator)),
        route: notes.route,
    };
    let provider = (notes.provider.connect)(connection)?;
    Ok((Some(emulator), provider))
}

async fn plan(
    args: &RunArgs,
    model: &Model,
    engine: &Engine,
    options: GenerateOptions,
) -> Result<Plan, Failure> {
    let raw_endpoints = engine.provider().codec().capabilities().raw_endpoints;
    let source = input::open(&args.input, model, options, raw_endpoints)?;
    let plan = engine.plan(Box::new(source)).await;
    let plan = plan.map_err(|error| Failure::plan(error, &args.input.display().to_string()))?;
    if plan.batches() > 1 {
        terminal::say(&format!("{} batches are needed", plan.batches()));
    }
    Ok(plan)
}
