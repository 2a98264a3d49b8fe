//! `--dry-run`: report of the requests that would be sent, for people and for programs.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use lmbatch::BatchLimit;
use lmbatch::engine::{Checked, Plan, PlannedRequest};
use serde::Serialize;

use super::before_paying::{self, Estimating, Price, Sizes};
use super::dry_decision::{Decision, Examined, decided};
use super::planning::{Planned, Unplanned, plan_unless_empty};
use super::run_checks::first_requests;
use super::run_settings::{RunSettings, absolute_path};
use super::{empty_input, state, validate};
use crate::args::RunArgs;
use crate::exit::{Exit, Failure};
use crate::paying_args::PayingArgs;
use crate::pretty::pretty;
use crate::session::Session;
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
    output: String,
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
struct Selection {
    first: u64,
    ids: Vec<String>,
    seen: u64,
    shown: Vec<Shown>,
}

impl Selection {
    fn new(args: &PayingArgs) -> Self {
        Self {
            first: args.show.unwrap_or(0),
            ids: args.show_id.clone(),
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
    fn finish(&mut self, input: &Path) -> Result<Vec<Shown>, Failure> {
        let is_missing = |id: &&String| self.shown.iter().all(|shown| shown.id != **id);
        match self.ids.iter().find(is_missing) {
            Some(id) => Err(Failure::usage(format!(
                "--show-id: {} has no request {id:?}",
                input.display()
            ))),
            None => Ok(std::mem::take(&mut self.shown)),
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
            output: absolute_path(&notes.output),
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

/// Reports the requests that `run` would send, after the decisions that `run` would take by the record. Nothing is sent,
/// and nothing is recorded: the plan is kept in a temporary file without a name.
pub(super) async fn run(
    session: &Session,
    args: &RunArgs,
    mut notes: RunSettings,
) -> Result<Exit, Failure> {
    if !args.emulate {
        args.emulator.refuse()?;
    }
    let estimating = Estimating::new(&args.paying, &notes)?;
    let selection = Arc::new(Mutex::new(Selection::new(&args.paying)));
    let mut add = estimating.adding();
    let seen = Arc::clone(&selection);
    let visit = move |request: &PlannedRequest<'_>| {
        add(request);
        let mut selection = seen.lock().unwrap_or_else(PoisonError::into_inner);
        selection.see(request);
    };
    let examined = Examined::new(args, &notes)?;
    let planned = plan_unless_empty(&args.input, &args.settings, examined.engine(), visit).await;
    let plan = match planned {
        Ok(Planned { plan, keep }) => {
            keep.warn(notes.format);
            notes.keep = keep;
            Some(plan)
        }
        Err(Unplanned::Empty) if args.allow_empty => None,
        Err(Unplanned::Empty) => {
            return Err(empty_input(&args.input).hint("--allow-empty writes an empty output"));
        }
        Err(unplanned) => return Err(unplanned.failure(&args.input)),
    };
    let shown = {
        let mut selection = selection.lock().unwrap_or_else(PoisonError::into_inner);
        selection.finish(&args.input)?
    };
    let decision = match &plan {
        Some(plan) => decided(session, args, &mut notes, &examined, plan).await?,
        None => Decision::New,
    };
    let folder = state::folder(&args.state)?;
    // Emulated runs are recorded apart.
    let folder = Some(folder.as_path()).filter(|_| !args.emulate);
    let estimator = estimating.lock();
    let sizes = plan.as_ref().map_or_else(Sizes::none, Sizes::of);
    match &decision {
        Decision::New => before_paying::print(&estimator, &notes, sizes, folder, args.emulate),
        Decision::Update { .. } | Decision::Pilot { .. } if !args.emulate => {
            before_paying::print_bound(&estimator, &notes);
        }
        _ => {}
    }
    let is_new = matches!(decision, Decision::New);
    if is_new && let Some(first) = first_requests(args, sizes.requests) {
        terminal::message(&format!(
            "pilot: the first {} would be sent before the others",
            format::count(first, "request", "requests")
        ));
    }
    if args.report.json {
        let requests = decision.requests(sizes.requests);
        let sent = |all| match requests {
            0 => Some(0),
            _ => Some(all).filter(|_| is_new),
        };
        let told = examined.told();
        terminal::json(&DryRun {
            batches: sent(sizes.batches),
            bytes: sent(sizes.bytes),
            endpoints: estimator.estimate().endpoints.iter().cloned().collect(),
            state_dir: folder.map(absolute_path),
            price: Some(Price::of(&estimator)).filter(|_| requests > 0 || is_new),
            retiring: before_paying::retiring(&estimator, notes.provider.id()),
            shown: &shown,
            schema_notes: plan.as_ref().map_or(&[][..], Plan::schema_notes),
            warning: told.as_deref(),
            ..DryRun::new(&notes, decision.run(), requests)
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
    for line in decision.lines(sizes) {
        terminal::message(&line);
    }
    Ok(Exit::Usable)
}

/// Checks an input that would be read again, without limits on batches.
pub(super) fn check_again(
    input: &Path,
    settings: &crate::args::SettingsArgs,
) -> Result<Checked, Failure> {
    validate::checked(input, settings, BatchLimit::default())
}
