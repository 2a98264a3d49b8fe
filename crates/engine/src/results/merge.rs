//! The requests of a run in the order of the input: the tables of its shards, merged by ordinal.
//!
//! Shards whose ordinals do not overlap form a chain and are read one after the other, so that one shard of each
//! chain is being read at a time: as many as a run has classes and attempts whose requests interleave, however
//! many shards there are. What is read ahead has 8 MiB in all. A folder keeps a few files open for all of them
//! together, whatever their number.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use lmbatch_core::{Error, ErrorKind, Locations, Result, ShardTables, Verdict};

use crate::plan::planned::PlannedShard;
use crate::results::tally::Tally;
use crate::spool::tables::{ENTRY, Echo, Place, ROW, Reader, Row};
use crate::spool::window::Window;
use crate::spool::{Files, spooled};

/// Bytes that are read ahead of all shards together.
const AHEAD: usize = 8 << 20;

/// Most bytes that are read ahead of one echo.
const ECHO_AHEAD: usize = 64 << 10;

/// One shard as it is merged with others.
#[derive(Debug, Clone)]
pub(crate) struct Layer {
    /// Number of the shard in the run.
    pub(crate) shard: u32,
    pub(crate) attempt: u32,
    pub(crate) count: u32,
    pub(crate) tables: ShardTables,
    /// Table of the places of its rows in the results, where they are sealed and there are any.
    pub(crate) locations: Option<Locations>,
    /// Number of its first segment among the segments of all layers.
    pub(crate) first_segment: u32,
}

impl Layer {
    /// Returns the layer of a shard without its results.
    pub(crate) fn of(planned: &PlannedShard) -> Self {
        Self {
            shard: planned.number,
            attempt: planned.attempt,
            count: planned.shard.count,
            tables: planned.tables.clone(),
            locations: None,
            first_segment: 0,
        }
    }
}

/// The shards of a run, with the files that their tables lie in.
#[derive(Debug)]
pub(crate) struct Layers {
    /// Files of the results.
    pub(crate) files: Arc<Files>,
    /// Files of the tables of rows and of the echoes.
    pub(crate) tables: Arc<Files>,
    pub(crate) all: Vec<Layer>,
}

/// One request of a run: its outcome so far, and where it was sent last.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Merged {
    pub(crate) ordinal: u32,
    /// Place of its outcome, with the segment counted over all layers; none where no row names it.
    pub(crate) outcome: Place,
    /// Layer and place in its shard that the outcome is of.
    pub(crate) outcome_of: Option<(usize, u32)>,
    /// Attempt that the outcome is of.
    outcome_attempt: u32,
    /// Layer of the shard that it was sent in last.
    pub(crate) layer: usize,
    /// Number of that shard.
    pub(crate) shard: u32,
    /// Place in that shard, from 0: providers name a bad request by it.
    pub(crate) at: u32,
    /// Row in the body of that shard.
    pub(crate) row: Row,
}

impl Merged {
    /// Returns the verdict of one attempt at the request; 0 where no row of that attempt names it. An answer of
    /// an earlier attempt stays one.
    pub(crate) fn verdict(&self, attempt: u32) -> u8 {
        let verdict = self.outcome.verdict();
        let is_last = self.outcome.is_none()
            || verdict == Verdict::Succeeded as u8
            || self.outcome_attempt == attempt;
        if is_last { verdict } else { 0 }
    }
}

/// Shards whose ordinals do not overlap, in their order.
#[derive(Debug)]
struct Chain {
    left: std::vec::IntoIter<usize>,
    cursor: Option<Cursor>,
}

/// A shard that is being read.
#[derive(Debug)]
struct Cursor {
    layer: usize,
    rows: Window<ROW>,
    locations: Option<Window<ENTRY>>,
    echo: Option<Reader>,
    /// Places by ordinal, where the ordinals do not ascend in the order of the body.
    order: Option<Vec<u32>>,
    /// Number of requests that were read of it.
    next: u32,
    count: u32,
    /// The request that it stands at: its place and its row.
    now: (u32, Row),
}

/// Reads the requests of shards by ascending ordinal, each once.
#[derive(Debug)]
pub(crate) struct Merge {
    layers: Arc<Layers>,
    chains: Vec<Chain>,
    /// Ordinal, attempt and shard that each chain stands at, least first.
    heap: BinaryHeap<Reverse<(u32, u32, u32, usize)>>,
    /// Chains that stand at the request that was given last, by attempt.
    given: Vec<usize>,
}

impl Merge {
    /// Reads nothing yet.
    pub(crate) fn new(layers: Arc<Layers>) -> Self {
        let chains = chains(&layers.all);
        Self {
            heap: BinaryHeap::with_capacity(chains.len()),
            given: (0..chains.len()).collect(),
            chains: chains
                .into_iter()
                .map(|chain| Chain {
                    left: chain.into_iter(),
                    cursor: None,
                })
                .collect(),
            layers,
        }
    }

    /// Returns the next request; `None` after the last.
    ///
    /// # Errors
    /// [`ErrorKind::Local`] where a table is missing or damaged.
    pub(crate) fn next(&mut self) -> Result<Option<Merged>> {
        let entries = AHEAD / self.chains.len().max(1) / (ROW + ENTRY);
        let entries = entries.clamp(64, 4096);
        // Of one chain there is nothing to merge.
        if let [chain] = &mut *self.chains {
            let mut merged = None;
            if chain.advance(&self.layers, entries)?.is_some() {
                let cursor = chain.cursor.as_mut().ok_or_else(lost)?;
                cursor.lay_over(&mut merged, &self.layers)?;
            }
            return Ok(merged);
        }
        while let Some(at) = self.given.pop() {
            let stands = self.chains[at].advance(&self.layers, entries)?;
            if let Some((ordinal, attempt, shard)) = stands {
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
            cursor.lay_over(&mut merged, &self.layers)?;
        }
        Ok(merged)
    }

    /// Reads what goes back to the caller beside the outcome of the request that was given last.
    pub(crate) fn echo(&mut self, echo: &mut Echo) -> Result<()> {
        let ahead = (AHEAD / self.chains.len().max(1)).clamp(4 << 10, ECHO_AHEAD);
        let chain = *self.given.last().ok_or_else(lost)?;
        let cursor = self.chains[chain].cursor.as_mut().ok_or_else(lost)?;
        let reader = match &mut cursor.echo {
            Some(reader) => reader,
            None => {
                let table = &self.layers.all[cursor.layer].tables.echo;
                let file = self.layers.tables.open_whole(table)?;
                cursor.echo.insert(Reader::ahead(file, ahead))
            }
        };
        reader.seek(cursor.now.1.echo);
        echo.read(reader).map_err(spooled)
    }
}

impl Chain {
    /// Goes to the next request of the chain, and returns its ordinal with the attempt and the shard that it belongs
    /// to; `None` after the last.
    fn advance(&mut self, layers: &Layers, entries: usize) -> Result<Option<(u32, u32, u32)>> {
        loop {
            if let Some(cursor) = &mut self.cursor
                && let Some(row) = cursor.step()?
            {
                let layer = &layers.all[cursor.layer];
                return Ok(Some((row.ordinal, layer.attempt, layer.shard)));
            }
            self.cursor = None;
            let Some(layer) = self.left.next() else {
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
            true => Some(places_by_ordinal(&mut rows, of.count)?),
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

    /// Goes to the next request of the shard; `None` after the last.
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

    /// Adds the attempt that it stands at to the request, whose earlier attempts are there already.
    fn lay_over(&mut self, merged: &mut Option<Merged>, layers: &Layers) -> Result<()> {
        let (at, row) = self.now;
        let layer = &layers.all[self.layer];
        let place = self.place()?;
        let merged = merged.get_or_insert(Merged {
            ordinal: row.ordinal,
            outcome: Place::NONE,
            outcome_of: None,
            outcome_attempt: 0,
            layer: self.layer,
            shard: layer.shard,
            at,
            row,
        });
        (merged.layer, merged.shard) = (self.layer, layer.shard);
        (merged.at, merged.row) = (at, row);
        if !place.is_none() && merged.outcome.gives_way(place) {
            merged.outcome = place.moved(layer.first_segment);
            merged.outcome_of = Some((self.layer, at));
            merged.outcome_attempt = layer.attempt;
        }
        Ok(())
    }

    /// The place of the outcome of the request that it stands at.
    fn place(&mut self) -> Result<Place> {
        let Some(locations) = &mut self.locations else {
            return Ok(Place::NONE);
        };
        let entry = locations.get(self.now.0).map_err(spooled)?;
        Ok(entry.map_or(Place::NONE, Place::from_bytes))
    }
}

/// Returns the places of a shard by ascending ordinal. Of a run that was converted, a shard may hold requests in
/// another order: 8 bytes of each are held while the shard is read.
fn places_by_ordinal(rows: &mut Window<ROW>, count: u32) -> Result<Vec<u32>> {
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
    // The last ordinal of each chain, least first.
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
    Error::new(ErrorKind::Internal).with_message("the spool does not hold what was written to it")
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
            // Whatever their numbers.
            (&[(20, 29), (0, 9), (10, 19)], vec![vec![1, 2, 0]]),
            // Two classes take turns; one of them ends before the last shard of the other begins.
            (
                &[(0, 8), (1, 9), (10, 20), (11, 13), (14, 30), (21, 22)],
                vec![vec![0, 2, 5], vec![1, 3, 4]],
            ),
            // A later attempt at some of the first.
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
