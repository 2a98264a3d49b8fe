//! The spool of what is not recorded: in memory, or, where that is too much, in a file without a name.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lmbatch_core::{Spool, SpoolFile, SpoolWriter};

use crate::spool::arena::{Blocks, Home};

/// Bytes that the files of one spool may have in memory together.
const IN_MEMORY: usize = 256 << 10;

/// Files that go with the spool, and with the process however it ends: no folder lists them.
///
/// What is small stays in memory; what is not lies in one file that all temporary spools of the process share,
/// in the folder of [`std::env::temp_dir`], so that any number of runs have one file open.
#[derive(Debug)]
pub struct TemporarySpool {
    files: Mutex<HashMap<String, Arc<TemporaryFile>>>,
    held: Arc<AtomicUsize>,
    /// Folder of what does not fit into memory, where it is not that of temporary files.
    home: Option<Arc<Home>>,
}

fn own<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl TemporarySpool {
    /// Makes an empty one.
    ///
    /// # Errors
    /// None at present: the shared file is made when it is needed.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            files: Mutex::default(),
            held: Arc::default(),
            home: None,
        })
    }

    /// Makes an empty one. What does not fit into memory lies in one file in `folder`.
    pub(crate) fn in_folder(folder: PathBuf) -> Self {
        Self {
            files: Mutex::default(),
            held: Arc::default(),
            home: Some(Home::new(folder)),
        }
    }

    fn file(&self) -> Arc<TemporaryFile> {
        Arc::new(TemporaryFile {
            held: Arc::clone(&self.held),
            home: self.home.clone(),
            content: Mutex::new(Content::Memory(Vec::new())),
        })
    }
}

impl Spool for TemporarySpool {
    fn create(&self, name: &str) -> io::Result<Box<dyn SpoolWriter>> {
        let file = self.file();
        own(&self.files).insert(name.to_owned(), Arc::clone(&file));
        Ok(Box::new(Appending { file, at: 0 }))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn SpoolFile>> {
        let file = own(&self.files).get(name).cloned();
        let file = file.ok_or(io::ErrorKind::NotFound)?;
        Ok(file)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        own(&self.files).remove(name);
        Ok(())
    }

    fn scratch(&self) -> io::Result<Arc<dyn SpoolFile>> {
        Ok(self.file())
    }
}

#[derive(Debug)]
struct TemporaryFile {
    /// Bytes of the whole spool that are in memory.
    held: Arc<AtomicUsize>,
    home: Option<Arc<Home>>,
    content: Mutex<Content>,
}

#[derive(Debug)]
enum Content {
    Memory(Vec<u8>),
    Spilled(Blocks),
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        if let Content::Memory(bytes) = &*own(&self.content) {
            self.held.fetch_sub(bytes.len(), Ordering::Relaxed);
        }
    }
}

impl SpoolFile for TemporaryFile {
    fn size(&self) -> io::Result<u64> {
        Ok(match &*own(&self.content) {
            Content::Memory(bytes) => bytes.len() as u64,
            Content::Spilled(blocks) => blocks.len(),
        })
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        match &*own(&self.content) {
            Content::Memory(bytes) => {
                let from = usize::try_from(offset).unwrap_or(usize::MAX);
                let rest = bytes.get(from..).unwrap_or_default();
                let read = rest.len().min(buffer.len());
                buffer[..read].copy_from_slice(&rest[..read]);
                Ok(read)
            }
            Content::Spilled(blocks) => blocks.read_at(buffer, offset),
        }
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut content = own(&self.content);
        let held = match &mut *content {
            Content::Spilled(blocks) => return blocks.write_at(bytes, offset),
            Content::Memory(held) => held,
        };
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let end = held.len().max(from.saturating_add(bytes.len()));
        let more = end - held.len();
        let all = self.held.fetch_add(more, Ordering::Relaxed);
        if all.saturating_add(more) <= IN_MEMORY {
            held.resize(end, 0);
            held[from..from + bytes.len()].copy_from_slice(bytes);
            return Ok(());
        }
        self.held.fetch_sub(more, Ordering::Relaxed);
        let mut blocks = Blocks::new(self.home.as_deref())?;
        blocks.write_at(held, 0)?;
        blocks.write_at(bytes, offset)?;
        self.held.fetch_sub(held.len(), Ordering::Relaxed);
        *content = Content::Spilled(blocks);
        Ok(())
    }
}

struct Appending {
    file: Arc<TemporaryFile>,
    at: u64,
}

impl Write for Appending {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_at(bytes, self.at)?;
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl SpoolWriter for Appending {
    /// Nothing of it outlives the process, let alone a power loss.
    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_spilled(file: &TemporaryFile) -> bool {
        matches!(*own(&file.content), Content::Spilled(_))
    }

    #[test]
    fn files_stay_in_memory_until_they_are_too_much_together() {
        let spool = TemporarySpool::new().unwrap();
        let half = vec![1; IN_MEMORY / 2];
        let files: Vec<_> = (0..3).map(|_| spool.file()).collect();
        for file in &files {
            file.write_at(&half, 0).unwrap();
        }
        let spilled: Vec<bool> = files.iter().map(|file| is_spilled(file)).collect();
        assert_eq!(spilled, [false, false, true]);
        // What grows later goes as a whole, and makes room for others.
        files[0].write_at(b"x", half.len() as u64).unwrap();
        assert!(is_spilled(&files[0]));
        let other = spool.file();
        other.write_at(&half, 0).unwrap();
        assert!(!is_spilled(&other));
        for file in &files {
            let mut buffer = vec![0; half.len()];
            assert_eq!(file.read_at(&mut buffer, 0).unwrap(), half.len());
            assert!(buffer == half);
        }
        assert_eq!(files[0].size().unwrap(), half.len() as u64 + 1);
        drop((files, other));
        assert_eq!(spool.held.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn what_is_written_is_read_and_patched_anywhere_in_memory_and_out_of_it() {
        for filler in [0, IN_MEMORY] {
            let spool = TemporarySpool::new().unwrap();
            let mut writer = spool.create("a").unwrap();
            writer.write_all(&vec![b'.'; filler]).unwrap();
            writer.write_all(b"hello").unwrap();
            let file = spool.open("a").unwrap();
            let at = |offset: usize| (filler + offset) as u64;
            file.write_at(b"p me", at(3)).unwrap();
            let mut buffer = [0; 10];
            let read = file.read_at(&mut buffer, at(1)).unwrap();
            assert_eq!(
                (&buffer[..read], file.size().unwrap()),
                (&b"elp me"[..], at(7))
            );
            assert_eq!(file.read_at(&mut buffer, at(9)).unwrap(), 0);
            // A file that comes in its place is another one.
            spool.create("a").unwrap();
            assert_eq!(file.size().unwrap(), at(7));
            assert_eq!(spool.open("a").unwrap().size().unwrap(), 0);
            spool.remove("a").unwrap();
            assert!(spool.open("a").is_err());
        }
    }
}
