//! `lmbatch resume`, and `lmbatch retrieve` of a run.

use std::sync::Arc;

use lmbatch_core::{ErrorKind, Ledger as _, RunFilter, RunRecord};
use lmbatch_engine::{DoubtPolicy, Engine, OnDoubt, PollingPolicy, RunOptions};
use lmbatch_ledger::StateFolder;

use super::end::{self, Going, Patience, outcomes, place, until_stopped};
use super::kept::Kept;
use super::state::{self, Notes};
use super::{clock, connect, known};
use crate::args::{
    DoubtArgs, LimitArgs, OnDoubtArg, ReportArgs, ResumeArgs, ResumeOptions, RetrieveArgs,
};
use crate::exit::{Exit, Failure};
use crate::progress::Progress;
use crate::signals::Handling;
use crate::sink::Place;
use crate::target;
use crate::{next, terminal};

pub(crate) async fn resume(args: ResumeArgs) -> Result<Exit, Failure> {
    match chosen(&args).await? {
        Some(run) => one(&args, &run).await,
        None => {
            terminal::say("every run has ended");
            Ok(Exit::Usable)
        }
    }
}

async fn one(args: &ResumeArgs, run: &RunRecord) -> Result<Exit, Failure> {
    let (mut going, engine, _state) = open(run, &args.options).await?;
    if args.once {
        going.patience = Patience::Once;
    }
    let options = options(&args.options, &going.notes.kept, args.once);
    again(going, &engine, run, options).await
}

/// The outcomes of a run from its record alone: nothing is asked or sent.
pub(crate) async fn retrieve(args: &RetrieveArgs) -> Result<Exit, Failure> {
    let (run, mut notes, engine) = state::recorded(&args.batch.batch, &args.state).await?;
    let target = target::check(&args.output, args.force)?;
    target::distinct(&target, &end::read_by(&notes))?;
    let clock = clock();
    let engine = engine.with_clock(Arc::clone(&clock));
    notes.output.clone_from(&args.output);
    if !run.finished && !args.partial {
        let shards = engine.ledger().shards(&run.id).await?;
        return Err(match end::is_refused(&shards) {
            true => end::refused(&run),
            false => unfinished(&run),
        });
    }
    let finished = engine.partial_results(&run).await?;
    let going = Going {
        notes,
        report: ReportArgs {
            force: args.force,
            ..ReportArgs::default()
        },
        emulated: false,
        start: clock.elapsed(),
        progress: Arc::new(Progress::new(true)),
        patience: Patience::Once,
        only_reads: true,
        notes_of_record: true,
        moved_to: None,
        turns: None,
    };
    going.progress.keep_run(&run.id);
    let place = Place::new(target, args.force);
    let exit = outcomes(&going, &engine, &finished, place).await?;
    Ok(if finished.is_whole() {
        exit
    } else {
        Exit::Unfinished
    })
}

/// The failure of a command that needs a run to have ended.
pub(super) fn unfinished(run: &RunRecord) -> Failure {
    let message = format!("the run {} has not ended", run.id);
    let failure = Failure::new(Exit::Unfinished, "unfinished", message).of_run(&run.id);
    failure.hint(format!(
        "to continue: {}; retrieve --partial gives the outcomes so far",
        next::on_runs(["resume", &run.id])
    ))
}

/// Reads the notes of a run, with the options that the arguments say otherwise.
pub(super) fn notes(run: &RunRecord, args: &ResumeOptions) -> Result<Notes, Failure> {
    let notes = Notes::read(run)?;
    let said = Kept::said(args.max_attempts, &args.report, LimitArgs::default());
    let kept = said.or(notes.kept);
    Ok(Notes { kept, ..notes })
}

/// Connects to the provider of a run, as its record has it.
pub(super) async fn open(
    run: &RunRecord,
    args: &ResumeOptions,
) -> Result<(Going, Engine, StateFolder), Failure> {
    let clock = clock();
    let start = clock.elapsed();
    let notes = notes(run, args)?;
    let provider = connect(notes.provider, &notes.connection, notes.route)?;
    let progress = Arc::new(Progress::new(args.report.quiet));
    let mut engine = Engine::new(provider)
        .with_observer(progress.clone())
        .with_clock(Arc::clone(&clock))
        .with_batch_limit(notes.kept.limit().limit());
    if let Some(interval) = args.poll_interval {
        engine = engine.with_polling(PollingPolicy::every(interval));
    }
    let engine = doubting(engine, &args.doubt);
    let (state, engine) = state::durable(engine, &args.state, args.report.quiet).await?;
    let going = Going {
        notes,
        report: args.report.clone(),
        emulated: false,
        start,
        progress,
        patience: Patience::Wait,
        only_reads: false,
        notes_of_record: true,
        moved_to: args.output.clone(),
        turns: None,
    };
    Ok((going, engine, state))
}

pub(super) fn options(args: &ResumeOptions, kept: &Kept, once: bool) -> RunOptions {
    RunOptions {
        deadline: args.timeout,
        max_attempts: Some(kept.max_attempts()),
        once,
        ..RunOptions::default()
    }
}

/// An engine that handles lost responses to a create as the arguments say.
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

/// The run to resume; none where a scheduler comes by and every run has ended.
async fn chosen(args: &ResumeArgs) -> Result<Option<RunRecord>, Failure> {
    let ledger = state::ledger_if_any(&args.options.state).await?;
    let Some(ledger) = ledger else {
        // A scheduler that comes by before the first run finds nothing to do.
        return match args.run.is_none() && args.once {
            true => Ok(None),
            false => Err(Failure::usage(state::no_runs(&args.options.state)?)),
        };
    };
    if let Some(wanted) = &args.run {
        return state::find(&*ledger, wanted).await.map(Some);
    }
    let unfinished = RunFilter {
        unfinished: true,
        ..RunFilter::default()
    };
    let mut open = ledger.all_runs(unfinished).await?;
    let listed = || format!("{} lists them", next::on_runs(["runs"]));
    match open.len() {
        0 if args.once => Ok(None),
        0 => Err(Failure::usage("every run has ended").hint(listed())),
        1 => Ok(open.pop()),
        several => Err(Failure::usage(format!(
            "{several} runs have not ended; name one, or resume them with --all"
        ))
        .hint(listed())),
    }
}

/// Claims a run, waiting while another process advances it, and reads it again, as that process has left it.
/// Returns the exit code where the command ends meanwhile.
pub(crate) async fn claimed(
    going: &mut Going,
    engine: &Engine,
    run: &str,
    options: RunOptions,
) -> Result<Result<(Engine, RunRecord), Exit>, Failure> {
    let engine = match held(going, engine, run, options).await? {
        Ok(engine) => engine,
        Err(exit) => return Ok(Err(exit)),
    };
    let run = state::find(&**engine.ledger(), run).await?;
    if going.notes_of_record {
        let kept = std::mem::take(&mut going.notes.kept);
        going.notes = Notes::read(&run)?;
        going.notes.kept = kept.or(std::mem::take(&mut going.notes.kept));
    }
    if let Some(output) = &going.moved_to {
        going.notes.output.clone_from(output);
        if let Some(other) = known::writer(&engine, output, Some(&run.id)).await?
            && !going.report.force
        {
            return Err(known::taken(output, &other));
        }
    }
    Ok(Ok((engine, run)))
}

/// Claims a run, waiting while another process advances it.
async fn held(
    going: &Going,
    engine: &Engine,
    run: &str,
    options: RunOptions,
) -> Result<Result<Engine, Exit>, Failure> {
    going.progress.keep_run(run);
    if options.once {
        return match engine.claim(run).await {
            Err(error)
                if going.patience == Patience::Detach && error.kind() == ErrorKind::Conflict =>
            {
                going.progress.finish();
                terminal::say(&format!("{error}, which creates its batches"));
                let run = state::find(&**engine.ledger(), run).await?;
                let shards = engine.ledger().shards(&run.id).await?;
                Ok(Err(end::in_progress(going, &run, &shards)))
            }
            other => Ok(Ok(other?)),
        };
    }
    let deadline = going.remaining(engine, options).deadline;
    let mut handling = Handling::new();
    tokio::select! {
        engine = engine.follow(run, deadline) => Ok(Ok(engine?)),
        (exit, name) = handling.stopped() => {
            going.progress.finish();
            terminal::say(&format!("stopped by {name}; another process advances the run {run}"));
            Ok(Err(exit))
        }
    }
}

/// Continues a run that is known, or says that it was answered already.
pub(crate) async fn again(
    mut going: Going,
    engine: &Engine,
    run: &RunRecord,
    options: RunOptions,
) -> Result<Exit, Failure> {
    let (engine, run) = match claimed(&mut going, engine, &run.id, options).await? {
        Ok(claimed) => claimed,
        Err(exit) => return Ok(exit),
    };
    let place = place(&going, &run, false)?;
    again_at(going, &engine, &run, options, place).await
}

/// Continues a run whose output's place is known.
pub(crate) async fn again_at(
    going: Going,
    engine: &Engine,
    run: &RunRecord,
    options: RunOptions,
    place: Place,
) -> Result<Exit, Failure> {
    going.progress.keep_run(&run.id);
    let options = going.remaining(engine, options);
    if !run.finished {
        if going.patience != Patience::Once {
            terminal::say(&format!("resuming run {}", run.id));
        }
        let work = engine.resume(run, options);
        return until_stopped(&going, engine, place, work).await;
    }
    terminal::say(&format!(
        "already answered by run {}: 0 requests sent",
        run.id
    ));
    if place.is_current {
        terminal::say(&format!(
            "output file {} is complete and unchanged",
            place.target.shown()
        ));
    }
    let finished = engine.answered(run, options).await?;
    going.progress.finish();
    outcomes(&going, engine, &finished, place).await
}
