//! Tables of places: where the row of each request of a shard lies in its segments.

use std::io::{self, Write as _};
use std::sync::Arc;

use lmbatch_core::{Locations, Result, SpoolFile};

use crate::results::finished::Tally;
use crate::spool::places::Places;
use crate::spool::tables::{ENTRY, Place, checksum_of};
use crate::spool::{Files, spooled};

/// Places that are read of a table at once.
const WINDOW: usize = 4096;

/// Writes the table of places of a shard.
pub(crate) fn write_locations(
    files: &Files,
    what: &str,
    places: &mut Places,
    tally: Tally,
) -> Result<Locations> {
    let mut table = files.create(what)?;
    for at in 0..places.len() {
        let place = places.get(at).map_err(spooled)?;
        table.write_all(&place.to_bytes()).map_err(spooled)?;
    }
    for count in tally.counts() {
        table.write_all(&count.to_le_bytes()).map_err(spooled)?;
    }
    table.sync().map_err(spooled)?;
    Ok(Locations {
        name: files.name(what).into(),
        checksum: table.checksum(),
    })
}

/// Reads the places of one shard, mostly from front to back.
pub(crate) struct Table {
    file: Arc<dyn SpoolFile>,
    count: u32,
    from: u32,
    window: Vec<u8>,
}

impl Table {
    /// Opens a table with the tally that it ends with; `None` where it is missing or damaged.
    pub(crate) fn open(files: &Files, locations: &Locations) -> Result<Option<(Self, Tally)>> {
        let file = match files.spool().open(&locations.name) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(spooled(error)),
        };
        let bytes = file.size().map_err(spooled)?;
        let Some(entries) = bytes.checked_sub(Tally::BYTES as u64) else {
            return Ok(None);
        };
        if checksum_of(&*file, bytes).map_err(spooled)? != locations.checksum {
            return Ok(None);
        }
        let mut counts = [0; Tally::BYTES];
        file.read_at(&mut counts, entries).map_err(spooled)?;
        let table = Self {
            file,
            count: (entries / ENTRY as u64) as u32,
            from: 0,
            window: Vec::new(),
        };
        Ok(Some((table, Tally::of_bytes(&counts))))
    }

    /// Opens a table that was compared with its checksum before.
    pub(crate) fn reopen(files: &Files, locations: &Locations) -> Result<Self> {
        let file = files.open_named(&locations.name)?;
        let bytes = file.size().map_err(spooled)?;
        let entries = bytes.saturating_sub(Tally::BYTES as u64);
        Ok(Self {
            file,
            count: (entries / ENTRY as u64) as u32,
            from: 0,
            window: Vec::with_capacity(WINDOW * ENTRY),
        })
    }

    pub(crate) fn get(&mut self, at: u32) -> Result<Place> {
        if at >= self.count {
            return Ok(Place::NONE);
        }
        let held = (self.window.len() / ENTRY) as u32;
        if at < self.from || at - self.from >= held {
            self.from = at;
            let entries = ((self.count - at) as usize).min(WINDOW);
            self.window.resize(entries * ENTRY, 0);
            let offset = u64::from(at) * ENTRY as u64;
            let read = self.file.read_at(&mut self.window, offset);
            if read.map_err(spooled)? < self.window.len() {
                return Err(spooled(io::ErrorKind::UnexpectedEof.into()));
            }
        }
        let (entries, _) = self.window.as_chunks::<ENTRY>();
        let entry = entries.get((at - self.from) as usize);
        Ok(entry.map_or(Place::NONE, Place::from_bytes))
    }
}
