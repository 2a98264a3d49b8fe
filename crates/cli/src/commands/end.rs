//! The end of a command on a run: outcomes, a run that is still in progress, or a failure.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lmbatch_core::{Error, ErrorKind, Result as CoreResult, RunRecord, ShardRecord, ShardState};
use lmbatch_engine::{Engine, Finished, Left, RunOptions};
use serde_json::{Value, json};

use super::kept::Kept;
use super::state::{self, Notes};
use super::turns::Turns;
use super::{appear, write};
use crate::args::{Cleanup, ReportArgs};
use crate::exit::{Exit, Failure};
use crate::output::Origin;
use crate::progress::Progress;
use crate::signals::Handling;
use crate::sink::{Place, Replace};
use crate::summary::Summary;
use crate::target::{self, Target};
use crate::words::{self, number};
use crate::written::{self, Found};
use crate::{next, terminal};

/// The note of a run whose create was refused: why.
pub(crate) const FAILURE: &str = "failure";

/// A run under way, as the command sees it.
#[derive(Debug)]
pub(crate) struct Going {
    pub(crate) notes: Notes,
    pub(crate) report: ReportArgs,
    pub(crate) emulated: bool,
    pub(crate) start: Duration,
    pub(crate) progress: Arc<Progress>,
    pub(crate) patience: Patience,
    /// Whether the record is only read: nothing is noted, and nothing deleted at the provider.
    pub(crate) only_reads: bool,
    /// Whether the notes are those of the run's record. Where another process may have advanced the run since
    /// they were read, they are read again.
    pub(crate) notes_of_record: bool,
    /// Another output than that of the run's record. The record names it once it is written.
    pub(crate) moved_to: Option<PathBuf>,
    /// Where the run is one of many of the command: what only a few of them do at once.
    pub(crate) turns: Option<Turns>,
}

impl Going {
    /// Takes what the command does not say from the run that it continues.
    pub(crate) fn keeping(
        &mut self,
        engine: Engine,
        run: &RunRecord,
        options: RunOptions,
    ) -> (Engine, RunOptions) {
        let said = std::mem::take(&mut self.notes.kept);
        self.notes.kept = said.or(Kept::read(run));
        let options = RunOptions {
            max_attempts: Some(self.notes.kept.max_attempts()),
            ..options
        };
        (
            engine.with_batch_limit(self.notes.kept.limit().limit()),
            options,
        )
    }

    /// Returns the options with the time that is left of `--timeout`, which bounds the whole command.
    pub(crate) fn remaining(&self, engine: &Engine, options: RunOptions) -> RunOptions {
        let spent = engine.clock().elapsed().saturating_sub(self.start);
        let deadline = options.deadline.map(|all| all.saturating_sub(spent));
        RunOptions {
            deadline,
            ..options
        }
    }
}

/// How long a command waits for its run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Until the run has ended, or time is up.
    Wait,
    /// One look, by `--once`.
    Once,
    /// Until its batches are created, by `--detach`.
    Detach,
}

/// Finds the place of a run's outcomes: a file is left alone if it is the run's output, replaced if it is an
/// earlier one, and refused if it is anything else. Called before anything is sent.
pub(crate) fn place(going: &Going, run: &RunRecord, will_change: bool) -> Result<Place, Failure> {
    let (notes, force) = (&going.notes, going.report.force);
    let target = Target::of(&notes.output)?;
    target::distinct(&target, &read_by(notes))?;
    target.keep_stdout();
    let mut place = Place::new(target, force);
    let Target::File { path, exists: true } = &place.target else {
        place.target.probe()?;
        return Ok(place);
    };
    let outputs = written::recorded(run);
    let version = written::version(run, notes.raw);
    let found = written::compare(path, &outputs, &version)
        .map_err(|error| Error::local("reading the output", error))?;
    let is_over = run.finished && !will_change;
    match found {
        Found::Current if is_over && !force => place.is_current = true,
        Found::Other if !force => return Err(target::exists(&notes.output)),
        _ => place.target.probe()?,
    }
    if !force {
        place.replace = Replace::Own(outputs);
    }
    Ok(place)
}

/// Files that a run reads, by its notes.
pub(super) fn read_by(notes: &Notes) -> Vec<(&'static str, &Path)> {
    let mut read = vec![("the input", notes.input.as_path())];
    if let Some(settings) = &notes.settings {
        read.extend(settings.reads());
    }
    read
}

/// Takes a run to its end and writes its outcomes, or says how to continue it.
pub(crate) async fn until_stopped(
    going: &Going,
    engine: &Engine,
    place: Place,
    work: impl Future<Output = CoreResult<Finished>>,
) -> Result<Exit, Failure> {
    let mut handling = Handling::new();
    let finished = tokio::select! {
        finished = work => finished,
        (exit, name) = handling.stopped() => {
            going.progress.finish();
            match next_command(going) {
                Some(command) => {
                    terminal::say(&format!("stopped by {name}; to continue:\n  {command}"));
                }
                None => terminal::say(&format!("stopped by {name}; what was emulated ends with it")),
            }
            return Ok(exit);
        }
    };
    drop(handling);
    going.progress.finish();
    match finished {
        Ok(finished) => outcomes(going, engine, &finished, place).await,
        Err(error) => stopped_short(going, engine, error).await,
    }
}

/// The end of a command whose run did not end: in progress, or in error.
pub(super) async fn stopped_short(
    going: &Going,
    engine: &Engine,
    error: Error,
) -> Result<Exit, Failure> {
    let (run, shards) = match recorded_shards(going, engine).await {
        Ok(Some(read)) => read,
        Ok(None) => return Err(error.into()),
        // What ended the run comes first; a record that cannot be read says no more about it.
        Err(unread) => {
            let failure = Failure::from(unread);
            terminal::warn(&format!("the record cannot be read: {}", failure.message));
            return Err(match going.progress.run() {
                Some(run) => Failure::from(error).of_run(&run),
                None => error.into(),
            });
        }
    };
    let is_waiting = error.kind() == ErrorKind::Timeout
        && error.http_status().is_none()
        && error.retry() == lmbatch_core::Retry::Permanent;
    if is_waiting {
        return Ok(in_progress(going, &run, &shards));
    }
    let mut failure = Failure::from(error).of_run(&run.id);
    let first = failure.hint.take();
    if is_refused(&shards) && failure.exit == Exit::Failed {
        note_failure(engine, &run, &failure).await;
        let cause = first.map_or_else(String::new, |hint| format!("{hint}; "));
        return Err(failure.hint(format!("{cause}{}", after_refusal(&run))));
    }
    let first = first.map_or_else(String::new, |hint| format!("{hint}; then "));
    let command = next::on_runs(["resume", &run.id]);
    let mut hint = format!("{first}to continue: {command}");
    if failure.exit == Exit::Held {
        hint.push_str(&format!(
            "; once the provider shows that there is no such batch, to send its requests again, which pays twice if there is one: {}; or to give them up as errors: {}",
            next::on_runs(["resume", &run.id, "--on-doubt", "resubmit"]),
            abandon(&run)
        ));
    } else if failure.kind == "unfinished" && shards.iter().any(has_ended) {
        hint.push_str(&format!("; {}", without_rows(&run)));
    }
    Err(failure.hint(hint))
}

/// The command that gives up what is in doubt about a run.
fn abandon(run: &RunRecord) -> String {
    next::on_runs(["resume", &run.id, "--on-doubt", "abandon"])
}

/// The way on from results that never come: no waiting helps then.
fn without_rows(run: &RunRecord) -> String {
    format!(
        "if the rows never come, to end without them, as missing: {}",
        abandon(run)
    )
}

/// Reports whether a run waits for results of batches that have ended, and for nothing else.
fn awaits_rows(going: &Going, shards: &[ShardRecord]) -> bool {
    let is_over = |shard: &ShardRecord| shard.state.is_final();
    let was_read = going.patience == Patience::Once || going.progress.awaits_results();
    was_read
        && shards.iter().any(has_ended)
        && shards
            .iter()
            .all(|shard| has_ended(shard) || is_over(shard))
}

/// Reports whether the batch of a shard has ended, and its results have not come.
fn has_ended(shard: &ShardRecord) -> bool {
    matches!(shard.state, ShardState::Ended(_))
}

/// Reports a run that continues at the provider.
pub(crate) fn in_progress(going: &Going, run: &RunRecord, shards: &[ShardRecord]) -> Exit {
    let requests = u64::from(run.requests);
    let done = requests.saturating_sub(shards.iter().map(|shard| open(going, shard)).sum());
    let next = next::on_runs(["resume", &run.id]);
    let batches: Vec<&str> = shards.iter().filter_map(batch).collect();
    let hint = awaits_rows(going, shards).then(|| without_rows(run));
    if going.report.json {
        terminal::json(&json!({
            "format": 1, "run": run.id, "name": run.name, "state": "running",
            "state_dir": state::used(), "requests": requests, "done": done, "batches": batches,
            "output": going.notes.output, "next": next, "hint": hint,
        }));
    }
    if going.patience == Patience::Detach {
        // Those of another process that creates them count as well.
        terminal::say(&format!(
            "created {} (run {})",
            words::count(batches.len() as u64, "batch", "batches"),
            run.id
        ));
    } else {
        terminal::say(&format!(
            "in progress: {} of {} {} (run {})",
            number(done),
            number(requests),
            if requests == 1 { "request" } else { "requests" },
            run.id
        ));
    }
    if let Some(hint) = &hint {
        terminal::say(&format!(
            "every batch has ended, and not all of its results have come; {hint}"
        ));
    }
    if going.patience != Patience::Once && going.turns.is_none() {
        terminal::say(&format!("to continue: {next}"));
    }
    match going.patience {
        Patience::Detach => Exit::Usable,
        _ => Exit::Unfinished,
    }
}

/// Requests of a batch that have no outcome yet.
fn open(going: &Going, shard: &ShardRecord) -> u64 {
    let count = u64::from(shard.count);
    match &shard.state {
        ShardState::Sealed { .. } | ShardState::Closed(_) => 0,
        ShardState::Ended(snapshot) => count.saturating_sub(snapshot.counts.finished()),
        ShardState::Created { batch, .. } => count.saturating_sub(going.progress.done(batch)),
        _ => count,
    }
}

/// The batch of a shard, where one was created.
fn batch(shard: &ShardRecord) -> Option<&str> {
    match &shard.state {
        ShardState::Created { batch, .. } => Some(batch.as_str()),
        ShardState::Ended(snapshot) | ShardState::Sealed { snapshot, .. } => {
            Some(snapshot.id.as_str())
        }
        _ => None,
    }
}

/// Reports whether the provider refused a create for good, and no other batch of the run may exist.
pub(crate) fn is_refused(shards: &[ShardRecord]) -> bool {
    let is_free = |shard: &ShardRecord| {
        matches!(
            shard.state,
            ShardState::Refused | ShardState::Planned | ShardState::Staged(_)
        )
    };
    let refused = |shard: &ShardRecord| matches!(shard.state, ShardState::Refused);
    shards.iter().any(refused) && shards.iter().all(is_free)
}

/// The failure of a command that needs outcomes of a run whose create was refused.
pub(crate) fn refused(run: &RunRecord) -> Failure {
    let message = format!("the run {} has failed, and has no outcomes", run.id);
    let failure = Failure::new(Exit::Failed, "refused", message).of_run(&run.id);
    failure.hint(after_refusal(run))
}

/// What to do about a run whose create was refused. An unnamed run is replaced by the next command on its input.
pub(crate) fn after_refusal(run: &RunRecord) -> String {
    let mut text = "no batch was created; fix the cause and run the command again".to_owned();
    if run.name.is_some() {
        text.push_str(&format!(
            "; where that changes its input or options, delete this run first: {}",
            next::on_runs(["purge", &run.id, "--force"])
        ));
    }
    text
}

/// Keeps the reason of a refused create with the run. The failure is reported whether that works or not.
async fn note_failure(engine: &Engine, run: &RunRecord, failure: &Failure) {
    let mut notes = run.notes.clone();
    let text =
        json!({"message": failure.message, "provider_message": failure.about.provider_message});
    notes.insert(FAILURE.into(), text.to_string().into());
    if let Err(error) = engine.annotate(run, notes).await {
        terminal::warn(&format!("the reason is not kept with the run: {error}"));
    }
}

/// The reason of a refused create, as it was noted: the message, and the provider's words.
pub(crate) fn noted_failure(run: &RunRecord) -> Option<(String, Option<String>)> {
    let note: Value = serde_json::from_str(run.notes.get(FAILURE)?).ok()?;
    let text = |name: &str| note[name].as_str().map(str::to_owned);
    let said = text("provider_message").and_then(|said| crate::plain::saying(&said));
    Some((text("message")?, said))
}

/// The run as its record has it now.
async fn recorded(going: &Going, engine: &Engine) -> CoreResult<Option<RunRecord>> {
    match going.progress.run() {
        Some(id) => engine.ledger().run(&id).await,
        None => Ok(None),
    }
}

/// The run as its record has it now, with its batches.
async fn recorded_shards(
    going: &Going,
    engine: &Engine,
) -> CoreResult<Option<(RunRecord, Vec<ShardRecord>)>> {
    Ok(match recorded(going, engine).await? {
        Some(run) => {
            let shards = engine.ledger().shards(&run.id).await?;
            Some((run, shards))
        }
        None => None,
    })
}

/// The command that continues the run, if there is a record of it.
fn next_command(going: &Going) -> Option<String> {
    let run = going.progress.run()?;
    Some(next::on_runs(["resume", &run]))
}

/// Writes every outcome to its place, or counts them if the output is there already.
pub(crate) async fn outcomes(
    going: &Going,
    engine: &Engine,
    finished: &Finished,
    place: Place,
) -> Result<Exit, Failure> {
    let (notes, report) = (&going.notes, &going.report);
    let origin = Origin {
        provider: notes.provider.id().to_owned(),
        emulated: going.emulated,
        raw: notes.raw,
    };
    let run = recorded(going, engine).await?;
    let batches = finished.batches();
    let summary = Summary::new(
        notes.provider.id(),
        &notes.model,
        &batches,
        &notes.output.display().to_string(),
        going.emulated,
        run.as_ref().map(|run| &*run.id),
    );
    let summary = summary.with_state(state::used());
    let accept = notes.kept.accept().to_vec();
    let turn = match &going.turns {
        Some(turns) => Some(turns.output(&place).await),
        None => None,
    };
    let (mut summary, complete) = write(engine, finished, origin, place, summary, accept)
        .await
        .map_err(|failure| unwritten(failure, run.as_ref()))?;
    // Noted first: a file that appears and is not known as the run's own would be refused later.
    if let Some(run) = run.as_ref().filter(|_| finished.is_whole())
        && let Some(new) = complete.written(written::version(run, notes.raw))
        && !going.only_reads
    {
        let mut noted = written::noted(run, new);
        if let Some(output) = &going.moved_to {
            noted.insert("output".into(), state::whole(output).into());
        }
        engine.annotate(run, noted).await?;
    }
    appear(complete).map_err(|failure| unwritten(failure, run.as_ref()))?;
    let accounts = match &run {
        Some(run) if run.attempt > 0 || run.order.is_some() => Some(engine.accounts(run).await?),
        _ => None,
    };
    drop(turn);
    summary.bill(accounts.as_deref(), &batches);
    summary.finish(engine.clock().elapsed() - going.start);
    if let Some(left) = clean(going, engine).await {
        summary.leave(&left);
    }
    if report.json {
        terminal::json(&summary);
    }
    match (&going.turns, &run) {
        (Some(_), Some(run)) => {
            let run = named(run);
            terminal::say(&format!("{run}: {}", summary.line()));
            for line in summary.troubles() {
                terminal::say(&format!("{run}: {}", line.trim_start()));
            }
        }
        _ => {
            terminal::say(&summary.table());
            for line in summary.troubles() {
                terminal::say(&line);
            }
        }
    }
    Ok(summary.exit(notes.kept.max_failed()))
}

/// A run in a line about one of many.
pub(super) fn named(run: &RunRecord) -> String {
    match &run.name {
        Some(name) => format!("run {} ({name})", run.id),
        None => format!("run {}", run.id),
    }
}

/// The hint of a run whose outcomes are safe in the record, and in no output.
fn unwritten(failure: Failure, run: Option<&RunRecord>) -> Failure {
    match run {
        Some(run) if !failure.message.is_empty() && failure.hint.is_none() => {
            let command = next::on_runs(["retrieve", &run.id, "-o", "OUTPUT"]);
            let hint = format!("the outcomes are kept; to write them: {command}");
            failure.of_run(&run.id).hint(hint)
        }
        _ => failure,
    }
}

/// Deletes at the provider what is not needed any more, now that the output is safe; what stays there, if
/// there is a record of it.
async fn clean(going: &Going, engine: &Engine) -> Option<Left> {
    let id = going.progress.run().filter(|_| !going.only_reads)?;
    let _turn = match &going.turns {
        Some(turns) => Some(turns.cleaning().await),
        None => None,
    };
    let cleaned = async {
        let Some(run) = engine.ledger().run(&id).await? else {
            return Ok(None);
        };
        let left = match going.notes.kept.cleanup() {
            Cleanup::None => engine.remaining(&run).await,
            Cleanup::Inputs => engine.clean(&run, false).await,
            Cleanup::All => engine.clean(&run, true).await,
        };
        left.map(Some)
    };
    match cleaned.await {
        Ok(left) => left,
        // The outcomes are safe; what stays is deleted by the provider in time.
        Err(error) => {
            terminal::warn(&format!(
                "not everything could be deleted at the provider: {error}"
            ));
            None
        }
    }
}
