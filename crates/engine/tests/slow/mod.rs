//! Provider in memory that is slow in one kind of call.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lmbatch_core::{
    AccountId, BatchClass, BatchCodec, BatchId, BatchProvider, BatchSnapshot, Clock, Cursor, Found,
    Intent, ListOptions, Page, RemoteObject, Result, ResultPart, ResultSet, RowStream, Shard,
    Staged,
};
use lmbatch_testing::MemoryProvider;

/// Provider whose calls of one kind take effect at once, but are answered late.
#[derive(Debug)]
pub(crate) struct Slow {
    pub(crate) inner: Arc<MemoryProvider>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) call: &'static str,
    pub(crate) takes: Duration,
}

impl Slow {
    async fn late<T>(&self, call: &str, answer: impl Future<Output = Result<T>>) -> Result<T> {
        let answer = answer.await;
        if call == self.call {
            self.clock.sleep(self.takes).await;
        }
        answer
    }
}

#[async_trait]
impl BatchProvider for Slow {
    fn codec(&self) -> &dyn BatchCodec {
        self.inner.codec()
    }
    fn account(&self) -> AccountId {
        self.inner.account()
    }
    async fn stage(&self, shard: &Shard, prior: Option<Staged>) -> Result<Staged> {
        self.late("stage", self.inner.stage(shard, prior)).await
    }
    async fn create(&self, shard: &Shard, intent: &Intent) -> Result<BatchId> {
        self.late("create", self.inner.create(shard, intent)).await
    }
    async fn find(&self, intent: &Intent, page: Option<Cursor>) -> Result<Found> {
        self.late("find", self.inner.find(intent, page)).await
    }
    async fn fence(&self, staged: &Staged) -> Result<()> {
        self.inner.fence(staged).await
    }
    async fn status(&self, batch: &BatchId) -> Result<BatchSnapshot> {
        self.late("status", self.inner.status(batch)).await
    }
    async fn results(&self, class: Option<&BatchClass>, batch: &BatchId) -> Result<ResultSet> {
        self.late("results", self.inner.results(class, batch)).await
    }
    async fn read(&self, part: &ResultPart, from: u64) -> Result<RowStream> {
        self.late("read", self.inner.read(part, from)).await
    }
    async fn list(&self, options: &ListOptions) -> Result<Page<BatchSnapshot>> {
        self.late("list", self.inner.list(options)).await
    }
    async fn cancel(&self, batch: &BatchId) -> Result<()> {
        self.inner.cancel(batch).await
    }
    async fn discard(&self, remote_object: &RemoteObject) -> Result<()> {
        self.inner.discard(remote_object).await
    }
}
