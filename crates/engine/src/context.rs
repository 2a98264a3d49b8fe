//! The context: a provider with everything that steps and services need around it.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use lmbatch_core::{
    BatchId, BatchProvider, BatchSnapshot, Clock, Error, ErrorKind, Ledger, ListOptions, Result,
    Rng, RunClaim, RunRecord, ShardRecord, Spool,
};

use crate::clock::{SystemClock, SystemRng, within};
use crate::event::{Event, Observer, Silent};
use crate::memory::MemoryLedger;
use crate::pages::items;
use crate::policy::{BatchLimit, DoubtPolicy, OnDoubt, PollingPolicy, RetryPolicy, StepLimits};
use crate::share::AccountShare;
use crate::spool::temporary::TemporarySpool;
use crate::trouble::Trouble;

/// Provider, record, spool, clock, chance, policies and observer of an engine.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) provider: Arc<dyn BatchProvider>,
    pub(crate) ledger: Arc<dyn Ledger>,
    /// Beside a record, where what is asked for once is noted; there, the record.
    pub(crate) beside: Arc<dyn Ledger>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) rng: Arc<dyn Rng>,
    pub(crate) polling: PollingPolicy,
    pub(crate) retries: RetryPolicy,
    pub(crate) doubt: DoubtPolicy,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) max_row_bytes: usize,
    pub(crate) spool: Option<Arc<dyn Spool>>,
    pub(crate) durable: bool,
    /// Claim on the run that this engine advances.
    pub(crate) claim: Option<RunClaim>,
    pub(crate) on_doubt: OnDoubt,
    pub(crate) batch_limit: BatchLimit,
    pub(crate) limits: StepLimits,
    /// When the call that this engine is for began.
    pub(crate) started: Option<Duration>,
    pub(crate) trouble: Trouble,
    /// What the runs of this account share: clones of an engine have one.
    pub(crate) share: Arc<AccountShare>,
}

impl Context {
    pub(crate) fn new(provider: Arc<dyn BatchProvider>) -> Self {
        Self {
            provider,
            ledger: Arc::new(MemoryLedger::default()),
            beside: Arc::new(MemoryLedger::default()),
            clock: Arc::new(SystemClock::new()),
            rng: Arc::new(SystemRng),
            polling: PollingPolicy::GROWING,
            retries: RetryPolicy::default(),
            doubt: DoubtPolicy::default(),
            observer: Arc::new(Silent),
            max_row_bytes: 64 << 20,
            spool: None,
            durable: false,
            claim: None,
            on_doubt: OnDoubt::default(),
            batch_limit: BatchLimit::default(),
            limits: StepLimits::default(),
            started: None,
            trouble: Trouble::default(),
            share: Arc::default(),
        }
    }

    /// Returns an engine that holds the claim of a run.
    pub(crate) fn with_claim(&self, claim: Option<RunClaim>) -> Self {
        Self {
            claim,
            ..self.clone()
        }
    }

    /// Most batches on a page of the provider's list, where the list stands in for status calls.
    pub(crate) fn status_page(&self) -> Option<u32> {
        let capabilities = self.provider.codec().capabilities();
        capabilities.status_page.filter(|_| capabilities.list)
    }

    pub(crate) fn is_durable(&self) -> bool {
        self.durable
    }

    /// The same for what no one will ask for again: it leaves nothing in the record, but knows what is
    /// there.
    pub(crate) fn once(&self) -> Self {
        let mut engine = self.clone();
        if engine.durable {
            (engine.durable, engine.spool) = (false, None);
            std::mem::swap(&mut engine.ledger, &mut engine.beside);
        }
        engine
    }

    /// The same engine for one call, whose time in all begins now.
    pub(crate) fn for_call(mut self) -> Self {
        self.started = Some(self.clock.elapsed());
        self
    }

    /// When the call began, by the clock.
    pub(crate) fn started(&self) -> Duration {
        self.started.unwrap_or_else(|| self.clock.elapsed())
    }

    /// Work of a call on this machine, within the time of the call.
    pub(crate) async fn in_time<T>(
        &self,
        limit: Option<Duration>,
        doing: &str,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let at = limit.and_then(|limit| self.started().checked_add(limit));
        let (Some(at), Some(limit)) = (at, limit) else {
            return work.await;
        };
        let done = within(&*self.clock, at, work).await;
        done.unwrap_or_else(|| {
            Err(Error::new(ErrorKind::Timeout)
                .with_message(format!("{doing} within {} s", limit.as_secs_f64())))
        })
    }

    pub(crate) fn tell(&self, event: &Event<'_>) {
        self.trouble.note(event);
        self.observer.observe(event);
    }

    pub(crate) fn spool(&self) -> Result<Arc<dyn Spool>> {
        if let Some(spool) = &self.spool {
            return Ok(Arc::clone(spool));
        }
        let spool =
            TemporarySpool::new().map_err(|e| Error::local("making a temporary spool", e))?;
        Ok(Arc::new(spool))
    }

    /// A run as the record has it now: whoever holds a copy may have read it before someone else went on
    /// with it.
    pub(crate) async fn recorded(&self, run: &RunRecord) -> Result<RunRecord> {
        let known = self.ledger.run(&run.id).await?;
        known.ok_or_else(|| Error::invalid_input(format!("the record knows no run {}", run.id)))
    }

    /// Changes the record of a run as it is now, and adds shards to it; all over, where someone else
    /// changed something of it in between.
    pub(crate) async fn change(
        &self,
        run: &RunRecord,
        shards: &[ShardRecord],
        change: impl Fn(&mut RunRecord) -> Result<()> + Send + Sync,
    ) -> Result<RunRecord> {
        loop {
            let mut now = self.recorded(run).await?;
            change(&mut now)?;
            match self.ledger.change(&now, shards).await {
                Ok(epoch) => return Ok(RunRecord { epoch, ..now }),
                Err(error) if error.kind() == ErrorKind::Conflict => {
                    // Not the run but one of the shards: that does not pass.
                    if self.recorded(run).await?.epoch == now.epoch {
                        return Err(error);
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether the record says that a run is cancelled.
    pub(crate) async fn is_run_cancelled(&self, run: &str) -> Result<bool> {
        let known = self.ledger.run(run).await?;
        Ok(known.is_some_and(|run| run.cancelled))
    }

    pub(crate) async fn status(&self, batch: &BatchId) -> Result<BatchSnapshot> {
        self.retrying(|| self.provider.status(batch))
            .await
            .map_err(|error| error.with_batch(batch.clone()))
    }

    pub(crate) fn list(&self, limit: Option<u32>) -> BoxStream<'static, Result<BatchSnapshot>> {
        let context = self.clone();
        let ask = move |page| {
            let context = context.clone();
            async move {
                let options = ListOptions { limit, page };
                context.retrying(|| context.provider.list(&options)).await
            }
        };
        items(ask).boxed()
    }

    pub(crate) async fn cancel(&self, batch: &BatchId) -> Result<()> {
        self.retrying(|| self.provider.cancel(batch))
            .await
            .map_err(|error| error.with_batch(batch.clone()))
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("provider", &self.provider)
            .field("polling", &self.polling)
            .finish_non_exhaustive()
    }
}
