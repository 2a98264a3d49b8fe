//! A ledger in memory: for runs that end with their process.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use lmbatch_core::{Error, ErrorKind, Ledger, Result, RunRecord, ShardRecord};

/// Runs in memory.
#[derive(Debug, Default)]
pub struct MemoryLedger {
    runs: Mutex<Vec<Kept>>,
}

#[derive(Debug)]
struct Kept {
    run: RunRecord,
    shards: BTreeMap<u32, ShardRecord>,
}

impl MemoryLedger {
    fn all(&self) -> MutexGuard<'_, Vec<Kept>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unknown(run: &str) -> Error {
    Error::new(ErrorKind::Internal).with_message(format!("the ledger has no run {run}"))
}

fn conflict(message: String) -> Error {
    Error::new(ErrorKind::Conflict).with_message(message)
}

#[async_trait]
impl Ledger for MemoryLedger {
    async fn begin(&self, run: &RunRecord, shards: &[ShardRecord]) -> Result<()> {
        let mut all = self.all();
        let is_it = |kept: &&Kept| {
            kept.run.id == run.id || (run.name.is_some() && kept.run.name == run.name)
        };
        if let Some(kept) = all.iter().find(is_it) {
            return Err(conflict(format!("there is a run {} already", kept.run.id)));
        }
        let shards = shards.iter().map(|shard| (shard.key.shard, shard.clone()));
        let kept = Kept {
            run: run.clone(),
            shards: shards.collect(),
        };
        all.insert(0, kept);
        Ok(())
    }

    async fn change(&self, run: &RunRecord, shards: &[ShardRecord]) -> Result<u64> {
        let mut all = self.all();
        let found = all.iter_mut().find(|kept| kept.run.id == run.id);
        let found = found.ok_or_else(|| unknown(&run.id))?;
        let is_new = |shard: &ShardRecord| !found.shards.contains_key(&shard.key.shard);
        if found.run.epoch != run.epoch || !shards.iter().all(is_new) {
            return Err(conflict(format!("run {}", run.id)));
        }
        found.run = run.clone();
        found.run.epoch += 1;
        let new = shards.iter().map(|shard| (shard.key.shard, shard.clone()));
        found.shards.extend(new);
        Ok(found.run.epoch)
    }

    async fn run(&self, id: &str) -> Result<Option<RunRecord>> {
        let all = self.all();
        let found = all.iter().find(|kept| &*kept.run.id == id);
        Ok(found.map(|kept| kept.run.clone()))
    }

    async fn runs(&self) -> Result<Vec<RunRecord>> {
        Ok(self.all().iter().map(|kept| kept.run.clone()).collect())
    }

    async fn shards(&self, run: &str) -> Result<Vec<ShardRecord>> {
        let all = self.all();
        let found = all.iter().find(|kept| &*kept.run.id == run);
        let found = found.ok_or_else(|| unknown(run))?;
        Ok(found.shards.values().cloned().collect())
    }

    async fn forget(&self, run: &str) -> Result<()> {
        self.all().retain(|kept| &*kept.run.id != run);
        Ok(())
    }

    async fn advance(&self, shard: &ShardRecord) -> Result<u64> {
        let key = &shard.key;
        let mut all = self.all();
        let found = all.iter_mut().find(|kept| kept.run.id == key.run);
        let known = found.and_then(|kept| kept.shards.get_mut(&key.shard));
        let known = known.ok_or_else(|| unknown(&key.run))?;
        if known.epoch != shard.epoch {
            return Err(conflict(format!("shard {} of run {}", key.shard, key.run)));
        }
        *known = ShardRecord {
            epoch: shard.epoch + 1,
            ..shard.clone()
        };
        Ok(known.epoch)
    }
}
