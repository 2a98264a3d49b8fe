//! Context of a run that a command advances: settings, options, progress, and the place of its outcomes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lmbatch::Engine;
use lmbatch::engine::RunOptions;
use lmbatch::record::RunRecord;

use super::kept::Kept;
use super::run_settings::RunSettings;
use super::turns::Turns;
use crate::args::ReportArgs;
use crate::emulation::Emulation;
use crate::exit::Failure;
use crate::output_failure::{self, Step};
use crate::pilot_report::Pilot;
use crate::progress::Progress;
use crate::session::Session;
use crate::sink::{Place, Replace};
use crate::target::{self, Target};
use crate::written::{self, Found};
use crate::{format, hints};

/// Context of a run that a command advances.
#[derive(Debug)]
pub(crate) struct RunContext {
    pub(crate) session: Arc<Session>,
    pub(crate) notes: RunSettings,
    pub(crate) report: ReportArgs,
    pub(crate) emulated: bool,
    /// Emulated provider of the run, which ends with the command.
    #[expect(dead_code, reason = "held until the command ends")]
    pub(crate) emulation: Option<Emulation>,
    pub(crate) start: Duration,
    pub(crate) progress: Arc<Progress>,
    pub(crate) patience: Patience,
    /// True if the record is only read: nothing is recorded, and nothing is deleted at the provider.
    pub(crate) only_reads: bool,
    /// True if the notes come from the run's record. They are read again if another process may have advanced the run
    /// since.
    pub(crate) notes_of_record: bool,
    /// New output that replaces the one in the run's record, which is updated once the output is written.
    pub(crate) moved_to: Option<PathBuf>,
    /// Limits on concurrent outputs and deletions, for a command on many runs.
    pub(crate) turns: Option<Turns>,
    /// Pilot of the run, once the command has decided to send the other requests.
    pub(crate) pilot: Option<Pilot>,
    /// Number of repairs that the command asks for and that earlier answers do not get.
    pub(crate) unapplied_repairs: Option<u32>,
}

impl RunContext {
    /// Takes options that the command does not set from the run that it continues.
    pub(crate) fn keeping(
        &mut self,
        engine: Engine,
        run: &RunRecord,
        options: RunOptions,
    ) -> (Engine, RunOptions) {
        let said = std::mem::take(&mut self.notes.kept);
        self.notes.kept = said.or(Kept::read(run));
        let engine = self.notes.kept.cost().limiting(engine);
        let options = RunOptions {
            max_attempts: Some(self.notes.kept.max_attempts()),
            repairs: self.notes.kept.repairs(),
            ..options
        };
        (
            engine.with_batch_limit(self.notes.kept.limit().limit()),
            options,
        )
    }

    /// Returns lines about repairs that the command asks for and that earlier answers do not get, and the command
    /// that makes them; nothing if `invalid`, the number of answers that do not fit their schemas, is zero.
    pub(crate) fn unrepaired(&self, run: &str, invalid: u64) -> Option<String> {
        let repairs = self.unapplied_repairs.filter(|_| invalid > 0)?.to_string();
        let answers = format::count(
            invalid,
            "earlier answer does not fit its schema",
            "earlier answers do not fit their schemas",
        );
        let requeue = hints::on_runs(["requeue", run, "--repair", &repairs]);
        Some(format!(
            "--repair {repairs} was not applied: {answers}; to send them back to be corrected:\n  {requeue}"
        ))
    }

    /// Returns the options with the remaining time of `--timeout`, which limits the whole command.
    pub(crate) fn remaining(&self, engine: &Engine, options: RunOptions) -> RunOptions {
        let spent = engine.clock().elapsed().saturating_sub(self.start);
        let deadline = options.deadline.map(|all| all.saturating_sub(spent));
        RunOptions {
            deadline,
            ..options
        }
    }
}

/// Duration for which a command waits for its run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Until the run has ended or the timeout expires.
    Wait,
    /// One poll of each batch, by `--once`.
    Once,
    /// Until the batches are created, by `--detach`.
    Detach,
}

/// Returns the place of a run's outcomes. An existing file is kept if it is the run's current output, replaced if it
/// is an earlier output of the run, and refused otherwise. Called before anything is sent.
pub(crate) fn place(
    context: &RunContext,
    run: &RunRecord,
    will_change: bool,
) -> Result<Place, Failure> {
    place_of(&context.notes, context.report.force, run, will_change)
}

/// Returns the place of a run's outcomes as [`place`] does, for a command with these settings.
pub(crate) fn place_of(
    notes: &RunSettings,
    force: bool,
    run: &RunRecord,
    will_change: bool,
) -> Result<Place, Failure> {
    let target = Target::of(&notes.output)?;
    target::distinct(&target, &read_by(notes))?;
    target.keep_stdout();
    let mut place = Place::new(target, force);
    let outputs = written::recorded(run);
    let version = written::version(run, notes);
    let found = match &place.target {
        Target::File { path, exists: true } => {
            let found = written::compare(path, &outputs, &version);
            let unread =
                |error| output_failure::failure(Step::Compare, &place.target.shown(), &error);
            Some(found.map_err(unread)?)
        }
        Target::Remote(address) => {
            let stored = address.stored()?;
            stored.map(|stored| written::find_stored(&stored, &outputs, &version))
        }
        _ => None,
    };
    let Some(found) = found else {
        place.target.probe()?;
        return Ok(place);
    };
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

/// Returns the files that a run reads according to its notes, each with its role.
pub(crate) fn read_by(notes: &RunSettings) -> Vec<(&'static str, &Path)> {
    let mut read = vec![("the input", notes.input.as_path())];
    if let Some(settings) = &notes.settings {
        read.extend(settings.reads());
    }
    read
}
