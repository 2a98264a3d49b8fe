//! The engine: a provider with everything a run needs around it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use lmbatch_core::{
    BatchHandle, BatchId, BatchProvider, BatchSnapshot, Certainty, Clock, Error, ErrorKind, Ledger,
    ListOptions, Nonce, Page, RequestId, Result, Rng, Spool,
};

use crate::clock::{SystemClock, SystemRng};
use crate::event::{Event, Observer};
use crate::fetch::{self, Finished, Joiner};
use crate::memory::MemoryLedger;
use crate::plan::{IdChoice, Plan, PlanError, Planner};
use crate::policy::{Decision, DoubtPolicy, PollingPolicy, RetryPolicy};
use crate::poll;
use crate::reader::OutcomeReader;
use crate::source::RequestSource;
use crate::spool::{Files, TemporarySpool};

/// Takes requests through a provider: plan, stage, create, poll, fetch, output.
///
/// ```no_run
/// # async fn example(provider: std::sync::Arc<dyn lmbatch_core::BatchProvider>, batch: lmbatch_core::BatchId) -> lmbatch_core::Result<()> {
/// use lmbatch_engine::Engine;
/// let engine = Engine::new(provider);
/// let finished = engine.retrieve_rows(&batch, Vec::new()).await?;
/// let mut outcomes = engine.outcomes(&finished)?;
/// while let Some(answered) = outcomes.next()? {
///     println!("{}: {:?}", answered.id.as_str(), answered.answer.problem());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Engine {
    pub(crate) provider: Arc<dyn BatchProvider>,
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) rng: Arc<dyn Rng>,
    pub(crate) polling: PollingPolicy,
    pub(crate) retries: RetryPolicy,
    pub(crate) doubt: DoubtPolicy,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) max_row_bytes: usize,
    spool: Option<Arc<dyn Spool>>,
}

/// Bounds of one run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RunOptions {
    /// How long to wait for the batch. It goes on without us.
    pub deadline: Option<Duration>,
    /// How often to ask for its status.
    pub max_polls: Option<u32>,
}

impl Engine {
    /// An engine with a ledger in memory and a temporary spool.
    pub fn new(provider: Arc<dyn BatchProvider>) -> Self {
        Self {
            provider,
            ledger: Arc::new(MemoryLedger::default()),
            clock: Arc::new(SystemClock::new()),
            rng: Arc::new(SystemRng),
            polling: PollingPolicy::GROWING,
            retries: RetryPolicy::default(),
            doubt: DoubtPolicy::default(),
            observer: Arc::new(()),
            max_row_bytes: 64 << 20,
            spool: None,
        }
    }

    /// Who is told what happens.
    pub fn with_observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = observer;
        self
    }
    /// How often a batch is asked for its status.
    pub fn with_polling(mut self, polling: PollingPolicy) -> Self {
        self.polling = polling;
        self
    }
    /// How failed calls are made again.
    pub fn with_retries(mut self, retries: RetryPolicy) -> Self {
        self.retries = retries;
        self
    }
    /// When to look for a create whose fate is unknown.
    pub fn with_doubt(mut self, doubt: DoubtPolicy) -> Self {
        self.doubt = doubt;
        self
    }
    /// The source of time.
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }
    /// The source of chance.
    pub fn with_rng(mut self, rng: Arc<dyn Rng>) -> Self {
        self.rng = rng;
        self
    }
    /// Where runs are noted.
    pub fn with_ledger(mut self, ledger: Arc<dyn Ledger>) -> Self {
        self.ledger = ledger;
        self
    }
    /// Where the bytes of runs lie.
    pub fn with_spool(mut self, spool: Arc<dyn Spool>) -> Self {
        self.spool = Some(spool);
        self
    }
    /// The longest row of results that is read; a longer one is an errored outcome. 64 MiB at first.
    pub fn with_max_row_bytes(mut self, bytes: usize) -> Self {
        self.max_row_bytes = bytes;
        self
    }

    /// The source of time.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// The provider.
    pub fn provider(&self) -> &Arc<dyn BatchProvider> {
        &self.provider
    }

    /// Reads and encodes every request. Sends nothing; ids on the wire are ours.
    pub async fn plan(&self, source: Box<dyn RequestSource>) -> Result<Plan, PlanError> {
        self.plan_with(source, IdChoice::Ours).await
    }

    pub(crate) async fn plan_with(
        &self,
        source: Box<dyn RequestSource>,
        ids: IdChoice,
    ) -> Result<Plan, PlanError> {
        self.plan_under(source, ids, Nonce::draw(&*self.rng)).await
    }

    pub(crate) async fn plan_under(
        &self,
        source: Box<dyn RequestSource>,
        ids: IdChoice,
        nonce: Nonce,
    ) -> Result<Plan, PlanError> {
        let planner = Planner {
            provider: Arc::clone(&self.provider),
            spool: self.spool()?,
            nonce,
            ids,
        };
        let plan = blocking(move || planner.plan(source)).await??;
        self.tell(&Event::Planned {
            requests: plan.requests(),
            bytes: plan.bytes(),
        });
        Ok(plan)
    }

    /// Takes a plan to its end: every request of it then has exactly one outcome.
    pub async fn run(&self, plan: Plan, options: RunOptions) -> Result<Finished> {
        let created = self.create(&plan).await?;
        let snapshot = self.wait(&created.batch, options).await?;
        let joiner = Joiner::of_plan(&plan)?;
        let finished = fetch::fetch(self, plan.files, joiner, snapshot).await?;
        if created.certainty == Certainty::Presumed && finished.is_a_strangers() {
            return Err(Error::new(ErrorKind::Doubt)
                .with_operation("create the batch")
                .with_batch(created.batch)
                .with_message("its answer was lost, and the batch that fitted holds none of our requests; ours may still be accepted and billed"));
        }
        Ok(finished)
    }

    /// Creates the batch of a plan, and waits for nothing.
    pub async fn submit(&self, plan: Plan) -> Result<BatchHandle> {
        let parts = plan.handle_parts()?;
        let created = self.create(&plan).await?;
        Ok(parts.with_batch(created.batch))
    }

    /// Where the batch stands.
    pub async fn status(&self, batch: &BatchId) -> Result<BatchSnapshot> {
        self.retrying(|| self.provider.status(batch))
            .await
            .map_err(|error| error.with_batch(batch.clone()))
    }

    /// Reads the results of a batch that has ended: exactly one outcome for each request of the handle.
    pub async fn retrieve(&self, handle: &BatchHandle) -> Result<Finished> {
        if handle.account != self.provider.account() {
            let message = "the handle was made under another account or base URL";
            return Err(Error::invalid_input(message).with_batch(handle.batch.clone()));
        }
        let snapshot = self.ended(self.known(&handle.batch).await?)?;
        let files = self.files()?;
        let joiner = Joiner::of_handle(handle, &files)?;
        fetch::fetch(self, Arc::new(files), joiner, snapshot).await
    }

    /// Reads the rows that a batch without a handle has, under the ids on the wire. Rows that name no
    /// request get `names` by their position, then "1", "2", …, with a warning.
    pub async fn retrieve_rows(&self, batch: &BatchId, names: Vec<RequestId>) -> Result<Finished> {
        let snapshot = self.ended(self.status(batch).await?)?;
        let files = self.files()?;
        let joiner = Joiner::of_rows(&files, names)?;
        fetch::fetch(self, Arc::new(files), joiner, snapshot).await
    }

    fn files(&self) -> Result<Files> {
        Ok(Files::new(self.spool()?, Nonce::draw(&*self.rng).as_str()))
    }

    fn ended(&self, snapshot: BatchSnapshot) -> Result<BatchSnapshot> {
        if snapshot.status.is_terminal() {
            return Ok(snapshot);
        }
        let message = format!(
            "the batch is {}; its results come when it has ended",
            snapshot.status
        );
        Err(Error::new(ErrorKind::Timeout)
            .with_message(message)
            .with_batch(snapshot.id))
    }

    /// Reads the outcomes back, in the order of the requests. Files are read as you go: keep it off
    /// threads that others wait for.
    pub fn outcomes(&self, finished: &Finished) -> Result<OutcomeReader> {
        OutcomeReader::new(Arc::clone(&self.provider), finished)
    }

    /// The same of a batch that is known to exist: some of the provider's machines may not know it yet.
    async fn known(&self, batch: &BatchId) -> Result<BatchSnapshot> {
        let start = self.clock.elapsed();
        let mut asked = 0;
        loop {
            asked += 1;
            match self.status(batch).await {
                Err(error)
                    if error.kind() == ErrorKind::BatchNotFound
                        && self.clock.elapsed() - start < poll::UNKNOWN_AT_FIRST =>
                {
                    self.pause(&error, self.polling.wait(asked, None)).await;
                }
                other => return other,
            }
        }
    }

    /// One page of batches, newest first.
    pub async fn list(&self, options: &ListOptions) -> Result<Page<BatchSnapshot>> {
        self.retrying(|| self.provider.list(options)).await
    }

    /// Asks the provider to cancel the batch. Requests that are answered by then are still paid for.
    pub async fn cancel(&self, batch: &BatchId) -> Result<()> {
        self.retrying(|| self.provider.cancel(batch))
            .await
            .map_err(|error| error.with_batch(batch.clone()))
    }

    /// Makes a call that can be repeated freely until it succeeds or patience runs out.
    pub(crate) async fn retrying<T, F>(&self, call: impl Fn() -> F + Send) -> Result<T>
    where
        F: Future<Output = Result<T>> + Send,
    {
        let mut attempt = 1;
        loop {
            let error = match call().await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            match self.retries.decide(attempt, &error, self.rng.next_f64()) {
                Decision::RetryAfter(wait) => self.pause(&error, wait).await,
                _ if attempt > 1 => return Err(error.with_retry(lmbatch_core::Retry::Exhausted)),
                _ => return Err(error),
            }
            attempt += 1;
        }
    }

    pub(crate) async fn pause(&self, error: &Error, wait: Duration) {
        self.tell(&Event::Retrying { error, wait });
        self.clock.sleep(wait).await;
    }

    pub(crate) fn tell(&self, event: &Event<'_>) {
        self.observer.observe(event);
    }

    fn spool(&self) -> Result<Arc<dyn Spool>> {
        if let Some(spool) = &self.spool {
            return Ok(Arc::clone(spool));
        }
        let spool =
            TemporarySpool::new().map_err(|e| Error::local("making a temporary folder", e))?;
        Ok(Arc::new(spool))
    }
}

/// Runs file work off the async threads.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        Error::new(ErrorKind::Internal)
            .with_message("a worker thread failed")
            .with_source(error)
    })
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("provider", &self.provider)
            .field("polling", &self.polling)
            .finish_non_exhaustive()
    }
}
