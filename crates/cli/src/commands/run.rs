//! `lmbatch run`: performs every free check first, then starts the run, which is recorded so that any process can
//! continue it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lmbatch::adapter::BatchProvider;
use lmbatch::engine::{Plan, PlannedRequest, RunOptions, SameRun};
use lmbatch::record::{RunClaim, RunRecord};
use lmbatch::{Clock, DoubtPolicy, Engine, PollingPolicy};

use super::before_paying::{self, Estimating, Scope, Sizes};
use super::end::until_stopped;
use super::kept::Kept;
use super::known::{end_superseded, known, refusal, warn_of_duplicate};
use super::pilot::{self, First, Piloted};
use super::planning::{Planned, Unplanned, plan_unless_empty, stopped};
use super::run_checks::{check_repairs, not_a_pilot, priced};
use super::run_context::{Patience, RunContext};
use super::run_settings::RunSettings;
use super::{appear, clock, connect, continuing, default_output, dry_run, state, updating};
use crate::args::RunArgs;
use crate::emulation::{self, Emulation};
use crate::exit::{Exit, Failure};
use crate::model::{self, Model};
use crate::output_failure::{self, Step};
use crate::output_format;
use crate::progress::Progress;
use crate::session::Session;
use crate::signals::Handling;
use crate::sink::Place;
use crate::summary::Summary;
use crate::target::{self, Target};
use crate::typed_columns::TypedColumns;
use crate::{remote, settings, terminal};

pub(crate) async fn run(session: &Arc<Session>, mut args: Box<RunArgs>) -> Result<Exit, Failure> {
    args.settings.keep_texts()?;
    let clock = clock();
    let start = clock.elapsed();
    let model = model::parse(&args.settings.model)?;
    let route = model::route(model.provider, args.settings.route.as_deref())?;
    let path = args.output.clone();
    let path = path.unwrap_or_else(|| default_output(&args.input, &model, args.emulate));
    let mut notes = RunSettings {
        provider: model.provider,
        model: model.name.clone(),
        route,
        input: args.input.clone(),
        output: path.clone(),
        settings: Some(args.settings.clone()),
        keep: TypedColumns::default(),
        raw: args.raw,
        format: output_format::rows(&path, args.format.output_format)?,
        properties: Vec::new(),
        emulated: args.emulate,
        connection: args.connection.clone(),
        kept: Kept::said(args.max_attempts, &args.report, args.limit.clone())
            .with_cost(args.cost.clone())
            .with_repairs(args.repair.repairs),
    };
    output_format::check_options(notes.format, notes.raw, &args.settings.table.keep)?;
    if args.emulate && args.connection.base_url.is_some() {
        return Err(
            Failure::usage("--base-url and --emulate exclude each other")
                .hint("an emulated run is answered on this machine; leave out one of them"),
        );
    }
    args.settings.table.check_files(&args.input)?;
    // A wrong path is reported before anything is read or sent.
    if remote::input(&args.input)?.is_none() && args.input != Path::new("-") {
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
        return Box::pin(dry_run::run(session, &args, notes)).await;
    }
    // Invalid options are reported before a key is needed and before the input is read.
    let options = settings::options(&args.settings, &*model.provider.codec(route), &model.name)?;
    notes.properties = output_format::properties(options.schema.as_ref());
    let estimating = Estimating::new(&args.paying, &notes)?;
    let progress = Arc::new(Progress::new(args.report.quiet).recording(session));
    let (emulation, provider) = provider(&args, &notes).await?;
    if let Some(emulation) = &emulation {
        notes.connection.base_url = Some(emulation.base_url().to_owned());
    }
    let mut engine = engine(&args, provider, &clock, &progress);
    let has_pilot = args.pilot.pilot.is_some();
    engine = priced(&args, engine, &mut notes, has_pilot)?;
    let engine = emulation::recorded(engine, &notes);
    let mut context = RunContext {
        session: Arc::clone(session),
        notes,
        report: args.report.clone(),
        emulated: args.emulate,
        emulation,
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
        pilot: None,
        unapplied_repairs: None,
    };
    let first_estimating = match args.pilot.pilot {
        Some(_) => Some(Estimating::new(&args.paying, &context.notes)?),
        None => None,
    };
    let run_options = RunOptions {
        deadline: args.timeout,
        max_attempts: Some(context.notes.kept.max_attempts()),
        repairs: context.notes.kept.repairs(),
        once: args.detach,
        ..RunOptions::default()
    };
    let record = match args.emulate {
        true => state::emulated(&args.state)?,
        false => args.state.clone(),
    };
    let (folder, mut engine) = state::durable(session, engine, &record, args.report.quiet).await?;
    if args.emulate {
        emulation::forget_lost(&engine, &folder).await?;
    }
    let adding = pilot::adding(&estimating, first_estimating.as_ref(), args.pilot.pilot);
    let Some(Planned { plan, keep }) = planned(&args, &engine, adding).await? else {
        return empty(&context, &engine);
    };
    keep.warn(context.notes.format);
    context.notes.keep = keep;
    if let Err(failure) = check_repairs(&engine, &plan, run_options.repairs) {
        plan.discard();
        return Err(failure);
    }
    let first = pilot::first(&args, &engine, &plan, first_estimating).await?;
    if has_pilot && first.is_none() {
        let kept = std::mem::take(&mut context.notes.kept);
        let cost = kept.cost().clone().expecting_of_pilot(None);
        engine = cost.limiting(engine);
        context.notes.kept = kept.with_cost(cost);
    }
    let mut handling = Handling::new();
    let decided = tokio::select! {
        decided = decided(&args, &context.notes, &engine, &plan, first.as_ref(), &model, &estimating) => decided,
        (exit, name) = handling.stopped() => Err(stopped(exit, name)),
    };
    drop(handling);
    let (begin, place) = match decided {
        Ok(Decided::Begin(begin, place)) => (begin, place),
        Ok(Decided::Same(run)) => {
            plan.discard();
            let (engine, run_options) = context.keeping(engine, &run, run_options);
            return Box::pin(continuing::again(context, &engine, &run, run_options)).await;
        }
        Ok(Decided::Pilot(run, is_changed)) => {
            let (engine, options) = context.keeping(engine, &run, run_options);
            let (args, estimating) = (&args, &estimating);
            let piloted = Piloted {
                context,
                engine,
                args,
                plan,
                estimating,
                options,
            };
            return Box::pin(piloted.again(&run, first, is_changed)).await;
        }
        Ok(Decided::Changed(run)) => {
            let (engine, run_options) = context.keeping(engine, &run, run_options);
            return Box::pin(updating::update(context, &engine, &run, plan, run_options)).await;
        }
        Err(failure) => {
            plan.discard();
            return Err(failure);
        }
    };
    if let Some(first) = first {
        let (args, estimating, options) = (&args, &estimating, run_options);
        let piloted = Piloted {
            context,
            engine,
            args,
            plan,
            estimating,
            options,
        };
        return Box::pin(piloted.begin(first.plan, begin)).await;
    }
    // Claimed until its outcomes are written, so that a command that waits for the claim finds them.
    let engine = engine.with_claim_of(&plan);
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
    /// Continues the recorded pilot of the requests, or brings an earlier pilot up to date (`true`).
    Pilot(Box<RunRecord>, bool),
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
    first: Option<&First>,
    model: &Model,
    estimating: &Estimating,
) -> Result<Decided, Failure> {
    // A pilot is paid for before its decision, and the other requests after it.
    let paid = first.map_or(estimating, |first| &first.estimating);
    let (mut checked, mut is_confirmed) = (None, false);
    loop {
        match (known(args, notes, engine, plan).await?, checked.take()) {
            (
                SameRun::New {
                    superseded,
                    duplicate,
                },
                Some((begin, place)),
            ) => {
                // If a batch of one of them may exist by now, the record is searched again.
                if end_superseded(args, engine, &superseded).await? {
                    if !args.emulate {
                        warn_of_duplicate(engine, plan, duplicate.as_deref()).await?;
                    }
                    return Ok(Decided::Begin(begin, place));
                }
                continue;
            }
            (SameRun::New { .. }, None) => {}
            (SameRun::Same(run), _) => return Ok(Decided::Same(run)),
            (SameRun::Pilot(run), _) => return Ok(Decided::Pilot(run, false)),
            (SameRun::Changed { run, superseded }, checked) => {
                drop(checked);
                if first.is_some() && run.pilot_of.is_none() {
                    return Err(not_a_pilot(&run));
                }
                // What has not changed is not paid for again, so that the price of all requests is a bound.
                if !args.emulate {
                    before_paying::confirm(&args.paying, paid, &args.input, Scope::Changed).await?;
                }
                end_superseded(args, engine, &superseded).await?;
                return Ok(match first {
                    Some(_) => Decided::Pilot(run, true),
                    None => Decided::Changed(run),
                });
            }
            (SameRun::Conflict(conflict), _) => {
                return Err(refusal(args, engine, plan, conflict).await);
            }
        }
        let place = ready(args, notes, engine, model).await?;
        // Asked without the claim, for which other processes would wait, and once.
        if !std::mem::replace(&mut is_confirmed, true) {
            print_plan(estimating, notes, plan, args.emulate);
            if let Some(first) = first {
                first.print(args.emulate);
            }
            // Emulated answers are not billed.
            if !args.emulate {
                before_paying::confirm(&args.paying, paid, &args.input, Scope::All).await?;
            }
        }
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
    let target = target::check(&notes.output, args.report.force)?;
    engine.provider().probe(&model.name).await?;
    Ok(Place::new(target, args.report.force))
}

/// Prints a plan whose state folder was printed when it was opened.
fn print_plan(estimating: &Estimating, notes: &RunSettings, plan: &Plan, emulated: bool) {
    before_paying::print(&estimating.lock(), notes, Sizes::of(plan), None, emulated);
}

/// Reads the input; `None` if it has no requests and `--allow-empty` is set.
async fn planned(
    args: &RunArgs,
    engine: &Engine,
    adding: impl FnMut(&PlannedRequest<'_>) + Send + 'static,
) -> Result<Option<Planned>, Failure> {
    match plan_unless_empty(&args.input, &args.settings, engine, adding).await {
        Ok(planned) => Ok(Some(planned)),
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
        let path = target.shown();
        let failed = |step| {
            let path = &path;
            move |error: std::io::Error| output_failure::failure(step, path, &error)
        };
        let form = notes.form();
        let place = Place::new(target, report.force);
        let mut sink = place
            .open(form.is_parquet())
            .map_err(failed(Step::Create))?;
        let written = sink.write(&form.header()).and_then(|()| sink.complete());
        appear(written.map_err(failed(Step::Write))?)?;
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

async fn provider(
    args: &RunArgs,
    notes: &RunSettings,
) -> Result<(Option<Emulation>, Arc<dyn BatchProvider>), Failure> {
    if !args.emulate {
        args.emulator.refuse()?;
        let provider = connect(notes.provider, &args.connection, notes.route)?;
        return Ok((None, provider));
    }
    let emulation = emulation::start(notes.provider, notes.route, &args.emulator).await?;
    let provider = emulation.connect(notes.provider, notes.route)?;
    Ok((Some(emulation), provider))
}
