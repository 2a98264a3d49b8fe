//! Largest cost of the requests of a shard, from its encoded rows.

use std::time::SystemTime;

use lmbatch_core::{BatchClass, BatchCodec, Cost, Error, Result};

use crate::cost::Pricer;
use crate::plan::planned::PlannedShard;
use crate::spool::tables::{ROW, Reader, Row};
use crate::spool::{Files, layout, spooled};

/// Parts that are needed to bound the cost of requests.
pub(crate) struct Largest<'a> {
    pub(crate) codec: &'a dyn BatchCodec,
    pub(crate) pricer: &'a Pricer,
    pub(crate) expected_output: Option<u64>,
    pub(crate) now: SystemTime,
    pub(crate) files: &'a Files,
    /// Files of the tables of the shards.
    pub(crate) tables: &'a Files,
}

impl Largest<'_> {
    /// Returns the largest cost of the requests of a shard that `counts` selects by their positions and ordinals.
    /// Each request is bounded by itself, since long requests cost more for each token. Reads
    /// files: not for an async thread.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](lmbatch_core::ErrorKind::InvalidInput), naming the first request
    /// that has no bound, and [`ErrorKind::Local`](lmbatch_core::ErrorKind::Local).
    pub(crate) fn cost(
        &self,
        planned: &PlannedShard,
        mut counts: impl FnMut(u32, u32) -> bool,
    ) -> Result<Cost> {
        let (class, count) = (&planned.shard.class, planned.shard.count);
        let mut rows = Reader::new(self.tables.open_whole(&planned.tables.rows)?);
        let mut bodies = Reader::new(self.files.open(&layout::body(planned.number))?);
        let (mut entry, mut body, mut sum) = ([0; ROW], Vec::new(), Cost::ZERO);
        for position in 0..count {
            rows.read_exact(&mut entry).map_err(spooled)?;
            let row = Row::from_bytes(&entry);
            if !counts(position, row.ordinal) {
                continue;
            }
            bodies.seek(row.offset);
            bodies
                .read_into(&mut body, row.length as usize)
                .map_err(spooled)?;
            let each = EachLargest {
                codec: self.codec,
                pricer: self.pricer,
                expected_output: self.expected_output,
                now: self.now,
            };
            sum = sum.saturating_add(each.cost(class, &body, u64::from(row.ordinal) + 1)?);
        }
        Ok(sum)
    }
}

/// Parts that are needed to bound the cost of one encoded request.
pub(crate) struct EachLargest<'a> {
    pub(crate) codec: &'a dyn BatchCodec,
    pub(crate) pricer: &'a Pricer,
    pub(crate) expected_output: Option<u64>,
    pub(crate) now: SystemTime,
}

impl EachLargest<'_> {
    /// Returns the largest cost of a request with a number, from 1.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](lmbatch_core::ErrorKind::InvalidInput), naming the request, where it has no bound.
    pub(crate) fn cost(&self, class: &BatchClass, body: &[u8], number: u64) -> Result<Cost> {
        let bounds = self.codec.token_bounds(class, body);
        let model = class.model.as_deref();
        let largest = self
            .pricer
            .largest(&bounds, model, self.now, self.expected_output);
        largest.map_err(|why| {
            Error::invalid_input(format!(
                "the cost limit needs the largest cost of each request, but request {number} {why}"
            ))
        })
    }
}
