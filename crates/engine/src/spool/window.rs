//! Fixed-size entries in a spool file, read mostly from front to back.

use std::io;
use std::sync::Arc;

use lmbatch_core::SpoolFile;

/// Reader of a table of entries of `N` bytes, through a window that begins at the entry that was
/// last read from the file.
#[derive(Debug)]
pub(crate) struct Window<const N: usize> {
    file: Arc<dyn SpoolFile>,
    /// Number of entries in the table.
    count: u32,
    /// Number of entries that are read at once.
    most: usize,
    /// Number of the first entry in memory.
    from: u32,
    held: Vec<u8>,
}

impl<const N: usize> Window<N> {
    pub(crate) fn new(file: Arc<dyn SpoolFile>, count: u32, most: usize) -> Self {
        Self {
            file,
            count,
            most: most.max(1),
            from: 0,
            held: Vec::new(),
        }
    }

    /// Returns an entry; `None` beyond the last.
    ///
    /// # Errors
    /// Those of the file, and [`io::ErrorKind::UnexpectedEof`] where the file is shorter than the
    /// table.
    pub(crate) fn get(&mut self, at: u32) -> io::Result<Option<&[u8; N]>> {
        if at >= self.count {
            return Ok(None);
        }
        let held = (self.held.len() / N) as u32;
        if at < self.from || at - self.from >= held {
            let entries = ((self.count - at) as usize).min(self.most);
            self.held.resize(entries * N, 0);
            self.from = at;
            let read = self
                .file
                .read_at(&mut self.held, u64::from(at) * N as u64)?;
            if read < self.held.len() {
                self.held.clear();
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let (entries, _) = self.held.as_chunks::<N>();
        Ok(entries.get((at - self.from) as usize))
    }
}
