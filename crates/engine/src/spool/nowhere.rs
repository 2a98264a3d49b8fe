//! Spool that keeps nothing, for checks.

use std::io;
use std::io::Write;
use std::sync::Arc;

use lmbatch_core::{Spool, SpoolFile, SpoolWriter};

use crate::spool::folder::Nameless;

/// Spool that discards what is written, for plans that are only checked.
#[derive(Debug)]
pub(crate) struct Nowhere;

impl Spool for Nowhere {
    fn create(&self, _: &str) -> io::Result<Box<dyn SpoolWriter>> {
        Ok(Box::new(NowhereWriter))
    }
    fn open(&self, _: &str) -> io::Result<Arc<dyn SpoolFile>> {
        Err(io::ErrorKind::NotFound.into())
    }
    fn remove(&self, _: &str) -> io::Result<()> {
        Ok(())
    }
    fn scratch(&self) -> io::Result<Arc<dyn SpoolFile>> {
        Ok(Arc::new(Nameless(tempfile::tempfile()?)))
    }
}

struct NowhereWriter;

impl Write for NowhereWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl SpoolWriter for NowhereWriter {
    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}
