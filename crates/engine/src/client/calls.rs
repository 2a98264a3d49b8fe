//! Calls that take requests: they start when they are awaited.

use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use lmbatch_core::{
    BatchHandle, CreateProof, Error, ErrorKind, GenerateOptions, Hyperparameters, LMOutput,
    Outcome, Problem, Request, RequestError, Result,
};
use serde::de::DeserializeOwned;

use crate::client::convert::OwnedSource;
use crate::client::invoker::LMInvoker;
use crate::client::outcomes::Outcomes;
use crate::client::prepared::Prepared;
use crate::plan::ids::IdChoice;
use crate::policy::{PollingPolicy, RunOptions};

/// What is said when the time of a call is over before anything is sent.
pub(crate) const UNREAD: &str = "the requests were not read, and nothing was sent,";

/// Requests with the invoker that they go through.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) invoker: &'a LMInvoker,
    requests: Vec<Request>,
    pub(crate) options: GenerateOptions,
}

impl<'a> Call<'a> {
    pub(crate) fn new<R: Into<Request>>(
        invoker: &'a LMInvoker,
        requests: impl IntoIterator<Item = R>,
    ) -> Self {
        Self {
            invoker,
            requests: requests.into_iter().map(Into::into).collect(),
            options: GenerateOptions::default(),
        }
    }

    /// The caller's own ids travel where all are legal, so that the batch can be read without its handle.
    pub(crate) fn ids(&self) -> IdChoice {
        let engine = &self.invoker.engine;
        let rule = engine.provider().codec().capabilities().wire_ids;
        let mut ids = self.requests.iter().map(|request| request.id.as_str());
        if ids.all(|id| rule.allows(id)) {
            IdChoice::Callers
        } else {
            IdChoice::Ordinal
        }
    }

    /// The same for a run that reads its own results. Where a batch is known by its number of requests only, a
    /// lost create is proved by the ids in its rows: those of the caller, such as "1" and "2", may stand in
    /// another batch of theirs as well, whose answers would be taken for these.
    fn ids_of_run(&self) -> IdChoice {
        let codec = self.invoker.engine.provider().codec();
        match codec.capabilities().create {
            CreateProof::CountAndTime => IdChoice::Ordinal,
            CreateProof::Token | CreateProof::Labelled => self.ids(),
        }
    }

    pub(crate) fn source(self) -> Box<OwnedSource> {
        OwnedSource::new(
            Box::new(self.requests.into_iter().map(Ok)),
            self.invoker.model.clone(),
            self.options.merged_over(&self.invoker.options),
        )
    }
}

/// A create that starts when it is awaited.
#[derive(Debug)]
#[must_use = "nothing is sent until it is awaited"]
pub struct Create<'a> {
    pub(crate) call: Call<'a>,
}

impl<'a> Create<'a> {
    /// Sets hyperparameters of this call, merged over those set before and over the invoker's.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a builder takes what it is given, as its other methods do"
    )]
    pub fn hyperparameters(mut self, hyperparameters: Hyperparameters) -> Self {
        let before = &self.call.options.hyperparameters;
        self.call.options.hyperparameters = hyperparameters.merged_over(before);
        self
    }

    /// Does everything that is free, and stops before the create: see [`Prepared`].
    pub fn prepare(self) -> BoxFuture<'a, Result<Prepared>> {
        async move {
            let context = &self.call.invoker.engine.context.ephemeral();
            let ids = self.call.ids();
            let plan = context.plan_with(self.call.source(), ids).await?;
            Prepared::new(context, &plan).await
        }
        .boxed()
    }

    /// The batch of `prepared`, for the same requests: created at once where the create was never sent, and
    /// looked for first where it may have been, see [`Prepared`].
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] where the requests or the account are not those that were prepared;
    /// [`ErrorKind::Doubt`] as for every create.
    pub fn find_or_create(self, prepared: Prepared) -> BoxFuture<'a, Result<BatchHandle>> {
        async move {
            let context = &self.call.invoker.engine.context.ephemeral();
            let (ids, nonce) = prepared.ids();
            let plan = context.plan_under(self.call.source(), ids, nonce).await?;
            prepared.find_or_create(context, &plan).await
        }
        .boxed()
    }
}

impl<'a> IntoFuture for Create<'a> {
    type Output = Result<BatchHandle>;
    type IntoFuture = BoxFuture<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        async move {
            let context = &self.call.invoker.engine.context.ephemeral();
            let ids = self.call.ids();
            let plan = context.plan_with(self.call.source(), ids).await?;
            context.create_batch(plan).await
        }
        .boxed()
    }
}

/// A whole run that starts when it is awaited.
#[must_use = "nothing is sent until it is awaited"]
pub struct Invoke<'a, T = LMOutput> {
    pub(crate) call: Call<'a>,
    options: RunOptions,
    polling: Option<Duration>,
    name: Option<String>,
    convert: fn(Outcomes) -> Outcomes<T>,
}

impl<T> std::fmt::Debug for Invoke<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Invoke")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl<'a> Invoke<'a> {
    pub(crate) fn plain(call: Call<'a>) -> Self {
        Self::new(call, std::convert::identity)
    }
}

impl<'a, T: DeserializeOwned> Invoke<'a, T> {
    pub(crate) fn typed(call: Call<'a>) -> Self {
        Self::new(call, |outcomes| outcomes.typed(typed))
    }
}

/// The structured value of an answer. An answer that holds none is an error that keeps its problem: only one
/// that is complete and does not fit may do so when it is asked for again.
fn typed<T: DeserializeOwned>(outcome: &Outcome) -> Outcome<T> {
    match outcome.clone() {
        Outcome::Succeeded { value, problem } => match value.structured() {
            Ok(value) => Outcome::Succeeded { value, problem },
            Err(error) => {
                let problem = problem.unwrap_or(Problem::InvalidStructured);
                let (kind, retryable) = match problem {
                    Problem::InvalidStructured => (ErrorKind::InvalidStructured, true),
                    Problem::Empty => (ErrorKind::GenerationFailed, true),
                    _ => (ErrorKind::GenerationFailed, false),
                };
                let reason = match (value.schema_error(), problem) {
                    (Some(error), _) => error.to_string(),
                    (None, Problem::InvalidStructured) => std::error::Error::source(&error)
                        .map_or_else(|| error.to_string(), ToString::to_string),
                    (None, problem) => match value.refusal() {
                        Some(words) => words.to_owned(),
                        None => format!("the answer is unusable: {problem}"),
                    },
                };
                Outcome::Errored(
                    RequestError::new(kind)
                        .with_code(problem.as_str())
                        .with_problem(problem)
                        .with_message(reason)
                        .retryable(retryable),
                )
            }
        },
        Outcome::Errored(error) => Outcome::Errored(error),
        Outcome::Expired => Outcome::Expired,
        Outcome::Cancelled => Outcome::Cancelled,
        Outcome::Missing => Outcome::Missing,
    }
}

impl<'a, T> Invoke<'a, T> {
    fn new(call: Call<'a>, convert: fn(Outcomes) -> Outcomes<T>) -> Self {
        Self {
            call,
            options: RunOptions::default(),
            polling: None,
            name: None,
            convert,
        }
    }

    /// Sets hyperparameters of this call, merged over those set before and over the invoker's.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a builder takes what it is given, as its other methods do"
    )]
    pub fn hyperparameters(mut self, hyperparameters: Hyperparameters) -> Self {
        let before = &self.call.options.hyperparameters;
        self.call.options.hyperparameters = hyperparameters.merged_over(before);
        self
    }
    /// The time between two polls, kept as it is given. Otherwise it grows from
    /// [`DEFAULT_STATUS_CHECK_INTERVAL`](crate::DEFAULT_STATUS_CHECK_INTERVAL).
    pub fn status_check_interval(mut self, interval: Duration) -> Self {
        self.polling = Some(interval);
        self
    }
    /// A name under which the run is [recorded](LMInvoker::record). The same name with the same requests
    /// is the same run: it is gone on with, or read back if it was answered, and never paid for twice.
    /// Without a record it is refused.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }
    /// How often a request that was not answered, and may be if it is asked again, is sent in all; once
    /// unless said otherwise.
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.options.max_attempts = Some(attempts);
        self
    }
    /// Polls in all. When they are used up the batch goes on, and the error carries its
    /// [handle](lmbatch_core::Error::handle).
    pub fn max_iterations(mut self, polls: u32) -> Self {
        self.options.max_polls = Some(polls);
        self
    }
    /// Time of the whole call, from its first step to the last outcome: uploads, creates, searches for a create
    /// whose answer was lost, polls and downloads. When it is over the call ends with an error of the kind
    /// [`Timeout`](ErrorKind::Timeout), wherever it stands; batches go on, and the error carries the
    /// [handles](lmbatch_core::Error::handles) of those that exist. Where a create was under way its
    /// [delivery](lmbatch_core::Error::delivery) is unknown and it has a [label](lmbatch_core::Error::label); a
    /// [named](Self::named) run looks for that batch when it is asked for again.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.deadline = Some(timeout);
        self
    }
}

impl<'a, T: 'a> IntoFuture for Invoke<'a, T> {
    type Output = Result<Outcomes<T>>;
    type IntoFuture = BoxFuture<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        async move {
            if self.options.max_polls == Some(0) {
                return Err(Error::invalid_input(
                    "max_iterations must be at least 1; nothing was sent",
                ));
            }
            let mut context = self.call.invoker.engine.context.clone().for_call();
            if let Some(interval) = self.polling {
                context.polling = PollingPolicy::every(interval);
            }
            let limit = self.options.deadline;
            let (finished, handles) = match &self.name {
                Some(name) => {
                    let source = self.call.source();
                    let named = context.named(name, Some(source), false, self.options);
                    (named.await?.1, None)
                }
                None => {
                    context = context.ephemeral();
                    let ids = self.call.ids_of_run();
                    let plan = context.plan_with(self.call.source(), ids);
                    let plan = async { plan.await.map_err(Error::from) };
                    let plan = context.in_time(limit, UNREAD, plan).await?;
                    let handles = Arc::clone(&plan.handles);
                    (context.run(plan, self.options).await?, Some(handles))
                }
            };
            let read = Outcomes::read(&context, finished);
            let read = context
                .in_time(limit, "the outcomes were not read", read)
                .await;
            let outcomes = read.map_err(|error| match &handles {
                Some(handles) => handles.attach(error),
                None => error,
            })?;
            Ok((self.convert)(outcomes))
        }
        .boxed()
    }
}
