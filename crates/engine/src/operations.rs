//! The six operations for requests in memory.

use std::collections::HashMap;
use std::future::IntoFuture;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use lmbatch_core::{
    BatchHandle, BatchId, BatchSnapshot, Error, ErrorKind, GenerateOptions, Hyperparameters,
    ListOptions, Outcome, Request, RequestId, Result, TokenUsage,
};

use crate::engine::{RunOptions, blocking};
use crate::fetch::Finished;
use crate::invoker::LMInvoker;
use crate::owned::{OwnedSource, outcome};
use crate::plan::IdChoice;
use crate::policy::PollingPolicy;

/// The six operations of an invoker. Dropping a future cancels nothing at the provider.
///
/// ```no_run
/// # async fn example(invoker: lmbatch_engine::LMInvoker) -> lmbatch_core::Result<()> {
/// let handle = invoker.batch().create([("a", "Hello!")]).await?;
/// println!("{}", invoker.batch().status(&handle.batch).await?.status);
/// invoker.batch().cancel(&handle.batch).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy)]
pub struct BatchOperations<'a> {
    pub(crate) invoker: &'a LMInvoker,
}

impl<'a> BatchOperations<'a> {
    /// Creates a batch and gives back what any process needs to go on with it.
    pub fn create<R: Into<Request>>(self, requests: impl IntoIterator<Item = R>) -> Create<'a> {
        Create {
            call: Call::new(self.invoker, requests),
        }
    }

    /// Where a batch stands.
    pub async fn status(self, batch: &BatchId) -> Result<BatchSnapshot> {
        self.invoker.engine.status(batch).await
    }

    /// The outcomes of a batch that has ended: exactly one for each request of the handle.
    pub async fn retrieve(self, handle: &BatchHandle) -> Result<Outcomes> {
        let engine = &self.invoker.engine;
        if handle.account != engine.provider().account() {
            return Err(Error::invalid_input(
                "the handle was made under another account or base URL",
            )
            .with_batch(handle.batch.clone()));
        }
        let finished = engine.retrieve(&handle.batch, Some(handle)).await?;
        Outcomes::read(self.invoker, finished).await
    }

    /// The rows of a batch that was made elsewhere, under the ids they were sent with. What it
    /// does not name cannot be told from what was never asked: prefer [`retrieve`](Self::retrieve).
    pub async fn retrieve_rows(self, batch: &BatchId) -> Result<Outcomes> {
        let finished = self.invoker.engine.retrieve(batch, None).await?;
        Outcomes::read(self.invoker, finished).await
    }

    /// All batches that the provider lists, newest first, from every page.
    pub async fn list(self) -> Result<Vec<BatchSnapshot>> {
        let mut options = ListOptions::default();
        let mut all = Vec::new();
        loop {
            let page = self.invoker.engine.list(&options).await?;
            all.extend(page.items);
            match page.next {
                Some(next) if Some(&next) != options.page.as_ref() => options.page = Some(next),
                _ => return Ok(all),
            }
        }
    }

    /// Asks the provider to cancel a batch. What is answered by then is still paid for.
    pub async fn cancel(self, batch: &BatchId) -> Result<()> {
        self.invoker.engine.cancel(batch).await
    }

    /// Creates a batch, waits until it has ended, and gives back one outcome for each request.
    pub fn invoke<R: Into<Request>>(self, requests: impl IntoIterator<Item = R>) -> Invoke<'a> {
        Invoke {
            call: Call::new(self.invoker, requests),
            options: RunOptions::default(),
            polling: None,
        }
    }
}

#[derive(Debug)]
struct Call<'a> {
    invoker: &'a LMInvoker,
    requests: Vec<Request>,
    options: GenerateOptions,
}

impl<'a> Call<'a> {
    fn new<R: Into<Request>>(
        invoker: &'a LMInvoker,
        requests: impl IntoIterator<Item = R>,
    ) -> Self {
        Self {
            invoker,
            requests: requests.into_iter().map(Into::into).collect(),
            options: GenerateOptions::default(),
        }
    }

    fn source(self) -> Box<OwnedSource> {
        Box::new(OwnedSource {
            requests: self.requests.into_iter(),
            model: self.invoker.model.clone(),
            options: self.options.merged_over(&self.invoker.options),
            place: 0,
        })
    }
}

/// A create that starts when it is awaited.
#[derive(Debug)]
#[must_use = "nothing is sent until it is awaited"]
pub struct Create<'a> {
    call: Call<'a>,
}

impl Create<'_> {
    /// How the answers of this call are written; merged over the invoker's.
    pub fn hyperparameters(mut self, hyperparameters: Hyperparameters) -> Self {
        self.call.options.hyperparameters = hyperparameters;
        self
    }
}

impl<'a> IntoFuture for Create<'a> {
    type Output = Result<BatchHandle>;
    type IntoFuture = BoxFuture<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        async move {
            let engine = &self.call.invoker.engine;
            let rule = engine.provider().codec().capabilities().wire_ids;
            // The caller's own ids travel where all are legal, so that the batch can be read without its handle.
            let legal = self
                .call
                .requests
                .iter()
                .all(|request| rule.allows(request.id.as_str()));
            let ids = if legal {
                IdChoice::Callers
            } else {
                IdChoice::Ours
            };
            let plan = engine.plan_with(self.call.source(), ids).await?;
            let parts = plan.handle_parts()?;
            let batch = engine.create(&plan).await?;
            Ok(parts.with_batch(batch))
        }
        .boxed()
    }
}

/// A whole run that starts when it is awaited.
#[derive(Debug)]
#[must_use = "nothing is sent until it is awaited"]
pub struct Invoke<'a> {
    call: Call<'a>,
    options: RunOptions,
    polling: Option<Duration>,
}

impl Invoke<'_> {
    /// How the answers of this call are written; merged over the invoker's.
    pub fn hyperparameters(mut self, hyperparameters: Hyperparameters) -> Self {
        self.call.options.hyperparameters = hyperparameters;
        self
    }
    /// The time between two polls, kept as it is given. Otherwise it grows from
    /// [`DEFAULT_STATUS_CHECK_INTERVAL`](crate::DEFAULT_STATUS_CHECK_INTERVAL).
    pub fn status_check_interval(mut self, interval: Duration) -> Self {
        self.polling = Some(interval);
        self
    }
    /// Polls in all. When they are used up the error carries the batch id, and the batch goes on.
    pub fn max_iterations(mut self, polls: u32) -> Self {
        self.options.max_polls = Some(polls);
        self
    }
    /// Time in all to wait for the batch. When it is over the error carries the batch id, and the batch goes on.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.deadline = Some(timeout);
        self
    }
}

impl<'a> IntoFuture for Invoke<'a> {
    type Output = Result<Outcomes>;
    type IntoFuture = BoxFuture<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        async move {
            if self.options.max_polls == Some(0) {
                return Err(Error::invalid_input(
                    "max_iterations must be at least 1; nothing was sent",
                ));
            }
            let invoker = self.call.invoker;
            let mut engine = invoker.engine.clone();
            if let Some(interval) = self.polling {
                engine = engine.with_polling(PollingPolicy::every(interval));
            }
            let plan = engine.plan(self.call.source()).await?;
            let finished = engine.run(plan, self.options).await?;
            Outcomes::read(invoker, finished).await
        }
        .boxed()
    }
}

/// One outcome for each request, in the order of the requests.
///
/// ```no_run
/// # fn show(outcomes: &lmbatch_engine::Outcomes) {
/// for (id, outcome) in outcomes {
///     println!("{id}: {}", outcome.status());
/// }
/// println!("{} tokens", outcomes.usage().output_tokens);
/// # }
/// ```
#[derive(Debug)]
pub struct Outcomes {
    batch: BatchSnapshot,
    entries: Vec<(RequestId, Outcome)>,
    places: HashMap<RequestId, usize>,
}

impl Outcomes {
    async fn read(invoker: &LMInvoker, finished: Finished) -> Result<Self> {
        let mut reader = invoker.engine.outcomes(&finished)?;
        let batch = finished.snapshot().clone();
        let entries = blocking(move || {
            let mut entries = Vec::new();
            while let Some(answered) = reader.next()? {
                entries.push((
                    crate::plan::request_id(answered.id.as_str().as_bytes()),
                    outcome(&answered),
                ));
            }
            Ok::<_, Error>(entries)
        })
        .await?
        .map_err(|error| error.with_batch(batch.id.clone()))?;
        let places = entries
            .iter()
            .enumerate()
            .map(|(place, (id, _))| (id.clone(), place))
            .collect();
        Ok(Self {
            batch,
            entries,
            places,
        })
    }

    /// The batch as it ended.
    pub fn batch(&self) -> &BatchSnapshot {
        &self.batch
    }
    /// The outcome of one request.
    pub fn get(&self, id: &str) -> Option<&Outcome> {
        self.places
            .get(&RequestId::from(id))
            .map(|place| &self.entries[*place].1)
    }
    /// Requests with their outcomes, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, (RequestId, Outcome)> {
        self.entries.iter()
    }
    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
    /// What all answers used together.
    pub fn usage(&self) -> TokenUsage {
        self.entries
            .iter()
            .filter_map(|(_, outcome)| outcome.value().ok())
            .map(|output| output.usage)
            .sum()
    }
}

impl IntoIterator for Outcomes {
    type Item = (RequestId, Outcome);
    type IntoIter = std::vec::IntoIter<Self::Item>;
    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
}

impl<'a> IntoIterator for &'a Outcomes {
    type Item = &'a (RequestId, Outcome);
    type IntoIter = std::slice::Iter<'a, (RequestId, Outcome)>;
    fn into_iter(self) -> Self::IntoIter {
        self.entries.iter()
    }
}

impl std::ops::Index<&str> for Outcomes {
    type Output = Outcome;

    /// The outcome of a request.
    ///
    /// # Panics
    /// If there is no such request; [`get`](Outcomes::get) does not.
    fn index(&self, id: &str) -> &Outcome {
        self.get(id)
            .unwrap_or_else(|| panic!("no request {id:?} in this batch ({:?})", ErrorKind::Missing))
    }
}
