//! A ledger that answers one call at a time, slowly and in the order of the calls, as a database
//! with one connection does on a slow disk. The driver calls it while its steps do, and must not
//! wait for one of them forever.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use crate::paused::PausedClock;
use async_trait::async_trait;
use lmbatch_core::{
    AccountId, BatchId, Change, Clock, LateAcknowledgement, Ledger, Page, Request, Result,
    RunClaim, RunFilter, RunRecord, ShardKey, ShardRecord,
};
use lmbatch_engine::{BatchLimit, LMInvoker, MemoryLedger};
use lmbatch_testing::{MemoryProvider, MemorySpool, Script, TestRng};

/// Duration of one call.
const TAKES: Duration = Duration::from_millis(700);

/// Ledger with one connection, which waiting callers get in their order.
#[derive(Debug)]
struct Narrow {
    inner: MemoryLedger,
    clock: Arc<dyn Clock>,
    connection: tokio::sync::Mutex<()>,
}

impl Narrow {
    async fn one<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        let _connection = self.connection.lock().await;
        self.clock.sleep(TAKES).await;
        call.await
    }
}

#[async_trait]
impl Ledger for Narrow {
    async fn begin(&self, run: &RunRecord, shards: &[ShardRecord]) -> Result<()> {
        self.one(self.inner.begin(run, shards)).await
    }
    async fn apply(&self, change: &Change<'_>) -> Result<()> {
        self.one(self.inner.apply(change)).await
    }
    async fn run(&self, id: &str) -> Result<Option<RunRecord>> {
        self.one(self.inner.run(id)).await
    }
    async fn revision(&self) -> Result<Option<u64>> {
        self.one(self.inner.revision()).await
    }
    async fn runs(&self, filter: &RunFilter) -> Result<Page<RunRecord>> {
        self.one(self.inner.runs(filter)).await
    }
    async fn shards(&self, run: &str) -> Result<Vec<ShardRecord>> {
        self.one(self.inner.shards(run)).await
    }
    async fn known(&self, account: &AccountId, batches: &[BatchId]) -> Result<HashSet<BatchId>> {
        self.one(self.inner.known(account, batches)).await
    }
    async fn acknowledge_late(&self, late: &LateAcknowledgement) -> Result<()> {
        self.one(self.inner.acknowledge_late(late)).await
    }
    async fn late_acknowledgements(&self, key: &ShardKey) -> Result<Vec<LateAcknowledgement>> {
        self.one(self.inner.late_acknowledgements(key)).await
    }
    async fn delete(&self, run: &str) -> Result<()> {
        self.one(self.inner.delete(run)).await
    }
    async fn claim(&self, run: &str) -> Result<RunClaim> {
        self.inner.claim(run).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_ends_on_a_ledger_that_answers_one_call_at_a_time() {
    let clock: Arc<dyn Clock> = PausedClock::new();
    let script = Script {
        uploads: true,
        ..Script::default()
    };
    let provider = Arc::new(MemoryProvider::new(clock.clone(), script));
    let ledger = Narrow {
        inner: MemoryLedger::default(),
        clock: clock.clone(),
        connection: tokio::sync::Mutex::default(),
    };
    let invoker = LMInvoker::shared(provider.clone(), "m")
        .clock(clock)
        .rng(Arc::new(TestRng::new(7)))
        .record(Arc::new(ledger), Arc::new(MemorySpool::default()))
        .batch_limit(BatchLimit {
            max_requests: Some(1),
            ..BatchLimit::default()
        });
    let requests = (0..12).map(|number| Request::new(format!("{number}"), "x"));
    let run = invoker.batch().invoke(requests).named("mine").into_future();
    // An hour is more than all calls take one after the other.
    #[expect(clippy::disallowed_methods, reason = "a bound on the whole test")]
    let outcomes = tokio::time::timeout(Duration::from_secs(3600), run);
    let outcomes = outcomes
        .await
        .expect("the driver waits for its own step")
        .unwrap();
    assert!(outcomes.iter().all(|(_, outcome)| outcome.is_usable()));
    assert_eq!(provider.accepted(), 12);
}
