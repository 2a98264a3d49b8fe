//! Spool of runs that are not recorded: in memory or, beyond a limit, in an unnamed file.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lmbatch_core::{Spool, SpoolFile, SpoolWriter};

use crate::spool::appending::Appending;
use crate::spool::arena::{Blocks, Home};

/// Number of bytes that the files of one spool may hold in memory together.
const IN_MEMORY: usize = 256 << 10;

/// Spool of files that are deleted with it, and with the process however it ends: no folder lists
/// them.
///
/// Small files stay in memory. Others are in one file that all temporary spools of the process
/// share, in the folder of [`std::env::temp_dir`], so that any number of runs keep one file open.
#[derive(Debug)]
pub struct TemporarySpool {
    files: Mutex<HashMap<String, Arc<TemporaryFile>>>,
    held: Arc<AtomicUsize>,
    /// Folder of the shared file; `None` for the system's folder for temporary files.
    home: Option<Arc<Home>>,
}

fn own<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl TemporarySpool {
    /// Returns an empty spool.
    ///
    /// # Errors
    /// None at present: the shared file is created when it is needed.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            files: Mutex::default(),
            held: Arc::default(),
            home: None,
        })
    }

    /// Returns an empty spool whose shared file is in `folder`.
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
    /// Number of bytes of the whole spool that are in memory.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn is_spilled(file: &TemporaryFile) -> bool {
        matches!(*own(&file.content), Content::Spilled(_))
    }

    #[test]
    fn files_stay_in_memory_until_their_sum_exceeds_the_limit() {
        let spool = TemporarySpool::new().unwrap();
        let half = vec![1; IN_MEMORY / 2];
        let files: Vec<_> = (0..3).map(|_| spool.file()).collect();
        for file in &files {
            file.write_at(&half, 0).unwrap();
        }
        let spilled: Vec<bool> = files.iter().map(|file| is_spilled(file)).collect();
        assert_eq!(spilled, [false, false, true]);
        // A file that grows later is moved as a whole, and frees memory for others.
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
    fn files_can_be_read_and_changed_at_any_offset_in_memory_and_on_disk() {
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
            // A new file under the same name is another file.
            spool.create("a").unwrap();
            assert_eq!(file.size().unwrap(), at(7));
            assert_eq!(spool.open("a").unwrap().size().unwrap(), 0);
            spool.remove("a").unwrap();
            assert!(spool.open("a").is_err());
        }
    }
}
