//! End of a command on a run: outcomes, a run that is still in progress, or a failure.

use std::path::Path;

use lmbatch::engine::{RunResults, is_refused};
use lmbatch::record::{RunRecord, ShardRecord, ShardState};
use lmbatch::{Engine, Error, ErrorKind, Result as CoreResult};
use serde_json::{Value, json};

use super::clean::clean;
use super::run_context::{Patience, RunContext};
use super::run_facts::named;
use super::run_settings::absolute_path;
use super::{appear, pilot_ended, write};
use crate::exit::{Exit, Failure, is_wrong_address};
use crate::on_finish::{self, Ended};
use crate::signals::Handling;
use crate::sink::Place;
use crate::summary::Summary;
use crate::written::Written;
use crate::{format, hints, live, terminal, written};

/// Name of the note that holds the reason for which a run's create was refused.
pub(crate) const FAILURE: &str = "failure";

/// Advances a run to its end and writes its outcomes, or prints how to continue the run.
pub(crate) async fn until_stopped(
    context: &RunContext,
    engine: &Engine,
    place: Place,
    work: impl Future<Output = CoreResult<RunResults>>,
) -> Result<Exit, Failure> {
    match driven(context, engine, work).await? {
        Ok(finished) => {
            context.progress.writing(&place.target);
            outcomes(context, engine, &finished, place).await
        }
        Err(exit) => Ok(exit),
    }
}

/// Advances a run to its end. Returns the exit code if the command ends before, having printed how to continue the run.
pub(super) async fn driven(
    context: &RunContext,
    engine: &Engine,
    work: impl Future<Output = CoreResult<RunResults>>,
) -> Result<Result<RunResults, Exit>, Failure> {
    if context.progress.is_live()
        && let Ok(Some(run)) = recorded(context, engine).await
        && let Ok(usual) = live::usual(&**engine.ledger(), &run).await
    {
        context.progress.expect(u64::from(run.requests), usual);
    }
    let mut handling = Handling::new();
    let finished = tokio::select! {
        finished = work => finished,
        (exit, name) = handling.stopped() => {
            context.progress.finish();
            match next_command(context) {
                Some(command) => {
                    terminal::message(&format!("stopped by {name}; to continue:\n  {command}"));
                }
                None => terminal::message(&format!("stopped by {name}; the emulator ended with the command: run it again to begin anew")),
            }
            return Ok(Err(exit));
        }
    };
    drop(handling);
    match finished {
        Ok(finished) => Ok(Ok(finished)),
        Err(error) => {
            context.progress.finish();
            stopped_short(context, engine, error).await.map(Err)
        }
    }
}

/// Ends a command whose run did not end: the run is in progress, or failed. A failure runs the hook of the command.
pub(super) async fn stopped_short(
    context: &RunContext,
    engine: &Engine,
    error: Error,
) -> Result<Exit, Failure> {
    match stopped_at(context, engine, error).await {
        Err(failure) => Err(hooked(context, failure).await),
        exit => exit,
    }
}

/// Runs the hook of a command that fails, and returns the failure.
async fn hooked(context: &RunContext, failure: Failure) -> Failure {
    if let Some(command) = &context.report.on_finish.on_finish {
        let run = context.progress.run();
        let ended = Ended {
            run: run.as_deref(),
            exit: failure.exit,
            output: context.notes.output.display().to_string(),
            summary: failure.json(),
        };
        on_finish::run(command, ended).await;
    }
    failure
}

async fn stopped_at(context: &RunContext, engine: &Engine, error: Error) -> Result<Exit, Failure> {
    let (run, shards) = match recorded_shards(context, engine).await {
        Ok(Some(read)) => read,
        Ok(None) => return Err(error.into()),
        // The error that ended the run takes precedence over the failure to read its record.
        Err(unread) => {
            let failure = Failure::from(unread);
            terminal::warn(&format!("the record cannot be read: {}", failure.message));
            return Err(match context.progress.run() {
                Some(run) => Failure::from(error).of_run(&run),
                None => error.into(),
            });
        }
    };
    let is_timeout = error.kind() == ErrorKind::Timeout
        && error.http_status().is_none()
        && error.retry() == lmbatch::Retry::Permanent;
    if is_timeout || error.kind() == ErrorKind::NotEnded {
        return Ok(in_progress(context, &run, &shards));
    }
    let shards = match is_wrong_address(&error) {
        true => refuse_unsent(engine, shards).await?,
        false => shards,
    };
    let mut failure = Failure::from(error).of_run(&run.id);
    let first = failure.hint.take();
    if is_refused(&shards) && failure.exit == Exit::Failed {
        note_failure(engine, &run, &failure).await;
        let cause = first.map_or_else(String::new, |hint| format!("{hint}; "));
        return Err(failure.hint(format!("{cause}{}", after_refusal(&run))));
    }
    let first = first.map_or_else(String::new, |hint| format!("{hint}; then "));
    let command = hints::on_runs(["resume", &run.id]);
    let mut hint = format!("{first}to continue: {command}");
    if failure.exit == Exit::CostLimit {
        hint = format!(
            "to continue with a higher limit: {}; to write the outcomes so far: {}",
            hints::on_runs(["resume", &run.id, "--max-cost", "USD"]),
            hints::on_runs(["retrieve", &run.id, "--partial", "-o", "FILE"])
        );
    } else if failure.exit == Exit::Held && !shards.iter().any(is_in_doubt) {
        hint = of_a_copy(&run);
    } else if failure.exit == Exit::Held {
        hint.push_str(&format!(
            "; once the provider shows that the batch does not exist, to send its requests again (pays twice if it does exist): {}; or to report them as errors: {}",
            hints::on_runs(["resume", &run.id, "--on-doubt", "resubmit"]),
            abandon(&run)
        ));
    } else if failure.kind == "unfinished" && shards.iter().any(has_ended) {
        hint.push_str(&format!("; {}", without_rows(&run)));
    }
    Err(failure.hint(hint))
}

/// Ends a run that has sent no create, and could send none to the address that it has: the next command on its input
/// starts anew.
async fn refuse_unsent(
    engine: &Engine,
    shards: Vec<ShardRecord>,
) -> Result<Vec<ShardRecord>, Failure> {
    let is_unsent = |shard: &ShardRecord| {
        matches!(
            shard.state,
            ShardState::Planned | ShardState::Staged(_) | ShardState::Refused
        ) && shard.doubted.is_none()
    };
    if !shards.iter().all(is_unsent) {
        return Ok(shards);
    }
    let mut refused = Vec::new();
    for shard in shards {
        let shard = shard.advanced(ShardState::Refused);
        let epoch = engine.ledger().advance(&shard).await?;
        refused.push(ShardRecord { epoch, ..shard });
    }
    Ok(refused)
}

/// Reports whether the result of a create of a shard is unknown.
fn is_in_doubt(shard: &ShardRecord) -> bool {
    matches!(shard.state, ShardState::Posting(_) | ShardState::Doubt(_))
}

/// Returns the hint for a run that has created nothing and whose batches may exist nevertheless, since its record is a
/// copy.
fn of_a_copy(run: &RunRecord) -> String {
    format!(
        "nothing was sent; if the batches are those of this run, delete this record: {}, and take them back once they have ended: {}; if they belong to another program, to send the requests: {}",
        hints::on_runs(["purge", &run.id, "--force"]),
        hints::on_runs(["adopt", "BATCH", "INPUT", "-m", "PROVIDER/MODEL"]),
        hints::on_runs(["resume", &run.id, "--on-doubt", "resubmit"])
    )
}

/// Returns the command that abandons the unknown creates and results of a run.
fn abandon(run: &RunRecord) -> String {
    hints::on_runs(["resume", &run.id, "--on-doubt", "abandon"])
}

/// Returns the hint for results that may never arrive.
fn without_rows(run: &RunRecord) -> String {
    format!(
        "if the rows never arrive, to report them as missing: {}",
        abandon(run)
    )
}

/// Reports whether a run waits only for results of batches that have ended.
fn awaits_rows(context: &RunContext, shards: &[ShardRecord]) -> bool {
    let is_over = |shard: &ShardRecord| shard.state.is_final();
    let was_read = context.patience == Patience::Once || context.progress.awaits_results();
    was_read
        && shards.iter().any(has_ended)
        && shards
            .iter()
            .all(|shard| has_ended(shard) || is_over(shard))
}

/// Reports whether the batch of a shard has ended but its results are not fetched.
fn has_ended(shard: &ShardRecord) -> bool {
    matches!(shard.state, ShardState::Ended(_))
}

/// Reports a run that continues at the provider.
pub(crate) fn in_progress(context: &RunContext, run: &RunRecord, shards: &[ShardRecord]) -> Exit {
    let requests = u64::from(run.requests);
    let done = requests.saturating_sub(shards.iter().map(|shard| open(context, shard)).sum());
    let next = hints::on_runs(["resume", &run.id]);
    let batches: Vec<&str> = shards.iter().filter_map(batch).collect();
    let uncreated = shards.iter().filter(|shard| is_uncreated(shard)).count() as u64;
    let hint = awaits_rows(context, shards).then(|| without_rows(run));
    if context.report.json {
        terminal::json(&json!({
            "format": 1, "run": run.id, "name": run.name, "state": "running",
            "state_dir": context.session.folder(), "requests": requests, "done": done, "batches": batches,
            "uncreated_batches": uncreated, "output": absolute_path(&context.notes.output), "next": next, "hint": hint,
        }));
    }
    if context.patience == Patience::Detach {
        // Batches that another process has created count as well.
        terminal::message(&format!(
            "created {} (run {})",
            format::count(batches.len() as u64, "batch", "batches"),
            run.id
        ));
        if uncreated > 0 {
            terminal::message(&format!(
                "not created yet: {}; resume creates what the cost limit and the provider's quota have room for",
                format::count(uncreated, "batch", "batches")
            ));
        }
    } else {
        terminal::message(&format!(
            "running: {} of {} {} ended (run {})",
            format::number(done),
            format::number(requests),
            if requests == 1 { "request" } else { "requests" },
            run.id
        ));
    }
    if let Some(hint) = &hint {
        terminal::message(&format!(
            "every batch has ended, but not all results have arrived; {hint}"
        ));
    }
    if context.patience != Patience::Once && context.turns.is_none() {
        terminal::message(&format!("to continue: {next}"));
    }
    match context.patience {
        Patience::Detach => Exit::Usable,
        _ => Exit::Unfinished,
    }
}

/// Returns the number of requests of a shard that have no outcome yet.
fn open(context: &RunContext, shard: &ShardRecord) -> u64 {
    let count = u64::from(shard.count);
    match &shard.state {
        ShardState::Sealed { .. } | ShardState::Closed(_) => 0,
        ShardState::Ended(snapshot) => count.saturating_sub(snapshot.counts.finished()),
        ShardState::Created { batch, .. } => count.saturating_sub(context.progress.done(batch)),
        _ => count,
    }
}

/// Reports whether the batch of a shard is still to be created.
fn is_uncreated(shard: &ShardRecord) -> bool {
    shard.state.batch().is_none() && !shard.state.is_final()
}

/// Returns the id of a shard's batch, if one was created.
fn batch(shard: &ShardRecord) -> Option<&str> {
    match &shard.state {
        ShardState::Created { batch, .. } => Some(batch.as_str()),
        ShardState::Ended(snapshot) | ShardState::Sealed { snapshot, .. } => {
            Some(snapshot.id.as_str())
        }
        _ => None,
    }
}

/// Returns the failure of a command that needs outcomes of a run whose create was refused.
pub(crate) fn refused(run: &RunRecord) -> Failure {
    let message = format!("the run {} has failed, and has no outcomes", run.id);
    let failure = Failure::new(Exit::Failed, "refused", message).of_run(&run.id);
    failure.hint(after_refusal(run))
}

/// Returns the hint for a run whose create was refused. An unnamed run is replaced by the next command on its input.
pub(crate) fn after_refusal(run: &RunRecord) -> String {
    let mut text = "no batch was created; fix the cause and run the command again".to_owned();
    if run.name.is_some() {
        text.push_str(&format!(
            "; where that changes its input or options, delete this run first: {}",
            hints::on_runs(["purge", &run.id, "--force"])
        ));
    }
    text
}

/// Stores the reason of a refused create in the run's record. A failure to store it is only a warning.
async fn note_failure(engine: &Engine, run: &RunRecord, failure: &Failure) {
    let mut notes = run.notes.clone();
    let text =
        json!({"message": failure.message, "provider_message": failure.about.provider_message});
    notes.insert(FAILURE.into(), text.to_string().into());
    if let Err(error) = engine.annotate(run, notes).await {
        terminal::warn(&format!(
            "the reason could not be stored with the run: {error}"
        ));
    }
}

/// Returns the stored reason of a refused create: lmbatch's message, and the provider's message.
pub(crate) fn noted_failure(run: &RunRecord) -> Option<(String, Option<String>)> {
    let note: Value = serde_json::from_str(run.notes.get(FAILURE)?).ok()?;
    let text = |name: &str| note[name].as_str().map(str::to_owned);
    let said = text("provider_message").and_then(|said| crate::plain::provider_text(&said));
    Some((text("message")?, said))
}

/// Reads the current record of the run.
async fn recorded(context: &RunContext, engine: &Engine) -> CoreResult<Option<RunRecord>> {
    match context.progress.run() {
        Some(id) => engine.ledger().run(&id).await,
        None => Ok(None),
    }
}

/// Reads the current record of the run and of its shards.
async fn recorded_shards(
    context: &RunContext,
    engine: &Engine,
) -> CoreResult<Option<(RunRecord, Vec<ShardRecord>)>> {
    Ok(match recorded(context, engine).await? {
        Some(run) => {
            let shards = engine.ledger().shards(&run.id).await?;
            Some((run, shards))
        }
        None => None,
    })
}

/// Returns the command that continues the run, if the run is recorded.
fn next_command(context: &RunContext) -> Option<String> {
    if context.emulated {
        return None;
    }
    let run = context.progress.run()?;
    Some(hints::on_runs(["resume", &run]))
}

/// Writes every outcome to its place, or only counts them if the output already exists.
pub(crate) async fn outcomes(
    context: &RunContext,
    engine: &Engine,
    finished: &RunResults,
    place: Place,
) -> Result<Exit, Failure> {
    let (notes, report) = (&context.notes, &context.report);
    let run = recorded(context, engine).await?;
    // A file with the outcomes of a pilot would look like that of the whole run.
    if let Some(run) = run.as_ref().filter(|run| run.pilot_of.is_some())
        && !context.only_reads
    {
        return Box::pin(pilot_ended::ended(context, engine, finished, run)).await;
    }
    let batches = finished.batches();
    let summary = Summary::new(
        notes.provider.id(),
        &notes.model,
        &batches,
        &notes.output.display().to_string(),
        context.emulated,
        run.as_ref().map(|run| &*run.id),
    );
    let summary = summary.with_state(context.session.folder());
    let accept = notes.kept.accept().to_vec();
    let turn = match &context.turns {
        Some(turns) => Some(turns.output(&place).await),
        None => None,
    };
    let written = write(engine, finished, notes.form(), place, summary, accept).await;
    context.progress.finish();
    let (mut summary, complete) = match written {
        Ok(written) => written,
        Err(failure) => return Err(hooked(context, unwritten(failure, run.as_ref())).await),
    };
    // Recorded before the file appears: a later command refuses a file that is not recorded as the run's own.
    if let Some(run) = run.as_ref().filter(|_| finished.is_complete())
        && let Some(new) = complete.written(written::version(run, notes))
        && !context.only_reads
    {
        let new = Written {
            // Later commands may run in another folder.
            path: absolute_path(Path::new(&new.path)),
            at: format::seconds(engine.clock().now()),
            unusable: Some(summary.unusable_count()),
            is_incomplete: summary.is_incomplete(),
            ..new
        };
        let mut noted = written::noted(run, new);
        if let Some(output) = &context.moved_to {
            noted.insert("output".into(), absolute_path(output).into());
        }
        engine.annotate(run, noted).await?;
    }
    if let Err(failure) = appear(complete) {
        return Err(hooked(context, unwritten(failure, run.as_ref())).await);
    }
    let totals = match &run {
        Some(run) if run.attempt > 0 || run.order.is_some() => {
            Some(engine.batch_totals(run).await?)
        }
        _ => None,
    };
    drop(turn);
    if let (Some(run), Some(recorder)) = (&run, context.session.recorder())
        && finished.is_complete()
    {
        recorder.forget(&run.id);
    }
    summary.bill(totals.as_deref(), &batches);
    summary.price(totals.as_deref(), engine);
    summary.finish(engine.clock().elapsed() - context.start);
    summary.pilot.clone_from(&context.pilot);
    if let Some(left) = clean(context, engine).await {
        summary.leave(&left);
    }
    if report.json {
        terminal::json(&summary);
    }
    match (&context.turns, &run) {
        (Some(_), Some(run)) => {
            let run = named(run);
            terminal::message(&format!("{run}: {}", summary.line()));
            for line in summary.troubles().iter().chain(&summary.unusable()) {
                terminal::message(&format!("{run}: {}", line.trim_start()));
            }
        }
        _ => {
            terminal::message(&summary.table());
            for line in summary.troubles().iter().chain(&summary.unusable()) {
                terminal::message(line);
            }
        }
    }
    if let Some(run) = &run
        && let Some(line) = context.unrepaired(&run.id, summary.invalid_structured())
    {
        terminal::message(&format!("warning: {line}"));
    }
    let exit = summary.exit(notes.kept.max_failed());
    if let Some(command) = &report.on_finish.on_finish {
        let ended = Ended {
            run: run.as_ref().map(|run| &*run.id),
            exit,
            output: notes.output.display().to_string(),
            // Maps with text keys, numbers and lists always serialise.
            summary: serde_json::to_value(&summary).unwrap_or_default(),
        };
        on_finish::run(command, ended).await;
    }
    Ok(exit)
}

/// Adds the hint for a run whose outcomes are in the record but not in an output.
fn unwritten(mut failure: Failure, run: Option<&RunRecord>) -> Failure {
    match run {
        Some(run) if !failure.message.is_empty() => {
            let command = hints::on_runs(["retrieve", &run.id, "-o", "OUTPUT"]);
            let stored = format!("the outcomes are stored; to write them: {command}");
            let hint = match failure.hint.take() {
                Some(first) => format!("{first}; {stored}"),
                None => stored,
            };
            failure.of_run(&run.id).hint(hint)
        }
        _ => failure,
    }
}
