//! Settlement: the cost of a batch by the usage of its answers.

use std::time::SystemTime;

use lmbatch_core::{
    BatchSnapshot, BatchStatus, Cost, ErrorKind, OutcomeView, Result, RowReader, Segment,
};

use crate::plan::largest::Largest;
use crate::plan::planned::PlannedShard;
use crate::results::bits::Bits;
use crate::results::delivered::has_counts;
use crate::results::id_map::IdMap;
use crate::results::row_cutter::cut_segment;
use crate::results::scan::{Line, scan};

/// Returns the time for which the prices of a batch are looked up: that of its create, where the
/// provider gives it.
pub(crate) fn priced_at(snapshot: &BatchSnapshot, now: SystemTime) -> SystemTime {
    snapshot.created_at.or(snapshot.ended_at).unwrap_or(now)
}

/// Results of a batch that has ended.
pub(crate) struct EndedBatch<'a> {
    pub(crate) planned: &'a PlannedShard,
    pub(crate) snapshot: &'a BatchSnapshot,
    pub(crate) segments: &'a [Segment],
    /// Number of requests that may have been answered, but have no outcome in any row.
    pub(crate) undelivered: u64,
    pub(crate) id_map: IdMap,
    pub(crate) max_row_bytes: usize,
}

/// Requests of a batch by what their rows say about their cost.
#[derive(Default)]
struct Rows {
    /// Requests with an answer of known cost.
    priced: Bits,
    /// Requests with an answer of unknown cost, readable or not.
    unpriced: Bits,
    /// Requests that failed.
    errored: Bits,
    errors: u64,
    /// Requests that were not processed, because the batch expired or was cancelled.
    unprocessed: Bits,
}

impl EndedBatch<'_> {
    /// Returns the cost of the batch: that of each answer whose cost is known, and the largest cost
    /// of every request that may have been billed otherwise. Several rows of one request are billed
    /// once. Reads files: not for an async thread.
    ///
    /// # Errors
    /// Those of [`Largest::cost`], where a request without known cost has no bound.
    pub(crate) fn settle(mut self, largest: &Largest<'_>) -> Result<Cost> {
        let at = priced_at(self.snapshot, largest.now);
        let model = self.planned.shard.class.model.clone();
        let (mut found, mut sum) = (Rows::default(), Cost::ZERO);
        let mut reader = RowReader::new();
        for segment in self.segments {
            cut_segment(largest.files, segment, self.max_row_bytes, |row, _| {
                let mut lines: Vec<&[u8]> = row.into_iter().collect();
                while let Some(line) = lines.pop() {
                    let (row, scanned) = match scan(largest.codec, &segment.part, line, &mut reader)
                    {
                        Line::Row(row, scanned) => (row, scanned),
                        Line::Rows(pieces) => {
                            lines.extend(pieces.into_iter().rev().map(|piece| &line[piece]));
                            continue;
                        }
                        Line::Unreadable => continue,
                    };
                    let at_position = match scanned.id {
                        Some(id) => self.id_map.ordinal(&id.decode())?,
                        None => None,
                    };
                    let Some(position) = at_position else {
                        continue;
                    };
                    let decoded = largest.codec.decode(&segment.part, row);
                    match decoded.map(|row| row.outcome) {
                        Ok(OutcomeView::Succeeded(output)) => {
                            match largest.pricer.answer(&output, model.as_deref(), at) {
                                Some(cost) if found.priced.set(position) => {
                                    sum = sum.saturating_add(cost.charged.high);
                                }
                                Some(_) => {}
                                None => drop(found.unpriced.set(position)),
                            }
                        }
                        Ok(OutcomeView::Errored(failure))
                            if failure.kind != ErrorKind::MalformedAnswer =>
                        {
                            found.errors += u64::from(found.errored.set(position));
                        }
                        Ok(OutcomeView::Expired | OutcomeView::Cancelled) => {
                            found.unprocessed.set(position);
                        }
                        _ => drop(found.unpriced.set(position)),
                    }
                }
                Ok(())
            })?;
        }
        if (0..self.planned.shard.count).all(|position| found.priced.get(position)) {
            return Ok(sum);
        }
        let rest = largest.cost(self.planned, |position, _| {
            self.keeps_bound(&found, position)
        })?;
        Ok(sum.saturating_add(rest))
    }

    /// Returns whether a request may have been billed although no row gives its cost.
    fn keeps_bound(&self, found: &Rows, position: u32) -> bool {
        let has_counts = has_counts(self.snapshot);
        if found.priced.get(position) {
            return false;
        }
        if found.unpriced.get(position) {
            return true;
        }
        if found.errored.get(position) {
            // Some providers count a request as answered whose row says that it failed.
            return !has_counts || found.errors > self.snapshot.counts.errored;
        }
        if found.unprocessed.get(position) {
            return false;
        }
        // A request without a row.
        match self.snapshot.status {
            // The provider refused the batch as a whole.
            BatchStatus::Failed => false,
            _ => !has_counts || self.undelivered > 0,
        }
    }
}
