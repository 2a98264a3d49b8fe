//! Runs whose prompts and answers were deleted from this machine: the record is left, and the output that was written.

use std::time::SystemTime;

use lmbatch::Engine;
use lmbatch::adapter::format_time;
use lmbatch::record::{RunRecord, ShardRecord};
use serde_json::json;

use super::run_context::RunContext;
use super::run_settings::RunSettings;
use crate::exit::{Exit, Failure};
use crate::on_finish::{self, Ended};
use crate::sink::Place;
use crate::{format, hints, terminal, written};

/// Refuses a command that needs the answers of a run, if they were deleted from this machine.
///
/// # Errors
/// A failure that names the day, and the places where the answers may still be.
pub(super) async fn check(engine: &Engine, run: &RunRecord) -> Result<(), Failure> {
    let Some(at) = run.answers_deleted_at else {
        return Ok(());
    };
    let notes = RunSettings::read(run)?;
    let now = engine.clock().now();
    let mut places = vec![output(run, &notes)];
    if !notes.emulated {
        let shards = engine.ledger().shards(&run.id).await?;
        let left = engine.remaining(run).await?;
        places.push(at_provider(&notes, &shards, left.batches, left.until, now));
    }
    let message = format!(
        "the prompts and answers of run {} were deleted from this machine on {}",
        run.id,
        day(at)
    );
    let failure = Failure::new(Exit::Failed, "answers_deleted", message).of_run(&run.id);
    Err(failure.hint(format!(
        "{}; to send its requests, and pay for them, again: run with --new",
        places.join("; ")
    )))
}

/// Returns the number of unusable outcomes of a run, as recorded with its output, and the exit code that it means.
pub(super) fn ended(run: &RunRecord, notes: &RunSettings) -> (u64, Exit) {
    let version = written::version(run, notes);
    let outputs = written::recorded(run);
    let current = outputs.iter().find(|one| one.version == version);
    let unusable = current.and_then(|one| one.unusable).unwrap_or_default();
    let max_failed = notes.kept.max_failed();
    match max_failed.allows(unusable, u64::from(run.requests)) {
        true => (unusable, Exit::Usable),
        false => (unusable, Exit::Unusable),
    }
}

/// Names the output that the answers were written to.
fn output(run: &RunRecord, notes: &RunSettings) -> String {
    let version = written::version(run, notes);
    let outputs = written::recorded(run);
    match outputs.iter().find(|one| one.version == version) {
        Some(one) => format!("they were written to {}", terminal::plain(&one.path)),
        None => "no output file of them is recorded".to_owned(),
    }
}

/// Says until when the provider keeps the results, and how to fetch those of a batch.
fn at_provider(
    notes: &RunSettings,
    shards: &[ShardRecord],
    batches: u64,
    until: Option<SystemTime>,
    now: SystemTime,
) -> String {
    let provider = notes.provider.id();
    let batch = shards.iter().find_map(|shard| shard.state.batch());
    let (Some(batch), 1..) = (batch, batches) else {
        return format!("{provider} keeps no results of the run");
    };
    let results = format!(
        "the results of {}",
        format::count(batches, "batch", "batches")
    );
    match until {
        Some(until) if until <= now => {
            format!("{provider} kept {results} until {}", day(until))
        }
        until => {
            let time = until.map_or_else(
                || format!("{provider} may still have {results}"),
                |until| format!("{provider} keeps {results} until {}", day(until)),
            );
            format!(
                "{time}: {}",
                hints::command(["retrieve", batch.as_str(), "-p", provider])
            )
        }
    }
}

/// Formats the day of a time, such as `2026-11-27`.
fn day(at: SystemTime) -> String {
    let text = format_time(at);
    text.split('T').next().unwrap_or(&text).to_owned()
}

/// Ends a command whose run was answered, and whose answers were deleted since. Nothing is sent and nothing is written.
///
/// # Errors
/// That of [`check`], if the output is not there as it was written.
pub(super) async fn again(
    context: &RunContext,
    engine: &Engine,
    run: &RunRecord,
    place: &Place,
) -> Result<Exit, Failure> {
    context.progress.finish();
    terminal::message(&format!(
        "already answered by run {}: 0 requests sent",
        run.id
    ));
    if !place.is_current {
        check(engine, run).await?;
    }
    let requests = u64::from(run.requests);
    let (unusable, exit) = ended(run, &context.notes);
    let output = place.target.shown();
    let summary = json!({
        "format": 1, "run": run.id, "name": run.name, "state": "finished",
        "state_dir": context.session.folder(), "requests": requests, "unusable": unusable,
        "output": output, "answers_deleted_at": run.answers_deleted_at.map(format_time),
    });
    if context.report.json {
        terminal::json(&summary);
    }
    terminal::message(&format!("output file {output} is complete and unchanged"));
    if let Some(at) = run.answers_deleted_at {
        terminal::message(&format!(
            "its prompts and answers were deleted from the state folder on {}",
            day(at)
        ));
    }
    if unusable > 0 {
        terminal::message(&format!(
            "{} of {} not usable",
            format::number(unusable),
            format::count(requests, "output is", "outputs are")
        ));
    }
    if let Some(command) = &context.report.on_finish.on_finish {
        let ended = Ended {
            run: Some(&*run.id),
            exit,
            output,
            summary,
        };
        on_finish::run(command, ended).await;
    }
    Ok(exit)
}
