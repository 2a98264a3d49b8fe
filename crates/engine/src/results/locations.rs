//! Location tables: positions of the rows of a shard's requests in its segments.

use std::io::{self, Write as _};

use lmbatch_core::{Locations, Result};

use crate::results::tally::Tally;
use crate::spool::location_table::LocationTable;
use crate::spool::tables::{ENTRY, checksum_of};
use crate::spool::{Files, spooled};

/// Number of entries that are written at once.
const AT_ONCE: usize = 1024;

/// Writes the location table of a shard.
pub(crate) fn write_locations(
    files: &Files,
    what: &str,
    locations: &mut LocationTable,
    tally: Tally,
) -> Result<Locations> {
    let mut table = files.create(what)?;
    let mut entries = Vec::with_capacity(AT_ONCE * ENTRY);
    for at in 0..locations.len() {
        let location = locations.get(at).map_err(spooled)?;
        entries.extend_from_slice(&location.to_bytes());
        if entries.len() == AT_ONCE * ENTRY {
            table.write_all(&entries).map_err(spooled)?;
            entries.clear();
        }
    }
    table.write_all(&entries).map_err(spooled)?;
    for count in tally.counts() {
        table.write_all(&count.to_le_bytes()).map_err(spooled)?;
    }
    table.sync().map_err(spooled)?;
    Ok(Locations {
        name: files.name(what).into(),
        checksum: table.checksum(),
    })
}

/// Compares a location table with its checksum and returns the tally at its end; `None` where the
/// table is missing or damaged.
pub(crate) fn read_tally(files: &Files, locations: &Locations) -> Result<Option<Tally>> {
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
    Ok(Some(Tally::of_bytes(&counts)))
}

/// Opens the locations of a shard's rows, which can be read in any order.
pub(crate) fn open_locations(files: &Files, locations: &Locations) -> Result<LocationTable> {
    let file = files.open_named(&locations.name)?;
    let bytes = file.size().map_err(spooled)?;
    let entries = bytes.saturating_sub(Tally::BYTES as u64) / ENTRY as u64;
    Ok(LocationTable::over(files.spool(), file, entries as u32))
}
