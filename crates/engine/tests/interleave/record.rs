//! Ledger that the drivers share, and the requests of the run.

use std::collections::HashSet;

use async_trait::async_trait;
use lmbatch_core::{
    AccountId, BatchId, Change, LateAcknowledgement, Ledger, Page, Result, RunClaim, RunFilter,
    RunRecord, ShardKey, ShardRecord, ShardState,
};
use lmbatch_engine::MemoryLedger;
use lmbatch_testing::TestRequests;

use super::kinds::Broken;

/// Ledger of all drivers, with a rule that may be broken.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) inner: MemoryLedger,
    pub(crate) broken: Option<Broken>,
}

#[async_trait]
impl Ledger for Record {
    async fn begin(&self, run: &RunRecord, shards: &[ShardRecord]) -> Result<()> {
        self.inner.begin(run, shards).await
    }
    async fn apply(&self, change: &Change<'_>) -> Result<()> {
        let mut shards = change.shards.to_vec();
        for shard in &mut shards {
            if self.broken == Some(Broken::EpochIgnored) {
                let known = self.inner.shards(&shard.key.run).await?;
                let own = known.iter().find(|known| known.key == shard.key);
                shard.epoch = own.map_or(shard.epoch, |own| own.epoch);
            }
            if self.broken == Some(Broken::PostingNotRecorded)
                && let ShardState::Posting(intent) = &shard.state
            {
                shard.state = ShardState::Staged(intent.staged.clone());
            }
        }
        let change = Change {
            shards: &shards,
            ..*change
        };
        self.inner.apply(&change).await
    }
    async fn run(&self, id: &str) -> Result<Option<RunRecord>> {
        self.inner.run(id).await
    }
    async fn runs(&self, filter: &RunFilter) -> Result<Page<RunRecord>> {
        self.inner.runs(filter).await
    }
    async fn shards(&self, run: &str) -> Result<Vec<ShardRecord>> {
        self.inner.shards(run).await
    }
    async fn known(&self, account: &AccountId, batches: &[BatchId]) -> Result<HashSet<BatchId>> {
        self.inner.known(account, batches).await
    }
    async fn acknowledge_late(&self, late: &LateAcknowledgement) -> Result<()> {
        self.inner.acknowledge_late(late).await
    }
    async fn late_acknowledgements(&self, key: &ShardKey) -> Result<Vec<LateAcknowledgement>> {
        self.inner.late_acknowledgements(key).await
    }
    async fn delete(&self, run: &str) -> Result<()> {
        self.inner.delete(run).await
    }
    async fn claim(&self, run: &str) -> Result<RunClaim> {
        self.inner.claim(run).await
    }
    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }
}

/// Returns requests with the ids `id/1`, `id/2`, …
pub(crate) fn requests(count: usize) -> TestRequests {
    TestRequests::new((1..=count).map(|n| (format!("id/{n}"), format!("words {n}"))))
}
