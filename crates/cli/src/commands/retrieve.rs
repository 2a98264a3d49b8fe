//! `lmbatch retrieve`: writes the outcomes of one batch from its provider, or of a run from its record.

use std::sync::Arc;
use std::time::Duration;

use lmbatch::engine::{RunResults, is_refused};
use lmbatch::{
    BatchHandle, BatchId, DoubtPolicy, Engine, ErrorKind, OnDoubt, Result as CoreResult, WireId,
};

use super::batch::{NamedBatch, named};
use super::continuing::unfinished;
use super::end::{self, outcomes};
use super::run_context::{Patience, RunContext, read_by};
use super::{appear, clock, deleted_answers, pilot_facts, recorded_batch, state, write};
use crate::args::{ReportArgs, RetrieveArgs};
use crate::exit::{Exit, Failure};
use crate::progress::Progress;
use crate::rendering::OutcomeForm;
use crate::session::Session;
use crate::sink::Place;
use crate::summary::Summary;
use crate::{format, hints, output_format, target, terminal};
use lmbatch_lines::{LineOrigin, ProviderLines};

pub(crate) async fn retrieve(session: &Arc<Session>, args: RetrieveArgs) -> Result<Exit, Failure> {
    if args.batch.provider.is_none() && args.batch.handle.is_none() {
        return of_run(session, &args).await;
    }
    let format = output_format::rows(&args.output, args.format.output_format)?;
    output_format::check_options(format, args.raw, &[])?;
    let clock = clock();
    let start = clock.elapsed();
    let target = target::check(&args.output, args.force)?;
    if let Some(handle) = &args.batch.handle {
        target::distinct(&target, &[("the handle", handle)])?;
    }
    let NamedBatch {
        provider,
        mut engine,
        batch,
        handle,
    } = named(session, &args.batch)?;
    if let Some(time) = args.doubt_wait {
        engine = engine.with_doubt(DoubtPolicy::within(time));
    }
    let recorded = match &handle {
        Some(_) => None,
        None => recorded_batch::find(session, &engine, &args.state, &batch).await,
    };
    let of_record = recorded.as_ref().and_then(|one| one.handle.clone());
    let is_of_record = of_record.is_some();
    let handle = handle.or(of_record);
    let finished = match read(&engine, handle.as_ref(), &batch).await {
        Err(error) if error.kind() == ErrorKind::Timeout => {
            // Delivered rows are written, even if others are missing.
            let engine = engine.clone().with_on_doubt(OnDoubt::Abandon);
            let engine = engine.with_doubt(DoubtPolicy::within(Duration::ZERO));
            match read(&engine, handle.as_ref(), &batch).await {
                Ok(finished) if finished.rows() > 0 => finished,
                _ => return Err(error.into()),
            }
        }
        Err(error) if error.kind() == ErrorKind::OtherAccount => {
            return Err(Failure::from(error)
                .hint("set the key and --base-url with which the batch was created"));
        }
        finished => finished?,
    };
    let batches = finished.batches();
    let of_batch = batches.first().copied();
    let model = of_batch.and_then(|batch| batch.model.clone());
    let model = model.unwrap_or_default();
    let form = match (format.table(&[], &[], false), format.of_provider()) {
        (Some(table), _) => OutcomeForm::Table(Box::new(table)),
        (None, Some(format)) => OutcomeForm::Provider(ProviderLines::new(format, &*model)),
        (None, None) => OutcomeForm::Lines(LineOrigin {
            provider: provider.id().to_owned(),
            emulated: false,
            raw: args.raw,
        }),
    };
    let output = args.output.display().to_string();
    let summary = Summary::new(provider.id(), &model, &batches, &output, false, None);
    let place = Place::new(target, args.force);
    let (mut summary, complete) =
        write(&engine, &finished, form, place, summary, Vec::new()).await?;
    appear(complete)?;
    summary.bill(None, &batches);
    summary.price(None, &engine);
    summary.finish(clock.elapsed() - start);
    terminal::message(&summary.table());
    for line in summary.troubles() {
        terminal::message(&line);
    }
    if let Some(recorded) = recorded.as_ref().filter(|_| is_of_record) {
        terminal::message(&format!(
            "the ids are those of the input of run {}, by its record",
            recorded.run
        ));
    }
    // A run that is recorded cannot be adopted.
    if handle.is_none() && recorded.is_none() && bears_our_ids(&engine, &finished)? {
        let model = format!("{}/MODEL", provider.id());
        let adopt = ["adopt", batch.as_str(), "INPUT", "-m", &model];
        terminal::message(
            "the ids of the batch are those of a run of lmbatch, which number the lines of its input; to restore the ids of the input:",
        );
        terminal::message(&format!("  {}", hints::on_runs(adopt)));
    }
    let mismatch = finished.count_mismatch();
    let total = of_batch.and_then(|batch| batch.counts.total);
    let is_told = mismatch.is_some() || handle.is_some();
    if let Some(total) = total.filter(|total| !is_told && *total > summary.requests) {
        terminal::warn(&format!(
            "the provider counts {} in batch {batch}, and its results name {}",
            format::count(total, "request", "requests"),
            format::number(summary.requests)
        ));
    }
    // Fewer rows than the provider counts mean that the results are incomplete.
    if finished.undelivered() > 0 || mismatch.is_some_and(|mismatch| mismatch.is_short()) {
        terminal::message(
            "the results are incomplete; the rows so far are written, and the same command with --force reads them again",
        );
        return Ok(Exit::Unfinished);
    }
    Ok(match of_batch {
        Some(batch) => summary.exit_of_batch(batch),
        None => Exit::Unusable,
    })
}

/// Writes the outcomes of a run from its record alone, without contacting the provider.
async fn of_run(session: &Arc<Session>, args: &RetrieveArgs) -> Result<Exit, Failure> {
    let wanted = args.batch.batch.as_deref().unwrap_or_default();
    let state = state::holding(session, &args.state, wanted).await?;
    let (run, mut notes, engine) = state::recorded(session, wanted, &state).await?;
    let target = target::check(&args.output, args.force)?;
    target::distinct(&target, &read_by(&notes))?;
    let clock = clock();
    let engine = engine.with_clock(Arc::clone(&clock));
    notes.output.clone_from(&args.output);
    notes.format = output_format::rows(&args.output, args.format.output_format)?;
    notes.raw = args.raw;
    output_format::check_options(notes.format, notes.raw, &[])?;
    if !run.finished && !args.partial {
        let shards = engine.ledger().shards(&run.id).await?;
        return Err(match is_refused(&shards) {
            true => end::refused(&run),
            false => unfinished(&run),
        });
    }
    deleted_answers::check(&engine, &run).await?;
    let finished = engine.partial_results(&run).await?;
    let emulated = notes.emulated;
    let context = RunContext {
        session: Arc::clone(session),
        notes,
        report: ReportArgs {
            force: args.force,
            ..ReportArgs::default()
        },
        emulated,
        emulation: None,
        start: clock.elapsed(),
        progress: Arc::new(Progress::new(true)),
        patience: Patience::Once,
        only_reads: true,
        notes_of_record: true,
        moved_to: None,
        turns: None,
        pilot: None,
        unapplied_repairs: None,
    };
    context.progress.keep_run(&run.id);
    let place = Place::new(target, args.force);
    let exit = outcomes(&context, &engine, &finished, place).await?;
    if let Some(part) = pilot_facts::part(&run) {
        terminal::message(&format!("run {} is a pilot: {part}", run.id));
    }
    Ok(if finished.is_complete() {
        exit
    } else {
        Exit::Unfinished
    })
}

/// Reads the results of a batch, with its handle if there is one.
async fn read(
    engine: &Engine,
    handle: Option<&BatchHandle>,
    batch: &BatchId,
) -> CoreResult<RunResults> {
    match handle {
        Some(handle) => engine.retrieve(handle).await,
        None => engine.retrieve_rows(batch, Vec::new()).await,
    }
}

/// Reports whether the first outcome has an id that lmbatch generated.
fn bears_our_ids(engine: &Engine, finished: &RunResults) -> Result<bool, Failure> {
    let mut reader = engine.outcomes(finished)?;
    let first = reader.next()?;
    let id = first.and_then(|answered| serde_json::from_str::<String>(answered.id.as_str()).ok());
    Ok(id.is_some_and(|id| WireId::parts(&id).is_some()))
}
