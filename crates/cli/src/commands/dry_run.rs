//! `--dry-run`: report of the requests that would be sent, for people and for programs.

use std::path::Path;

use lmbatch::BatchLimit;
use lmbatch::engine::{Checked, PlannedRequest};
use serde::Serialize;

use super::before_paying::{self, Estimating, Price, Sizes};
use super::run_settings::{RunSettings, absolute_path};
use super::{empty_input, state, validate};
use crate::args::RunArgs;
use crate::exit::{Exit, Failure};
use crate::paying_args::PayingArgs;
use crate::pretty::pretty;
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
    endpoints: Vec<String>,
    key_variable: String,
    state_dir: Option<String>,
    price: Option<Price>,
    retiring: Vec<String>,
    shown: &'a [Shown],
}

/// Request as it would be sent.
#[derive(Debug, Serialize)]
struct Shown {
    id: String,
    endpoint: String,
    row: String,
}

/// Requests that the options select, in the order of the input.
struct Selection<'a> {
    first: u64,
    ids: &'a [String],
    seen: u64,
    shown: Vec<Shown>,
}

impl<'a> Selection<'a> {
    fn new(args: &'a PayingArgs) -> Self {
        Self {
            first: args.show.unwrap_or(0),
            ids: &args.show_id,
            seen: 0,
            shown: Vec::new(),
        }
    }

    /// Keeps a request that is selected.
    fn see(&mut self, request: &PlannedRequest<'_>) {
        self.seen += 1;
        if self.seen > self.first && self.ids.iter().all(|id| id != request.id()) {
            return;
        }
        self.shown.push(Shown {
            id: request.id().to_owned(),
            endpoint: request.endpoint().to_owned(),
            row: String::from_utf8_lossy(request.row()).into_owned(),
        });
    }

    /// Returns the selected requests.
    ///
    /// # Errors
    /// Usage, if the input has no request with a selected id.
    fn finish(self, input: &Path) -> Result<Vec<Shown>, Failure> {
        let is_missing = |id: &&String| self.shown.iter().all(|shown| shown.id != **id);
        match self.ids.iter().find(is_missing) {
            Some(id) => Err(Failure::usage(format!(
                "--show-id: {} has no request {id:?}",
                input.display()
            ))),
            None => Ok(self.shown),
        }
    }
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
            endpoints: Vec::new(),
            key_variable: before_paying::key_variable(notes),
            state_dir: None,
            price: None,
            retiring: Vec::new(),
            shown: &[],
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
    let estimating = Estimating::new(&args.paying, notes)?;
    let mut selection = Selection::new(&args.paying);
    let mut add = estimating.adding();
    let checked = validate::checked_noting(
        &args.input,
        &args.settings,
        args.limit.limit(),
        &mut |request| {
            add(request);
            selection.see(request);
        },
    )?;
    if checked.requests == 0 && !args.allow_empty {
        return Err(empty_input(&args.input).hint("--allow-empty writes an empty output"));
    }
    if !checked.has_schema && args.repair.repairs.is_some_and(|repairs| repairs > 0) {
        return Err(without_schema());
    }
    let shown = selection.finish(&args.input)?;
    let state = state::folder(&args.state)?;
    let estimator = estimating.lock();
    let sizes = Sizes {
        requests: checked.requests,
        batches: checked.batches,
        bytes: checked.bytes,
    };
    // Emulated runs are not recorded.
    let state = Some(state.as_path()).filter(|_| !args.emulate);
    before_paying::print(&estimator, notes, sizes, state, args.emulate);
    if let Some(first) = args
        .pilot
        .pilot
        .filter(|first| u64::from(*first) < checked.requests)
    {
        terminal::message(&format!(
            "pilot: the first {} would be sent before the others",
            format::count(u64::from(first), "request", "requests")
        ));
    }
    if args.report.json {
        let plan = DryRun::new(notes, None, checked.requests).with_notes_of(&checked);
        terminal::json(&DryRun {
            batches: Some(checked.batches),
            bytes: Some(checked.bytes),
            endpoints: estimator.estimate().endpoints.iter().cloned().collect(),
            state_dir: state.map(absolute_path),
            price: Some(Price::of(&estimator)),
            retiring: before_paying::retiring(&estimator, notes.provider.id()),
            shown: &shown,
            ..plan
        });
    } else {
        for one in &shown {
            let heading = format!("{} to {}:", one.id, one.endpoint);
            terminal::out(&format!(
                "{}\n{}",
                terminal::plain(&heading),
                pretty(&one.row)
            ));
        }
    }
    terminal::message(&format!(
        "{} would be sent in {}, {} in all; nothing was sent",
        format::count(checked.requests, "request", "requests"),
        format::count(checked.batches, "batch", "batches"),
        format::count(checked.bytes, "byte", "bytes")
    ));
    Ok(Exit::Usable)
}

/// Returns the failure for repairs of answers that no schema is checked for.
pub(super) fn without_schema() -> Failure {
    Failure::usage(
        "--repair sends back answers that do not fit their schemas, and no request has a schema",
    )
    .hint("nothing was sent; --schema FILE checks every answer, or leave out --repair")
}

/// Checks an input that would be read again, without limits on batches.
pub(super) fn check_again(
    input: &Path,
    settings: &crate::args::SettingsArgs,
) -> Result<Checked, Failure> {
    validate::checked(input, settings, BatchLimit::default())
}
