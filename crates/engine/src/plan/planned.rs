//! Shards of a plan, each the content of one batch.

use std::sync::Arc;

use lmbatch_core::{
    BatchCodec, Nonce, Result, Shard, ShardKey, ShardRecord, ShardState, ShardTables,
};

use crate::blocking::blocking;
use crate::plan::ids::label;
use crate::plan::shards::WrittenShard;
use crate::spool::layout::body;
use crate::spool::{Files, SpooledBody};

/// Shard of a plan.
#[derive(Debug, Clone)]
pub(crate) struct PlannedShard {
    pub(crate) shard: Shard,
    pub(crate) number: u32,
    pub(crate) attempt: u32,
    /// True if its requests continue the conversations of answers that did not fit their schemas.
    pub(crate) repair: bool,
    /// CRC-32 checksum of the body; `None` in records of earlier versions.
    pub(crate) checksum: Option<u32>,
    /// Tables of the shard: its rows, and the echo that is returned with the outcomes.
    pub(crate) tables: ShardTables,
}

/// Returns a shard of a run, from its files in the spool and its record.
pub(crate) fn planned(
    codec: &dyn BatchCodec,
    files: &Files,
    nonce: &Nonce,
    written: WrittenShard,
    attempt: u32,
) -> Result<PlannedShard> {
    let (number, class) = (written.number, written.class);
    let label = label(nonce, number);
    Ok(PlannedShard {
        shard: Shard {
            frame: codec.frame(&class, &label),
            class,
            label,
            count: written.count,
            rows: Arc::new(SpooledBody {
                file: files.open(&body(number))?,
                bytes: written.bytes,
            }),
        },
        number,
        attempt,
        repair: false,
        checksum: written.checksum,
        tables: written.tables,
    })
}

impl PlannedShard {
    /// Checks the body and the tables of the shard against their checksums, so that exactly the
    /// planned requests are sent and their results can be assigned.
    ///
    /// # Errors
    /// [`ErrorKind::Local`](lmbatch_core::ErrorKind::Local) where a file is damaged; nothing was
    /// sent.
    pub(crate) async fn verify(&self, files: &Arc<Files>) -> Result<()> {
        let (files, checksum, body) = (Arc::clone(files), self.checksum, body(self.number));
        let tables = self.tables.clone();
        blocking(move || {
            files.open_whole(&tables.rows)?;
            files.open_whole(&tables.request_data)?;
            match checksum {
                Some(checksum) => files.verify(&body, checksum),
                None => Ok(()),
            }
        })
        .await?
    }

    /// Returns the record of the shard before anything is sent.
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
            tables: Some(self.tables.clone()),
            attempt: self.attempt,
            repair: self.repair,
            epoch: 0,
            state: ShardState::Planned,
            progress: Default::default(),
            proof: None,
            doubted: None,
            remote_objects: Vec::new(),
            sent_twice: false,
            cost: None,
        }
    }
}
