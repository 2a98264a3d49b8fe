//! The outcomes of a run: the tables of places of its shards, laid over one another by attempt.
//!
//! A table of places is 16 bytes for each request of the shard, by its place there, and then the tally of the
//! rows. It is made from the sealed segments, which are the authority: one that is missing or damaged is made
//! again.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io::{self, Write as _};
use std::sync::Arc;

use lmbatch_core::{BatchProvider, Locations, Result, Segment, ShardRecord, ShardState, Verdict};

use crate::plan::Plan;
use crate::plan::planned::PlannedShard;
use crate::results::delivered::Delivered;
use crate::results::finished::{End, Finished, Tally};
use crate::results::joiner::Joiner;
use crate::results::locations::Table;
use crate::results::reading::Results;
use crate::spool::layout::sent_table;
use crate::spool::places::Places;
use crate::spool::tables::{Place, Reader, SENT, Sent, checksum_of};
use crate::spool::{Files, spooled};

/// Tables of places that are open at once.
const OPEN: usize = 16;

/// A shard whose results are sealed.
#[derive(Debug, Clone)]
pub(crate) struct Sealed {
    pub(crate) planned: PlannedShard,
    pub(crate) segments: Vec<Segment>,
    pub(crate) locations: Option<Locations>,
}

impl Sealed {
    pub(crate) fn of(planned: &PlannedShard, record: &ShardRecord) -> Option<Self> {
        match &record.state {
            ShardState::Sealed {
                segments,
                locations,
                ..
            } => Some(Self {
                planned: planned.clone(),
                segments: segments.clone(),
                locations: locations.clone(),
            }),
            _ => None,
        }
    }

    /// Names of the segments that are not what was sealed.
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

/// What is needed to make tables of places anew.
pub(crate) struct Maker {
    pub(crate) provider: Arc<dyn BatchProvider>,
    pub(crate) joiner: Joiner,
    pub(crate) max_row_bytes: usize,
}

/// The sealed shards of a run.
pub(crate) struct Layers {
    pub(crate) files: Arc<Files>,
    /// Number of shards of the run, sealed or not.
    pub(crate) shards: usize,
    /// The last attempt.
    pub(crate) attempt: u32,
    pub(crate) sealed: Vec<Sealed>,
}

impl Maker {
    /// Reads the segments of a shard again and writes its table of places.
    fn make(&self, layers: &Layers, sealed: &Sealed) -> Result<Locations> {
        let mut results = Results::new(
            Arc::clone(&self.provider),
            Arc::clone(&layers.files),
            self.joiner.share()?,
            delivered(&layers.files, layers.shards, &sealed.planned)?,
            sealed.planned.number,
            self.max_row_bytes,
        );
        for segment in &sealed.segments {
            results.again(segment.clone())?;
        }
        results.locate()
    }
}

/// Outcomes of a run, by the numbers of its requests.
pub(crate) struct Collected {
    pub(crate) places: Places,
    pub(crate) segments: Vec<Segment>,
    /// Attempt of its requests that each segment belongs to.
    attempts: Vec<u32>,
    pub(crate) tally: Tally,
    /// Tables of places that were made anew, by the number of their shard.
    pub(crate) made: Vec<(u32, Locations)>,
}

impl Collected {
    /// Lays the sealed shards of a run over one another. Reads files: not for an async thread.
    pub(crate) fn new(layers: &Layers, maker: &Maker) -> Result<Self> {
        let mut collected = Self {
            places: Places::new(layers.files.spool()),
            segments: Vec::new(),
            attempts: Vec::new(),
            tally: Tally::default(),
            made: Vec::new(),
        };
        let mut by_attempt: Vec<Vec<&Sealed>> = vec![Vec::new(); layers.attempt as usize + 1];
        for one in &layers.sealed {
            if let Some(of) = by_attempt.get_mut(one.planned.attempt as usize) {
                of.push(one);
            }
        }
        for (attempt, shards) in by_attempt.into_iter().enumerate() {
            if !shards.is_empty() {
                collected.lay(layers, attempt as u32, &shards, maker)?;
            }
        }
        Ok(collected)
    }

    /// Lays the shards of one attempt over what is there.
    fn lay(
        &mut self,
        layers: &Layers,
        attempt: u32,
        shards: &[&Sealed],
        maker: &Maker,
    ) -> Result<()> {
        let files = &layers.files;
        let mut tables = Tables::default();
        for shard in shards {
            let first = self.segments.len() as u32;
            self.segments.extend(shard.segments.iter().cloned());
            self.attempts.resize(self.segments.len(), attempt);
            if shard.segments.is_empty() {
                continue;
            }
            let known = match &shard.locations {
                Some(locations) => Table::open(files, locations)?,
                None => None,
            };
            let number = shard.planned.number;
            let (locations, tally) = match (known, &shard.locations) {
                (Some((_, tally)), Some(locations)) => (locations.clone(), tally),
                _ => {
                    let made = maker.make(layers, shard)?;
                    let again = Table::open(files, &made)?;
                    let (_, tally) =
                        again.ok_or_else(|| spooled(io::ErrorKind::NotFound.into()))?;
                    self.made.push((number, made.clone()));
                    (made, tally)
                }
            };
            self.tally.add(&tally);
            tables.known.insert(number, (locations, first));
        }
        let sent = files.open(&sent_table(attempt))?;
        let ordinals = (sent.size().map_err(spooled)? / SENT as u64) as u32;
        let mut sent = Reader::new(sent);
        for ordinal in 0..ordinals {
            let went = Sent::read(&mut sent).map_err(spooled)?;
            let Some(place) = tables.get(files, went)? else {
                continue;
            };
            let known = self.places.get(ordinal).map_err(spooled)?;
            if known.gives_way(place) {
                self.places.set(ordinal, place).map_err(spooled)?;
            }
        }
        Ok(())
    }

    /// The verdict of the last attempt of a request; 0 where no row of that attempt names it. An answer of an
    /// earlier attempt stays one.
    pub(crate) fn verdict(&mut self, ordinal: u32, attempt: u32) -> Result<u8> {
        let place = self.places.get(ordinal).map_err(spooled)?;
        let verdict = place.verdict();
        let is_last = place.is_none()
            || verdict == Verdict::Succeeded as u8
            || self.attempts.get(place.segment as usize) == Some(&attempt);
        Ok(if is_last { verdict } else { 0 })
    }

    /// Puts the outcomes into the order of the output, which may hold only some of the requests.
    pub(crate) fn finish(mut self, plan: &Plan, ends: Vec<End>, attempt: u32) -> Result<Finished> {
        let sent = plan.files.open(&sent_table(attempt))?;
        let (index, mut entries) = plan.files.scratch()?;
        let order = plan.order()?;
        let mut out = match &order {
            None => None,
            Some(_) => Some(plan.files.scratch()?),
        };
        for position in 0..plan.requests {
            let at = position as usize;
            let ordinal = order.as_ref().map_or(position, |order| order[at]);
            let place = self.places.get(ordinal).map_err(spooled)?;
            entries.write_all(&place.to_bytes()).map_err(spooled)?;
            if let Some((_, out)) = &mut out {
                let mut entry = [0; SENT];
                let offset = u64::from(ordinal) * SENT as u64;
                let read = sent.read_at(&mut entry, offset).map_err(spooled)?;
                if read < SENT {
                    return Err(spooled(io::ErrorKind::UnexpectedEof.into()));
                }
                out.write_all(&entry).map_err(spooled)?;
            }
        }
        entries.flush().map_err(spooled)?;
        let sent = match out {
            None => sent,
            Some((file, mut out)) => {
                out.flush().map_err(spooled)?;
                file
            }
        };
        Ok(Finished {
            ends,
            twins: Vec::new(),
            segments: self.segments,
            requests: plan.requests,
            index,
            echo: plan.files.open(&plan.echo())?,
            files: Arc::clone(&plan.files),
            sent: Some(sent),
            tally: self.tally,
            mismatch: None,
        })
    }
}

/// The requests of a shard of a run with so many, none of them named yet.
pub(crate) fn delivered(files: &Files, shards: usize, planned: &PlannedShard) -> Result<Delivered> {
    if shards == 1 {
        return Ok(Delivered::default());
    }
    let table = files.open(&sent_table(planned.attempt))?;
    Ok(Delivered::of_shard(planned.number, table))
}

/// The tables of the shards of one attempt, of which those that were used last are open.
#[derive(Default)]
struct Tables {
    /// By the number of the shard, with the number of its first segment among all.
    known: HashMap<u32, (Locations, u32)>,
    open: HashMap<u32, Table>,
    order: VecDeque<u32>,
}

impl Tables {
    /// The place of a request in a shard of this attempt, where it has one.
    fn get(&mut self, files: &Files, sent: Sent) -> Result<Option<Place>> {
        let Some((locations, first)) = self.known.get(&sent.shard) else {
            return Ok(None);
        };
        if !self.open.contains_key(&sent.shard) {
            if self.order.len() == OPEN
                && let Some(oldest) = self.order.pop_front()
            {
                self.open.remove(&oldest);
            }
            let table = Table::reopen(files, locations)?;
            self.open.insert(sent.shard, table);
            self.order.push_back(sent.shard);
        }
        let Some(table) = self.open.get_mut(&sent.shard) else {
            return Ok(None);
        };
        let place = table.get(sent.place)?;
        Ok((!place.is_none()).then(|| place.moved(*first)))
    }
}

/// Names of the sealed files of a run that are damaged, by the number of their shard.
pub(crate) fn damaged(files: &Files, sealed: &[Sealed]) -> Result<Vec<(u32, Vec<String>)>> {
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
