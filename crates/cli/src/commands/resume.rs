//! `lmbatch resume`, and what every run does once it is under way.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lmbatch_core::{OutcomeStatus, Problem, Result as CoreResult, RunRecord};
use lmbatch_engine::{Answered, DoubtPolicy, Engine, Finished, OnDoubt, PollingPolicy, RunOptions};
use lmbatch_ledger::StateFolder;
use tokio::signal::unix::{SignalKind, signal};

use super::state::{self, Notes};
use super::{clock, connect, write};
use crate::args::{
    Cleanup, DoubtArgs, OnDoubtArg, Only, ReportArgs, RequeueArgs, ResumeArgs, ResumeOptions,
    RetrieveArgs, SettingsArgs,
};
use crate::exit::{Exit, Failure};
use crate::model;
use crate::output::{self, Origin, Sink};
use crate::progress::Progress;
use crate::summary::Summary;
use crate::terminal;

/// A run under way, as the command sees it.
#[derive(Debug)]
pub(crate) struct Going {
    pub(crate) notes: Notes,
    pub(crate) report: ReportArgs,
    pub(crate) emulated: bool,
    pub(crate) start: Duration,
    pub(crate) progress: Arc<Progress>,
}

pub(crate) async fn resume(args: ResumeArgs) -> Result<Exit, Failure> {
    let run = chosen(&args).await?;
    let (going, engine, _state) = open(&run, &args.options).await?;
    let options = options(&args.options, args.once);
    again(going, &engine, &run, options, false).await
}

/// The outcomes of a run from its record alone: nothing is asked or sent.
pub(crate) async fn retrieve(args: &RetrieveArgs) -> Result<Exit, Failure> {
    let ledger = state::ledger(&args.state).await?;
    let run = state::find(&*ledger, &args.batch.batch).await?;
    output::check(&args.output, args.force)?;
    let clock = clock();
    let mut notes = Notes::read(&run)?;
    notes.output.clone_from(&args.output);
    let provider = connect(notes.provider, &notes.connection, notes.route)?;
    let engine = state::reading(
        Engine::new(provider).with_clock(clock.clone()),
        ledger,
        &args.state,
    );
    if !run.finished && !args.partial {
        return Err(Failure {
            exit: Exit::Unfinished,
            ..Failure::usage(format!("the run {} has not ended", run.id))
        }
        .hint(format!(
            "lmbatch resume {} goes on with it; --partial gives what is there",
            run.id
        )));
    }
    let finished = engine.partial(&run).await?;
    let going = Going {
        notes,
        report: ReportArgs {
            force: args.force,
            ..ReportArgs::default()
        },
        emulated: false,
        start: clock.elapsed(),
        progress: Arc::new(Progress::new(true)),
    };
    let exit = outcomes(&going, &engine, &finished, false).await?;
    Ok(if finished.is_whole() {
        exit
    } else {
        Exit::Unfinished
    })
}

pub(crate) async fn requeue(args: RequeueArgs) -> Result<Exit, Failure> {
    let ledger = state::ledger(&args.resume.state).await?;
    let run = state::find(&*ledger, &args.run).await?;
    let (mut going, engine, _state) = open(&run, &args.resume).await?;
    let chosen = unusable(&args, &engine, &run).await?;
    if args.dry_run || chosen.is_empty() {
        terminal::say(&format!("{} requests would go out again", chosen.len()));
        return Ok(Exit::Usable);
    }
    let count = match revised(&args, &going.notes)? {
        Some(settings) => {
            let plan = super::run::plan(&going.notes.input, &settings, &engine).await?;
            let count = engine.requeue_as(&run, &chosen, &plan).await;
            plan.discard();
            count?
        }
        None => engine.requeue(&run, &chosen).await?,
    };
    terminal::say(&format!("{count} requests of run {} go out again", run.id));
    // The output that is there is the run's own, of the tries before.
    going.report.force = true;
    let run = state::find(&*ledger, &run.id).await?;
    again(going, &engine, &run, options(&args.resume, false), false).await
}

/// The settings of the run with what the command changes of them, if it changes any.
fn revised(args: &RequeueArgs, notes: &Notes) -> Result<Option<SettingsArgs>, Failure> {
    if args.model.is_none() && args.max_tokens.is_none() && args.set.is_empty() {
        return Ok(None);
    }
    let Some(mut settings) = notes.settings.clone() else {
        return Err(Failure::usage(
            "the record does not say how the run was made",
        ));
    };
    if notes.input == Path::new("-") {
        return Err(Failure::usage(
            "the requests came from standard input, and cannot be read again",
        )
        .hint("without -m, --max-tokens and --set they go out as they were"));
    }
    if let Some(model) = &args.model {
        if model::parse(model)?.provider.id() != notes.provider.id() {
            return Err(Failure::usage(format!(
                "a run stays with its provider, {}",
                notes.provider.id()
            )));
        }
        settings.model.clone_from(model);
    }
    settings.max_tokens = args.max_tokens.or(settings.max_tokens);
    settings.set.extend(args.set.iter().cloned());
    Ok(Some(settings))
}

/// The places of the requests that are to go out again.
async fn unusable(
    args: &RequeueArgs,
    engine: &Engine,
    run: &RunRecord,
) -> Result<HashSet<u32>, Failure> {
    let ids: Option<HashSet<String>> = match &args.ids {
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(|error| {
                Failure::usage(format!("--ids: {} cannot be read: {error}", path.display()))
            })?;
            Some(text.lines().map(str::to_owned).collect())
        }
        None => None,
    };
    let usual = [Only::Errored, Only::Expired, Only::Cancelled, Only::Missing];
    let only = match (args.only.as_slice(), &ids) {
        ([], None) => Some(&usual[..]),
        ([], Some(_)) => None,
        (only, _) => Some(only),
    };
    let finished = engine.sealed(run).await?;
    let mut reader = engine.outcomes(&finished)?;
    let mut chosen = HashSet::new();
    while let Some(answered) = reader.next()? {
        let kind = kind(&answered);
        let named = ids.as_ref().is_none_or(|ids| {
            let json = answered.id.as_str();
            let text = serde_json::from_str::<String>(json);
            ids.contains(text.as_deref().unwrap_or(json))
        });
        if named && only.is_none_or(|only| kind.is_some_and(|kind| only.contains(&kind))) {
            chosen.insert(answered.ordinal);
        }
    }
    Ok(chosen)
}

/// Why an outcome may be wanted again.
fn kind(answered: &Answered<'_>) -> Option<Only> {
    match (output::status(&answered.answer), answered.answer.problem()) {
        (OutcomeStatus::Errored, _) => Some(Only::Errored),
        (OutcomeStatus::Expired, _) => Some(Only::Expired),
        (OutcomeStatus::Cancelled, _) => Some(Only::Cancelled),
        (OutcomeStatus::Missing, _) => Some(Only::Missing),
        (_, Some(Problem::Truncated)) => Some(Only::Truncated),
        (_, Some(Problem::Refused | Problem::ContentFilter)) => Some(Only::Refused),
        (_, Some(_)) => Some(Only::Invalid),
        (_, None) => None,
    }
}

/// What a run needs to go on, as its record has it.
async fn open(
    run: &RunRecord,
    args: &ResumeOptions,
) -> Result<(Going, Engine, StateFolder), Failure> {
    let clock = clock();
    let notes = Notes::read(run)?;
    let provider = connect(notes.provider, &notes.connection, notes.route)?;
    let progress = Arc::new(Progress::new(args.report.quiet));
    let mut engine = Engine::new(provider)
        .with_observer(progress.clone())
        .with_clock(Arc::clone(&clock));
    if let Some(interval) = args.poll_interval {
        engine = engine.with_polling(PollingPolicy::every(interval));
    }
    let engine = doubting(engine, &args.doubt);
    let (state, engine) = state::durable(engine, &args.state).await?;
    let going = Going {
        notes,
        report: args.report.clone(),
        emulated: false,
        start: clock.elapsed(),
        progress,
    };
    Ok((going, engine, state))
}

fn options(args: &ResumeOptions, once: bool) -> RunOptions {
    RunOptions {
        deadline: args.timeout,
        max_attempts: Some(args.max_attempts),
        once,
        ..RunOptions::default()
    }
}

/// An engine that does about lost answers what was asked for.
pub(crate) fn doubting(engine: Engine, args: &DoubtArgs) -> Engine {
    let engine = engine.with_on_doubt(match args.on_doubt {
        OnDoubtArg::Hold => OnDoubt::Hold,
        OnDoubtArg::Resubmit => OnDoubt::Resubmit,
        OnDoubtArg::Abandon => OnDoubt::Abandon,
    });
    match args.doubt_wait {
        Some(time) => engine.with_doubt(DoubtPolicy::within(time)),
        None => engine,
    }
}

async fn chosen(args: &ResumeArgs) -> Result<RunRecord, Failure> {
    let ledger = state::ledger(&args.options.state).await?;
    if let Some(wanted) = &args.run {
        return state::find(&*ledger, wanted).await;
    }
    let open = ledger.runs().await?.into_iter().filter(|run| !run.finished);
    let mut open: Vec<RunRecord> = open.collect();
    match (open.pop(), open.len()) {
        (Some(only), 0) => Ok(only),
        (None, _) => Err(Failure::usage("every run has ended").hint("lmbatch runs lists them")),
        (Some(_), more) => Err(Failure::usage(format!(
            "{} runs have not ended; name one",
            more + 1
        ))
        .hint("lmbatch runs lists them")),
    }
}

/// Goes on with a run that is known, or says that it was answered already.
pub(crate) async fn again(
    going: Going,
    engine: &Engine,
    run: &RunRecord,
    options: RunOptions,
    detach: bool,
) -> Result<Exit, Failure> {
    going.progress.keep_run(&run.id);
    let output = &going.notes.output;
    if !run.finished {
        output::check(output, going.report.force)?;
        terminal::say(&format!("going on with run {}", run.id));
        return detached(detach, engine, &going, engine.resume(run, options)).await;
    }
    terminal::say(&format!(
        "already answered by run {}: 0 requests sent",
        run.id
    ));
    let finished = engine.sealed(run).await?;
    let there = output != Path::new("-") && output.exists() && !going.report.force;
    outcomes(&going, engine, &finished, there).await
}

/// Waits for a run, unless it is to be left alone.
pub(crate) async fn detached(
    detach: bool,
    engine: &Engine,
    going: &Going,
    work: impl Future<Output = CoreResult<Finished>>,
) -> Result<Exit, Failure> {
    match until_stopped(going, engine, work).await {
        Err(failure) if detach && failure.exit == Exit::Unfinished => {
            if let Some(hint) = failure.hint {
                terminal::say(&hint);
            }
            Ok(Exit::Usable)
        }
        other => other,
    }
}

/// Takes a run to its end and writes its outcomes, or says how to go on with it.
pub(crate) async fn until_stopped(
    going: &Going,
    engine: &Engine,
    work: impl Future<Output = CoreResult<Finished>>,
) -> Result<Exit, Failure> {
    let finished = tokio::select! {
        finished = work => finished,
        (exit, name) = stopped() => {
            going.progress.finish();
            terminal::say(&match next_command(going) {
                Some(command) => format!("stopped by {name}; the run goes on with:\n  {command}"),
                None => format!("stopped by {name}; what was emulated ends with it"),
            });
            return Ok(exit);
        }
    };
    going.progress.finish();
    let finished = finished.map_err(|error| {
        let mut failure = Failure::from(error);
        match next_command(going) {
            Some(command) => {
                let first = failure.hint.take();
                let first = first.map_or_else(String::new, |hint| format!("{hint}; then "));
                failure.hint(format!("{first}go on with: {command}"))
            }
            None => failure,
        }
    })?;
    outcomes(going, engine, &finished, false).await
}

/// What goes on with the run from here, if there is a record of it.
fn next_command(going: &Going) -> Option<String> {
    let run = going.progress.run()?;
    Some(format!("lmbatch resume {run}"))
}

/// Writes every outcome to the output, or counts them if it is there already.
async fn outcomes(
    going: &Going,
    engine: &Engine,
    finished: &Finished,
    there: bool,
) -> Result<Exit, Failure> {
    let (notes, report) = (&going.notes, &going.report);
    let origin = Origin {
        provider: notes.provider.id().to_owned(),
        emulated: going.emulated,
        raw: notes.raw,
    };
    let sink = if there {
        Sink::Nowhere
    } else {
        Sink::open(&notes.output, report.force).map_err(|error| {
            lmbatch_core::Error::local("making the output", error)
                .with_batch(finished.batch().clone())
        })?
    };
    let batches: Vec<&str> = finished
        .batches()
        .iter()
        .map(|one| one.id.as_str())
        .collect();
    let summary = Summary::new(
        notes.provider.id(),
        &notes.model,
        &batches,
        &notes.output.display().to_string(),
        going.emulated,
        going.progress.run().as_deref(),
    );
    let accept = report.accept.clone();
    let mut summary = write(engine, finished, origin, sink, summary, accept).await?;
    summary.finish(engine.clock().elapsed() - going.start);
    clean(going, engine).await;
    if report.json {
        terminal::out(&summary.json());
    }
    if !report.quiet {
        terminal::say(&summary.table());
    }
    Ok(summary.exit(report.max_failed))
}

/// Deletes at the provider what is not needed any more, now that the output is safe.
async fn clean(going: &Going, engine: &Engine) {
    let batches = match going.report.cleanup {
        Cleanup::None => return,
        Cleanup::Inputs => false,
        Cleanup::All => true,
    };
    let Some(id) = going.progress.run() else {
        return;
    };
    let cleaned = async {
        let runs = engine.ledger().runs().await?;
        match runs.into_iter().find(|run| *run.id == *id) {
            Some(run) => engine.clean(&run, batches).await,
            None => Ok(0),
        }
    };
    if let Err(error) = cleaned.await {
        // The outcomes are safe; what stays is deleted by the provider in time.
        terminal::say(&format!(
            "warning: the inputs stay at the provider: {error}"
        ));
    }
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
