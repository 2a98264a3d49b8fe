//! Locations of the outcomes of a run, in constant memory for any number of requests.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use lmbatch_core::{Spool, SpoolFile};

use crate::spool::tables::{ENTRY, RowLocation};

/// Number of locations in a page. A batch returns its requests in about the order in which they
/// were sent, so that a page is mostly filled before the next is used.
const PAGE: usize = 4096;

/// Number of pages in memory: 8 MiB, or half a million requests before the first page is written
/// out.
const PAGES: usize = 128;

/// Table of locations by ordinal. The pages that were used last are in memory, the others in an
/// unnamed file: every start makes the table again from the sealed segments, and no later start
/// reads it.
#[derive(Debug)]
pub(crate) struct LocationTable {
    spool: Arc<dyn Spool>,
    /// File of the pages that are not in memory; created with the first of them.
    file: Option<Arc<dyn SpoolFile>>,
    slots: Vec<Slot>,
    /// Slot of each page in memory.
    held: HashMap<usize, usize>,
    /// Slot that was used last.
    last: usize,
    /// Slot at which the search for a page to evict continues.
    hand: usize,
    /// Maximum number of pages in memory.
    most: usize,
    /// One more than the highest ordinal that was set.
    len: u32,
    /// True if a read or a write has failed: the table is then not used any more, and the next
    /// start makes it anew.
    broken: bool,
}

#[derive(Debug)]
struct Slot {
    page: usize,
    locations: Box<[RowLocation]>,
    /// True if the page was used since the last search passed it.
    used: bool,
    /// True if the page was changed since it was read.
    changed: bool,
}

impl LocationTable {
    pub(crate) fn new(spool: Arc<dyn Spool>) -> Self {
        Self {
            spool,
            file: None,
            slots: Vec::new(),
            held: HashMap::new(),
            last: 0,
            hand: 0,
            most: PAGES,
            len: 0,
            broken: false,
        }
    }

    /// Returns the read-only table of a file.
    pub(crate) fn over(spool: Arc<dyn Spool>, file: Arc<dyn SpoolFile>, len: u32) -> Self {
        Self {
            file: Some(file),
            len,
            ..Self::new(spool)
        }
    }

    /// Returns one more than the highest ordinal with a location.
    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    /// Returns the location of a request; [`RowLocation::NONE`] where none was set.
    pub(crate) fn get(&mut self, ordinal: u32) -> io::Result<RowLocation> {
        if ordinal >= self.len {
            return Ok(RowLocation::NONE);
        }
        let at = ordinal as usize;
        Ok(self.slot(at / PAGE)?.locations[at % PAGE])
    }

    pub(crate) fn set(&mut self, ordinal: u32, location: RowLocation) -> io::Result<()> {
        let at = ordinal as usize;
        let slot = self.slot(at / PAGE)?;
        slot.locations[at % PAGE] = location;
        slot.changed = true;
        self.len = self.len.max(ordinal.saturating_add(1));
        Ok(())
    }

    fn slot(&mut self, page: usize) -> io::Result<&mut Slot> {
        if self.broken {
            return Err(io::Error::other(
                "an earlier read or write of this table failed",
            ));
        }
        let at = match self.slots.get(self.last) {
            Some(slot) if slot.page == page => self.last,
            _ => self.bring(page)?,
        };
        self.last = at;
        let slot = &mut self.slots[at];
        slot.used = true;
        Ok(slot)
    }

    /// Returns the slot of a page, and reads the page into memory if needed.
    fn bring(&mut self, page: usize) -> io::Result<usize> {
        if let Some(at) = self.held.get(&page) {
            return Ok(*at);
        }
        self.broken = true;
        let at = self.fetch(page)?;
        self.broken = false;
        Ok(at)
    }

    /// Reads a page into memory.
    fn fetch(&mut self, page: usize) -> io::Result<usize> {
        let at = self.room()?;
        let slot = &mut self.slots[at];
        slot.page = page;
        slot.changed = false;
        slot.locations.fill(RowLocation::NONE);
        if let Some(file) = &self.file {
            let mut bytes = vec![0; PAGE * ENTRY];
            // Pages that were never written read as zeros, which stand for no location.
            let read = file.read_at(&mut bytes, offset(page))?;
            let (entries, _) = bytes[..read].as_chunks::<ENTRY>();
            for (location, entry) in slot.locations.iter_mut().zip(entries) {
                *location = RowLocation::from_bytes(entry);
            }
        }
        self.held.insert(page, at);
        Ok(at)
    }

    /// Returns an empty slot: a new one, or that of a page that was not used for a while.
    fn room(&mut self) -> io::Result<usize> {
        if self.slots.len() < self.most {
            self.slots.push(Slot {
                page: usize::MAX,
                locations: vec![RowLocation::NONE; PAGE].into(),
                used: false,
                changed: false,
            });
            return Ok(self.slots.len() - 1);
        }
        while std::mem::take(&mut self.slots[self.hand].used) {
            self.hand = (self.hand + 1) % self.slots.len();
        }
        let at = self.hand;
        self.hand = (at + 1) % self.slots.len();
        self.write_out(at)?;
        self.held.remove(&self.slots[at].page);
        Ok(at)
    }

    fn write_out(&mut self, at: usize) -> io::Result<()> {
        let slot = &self.slots[at];
        if !slot.changed {
            return Ok(());
        }
        let file = match &self.file {
            Some(file) => file,
            None => self.file.insert(self.spool.scratch()?),
        };
        let bytes: Vec<u8> = slot
            .locations
            .iter()
            .flat_map(|location| location.to_bytes())
            .collect();
        file.write_at(&bytes, offset(slot.page))
    }
}

fn offset(page: usize) -> u64 {
    (page * PAGE * ENTRY) as u64
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use lmbatch_core::{Rng as _, Verdict};

    use super::*;
    use crate::spool::temporary::TemporarySpool;

    #[test]
    fn a_location_is_found_for_any_number_of_pages_in_memory() {
        for most in [1, 2, 7] {
            let mut locations = LocationTable::new(Arc::new(TemporarySpool::new().unwrap()));
            locations.most = most;
            let rng = crate::clock::SystemRng;
            let mut known = HashMap::new();
            for step in 0..20_000_u32 {
                // Mostly ascending, and now and then at random.
                let ordinal = match step % 100 {
                    0 => (rng.next_f64() * 200_000.0) as u32,
                    _ => step * 7,
                };
                let location = RowLocation::new(step, u64::from(step) << 20, 1, Verdict::Succeeded);
                locations.set(ordinal, location).unwrap();
                known.insert(ordinal, location);
                assert!(locations.slots.len() <= most);
            }
            assert_eq!(
                Some(locations.len()),
                known.keys().max().map(|most| most + 1)
            );
            for ordinal in 0..locations.len() + 10 {
                let location = known.get(&ordinal).copied().unwrap_or(RowLocation::NONE);
                assert_eq!(
                    locations.get(ordinal).unwrap(),
                    location,
                    "{ordinal} of {most}"
                );
            }
        }
    }

    /// A failed write is an error, and the table must not be used afterwards.
    #[test]
    fn a_table_that_failed_once_returns_only_errors() {
        let folder = tempfile::tempdir().unwrap();
        let gone = folder.path().join("gone");
        let mut locations =
            LocationTable::new(Arc::new(crate::spool::folder::FolderSpool::new(&gone)));
        locations.most = 1;
        let location = RowLocation::new(0, 0, 1, Verdict::Succeeded);
        locations.set(0, location).unwrap();
        // The first pages stay in memory.
        let mut pages = (1..100).map(|page| page * PAGE as u32);
        assert!(pages.any(|ordinal| locations.set(ordinal, location).is_err()));
        std::fs::create_dir(gone).unwrap();
        assert!(locations.get(0).is_err());
        assert!(locations.set(PAGE as u32, location).is_err());
    }

    #[test]
    fn a_batch_takes_sixteen_bytes_a_request_and_at_most_eight_mebibytes() {
        let mut locations = LocationTable::new(Arc::new(TemporarySpool::new().unwrap()));
        let location = RowLocation::new(0, 0, 1, Verdict::Succeeded);
        for (requests, most) in [
            (1, PAGE * ENTRY),
            (50_000, 50_000 * ENTRY + PAGE * ENTRY),
            (1_000_000, 8 << 20),
        ] {
            for ordinal in (0..requests).step_by(PAGE / 2) {
                locations.set(ordinal, location).unwrap();
            }
            let held: usize = locations
                .slots
                .iter()
                .map(|slot| size_of_val(&*slot.locations))
                .sum();
            assert!(held <= most, "{held} bytes for {requests} requests");
        }
    }

    #[test]
    fn a_table_that_fits_into_memory_makes_no_file() {
        let mut locations = LocationTable::new(Arc::new(crate::spool::nowhere::Nowhere));
        let most = (PAGE * PAGES) as u32;
        for ordinal in (0..most).step_by(1_000) {
            let location = RowLocation::new(0, 0, ordinal, Verdict::Succeeded);
            locations.set(ordinal, location).unwrap();
        }
        assert!(locations.file.is_none());
        assert_eq!(locations.get(5_000).unwrap().length, 5_000);
        assert!(locations.get(5_001).unwrap().is_none());
    }
}
