//! The rows of a run as they were sent last.

use std::collections::HashMap;
use std::sync::Arc;

use lmbatch_core::{Result, SpoolFile};

use crate::plan::planned::PlannedShard;
use crate::spool::layout::body;
use crate::spool::tables::{Reader, Sent, Writer};
use crate::spool::{Files, spooled};

/// The rows of a run as they were sent last, one request after the other.
pub(crate) struct Rows<'a> {
    files: &'a Files,
    name: String,
    table: Reader,
    shards: &'a [PlannedShard],
    bodies: HashMap<u32, Arc<dyn SpoolFile>>,
    row: Vec<u8>,
}

impl<'a> Rows<'a> {
    /// As a table has them.
    pub(crate) fn new(files: &'a Files, name: &str, shards: &'a [PlannedShard]) -> Result<Self> {
        Ok(Self {
            files,
            name: name.to_owned(),
            table: Reader::new(files.open(name)?),
            shards,
            bodies: HashMap::new(),
            row: Vec::new(),
        })
    }

    /// Where the next request's row lies.
    pub(crate) fn next(&mut self) -> Result<Sent> {
        Sent::read(&mut self.table).map_err(spooled)
    }

    /// A new table that begins as this one does: beside it, since the ledger may still speak of it.
    pub(crate) fn copy(&self, entries: u32, name: &str) -> Result<Writer> {
        let mut from = Reader::new(self.files.open(&self.name)?);
        let mut table = self.files.create(name)?;
        for _ in 0..entries {
            let sent = Sent::read(&mut from).map_err(spooled)?;
            sent.write(&mut table).map_err(spooled)?;
        }
        Ok(table)
    }

    pub(crate) fn read(&mut self, sent: &Sent) -> Result<&[u8]> {
        let file = match self.bodies.entry(sent.shard) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::hash_map::Entry::Vacant(entry) => {
                // What goes out again is what was planned.
                let planned = self.shards.get(sent.shard as usize);
                if let Some(checksum) = planned.and_then(|planned| planned.checksum) {
                    self.files.verify(&body(sent.shard), checksum)?;
                }
                entry.insert(self.files.open(&body(sent.shard))?)
            }
        };
        self.row.resize(sent.length as usize, 0);
        let read = file.read_at(&mut self.row, sent.offset).map_err(spooled)?;
        if read < self.row.len() {
            return Err(spooled(std::io::ErrorKind::UnexpectedEof.into()));
        }
        Ok(&self.row)
    }
}
