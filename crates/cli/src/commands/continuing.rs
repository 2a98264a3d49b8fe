//! Continuing a recorded run: connecting, claiming, and advancing the run to its end.

use std::sync::Arc;

use lmbatch::durable::StateFolder;
use lmbatch::engine::RunOptions;
use lmbatch::record::RunRecord;
use lmbatch::{DoubtPolicy, Engine, ErrorKind, OnDoubt, PollingPolicy};

use super::end::{self, outcomes, until_stopped};
use super::kept::Kept;
use super::run_context::{Patience, RunContext, place};
use super::run_settings::{RunSettings, absolute_path};
use super::{clock, connect, deleted_answers, known, state};
use crate::args::{DoubtArgs, EmulatorArgs, LimitArgs, OnDoubtArg, ResumeOptions};
use crate::exit::{Exit, Failure};
use crate::progress::Progress;
use crate::session::Session;
use crate::signals::Handling;
use crate::sink::Place;
use crate::{emulation, hints, output_format, terminal};

/// Returns the failure of a command that needs a run to have ended.
pub(super) fn unfinished(run: &RunRecord) -> Failure {
    let message = format!("the run {} has not ended", run.id);
    let failure = Failure::new(Exit::Unfinished, "unfinished", message).of_run(&run.id);
    failure.hint(format!(
        "to continue: {}; retrieve --partial writes the outcomes so far",
        hints::on_runs(["resume", &run.id])
    ))
}

/// Reads the notes of a run, with the options that the arguments override.
pub(super) fn notes(run: &RunRecord, args: &ResumeOptions) -> Result<RunSettings, Failure> {
    let notes = RunSettings::read(run)?;
    let said = Kept::said(args.max_attempts, &args.report, LimitArgs::default());
    let said = said
        .with_cost(args.paying.cost.clone())
        .with_repairs(args.repair.repairs);
    let kept = said.or(notes.kept);
    Ok(RunSettings { kept, ..notes })
}

/// Connects to the provider of a run with the settings in its record.
pub(super) async fn open(
    session: &Arc<Session>,
    run: &RunRecord,
    args: &ResumeOptions,
) -> Result<(RunContext, Engine, StateFolder), Failure> {
    let clock = clock();
    let start = clock.elapsed();
    let mut notes = notes(run, args)?;
    let emulation = match notes.emulated {
        true => {
            let options = EmulatorArgs::default();
            Some(emulation::start(notes.provider, notes.route, &options).await?)
        }
        false => None,
    };
    let provider = match &emulation {
        Some(emulation) => emulation.connect(notes.provider, notes.route)?,
        None => connect(notes.provider, &notes.connection, notes.route)?,
    };
    let progress = Arc::new(Progress::new(args.report.quiet).recording(session));
    let mut engine = Engine::new(provider)
        .with_observer(progress.clone())
        .with_clock(Arc::clone(&clock))
        .with_batch_limit(notes.kept.limit().limit())
        .with_prices(Arc::new(args.paying.prices.table()?));
    notes.kept = priced(&engine, notes.kept);
    engine = notes.kept.cost().limiting(engine);
    if let Some(interval) = args.poll_interval {
        engine = engine.with_polling(PollingPolicy::every(interval));
    }
    let engine = args.steps.limiting(doubting(engine, &args.doubt));
    let engine = emulation::recorded(engine, &notes);
    let (state, engine) = state::durable(session, engine, &args.state, args.report.quiet).await?;
    let context = RunContext {
        session: Arc::clone(session),
        emulated: notes.emulated,
        emulation,
        notes,
        report: args.report.clone(),
        start,
        progress,
        patience: Patience::Wait,
        only_reads: false,
        notes_of_record: true,
        moved_to: args.output.clone(),
        turns: None,
        pilot: None,
        unapplied_repairs: None,
    };
    Ok((context, engine, state))
}

/// Notes the day of the prices with a limit on the cost that the arguments set.
pub(super) fn priced(engine: &Engine, kept: Kept) -> Kept {
    let cost = kept.cost().clone();
    match cost.prices_as_of {
        Some(_) => kept,
        None => kept.with_cost(cost.priced_by(engine)),
    }
}

pub(super) fn options(args: &ResumeOptions, kept: &Kept, once: bool) -> RunOptions {
    RunOptions {
        deadline: args.timeout,
        max_attempts: Some(kept.max_attempts()),
        repairs: kept.repairs(),
        once,
        ..RunOptions::default()
    }
}

/// Sets the treatment of a create without a response on an engine, from the arguments.
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

/// Claims a run, waiting while another process advances it, and reads its record again afterwards. Returns the exit
/// code if the command is stopped meanwhile.
pub(crate) async fn claimed(
    context: &mut RunContext,
    engine: &Engine,
    run: &str,
    options: RunOptions,
) -> Result<Result<(Engine, RunRecord), Exit>, Failure> {
    let engine = match held(context, engine, run, options).await? {
        Ok(engine) => engine,
        Err(exit) => return Ok(Err(exit)),
    };
    let run = state::find(&**engine.ledger(), run).await?;
    if context.notes_of_record {
        let kept = std::mem::take(&mut context.notes.kept);
        context.notes = RunSettings::read(&run)?;
        context.notes.kept = kept.or(std::mem::take(&mut context.notes.kept));
    }
    if let Some(output) = &context.moved_to {
        context.notes.output.clone_from(output);
        context.notes.format = output_format::moved(output, context.notes.format)?;
        if let Some(other) = known::writer(&engine, output, Some(&run.id)).await?
            && !context.report.force
        {
            return Err(known::taken(output, &other));
        }
    }
    Ok(Ok((engine, run)))
}

/// Claims a run, waiting while another process advances it.
async fn held(
    context: &RunContext,
    engine: &Engine,
    run: &str,
    options: RunOptions,
) -> Result<Result<Engine, Exit>, Failure> {
    context.progress.keep_run(run);
    if options.once {
        return match engine.claim(run).await {
            Err(error)
                if context.patience == Patience::Detach && error.kind() == ErrorKind::Conflict =>
            {
                context.progress.finish();
                terminal::message(&format!("{error}, which creates its batches"));
                let run = state::find(&**engine.ledger(), run).await?;
                let shards = engine.ledger().shards(&run.id).await?;
                Ok(Err(end::in_progress(context, &run, &shards)))
            }
            other => Ok(Ok(other?)),
        };
    }
    let deadline = context.remaining(engine, options).deadline;
    let mut handling = Handling::new();
    tokio::select! {
        engine = engine.follow(run, deadline) => Ok(Ok(engine?)),
        (exit, name) = handling.stopped() => {
            context.progress.finish();
            terminal::message(&format!("stopped by {name}; another process advances the run {run}"));
            Ok(Err(exit))
        }
    }
}

/// Continues a recorded run, or reports that it was answered already.
pub(crate) async fn again(
    mut context: RunContext,
    engine: &Engine,
    run: &RunRecord,
    options: RunOptions,
) -> Result<Exit, Failure> {
    let (engine, run) = match claimed(&mut context, engine, &run.id, options).await? {
        Ok(claimed) => claimed,
        Err(exit) => return Ok(exit),
    };
    let place = place(&context, &run, false)?;
    again_at(context, &engine, &run, options, place).await
}

/// Returns a note for a command that writes another output than the record names, which later commands write.
fn other_output(context: &RunContext, run: &RunRecord) -> Option<String> {
    if context.notes_of_record || context.moved_to.is_some() {
        return None;
    }
    let recorded = RunSettings::read(run).ok()?;
    let output = absolute_path(&context.notes.output);
    let is_same =
        absolute_path(&recorded.output) == output && recorded.format == context.notes.format;
    (!is_same).then(|| {
        format!(
            "note: this command writes {} as {}; later ones that resume the run write {} as {}, as its first command said",
            context.notes.output.display(),
            context.notes.format.as_str(),
            recorded.output.display(),
            recorded.format.as_str()
        )
    })
}

/// Continues a recorded run whose output was checked before.
pub(crate) async fn again_at(
    mut context: RunContext,
    engine: &Engine,
    run: &RunRecord,
    options: RunOptions,
    place: Place,
) -> Result<Exit, Failure> {
    context.progress.keep_run(&run.id);
    if run.finished {
        context.unapplied_repairs = context.notes.kept.more_repairs(run);
    }
    // A later command has the same options, and the same limit where only the answers are read.
    let kept = match run.finished && run.pilot_of.is_none() {
        true => Kept::read(run).with_cost(context.notes.kept.cost().clone()),
        false => context.notes.kept.clone(),
    };
    if let Some(notes) = kept.note(run) {
        engine.annotate(run, notes).await?;
    }
    let options = context.remaining(engine, options);
    if !run.finished {
        if context.patience != Patience::Once {
            terminal::message(&format!("resuming run {}", run.id));
        }
        if let Some(note) = other_output(&context, run) {
            terminal::message(&note);
        }
        let work = engine.resume(run, options);
        return Box::pin(until_stopped(&context, engine, place, work)).await;
    }
    if run.answers_deleted_at.is_some() {
        return deleted_answers::again(&context, engine, run, &place).await;
    }
    terminal::message(&match run.pilot_of {
        Some(_) => format!("the pilot of run {} has ended: 0 requests sent", run.id),
        None => format!("already answered by run {}: 0 requests sent", run.id),
    });
    if place.is_current {
        terminal::message(&format!(
            "output file {} is complete and unchanged",
            place.target.shown()
        ));
    }
    let finished = engine.results(run, options).await?;
    context.progress.finish();
    Box::pin(outcomes(&context, engine, &finished, place)).await
}
