//! Merges the tables of the shards of a run by ordinal: the requests in the order of the input.
//!
//! Shards whose ordinals do not overlap form a chain and are read one after the other, so that only
//! one shard of each chain is open at a time. A run has as many chains as it has classes and
//! attempts whose requests interleave, for any number of shards. All read-ahead buffers together
//! take 8 MiB. A folder keeps a constant number of files open for all of them together.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use lmbatch_core::{Error, ErrorKind, Locations, Result, ShardTables, Verdict};

use crate::plan::planned::PlannedShard;
use crate::results::tally::Tally;
use crate::spool::tables::{ENTRY, Echo, ROW, Reader, Row, RowLocation};
use crate::spool::window::Window;
use crate::spool::{Files, spooled};

/// Size of the read-ahead buffers of all shards together, in bytes.
const AHEAD: usize = 8 << 20;

/// Most bytes that are read ahead from one echo.
const ECHO_AHEAD: usize = 64 << 10;

/// Shard that is merged with other shards of its run.
#[derive(Debug, Clone)]
pub(crate) struct Layer {
    /// Number of the shard in the run.
    pub(crate) shard: u32,
    pub(crate) attempt: u32,
    /// True if the requests of the shard continue the conversations of earlier answers.
    pub(crate) repair: bool,
    pub(crate) count: u32,
    pub(crate) tables: ShardTables,
    /// Location table of the shard's rows; `None` where its results are not sealed or have no rows.
    pub(crate) locations: Option<Locations>,
    /// Number of the shard's first segment among the segments of all layers.
    pub(crate) first_segment: u32,
}

impl Layer {
    /// Returns the layer of a shard without its results.
    pub(crate) fn of(planned: &PlannedShard) -> Self {
        Self {
            shard: planned.number,
            attempt: planned.attempt,
            repair: planned.repair,
            count: planned.shard.count,
            tables: planned.tables.clone(),
            locations: None,
            first_segment: 0,
        }
    }
}

/// Shards of a run, with the files that hold their tables.
#[derive(Debug)]
pub(crate) struct Layers {
    /// Files of the results.
    pub(crate) files: Arc<Files>,
    /// Files of the tables of rows and of the echoes.
    pub(crate) tables: Arc<Files>,
    pub(crate) all: Vec<Layer>,
}

/// Request of a run: its outcome so far, and where it was sent last.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Merged {
    pub(crate) ordinal: u32,
    /// Location of the outcome, with the segment counted over all layers; [`RowLocation::NONE`] where no
    /// row names the request.
    pub(crate) outcome: RowLocation,
    /// Layer of the outcome, and the position of the request in its shard.
    pub(crate) outcome_of: Option<(usize, u32)>,
    /// Row of the request that the outcome answers, in the body of its shard.
    pub(crate) outcome_row: Row,
    /// Attempt that gave the outcome.
    outcome_attempt: u32,
    /// Shard and row of the request as the caller has it, without the turns that repairs add.
    pub(crate) original: (u32, Row),
    /// Number of repairs of the request since it was last sent as the caller has it, and since the attempt from which
    /// [`Merge::counting_repairs_from`] counts.
    pub(crate) repairs: u32,
    /// Layer of the shard in which the request was sent last.
    pub(crate) layer: usize,
    /// Number of the shard in which the request was sent last.
    pub(crate) shard: u32,
    /// Position in that shard, from 0. Providers name a bad request by it.
    pub(crate) at: u32,
    /// Row of the request in the body of that shard.
    pub(crate) row: Row,
}

impl Merged {
    /// Returns the verdict of one attempt at the request; 0 where no row of that attempt names it.
    /// A successful answer of an earlier attempt remains the verdict.
    pub(crate) fn verdict(&self, attempt: u32) -> u8 {
        let verdict = self.outcome.verdict();
        let is_last = self.outcome.is_none()
            || verdict == Verdict::Succeeded as u8
            || self.outcome_attempt == attempt;
        if is_last { verdict } else { 0 }
    }
}

/// Shards whose ordinals do not overlap, in ascending order.
#[derive(Debug)]
struct Chain {
    rest: std::vec::IntoIter<usize>,
    cursor: Option<Cursor>,
}

/// Read position in one shard.
#[derive(Debug)]
struct Cursor {
    layer: usize,
    rows: Window<ROW>,
    locations: Option<Window<ENTRY>>,
    echo: Option<Reader>,
    /// Positions by ordinal, where the ordinals do not ascend in the order of the body.
    order: Option<Vec<u32>>,
    /// Number of requests of the shard that were read.
    next: u32,
    count: u32,
    /// Current request: its position and its row.
    now: (u32, Row),
}

/// Reads the requests of shards by ascending ordinal, each once.
#[derive(Debug)]
pub(crate) struct Merge {
    layers: Arc<Layers>,
    chains: Vec<Chain>,
    /// Ordinal, attempt and shard at which each chain is, lowest first.
    heap: BinaryHeap<Reverse<(u32, u32, u32, usize)>>,
    /// Chains that are at the request returned last, by attempt.
    given: Vec<usize>,
    /// First attempt whose repairs are counted.
    repairs_from: u32,
}

impl Merge {
    /// Returns a merge that has read nothing yet.
    pub(crate) fn new(layers: Arc<Layers>) -> Self {
        let chains = chains(&layers.all);
        Self {
            heap: BinaryHeap::with_capacity(chains.len()),
            given: (0..chains.len()).collect(),
            repairs_from: 0,
            chains: chains
                .into_iter()
                .map(|chain| Chain {
                    rest: chain.into_iter(),
                    cursor: None,
                })
                .collect(),
            layers,
        }
    }

    /// Counts the repairs of each request from an attempt on; by default from the first.
    pub(crate) fn counting_repairs_from(self, attempt: u32) -> Self {
        Self {
            repairs_from: attempt,
            ..self
        }
    }

    /// Returns the next request; `None` after the last.
    ///
    /// # Errors
    /// [`ErrorKind::Local`] where a table is missing or damaged.
    pub(crate) fn next(&mut self) -> Result<Option<Merged>> {
        let entries = AHEAD / self.chains.len().max(1) / (ROW + ENTRY);
        let entries = entries.clamp(64, 4096);
        // A single chain needs no merging.
        if let [chain] = &mut *self.chains {
            let mut merged = None;
            if chain.advance(&self.layers, entries)?.is_some() {
                let cursor = chain.cursor.as_mut().ok_or_else(lost)?;
                cursor.lay_over(&mut merged, &self.layers, self.repairs_from)?;
            }
            return Ok(merged);
        }
        while let Some(at) = self.given.pop() {
            let reached = self.chains[at].advance(&self.layers, entries)?;
            if let Some((ordinal, attempt, shard)) = reached {
                self.heap.push(Reverse((ordinal, attempt, shard, at)));
            }
        }
        let Some(Reverse((ordinal, ..))) = self.heap.peek().copied() else {
            return Ok(None);
        };
        let mut merged = None;
        while let Some(Reverse((same, _, _, chain))) = self.heap.peek().copied()
            && same == ordinal
        {
            self.heap.pop();
            self.given.push(chain);
            let cursor = self.chains[chain].cursor.as_mut().ok_or_else(lost)?;
            cursor.lay_over(&mut merged, &self.layers, self.repairs_from)?;
        }
        Ok(merged)
    }

    /// Reads the echo of the request that was returned last.
    pub(crate) fn echo(&mut self, echo: &mut Echo) -> Result<()> {
        let ahead = (AHEAD / self.chains.len().max(1)).clamp(4 << 10, ECHO_AHEAD);
        let chain = *self.given.last().ok_or_else(lost)?;
        let cursor = self.chains[chain].cursor.as_mut().ok_or_else(lost)?;
        let reader = match &mut cursor.echo {
            Some(reader) => reader,
            None => {
                let table = &self.layers.all[cursor.layer].tables.request_data;
                let file = self.layers.tables.open_whole(table)?;
                cursor.echo.insert(Reader::ahead(file, ahead))
            }
        };
        reader.seek(cursor.now.1.echo);
        echo.read(reader).map_err(spooled)
    }
}

impl Chain {
    /// Advances to the next request of the chain and returns its ordinal, its attempt and its
    /// shard; `None` after the last.
    fn advance(&mut self, layers: &Layers, entries: usize) -> Result<Option<(u32, u32, u32)>> {
        loop {
            if let Some(cursor) = &mut self.cursor
                && let Some(row) = cursor.step()?
            {
                let layer = &layers.all[cursor.layer];
                return Ok(Some((row.ordinal, layer.attempt, layer.shard)));
            }
            self.cursor = None;
            let Some(layer) = self.rest.next() else {
                return Ok(None);
            };
            self.cursor = Some(Cursor::open(layers, layer, entries)?);
        }
    }
}

impl Cursor {
    fn open(layers: &Layers, layer: usize, entries: usize) -> Result<Self> {
        let of = &layers.all[layer];
        let file = layers.tables.open_whole(&of.tables.rows)?;
        if of.tables.rows.bytes != u64::from(of.count) * ROW as u64 {
            return Err(lost());
        }
        let mut rows = Window::new(file, of.count, entries);
        let order = match of.tables.unordered {
            true => Some(positions_by_ordinal(&mut rows, of.count)?),
            false => None,
        };
        let locations = match &of.locations {
            Some(locations) => {
                let file = layers.files.open_named(&locations.name)?;
                let bytes = file.size().map_err(spooled)?;
                let entries_there = bytes.saturating_sub(Tally::BYTES as u64) / ENTRY as u64;
                Some(Window::new(file, entries_there as u32, entries))
            }
            None => None,
        };
        Ok(Self {
            layer,
            rows,
            locations,
            echo: None,
            order,
            next: 0,
            count: of.count,
            now: (0, Row::default()),
        })
    }

    /// Advances to the next request of the shard; `None` after the last.
    fn step(&mut self) -> Result<Option<Row>> {
        if self.next == self.count {
            return Ok(None);
        }
        let at = match &self.order {
            Some(order) => order[self.next as usize],
            None => self.next,
        };
        let entry = self.rows.get(at).map_err(spooled)?;
        let row = entry.map(Row::from_bytes).ok_or_else(lost)?;
        let (is_first, before) = (self.next == 0, self.now.1.ordinal);
        if !is_first && row.ordinal <= before {
            return Err(lost());
        }
        self.now = (at, row);
        self.next += 1;
        Ok(Some(row))
    }

    /// Adds the current attempt to the request, which already holds the earlier attempts.
    fn lay_over(
        &mut self,
        merged: &mut Option<Merged>,
        layers: &Layers,
        repairs_from: u32,
    ) -> Result<()> {
        let (at, row) = self.now;
        let layer = &layers.all[self.layer];
        let location = self.location()?;
        let merged = merged.get_or_insert(Merged {
            ordinal: row.ordinal,
            outcome: RowLocation::NONE,
            outcome_of: None,
            outcome_row: row,
            outcome_attempt: 0,
            original: (layer.shard, row),
            repairs: 0,
            layer: self.layer,
            shard: layer.shard,
            at,
            row,
        });
        (merged.layer, merged.shard) = (self.layer, layer.shard);
        (merged.at, merged.row) = (at, row);
        match layer.repair {
            true => merged.repairs += u32::from(layer.attempt >= repairs_from),
            false => (merged.original, merged.repairs) = ((layer.shard, row), 0),
        }
        if !location.is_none() && merged.outcome.gives_way(location) {
            merged.outcome = location.moved(layer.first_segment);
            merged.outcome_of = Some((self.layer, at));
            merged.outcome_row = row;
            merged.outcome_attempt = layer.attempt;
        }
        Ok(())
    }

    /// Returns the location of the outcome of the current request.
    fn location(&mut self) -> Result<RowLocation> {
        let Some(locations) = &mut self.locations else {
            return Ok(RowLocation::NONE);
        };
        let entry = locations.get(self.now.0).map_err(spooled)?;
        Ok(entry.map_or(RowLocation::NONE, RowLocation::from_bytes))
    }
}

/// Returns the positions of a shard by ascending ordinal. A shard of a converted run may hold
/// requests in another order; 8 bytes for each request are then held while the shard is read.
fn positions_by_ordinal(rows: &mut Window<ROW>, count: u32) -> Result<Vec<u32>> {
    let mut all = Vec::with_capacity(count as usize);
    for at in 0..count {
        let entry = rows.get(at).map_err(spooled)?.ok_or_else(lost)?;
        all.push((Row::from_bytes(entry).ordinal, at));
    }
    all.sort_unstable();
    Ok(all.into_iter().map(|(_, at)| at).collect())
}

/// Puts shards into as few chains as their ordinals allow.
fn chains(layers: &[Layer]) -> Vec<Vec<usize>> {
    let mut by_first: Vec<usize> = (0..layers.len()).collect();
    by_first.sort_by_key(|at| (layers[*at].tables.first, layers[*at].shard));
    let mut chains: Vec<Vec<usize>> = Vec::new();
    // Last ordinal of each chain, lowest first.
    let mut ends: BinaryHeap<Reverse<(u32, usize)>> = BinaryHeap::new();
    for at in by_first {
        let tables = &layers[at].tables;
        let chain = match ends.peek() {
            Some(Reverse((end, chain))) if *end < tables.first => {
                let chain = *chain;
                ends.pop();
                chain
            }
            _ => {
                chains.push(Vec::new());
                chains.len() - 1
            }
        };
        chains[chain].push(at);
        ends.push(Reverse((tables.last, chain)));
    }
    chains
}

fn lost() -> Error {
    Error::new(ErrorKind::Internal)
        .with_message("the spool does not hold the data that was written to it")
}

#[cfg(test)]
mod tests {
    use lmbatch_core::StoredTable;

    use super::*;

    fn layer(shard: u32, first: u32, last: u32) -> Layer {
        let table = StoredTable {
            name: "t".into(),
            bytes: 0,
            checksum: 0,
        };
        Layer {
            shard,
            attempt: 0,
            repair: false,
            count: last - first + 1,
            tables: ShardTables {
                rows: table.clone(),
                echo: table,
                first,
                last,
                unordered: false,
            },
            locations: None,
            first_segment: 0,
        }
    }

    #[test]
    fn shards_whose_ordinals_do_not_overlap_are_one_chain() {
        for (spans, expected) in [
            (&[][..], vec![]),
            (&[(0, 9), (10, 19), (20, 29)], vec![vec![0, 1, 2]]),
            // The numbers of the shards do not matter.
            (&[(20, 29), (0, 9), (10, 19)], vec![vec![1, 2, 0]]),
            // Two classes alternate; one of them ends before the last shard of the other begins.
            (
                &[(0, 8), (1, 9), (10, 20), (11, 13), (14, 30), (21, 22)],
                vec![vec![0, 2, 5], vec![1, 3, 4]],
            ),
            // A later attempt at some of the first requests.
            (&[(0, 99), (3, 50), (60, 60)], vec![vec![0], vec![1, 2]]),
            (&[(5, 5), (5, 5), (5, 5)], vec![vec![0], vec![1], vec![2]]),
        ] {
            let layers: Vec<Layer> = (0..)
                .zip(spans)
                .map(|(shard, (first, last))| layer(shard, *first, *last))
                .collect();
            assert_eq!(chains(&layers), expected, "{spans:?}");
        }
        let many: Vec<Layer> = (0..10_000).map(|n| layer(n, n * 10, n * 10 + 9)).collect();
        assert_eq!(chains(&many).len(), 1);
    }
}
