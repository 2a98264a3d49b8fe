//! Runs under a name: from requests that come as a stream to outcomes that can be read again from anywhere.

use std::fmt;
use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, ready};
use futures::stream::BoxStream;
use futures::{FutureExt as _, Stream, StreamExt as _};
use lmbatch_core::{BatchSnapshot, Error, ErrorKind, Request, Result, RunRecord};

use crate::client::calls::UNREAD;
use crate::client::convert::OwnedSource;
use crate::client::feed::{feed, while_fed};
use crate::client::invoker::LMInvoker;
use crate::client::outcomes::{self, OutcomeStream};
use crate::context::Context;
use crate::event::Observer;
use crate::plan::Plan;
use crate::policy::{PollingPolicy, RunOptions};
use crate::results::finished::Finished;
use crate::run::bounds::advanced_elsewhere;
use crate::run::update::Changes;
use crate::services::same_run::{OnKnownRun, RunQuery, SameRun};
use crate::source::RequestSource;

/// A run under a name that starts, or is gone on with, when it is awaited.
#[must_use = "nothing is sent until it is awaited"]
pub struct Run<'a> {
    invoker: &'a LMInvoker,
    name: String,
    requests: Option<BoxStream<'static, Result<Request>>>,
    options: RunOptions,
    polling: Option<Duration>,
    observer: Option<Arc<dyn Observer>>,
    update: bool,
}

impl fmt::Debug for Run<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run")
            .field("name", &self.name)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl<'a> Run<'a> {
    pub(crate) fn new(invoker: &'a LMInvoker, name: String) -> Self {
        Self {
            invoker,
            name,
            requests: None,
            options: RunOptions::default(),
            polling: None,
            observer: None,
            update: false,
        }
    }

    /// Its requests, which are read once, one after the other, and never held together. The first error
    /// ends it before anything is sent. Of a run that is known they must be the same again; left out, it
    /// is gone on with from its record.
    pub fn requests<E>(
        mut self,
        requests: impl Stream<Item = Result<Request, E>> + Send + 'static,
    ) -> Self
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let requests = requests.enumerate().map(|(place, request)| {
            request.map_err(|error| {
                Error::invalid_input(format!(
                    "request {} could not be had; nothing was sent",
                    place + 1
                ))
                .with_source(error)
            })
        });
        self.requests = Some(requests.boxed());
        self
    }

    /// Takes changed requests: those that are as they were keep their outcomes, and only what is new or
    /// changed is sent and paid for. Otherwise they are refused.
    pub fn update(mut self) -> Self {
        self.update = true;
        self
    }
    /// Who is told what happens, such as a closure.
    pub fn observe(mut self, observer: impl Observer + 'static) -> Self {
        self.observer = Some(Arc::new(observer));
        self
    }
    /// The time between two polls, kept as it is given. Otherwise it grows from
    /// [`DEFAULT_STATUS_CHECK_INTERVAL`](crate::DEFAULT_STATUS_CHECK_INTERVAL).
    pub fn status_check_interval(mut self, interval: Duration) -> Self {
        self.polling = Some(interval);
        self
    }
    /// How often a request that was not answered, and may be if it is asked again, is sent in all; once
    /// unless said otherwise.
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.options.max_attempts = Some(attempts);
        self
    }
    /// Time of the whole run from now on: reading its requests, uploads, creates, searches for a create whose
    /// answer was lost, polls and downloads. When it is over the run ends with an error of the kind
    /// [`Timeout`](lmbatch_core::ErrorKind::Timeout), wherever it stands. Its batches go on, and the same name
    /// resumes it.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.deadline = Some(timeout);
        self
    }
}

impl<'a> IntoFuture for Run<'a> {
    type Output = Result<RunOutput>;
    type IntoFuture = BoxFuture<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        async move {
            let mut context = self.invoker.engine.context.clone().for_call();
            if let Some(interval) = self.polling {
                context.polling = PollingPolicy::every(interval);
            }
            if let Some(observer) = self.observer {
                context.observer = observer;
            }
            let (feed, source) = match self.requests {
                Some(requests) => {
                    let (feed, fed) = feed(requests);
                    let source = OwnedSource::new(
                        Box::new(fed),
                        self.invoker.model.clone(),
                        self.invoker.options.clone(),
                    );
                    (feed.left_future(), Some(source as Box<dyn RequestSource>))
                }
                None => (ready(()).right_future(), None),
            };
            let named = context.named(&self.name, source, self.update, self.options);
            let (run, finished, changes) = while_fed(named, feed).await?;
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

/// A run whose every request has its outcome.
///
/// The outcomes lie in the record and are read as often as is wanted, from anywhere: they are in the order
/// of the requests, and a cursor into them is how many have been taken.
#[derive(Debug)]
pub struct RunOutput {
    context: Context,
    run: RunRecord,
    finished: Finished,
    changes: Option<Changes>,
}

impl RunOutput {
    /// Its id in the record, which the command line takes too.
    pub fn id(&self) -> &str {
        &self.run.id
    }
    /// All its batches, each as it ended.
    pub fn batches(&self) -> Vec<&BatchSnapshot> {
        self.finished.batches()
    }
    /// Its requests, each with one outcome.
    pub fn requests(&self) -> u64 {
        self.finished.requests()
    }
    /// How the requests differed from those that were sent before, where they did.
    pub fn changes(&self) -> Option<Changes> {
        self.changes
    }
    /// Every outcome, in the order of the requests.
    ///
    /// # Errors
    /// [`ErrorKind::Local`](lmbatch_core::ErrorKind::Local) where the record cannot be read.
    pub fn outcomes(&self) -> Result<OutcomeStream> {
        self.after(0)
    }
    /// The outcomes after the first `cursor`: a reader that was cut off goes on here, in this process or in
    /// another that asks for the same run.
    ///
    /// # Errors
    /// [`ErrorKind::Local`](lmbatch_core::ErrorKind::Local) where the record cannot be read.
    pub fn after(&self, cursor: u64) -> Result<OutcomeStream> {
        outcomes::stream(&self.context, &self.finished, cursor)
    }
}

impl Context {
    /// The run of a name: begun, gone on with from wherever it stands, or, if it was answered, read from
    /// its record. Nothing is paid for twice.
    pub(crate) async fn named(
        &self,
        name: &str,
        source: Option<Box<dyn RequestSource>>,
        update: bool,
        options: RunOptions,
    ) -> Result<(RunRecord, Finished, Option<Changes>)> {
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
                    // Another task or process has begun it since it was looked for.
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
            on_known: match update {
                true => OnKnownRun::Update,
                false => OnKnownRun::Continue,
            },
        };
        match self.same_named(run, &query).await? {
            SameRun::Same(run) => Ok((*run, None)),
            SameRun::Changed { run, .. } => {
                let (run, changes) = self.update(&run, plan).await?;
                Ok((run, Some(changes)))
            }
            SameRun::Conflict(conflict) => Err(conflict.into_error()),
            SameRun::New { .. } => Err(Error::new(ErrorKind::Internal)
                .with_message("a run that is recorded was taken for a new one")),
        }
    }
}
