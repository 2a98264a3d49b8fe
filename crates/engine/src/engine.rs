//! The engine: the public interface to plans, runs and batches. Each method calls the module that
//! does the work.

mod checks;
mod pilot;
mod recorded;

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::BoxStream;
use futures::{StreamExt as _, TryFutureExt as _};
use lmbatch_core::{
    AccountId, AccountMatch, BatchHandle, BatchId, BatchProvider, BatchSnapshot, Clock, Ledger,
    Nonce, Prices, RequestId, RequestSource, Result, Rng, RunClaim, RunRecord, Spool, Upload,
};

use crate::context::Context;
use crate::cost::CostLimit;
use crate::event::Observer;
use crate::memory::MemoryLedger;
use crate::plan::Plan;
use crate::plan::error::PlanError;
use crate::plan::planned_request::PlannedRequest;
use crate::policy::{
    BatchLimit, DoubtPolicy, OnDoubt, PollingPolicy, RetryPolicy, RunOptions, StepLimits,
};
use crate::results::finished::RunResults;
use crate::results::reader::OutcomeReader;
use crate::run::adopt::{Inventory, LabelledBatch, RecognisedBatches};
use crate::run::clean::RemainingData;
use crate::run::compare::Changes;
use crate::services::audit::{BatchTotals, RunAudit};
use crate::services::orphans::{OrphanSearch, Orphans};
use crate::services::same_run::{EndRefused, RunQuery, SameRun};
use crate::services::selection::{RequestFilter, SelectedRequests};

/// Takes requests through a provider: plan, stage, create, poll, fetch, output.
///
/// Clones share the account: their runs share one set of limits, one pause that the provider asks for, and one sweep
/// of polls. Several runs of an account are therefore best driven by clones of one engine, each in a task of its own.
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
    /// Returns an engine with a ledger in memory and a temporary spool.
    pub fn new(provider: Arc<dyn BatchProvider>) -> Self {
        Self {
            context: Context::new(provider),
        }
    }

    /// Sets the observer that receives the events of runs.
    pub fn with_observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.context.observer = observer;
        self
    }
    /// Sets another provider value of the same account, such as one with another key or endpoint. The engine keeps
    /// sharing its limits and polls with its clones.
    pub fn with_provider(mut self, provider: Arc<dyn BatchProvider>) -> Self {
        self.context.provider = provider;
        self
    }
    /// Records runs under this account in place of the provider's own. For providers whose address changes while their
    /// account stays, such as an emulator on a free port.
    pub fn with_account(mut self, account: AccountId) -> Self {
        self.context.account = Some(account);
        self
    }
    /// Sets how often the status of a batch is requested.
    pub fn with_polling(mut self, polling: PollingPolicy) -> Self {
        self.context.polling = polling;
        self
    }
    /// Sets how failed calls are repeated.
    pub fn with_retries(mut self, retries: RetryPolicy) -> Self {
        self.context.retries = retries;
        self
    }
    /// Sets when to search for the batch of a create whose outcome is unknown.
    pub fn with_doubt(mut self, doubt: DoubtPolicy) -> Self {
        self.context.doubt = doubt;
        self
    }
    /// Sets what happens to a create whose outcome stays unknown.
    pub fn with_on_doubt(mut self, on_doubt: OnDoubt) -> Self {
        self.context.on_doubt = on_doubt;
        self
    }
    /// Sets the maximum size of a batch, below the provider's own limits.
    pub fn with_batch_limit(mut self, limit: BatchLimit) -> Self {
        self.context.batch_limit = limit;
        self
    }
    /// Sets how many steps run at once, by kind, in all runs of this engine and its clones.
    pub fn with_limits(mut self, limits: StepLimits) -> Self {
        self.context.limits = limits;
        self
    }
    /// Sets a table of prices, from which the costs of answers are computed.
    pub fn with_prices(mut self, prices: Arc<dyn Prices>) -> Self {
        self.context.prices = Some(prices);
        self
    }
    /// Sets a limit on the cost of each run, by a table of prices. A create whose largest cost does not fit is not
    /// sent: the run waits until other batches cost less than was reserved, or else ends with
    /// [`ErrorKind::CostLimit`](lmbatch_core::ErrorKind::CostLimit) after the results of its batches are fetched. It
    /// can be [resumed](Self::resume) with a higher limit.
    ///
    /// Before anything is sent, a run is refused with
    /// [`ErrorKind::InvalidInput`](lmbatch_core::ErrorKind::InvalidInput) where the price of a model is unknown, or
    /// where a request sets no maximum number of output tokens and the limit [expects](CostLimit::with_expected_output) none.
    pub fn with_cost_limit(mut self, limit: CostLimit, prices: Arc<dyn Prices>) -> Self {
        self.context.cost_limit = Some(limit);
        self.with_prices(prices)
    }
    /// Sets the source of time.
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.context.clock = clock;
        // The shared state is recorded in the time of one clock.
        self.context.share = Arc::default();
        self
    }
    /// Sets the source of random numbers.
    pub fn with_rng(mut self, rng: Arc<dyn Rng>) -> Self {
        self.context.rng = rng;
        self
    }
    /// Sets the ledger that records runs.
    pub fn with_ledger(mut self, ledger: Arc<dyn Ledger>) -> Self {
        self.context.ledger = ledger;
        self.context.revision = Arc::default();
        self
    }
    /// Sets the spool that keeps the bytes of runs.
    pub fn with_spool(mut self, spool: Arc<dyn Spool>) -> Self {
        self.context.spool = Some(spool);
        self
    }
    /// Sets the maximum size of a row of results in bytes, by default 64 MiB. A longer row counts as not delivered.
    pub fn with_max_row_bytes(mut self, bytes: usize) -> Self {
        self.context.max_row_bytes = bytes;
        self
    }
    /// Sets a durable ledger and a spool, both of which outlive the process.
    pub fn with_record(self, ledger: Arc<dyn Ledger>, spool: Arc<dyn Spool>) -> Self {
        let mut engine = self.with_ledger(ledger).with_spool(spool);
        engine.context.durable = true;
        engine.context.ephemeral_ledger = Arc::new(MemoryLedger::default());
        engine
    }

    /// Returns the source of time.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.context.clock
    }

    /// Returns the provider of the engine.
    pub fn provider(&self) -> &Arc<dyn BatchProvider> {
        &self.context.provider
    }

    /// Returns the table of prices, if one is set.
    pub fn prices(&self) -> Option<&Arc<dyn Prices>> {
        self.context.prices.as_ref()
    }

    /// Returns the ledger of runs.
    pub fn ledger(&self) -> &Arc<dyn Ledger> {
        &self.context.ledger
    }

    /// Returns the context of a call.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](lmbatch_core::ErrorKind::Unsupported) where the clock cannot wait, such as outside
    /// of a Tokio runtime.
    fn ready(&self) -> Result<&Context> {
        self.context.clock.check()?;
        Ok(&self.context)
    }

    /// Reads and encodes every request. Sends nothing. lmbatch assigns the ids on the wire.
    pub async fn plan(&self, source: Box<dyn RequestSource>) -> Result<Plan, PlanError> {
        self.context.plan(source).await
    }

    /// Plans as [`plan`](Self::plan) does, and passes each valid request to `visit`, in the order of the source,
    /// before the plan is complete. Where the input has invalid requests, those after the first invalid one are not
    /// passed.
    ///
    /// # Errors
    /// [`PlanError`] for an input that cannot be read or that has invalid requests.
    pub async fn plan_each(
        &self,
        source: Box<dyn RequestSource>,
        visit: impl FnMut(&PlannedRequest<'_>) + Send + 'static,
    ) -> Result<Plan, PlanError> {
        self.context.plan_each(source, Box::new(visit)).await
    }

    /// Plans under the nonce of an earlier plan. The same input gives the same plan again.
    pub async fn plan_with_nonce(
        &self,
        source: Box<dyn RequestSource>,
        nonce: Nonce,
    ) -> Result<Plan, PlanError> {
        self.context.plan_with_nonce(source, nonce).await
    }

    /// Drives a plan until every request of it has exactly one outcome.
    pub async fn run(&self, plan: Plan, options: RunOptions) -> Result<RunResults> {
        self.ready()?.run(plan, options).await
    }

    /// Records a plan in the ledger, under the caller's name and with the caller's notes.
    pub async fn begin(
        &self,
        plan: &Plan,
        name: Option<&str>,
        notes: BTreeMap<Box<str>, Box<str>>,
    ) -> Result<RunRecord> {
        self.ready()?.begin(plan, name, notes).await
    }

    /// Drives a plan that was recorded by [`begin`](Self::begin) until every request has its outcome.
    pub async fn start(
        &self,
        run: RunRecord,
        plan: Plan,
        options: RunOptions,
    ) -> Result<RunResults> {
        self.ready()?.start(run, plan, options).await
    }

    /// Resumes a run of the ledger from its recorded state. Nothing is paid for twice.
    ///
    /// One engine drives any number of runs: clones of it are cheap and share the limits of the account. A run that
    /// waits for its batches holds no file open. A run whose future is dropped can be resumed.
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
    /// [`ErrorKind::Conflict`](lmbatch_core::ErrorKind::Conflict) where another process or task advances the run; the
    /// first permanent failure of a batch, after the results of the others are fetched;
    /// [`ErrorKind::Timeout`](lmbatch_core::ErrorKind::Timeout) at the deadline.
    pub async fn resume(&self, run: &RunRecord, options: RunOptions) -> Result<RunResults> {
        self.ready()?.resume(run, options).await
    }

    /// Returns the outcomes of a run that has ended, from its record alone. The provider is not called.
    pub async fn recorded_results(&self, run: &RunRecord) -> Result<RunResults> {
        self.ready()?.recorded_results(run).await
    }

    /// Returns the outcomes of a run that has ended. Results whose file is damaged are read again from the provider;
    /// nothing is sent again.
    ///
    /// # Errors
    /// Those of [`recorded_results`](Self::recorded_results), and those of reading results.
    pub async fn results(&self, run: &RunRecord, options: RunOptions) -> Result<RunResults> {
        self.ready()?.results(run, options).await
    }

    /// Returns the outcomes that a run has so far, from its record alone; see [`RunResults::is_complete`].
    pub async fn partial_results(&self, run: &RunRecord) -> Result<RunResults> {
        self.ready()?.partial_results(run).await
    }

    /// Marks chosen requests of a run that has ended to be sent again, by their positions in the output from 0, and
    /// returns how many they are. They are sent when the run is [resumed](Self::resume); the last answer of a request
    /// counts.
    pub async fn requeue(&self, run: &RunRecord, chosen: &HashSet<u32>) -> Result<u64> {
        self.ready()?.requeue(run, chosen).await
    }

    /// Marks chosen answers of a run that has ended to be sent back to be corrected, and returns how many they are.
    /// They are chosen by their positions in the output, from 0; of these, only answers that do not fit their schemas
    /// are repaired. They are sent when the run is [resumed](Self::resume), as the first of [`RunOptions::repairs`].
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](lmbatch_core::ErrorKind::Unsupported) where the provider's adapter cannot continue a
    /// conversation; [`ErrorKind::InvalidInput`](lmbatch_core::ErrorKind::InvalidInput) where the run has not ended.
    pub async fn repair(&self, run: &RunRecord, chosen: &HashSet<u32>) -> Result<u64> {
        self.ready()?.repair(run, chosen).await
    }

    /// Changes the requests of a run to those of `plan`. Unchanged requests keep their outcomes; the others are sent
    /// when the run is [resumed](Self::resume). Records the change and sends nothing. A run that was a
    /// [pilot](Self::pilot) is one no more, unless `plan` is that of a pilot too.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](lmbatch_core::ErrorKind::InvalidInput) where the run is cancelled, or where it is
    /// no pilot and `plan` is that of one; [`ErrorKind::OtherAccount`](lmbatch_core::ErrorKind::OtherAccount) where it
    /// belongs to another account, [`ErrorKind::Conflict`](lmbatch_core::ErrorKind::Conflict) where another process
    /// advances it.
    pub async fn update(&self, run: &RunRecord, plan: &Plan) -> Result<(RunRecord, Changes)> {
        self.ready()?.update(run, plan).await
    }

    /// Compares the requests of `plan` with those of a run, as an [update](Self::update) would. Changes nothing and
    /// sends nothing.
    ///
    /// # Errors
    /// [`ErrorKind::Local`](lmbatch_core::ErrorKind::Local) where the record or the spool cannot be read.
    pub async fn changes(&self, run: &RunRecord, plan: &Plan) -> Result<Changes> {
        self.ready()?.changes(run, plan).await
    }

    /// Marks chosen requests of a run that has ended to be sent again as `plan` has them, such as with another model
    /// or other options, and returns how many they are. They are chosen by their positions in the output, from 0.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](lmbatch_core::ErrorKind::InvalidInput) where `plan` lacks one of them.
    pub async fn requeue_as(
        &self,
        run: &RunRecord,
        chosen: &HashSet<u32>,
        plan: &Plan,
    ) -> Result<u64> {
        self.ready()?.requeue_as(run, chosen, plan).await
    }

    /// Replaces the notes of a run.
    pub async fn annotate(
        &self,
        run: &RunRecord,
        notes: BTreeMap<Box<str>, Box<str>>,
    ) -> Result<RunRecord> {
        self.ready()?.annotate(run, notes).await
    }

    /// Asks the provider to cancel every batch that certainly belongs to the run, creates no further batches, and
    /// returns how many cancellations were requested. Requests that are answered by then are still paid for, and are
    /// fetched when the run is [resumed](Self::resume).
    ///
    /// # Errors
    /// The first error of the provider; the cancellation of every other batch is requested nevertheless.
    pub async fn cancel_run(&self, run: &RunRecord) -> Result<u64> {
        self.ready()?.cancel_run(run).await
    }

    /// Claims a run and returns an engine that holds the claim: no other process advances the run as long as that
    /// engine, or a clone of it, exists.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`](lmbatch_core::ErrorKind::Conflict), naming the process that holds the claim.
    pub async fn claim(&self, run: &str) -> Result<Self> {
        let context = self.ready()?.claim(run).await?;
        Ok(Self { context })
    }

    /// Returns an engine that holds the claim of a plan, so that the claim outlives the plan.
    pub fn with_claim_of(&self, plan: &Plan) -> Self {
        let context = self.context.with_claim_of(plan);
        Self { context }
    }

    /// Takes the right to begin a run, so that only one of two processes with the same input begins it. The caller
    /// holds the right from the lookup of known runs until the new run is recorded.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`](lmbatch_core::ErrorKind::Conflict) where another process holds it for 30 seconds.
    pub async fn claim_begin(&self) -> Result<RunClaim> {
        self.ready()?.claim_begin().await
    }

    /// Waits until no other process advances the run, reporting its progress to the observer, and claims it. The
    /// provider is not called. Returns an engine that holds the claim, as [`claim`](Self::claim) does.
    ///
    /// # Errors
    /// [`ErrorKind::Timeout`](lmbatch_core::ErrorKind::Timeout) when `deadline` has passed since the call.
    pub async fn follow(&self, run: &str, deadline: Option<Duration>) -> Result<Self> {
        let context = self.ready()?.follow(run, deadline).await?;
        Ok(Self { context })
    }

    /// Returns the status of a batch.
    pub async fn status(&self, batch: &BatchId) -> Result<BatchSnapshot> {
        self.ready()?.status(batch).await
    }

    /// Reads the results of a batch that has ended: exactly one outcome for each request of the handle.
    pub async fn retrieve(&self, handle: &BatchHandle) -> Result<RunResults> {
        self.ready()?.retrieve(handle).await
    }

    /// Reads the rows of a batch without a handle, under their ids on the wire. Rows that name no request get the ids
    /// in `names`, in order, then ids of the form `row-without-id-2`, with a warning. None of these may be the id of
    /// another row.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](lmbatch_core::ErrorKind::InvalidInput) where one of `names` that is used is the id
    /// of another row.
    pub async fn retrieve_rows(
        &self,
        batch: &BatchId,
        names: Vec<RequestId>,
    ) -> Result<RunResults> {
        self.ready()?.retrieve_rows(batch, names).await
    }

    /// Reads the outcomes back, in the order of the requests. Reading blocks on files: keep it off threads that other
    /// tasks wait for.
    pub fn outcomes(&self, finished: &RunResults) -> Result<OutcomeReader> {
        self.context.outcomes(finished)
    }

    /// Returns all batches that the provider lists, newest first. Pages are requested as they are needed, with `limit`
    /// batches each, by default as many as the provider chooses.
    pub fn list(&self, limit: Option<u32>) -> BoxStream<'static, Result<BatchSnapshot>> {
        let engine = self.clone();
        let batches = async move { Ok(engine.ready()?.list(limit)) };
        batches.try_flatten_stream().boxed()
    }

    /// Asks the provider to cancel a batch. Requests that are answered by then are still paid for.
    pub async fn cancel(&self, batch: &BatchId) -> Result<()> {
        self.ready()?.cancel(batch).await
    }

    /// Creates the batch of a plan that fits into one, and does not wait for its results.
    pub async fn create_batch(&self, plan: Plan) -> Result<BatchHandle> {
        self.ready()?.create_batch(plan, None).await
    }

    /// Returns what a run still has at the provider, according to its record.
    pub async fn remaining(&self, run: &RunRecord) -> Result<RemainingData> {
        self.ready()?.remaining(run).await
    }

    /// Deletes what a run left at the provider: its inputs and, where `batches` is set and the provider supports it,
    /// its batches with their results. Returns what stays. A deletion that was recorded is not requested again, and
    /// batches that have not ended are not touched.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](lmbatch_core::ErrorKind::InvalidInput) where the run belongs to another account,
    /// since a batch that is invisible there may still exist.
    pub async fn clean(&self, run: &RunRecord, batches: bool) -> Result<RemainingData> {
        self.ready()?.clean(run, batches).await
    }

    /// Compares a call with the recorded runs: whether it asks for one of them, for a changed version of one, or for
    /// requests that were never sent. Sends nothing.
    ///
    /// # Errors
    /// Those of the ledger.
    pub async fn same_run(&self, query: &RunQuery<'_>) -> Result<SameRun> {
        self.ready()?.same_run(query).await
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
        self.ready()?.select(run, filter).await
    }

    /// Searches the provider for batches and uploads of lmbatch that no run of the ledger needs or knows. Changes
    /// nothing.
    ///
    /// # Errors
    /// Those of the provider's lists and of the ledger.
    pub async fn orphans(&self, search: OrphanSearch) -> Result<Orphans> {
        self.ready()?.orphans(search).await
    }

    /// Cancels and ends a run of which the provider refused every create, before its requests are sent in another run:
    /// as long as it is open, a later [`resume`](Self::resume) would send both. The engine must hold the
    /// [claim](Self::claim) of the run.
    ///
    /// # Errors
    /// [`ErrorKind::OtherAccount`](lmbatch_core::ErrorKind::OtherAccount) where the current key may be of another
    /// account, and those of the ledger.
    pub async fn end_refused(&self, run: &str) -> Result<EndRefused> {
        self.ready()?.end_refused(run).await
    }

    /// Compares the account of a run with the account of the provider, from the record alone.
    pub fn account_match(&self, run: &RunRecord) -> AccountMatch {
        self.context.account_match(run)
    }

    /// Reads every row that was fetched for a run once more and adds up the answers of each of its batches, in the
    /// order of the batches. Sends nothing.
    ///
    /// # Errors
    /// [`ErrorKind::Local`](lmbatch_core::ErrorKind::Local) where the spool cannot be read.
    pub async fn batch_totals(&self, run: &RunRecord) -> Result<Vec<BatchTotals>> {
        self.ready()?.batch_totals(run).await
    }

    /// Reads every outcome and every row of a run once more and adds them up; `None` where the run has not ended.
    /// Sends nothing.
    ///
    /// # Errors
    /// [`ErrorKind::Local`](lmbatch_core::ErrorKind::Local) where the spool cannot be read.
    pub async fn audit(&self, run: &RunRecord) -> Result<Option<RunAudit>> {
        self.ready()?.audit(run).await
    }

    /// Returns the run of a nonce, whichever version of lmbatch recorded it.
    pub async fn run_of_nonce(&self, nonce: &Nonce) -> Result<Option<RunRecord>> {
        self.ready()?.run_of_nonce(nonce).await
    }

    /// Returns those of the batches that the ledger records for some shard, created or acknowledged late, of this
    /// account or of one that may be the same.
    pub async fn known_batches(&self, batches: &[BatchId]) -> Result<HashSet<BatchId>> {
        self.ready()?.known_batches(batches).await
    }

    /// Returns the nonce of the run that a batch belongs to, from the first few rows of its results. `None` where the
    /// rows are not of a run of lmbatch, or where there are none.
    ///
    /// # Errors
    /// [`ErrorKind::Timeout`](lmbatch_core::ErrorKind::Timeout) where the batch has not ended, since its rows cannot
    /// be read until then.
    pub async fn origin(&self, batch: &BatchId) -> Result<Option<Nonce>> {
        self.ready()?.origin(batch).await
    }

    /// Returns the batches of the account that carry a label, the inputs that unended batches need and, where the
    /// provider keeps no labels, all other batches.
    ///
    /// # Errors
    /// Those of the provider's list.
    pub async fn inventory(&self) -> Result<Inventory> {
        self.ready()?.inventory().await
    }

    /// Reads the first row of batches without a label, newest first, of at most `most` of them. Batches that the
    /// ledger knows are skipped.
    pub async fn recognise(
        &self,
        batches: Vec<BatchSnapshot>,
        known: &HashSet<BatchId>,
        most: usize,
    ) -> RecognisedBatches {
        self.context.recognise(batches, known, most).await
    }

    /// Returns every batch of the provider that carries a label of lmbatch, newest first.
    pub async fn labelled(&self) -> Result<Vec<LabelledBatch>> {
        self.ready()?.labelled().await
    }

    /// Returns every file of lmbatch at the provider; `None` where the provider does not list files.
    ///
    /// # Errors
    /// Those of the provider.
    pub async fn uploaded(&self) -> Result<Option<Vec<Upload>>> {
        self.ready()?.uploaded().await
    }

    /// Records a run of `plan` with batches that exist at the provider; `plan` was [planned again](Self::plan_with_nonce)
    /// under the nonce in their labels. Returns the run and how many batches were adopted: all of them or, where
    /// `creates_missing`, those that exist; the others are created when the run is [resumed](Self::resume).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](lmbatch_core::ErrorKind::InvalidInput) where a batch differs from what the plan
    /// makes, or does not exist.
    pub async fn adopt(
        &self,
        plan: &Plan,
        notes: BTreeMap<Box<str>, Box<str>>,
        creates_missing: bool,
    ) -> Result<(RunRecord, u32)> {
        self.ready()?.adopt(plan, notes, creates_missing).await
    }

    /// Records a run of `plan` with ended batches that are named by their ids; `plan` was [planned
    /// again](Self::plan_with_nonce) under the nonce of their [origin](Self::origin). Every row of their results is read
    /// first. Returns the run and how many batches were adopted.
    ///
    /// This proves that one run made the batches, that each batch holds exactly as many requests as the plan makes for
    /// it, and that its rows name those requests and no others. It cannot prove that the content of the input is what
    /// was sent, since no provider shows it.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](lmbatch_core::ErrorKind::InvalidInput) where a row belongs to another run or to
    /// another request than the plan has there, where a model differs, where a batch of the run is not named and
    /// `creates_missing` is not set, or where another batch may hold what would be created;
    /// [`ErrorKind::Timeout`](lmbatch_core::ErrorKind::Timeout) where a batch has not ended.
    pub async fn adopt_batches(
        &self,
        plan: &Plan,
        batches: &[BatchId],
        model: Option<&str>,
        notes: BTreeMap<Box<str>, Box<str>>,
        creates_missing: bool,
    ) -> Result<(RunRecord, u32)> {
        self.ready()?
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
