//! The engine: a provider with everything a run needs around it.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use lmbatch_core::{
    BatchHandle, BatchId, BatchProvider, BatchSnapshot, Certainty, Clock, Error, ErrorKind, Ledger,
    ListOptions, Nonce, RequestId, Result, Retry, Rng, RunClaim, RunRecord, ShardRecord,
    ShardState, Spool,
};

use crate::account::under_another_key;
use crate::bounds::Trouble;
use crate::clock::{SystemClock, SystemRng};
use crate::event::{Event, Observer, Silent};
use crate::finished::Finished;
use crate::joiner::Joiner;
use crate::memory::MemoryLedger;
use crate::pages::items;
use crate::plan::{IdChoice, Plan, PlanError, Planner};
use crate::policy::{BatchLimit, DoubtPolicy, OnDoubt, PollingPolicy, RetryPolicy};
use crate::reader::OutcomeReader;
use crate::run::step::StepLimits;
use crate::source::RequestSource;
use crate::spool::Files;
use crate::temporary::TemporarySpool;

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
    /// Beside a record, where what is asked for once is noted; there, the record.
    pub(crate) beside: Arc<dyn Ledger>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) rng: Arc<dyn Rng>,
    pub(crate) polling: PollingPolicy,
    pub(crate) retries: RetryPolicy,
    pub(crate) doubt: DoubtPolicy,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) max_row_bytes: usize,
    spool: Option<Arc<dyn Spool>>,
    durable: bool,
    /// Claim on the run that this engine advances.
    pub(crate) claim: Option<RunClaim>,
    pub(crate) on_doubt: OnDoubt,
    pub(crate) batch_limit: BatchLimit,
    pub(crate) limits: StepLimits,
    /// When the call that this engine is for began.
    pub(crate) started: Option<Duration>,
    pub(crate) trouble: Trouble,
}

/// Bounds of one run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RunOptions {
    /// Time of the run in all: creates, searches for lost creates, polls and reading results. What is under
    /// way when it is over is dropped where it stands: the record has it as after a crash, and batches go on.
    pub deadline: Option<Duration>,
    /// How often to ask for its status.
    pub max_polls: Option<u32>,
    /// How often a request that was not answered, and may be if it is asked again, is sent in all. One
    /// where nothing is said.
    pub max_attempts: Option<u32>,
    /// Create what can be created, ask once, fetch what has ended, and wait for nothing.
    pub once: bool,
}

impl Engine {
    /// An engine with a ledger in memory and a temporary spool.
    pub fn new(provider: Arc<dyn BatchProvider>) -> Self {
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
        }
    }

    /// Who is told what happens.
    pub fn with_observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = observer;
        self
    }
    /// Sets another provider value of the same account, such as one with another key or endpoint. What the
    /// engine shares with its clones, such as its limits, it goes on sharing.
    pub fn with_provider(mut self, provider: Arc<dyn BatchProvider>) -> Self {
        self.provider = provider;
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
    /// What is done about a create whose fate stays unknown.
    pub fn with_on_doubt(mut self, on_doubt: OnDoubt) -> Self {
        self.on_doubt = on_doubt;
        self
    }
    /// The most of one batch, below what the provider takes.
    pub fn with_batch_limit(mut self, limit: BatchLimit) -> Self {
        self.batch_limit = limit;
        self
    }
    /// Sets how many steps run at once, by kind.
    pub fn with_limits(mut self, limits: StepLimits) -> Self {
        self.limits = limits;
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
    /// A record that outlives the process: what lies in the spool is kept for it.
    pub fn with_record(self, ledger: Arc<dyn Ledger>, spool: Arc<dyn Spool>) -> Self {
        Self {
            durable: true,
            beside: Arc::new(MemoryLedger::default()),
            ..self.with_ledger(ledger).with_spool(spool)
        }
    }
    /// The longest row of results that is read, 64 MiB at first; a longer one counts as not delivered.
    pub fn with_max_row_bytes(mut self, bytes: usize) -> Self {
        self.max_row_bytes = bytes;
        self
    }

    /// Returns an engine that holds the claim of a run.
    pub(crate) fn with_claim(&self, claim: Option<RunClaim>) -> Self {
        Self {
            claim,
            ..self.clone()
        }
    }

    pub(crate) fn is_durable(&self) -> bool {
        self.durable
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

    /// The same under the mark of an earlier plan: of the same input it is the same plan again.
    pub async fn plan_again(
        &self,
        source: Box<dyn RequestSource>,
        nonce: Nonce,
    ) -> Result<Plan, PlanError> {
        self.plan_under(source, IdChoice::Ours, nonce).await
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
        // Before the first file of it lies in the spool: what belongs to no run is deleted.
        let claim = match self.durable {
            true => Some(self.holding(&self.id_of_nonce(&nonce).await?).await?),
            false => None,
        };
        let planner = Planner {
            claim,
            provider: Arc::clone(&self.provider),
            spool: self.spool()?,
            nonce,
            ids,
            limit: self.batch_limit,
        };
        let (plan, warning) = blocking(move || planner.plan(source)).await??;
        if let Some(message) = &warning {
            self.tell(&Event::Warning { message });
        }
        self.tell(&Event::Planned {
            requests: plan.requests(),
            bytes: plan.bytes(),
        });
        if !plan.schema_notes().is_empty() {
            self.tell(&Event::SchemaChanged {
                notes: plan.schema_notes(),
            });
        }
        Ok(plan)
    }

    /// Takes a plan to its end: every request of it then has exactly one outcome.
    pub async fn run(&self, plan: Plan, options: RunOptions) -> Result<Finished> {
        let run = self.begin(&plan, None, BTreeMap::new()).await?;
        self.drive(run, plan, options).await
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

    /// Notes a plan in the ledger, under the caller's name for it and with its notes.
    pub async fn begin(
        &self,
        plan: &Plan,
        name: Option<&str>,
        notes: BTreeMap<Box<str>, Box<str>>,
    ) -> Result<RunRecord> {
        let run = RunRecord {
            name: name.map(Into::into),
            ..plan.record(&*self.clock)
        };
        let shards = plan.shards.iter().map(|planned| planned.record(&run.id));
        let shards: Vec<ShardRecord> = shards.collect();
        self.begin_with(plan, run, notes, &shards).await
    }

    /// The same with shards that may be further on.
    pub(crate) async fn begin_with(
        &self,
        plan: &Plan,
        run: RunRecord,
        notes: BTreeMap<Box<str>, Box<str>>,
        shards: &[ShardRecord],
    ) -> Result<RunRecord> {
        let run = RunRecord { notes, ..run };
        // What is not in a record leaves nothing behind; what is, stays. A note that fails may have been
        // made for all that.
        plan.files.keep(self.durable);
        if let Err(error) = self.ledger.begin(&run, shards).await {
            let noted = self.ledger.shards(&run.id).await;
            plan.files
                .keep(self.durable && noted.is_ok_and(|noted| !noted.is_empty()));
            return Err(error);
        }
        Ok(run)
    }

    /// Takes a plan that was [begun](Self::begin) to its end.
    pub async fn start(&self, run: RunRecord, plan: Plan, options: RunOptions) -> Result<Finished> {
        self.drive(run, plan, options).await
    }

    /// The outcomes of a run that has ended, from its record alone: no one is asked.
    pub async fn sealed(&self, run: &RunRecord) -> Result<Finished> {
        self.job(run).await?.sealed().await
    }

    /// Returns the outcomes of a run that has ended. Results of which a file is damaged are read again from the
    /// provider; nothing is sent again.
    ///
    /// # Errors
    /// As [`sealed`](Self::sealed), and those of reading results.
    pub async fn answered(&self, run: &RunRecord, options: RunOptions) -> Result<Finished> {
        let job = self.job(run).await?;
        if job.damaged().await?.is_empty() {
            return job.sealed().await;
        }
        drop(job);
        let options = RunOptions {
            max_attempts: Some(1),
            ..options
        };
        self.resume(run, options).await
    }

    /// The outcomes that a run has so far, from its record alone; see [`Finished::is_whole`].
    pub async fn partial(&self, run: &RunRecord) -> Result<Finished> {
        self.job(run).await?.partial().await
    }

    /// Sends chosen requests of a run that has ended again, by their places in the output from 0: they go
    /// out when it is [resumed](Self::resume), and what is answered last counts. How many they are.
    pub async fn requeue(&self, run: &RunRecord, chosen: &HashSet<u32>) -> Result<u64> {
        let _claim = self.holding(&run.id).await?;
        let run = &self.of_this_account(run).await?;
        let mut job = self.job(run).await?;
        job.must_have_ended()?;
        let chosen = job.plan.ordinals_of(chosen)?;
        self.revive(&job.run).await?;
        job.send_again(&chosen).await
    }

    /// Whoever asks for more of a run that was cancelled wants it to go on.
    pub(crate) async fn revive(&self, run: &RunRecord) -> Result<()> {
        let revive = |run: &mut RunRecord| {
            if run.cancelled && !run.finished {
                let message = format!("the run {} is being cancelled, and has not ended", run.id);
                return Err(Error::invalid_input(message));
            }
            run.cancelled = false;
            Ok(())
        };
        self.change(run, &[], revive).await.map(drop)
    }

    /// Keeps other notes with a run.
    pub async fn annotate(
        &self,
        run: &RunRecord,
        notes: BTreeMap<Box<str>, Box<str>>,
    ) -> Result<RunRecord> {
        let change = |run: &mut RunRecord| {
            run.notes.clone_from(&notes);
            Ok(())
        };
        self.change(run, &[], change).await
    }

    /// Goes on with a run that the ledger knows, from wherever it stands. Nothing is paid for twice.
    pub async fn resume(&self, run: &RunRecord, options: RunOptions) -> Result<Finished> {
        let _claim = self.holding(&run.id).await?;
        let run = self.of_this_account(run).await?;
        let (run, plan) = self.restored(&run).await?;
        self.drive(run, plan, options).await
    }

    /// Asks the provider to cancel every batch of a run that is certain to be ours, and creates no more of
    /// them; how many are asked for. What is answered by then is still paid for, and fetched when the run is
    /// [resumed](Self::resume).
    ///
    /// # Errors
    /// The first of what the provider refuses; all batches are asked for all the same.
    pub async fn cancel_run(&self, run: &RunRecord) -> Result<u64> {
        // First that nothing more is created, then what is there. A process that goes on with the run sees
        // it, and cancels what it was creating meanwhile.
        let run = &self.of_this_account(run).await?;
        let cancel = |run: &mut RunRecord| {
            // Of one that has ended there is nothing to cancel.
            run.cancelled |= !run.finished;
            Ok(())
        };
        let run = self.change(run, &[], cancel).await?;
        let (mut count, mut failure) = (0, None);
        for shard in self.ledger.shards(&run.id).await? {
            if let ShardState::Created { batch, proof } = &shard.state {
                if proof.certainty == Certainty::Presumed {
                    let message =
                        format!("{batch} is not cancelled: it is not certain that it is ours");
                    self.tell(&Event::Warning { message: &message });
                    continue;
                }
                match self.cancel(batch).await {
                    Ok(()) => count += 1,
                    Err(error) => failure = failure.or(Some(error)),
                }
            }
        }
        failure.map_or(Ok(count), Err)
    }

    /// Whether the record says that a run is cancelled.
    pub(crate) async fn is_run_cancelled(&self, run: &str) -> Result<bool> {
        let known = self.ledger.run(run).await?;
        Ok(known.is_some_and(|run| run.cancelled))
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

    /// The record of runs.
    pub fn ledger(&self) -> &Arc<dyn Ledger> {
        &self.ledger
    }

    /// Where the batch stands.
    pub async fn status(&self, batch: &BatchId) -> Result<BatchSnapshot> {
        self.retrying(|| self.provider.status(batch))
            .await
            .map_err(|error| error.with_batch(batch.clone()))
    }

    /// Reads the results of a batch that has ended: exactly one outcome for each request of the handle.
    pub async fn retrieve(&self, handle: &BatchHandle) -> Result<Finished> {
        let snapshot = match self.key_changed(handle)? {
            false => self.known(&handle.batch).await?,
            true => self
                .readable(&handle.batch)
                .await
                .map_err(under_another_key)?,
        };
        let snapshot = self.ended(snapshot)?;
        let (files, handle) = (self.files()?, handle.clone());
        let requests = Some(handle.requests.len() as u64);
        let class = Some(handle.class.clone());
        let work = move || Joiner::of_handle(&handle, &files).map(|joiner| (files, joiner));
        let (files, joiner) = blocking(work).await??;
        self.fetch(files, joiner, snapshot, requests, class).await
    }

    /// Reads the rows that a batch without a handle has, under the ids on the wire. Rows that name no
    /// request get `names` by their position, then ids of the form `row-without-id-2`, with a warning. None of
    /// these is the id of another row.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] where one of `names` that is used is the id of another row.
    pub async fn retrieve_rows(&self, batch: &BatchId, names: Vec<RequestId>) -> Result<Finished> {
        let snapshot = self.ended(self.readable(batch).await?)?;
        let files = self.files()?;
        let joiner = Joiner::of_rows(names);
        self.fetch(files, joiner, snapshot, None, None).await
    }

    fn files(&self) -> Result<Arc<Files>> {
        let stem = Nonce::draw(&*self.rng);
        Ok(Arc::new(Files::new(self.spool()?, stem.as_str(), false)))
    }

    fn ended(&self, snapshot: BatchSnapshot) -> Result<BatchSnapshot> {
        if snapshot.status.is_terminal() {
            return Ok(snapshot);
        }
        let message = format!(
            "the batch is {}; its results come when it has ended",
            snapshot.status
        );
        // It will end; until then the same call fails.
        let error = Error::new(ErrorKind::Timeout)
            .with_message(message)
            .with_retry(Retry::Temporary)
            .with_batch(snapshot.id);
        Err(match snapshot.poll_after {
            Some(wait) => error.with_retry_after(wait),
            None => error,
        })
    }

    /// Reads the outcomes back, in the order of the requests. Files are read as you go: keep it off
    /// threads that others wait for.
    pub fn outcomes(&self, finished: &Finished) -> Result<OutcomeReader> {
        OutcomeReader::new(Arc::clone(&self.provider), finished)
    }

    /// All batches that the provider lists, newest first, page by page as they are asked for; `limit` of
    /// them on a page, else as many as the provider likes.
    pub fn list(&self, limit: Option<u32>) -> BoxStream<'_, Result<BatchSnapshot>> {
        let ask = move |page| async move {
            let options = ListOptions { limit, page };
            self.retrying(|| self.provider.list(&options)).await
        };
        items(ask).boxed()
    }

    /// Asks the provider to cancel the batch. Requests that are answered by then are still paid for.
    pub async fn cancel(&self, batch: &BatchId) -> Result<()> {
        self.retrying(|| self.provider.cancel(batch))
            .await
            .map_err(|error| error.with_batch(batch.clone()))
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
}

/// Runs file work off the async threads.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    // Without a runtime there is no other task to hold up.
    let Ok(runtime) = tokio::runtime::Handle::try_current() else {
        return Ok(work());
    };
    runtime.spawn_blocking(work).await.map_err(|error| {
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
