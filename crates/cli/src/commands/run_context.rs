//! The context of a run that a command takes to its end: settings, options, progress, and the place of its outcomes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lmbatch_core::{Error, RunRecord};
use lmbatch_engine::{Engine, RunOptions};

use super::kept::Kept;
use super::run_settings::RunSettings;
use super::turns::Turns;
use crate::args::ReportArgs;
use crate::exit::Failure;
use crate::progress::Progress;
use crate::session::Session;
use crate::sink::{Place, Replace};
use crate::target::{self, Target};
use crate::written::{self, Found};

/// Context of a run that a command takes to its end.
#[derive(Debug)]
pub(crate) struct RunContext {
    pub(crate) session: Arc<Session>,
    pub(crate) notes: RunSettings,
    pub(crate) report: ReportArgs,
    pub(crate) emulated: bool,
    pub(crate) start: Duration,
    pub(crate) progress: Arc<Progress>,
    pub(crate) patience: Patience,
    /// True where the record is only read: nothing is noted, and nothing deleted at the provider.
    pub(crate) only_reads: bool,
    /// True where the notes are those of the run's record. Where another process may have advanced the run since
    /// they were read, they are read again.
    pub(crate) notes_of_record: bool,
    /// Another output than that of the run's record. The record names it once it is written.
    pub(crate) moved_to: Option<PathBuf>,
    /// Limits on what a few runs do at once, where the command has many.
    pub(crate) turns: Option<Turns>,
}

impl RunContext {
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

/// Time that a command waits for its run.
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
pub(crate) fn place(
    context: &RunContext,
    run: &RunRecord,
    will_change: bool,
) -> Result<Place, Failure> {
    let (notes, force) = (&context.notes, context.report.force);
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
pub(crate) fn read_by(notes: &RunSettings) -> Vec<(&'static str, &Path)> {
    let mut read = vec![("the input", notes.input.as_path())];
    if let Some(settings) = &notes.settings {
        read.extend(settings.reads());
    }
    read
}
