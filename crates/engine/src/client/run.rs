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
use crate::services::progress::RunState;
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
    choice: Choice,
}

/// Choice of the requests of a named run that are sent.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Choice {
    /// True if the requests may differ from those of the recorded run.
    update: bool,
    /// Number of the first requests that are sent alone; `None` for all requests.
    pilot: Option<u32>,
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
            choice: Choice::default(),
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
        self.choice.update = true;
        self
    }

    /// Sends only the first `requests` requests, 1 or more, as a pilot. The call ends once they have their outcomes, and
    /// [`RunOutput::state`] is then [`PilotEnded`](RunState::PilotEnded). All requests are read and checked before.
    ///
    /// The same call without `pilot` sends the other requests, in this process or in a later one; the pilot's requests
    /// are not sent again. The same call with `pilot` sends nothing again, and with a larger number what the smaller one
    /// lacks. Without requests, a recorded pilot is continued as it is. If there are no more than `requests` requests,
    /// all of them are sent and there is no pilot. A run of which all requests were sent before has none either.
    ///
    /// ```no_run
    /// # mod lmbatch { pub use lmbatch_core::Result; pub use lmbatch_engine::*; pub mod engine { pub use lmbatch_engine::*; } }
    /// use lmbatch::engine::RunState;
    ///
    /// # fn is_good(_: &lmbatch::RunOutput) -> bool { true }
    /// async fn nightly(invoker: lmbatch::LMInvoker, prompts: Vec<(String, String)>) -> lmbatch::Result<()> {
    ///     let all = || invoker.batch().run("nightly-2026-11-23").requests(prompts.clone());
    ///     let mut output = all().pilot(100).await?;
    ///     if output.state() == RunState::PilotEnded && is_good(&output) {
    ///         output = all().await?;
    ///     }
    ///     println!("{} of {} requests", output.requests(), output.pilot_of().unwrap_or(output.requests()));
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] where `requests` is 0, and where an [`update`](Self::update) finds a run of which all
    /// requests were sent.
    pub fn pilot(mut self, requests: u32) -> Self {
        self.choice.pilot = Some(requests);
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
            let named = context.named(&self.name, source, self.choice, self.call.run);
            let (mut run, finished, changes) = Box::pin(while_fed(named, feed)).await?;
            // The record was read before the run ended.
            run.finished = true;
            let shards = context.ledger.shards(&run.id).await?;
            Ok(RunOutput {
                state: RunState::of(&run, &shards),
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
    state: RunState,
}

impl RunOutput {
    /// Returns the id of the run in the record, which the command accepts as well.
    pub fn id(&self) -> &str {
        &self.run.id
    }
    /// Returns the state in which the run ended: [`PilotEnded`](RunState::PilotEnded) where only its
    /// [pilot](Run::pilot) was sent, and otherwise [`Finished`](RunState::Finished), [`Cancelled`](RunState::Cancelled)
    /// or [`Failed`](RunState::Failed).
    pub fn state(&self) -> RunState {
        self.state
    }
    /// Returns the number of requests of the whole input where only a [pilot](Run::pilot) of them was sent; `None` for a
    /// run of all its requests.
    pub fn pilot_of(&self) -> Option<u64> {
        self.run.pilot_of.map(u64::from)
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
        choice: Choice,
        options: RunOptions,
    ) -> Result<(RunRecord, RunResults, Option<Changes>)> {
        if !self.is_durable() {
            return Err(Error::invalid_input(
                "a named run needs a record, such as a state folder",
            ));
        }
        if choice.pilot == Some(0) {
            return Err(Error::invalid_input(
                "a pilot has at least 1 request; nothing was sent",
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
        let requests = plan.as_ref().map_or(0, Plan::requests);
        let choice = Choice {
            // A pilot of all requests is none.
            pilot: choice.pilot.filter(|first| u64::from(*first) < requests),
            ..choice
        };
        let (run, changes) = match (self.find_named(name).await?, plan) {
            (Some(run), Some(plan)) => {
                let changed = self.compare(run, &plan, choice).await;
                plan.discard();
                changed?
            }
            (Some(run), None) => (run, None),
            (None, Some(plan)) => {
                let first = match choice.pilot {
                    Some(requests) => Some(self.pilot(&plan, requests).await?),
                    None => None,
                };
                let sent = first.as_ref().unwrap_or(&plan);
                match self.begin(sent, Some(name), Default::default()).await {
                    Ok(run) => {
                        let sent = match first {
                            Some(first) => {
                                plan.discard();
                                first
                            }
                            None => plan,
                        };
                        let finished = self.start(run.clone(), sent, options).await?;
                        return Ok((run, finished, None));
                    }
                    // Another task or process has started the run since the search.
                    Err(error) if error.kind() == ErrorKind::Conflict => {
                        let Some(run) = self.find_named(name).await? else {
                            return Err(advanced_elsewhere(error, name));
                        };
                        let changed = self.compare(run, &plan, choice).await;
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
            self.results(&run, options).await?
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
        choice: Choice,
    ) -> Result<(RunRecord, Option<Changes>)> {
        let name = run.name.clone();
        let query = RunQuery {
            name: name.as_deref(),
            digest: plan.digest(),
            files: None,
            notes: None,
            on_known: match choice.update {
                true => OnKnownRun::Update,
                false => OnKnownRun::Continue,
            },
        };
        match self.same_named(run, &query).await? {
            SameRun::Same(run) => Ok((*run, None)),
            SameRun::Pilot(run) if choice.pilot.is_some_and(|first| first <= run.requests) => {
                Ok((*run, None))
            }
            // Where all requests are asked for, those after the pilot are sent too.
            SameRun::Changed { run, .. } | SameRun::Pilot(run) => {
                let (run, changes) = match choice.pilot {
                    Some(requests) => {
                        let first = self.pilot(plan, requests).await?;
                        let updated = self.update(&run, &first).await;
                        first.discard();
                        updated?
                    }
                    None => self.update(&run, plan).await?,
                };
                Ok((run, Some(changes)))
            }
            SameRun::Conflict(conflict) => Err(conflict.into_error()),
            SameRun::New { .. } => Err(Error::new(ErrorKind::Internal)
                .with_message("a recorded run was treated as a new one")),
        }
    }
}
