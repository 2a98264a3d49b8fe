//! Writer of a spool file that does not outlive the process.

use std::io::{self, Write};
use std::sync::Arc;

use lmbatch_core::{SpoolFile, SpoolWriter};

/// Writer of a spool file, from front to back.
pub(crate) struct Appending {
    pub(crate) file: Arc<dyn SpoolFile>,
    pub(crate) at: u64,
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
    /// Does nothing: the file does not outlive the process.
    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}
