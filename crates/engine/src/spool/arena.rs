//! One unnamed file for all temporary data that does not fit into memory.
//!
//! A process may have hundreds of runs at once but only a few hundred open files. The temporary
//! data of all runs therefore shares one file, which no folder lists, so that nothing stays behind
//! however the process ends. Runs of a state folder share a file in that folder.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// Size of a block in bytes.
const BLOCK: u64 = 256 << 10;

/// Arena of this process, in the system's folder for temporary files.
static ARENA: Home = Home {
    folder: None,
    arena: Mutex::new(Weak::new()),
};

/// Folder with its arena, which exists as long as it holds data.
#[derive(Debug)]
pub(crate) struct Home {
    /// Path of the folder; `None` for the system's folder for temporary files.
    folder: Option<PathBuf>,
    arena: Mutex<Weak<Arena>>,
}

impl Home {
    /// Returns a folder with an arena of its own.
    pub(crate) fn new(folder: PathBuf) -> Arc<Self> {
        Arc::new(Self {
            folder: Some(folder),
            arena: Mutex::default(),
        })
    }
}

/// File of blocks, each of which is owned or free.
#[derive(Debug)]
struct Arena {
    file: File,
    blocks: Mutex<Free>,
}

#[derive(Debug, Default)]
struct Free {
    /// Free blocks, which still hold what their last owner wrote.
    used: Vec<u32>,
    /// Number of all blocks.
    count: u32,
}

fn own<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Arena {
    fn open(home: &Home) -> io::Result<Arc<Self>> {
        let mut shared = own(&home.arena);
        if let Some(arena) = shared.upgrade() {
            return Ok(arena);
        }
        let arena = Arc::new(Self {
            file: match &home.folder {
                Some(folder) => tempfile::tempfile_in(folder)?,
                None => tempfile::tempfile()?,
            },
            blocks: Mutex::default(),
        });
        *shared = Arc::downgrade(&arena);
        Ok(arena)
    }

    /// Takes a block that reads as zeros.
    fn take(&self) -> io::Result<u32> {
        let used = own(&self.blocks).used.pop();
        if let Some(block) = used {
            // The block still holds the bytes of another run.
            let zeros = vec![0; BLOCK as usize];
            let zeroed = self.file.write_all_at(&zeros, u64::from(block) * BLOCK);
            if zeroed.is_err() {
                own(&self.blocks).used.push(block);
            }
            return zeroed.map(|()| block);
        }
        let mut blocks = own(&self.blocks);
        let block = blocks.count;
        blocks.count = block
            .checked_add(1)
            .ok_or_else(|| io::Error::other("the temporary file is full"))?;
        Ok(block)
    }
}

/// Fills the buffer, or as much of it as the file has bytes for.
pub(crate) fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Blocks of one temporary file, in order. Bytes that were never written read as zeros.
#[derive(Debug)]
pub(crate) struct Blocks {
    arena: Arc<Arena>,
    blocks: Vec<Option<u32>>,
    len: u64,
}

impl Blocks {
    /// Returns an empty file, in the arena of a folder or in that of the process.
    pub(crate) fn new(home: Option<&Home>) -> io::Result<Self> {
        Ok(Self {
            arena: Arena::open(home.unwrap_or(&ARENA))?,
            blocks: Vec::new(),
            len: 0,
        })
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    pub(crate) fn write_at(&mut self, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
        while !bytes.is_empty() {
            let (at, within) = ((offset / BLOCK) as usize, offset % BLOCK);
            if self.blocks.len() <= at {
                self.blocks.resize(at + 1, None);
            }
            let block = match self.blocks[at] {
                Some(block) => block,
                None => *self.blocks[at].insert(self.arena.take()?),
            };
            let piece = bytes.len().min((BLOCK - within) as usize);
            let place = u64::from(block) * BLOCK + within;
            self.arena.file.write_all_at(&bytes[..piece], place)?;
            offset += piece as u64;
            self.len = self.len.max(offset);
            bytes = &bytes[piece..];
        }
        Ok(())
    }

    /// Fills the buffer, or as much of it as the file has bytes for.
    pub(crate) fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let wanted = (buffer.len() as u64).min(self.len.saturating_sub(offset)) as usize;
        let mut filled = 0;
        while filled < wanted {
            let from = offset + filled as u64;
            let (at, within) = ((from / BLOCK) as usize, from % BLOCK);
            let piece = (wanted - filled).min((BLOCK - within) as usize);
            let part = &mut buffer[filled..filled + piece];
            match self.blocks.get(at).copied().flatten() {
                Some(block) => {
                    let place = u64::from(block) * BLOCK + within;
                    let read = read_at(&self.arena.file, part, place)?;
                    // Bytes behind the end of the file were never written.
                    part[read..].fill(0);
                }
                None => part.fill(0),
            }
            filled += piece;
        }
        Ok(filled)
    }
}

impl Drop for Blocks {
    fn drop(&mut self) {
        let mut free = own(&self.arena.blocks);
        free.used.extend(self.blocks.drain(..).flatten());
        if free.used.len() as u32 == free.count {
            // Frees space on the disk. A file that cannot be truncated is freed when the process
            // ends.
            if self.arena.file.set_len(0).is_ok() {
                *free = Free::default();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use lmbatch_core::Rng as _;

    use super::*;

    /// Compares blocks with a vector: writes at any offset, gaps, and blocks that were used before.
    #[test]
    fn blocks_hold_only_what_their_owner_has_written() {
        let rng = crate::clock::SystemRng;
        let before = || {
            let mut blocks = Blocks::new(None).unwrap();
            blocks.write_at(&[7; 3 * BLOCK as usize], 0).unwrap();
            blocks
        };
        for _ in 0..20 {
            let (first, _second) = (before(), before());
            drop(first);
            let (mut blocks, mut model) = (Blocks::new(None).unwrap(), Vec::new());
            for _ in 0..30 {
                let offset = (rng.next_f64() * 4.0 * BLOCK as f64) as usize;
                let length = (rng.next_f64() * 1.5 * BLOCK as f64) as usize;
                let bytes = vec![(rng.next_u64() % 5) as u8; length];
                blocks.write_at(&bytes, offset as u64).unwrap();
                if length > 0 {
                    let end = model.len().max(offset + length);
                    model.resize(end, 0);
                    model[offset..offset + length].copy_from_slice(&bytes);
                }
                assert_eq!(blocks.len(), model.len() as u64);
                let from = (rng.next_f64() * 5.0 * BLOCK as f64) as usize;
                let mut buffer = vec![9; length + 100];
                let read = blocks.read_at(&mut buffer, from as u64).unwrap();
                let rest = model.get(from..).unwrap_or_default();
                let expected = &rest[..rest.len().min(length + 100)];
                assert!(buffer[..read] == *expected, "{from}");
            }
        }
    }

    #[test]
    fn all_runs_share_one_file() {
        let several: Vec<Blocks> = (0..10).map(|_| Blocks::new(None).unwrap()).collect();
        let first = &several[0].arena;
        assert!(several.iter().all(|one| Arc::ptr_eq(&one.arena, first)));
    }

    #[test]
    fn runs_of_a_folder_share_a_file_that_it_does_not_list() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::new(folder.path().to_owned());
        let mut several: Vec<Blocks> = (0..10).map(|_| Blocks::new(Some(&home)).unwrap()).collect();
        for blocks in &mut several {
            blocks.write_at(b"x", 0).unwrap();
        }
        let first = &several[0].arena;
        assert!(several.iter().all(|one| Arc::ptr_eq(&one.arena, first)));
        assert!(!Arc::ptr_eq(first, &Blocks::new(None).unwrap().arena));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
