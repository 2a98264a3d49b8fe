//! Planning of an input with its options. Nothing is sent.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lmbatch::engine::{Plan, PlanError, PlannedRequest, RequestSource, SourcedRequest};
use lmbatch::{Engine, Error, ErrorKind, RequestError, Result as CoreResult};

use super::{clock, empty_input};
use crate::args::SettingsArgs;
use crate::exit::{Exit, Failure};
use crate::signals::Handling;
use crate::typed_columns::TypedColumns;
use crate::{input, model, settings, terminal};

/// Maximum wait after a signal for reading to end, for example if a disk does not respond.
const ENDING: Duration = Duration::from_secs(1);

/// Reads and encodes an input with its settings. Nothing is sent.
pub(crate) async fn plan(
    path: &Path,
    args: &SettingsArgs,
    engine: &Engine,
) -> Result<Plan, Failure> {
    let planned = plan_unless_empty(path, args, engine, |_| {}).await;
    let planned = planned.map_err(|unplanned| unplanned.failure(path))?;
    Ok(planned.plan)
}

/// Plan of an input, with the columns that it keeps.
pub(super) struct Planned {
    pub(super) plan: Plan,
    /// Kept columns, in order.
    pub(super) keep: TypedColumns,
}

/// Reason why there is no plan.
pub(super) enum Unplanned {
    /// The input has no requests.
    Empty,
    Failed(Failure),
}

impl Unplanned {
    pub(super) fn failure(self, input: &Path) -> Failure {
        match self {
            Self::Failed(failure) => failure,
            Self::Empty => empty_input(input),
        }
    }
}

/// Source that records whether it has requests, including invalid ones, and that can be stopped.
struct Noticing<S> {
    source: S,
    has_requests: Arc<AtomicBool>,
    is_stopped: Arc<AtomicBool>,
}

impl<S: RequestSource> RequestSource for Noticing<S> {
    fn next(&mut self, visit: &mut dyn FnMut(SourcedRequest<'_>)) -> CoreResult<bool> {
        if self.is_stopped.load(Ordering::Relaxed) {
            return Err(
                Error::new(ErrorKind::Cancelled).with_message("reading the input was stopped")
            );
        }
        let has_one = self.source.next(visit);
        // An input that cannot be read is not empty.
        if !matches!(has_one, Ok(false)) {
            self.has_requests.store(true, Ordering::Relaxed);
        }
        has_one
    }

    fn leave_out(&mut self, position: u64, error: &RequestError) -> CoreResult<bool> {
        self.source.leave_out(position, error)
    }

    fn unit(&self) -> &'static str {
        self.source.unit()
    }
}

/// Reads and encodes an input, unless it has no requests, and passes each request to `visit`. On a signal the files of
/// the plan are deleted.
pub(super) async fn plan_unless_empty(
    path: &Path,
    args: &SettingsArgs,
    engine: &Engine,
    visit: impl FnMut(&PlannedRequest<'_>) + Send + 'static,
) -> Result<Planned, Unplanned> {
    let model = model::parse(&args.model).map_err(Unplanned::Failed)?;
    let codec = engine.provider().codec();
    let options = settings::options(args, codec, &model.name).map_err(Unplanned::Failed)?;
    let raw_endpoints = codec.capabilities().raw_endpoints;
    let (has_requests, is_stopped) = (Arc::new(AtomicBool::new(false)), Arc::default());
    let source = input::open(path, args, &model, options, raw_endpoints, &is_stopped)
        .map_err(Unplanned::Failed)?;
    let facts = source.facts();
    let source = Noticing {
        source,
        has_requests: Arc::clone(&has_requests),
        is_stopped: Arc::clone(&is_stopped),
    };
    let mut handling = Handling::new();
    let planning = engine.plan_each(Box::new(source), visit);
    tokio::pin!(planning);
    let planned = tokio::select! {
        planned = &mut planning => planned,
        (exit, name) = handling.stopped() => {
            is_stopped.store(true, Ordering::Relaxed);
            let clock = clock();
            tokio::select! {
                planned = &mut planning => if let Ok(plan) = planned {
                    plan.discard();
                },
                () = clock.sleep(ENDING) => {}
            }
            return Err(Unplanned::Failed(stopped(exit, name)));
        }
    };
    input::report_skipped(&facts, args);
    input::report_nulls(&facts);
    let planned = planned.map(|plan| Planned {
        plan,
        keep: TypedColumns::of(&facts),
    });
    planned.map_err(|error| {
        if facts.skipped() > 0
            && matches!(&error, PlanError::Failed(error) if error.kind() == ErrorKind::InvalidInput)
        {
            return Unplanned::Failed(nothing_left(path));
        }
        let failure = Failure::plan(error, &path.display().to_string());
        // An input that could not be read to its end does not count as empty.
        match has_requests.load(Ordering::Relaxed) || failure.exit != Exit::Usage {
            true => Unplanned::Failed(failure),
            false => Unplanned::Empty,
        }
    })
}

/// Returns the failure of an input whose rows are all invalid and left out.
pub(super) fn nothing_left(input: &Path) -> Failure {
    Failure::usage(format!("{}: every row is invalid", input.display())).hint("nothing was sent")
}

/// Ends a command that a signal stops before anything is sent.
pub(super) fn stopped(exit: Exit, name: &str) -> Failure {
    terminal::end_live();
    terminal::message(&format!("stopped by {name}; nothing was sent"));
    Failure::silent(exit)
}
