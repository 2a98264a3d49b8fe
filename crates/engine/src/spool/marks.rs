//! Entries beside the ledger: a create is about to be sent, or has made a batch.
//!
//! A ledger can be rolled back, since its log is damaged or a backup is restored. A create that it
//! then does not know would be sent and paid for again. The entries are therefore kept outside of
//! the ledger, one file for each, and hold everything that is needed to find the batch.
//!
//! Each entry names the epoch of the shard's record when the entry was written. A record of a later
//! epoch has settled the create, so that an entry that was not removed does no harm; a record of
//! the same or an earlier epoch is older than the entry: the ledger was rolled back.

use std::io::{self, Write as _};
use std::sync::Arc;

use lmbatch_core::{BatchId, Error, Intent, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::blocking::blocking;
use crate::spool::Files;
use crate::spool::layout;
use crate::spool::tables::{Reader, Writer};

/// Entries of one shard beside the ledger.
#[derive(Debug, Clone)]
pub(crate) struct Marks {
    files: Arc<Files>,
    shard: u32,
}

/// Newest entry of a shard.
#[derive(Debug)]
pub(crate) struct Entry {
    /// CRC-32 checksum of the body that was sent.
    pub(crate) body: Option<u32>,
    /// Epoch of the shard's record when the entry was written; `None` in entries of earlier versions, and
    /// where the entry cannot be read.
    pub(crate) epoch: Option<u64>,
    pub(crate) content: Marked,
}

/// Content of an entry.
#[derive(Debug)]
pub(crate) enum Marked {
    /// The create has made this batch.
    Created(BatchId),
    /// The create was about to be sent; `None` where the entry cannot be read.
    Posting(Option<Box<Intent>>),
}

impl Marks {
    pub(crate) fn new(files: &Arc<Files>, shard: u32) -> Self {
        Self {
            files: Arc::clone(files),
            shard,
        }
    }

    fn posting_name(&self) -> String {
        layout::posting(self.shard)
    }

    fn created_name(&self) -> String {
        layout::created(self.shard)
    }

    /// Records durably that a create is about to be sent, by the record with an epoch.
    pub(crate) async fn posting(
        &self,
        intent: &Intent,
        body: Option<u32>,
        epoch: u64,
    ) -> Result<()> {
        self.write(self.posting_name(), &(body, intent, epoch))
            .await
    }

    /// Records durably which batch a create has made, for the record with an epoch.
    pub(crate) async fn created(
        &self,
        batch: &BatchId,
        body: Option<u32>,
        epoch: u64,
    ) -> Result<()> {
        self.write(self.created_name(), &(body, batch, epoch)).await
    }

    /// Removes the entries that are older than the record with an epoch, since the create that they
    /// name has made no batch. Entries of another worker, which has taken the shard in between, are
    /// newer and stay.
    pub(crate) async fn clear(&self, epoch: u64) -> Result<()> {
        let marks = self.clone();
        blocking(move || {
            let created = marks.created_name();
            let written = marks.read_one::<BatchId>(&created)?;
            marks.remove_older(&created, written.map(|one| epoch_of(one.as_ref())), epoch)?;
            let posting = marks.posting_name();
            let written = marks.read_one::<Box<Intent>>(&posting)?;
            marks.remove_older(&posting, written.map(|one| epoch_of(one.as_ref())), epoch)
        })
        .await?
    }

    fn remove_older(&self, what: &str, written: Option<Option<u64>>, epoch: u64) -> Result<()> {
        match written {
            None => Ok(()),
            Some(Some(written)) if written >= epoch => Ok(()),
            Some(_) => {
                let name = self.files.name(what);
                self.files.spool().remove(&name).map_err(failed)
            }
        }
    }

    /// Reads the newest entry of the shard, if there is any.
    pub(crate) async fn read(&self) -> Result<Option<Entry>> {
        let marks = self.clone();
        blocking(move || {
            // An incomplete entry was never followed by the step that it announces; a damaged one may
            // have been. Without a readable `created` entry, `posting` decides.
            let created = marks.read_one::<BatchId>(&marks.created_name())?.flatten();
            let posting = marks.read_one::<Box<Intent>>(&marks.posting_name())?;
            let posted = posting
                .as_ref()
                .and_then(|posting| epoch_of(posting.as_ref()));
            // A batch of an earlier create says nothing about a later one.
            let created = created.filter(|(_, _, epoch)| epoch.is_none() || *epoch >= posted);
            if let Some((body, batch, epoch)) = created {
                return Ok(Some(Entry {
                    body,
                    epoch,
                    content: Marked::Created(batch),
                }));
            }
            Ok(posting.map(|posting| match posting {
                Some((body, intent, epoch)) => Entry {
                    body,
                    epoch,
                    content: Marked::Posting(Some(intent)),
                },
                None => Entry {
                    body: None,
                    epoch: None,
                    content: Marked::Posting(None),
                },
            }))
        })
        .await?
    }

    async fn write(&self, what: String, value: &impl Serialize) -> Result<()> {
        let text = serde_json::to_string(value)
            .map_err(|error| Error::new(lmbatch_core::ErrorKind::Internal).with_source(error))?;
        let marks = self.clone();
        blocking(move || {
            let mut file: Writer = marks.files.create(&what)?;
            let line = format!("{:08x} {text}\n", crc32fast::hash(text.as_bytes()));
            file.write_all(line.as_bytes()).map_err(failed)?;
            file.sync().map_err(failed)
        })
        .await?
    }

    /// Reads an entry; `Some(None)` where the entry cannot be read.
    fn read_one<T: DeserializeOwned>(&self, what: &str) -> Result<Option<Option<Written<T>>>> {
        let file = match self.files.spool().open(&self.files.name(what)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let mut line = vec![0; file.size().map_err(failed)? as usize];
        Reader::new(file).read_exact(&mut line).map_err(failed)?;
        // Earlier versions wrote no epoch.
        let former = || parsed(&line).map(|(body, value)| (body, value, None));
        Ok(Some(parsed(&line).or_else(former)))
    }
}

/// Checksum of the body, value and epoch of an entry.
type Written<T> = (Option<u32>, T, Option<u64>);

fn epoch_of<T>(written: Option<&Written<T>>) -> Option<u64> {
    written.and_then(|(_, _, epoch)| *epoch)
}

fn parsed<T: DeserializeOwned>(line: &[u8]) -> Option<T> {
    let line = std::str::from_utf8(line).ok()?.strip_suffix('\n')?;
    let (checksum, text) = line.split_once(' ')?;
    let checksum = u32::from_str_radix(checksum, 16).ok()?;
    (crc32fast::hash(text.as_bytes()) == checksum)
        .then(|| serde_json::from_str(text).ok())
        .flatten()
}

fn failed(error: io::Error) -> Error {
    Error::local(
        "the file that records a create beside the ledger cannot be used; nothing is created before it can; then resume the run",
        error,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_read_as_it_was_written_or_not_at_all() {
        let text = serde_json::to_string("batch_1").unwrap();
        let line = format!("{:08x} {text}\n", crc32fast::hash(text.as_bytes())).into_bytes();
        assert_eq!(parsed::<BatchId>(&line), Some(BatchId::new("batch_1")));
        for end in 0..line.len() {
            assert_eq!(parsed::<BatchId>(&line[..end]), None, "cut at {end}");
        }
        for at in 0..line.len() {
            for bit in 0..8 {
                let mut damaged = line.clone();
                damaged[at] ^= 1 << bit;
                let read = parsed::<BatchId>(&damaged);
                // A hexadecimal digit may change its case.
                assert!(read.is_none() || read == Some(BatchId::new("batch_1")));
            }
        }
    }
}
