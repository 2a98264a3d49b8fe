//! A shard of a plan: what one batch is made of.

use std::sync::Arc;

use lmbatch_core::{
    BatchClass, BatchCodec, Nonce, Result, Shard, ShardKey, ShardRecord, ShardState,
};

use crate::blocking::blocking;
use crate::plan::ids::label;
use crate::spool::layout::body;
use crate::spool::{Files, SpooledBody};

/// A shard of a plan.
#[derive(Debug, Clone)]
pub(crate) struct PlannedShard {
    pub(crate) shard: Shard,
    pub(crate) number: u32,
    pub(crate) attempt: u32,
    /// CRC-32 of its body, where the record has it.
    pub(crate) checksum: Option<u32>,
}

#[expect(
    clippy::too_many_arguments,
    reason = "what a shard is made of, in one place"
)]
pub(crate) fn planned(
    codec: &dyn BatchCodec,
    files: &Files,
    nonce: &Nonce,
    number: u32,
    class: BatchClass,
    count: u32,
    bytes: u64,
    checksum: Option<u32>,
    attempt: u32,
) -> Result<PlannedShard> {
    let label = label(nonce, number);
    Ok(PlannedShard {
        shard: Shard {
            frame: codec.frame(&class, &label),
            class,
            label,
            count,
            rows: Arc::new(SpooledBody {
                file: files.open(&body(number))?,
                bytes,
            }),
        },
        number,
        attempt,
        checksum,
    })
}

impl PlannedShard {
    /// Checks its body against its checksum: what is sent is what was planned.
    ///
    /// # Errors
    /// [`ErrorKind::Local`](lmbatch_core::ErrorKind::Local) where it is damaged; nothing was sent.
    pub(crate) async fn verify(&self, files: &Arc<Files>) -> Result<()> {
        let Some(checksum) = self.checksum else {
            return Ok(());
        };
        let (files, body) = (Arc::clone(files), body(self.number));
        blocking(move || files.verify(&body, checksum)).await?
    }

    /// What the ledger keeps of it, before anything is sent.
    pub(crate) fn record(&self, run: &str) -> ShardRecord {
        ShardRecord {
            key: ShardKey {
                run: run.into(),
                shard: self.number,
            },
            label: self.shard.label.clone(),
            class: self.shard.class.clone(),
            count: self.shard.count,
            bytes: self.shard.rows.len(),
            checksum: self.checksum,
            attempt: self.attempt,
            epoch: 0,
            state: ShardState::Planned,
            progress: Default::default(),
            proof: None,
            doubted: None,
            remnants: Vec::new(),
            sent_twice: false,
        }
    }
}
