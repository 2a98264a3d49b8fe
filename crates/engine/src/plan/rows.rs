//! Rows of requests, read from the bodies of their shards.

use std::collections::HashMap;
use std::sync::Arc;

use lmbatch_core::{Result, SpoolFile};

use crate::plan::planned::PlannedShard;
use crate::spool::Files;
use crate::spool::layout::body;
use crate::spool::spooled;
use crate::spool::tables::Row;

/// Reads rows from the bodies of shards. A body is compared with its checksum before its first row
/// is read, so that exactly the planned requests are sent again.
pub(crate) struct Bodies<'a> {
    files: &'a Files,
    shards: &'a [PlannedShard],
    open: HashMap<u32, Arc<dyn SpoolFile>>,
    row: Vec<u8>,
}

impl<'a> Bodies<'a> {
    pub(crate) fn new(files: &'a Files, shards: &'a [PlannedShard]) -> Self {
        Self {
            files,
            shards,
            open: HashMap::new(),
            row: Vec::new(),
        }
    }

    /// Returns the bytes of a row of a shard.
    ///
    /// # Errors
    /// [`ErrorKind::Local`](lmbatch_core::ErrorKind::Local) where the body is missing, too short or
    /// changed.
    pub(crate) fn read(&mut self, shard: u32, row: &Row) -> Result<&[u8]> {
        let file = match self.open.entry(shard) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::hash_map::Entry::Vacant(entry) => {
                let planned = self.shards.get(shard as usize);
                if let Some(checksum) = planned.and_then(|planned| planned.checksum) {
                    self.files.verify(&body(shard), checksum)?;
                }
                entry.insert(self.files.open(&body(shard))?)
            }
        };
        self.row.resize(row.length as usize, 0);
        let read = file.read_at(&mut self.row, row.offset).map_err(spooled)?;
        if read < self.row.len() {
            return Err(spooled(std::io::ErrorKind::UnexpectedEof.into()));
        }
        Ok(&self.row)
    }
}
