//! The engine: the public face of plans, runs and batches. Each method calls what does the work.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::BoxStream;
use lmbatch_core::{
    AccountMatch, BatchHandle, BatchId, BatchProvider, BatchSnapshot, Clock, Ledger, Nonce,
    RequestId, Result, Rng, RunClaim, RunRecord, Spool, Upload,
};

use crate::context::Context;
use crate::event::Observer;
use crate::memory::MemoryLedger;
use crate::plan::Plan;
use crate::plan::error::PlanError;
use crate::policy::{
    BatchLimit, DoubtPolicy, OnDoubt, PollingPolicy, RetryPolicy, RunOptions, StepLimits,
};
use crate::results::finished::Finished;
use crate::results::reader::OutcomeReader;
use crate::run::adopt::{Inventory, Labelled, Recognised};
use crate::run::clean::Left;
use crate::run::update::Changes;
use crate::services::audit::{BatchAccount, RunAudit};
use crate::services::orphans::{OrphanSearch, Orphans};
use crate::services::same_run::{EndRefused, RunQuery, SameRun};
use crate::services::selection::{RequestFilter, SelectedRequests};
use crate::source::RequestSource;

/// Takes requests through a provider: plan, stage, create, poll, fetch, output.
///
/// Clones share the account: their runs keep one set of limits, one pause that the provider asks for, and one sweep of
/// polls. So several runs of an account are best driven by clones of one engine, each in a task of its own.
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
    pub(crate) context: Context,
}

impl Engine {
    /// An engine with a ledger in memory and a temporary spool.
    pub fn new(provider: Arc<dyn BatchProvider>) -> Self {
        Self {
            context: Context::new(provider),
        }
    }

    /// Who is told what happens.
    pub fn with_observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.context.observer = observer;
        self
    }
    /// Sets another provider value of the same account, such as one with another key or endpoint. What the
    /// engine shares with its clones, such as its limits, it goes on sharing.
    pub fn with_provider(mut self, provider: Arc<dyn BatchProvider>) -> Self {
        self.context.provider = provider;
        self
    }
    /// How often a batch is asked for its status.
    pub fn with_polling(mut self, polling: PollingPolicy) -> Self {
        self.context.polling = polling;
        self
    }
    /// How failed calls are made again.
    pub fn with_retries(mut self, retries: RetryPolicy) -> Self {
        self.context.retries = retries;
        self
    }
    /// When to look for a create whose fate is unknown.
    pub fn with_doubt(mut self, doubt: DoubtPolicy) -> Self {
        self.context.doubt = doubt;
        self
    }
    /// What is done about a create whose fate stays unknown.
    pub fn with_on_doubt(mut self, on_doubt: OnDoubt) -> Self {
        self.context.on_doubt = on_doubt;
        self
    }
    /// The most of one batch, below what the provider takes.
    pub fn with_batch_limit(mut self, limit: BatchLimit) -> Self {
        self.context.batch_limit = limit;
        self
    }
    /// Sets how many steps run at once, by kind, in all runs of this engine and its clones.
    pub fn with_limits(mut self, limits: StepLimits) -> Self {
        self.context.limits = limits;
        self
    }
    /// The source of time.
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.context.clock = clock;
        // What is shared is noted in the time of one clock.
        self.context.share = Arc::default();
        self
    }
    /// The source of chance.
    pub fn with_rng(mut self, rng: Arc<dyn Rng>) -> Self {
        self.context.rng = rng;
        self
    }
    /// Where runs are noted.
    pub fn with_ledger(mut self, ledger: Arc<dyn Ledger>) -> Self {
        self.context.ledger = ledger;
        self
    }
    /// Where the bytes of runs lie.
    pub fn with_spool(mut self, spool: Arc<dyn Spool>) -> Self {
        self.context.spool = Some(spool);
        self
    }
    /// The longest row of results that is read, 64 MiB at first; a longer one counts as not delivered.
    pub fn with_max_row_bytes(mut self, bytes: usize) -> Self {
        self.context.max_row_bytes = bytes;
        self
    }
    /// A record that outlives the process: what lies in the spool is kept for it.
    pub fn with_record(self, ledger: Arc<dyn Ledger>, spool: Arc<dyn Spool>) -> Self {
        let mut engine = self.with_ledger(ledger).with_spool(spool);
        engine.context.durable = true;
        engine.context.beside = Arc::new(MemoryLedger::default());
        engine
    }

    /// The source of time.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.context.clock
    }

    /// The provider.
    pub fn provider(&self) -> &Arc<dyn BatchProvider> {
        &self.context.provider
    }

    /// The record of runs.
    pub fn ledger(&self) -> &Arc<dyn Ledger> {
        &self.context.ledger
    }

    /// Reads and encodes every request. Sends nothing; ids on the wire are ours.
    pub async fn plan(&self, source: Box<dyn RequestSource>) -> Result<Plan, PlanError> {
        self.context.plan(source).await
    }

    /// The same under the mark of an earlier plan: of the same input it is the same plan again.
    pub async fn plan_again(
        &self,
        source: Box<dyn RequestSource>,
        nonce: Nonce,
    ) -> Result<Plan, PlanError> {
        self.context.plan_again(source, nonce).await
    }

    /// Takes a plan to its end: every request of it then has exactly one outcome.
    pub async fn run(&self, plan: Plan, options: RunOptions) -> Result<Finished> {
        self.context.run(plan, options).await
    }

    /// Notes a plan in the ledger, under the caller's name for it and with its notes.
    pub async fn begin(
        &self,
        plan: &Plan,
        name: Option<&str>,
        notes: BTreeMap<Box<str>, Box<str>>,
    ) -> Result<RunRecord> {
        self.context.begin(plan, name, notes).await
    }

    /// Takes a plan that was [begun](Self::begin) to its end.
    pub async fn start(&self, run: RunRecord, plan: Plan, options: RunOptions) -> Result<Finished> {
        self.context.start(run, plan, options).await
    }

    /// Goes on with a run that the ledger knows, from wherever it stands. Nothing is paid for twice.
    ///
    /// One engine drives any number of runs: clones of it are cheap, and share the limits of the account. A run
    /// that waits for its batches holds no file of a folder open. Dropping the future leaves the run to be
    /// resumed.
    ///
    /// ```
    /// use lmbatch_core::{Result, RunFilter};
    /// use lmbatch_engine::{Engine, RunOptions};
    /// use tokio::task::JoinSet;
    ///
    /// async fn resume_all(engine: &Engine) -> Result<()> {
    ///     let unfinished = RunFilter { unfinished: true, ..RunFilter::default() };
    ///     let mut runs = JoinSet::new();
    ///     for run in engine.ledger().all_runs(unfinished).await? {
    ///         let engine = engine.clone();
    ///         runs.spawn(async move { (run.id.clone(), engine.resume(&run, RunOptions::default()).await) });
    ///     }
    ///     while let Some(ended) = runs.join_next().await {
    ///         match ended.expect("a run panicked") {
    ///             (run, Ok(finished)) => println!("{run}: {} batches", finished.batches().len()),
    ///             (run, Err(error)) => eprintln!("{run}: {error}"),
    ///         }
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`](lmbatch_core::ErrorKind::Conflict) where another process or task advances the run;
    /// the first failure of a batch that no waiting cures, after the others are fetched;
    /// [`ErrorKind::Timeout`](lmbatch_core::ErrorKind::Timeout) at the deadline.
    pub async fn resume(&self, run: &RunRecord, options: RunOptions) -> Result<Finished> {
        self.context.resume(run, options).await
    }

    /// The outcomes of a run that has ended, from its record alone: no one is asked.
    pub async fn sealed(&self, run: &RunRecord) -> Result<Finished> {
        self.context.sealed(run).await
    }

    /// Returns the outcomes of a run that has ended. Results of which a file is damaged are read again from the
    /// provider; nothing is sent again.
    ///
    /// # Errors
    /// As [`sealed`](Self::sealed), and those of reading results.
    pub async fn answered(&self, run: &RunRecord, options: RunOptions) -> Result<Finished> {
        self.context.answered(run, options).await
    }

    /// The outcomes that a run has so far, from its record alone; see [`Finished::is_whole`].
    pub async fn partial(&self, run: &RunRecord) -> Result<Finished> {
        self.context.partial(run).await
    }

    /// Sends chosen requests of a run that has ended again, by their places in the output from 0: they go
    /// out when it is [resumed](Self::resume), and what is answered last counts. How many they are.
    pub async fn requeue(&self, run: &RunRecord, chosen: &HashSet<u32>) -> Result<u64> {
        self.context.requeue(run, chosen).await
    }

    /// Makes the run one of the requests of `plan`: those that are unchanged keep their outcomes, the
    /// others go out when it is [resumed](Self::resume). Notes it, and sends nothing.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](lmbatch_core::ErrorKind::InvalidInput) where the run is cancelled, [`ErrorKind::OtherAccount`](lmbatch_core::ErrorKind::OtherAccount) where it is of
    /// another account, [`ErrorKind::Conflict`](lmbatch_core::ErrorKind::Conflict) where another process advances it.
    pub async fn update(&self, run: &RunRecord, plan: &Plan) -> Result<(RunRecord, Changes)> {
        self.context.update(run, plan).await
    }

    /// Sends chosen requests of a run that has ended again, as `plan` has them: with another model, or
    /// under other options. They are chosen by their places in the output, from 0. How many they are.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](lmbatch_core::ErrorKind::InvalidInput) where `plan` lacks one of them.
    pub async fn requeue_as(
        &self,
        run: &RunRecord,
        chosen: &HashSet<u32>,
        plan: &Plan,
    ) -> Result<u64> {
        self.context.requeue_as(run, chosen, plan).await
    }

    /// Keeps other notes with a run.
    pub async fn annotate(
        &self,
        run: &RunRecord,
        notes: BTreeMap<Box<str>, Box<str>>,
    ) -> Result<RunRecord> {
        self.context.annotate(run, notes).await
    }

    /// Asks the provider to cancel every batch of a run that is certain to be ours, and creates no more of
    /// them; how many are asked for. What is answered by then is still paid for, and fetched when the run is
    /// [resumed](Self::resume).
    ///
    /// # Errors
    /// The first of what the provider refuses; all batches are asked for all the same.
    pub async fn cancel_run(&self, run: &RunRecord) -> Result<u64> {
        self.context.cancel_run(run).await
    }

    /// Claims a run and returns an engine that holds the claim: no other process advances the run as long as
    /// that engine, or a clone of it, exists.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`](lmbatch_core::ErrorKind::Conflict), naming the process that holds the claim.
    pub async fn claim(&self, run: &str) -> Result<Self> {
        let context = self.context.claim(run).await?;
        Ok(Self { context })
    }

    /// Returns an engine that holds the claim of a plan, so that it outlasts the plan.
    pub fn holding_plan(&self, plan: &Plan) -> Self {
        let context = self.context.holding_plan(plan);
        Self { context }
    }

    /// Takes the right to begin a run, so that of two processes that ask for the same one only one begins it.
    /// It is held from the lookup of known runs until the new one is recorded.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`](lmbatch_core::ErrorKind::Conflict) where another process holds it for 30 seconds.
    pub async fn claim_begin(&self) -> Result<RunClaim> {
        self.context.claim_begin().await
    }

    /// Waits until no other process advances the run, telling the observer how far it is, and claims it.
    /// Nothing is asked of the provider. Returns an engine that holds the claim, as
    /// [`claim`](Self::claim) does.
    ///
    /// # Errors
    /// [`ErrorKind::Timeout`](lmbatch_core::ErrorKind::Timeout) when `deadline` has passed since the call.
    pub async fn follow(&self, run: &str, deadline: Option<Duration>) -> Result<Self> {
        let context = self.context.follow(run, deadline).await?;
        Ok(Self { context })
    }

    /// Where the batch stands.
    pub async fn status(&self, batch: &BatchId) -> Result<BatchSnapshot> {
        self.context.status(batch).await
    }

    /// Reads the results of a batch that has ended: exactly one outcome for each request of the handle.
    pub async fn retrieve(&self, handle: &BatchHandle) -> Result<Finished> {
        self.context.retrieve(handle).await
    }

    /// Reads the rows that a batch without a handle has, under the ids on the wire. Rows that name no
    /// request get `names` by their position, then ids of the form `row-without-id-2`, with a warning. None of
    /// these is the id of another row.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](lmbatch_core::ErrorKind::InvalidInput) where one of `names` that is used is the id of another row.
    pub async fn retrieve_rows(&self, batch: &BatchId, names: Vec<RequestId>) -> Result<Finished> {
        self.context.retrieve_rows(batch, names).await
    }

    /// Reads the outcomes back, in the order of the requests. Files are read as you go: keep it off
    /// threads that others wait for.
    pub fn outcomes(&self, finished: &Finished) -> Result<OutcomeReader> {
        self.context.outcomes(finished)
    }

    /// All batches that the provider lists, newest first, page by page as they are asked for; `limit` of
    /// them on a page, else as many as the provider likes.
    pub fn list(&self, limit: Option<u32>) -> BoxStream<'_, Result<BatchSnapshot>> {
        self.context.list(limit)
    }

    /// Asks the provider to cancel the batch. Requests that are answered by then are still paid for.
    pub async fn cancel(&self, batch: &BatchId) -> Result<()> {
        self.context.cancel(batch).await
    }

    /// Creates the batch of a plan that fits into one, and waits for nothing.
    pub async fn submit(&self, plan: Plan) -> Result<BatchHandle> {
        self.context.submit(plan).await
    }

    /// What the record of a run says is at the provider still.
    pub async fn left(&self, run: &RunRecord) -> Result<Left> {
        self.context.left(run).await
    }

    /// Deletes what a run left at the provider: its inputs, and its batches with their results too if that
    /// is wanted and possible. Gives what stays. What is deleted once is not asked for again, and what goes
    /// on is left alone.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](lmbatch_core::ErrorKind::InvalidInput) where the run was made under another account: what is not seen there is
    /// not gone.
    pub async fn clean(&self, run: &RunRecord, batches: bool) -> Result<Left> {
        self.context.clean(run, batches).await
    }

    /// Compares a call with the recorded runs: whether it asks for one of them, for a changed version of one, or for
    /// requests that were never sent. Sends nothing.
    ///
    /// # Errors
    /// Those of the ledger.
    pub async fn same_run(&self, query: &RunQuery<'_>) -> Result<SameRun> {
        self.context.same_run(query).await
    }

    /// Selects requests of a run that has ended, to [send them again](Self::requeue). Reads the ledger and stored
    /// results; asks nothing of the provider.
    ///
    /// # Errors
    /// [`ErrorKind::Timeout`](lmbatch_core::ErrorKind::Timeout) where the run has not ended,
    /// [`ErrorKind::Local`](lmbatch_core::ErrorKind::Local) where stored results cannot be read.
    pub async fn select(
        &self,
        run: &RunRecord,
        filter: &RequestFilter,
    ) -> Result<SelectedRequests> {
        self.context.select(run, filter).await
    }

    /// Searches the provider for batches and uploads of lmbatch that no run of the ledger needs or knows. Changes
    /// nothing.
    ///
    /// # Errors
    /// Those of the provider's lists and of the ledger.
    pub async fn orphans(&self, search: OrphanSearch) -> Result<Orphans> {
        self.context.orphans(search).await
    }

    /// Cancels and ends a run of which the provider refused every create, before its requests are sent in another
    /// run: as long as it is open, a later [`resume`](Self::resume) would send both. The engine must hold the
    /// [claim](Self::claim) of the run.
    ///
    /// # Errors
    /// [`ErrorKind::OtherAccount`](lmbatch_core::ErrorKind::OtherAccount) where the current key may be of another
    /// account, and those of the ledger.
    pub async fn end_refused(&self, run: &str) -> Result<EndRefused> {
        self.context.end_refused(run).await
    }

    /// Compares the account of a run with the account of the provider, from the record alone.
    pub fn account_match(&self, run: &RunRecord) -> AccountMatch {
        self.context.account_match(run)
    }

    /// Reads every row that was fetched for a run once more, and adds up what each of its batches answered,
    /// in the order of the batches. Sends nothing.
    ///
    /// # Errors
    /// [`ErrorKind::Local`](lmbatch_core::ErrorKind::Local) where the spool cannot be read.
    pub async fn accounts(&self, run: &RunRecord) -> Result<Vec<BatchAccount>> {
        self.context.accounts(run).await
    }

    /// Reads every outcome and every row of a run once more and adds them up; `None` where the run has not ended.
    /// Sends nothing.
    ///
    /// # Errors
    /// [`ErrorKind::Local`](lmbatch_core::ErrorKind::Local) where the spool cannot be read.
    pub async fn audit(&self, run: &RunRecord) -> Result<Option<RunAudit>> {
        self.context.audit(run).await
    }

    /// Returns the run of a nonce, whichever version recorded it.
    pub async fn run_of_nonce(&self, nonce: &Nonce) -> Result<Option<RunRecord>> {
        self.context.run_of_nonce(nonce).await
    }

    /// Returns those of the batches that the ledger knows as some shard's, created or acknowledged late, of
    /// this account or of one that may be it.
    pub async fn known_batches(&self, batches: &[BatchId]) -> Result<HashSet<BatchId>> {
        self.context.known_batches(batches).await
    }

    /// Returns the nonce of the run that a batch belongs to, from the first rows of its results: at most a
    /// few rows are read. `None` where they are not of a run of lmbatch, or where there are none.
    ///
    /// # Errors
    /// [`ErrorKind::Timeout`](lmbatch_core::ErrorKind::Timeout) where the batch has not ended: until then no row of it can be read.
    pub async fn origin(&self, batch: &BatchId) -> Result<Option<Nonce>> {
        self.context.origin(batch).await
    }

    /// Returns the batches of the account that carry a label, what those that have not ended need, and,
    /// where the provider keeps no labels, all others.
    ///
    /// # Errors
    /// Those of the provider's list.
    pub async fn inventory(&self) -> Result<Inventory> {
        self.context.inventory().await
    }

    /// Looks at the first row of batches without a label, newest first, of at most `most` of them; those
    /// that the record knows are passed over.
    pub async fn recognise(
        &self,
        batches: Vec<BatchSnapshot>,
        known: &HashSet<BatchId>,
        most: usize,
    ) -> Recognised {
        self.context.recognise(batches, known, most).await
    }

    /// Every batch of the provider that carries a label of lmbatch, newest first.
    pub async fn labelled(&self) -> Result<Vec<Labelled>> {
        self.context.labelled().await
    }

    /// Returns every file of lmbatch at the provider; `None` where the provider does not list files.
    ///
    /// # Errors
    /// Those of the provider.
    pub async fn uploaded(&self) -> Result<Option<Vec<Upload>>> {
        self.context.uploaded().await
    }

    /// Takes batches that exist into a new record of the run of `plan`, which was
    /// [planned again](Self::plan_again) under their mark. The run, and how many batches were taken: all of
    /// them or, where `creates_missing`, those that exist; the others are created when it is
    /// [resumed](Self::resume).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](lmbatch_core::ErrorKind::InvalidInput) where a batch is not what the plan makes, or one is not there.
    pub async fn adopt(
        &self,
        plan: &Plan,
        notes: BTreeMap<Box<str>, Box<str>>,
        creates_missing: bool,
    ) -> Result<(RunRecord, u32)> {
        self.context.adopt(plan, notes, creates_missing).await
    }

    /// Takes ended batches, named by their ids, into a new record of the run of `plan`, which was
    /// [planned again](Self::plan_again) under the nonce of their [origin](Self::origin). Every row of their
    /// results is read first. The run, and how many batches were taken.
    ///
    /// Proved is that one run made the batches, that each holds exactly as many requests as the plan makes
    /// for it, and that its rows name those requests and no others. That the words of the input are those
    /// that were sent cannot be proved: no provider shows them.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](lmbatch_core::ErrorKind::InvalidInput) where a row is of another run, or of another request than the plan has
    /// there, where a model differs, where a batch of the run is not named and not `creates_missing`, or
    /// where another batch may hold what would be created;
    /// [`ErrorKind::Timeout`](lmbatch_core::ErrorKind::Timeout) where a batch has not ended.
    pub async fn adopt_batches(
        &self,
        plan: &Plan,
        batches: &[BatchId],
        model: Option<&str>,
        notes: BTreeMap<Box<str>, Box<str>>,
        creates_missing: bool,
    ) -> Result<(RunRecord, u32)> {
        self.context
            .adopt_batches(plan, batches, model, notes, creates_missing)
            .await
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("provider", &self.context.provider)
            .field("polling", &self.context.polling)
            .finish_non_exhaustive()
    }
}
