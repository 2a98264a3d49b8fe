//! `lmbatch run`: every check that needs no money first, then the run, recorded so that any process can
//! go on with it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lmbatch_core::{
    AccountMatch, BatchProvider, Clock, Connection, ErrorKind, Result as CoreResult, RunFilter,
    RunRecord,
};
use lmbatch_engine::{
    Changes, DoubtPolicy, Engine, Plan, PollingPolicy, RequestSource, RunOptions, Sourced,
};

use super::end::{self, Going, Patience, until_stopped};
use super::resume;
use super::state::{self, Notes};
use super::{clock, connect, default_output, validate};
use crate::args::{Cleanup, RunArgs, SettingsArgs};
use crate::emulation::{self, Emulation};
use crate::exit::{Exit, Failure};
use crate::model::{self, Model};
use crate::progress::Progress;
use crate::sink::Place;
use crate::summary::Summary;
use crate::target::{self, Target};
use crate::{input, next, providers, settings, terminal, words, written};

pub(crate) async fn run(args: Box<RunArgs>) -> Result<Exit, Failure> {
    let clock = clock();
    let start = clock.elapsed();
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
    // Whatever is wrong with a path is said before anything is read or sent.
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
        return would(&args);
    }
    let progress = Arc::new(Progress::new(args.report.quiet));
    let (_emulation, provider) = provider(&args, &notes).await?;
    let engine = engine(&args, provider, &clock, &progress);
    let going = Going {
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
    };
    let run_options = RunOptions {
        deadline: args.timeout,
        max_attempts: Some(args.max_attempts),
        once: args.detach,
        ..RunOptions::default()
    };
    if args.emulate {
        let Some(plan) = planned(&args, &engine).await? else {
            return empty(&going, &engine);
        };
        let place = ready(&args, &going, &engine, &model).await?;
        let run_options = going.remaining(&engine, run_options);
        return until_stopped(&going, &engine, place, engine.run(plan, run_options)).await;
    }
    let (_state, engine) = state::durable(engine, &args.state, args.report.quiet).await?;
    let Some(plan) = planned(&args, &engine).await? else {
        return empty(&going, &engine);
    };
    // What is known is looked up twice: again when no other process can begin the same run any more.
    let mut checked = None;
    let (begin, place) = loop {
        match (
            known(&args, &going.notes, &engine, &plan).await,
            checked.take(),
        ) {
            (Ok(Known::Nothing { refused, twin }), Some(checked)) => {
                match superseded(&args, &engine, &refused).await {
                    Ok(true) => {
                        warn_of_twin(twin.as_deref());
                        break checked;
                    }
                    // One of them is not refused any more: what is known is looked up again.
                    Ok(false) => continue,
                    Err(failure) => {
                        plan.discard();
                        return Err(failure);
                    }
                }
            }
            (Ok(Known::Nothing { .. }), None) => {}
            (Ok(Known::Same(run)), checked) => {
                plan.discard();
                drop(checked);
                return resume::again(going, &engine, &run, run_options).await;
            }
            (Ok(Known::Changed { run, refused }), checked) => {
                drop(checked);
                if let Err(failure) = superseded(&args, &engine, &refused).await {
                    plan.discard();
                    return Err(failure);
                }
                return Box::pin(update(going, &engine, &run, plan, run_options)).await;
            }
            (Err(failure), _) => {
                plan.discard();
                return Err(failure);
            }
        }
        let place = match ready(&args, &going, &engine, &model).await {
            Ok(place) => place,
            Err(failure) => {
                plan.discard();
                return Err(failure);
            }
        };
        checked = Some((engine.claim_begin().await?, place));
    };
    // Claimed until its outcomes are written: a command that follows it finds them.
    let engine = engine.holding_plan(&plan);
    let run = engine
        .begin(&plan, args.name.as_deref(), going.notes.write())
        .await?;
    drop(begin);
    going.progress.keep_run(&run.id);
    let work = engine.start(run, plan, going.remaining(&engine, run_options));
    until_stopped(&going, &engine, place, work).await
}

/// Says what would be sent, and sends nothing.
fn would(args: &RunArgs) -> Result<Exit, Failure> {
    let checked = validate::checked(&args.input, &args.settings)?;
    terminal::say(&format!(
        "{} would be sent in {}, {} bytes in all; nothing was sent",
        words::count(checked.requests, "request", "requests"),
        words::count(checked.batches, "batch", "batches"),
        checked.bytes
    ));
    Ok(Exit::Usable)
}

/// The last checks before anything is noted.
async fn ready(
    args: &RunArgs,
    going: &Going,
    engine: &Engine,
    model: &Model,
) -> Result<Place, Failure> {
    let target = target::check(&going.notes.output, args.report.force).map_err(|failure| {
        let exists = Target::of(&going.notes.output);
        match matches!(exists, Ok(Target::File { exists: true, .. })) && args.emulate {
            true => failure.hint(
                "emulated runs are not recorded, so that each is a new one: overwrite the output with --force, or choose another path with -o",
            ),
            false => failure,
        }
    })?;
    engine.provider().probe(&model.name).await?;
    Ok(Place::new(target, args.report.force))
}

/// Reads the input; `None` where it has no requests, and that is allowed.
async fn planned(args: &RunArgs, engine: &Engine) -> Result<Option<Plan>, Failure> {
    match plan_unless_empty(&args.input, &args.settings, engine).await {
        Ok(plan) => Ok(Some(plan)),
        Err(Unplanned::Empty) if args.allow_empty => Ok(None),
        Err(unplanned) => Err(unplanned.failure(&args.input)),
    }
}

/// Writes the output of an input without requests. Nothing is sent, and nothing is recorded.
fn empty(going: &Going, engine: &Engine) -> Result<Exit, Failure> {
    going.progress.finish();
    let (notes, report) = (&going.notes, &going.report);
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
    let mut summary = Summary::new(provider, &notes.model, &[], &output, going.emulated, None);
    summary.finish(engine.clock().elapsed() - going.start);
    if report.json {
        terminal::json(&summary);
    }
    terminal::say("the input has no requests: nothing was sent");
    terminal::say(&summary.table());
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
    let mut engine = resume::doubting(engine, &args.doubt).with_batch_limit(args.limit.limit());
    if args.emulate && args.doubt.doubt_wait.is_none() {
        // What the emulator does not show at once it never shows.
        engine = engine.with_doubt(DoubtPolicy::within(Duration::from_secs(2)));
    }
    let brisk = args.emulate.then_some(Duration::from_millis(100));
    match args.poll_interval.or(brisk) {
        Some(interval) => engine.with_polling(PollingPolicy::every(interval)),
        None => engine,
    }
}

/// What the record knows of what was asked for.
enum Known {
    /// It was not sent.
    Nothing {
        /// Earlier runs of its input, of which the provider refused every create: they are replaced by it.
        refused: Vec<RunRecord>,
        /// A run of the same requests and model under another name.
        twin: Option<Box<RunRecord>>,
    },
    /// It was sent before.
    Same(Box<RunRecord>),
    /// It was sent otherwise before, and is to be brought up to date.
    Changed {
        run: Box<RunRecord>,
        refused: Vec<RunRecord>,
    },
}

/// The run that this is again: of the same name, or of the same input under the same account. One whose
/// input has changed is only advanced if that is asked for, since it costs money.
async fn known(
    args: &RunArgs,
    notes: &Notes,
    engine: &Engine,
    plan: &Plan,
) -> Result<Known, Failure> {
    // A key may have been rotated: then the run is found, and the provider says whose key it is.
    let is_other = |run: &RunRecord| engine.account_match(run) == AccountMatch::Other;
    let ledger = engine.ledger();
    let of_digest = RunFilter {
        digest: Some(plan.digest().into()),
        ..RunFilter::default()
    };
    let same = ledger.all_runs(of_digest).await?;
    let is_ours = |run: &RunRecord| !is_other(run) && !run.cancelled;
    let is_same = |run: &RunRecord| is_ours(run) && *run.digest == *plan.digest();
    let name = args.name.as_deref();
    // Of a refused run nothing is paid for, and `--new` asks to pay again.
    let mut twin = None;
    for run in same.iter().filter(|run| !args.new && is_same(run)) {
        if run.name.as_deref() != name && !is_refused(engine, run).await? {
            twin = twin.or_else(|| Some(Box::new(run.clone())));
        }
    }
    if let Some(name) = &args.name {
        return match ledger.run_named(name).await? {
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
            Some(run) if is_refused(engine, &run).await? => Err(Failure::usage(format!(
                "the run {name:?} ({}) is of another input, model or account, and failed before a batch was created",
                run.id
            ))
            .hint(format!(
                "delete it, then run the command again: {}",
                next::on_runs(["purge", &run.id, "--force"])
            ))),
            Some(run) if args.update && is_ours(&run) => Ok(Known::Changed {
                run: run.into(),
                refused: Vec::new(),
            }),
            Some(run) => Err(Failure::usage(format!(
                "the run {name:?} ({}) is of another input, model or account",
                run.id
            ))
            .hint(
                "--update sends what is new or changed; another name with --run sends all of it",
            )),
            None => Ok(Known::Nothing {
                refused: Vec::new(),
                twin,
            }),
        };
    }
    let is_unnamed = |run: &RunRecord| run.name.is_none();
    if !args.new
        && let Some(run) = same.iter().find(|run| is_unnamed(run) && is_same(run))
    {
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
    let (mut earlier, mut refused) = (None, Vec::new());
    let of_output = RunFilter {
        output: Some(output.as_str().into()),
        ..RunFilter::default()
    };
    let runs = ledger.all_runs(of_output).await?.into_iter();
    for run in runs.filter(|run| is_unnamed(run) && is_earlier(run)) {
        match is_refused(engine, &run).await? {
            true => refused.push(run),
            false => earlier = earlier.or(Some(run)),
        }
    }
    match earlier {
        _ if args.new => Ok(Known::Nothing { refused, twin }),
        Some(run) if args.update => Ok(Known::Changed {
            run: run.into(),
            refused,
        }),
        Some(run) => Err(Failure::usage(format!(
            "{} or its options have changed since run {}",
            args.input.display(),
            run.id
        ))
        .hint("--update sends only what is new or changed; --new sends all of it again")),
        None if args.update && refused.is_empty() => Err(Failure::usage(
            "there is no run of this input to update",
        )
        .hint(format!(
            "{} lists them; name one with --run",
            next::on_runs(["runs"])
        ))),
        None => Ok(Known::Nothing { refused, twin }),
    }
}

/// Warns that the same requests were sent before, under another name, and are paid for again.
fn warn_of_twin(twin: Option<&RunRecord>) {
    let Some(run) = twin else {
        return;
    };
    let named = match &run.name {
        Some(name) => format!("run {} ({name:?})", run.id),
        None => format!("run {}, which has no name", run.id),
    };
    terminal::warn(&format!(
        "the same requests were sent to the same model by {named}; under another name they are sent, and paid for, again"
    ));
}

/// Reports whether the provider refused to create any batch of a run, so that nothing of it can be answered.
async fn is_refused(engine: &Engine, run: &RunRecord) -> CoreResult<bool> {
    Ok(end::is_refused(&engine.ledger().shards(&run.id).await?))
}

/// Cancels and ends runs of which no batch was created, before the same input is sent with other options:
/// as long as they are open, `resume --all` would send, and pay for, both. Returns false where one of them
/// is not refused any more.
///
/// # Errors
/// [`ErrorKind::Conflict`] where another process advances one of them, [`ErrorKind::OtherAccount`] where the
/// current key may be of another account.
async fn superseded(
    args: &RunArgs,
    engine: &Engine,
    refused: &[RunRecord],
) -> Result<bool, Failure> {
    for run in refused {
        match supersede(args, engine, run).await {
            Ok(true) => terminal::say(&format!(
                "the run {} failed before a batch was created, and is cancelled: its input is sent anew",
                run.id
            )),
            Ok(false) => return Ok(false),
            // Under this key it can be neither cancelled nor resumed.
            Err(error) if args.new && error.kind() == ErrorKind::OtherAccount => {
                terminal::warn(&format!("the run {} stays open: {error}", run.id));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(true)
}

async fn supersede(args: &RunArgs, engine: &Engine, run: &RunRecord) -> CoreResult<bool> {
    // Another process may be creating its batch after all.
    let engine = engine.claim(&run.id).await?;
    let Some(run) = engine.ledger().run(&run.id).await? else {
        return Ok(true);
    };
    if !is_refused(&engine, &run).await? {
        return Ok(false);
    }
    engine.cancel_run(&run).await?;
    // Nothing is created for a cancelled run: its requests are recorded as cancelled, and it has ended.
    let options = RunOptions {
        once: true,
        ..RunOptions::default()
    };
    engine.resume(&run, options).await?;
    if args.report.cleanup != Cleanup::None
        && let Err(error) = engine.clean(&run, false).await
    {
        terminal::warn(&format!(
            "not everything of run {} could be deleted at the provider: {error}",
            run.id
        ));
    }
    Ok(true)
}

/// Brings a run up to date with its input: only what is new or changed is sent.
async fn update(
    mut going: Going,
    engine: &Engine,
    run: &RunRecord,
    plan: Plan,
    options: RunOptions,
) -> Result<Exit, Failure> {
    let updated = updated(&mut going, engine, run, &plan, options).await;
    plan.discard();
    let (engine, run, changes, place) = match updated? {
        Ok(updated) => updated,
        Err(exit) => return Ok(exit),
    };
    let mut notes = going.notes.write();
    written::carry(&run, &mut notes);
    let run = engine.annotate(&run, notes).await?;
    terminal::say(&format!(
        "{} unchanged, {} changed, {} new, {} gone",
        changes.unchanged, changes.changed, changes.new, changes.gone
    ));
    resume::again_at(going, &engine, &run, options, place).await
}

/// Claims a run and brings its record up to date with a plan; the exit code where the command ends meanwhile.
async fn updated(
    going: &mut Going,
    engine: &Engine,
    run: &RunRecord,
    plan: &Plan,
    options: RunOptions,
) -> Result<Result<(Engine, RunRecord, Changes, Place), Exit>, Failure> {
    let (engine, run) = match resume::claimed(going, engine, &run.id, options).await? {
        Ok(claimed) => claimed,
        Err(exit) => return Ok(Err(exit)),
    };
    let place = end::place(going, &run, true)?;
    let (run, changes) = engine.update(&run, plan).await?;
    Ok(Ok((engine, run, changes, place)))
}

async fn provider(
    args: &RunArgs,
    notes: &Notes,
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

/// Reads and encodes an input as its settings say. Sends nothing.
pub(crate) async fn plan(
    path: &Path,
    args: &SettingsArgs,
    engine: &Engine,
) -> Result<Plan, Failure> {
    let plan = plan_unless_empty(path, args, engine).await;
    plan.map_err(|unplanned| unplanned.failure(path))
}

/// Reason why there is no plan.
enum Unplanned {
    /// The input has no requests.
    Empty,
    Failed(Failure),
}

impl Unplanned {
    fn failure(self, input: &Path) -> Failure {
        match self {
            Self::Failed(failure) => failure,
            Self::Empty => Failure::usage(format!("{}: there are no requests", input.display()))
                .hint("--allow-empty writes an empty output"),
        }
    }
}

/// A source that notes whether it has requests, bad ones included.
struct Noticing<S> {
    source: S,
    has_requests: Arc<AtomicBool>,
}

impl<S: RequestSource> RequestSource for Noticing<S> {
    fn next(&mut self, visit: &mut dyn FnMut(Sourced<'_>)) -> CoreResult<bool> {
        let has_one = self.source.next(visit)?;
        if has_one {
            self.has_requests.store(true, Ordering::Relaxed);
        }
        Ok(has_one)
    }

    fn unit(&self) -> &'static str {
        self.source.unit()
    }
}

async fn plan_unless_empty(
    path: &Path,
    args: &SettingsArgs,
    engine: &Engine,
) -> Result<Plan, Unplanned> {
    let model = model::parse(&args.model).map_err(Unplanned::Failed)?;
    let options = settings::options(args).map_err(Unplanned::Failed)?;
    let raw_endpoints = engine.provider().codec().capabilities().raw_endpoints;
    let attachments = args.attachments.as_deref();
    let source = input::open(path, &model, options, raw_endpoints, attachments)
        .map_err(Unplanned::Failed)?;
    let has_requests = Arc::new(AtomicBool::new(false));
    let source = Noticing {
        source,
        has_requests: Arc::clone(&has_requests),
    };
    let plan = engine.plan(Box::new(source)).await.map_err(|error| {
        let failure = Failure::plan(error, &path.display().to_string());
        // What could not be read to its end is not empty.
        match has_requests.load(Ordering::Relaxed) || failure.exit != Exit::Usage {
            true => Unplanned::Failed(failure),
            false => Unplanned::Empty,
        }
    })?;
    if plan.batches() > 1 {
        terminal::say(&format!("{} batches are needed", plan.batches()));
    }
    Ok(plan)
}
