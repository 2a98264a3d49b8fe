//! The context: a provider together with everything that steps and services need.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use lmbatch_core::{
    Account, AccountId, BatchId, BatchProvider, BatchSnapshot, Clock, Error, ErrorKind, Ledger,
    ListOptions, Prices, Result, Rng, RunClaim, RunRecord, ShardRecord, Spool,
};

use crate::clock::{SystemClock, SystemRng, within};
use crate::cost::{CostLimit, Pricer};
use crate::event::{Event, Observer, Silent};
use crate::last_failure::LastFailure;
use crate::memory::MemoryLedger;
use crate::pages::items;
use crate::policy::{BatchLimit, DoubtPolicy, OnDoubt, PollingPolicy, RetryPolicy, StepLimits};
use crate::share::AccountShare;
use crate::spool::temporary::TemporarySpool;

/// Revision of the ledger at a clock time; no revision where the ledger cannot tell.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KnownRevision {
    at: Duration,
    revision: Option<u64>,
}

/// Maximum age of a revision of the ledger that counts as the current one.
const REVISION_AGE: Duration = Duration::from_millis(500);

/// Provider, ledger, spool, clock, random numbers, policies and observer of an engine.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) provider: Arc<dyn BatchProvider>,
    /// Account under which runs are recorded, where it is not the provider's own.
    pub(crate) account: Option<AccountId>,
    pub(crate) ledger: Arc<dyn Ledger>,
    /// Ledger for one-off calls, kept in memory so that they leave no trace in a durable ledger.
    /// [`ephemeral`](Self::ephemeral) exchanges it with `ledger`.
    pub(crate) ephemeral_ledger: Arc<dyn Ledger>,
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
    /// Prices of the provider's models; `None` where costs are not computed.
    pub(crate) prices: Option<Arc<dyn Prices>>,
    pub(crate) cost_limit: Option<CostLimit>,
    /// Clock time at which the call began that this context serves.
    pub(crate) started: Option<Duration>,
    pub(crate) last_failure: LastFailure,
    /// State that the runs of this account share; clones of an engine hold the same one.
    pub(crate) share: Arc<AccountShare>,
    /// Revision of the ledger, and the clock time at which it was read.
    pub(crate) revision: Arc<tokio::sync::Mutex<Option<KnownRevision>>>,
}

impl Context {
    pub(crate) fn new(provider: Arc<dyn BatchProvider>) -> Self {
        Self {
            provider,
            account: None,
            ledger: Arc::new(MemoryLedger::default()),
            ephemeral_ledger: Arc::new(MemoryLedger::default()),
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
            prices: None,
            cost_limit: None,
            started: None,
            last_failure: LastFailure::default(),
            share: Arc::default(),
            revision: Arc::default(),
        }
    }

    /// Returns the account under which runs are recorded.
    pub(crate) fn account(&self) -> Account {
        let own = Account::of(&*self.provider);
        match &self.account {
            Some(id) => Account {
                id: id.clone(),
                key_hint: None,
                former: None,
            },
            None => own,
        }
    }

    /// Returns a context that holds the claim of a run.
    pub(crate) fn with_claim(&self, claim: Option<RunClaim>) -> Self {
        Self {
            claim,
            ..self.clone()
        }
    }

    /// Maximum number of batches on a page of the provider's list, where the list replaces status
    /// calls.
    pub(crate) fn status_page(&self) -> Option<u32> {
        let capabilities = self.provider.codec().capabilities();
        capabilities.status_page.filter(|_| capabilities.list)
    }

    /// Returns the prices of the provider's models.
    pub(crate) fn pricer(&self) -> Option<Pricer> {
        let prices = Arc::clone(self.prices.as_ref()?);
        Some(Pricer::new(prices, self.provider.codec().id().clone()))
    }

    pub(crate) fn is_durable(&self) -> bool {
        self.durable
    }

    /// Returns a context for a one-off call: it leaves nothing in the durable ledger, but still
    /// reads from it.
    pub(crate) fn ephemeral(&self) -> Self {
        let mut engine = self.clone();
        if engine.durable {
            (engine.durable, engine.spool) = (false, None);
            std::mem::swap(&mut engine.ledger, &mut engine.ephemeral_ledger);
            engine.revision = Arc::default();
        }
        engine
    }

    /// Returns a context for one call, whose time limit counts from now.
    pub(crate) fn for_call(mut self) -> Self {
        self.started = Some(self.clock.elapsed());
        self
    }

    /// Returns the clock time at which the call began.
    pub(crate) fn started(&self) -> Duration {
        self.started.unwrap_or_else(|| self.clock.elapsed())
    }

    /// Does local work of a call within the time limit of the call.
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

    pub(crate) fn report(&self, event: &Event<'_>) {
        self.last_failure.note(event);
        self.observer.observe(event);
    }

    pub(crate) fn spool(&self) -> Result<Arc<dyn Spool>> {
        if let Some(spool) = &self.spool {
            return Ok(Arc::clone(spool));
        }
        let spool = TemporarySpool::new().map_err(|error| {
            let folder = std::env::temp_dir();
            let message = format!(
                "a folder for temporary files cannot be created in {} (free some space there, or set TMPDIR)",
                folder.display()
            );
            Error::local(message, error)
        })?;
        Ok(Arc::new(spool))
    }

    /// Returns the current record of a run. A copy that a caller holds may be out of date, since
    /// another process may have advanced the run.
    pub(crate) async fn recorded(&self, run: &RunRecord) -> Result<RunRecord> {
        let known = self.ledger.run(&run.id).await?;
        known.ok_or_else(|| Error::invalid_input(format!("the ledger has no run {}", run.id)))
    }

    /// Changes the current record of a run and adds shards to the run. Starts again where another
    /// process changed the record in between.
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
                    // The conflict is about one of the shards, not about the run: repeating cannot
                    // resolve it.
                    if self.recorded(run).await?.epoch == now.epoch {
                        return Err(error);
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Returns the revision of the ledger, at most [`REVISION_AGE`] old: the runs of a process share one query.
    pub(crate) async fn revision(&self) -> Result<Option<u64>> {
        let mut known = self.revision.lock().await;
        let now = self.clock.elapsed();
        if let Some(KnownRevision { at, revision }) = *known
            && now.saturating_sub(at) < REVISION_AGE
        {
            return Ok(revision);
        }
        let revision = self.ledger.revision().await?;
        *known = Some(KnownRevision { at: now, revision });
        Ok(revision)
    }

    /// Returns whether the record says that a run is cancelled.
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
