//! A gate between a driver and its ports: the driver stops at a chosen call until it is released.

use std::collections::HashSet;
use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use lmbatch_core::{
    AccountId, BatchClass, BatchCodec, BatchId, BatchProvider, BatchSnapshot, Change, Clock,
    Cursor, Error, ErrorKind, Found, Intent, KeyHint, LateAcknowledgement, Ledger, ListOptions,
    Page, RemoteObject, Result, ResultPart, ResultSet, RowStream, RunClaim, RunFilter, RunRecord,
    Shard, ShardKey, ShardRecord, ShardState, Staged, Upload,
};

/// Position of a stop in relation to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    /// Name of the call, such as `advance shard 0 to posting`.
    pub call: Box<str>,
    /// True if the call has taken effect and its response has not reached the driver.
    pub after: bool,
    /// Time of the test clock when the driver reached the point.
    pub at: Duration,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = if self.after { "after" } else { "before" };
        write!(f, "{side} '{}'", self.call)
    }
}

#[derive(Debug, Default)]
struct State {
    /// Index of the point to stop at.
    stop: Option<usize>,
    points: Vec<Point>,
    stopped: bool,
    released: bool,
    wakers: Vec<Waker>,
    /// True if another driver has advanced the shard.
    lost_shard: bool,
    answered: Vec<BatchId>,
}

/// The calls of one driver, each with a point before and a point after it.
#[derive(Debug)]
pub struct Gate {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

impl Gate {
    /// Creates a gate that stops its driver at the point with the given index, counted from 0; `None` never stops it.
    pub fn new(clock: Arc<dyn Clock>, stop: Option<usize>) -> Self {
        let state = State {
            stop,
            ..State::default()
        };
        Self {
            clock,
            state: Mutex::new(state),
        }
    }

    /// Waits until the driver has reached its stop.
    pub async fn stopped(&self) {
        self.wait(|state| state.stopped).await;
    }

    /// Lets a stopped driver continue to its end.
    pub fn release(&self) {
        let mut state = self.state();
        state.released = true;
        state.wakers.drain(..).for_each(Waker::wake);
    }

    /// Returns the points that the driver has passed or stopped at, in order.
    pub fn points(&self) -> Vec<Point> {
        self.state().points.clone()
    }

    /// Returns whether a transition of the driver was refused because another driver had advanced the shard.
    pub fn has_lost_a_shard(&self) -> bool {
        self.state().lost_shard
    }

    /// Returns the batches whose ids reached the driver as responses to its creates.
    pub fn answered(&self) -> Vec<BatchId> {
        self.state().answered.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn wait(&self, ready: impl Fn(&State) -> bool) {
        poll_fn(|context| {
            let mut state = self.state();
            if ready(&state) {
                return Poll::Ready(());
            }
            state.wakers.push(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    async fn point(&self, call: &str, after: bool) {
        let at = self.clock.elapsed();
        let is_stop = {
            let mut state = self.state();
            let is_stop = state.stop == Some(state.points.len());
            let call = call.into();
            state.points.push(Point { call, after, at });
            if is_stop {
                state.stopped = true;
                state.wakers.drain(..).for_each(Waker::wake);
            }
            is_stop
        };
        if is_stop {
            self.wait(|state| state.released).await;
        }
    }

    async fn pass<T>(&self, call: &str, made: impl Future<Output = Result<T>>) -> Result<T> {
        self.point(call, false).await;
        let answer = made.await;
        self.point(call, true).await;
        answer
    }
}

/// A ledger or a provider whose calls pass a gate.
#[derive(Debug)]
pub struct Gated<T> {
    gate: Arc<Gate>,
    inner: Arc<T>,
}

impl<T> Gated<T> {
    /// Puts `inner` behind a gate.
    pub fn new(gate: Arc<Gate>, inner: Arc<T>) -> Self {
        Self { gate, inner }
    }
}

/// Returns the name of a state in the points.
fn name(state: &ShardState) -> &'static str {
    match state {
        ShardState::Planned => "planned",
        ShardState::Staged(_) => "staged",
        ShardState::Posting(_) => "posting",
        ShardState::Doubt(_) => "doubt",
        ShardState::Refused => "refused",
        ShardState::Created { .. } => "created",
        ShardState::Ended(_) => "ended",
        ShardState::Sealed { .. } => "sealed",
        ShardState::Closed(_) => "closed",
        _ => "another state",
    }
}

// Methods with a default implementation call the others, which pass the gate.
#[async_trait]
impl<T: Ledger> Ledger for Gated<T> {
    async fn begin(&self, run: &RunRecord, shards: &[ShardRecord]) -> Result<()> {
        self.gate.pass("begin", self.inner.begin(run, shards)).await
    }
    async fn apply(&self, change: &Change<'_>) -> Result<()> {
        let call = match (change.shards, change.run) {
            ([], _) => "change the run".to_owned(),
            ([shard, ..], _) => format!(
                "advance shard {} to {}",
                shard.key.shard,
                name(&shard.state)
            ),
        };
        let applied = async {
            let applied = self.inner.apply(change).await;
            let is_conflict = |error: &Error| error.kind() == ErrorKind::Conflict;
            if !change.shards.is_empty() && applied.as_ref().is_err_and(is_conflict) {
                self.gate.state().lost_shard = true;
            }
            applied
        };
        self.gate.pass(&call, applied).await
    }
    async fn run(&self, id: &str) -> Result<Option<RunRecord>> {
        self.gate.pass("read the run", self.inner.run(id)).await
    }
    async fn runs(&self, filter: &RunFilter) -> Result<Page<RunRecord>> {
        let found = self.inner.runs(filter);
        self.gate.pass("look runs up", found).await
    }
    async fn shards(&self, run: &str) -> Result<Vec<ShardRecord>> {
        let shards = self.inner.shards(run);
        self.gate.pass("read the shards", shards).await
    }
    async fn known(&self, account: &AccountId, batches: &[BatchId]) -> Result<HashSet<BatchId>> {
        let known = self.inner.known(account, batches);
        self.gate.pass("look batches up", known).await
    }
    async fn acknowledge_late(&self, late: &LateAcknowledgement) -> Result<()> {
        let noted = self.inner.acknowledge_late(late);
        self.gate.pass("acknowledge late", noted).await
    }
    async fn late_acknowledgements(&self, key: &ShardKey) -> Result<Vec<LateAcknowledgement>> {
        let late = self.inner.late_acknowledgements(key);
        self.gate.pass("read late acknowledgements", late).await
    }
    async fn delete(&self, run: &str) -> Result<()> {
        let forgotten = self.inner.delete(run);
        self.gate.pass("forget the run", forgotten).await
    }
    async fn claim(&self, run: &str) -> Result<RunClaim> {
        self.inner.claim(run).await
    }
    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl<T: BatchProvider> BatchProvider for Gated<T> {
    fn codec(&self) -> &dyn BatchCodec {
        self.inner.codec()
    }
    fn account(&self) -> AccountId {
        self.inner.account()
    }
    fn key_hint(&self) -> Option<KeyHint> {
        self.inner.key_hint()
    }
    fn former_account(&self) -> Option<AccountId> {
        self.inner.former_account()
    }
    async fn probe(&self, model: &str) -> Result<()> {
        self.gate.pass("probe", self.inner.probe(model)).await
    }
    async fn stage(&self, shard: &Shard, prior: Option<Staged>) -> Result<Staged> {
        self.gate
            .pass("stage", self.inner.stage(shard, prior))
            .await
    }
    async fn create(&self, shard: &Shard, intent: &Intent) -> Result<BatchId> {
        let created = self.inner.create(shard, intent);
        let created = self.gate.pass("create", created).await;
        if let Ok(batch) = &created {
            self.gate.state().answered.push(batch.clone());
        }
        created
    }
    async fn find(&self, intent: &Intent, page: Option<Cursor>) -> Result<Found> {
        self.gate.pass("find", self.inner.find(intent, page)).await
    }
    async fn fence(&self, staged: &Staged) -> Result<()> {
        self.gate.pass("fence", self.inner.fence(staged)).await
    }
    async fn status(&self, batch: &BatchId) -> Result<BatchSnapshot> {
        self.gate.pass("status", self.inner.status(batch)).await
    }
    async fn results(&self, class: Option<&BatchClass>, batch: &BatchId) -> Result<ResultSet> {
        self.gate
            .pass("results", self.inner.results(class, batch))
            .await
    }
    async fn read(&self, part: &ResultPart, from: u64) -> Result<RowStream> {
        self.gate.pass("read", self.inner.read(part, from)).await
    }
    async fn list(&self, options: &ListOptions) -> Result<Page<BatchSnapshot>> {
        self.gate.pass("list", self.inner.list(options)).await
    }
    async fn uploads(&self, page: Option<Cursor>) -> Result<Page<Upload>> {
        self.gate.pass("uploads", self.inner.uploads(page)).await
    }
    async fn cancel(&self, batch: &BatchId) -> Result<()> {
        self.gate.pass("cancel", self.inner.cancel(batch)).await
    }
    async fn discard(&self, remote_object: &RemoteObject) -> Result<()> {
        self.gate
            .pass("discard", self.inner.discard(remote_object))
            .await
    }
}
