//! A ledger in memory: for runs that end with their process.

use std::collections::HashMap;
use std::sync::Mutex;

use async_trait::async_trait;
use lmbatch_core::{Error, ErrorKind, Ledger, Result, ShardKey, ShardRecord, ShardState};

/// Shards in memory.
#[derive(Debug, Default)]
pub struct MemoryLedger {
    shards: Mutex<HashMap<ShardKey, ShardRecord>>,
}

impl MemoryLedger {
    fn shards(&self) -> std::sync::MutexGuard<'_, HashMap<ShardKey, ShardRecord>> {
        self.shards
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn unknown(key: &ShardKey) -> Error {
    Error::new(ErrorKind::Internal).with_message(format!(
        "the ledger has no shard {} of run {}",
        key.shard, key.run
    ))
}

#[async_trait]
impl Ledger for MemoryLedger {
    async fn begin(&self, shards: &[ShardRecord]) -> Result<()> {
        let mut all = self.shards();
        for shard in shards {
            all.insert(shard.key.clone(), shard.clone());
        }
        Ok(())
    }

    async fn shard(&self, key: &ShardKey) -> Result<ShardRecord> {
        self.shards().get(key).cloned().ok_or_else(|| unknown(key))
    }

    async fn advance(&self, key: &ShardKey, epoch: u64, state: ShardState) -> Result<u64> {
        let mut all = self.shards();
        let shard = all.get_mut(key).ok_or_else(|| unknown(key))?;
        if shard.epoch != epoch {
            let message = format!(
                "shard {} of run {} was moved on by someone else",
                key.shard, key.run
            );
            return Err(Error::new(ErrorKind::Internal).with_message(message));
        }
        shard.epoch += 1;
        shard.state = state;
        Ok(shard.epoch)
    }
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;
    use lmbatch_core::{Label, Staged};

    use super::*;

    #[test]
    fn of_two_writers_one_loses() {
        let ledger = MemoryLedger::default();
        let key = ShardKey {
            run: "r".into(),
            shard: 0,
        };
        let record = ShardRecord {
            key: key.clone(),
            label: Label::new("l"),
            count: 1,
            epoch: 0,
            state: ShardState::Planned,
        };
        block_on(async {
            ledger.begin(&[record]).await.unwrap();
            assert_eq!(
                ledger
                    .advance(&key, 0, ShardState::Staged(Staged::default()))
                    .await
                    .unwrap(),
                1
            );
            let late = ledger
                .advance(&key, 0, ShardState::Refused)
                .await
                .unwrap_err();
            assert_eq!(late.kind(), ErrorKind::Internal);
            assert_eq!(
                ledger.shard(&key).await.unwrap().state,
                ShardState::Staged(Staged::default())
            );
        });
    }
}
