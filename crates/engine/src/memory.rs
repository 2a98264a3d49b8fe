//! A ledger in memory: for runs that end with their process.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use lmbatch_core::{
    Error, ErrorKind, Ledger, Result, RunRecord, ShardKey, ShardRecord, ShardState,
};

/// Runs in memory.
#[derive(Debug, Default)]
pub struct MemoryLedger {
    runs: Mutex<Vec<(RunRecord, BTreeMap<u32, ShardRecord>)>>,
}

impl MemoryLedger {
    fn all(&self) -> MutexGuard<'_, Vec<(RunRecord, BTreeMap<u32, ShardRecord>)>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unknown(run: &str) -> Error {
    Error::new(ErrorKind::Internal).with_message(format!("the ledger has no run {run}"))
}

#[async_trait]
impl Ledger for MemoryLedger {
    async fn begin(&self, run: &RunRecord, shards: &[ShardRecord]) -> Result<()> {
        let mut all = self.all();
        let at = all.iter().position(|(known, _)| known.id == run.id);
        let at = at.unwrap_or_else(|| {
            all.insert(0, (run.clone(), BTreeMap::new()));
            0
        });
        all[at].0 = run.clone();
        let new = shards.iter().map(|shard| (shard.key.shard, shard.clone()));
        all[at].1.extend(new);
        Ok(())
    }

    async fn runs(&self) -> Result<Vec<RunRecord>> {
        Ok(self.all().iter().map(|(run, _)| run.clone()).collect())
    }

    async fn shards(&self, run: &str) -> Result<Vec<ShardRecord>> {
        let all = self.all();
        let found = all.iter().find(|(known, _)| &*known.id == run);
        let (_, shards) = found.ok_or_else(|| unknown(run))?;
        Ok(shards.values().cloned().collect())
    }

    async fn forget(&self, run: &str) -> Result<()> {
        self.all().retain(|(known, _)| &*known.id != run);
        Ok(())
    }

    async fn advance(&self, key: &ShardKey, epoch: u64, state: ShardState) -> Result<u64> {
        let mut all = self.all();
        let found = all.iter_mut().find(|(known, _)| known.id == key.run);
        let shard = found.and_then(|(_, shards)| shards.get_mut(&key.shard));
        let shard = shard.ok_or_else(|| unknown(&key.run))?;
        if shard.epoch != epoch {
            let message = format!(
                "shard {} of run {} was moved on by someone else",
                key.shard, key.run
            );
            return Err(Error::new(ErrorKind::Internal).with_message(message));
        }
        *shard = shard.clone().advanced(state);
        Ok(shard.epoch)
    }
}
