//! Outcomes of a run: the location tables of its shards, merged by attempt.
//!
//! A location table holds 16 bytes for each request of the shard, by its position there, and then
//! the tally of the rows. It is made from the sealed segments, which are the authority: a table
//! that is missing or damaged is made again.
//!
//! Checksums of segments and of location tables are compared when outcomes are put together; those
//! of the tables of rows and of the echoes when the file is first read.

use std::collections::HashSet;
use std::io::{self, Write as _};
use std::sync::Arc;

use lmbatch_core::{BatchProvider, IdRule, Locations, Result, Segment, ShardRecord, ShardState};

use crate::plan::Plan;
use crate::plan::planned::PlannedShard;
use crate::results::finished::{End, Index, RunResults};
use crate::results::id_map::IdMap;
use crate::results::locations::read_tally;
use crate::results::merge::{Layer, Layers, Merge};
use crate::results::reading::Results;
use crate::results::tally::Tally;
use crate::spool::tables::{ENTRY, RowLocation, checksum_of};
use crate::spool::window::Window;
use crate::spool::{Files, layout, spooled};

/// Size in bytes of an entry of the index of a run whose input was changed: location of the outcome
/// (16), shard (4), position in the shard (4).
pub(crate) const ORDERED: usize = ENTRY + 8;

/// Number of entries of that index that are read at once. They are read in any order.
const AHEAD: usize = 64;

/// Shard together with its sealed results.
#[derive(Debug, Clone)]
pub(crate) struct SealedShard {
    pub(crate) planned: PlannedShard,
    /// Sealed segments; empty where the results are not sealed.
    pub(crate) segments: Vec<Segment>,
    pub(crate) locations: Option<Locations>,
}

impl SealedShard {
    pub(crate) fn of(planned: &PlannedShard, record: &ShardRecord) -> Self {
        let (segments, locations) = match &record.state {
            ShardState::Sealed {
                segments,
                locations,
                ..
            } => (segments.clone(), locations.clone()),
            _ => Default::default(),
        };
        Self {
            planned: planned.clone(),
            segments,
            locations,
        }
    }

    /// Returns the names of the segments that differ from what was sealed.
    pub(crate) fn damaged(&self, files: &Files) -> Result<Vec<String>> {
        let mut damaged = Vec::new();
        for segment in &self.segments {
            if !is_sound(files, segment)? {
                damaged.push(segment.name.to_string());
            }
        }
        Ok(damaged)
    }
}

fn is_sound(files: &Files, segment: &Segment) -> Result<bool> {
    let file = match files.spool().open(&segment.name) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(spooled(error)),
    };
    match checksum_of(&*file, segment.bytes) {
        Ok(found) => Ok(segment.checksum.is_none_or(|noted| noted == found)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(spooled(error)),
    }
}

/// Parts that are needed to make location tables again.
#[derive(Clone)]
pub(crate) struct Maker {
    pub(crate) provider: Arc<dyn BatchProvider>,
    pub(crate) ids: IdRule,
    pub(crate) max_row_bytes: usize,
}

/// Shards of a run, with the files that hold them.
pub(crate) struct Stored {
    pub(crate) files: Arc<Files>,
    /// Files of the tables of the shards.
    pub(crate) tables: Arc<Files>,
    /// Shards by number.
    pub(crate) shards: Vec<SealedShard>,
}

impl Maker {
    /// Returns the map from the ids of rows to the positions of a shard.
    pub(crate) fn id_map(&self, stored: &Stored, planned: &PlannedShard) -> Result<IdMap> {
        IdMap::of_shard(&self.ids, planned, &stored.tables)
    }

    /// Reads the segments of a shard again and writes its location table.
    fn make(&self, stored: &Stored, sealed: &SealedShard) -> Result<Locations> {
        let mut results = Results::new(
            Arc::clone(&self.provider),
            Arc::clone(&stored.files),
            self.id_map(stored, &sealed.planned)?,
            sealed.planned.number,
            self.max_row_bytes,
        )
        .of_repair(sealed.planned.repair);
        for segment in &sealed.segments {
            results.again(segment.clone())?;
        }
        results.locate()
    }
}

/// Outcomes of a run, shard by shard.
pub(crate) struct Collected {
    pub(crate) layers: Arc<Layers>,
    pub(crate) segments: Vec<Segment>,
    pub(crate) tally: Tally,
    /// Location tables that were made again, by the number of their shard.
    pub(crate) made: Vec<(u32, Locations)>,
}

impl Collected {
    /// Merges the shards of a run. Reads the location tables: not for an async thread.
    pub(crate) fn new(stored: &Stored, maker: &Maker) -> Result<Self> {
        let (mut segments, mut tally) = (Vec::new(), Tally::default());
        let (mut made, mut all) = (Vec::new(), Vec::with_capacity(stored.shards.len()));
        for shard in &stored.shards {
            let mut layer = Layer {
                first_segment: segments.len() as u32,
                ..Layer::of(&shard.planned)
            };
            segments.extend(shard.segments.iter().cloned());
            if !shard.segments.is_empty() {
                let known = match &shard.locations {
                    Some(locations) => read_tally(&stored.files, locations)?,
                    None => None,
                };
                let (locations, found) = match (known, &shard.locations) {
                    (Some(found), Some(locations)) => (locations.clone(), found),
                    _ => {
                        let anew = maker.make(stored, shard)?;
                        let found = read_tally(&stored.files, &anew)?;
                        let found = found.ok_or_else(|| spooled(io::ErrorKind::NotFound.into()))?;
                        made.push((shard.planned.number, anew.clone()));
                        (anew, found)
                    }
                };
                tally.add(&found);
                layer.locations = Some(locations);
            }
            all.push(layer);
        }
        Ok(Self {
            layers: Arc::new(Layers {
                files: Arc::clone(&stored.files),
                tables: Arc::clone(&stored.tables),
                all,
            }),
            segments,
            tally,
            made,
        })
    }

    /// Returns the requests of the run with their outcomes, by ordinal.
    pub(crate) fn merge(&self) -> Merge {
        Merge::new(Arc::clone(&self.layers))
    }

    /// Puts the outcomes into the order of the output, which may hold only some of the requests.
    /// Reads nothing where that is the order of the input.
    pub(crate) fn finish(self, plan: &Plan, ends: Vec<End>) -> Result<RunResults> {
        let index = match plan.order()? {
            None => Index::Run(Arc::clone(&self.layers)),
            Some(order) => self.in_order(plan, &order)?,
        };
        Ok(RunResults {
            ends,
            duplicate_batches: Vec::new(),
            segments: self.segments,
            requests: plan.requests,
            index,
            files: Arc::clone(&plan.files),
            tally: self.tally,
            mismatch: None,
        })
    }

    /// Writes the index of a run whose input was changed: first by ordinal, then in the order of
    /// the output.
    fn in_order(&self, plan: &Plan, order: &[u32]) -> Result<Index> {
        let (by_ordinal, mut entries) = plan.files.scratch()?;
        let mut merge = self.merge();
        let mut count = 0;
        while let Some(merged) = merge.next()? {
            // Every ordinal was sent at some time, so that gaps are requests without an outcome.
            while count <= merged.ordinal {
                let is_own = count == merged.ordinal;
                let (location, shard, at) = match is_own {
                    true => (merged.outcome, merged.shard, merged.at),
                    false => (RowLocation::NONE, 0, 0),
                };
                entries.write_all(&location.to_bytes()).map_err(spooled)?;
                for number in [shard, at] {
                    entries.write_all(&number.to_le_bytes()).map_err(spooled)?;
                }
                count += 1;
            }
        }
        entries.flush().map_err(spooled)?;
        let mut by_ordinal = Window::<ORDERED>::new(by_ordinal, count, AHEAD);
        let (locations, mut entries) = plan.files.scratch()?;
        for ordinal in order {
            let entry = by_ordinal.get(*ordinal).map_err(spooled)?;
            let entry = entry.ok_or_else(|| spooled(io::ErrorKind::UnexpectedEof.into()))?;
            entries.write_all(entry).map_err(spooled)?;
        }
        entries.flush().map_err(spooled)?;
        let echo = layout::order_echo(plan.order.map_or(0, |order| order.table));
        if let Some(checksum) = plan.checksums.get(&*echo) {
            plan.tables.verify(&echo, *checksum)?;
        }
        Ok(Index::Ordered {
            locations,
            echo: plan.tables.open(&echo)?,
            tables: Arc::clone(&plan.tables),
        })
    }
}

/// Returns the names of the damaged result files of a run, by the number of their shard.
pub(crate) fn damaged(files: &Files, sealed: &[SealedShard]) -> Result<Vec<(u32, Vec<String>)>> {
    let mut found = Vec::new();
    let mut seen = HashSet::new();
    for one in sealed {
        let names = one.damaged(files)?;
        if !names.is_empty() && seen.insert(one.planned.number) {
            found.push((one.planned.number, names));
        }
    }
    Ok(found)
}
