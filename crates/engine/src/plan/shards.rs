//! The one writer of shards: for a plan, for requests that go out again, and for a changed input.
//!
//! Of each shard three files are written, in the order of its requests: the body, the table of its rows, and what
//! goes back to the caller beside each outcome. A shard that sends a request again has its own copy of that, so
//! that the files of one shard are all that its results need.

use std::collections::HashSet;
use std::io::Write as _;

use lmbatch_core::{
    BatchClass, BatchCodec, CreateProof, Error, ErrorKind, Frame, Limits, Nonce, Result,
    ShardRecord, ShardState, ShardTables, StoredTable,
};

use crate::plan::ids::label;
use crate::policy::BatchLimit;
use crate::spool::layout;
use crate::spool::tables::{EchoFields, Row, Writer, write_echo};
use crate::spool::{Files, spooled};

/// Bytes that are buffered of each table of an open shard.
const TABLE_BUFFER: usize = 64 << 10;

/// A shard as it lies in the spool, complete and synced.
#[derive(Debug)]
pub(crate) struct WrittenShard {
    pub(crate) number: u32,
    pub(crate) class: BatchClass,
    pub(crate) count: u32,
    pub(crate) bytes: u64,
    /// CRC-32 of the body; `None` in records of earlier versions.
    pub(crate) checksum: Option<u32>,
    pub(crate) tables: ShardTables,
}

/// Writes requests into shards: one shard of each class is open at a time.
pub(crate) struct ShardWriter<'a> {
    codec: &'a dyn BatchCodec,
    limit: BatchLimit,
    nonce: &'a Nonce,
    files: &'a Files,
    /// Number of the next shard.
    next: u32,
    /// Numbers of requests that no new shard gets if it can be avoided; `None` where a lost create is known
    /// by more than its number of requests.
    taken: Option<HashSet<u32>>,
    open: Vec<Open>,
    closed: Vec<WrittenShard>,
}

/// A shard that takes more.
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
    /// Returns a writer of shards that are numbered from `next`, of a run whose other shards are `others`.
    ///
    /// Where a lost create is known by its number of requests only, the shards differ in it from one another, and
    /// from those of the others whose batches are not known, as far as limits allow.
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
            other.state.batch().is_none() && !is_cancelled
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

    /// Appends the row of a request, with what goes back beside its outcome.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] where a shard that is full has fewer requests than a batch needs;
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
                .with_message("requests came to a shard in another order than that of the run"));
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

    /// Returns the open shard of a class with room for a row; one that is full is closed.
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

    /// Returns the highest number of requests within limits that no other shard has, where that matters.
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
                "{} requests are fewer than a batch of {} needs ({})",
                open.count,
                self.codec.id(),
                open.limits.min_requests
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
                echo: stored(layout::echo(open.number), &open.echo),
                first: open.first,
                last: open.last,
                unordered: false,
            },
        });
        Ok(())
    }

    /// Closes what is open, and returns all shards by number, each complete and synced.
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

/// Returns a request's tokens, guessed from its bytes as sent: text has some four to a token, so that three leave
/// a margin for languages that have fewer.
pub(crate) fn estimated_tokens(bytes: usize) -> u64 {
    (bytes as u64).div_ceil(3)
}
