//! Rows that were encoded before go into new shards: after a try that left them unanswered, or beside a
//! changed input.

use std::io::Write as _;

use lmbatch_core::{BatchClass, BatchCodec, Nonce, Result};

use crate::plan::encode::estimated_tokens;
use crate::plan::ids::label;
use crate::plan::planned::{PlannedShard, planned};
use crate::policy::BatchLimit;
use crate::spool::layout::body;
use crate::spool::tables::{Sent, Writer};
use crate::spool::{Files, spooled};

/// Shards of a run that are being filled.
pub(crate) struct Refill<'a> {
    codec: &'a dyn BatchCodec,
    limit: BatchLimit,
    nonce: &'a Nonce,
    files: &'a Files,
    attempt: u32,
    next: u32,
    open: Vec<Filling>,
    full: Vec<Filling>,
}

struct Filling {
    number: u32,
    class: BatchClass,
    around: u64,
    separator: bytes::Bytes,
    body: Writer,
    count: u32,
    tokens: u64,
}

impl<'a> Refill<'a> {
    /// Into shards that are numbered from `next`.
    pub(crate) fn new(
        codec: &'a dyn BatchCodec,
        limit: BatchLimit,
        nonce: &'a Nonce,
        files: &'a Files,
        attempt: u32,
        next: usize,
    ) -> Self {
        Self {
            codec,
            limit,
            nonce,
            files,
            attempt,
            next: next as u32,
            open: Vec::new(),
            full: Vec::new(),
        }
    }

    /// Appends a row, and says where it lies now.
    pub(crate) fn put(&mut self, class: &BatchClass, row: &[u8]) -> Result<Sent> {
        let at = self.room(class, row.len() as u64)?;
        let filling = &mut self.open[at];
        if filling.count > 0 {
            filling
                .body
                .write_all(&filling.separator)
                .map_err(spooled)?;
        }
        let sent = Sent {
            shard: filling.number,
            place: filling.count,
            length: row.len() as u32,
            offset: filling.body.written,
        };
        filling.body.write_all(row).map_err(spooled)?;
        filling.count += 1;
        filling.tokens += estimated_tokens(row.len());
        Ok(sent)
    }

    fn room(&mut self, class: &BatchClass, bytes: u64) -> Result<usize> {
        if let Some(at) = self.open.iter().position(|filling| filling.class == *class) {
            let limits = self.limit.apply(self.codec.limits(class));
            let filling = &self.open[at];
            let tokens = filling.tokens + estimated_tokens(bytes as usize);
            if filling.count < limits.max_requests
                && filling.body.written + filling.around + bytes <= limits.max_bytes
                && limits.enqueued_tokens.is_none_or(|most| tokens <= most)
            {
                return Ok(at);
            }
            self.full.push(self.open.remove(at));
        }
        let number = self.next;
        self.next += 1;
        let frame = self.codec.frame(class, &label(self.nonce, number));
        self.open.push(Filling {
            number,
            class: class.clone(),
            around: (frame.prefix.len() + frame.separator.len() + frame.suffix.len()) as u64,
            separator: frame.separator,
            body: self.files.create(&body(number))?,
            count: 0,
            tokens: 0,
        });
        Ok(self.open.len() - 1)
    }

    /// Everything synced, by number.
    pub(crate) fn finish(mut self) -> Result<Vec<PlannedShard>> {
        self.full.append(&mut self.open);
        self.full.sort_by_key(|filling| filling.number);
        let mut shards = Vec::with_capacity(self.full.len());
        for mut filling in self.full {
            filling.body.sync().map_err(spooled)?;
            shards.push(planned(
                self.codec,
                self.files,
                self.nonce,
                filling.number,
                filling.class,
                filling.count,
                filling.body.written,
                Some(filling.body.checksum()),
                self.attempt,
            )?);
        }
        Ok(shards)
    }
}
