//! `lmbatch resume`, and what every run does once it is under way.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lmbatch_core::{ErrorKind, Result as CoreResult, RunRecord};
use lmbatch_engine::{DoubtPolicy, Engine, Finished, Left, OnDoubt, PollingPolicy, RunOptions};
use lmbatch_ledger::StateFolder;
use tokio::signal::unix::{SignalKind, signal};

use super::state::{self, Notes};
use super::{clock, connect, write};
use crate::args::{
    Cleanup, DoubtArgs, OnDoubtArg, ReportArgs, ResumeArgs, ResumeOptions, RetrieveArgs,
};
use crate::exit::{Exit, Failure};
use crate::output::{self, Origin, Sink};
use crate::progress::Progress;
use crate::summary::Summary;
use crate::{next, terminal};

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
    let (run, mut notes, engine) = state::recorded(&args.batch.batch, &args.state).await?;
    output::check(&args.output, args.force)?;
    let clock = clock();
    let engine = engine.with_clock(Arc::clone(&clock));
    notes.output.clone_from(&args.output);
    if !run.finished && !args.partial {
        return Err(unfinished(&run));
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

/// What is asked of a run can only be said when it has ended.
pub(super) fn unfinished(run: &RunRecord) -> Failure {
    let failure = Failure {
        exit: Exit::Unfinished,
        ..Failure::usage(format!("the run {} has not ended", run.id))
    };
    failure.hint(format!(
        "{} goes on with it; retrieve --partial gives what is there",
        next::on_runs(["resume", &run.id])
    ))
}

/// What a run needs to go on, as its record has it.
pub(super) async fn open(
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
    let (state, engine) = state::durable(engine, &args.state, args.report.quiet).await?;
    let going = Going {
        notes,
        report: args.report.clone(),
        emulated: false,
        start: clock.elapsed(),
        progress,
    };
    Ok((going, engine, state))
}

pub(super) fn options(args: &ResumeOptions, once: bool) -> RunOptions {
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
    let listed = || format!("{} lists them", next::on_runs(["runs"]));
    match (open.pop(), open.len()) {
        (Some(only), 0) => Ok(only),
        (None, _) => Err(Failure::usage("every run has ended").hint(listed())),
        (Some(_), more) => Err(Failure::usage(format!(
            "{} runs have not ended; name one",
            more + 1
        ))
        .hint(listed())),
    }
}

/// Claims a run, waiting while another process advances it; the exit code where the command ends meanwhile.
pub(crate) async fn claimed(
    going: &Going,
    engine: &Engine,
    run: &str,
    options: RunOptions,
    detach: bool,
) -> Result<Result<Engine, Exit>, Failure> {
    going.progress.keep_run(run);
    if options.once {
        return match engine.claim(run).await {
            Err(error) if detach && error.kind() == ErrorKind::Conflict => {
                going.progress.finish();
                terminal::say(&format!("{error}, which creates its batches"));
                Ok(Err(Exit::Usable))
            }
            other => Ok(Ok(other?)),
        };
    }
    tokio::select! {
        engine = engine.follow(run, options.deadline) => Ok(Ok(engine?)),
        (exit, name) = stopped() => {
            going.progress.finish();
            terminal::say(&format!("stopped by {name}; another process goes on with the run {run}"));
            Ok(Err(exit))
        }
    }
}

/// Goes on with a run that is known, or says that it was answered already.
pub(crate) async fn again(
    going: Going,
    engine: &Engine,
    run: &RunRecord,
    mut options: RunOptions,
    detach: bool,
) -> Result<Exit, Failure> {
    let start = engine.clock().elapsed();
    let engine = &match claimed(&going, engine, &run.id, options, detach).await? {
        Ok(engine) => engine,
        Err(exit) => return Ok(exit),
    };
    // As another process may have left it.
    let run = &state::find(&**engine.ledger(), &run.id).await?;
    let waited = engine.clock().elapsed() - start;
    options.deadline = options
        .deadline
        .map(|deadline| deadline.saturating_sub(waited));
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
    Some(next::on_runs(["resume", &run]))
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
    let summary = summary.with_state(state::used());
    let accept = report.accept.clone();
    let mut summary = write(engine, finished, origin, sink, summary, accept).await?;
    summary.finish(engine.clock().elapsed() - going.start);
    if let Some(left) = clean(going, engine).await {
        summary.leave(&left);
    }
    if report.json {
        terminal::out(&summary.json());
    }
    if !report.quiet {
        terminal::say(&summary.table());
    }
    Ok(summary.exit(report.max_failed))
}

/// Deletes at the provider what is not needed any more, now that the output is safe; what stays there, if
/// there is a record of it.
async fn clean(going: &Going, engine: &Engine) -> Option<Left> {
    let id = going.progress.run()?;
    let cleaned = async {
        let runs = engine.ledger().runs().await?;
        let Some(run) = runs.into_iter().find(|run| *run.id == *id) else {
            return Ok(None);
        };
        let left = match going.report.cleanup {
            Cleanup::None => engine.left(&run).await,
            Cleanup::Inputs => engine.clean(&run, false).await,
            Cleanup::All => engine.clean(&run, true).await,
        };
        left.map(Some)
    };
    match cleaned.await {
        Ok(left) => left,
        // The outcomes are safe; what stays is deleted by the provider in time.
        Err(error) => {
            terminal::say(&format!(
                "warning: not everything could be deleted at the provider: {error}"
            ));
            None
        }
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
