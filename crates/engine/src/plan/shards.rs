//! The one writer of shards: for a plan, for requests that are sent again, and for a changed input.
//!
//! For each shard three files are written, in the order of its requests: the body, the table of its
//! rows, and the echo (id, metadata and schema, returned with each outcome). A shard that sends a
//! request again has its own copy of the echo, so that the results of a shard need only the files
//! of that shard.

use std::collections::HashSet;
use std::io::Write as _;

use lmbatch_core::{
    BatchClass, BatchCodec, CreateProof, Error, ErrorKind, Frame, Limits, Nonce, Result,
    ShardRecord, ShardState, ShardTables, StoredTable,
};

use crate::counted;
use crate::plan::ids::label;
use crate::policy::BatchLimit;
use crate::spool::layout;
use crate::spool::tables::{EchoFields, Row, Writer, write_echo};
use crate::spool::{Files, spooled};

/// Size of the buffer of each table of an open shard, in bytes.
const TABLE_BUFFER: usize = 64 << 10;

/// Shard in the spool, complete and synced.
#[derive(Debug)]
pub(crate) struct WrittenShard {
    pub(crate) number: u32,
    pub(crate) class: BatchClass,
    pub(crate) count: u32,
    pub(crate) bytes: u64,
    /// CRC-32 checksum of the body; `None` in records of earlier versions.
    pub(crate) checksum: Option<u32>,
    pub(crate) tables: ShardTables,
}

/// Writes requests into shards: one shard of each class is open at a time.
pub(crate) struct ShardWriter<'a> {
    codec: &'a dyn BatchCodec,
    limit: BatchLimit,
    nonce: &'a Nonce,
    files: &'a Files,
    /// Number of the next shard to be opened.
    next: u32,
    /// Request counts that a new shard avoids where possible; `None` where a lost create is
    /// recognised by more than its request count.
    taken: Option<HashSet<u32>>,
    open: Vec<Open>,
    closed: Vec<WrittenShard>,
}

/// Shard that is still being filled.
struct Open {
    number: u32,
    class: BatchClass,
    limits: Limits,
    frame: Frame,
    body: Writer,
    rows: Writer,
    echo: Writer,
    count: u32,
    tokens: u64,
    first: u32,
    last: u32,
}

impl<'a> ShardWriter<'a> {
    /// Returns a writer of shards that are numbered from `next`, for a run whose other shards are
    /// `others`.
    ///
    /// Where a lost create is recognised by its request count alone, each shard gets a count of its
    /// own, different from those of the other shards whose batches are not known, as far as limits
    /// allow.
    pub(crate) fn new(
        codec: &'a dyn BatchCodec,
        limit: BatchLimit,
        nonce: &'a Nonce,
        files: &'a Files,
        next: u32,
        others: impl IntoIterator<Item = &'a ShardRecord>,
    ) -> Self {
        let is_counted = codec.capabilities().create == CreateProof::CountAndTime;
        let may_appear = |other: &&ShardRecord| {
            let is_cancelled = matches!(
                other.state,
                ShardState::Closed(lmbatch_core::Closed::Cancelled)
            );
            // Of two creates, one may have made a batch that no record names.
            other.sent_twice || other.state.batch().is_none() && !is_cancelled
        };
        let open = others.into_iter().filter(may_appear);
        Self {
            codec,
            limit,
            nonce,
            files,
            next,
            taken: is_counted.then(|| open.map(|other| other.count).collect()),
            open: Vec::new(),
            closed: Vec::new(),
        }
    }

    /// Appends the row of a request and its echo.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] where a full shard has fewer requests than a batch needs;
    /// [`ErrorKind::Local`] where the spool cannot be written.
    pub(crate) fn put(
        &mut self,
        class: &BatchClass,
        row: &[u8],
        ordinal: u32,
        echo: EchoFields<'_>,
    ) -> Result<()> {
        let at = self.room(class, row.len())?;
        let open = &mut self.open[at];
        if open.count > 0 && ordinal <= open.last {
            return Err(Error::new(ErrorKind::Internal)
                .with_message("the requests of a shard are not in the order of the run"));
        }
        if open.count > 0 {
            open.body
                .write_all(&open.frame.separator)
                .map_err(spooled)?;
        }
        let entry = Row {
            ordinal,
            length: row.len() as u32,
            offset: open.body.written,
            echo: open.echo.written,
        };
        open.body.write_all(row).map_err(spooled)?;
        open.rows.write_all(&entry.to_bytes()).map_err(spooled)?;
        write_echo(echo, &mut open.echo).map_err(spooled)?;
        if open.count == 0 {
            open.first = ordinal;
        }
        open.last = ordinal;
        open.count += 1;
        open.tokens += estimated_tokens(row.len());
        Ok(())
    }

    /// Returns the open shard of a class with room for a row. A shard without room is closed.
    fn room(&mut self, class: &BatchClass, row: usize) -> Result<usize> {
        if let Some(at) = self.open.iter().position(|open| open.class == *class) {
            if self.open[at].has_room(row) {
                return Ok(at);
            }
            let full = self.open.remove(at);
            self.close(full)?;
        }
        let number = self.next;
        self.next += 1;
        let mut limits = self.limit.apply(self.codec.limits(class));
        if let Some(most) = self.free_count(&limits) {
            limits.max_requests = most;
        }
        self.open.push(Open {
            number,
            frame: self.codec.frame(class, &label(self.nonce, number)),
            limits,
            class: class.clone(),
            body: self.files.create(&layout::body(number))?,
            rows: self
                .files
                .create_within(&layout::rows(number), TABLE_BUFFER)?,
            echo: self
                .files
                .create_within(&layout::echo(number), TABLE_BUFFER)?,
            count: 0,
            tokens: 0,
            first: 0,
            last: 0,
        });
        Ok(self.open.len() - 1)
    }

    /// Returns the highest request count within limits that no other shard has; `None` where counts
    /// may be equal.
    fn free_count(&self, limits: &Limits) -> Option<u32> {
        let taken = self.taken.as_ref()?;
        let is_open = |count| {
            let mut open = self.open.iter();
            open.any(|open| open.limits.max_requests == count)
        };
        let least = limits.min_requests.max(1);
        let mut counts = (least..=limits.max_requests).rev();
        counts.find(|count| !taken.contains(count) && !is_open(*count))
    }

    fn close(&mut self, mut open: Open) -> Result<()> {
        if open.count < open.limits.min_requests {
            let message = format!(
                "a batch of {} needs at least {}, and this one would have {}",
                self.codec.id(),
                counted::requests(open.limits.min_requests),
                open.count
            );
            return Err(Error::new(ErrorKind::InvalidInput).with_message(message));
        }
        if let Some(taken) = &mut self.taken {
            taken.insert(open.count);
        }
        for file in [&mut open.body, &mut open.rows, &mut open.echo] {
            file.sync().map_err(spooled)?;
        }
        let stored = |name: String, writer: &Writer| StoredTable {
            name: self.files.name(&name).into(),
            bytes: writer.written,
            checksum: writer.checksum(),
        };
        self.closed.push(WrittenShard {
            number: open.number,
            class: open.class,
            count: open.count,
            bytes: open.body.written,
            checksum: Some(open.body.checksum()),
            tables: ShardTables {
                rows: stored(layout::rows(open.number), &open.rows),
                request_data: stored(layout::echo(open.number), &open.echo),
                first: open.first,
                last: open.last,
                unordered: false,
            },
        });
        Ok(())
    }

    /// Closes the open shards and returns all shards by number, each complete and synced.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] where a shard has fewer requests than a batch needs.
    pub(crate) fn finish(mut self) -> Result<Vec<WrittenShard>> {
        for open in std::mem::take(&mut self.open) {
            self.close(open)?;
        }
        self.closed.sort_by_key(|shard| shard.number);
        Ok(self.closed)
    }
}

impl Open {
    fn has_room(&self, row: usize) -> bool {
        let frame = &self.frame;
        let around = frame.prefix.len() + frame.separator.len() + frame.suffix.len();
        let bytes = self.body.written + (around + row) as u64;
        let tokens = self.tokens + estimated_tokens(row);
        let most = self.limits.enqueued_tokens;
        self.count < self.limits.max_requests
            && bytes <= self.limits.max_bytes
            && most.is_none_or(|most| tokens <= most)
    }
}

/// Returns the estimated number of tokens of a request: one for three bytes as sent. Text has about
/// four bytes to a token, so that three leave a margin for languages that have fewer.
pub(crate) fn estimated_tokens(bytes: usize) -> u64 {
    (bytes as u64).div_ceil(3)
}
