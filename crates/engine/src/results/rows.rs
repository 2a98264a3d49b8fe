//! Rows of results, read by their locations in segments: mostly neighbours, one after the other.

use std::io;
use std::sync::Arc;

use lmbatch_core::SpoolFile;

use crate::spool::tables::RowLocation;

/// Number of bytes that are read at once for neighbouring rows.
const WINDOW: usize = 64 << 10;

/// Bytes that may be read beyond one and a half times the used ones, before rows are read singly.
const SURPLUS: u64 = 4 * WINDOW as u64;

/// Reads rows of segments through a window.
///
/// Providers write rows in the order of the requests, in reverse order or in any other. Rows next
/// to the last one are read together with it, on the side on which reading continues. A row
/// elsewhere is read singly. Where many of the bytes that were read together are not used, as for
/// rows that are only nearly in order, each row is read singly for a while.
#[derive(Debug, Default)]
pub(crate) struct StoredRows {
    held: Vec<u8>,
    /// Segment of the held bytes.
    segment: u32,
    /// Offset of the first held byte in the segment.
    from: u64,
    /// Segment, begin and end of the row that was read last.
    last: Option<(u32, u64, u64)>,
    /// True if rows were read from back to front when a window was read last.
    backward: bool,
    /// Number of bytes read, less one and a half times those used; never below zero.
    surplus: u64,
}

impl StoredRows {
    /// Returns the bytes of a row, of which `file` is the segment.
    ///
    /// # Errors
    /// Those of the file, and [`io::ErrorKind::UnexpectedEof`] where the file is shorter than the
    /// location says.
    pub(crate) fn get(
        &mut self,
        file: &Arc<dyn SpoolFile>,
        location: RowLocation,
    ) -> io::Result<&[u8]> {
        let (offset, length) = (location.offset(), location.length as usize);
        let end = offset + length as u64;
        let is_held = |rows: &Self| {
            let held_end = rows.from + rows.held.len() as u64;
            rows.segment == location.segment && rows.from <= offset && end <= held_end
        };
        if !is_held(self) {
            let (from, bytes) = self.window(location.segment, offset, end);
            self.held.resize(bytes, 0);
            (self.segment, self.from) = (location.segment, from);
            let read = file.read_at(&mut self.held, from);
            self.held.truncate(*read.as_ref().unwrap_or(&0));
            read?;
            if !is_held(self) {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.surplus += self.held.len() as u64;
        }
        self.surplus = self.surplus.saturating_sub(length as u64 * 3 / 2);
        self.last = Some((location.segment, offset, end));
        let within = (offset - self.from) as usize;
        Ok(&self.held[within..within + length])
    }

    /// Returns the range to read for a row that is not held: offset of the first byte, and number
    /// of bytes.
    fn window(&mut self, segment: u32, offset: u64, end: u64) -> (u64, usize) {
        let length = (end - offset) as usize;
        let alone = (offset, length);
        let Some((same, before, after)) = self.last.filter(|_| self.surplus < SURPLUS) else {
            return alone;
        };
        let is_backward = end <= before;
        let gap = match is_backward {
            true => before - end,
            false => offset.saturating_sub(after),
        };
        if same != segment || length >= WINDOW || gap >= WINDOW as u64 {
            return alone;
        }
        let rest = WINDOW - length;
        let ahead = match (
            is_backward,
            std::mem::replace(&mut self.backward, is_backward),
        ) {
            (false, false) => 0,
            (true, true) => rest,
            // Rows on both sides are being read.
            _ => rest / 2,
        };
        (offset.saturating_sub(ahead as u64), WINDOW)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use lmbatch_core::{Rng as _, Verdict};

    use super::*;

    /// Segment that counts how much of it is read.
    #[derive(Debug)]
    struct Counted {
        bytes: Vec<u8>,
        read: AtomicU64,
        reads: AtomicU64,
    }

    impl SpoolFile for Counted {
        fn size(&self) -> io::Result<u64> {
            Ok(self.bytes.len() as u64)
        }

        fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
            let rest = self.bytes.get(offset as usize..).unwrap_or_default();
            let read = rest.len().min(buffer.len());
            buffer[..read].copy_from_slice(&rest[..read]);
            self.read.fetch_add(read as u64, Ordering::Relaxed);
            self.reads.fetch_add(1, Ordering::Relaxed);
            Ok(read)
        }

        fn write_at(&self, _: &[u8], _: u64) -> io::Result<()> {
            Err(io::ErrorKind::Unsupported.into())
        }
    }

    const ROW: usize = 1_000;
    const COUNT: u64 = 20_000;

    fn location(at: u64) -> RowLocation {
        RowLocation::new(0, at * ROW as u64, ROW as u32, Verdict::Succeeded)
    }

    /// Reads rows in an order. Returns the number of bytes read for each byte of the rows, and the
    /// number of reads for each row.
    fn cost(order: impl Iterator<Item = u64>) -> (f64, f64) {
        let bytes = (0..COUNT).flat_map(|at| [at as u8; ROW]).collect();
        let counted = Arc::new(Counted {
            bytes,
            read: AtomicU64::new(0),
            reads: AtomicU64::new(0),
        });
        let file: Arc<dyn SpoolFile> = Arc::clone(&counted) as _;
        let (mut rows, mut used) = (StoredRows::default(), 0);
        for at in order {
            assert_eq!(rows.get(&file, location(at)).unwrap(), [at as u8; ROW]);
            used += 1;
        }
        let read = counted.read.load(Ordering::Relaxed) as f64;
        let reads = counted.reads.load(Ordering::Relaxed) as f64;
        (read / (used * ROW) as f64, reads / used as f64)
    }

    #[test]
    fn neighbours_are_read_together_and_other_rows_singly() {
        let rng = crate::clock::SystemRng;
        let random = |most: u64| (rng.next_f64() * most as f64) as u64;
        let (read, reads) = cost(0..COUNT);
        assert!(read < 1.1 && reads < 0.03, "in order: {read}, {reads}");
        let (read, reads) = cost((0..COUNT).rev());
        assert!(read < 1.1 && reads < 0.03, "reversed: {read}, {reads}");
        // Half of the rows, in stretches, as one of two threads reads them.
        let turns = (0..COUNT).filter(|at| at / 256 % 2 == 0);
        let (read, reads) = cost(turns);
        assert!(read < 1.3 && reads < 0.05, "in turns: {read}, {reads}");
        let (read, _) = cost((0..COUNT).map(|_| random(COUNT)));
        assert!(read < 1.5, "at random: {read}");
        // An order that looks ascending: each row is near the previous one, and few rows between
        // them are read.
        let (read, _) = cost((0..COUNT).map(|at| (at * 40 + random(20)) % COUNT));
        assert!(read < 1.7, "far apart: {read}");
        // Rows in the order of their completion, which is about the order in which they were sent.
        let (read, reads) = cost((0..COUNT).map(|at| (at + random(20)).min(COUNT - 1)));
        assert!(read < 1.7 && reads < 1.0, "about in order: {read}, {reads}");
    }

    #[test]
    fn a_row_beyond_the_end_of_its_segment_is_an_error() {
        let file: Arc<dyn SpoolFile> = Arc::new(Counted {
            bytes: vec![7; 3 * ROW - 1],
            read: AtomicU64::new(0),
            reads: AtomicU64::new(0),
        });
        let mut rows = StoredRows::default();
        for at in [0, 1] {
            assert_eq!(rows.get(&file, location(at)).unwrap(), [7; ROW]);
        }
        for at in [2, 3, 2] {
            let error = rows.get(&file, location(at)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        }
        assert_eq!(rows.get(&file, location(0)).unwrap(), [7; ROW]);
        let other = RowLocation::new(1, 0, ROW as u32, Verdict::Succeeded);
        let changed: Arc<dyn SpoolFile> = Arc::new(Counted {
            bytes: vec![9; ROW],
            read: AtomicU64::new(0),
            reads: AtomicU64::new(0),
        });
        assert_eq!(rows.get(&changed, other).unwrap(), [9; ROW]);
    }
}
