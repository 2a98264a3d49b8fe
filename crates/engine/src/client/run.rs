//! Named runs: from a stream of requests to outcomes that any process can read again.

use std::fmt;
use std::future::IntoFuture;

use futures::FutureExt as _;
use futures::future::{BoxFuture, ready};
use lmbatch_core::{BatchSnapshot, Error, ErrorKind, RequestSource, Result, RunRecord};

use crate::client::call::{
    Call, UNREAD, attempt_methods, cost_methods, observer_methods, option_methods, waiting_methods,
};
use crate::client::feed::{feed, while_fed};
use crate::client::outcomes::{self, OutcomeStream};
use crate::client::progress::ProgressStream;
use crate::client::requests::{IntoRequests, Source};
use crate::context::Context;
use crate::plan::Plan;
use crate::policy::RunOptions;
use crate::results::finished::RunResults;
use crate::run::bounds::advanced_elsewhere;
use crate::run::compare::Changes;
use crate::services::same_run::{OnKnownRun, RunQuery, SameRun};

/// Named run, which starts or is resumed when it is awaited. Its future is `'static` and can be spawned.
///
/// ```no_run
/// # use lmbatch_engine as lmbatch;
/// # async fn example(invoker: lmbatch::LMInvoker) -> lmbatch_core::Result<()> {
/// let run = invoker.batch().run("nightly-2026-11-23").requests([("a", "Hello!")]).max_attempts(3);
/// println!("{} requests", run.await?.requests());
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is sent until it is awaited"]
pub struct Run {
    call: Call,
    name: String,
    requests: Option<Source>,
    update: bool,
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run")
            .field("name", &self.name)
            .field("options", &self.call.run)
            .finish_non_exhaustive()
    }
}

impl Run {
    pub(crate) fn new(call: Call, name: String) -> Self {
        Self {
            call,
            name,
            requests: None,
            update: false,
        }
    }

    option_methods!();
    observer_methods!();
    waiting_methods!();
    attempt_methods!();
    cost_methods!();

    /// Sets the requests, from an iterator or a stream: see [`IntoRequests`]. They are read once, one at a time, and
    /// never held in memory together. The first error ends the run before anything is sent. For an existing run the
    /// requests must equal the recorded ones; without requests the run is resumed from its record.
    pub fn requests<Form>(mut self, requests: impl IntoRequests<Form>) -> Self {
        self.requests = Some(requests.into_requests().0);
        self
    }

    /// Allows requests that differ from those of the recorded run. Unchanged requests keep their outcomes; new and
    /// changed ones are sent and paid for. By default a difference is refused.
    pub fn update(mut self) -> Self {
        self.update = true;
        self
    }

    /// Starts the run as a stream of its progress, which ends with its output.
    pub fn progress(self) -> ProgressStream<RunOutput> {
        let outer_observer = self.call.effective_observer();
        ProgressStream::new(outer_observer, |watch| self.observer(watch).into_future())
    }
}

impl IntoFuture for Run {
    type Output = Result<RunOutput>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        async move {
            let context = self.call.context()?;
            let (feed, source) = match self.requests {
                Some(Source::Stream(requests)) => {
                    let (feed, fed) = feed(requests);
                    (feed.left_future(), Some(self.call.source(fed)))
                }
                Some(Source::Iterator(requests)) => {
                    (ready(()).right_future(), Some(self.call.source(requests)))
                }
                None => (ready(()).right_future(), None),
            };
            let named = context.named(&self.name, source, self.update, self.call.run);
            let (run, finished, changes) = Box::pin(while_fed(named, feed)).await?;
            Ok(RunOutput {
                context,
                run,
                finished,
                changes,
            })
        }
        .boxed()
    }
}

/// Output of a run in which every request has its outcome.
///
/// The outcomes are kept in the record and can be read any number of times, by any process. They are in the order
/// of the requests, and a cursor into them is the number of outcomes before it.
///
/// ```no_run
/// # use lmbatch_engine as lmbatch;
/// # async fn example(output: lmbatch::RunOutput) -> lmbatch_core::Result<()> {
/// use futures::TryStreamExt as _;
///
/// let mut outcomes = output.outcomes()?;
/// while let Some((id, outcome)) = outcomes.try_next().await? {
///     println!("{id}: {}", outcome.status());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct RunOutput {
    context: Context,
    run: RunRecord,
    finished: RunResults,
    changes: Option<Changes>,
}

impl RunOutput {
    /// Returns the id of the run in the record, which the command accepts as well.
    pub fn id(&self) -> &str {
        &self.run.id
    }
    /// Returns all batches of the run in their final state.
    pub fn batches(&self) -> Vec<&BatchSnapshot> {
        self.finished.batches()
    }
    /// Returns the number of requests, each of which has one outcome.
    pub fn requests(&self) -> u64 {
        self.finished.requests()
    }
    /// Returns the differences between the requests and those that were sent before; `None` without differences.
    pub fn changes(&self) -> Option<Changes> {
        self.changes
    }
    /// Returns every outcome, in the order of the requests.
    ///
    /// # Errors
    /// [`ErrorKind::Local`](lmbatch_core::ErrorKind::Local) if the record cannot be read.
    pub fn outcomes(&self) -> Result<OutcomeStream> {
        self.after(0)
    }
    /// Returns the outcomes after the first `cursor`. An interrupted reader continues with the number of outcomes
    /// that it has read, in this process or in another one.
    ///
    /// # Errors
    /// [`ErrorKind::Local`](lmbatch_core::ErrorKind::Local) if the record cannot be read.
    pub fn after(&self, cursor: u64) -> Result<OutcomeStream> {
        outcomes::stream(&self.context, &self.finished, cursor)
    }
}

impl Context {
    /// Starts or resumes the run of a name, or reads an answered run from its record. Nothing is paid for twice.
    pub(crate) async fn named(
        &self,
        name: &str,
        source: Option<Box<dyn RequestSource>>,
        update: bool,
        options: RunOptions,
    ) -> Result<(RunRecord, RunResults, Option<Changes>)> {
        if !self.is_durable() {
            return Err(Error::invalid_input(
                "a named run needs a record, such as a state folder",
            ));
        }
        let plan = match source {
            Some(source) => {
                let plan = async { self.plan(source).await.map_err(Error::from) };
                Some(self.in_time(options.deadline, UNREAD, plan).await?)
            }
            None => None,
        };
        if let Some(plan) = plan.as_ref().filter(|_| options.repairs > 0) {
            self.check_repairs(plan)?;
        }
        let (run, changes) = match (self.find_named(name).await?, plan) {
            (Some(run), Some(plan)) => {
                let changed = self.compare(run, &plan, update).await;
                plan.discard();
                changed?
            }
            (Some(run), None) => (run, None),
            (None, Some(plan)) => {
                match self.begin(&plan, Some(name), Default::default()).await {
                    Ok(run) => {
                        let finished = self.start(run.clone(), plan, options).await?;
                        return Ok((run, finished, None));
                    }
                    // Another task or process has started the run since the search.
                    Err(error) if error.kind() == ErrorKind::Conflict => {
                        let Some(run) = self.find_named(name).await? else {
                            return Err(advanced_elsewhere(error, name));
                        };
                        let changed = self.compare(run, &plan, update).await;
                        plan.discard();
                        changed?
                    }
                    Err(error) => return Err(error),
                }
            }
            (None, None) => {
                let message = format!("there is no run {name:?}, and no requests to begin it with");
                return Err(Error::invalid_input(message));
            }
        };
        let finished = if run.finished {
            self.answered(&run, options).await?
        } else {
            self.attach(&run, options).await?
        };
        Ok((run, finished, changes))
    }

    pub(crate) async fn find_named(&self, name: &str) -> Result<Option<RunRecord>> {
        self.ledger.run_named(name).await
    }

    async fn compare(
        &self,
        run: RunRecord,
        plan: &Plan,
        update: bool,
    ) -> Result<(RunRecord, Option<Changes>)> {
        let name = run.name.clone();
        let query = RunQuery {
            name: name.as_deref(),
            digest: plan.digest(),
            files: None,
            notes: None,
            on_known: match update {
                true => OnKnownRun::Update,
                false => OnKnownRun::Continue,
            },
        };
        match self.same_named(run, &query).await? {
            SameRun::Same(run) => Ok((*run, None)),
            // All requests were asked for, so that those after the pilot are sent too.
            SameRun::Changed { run, .. } | SameRun::Pilot(run) => {
                let (run, changes) = self.update(&run, plan).await?;
                Ok((run, Some(changes)))
            }
            SameRun::Conflict(conflict) => Err(conflict.into_error()),
            SameRun::New { .. } => Err(Error::new(ErrorKind::Internal)
                .with_message("a recorded run was treated as a new one")),
        }
    }
}
