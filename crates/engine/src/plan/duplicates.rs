//! Finds ids that are used twice, in constant memory however many there are.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::sync::Arc;

use lmbatch_core::{Spool, SpoolFile};

/// Two hashes of an id under keys drawn for this plan, and the place where it stands.
type Entry = (u64, u64, u64);

/// Bytes of an entry in the file.
const ENTRY: usize = 24;

/// Entries that are sorted in memory: 3 MiB.
const CHUNK: usize = 1 << 17;

/// Most and fewest entries that are read of a chunk at once: those of all chunks take no more than one chunk does,
/// up to a thousand million ids.
const PIECE: usize = 1 << 10;
const SMALLEST_PIECE: usize = 1 << 4;

/// The ids of a plan: sorted by their hashes in chunks, which are written out but for the last, and merged.
#[derive(Debug)]
pub(crate) struct Seen {
    spool: Arc<dyn Spool>,
    hashers: [RandomState; 2],
    entries: Vec<Entry>,
    /// How many entries make a chunk.
    chunk: usize,
    /// Made when the first chunk is full.
    file: Option<Arc<dyn SpoolFile>>,
    chunks: u64,
}

impl Seen {
    pub(crate) fn new(spool: Arc<dyn Spool>) -> Self {
        Self {
            spool,
            hashers: [RandomState::new(), RandomState::new()],
            entries: Vec::new(),
            chunk: CHUNK,
            file: None,
            chunks: 0,
        }
    }

    pub(crate) fn add(&mut self, id: &str, place: u64) -> io::Result<()> {
        if self.entries.len() == self.chunk {
            self.write_out()?;
        }
        let [one, other] = &self.hashers;
        let entry = (one.hash_one(id), other.hash_one(id), place);
        self.entries.push(entry);
        Ok(())
    }

    fn write_out(&mut self) -> io::Result<()> {
        self.entries.sort_unstable();
        let file = match &self.file {
            Some(file) => file,
            None => self.file.insert(self.spool.scratch()?),
        };
        let mut at = self.chunks * (self.chunk * ENTRY) as u64;
        for piece in self.entries.chunks(PIECE) {
            let numbers = piece.iter().flat_map(|(a, b, place)| [*a, *b, *place]);
            let bytes: Vec<u8> = numbers.flat_map(u64::to_le_bytes).collect();
            file.write_at(&bytes, at)?;
            at += bytes.len() as u64;
        }
        self.chunks += 1;
        self.entries.clear();
        Ok(())
    }

    /// Shows each use of an id but the first, with the place of the first, in any order.
    pub(crate) fn duplicates(&mut self, mut show: impl FnMut(u64, u64)) -> io::Result<()> {
        self.entries.sort_unstable();
        let bytes = (self.chunk * ENTRY) as u64;
        let piece = self.chunk / (self.chunks as usize).max(1);
        let piece = piece.clamp(SMALLEST_PIECE, PIECE);
        let file = self.file.iter();
        let mut chunks: Vec<Chunk> = file
            .flat_map(|file| (0..self.chunks).map(move |chunk| (file, chunk * bytes)))
            .map(|(file, from)| {
                Chunk::new(
                    Some((Arc::clone(file), from, from + bytes)),
                    Vec::new(),
                    piece,
                )
            })
            .collect();
        chunks.push(Chunk::new(None, std::mem::take(&mut self.entries), piece));
        let mut heads = BinaryHeap::new();
        for (number, chunk) in chunks.iter_mut().enumerate() {
            heads.extend(chunk.next()?.map(|entry| Reverse((entry, number))));
        }
        let mut first: Option<Entry> = None;
        while let Some(Reverse((entry, number))) = heads.pop() {
            match first {
                Some((a, b, place)) if (a, b) == (entry.0, entry.1) => show(place, entry.2),
                _ => first = Some(entry),
            }
            let next = chunks[number].next()?;
            heads.extend(next.map(|entry| Reverse((entry, number))));
        }
        Ok(())
    }
}

/// A sorted chunk that is read from front to back.
struct Chunk {
    /// Where the rest of it lies, if it was written out.
    rest: Option<(Arc<dyn SpoolFile>, u64, u64)>,
    piece: std::vec::IntoIter<Entry>,
    /// Entries that are read at once.
    most: usize,
}

impl Chunk {
    fn new(rest: Option<(Arc<dyn SpoolFile>, u64, u64)>, piece: Vec<Entry>, most: usize) -> Self {
        let piece = piece.into_iter();
        Self { rest, piece, most }
    }

    fn next(&mut self) -> io::Result<Option<Entry>> {
        if let Some(entry) = self.piece.next() {
            return Ok(Some(entry));
        }
        let Some((file, from, to)) = &mut self.rest else {
            return Ok(None);
        };
        let mut bytes = vec![0; (*to - *from).min((self.most * ENTRY) as u64) as usize];
        if file.read_at(&mut bytes, *from)? < bytes.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        *from += bytes.len() as u64;
        let (numbers, _) = bytes.as_chunks::<8>();
        let (entries, _) = numbers.as_chunks::<3>();
        let entry = |[a, b, place]: &[[u8; 8]; 3]| {
            let [a, b, place] = [a, b, place].map(|number| u64::from_le_bytes(*number));
            (a, b, place)
        };
        self.piece = entries.iter().map(entry).collect::<Vec<_>>().into_iter();
        Ok(self.piece.next())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::temporary::TemporarySpool;

    #[test]
    fn each_use_but_the_first_is_found_however_few_ids_are_in_memory() {
        let ids = ["a", "b", "a", "c", "d", "b", "a", "e", "f", "g"];
        let expected = vec![(1, 3), (1, 7), (2, 6)];
        for chunk in [1, 2, 3, 5, 9, 10, 11] {
            let mut seen = Seen::new(Arc::new(TemporarySpool::new().unwrap()));
            seen.chunk = chunk;
            for (id, place) in ids.iter().zip(1..) {
                seen.add(id, place).unwrap();
            }
            assert_eq!(seen.chunks as usize, (ids.len() - 1) / chunk, "{chunk}");
            let mut found = Vec::new();
            let show = |first, place| found.push((first, place));
            seen.duplicates(show).unwrap();
            found.sort_unstable();
            assert_eq!(found, expected, "{chunk}");
        }
    }

    #[test]
    fn many_ids_are_merged_from_many_chunks() {
        let mut seen = Seen::new(Arc::new(TemporarySpool::new().unwrap()));
        seen.chunk = 5_000;
        for place in 0..100_000_u64 {
            // Every thousandth is used again much later.
            let id = if place >= 99_900 {
                (place - 99_900) * 1_000
            } else {
                place
            };
            seen.add(&id.to_string(), place).unwrap();
        }
        let mut found = Vec::new();
        seen.duplicates(|first, place| found.push((first, place)))
            .unwrap();
        found.sort_unstable();
        let expected: Vec<_> = (0..100).map(|k| (k * 1_000, 99_900 + k)).collect();
        // The last hundred places stand under ids that were used before, but for those that name themselves.
        assert_eq!(found, expected);
    }
}
