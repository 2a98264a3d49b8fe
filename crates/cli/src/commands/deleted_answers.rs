//! Runs whose prompts and answers were deleted from this machine: the record is left, and the output that was written.

use std::path::Path;
use std::time::SystemTime;

use lmbatch::adapter::format_time;
use lmbatch::record::{RunRecord, ShardRecord, ShardState};
use lmbatch::{BatchId, Engine};
use serde_json::json;

use super::run_context::RunContext;
use super::run_settings::{RunSettings, absolute_path};
use crate::exit::{Exit, Failure};
use crate::on_finish::{self, Ended};
use crate::sink::Place;
use crate::{format, hints, remote, terminal, written};

/// Maximum number of commands that fetch results; a run may have thousands of batches.
const COMMANDS: usize = 20;

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
    let (mut places, mut commands) = (vec![output(run, &notes)], Vec::new());
    if !notes.emulated {
        let shards = engine.ledger().shards(&run.id).await?;
        let batches = stored(run, &shards);
        let until = engine.remaining(run).await?.until;
        places.push(at_provider(&notes, batches.len(), until, now));
        if !batches.is_empty() && until.is_none_or(|until| until > now) {
            commands = fetching(run, &notes, &batches);
        }
    }
    let message = format!(
        "the prompts and answers of run {} were deleted from this machine on {}",
        run.id,
        day(at)
    );
    let failure = Failure::new(Exit::Failed, "answers_deleted", message).of_run(&run.id);
    Err(failure.with_details(commands).hint(format!(
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

/// Returns the batches whose results were fetched and not deleted at the provider since, in the order in which they were
/// created.
fn stored<'s>(run: &RunRecord, shards: &'s [ShardRecord]) -> Vec<&'s BatchId> {
    let is_there = |shard: &&ShardRecord| {
        let is_sealed = matches!(shard.state, ShardState::Sealed { .. });
        is_sealed && !run.cleaned.is_some_and(|cleaned| cleaned.batches(shard))
    };
    let shards = shards.iter().filter(is_there);
    shards.filter_map(|shard| shard.state.batch()).collect()
}

/// Says until when the provider keeps the results.
fn at_provider(
    notes: &RunSettings,
    batches: usize,
    until: Option<SystemTime>,
    now: SystemTime,
) -> String {
    let provider = notes.provider.id();
    if batches == 0 {
        return format!("{provider} keeps no results of the run");
    }
    let results = format!(
        "the results of {}",
        format::count(batches as u64, "batch", "batches")
    );
    match until {
        Some(until) if until <= now => format!("{provider} kept {results} until {}", day(until)),
        Some(until) => format!("{provider} keeps {results} until {}", day(until)),
        None => format!("{provider} may still have {results}"),
    }
}

/// Returns the commands that fetch the results of batches again, each into a file of its own beside the output.
fn fetching(run: &RunRecord, notes: &RunSettings, batches: &[&BatchId]) -> Vec<String> {
    let mut lines = vec!["to fetch its results again, with the ids of the input:".to_owned()];
    for (at, batch) in batches.iter().enumerate().take(COMMANDS) {
        let file = retrieved(&notes.output, at + 1);
        let mut words = vec!["retrieve", batch.as_str(), "-p", notes.provider.id()];
        let connection = &notes.connection;
        for (flag, value) in [
            ("--base-url", &connection.base_url),
            ("--key-env", &connection.key_env),
        ] {
            if let Some(value) = value {
                words.extend([flag, value]);
            }
        }
        words.extend(["-o", &file]);
        lines.push(hints::on_runs(words));
    }
    if batches.len() > COMMANDS {
        lines.push(format!(
            "and so on for the other batches, which {} lists",
            hints::on_runs(["show", &run.id])
        ));
    }
    lines
}

/// Returns the path of a file for the results of a batch, beside the output of its run.
fn retrieved(output: &Path, number: usize) -> String {
    let is_local = output != Path::new("-") && remote::url(output).is_none();
    match output.file_name().filter(|_| is_local) {
        Some(name) => {
            let name = format!("retrieved-{number}-{}", name.to_string_lossy());
            output.with_file_name(name).display().to_string()
        }
        None => format!("retrieved-{number}.jsonl"),
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
    let (requests, notes) = (u64::from(run.requests), &context.notes);
    let (unusable, exit) = ended(run, notes);
    let output = place.target.shown();
    let shards = engine.ledger().shards(&run.id).await?;
    let batches: Vec<&BatchId> = shards
        .iter()
        .filter_map(|shard| shard.state.batch())
        .collect();
    let summary = json!({
        "format": 1, "run": run.id, "name": run.name, "state": "finished",
        "state_dir": context.session.folder(), "requests": requests,
        "usable": requests.saturating_sub(unusable), "unusable": unusable,
        "provider": notes.provider.id(), "model": notes.model, "batch": batches.first(), "batches": batches,
        "emulated": context.emulated, "output": absolute_path(Path::new(&output)),
        "answers_deleted_at": run.answers_deleted_at.map(format_time),
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
