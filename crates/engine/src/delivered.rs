//! Requests of one batch that its results name, counted once each.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;

use lmbatch_core::{BatchSnapshot, BatchStatus, SpoolFile};

use crate::index::{SENT, Sent};

/// Entries of the table that are read at once.
const PAGE: usize = 4096;

/// Pages that are held: 5 MiB, or a quarter of a million requests.
const PAGES: usize = 64;

/// Requests of the batch under way that a row has named.
///
/// Ids on the wire are unique in a run, not in a batch: a row of another batch of the same run is not one of
/// this batch, and counting it would seal a batch whose own rows did not come.
#[derive(Debug, Default)]
pub(crate) struct Delivered {
    /// The batch's shard, and where the run's requests went; `None` where the batch holds all of them.
    shard: Option<(u32, SentTable)>,
    named: Named,
}

/// Requests that were named: one bit for each, by its place in the batch.
#[derive(Debug, Clone, Default)]
pub(crate) struct Named {
    bits: Vec<u64>,
    count: u64,
}

impl Delivered {
    /// Of a batch that holds some requests of a run, as the table of its attempt has them.
    pub(crate) fn of_shard(shard: u32, table: Arc<dyn SpoolFile>) -> Self {
        Self {
            shard: Some((shard, SentTable::new(table))),
            ..Self::default()
        }
    }

    /// Notes a row that names a request; whether the request belongs to the batch.
    pub(crate) fn note(&mut self, ordinal: u32) -> io::Result<bool> {
        let place = match &mut self.shard {
            None => ordinal,
            Some((own, table)) => match table.get(ordinal)? {
                (shard, place) if shard == *own => place,
                _ => return Ok(false),
            },
        };
        let (at, bit) = (place as usize / 64, 1 << (place % 64));
        let Named { bits, count } = &mut self.named;
        if bits.len() <= at {
            bits.resize(at + 1, 0);
        }
        *count += u64::from(bits[at] & bit == 0);
        bits[at] |= bit;
        Ok(true)
    }

    /// Number of different requests that rows have named.
    pub(crate) fn count(&self) -> u64 {
        self.named.count
    }

    /// The requests named so far, to go back to.
    pub(crate) fn named(&self) -> Named {
        self.named.clone()
    }

    /// Goes back to the requests that were named at an earlier time.
    pub(crate) fn restore(&mut self, named: Named) {
        self.named = named;
    }
}

/// Number of requests of a batch that rows must name, by what the provider says of it: those that have
/// ended, and at least one where a completed batch comes without counts.
pub(crate) fn promised(snapshot: &BatchSnapshot, requests: Option<u64>) -> u64 {
    let promised = if has_counts(snapshot) {
        snapshot.counts.finished()
    } else {
        u64::from(snapshot.status == BatchStatus::Completed)
    };
    requests.map_or(promised, |requests| promised.min(requests))
}

/// Whether the provider counts the requests of the batch. A completed batch of which nothing has ended is
/// one whose server does not keep its counts.
pub(crate) fn has_counts(snapshot: &BatchSnapshot) -> bool {
    let counts = &snapshot.counts;
    counts.finished() > 0 || counts.total.is_some() && snapshot.status != BatchStatus::Completed
}

/// Random reads of the table of what was sent, with the pages used last in memory.
#[derive(Debug)]
struct SentTable {
    file: Arc<dyn SpoolFile>,
    pages: HashMap<usize, Vec<u8>>,
    order: VecDeque<usize>,
}

impl SentTable {
    fn new(file: Arc<dyn SpoolFile>) -> Self {
        Self {
            file,
            pages: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    /// Shard and place of a request.
    fn get(&mut self, ordinal: u32) -> io::Result<(u32, u32)> {
        let (page, at) = (ordinal as usize / PAGE, ordinal as usize % PAGE);
        if !self.pages.contains_key(&page) {
            if self.order.len() == PAGES
                && let Some(oldest) = self.order.pop_front()
            {
                self.pages.remove(&oldest);
            }
            let mut bytes = vec![0; PAGE * SENT];
            let offset = (page * PAGE * SENT) as u64;
            let read = self.file.read_at(&mut bytes, offset)?;
            bytes.truncate(read);
            self.pages.insert(page, bytes);
            self.order.push_back(page);
        }
        let entry = self.pages.get(&page).and_then(|bytes| {
            let (entries, _) = bytes.as_chunks::<SENT>();
            entries.get(at)
        });
        let entry = entry.ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(Sent::shard_and_place(entry))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use lmbatch_core::{RequestCounts, Spool as _};

    use super::*;
    use crate::index::Writer;
    use crate::temporary::TemporarySpool;

    #[test]
    fn a_request_counts_once_and_only_in_its_own_batch() {
        let spool = TemporarySpool::new().unwrap();
        let mut table = Writer::new(spool.create("sent").unwrap());
        // More than fit into memory at once, in turn in three shards.
        let requests = (PAGE * (PAGES + 2)) as u32;
        for ordinal in 0..requests {
            let sent = Sent {
                shard: ordinal % 3,
                place: ordinal / 3,
                length: 1,
                offset: 0,
            };
            sent.write(&mut table).unwrap();
        }
        table.flush().unwrap();
        let mut delivered = Delivered::of_shard(1, spool.open("sent").unwrap());
        for ordinal in (0..requests).chain(0..10).rev() {
            assert_eq!(delivered.note(ordinal).unwrap(), ordinal % 3 == 1);
        }
        assert_eq!(delivered.count(), u64::from(requests / 3));
        assert!(delivered.note(requests).is_err());
        delivered.restore(Named::default());
        assert_eq!(delivered.count(), 0);
        let mut all = Delivered::default();
        for ordinal in [5, 0, 5, 64, 63] {
            assert!(all.note(ordinal).unwrap());
        }
        assert_eq!(all.count(), 4);
    }

    #[test]
    fn as_many_rows_are_promised_as_requests_have_ended() {
        use BatchStatus::{Cancelled, Completed, Expired};
        let counts = |total, succeeded, errored, expired, cancelled| RequestCounts {
            total,
            succeeded,
            errored,
            expired,
            cancelled,
        };
        for (counts, status, requests, expected) in [
            (counts(Some(8), 6, 2, 0, 0), Completed, Some(8), 8),
            (counts(Some(8), 3, 0, 5, 0), Expired, Some(8), 8),
            (counts(Some(8), 3, 0, 0, 0), Expired, Some(8), 3),
            (counts(Some(8), 0, 0, 0, 0), Cancelled, Some(8), 0),
            (counts(None, 3, 0, 0, 0), Completed, Some(8), 3),
            // Servers that count a failure among the completed as well promise no more than was sent.
            (counts(Some(8), 8, 2, 0, 0), Completed, Some(8), 8),
            // Without counts only a completed batch says that something was answered.
            (counts(None, 0, 0, 0, 0), Completed, Some(8), 1),
            (counts(Some(8), 0, 0, 0, 0), Completed, Some(8), 1),
            (counts(None, 0, 0, 0, 0), Expired, Some(8), 0),
            (counts(Some(8), 8, 0, 0, 0), Completed, None, 8),
        ] {
            let snapshot = BatchSnapshot {
                counts,
                ..BatchSnapshot::new("b".into(), status)
            };
            assert_eq!(promised(&snapshot, requests), expected, "{snapshot:?}");
        }
    }
}
