//! Finds ids that are used more than once, in constant memory for any number of ids.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::sync::Arc;

use lmbatch_core::{Spool, SpoolFile};

/// Two hashes of an id under keys drawn for this plan, and the position of its request.
type Entry = (u64, u64, u64);

/// Size of an entry in the file, in bytes.
const ENTRY: usize = 24;

/// Number of entries that are sorted in memory: 3 MiB.
const CHUNK: usize = 1 << 17;

/// Most and fewest entries that are read from a chunk at once: those of all chunks together take no
/// more memory than one chunk does, for up to a thousand million ids.
const PIECE: usize = 1 << 10;
const SMALLEST_PIECE: usize = 1 << 4;

/// Ids of a plan: sorted by their hashes in chunks, which are written to a file except for the
/// last, and merged.
#[derive(Debug)]
pub(crate) struct DuplicateFinder {
    spool: Arc<dyn Spool>,
    hashers: [RandomState; 2],
    entries: Vec<Entry>,
    /// Number of entries in a full chunk.
    chunk: usize,
    /// File of the full chunks; created with the first of them.
    file: Option<Arc<dyn SpoolFile>>,
    chunks: u64,
}

impl DuplicateFinder {
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

    /// Shows each use of an id except the first, with the position of the first, in any order.
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

/// Sorted chunk that is read from front to back.
struct Chunk {
    /// File and range of the unread entries, if the chunk was written out.
    rest: Option<(Arc<dyn SpoolFile>, u64, u64)>,
    piece: std::vec::IntoIter<Entry>,
    /// Number of entries that are read at once.
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
    fn each_use_but_the_first_is_found_for_any_size_of_chunk() {
        let ids = ["a", "b", "a", "c", "d", "b", "a", "e", "f", "g"];
        let expected = vec![(1, 3), (1, 7), (2, 6)];
        for chunk in [1, 2, 3, 5, 9, 10, 11] {
            let mut seen = DuplicateFinder::new(Arc::new(TemporarySpool::new().unwrap()));
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
        let mut seen = DuplicateFinder::new(Arc::new(TemporarySpool::new().unwrap()));
        seen.chunk = 5_000;
        for place in 0..100_000_u64 {
            // Every thousandth id is used again much later.
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
        // The last hundred positions repeat earlier ids, except for the one whose id is its own
        // position.
        assert_eq!(found, expected);
    }
}
