//! `--dry-run`: report of the requests that would be sent, for people and for programs.

use std::path::Path;

use lmbatch::BatchLimit;
use lmbatch::engine::Checked;
use serde::Serialize;

use super::run_settings::RunSettings;
use super::{empty_input, validate};
use crate::args::RunArgs;
use crate::exit::{Exit, Failure};
use crate::{format, terminal};

/// Requests that would be sent. The value of `format` changes whenever the fields do.
#[derive(Debug, Serialize)]
pub(crate) struct DryRun<'a> {
    format: u32,
    dry_run: bool,
    run: Option<&'a str>,
    provider: &'a str,
    model: &'a str,
    input: &'a Path,
    output: &'a Path,
    requests: u64,
    batches: Option<u64>,
    bytes: Option<u64>,
    schema_notes: &'a [String],
    warning: Option<&'a str>,
}

impl<'a> DryRun<'a> {
    /// Returns a plan without batches; `run` is the run whose requests would be sent again.
    pub(crate) fn new(notes: &'a RunSettings, run: Option<&'a str>, requests: u64) -> Self {
        Self {
            format: 1,
            dry_run: true,
            run,
            provider: notes.provider.id(),
            model: &notes.model,
            input: &notes.input,
            output: &notes.output,
            requests,
            batches: None,
            bytes: None,
            schema_notes: &[],
            warning: None,
        }
    }

    /// Marks the plan as that of a command without `--dry-run` that found nothing to send.
    pub(crate) fn of_nothing(mut self) -> Self {
        self.dry_run = false;
        self
    }

    /// Adds the findings of an input check, except the number of requests.
    pub(crate) fn with_notes_of(mut self, checked: &'a Checked) -> Self {
        self.schema_notes = &checked.schema_notes;
        self.warning = checked.warning.as_deref();
        self
    }
}

/// Reports the requests that `run` would send; nothing is sent.
pub(super) fn run(args: &RunArgs, notes: &RunSettings) -> Result<Exit, Failure> {
    let checked = validate::checked(&args.input, &args.settings, args.limit.limit())?;
    if checked.requests == 0 && !args.allow_empty {
        return Err(empty_input(&args.input).hint("--allow-empty writes an empty output"));
    }
    if args.report.json {
        let plan = DryRun::new(notes, None, checked.requests).with_notes_of(&checked);
        terminal::json(&DryRun {
            batches: Some(checked.batches),
            bytes: Some(checked.bytes),
            ..plan
        });
    }
    terminal::message(&format!(
        "{} would be sent in {}, {} in all; nothing was sent",
        format::count(checked.requests, "request", "requests"),
        format::count(checked.batches, "batch", "batches"),
        format::count(checked.bytes, "byte", "bytes")
    ));
    Ok(Exit::Usable)
}

/// Checks an input that would be read again, without limits on batches.
pub(super) fn check_again(
    input: &Path,
    settings: &crate::args::SettingsArgs,
) -> Result<Checked, Failure> {
    validate::checked(input, settings, BatchLimit::default())
}
