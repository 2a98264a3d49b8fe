//! A spool in memory, for fast tests, and the clauses that every spool keeps.

mod clauses;

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lmbatch_core::{Spool, SpoolFile, SpoolWriter};

pub use clauses::{Clause, Subject, clauses};

/// Files of a spool in memory.
#[derive(Debug, Default)]
pub struct MemorySpool {
    files: Mutex<HashMap<String, Arc<MemoryFile>>>,
}

#[derive(Debug, Default)]
struct MemoryFile(Mutex<Vec<u8>>);

fn own<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Spool for MemorySpool {
    fn create(&self, name: &str) -> io::Result<Box<dyn SpoolWriter>> {
        let file = Arc::new(MemoryFile::default());
        own(&self.files).insert(name.to_owned(), Arc::clone(&file));
        Ok(Box::new(MemoryWriter(file)))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn SpoolFile>> {
        let file = own(&self.files).get(name).cloned();
        file.map(|file| file as Arc<dyn SpoolFile>)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        own(&self.files).remove(name);
        Ok(())
    }

    fn scratch(&self) -> io::Result<Arc<dyn SpoolFile>> {
        Ok(Arc::new(MemoryFile::default()))
    }
}

struct MemoryWriter(Arc<MemoryFile>);

impl io::Write for MemoryWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        own(&self.0.0).extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl SpoolWriter for MemoryWriter {
    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl SpoolFile for MemoryFile {
    fn size(&self) -> io::Result<u64> {
        Ok(own(&self.0).len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let file = own(&self.0);
        let rest = file.get(offset as usize..).unwrap_or_default();
        let read = rest.len().min(buffer.len());
        buffer[..read].copy_from_slice(&rest[..read]);
        Ok(read)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let (mut file, from) = (own(&self.0), offset as usize);
        let len = file.len().max(from + bytes.len());
        file.resize(len, 0);
        file[from..from + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }
}
