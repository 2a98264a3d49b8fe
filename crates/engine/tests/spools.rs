//! All clauses of spools, checked for each spool of the workspace, and the faults that each clause finds.

use std::fmt;
use std::io;
use std::sync::Arc;

use lmbatch_core::{Spool, SpoolFile, SpoolWriter};
use lmbatch_engine::{FolderSpool, TemporarySpool};
use lmbatch_testing::MemorySpool;
use lmbatch_testing::spool::{Subject, clauses};

#[test]
fn the_spool_in_a_folder_keeps_every_clause() {
    for clause in clauses() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_owned();
        let subject = Subject::new(Arc::new(FolderSpool::new(&path)))
            .with_reopen(move || Arc::new(FolderSpool::new(&path)));
        assert_eq!(clause.hold(&subject), Ok(()), "{clause}");
    }
}

#[test]
fn the_temporary_spool_keeps_every_clause() {
    for clause in clauses() {
        let subject = Subject::new(Arc::new(TemporarySpool::new().unwrap()));
        assert_eq!(clause.hold(&subject), Ok(()), "{clause}");
    }
}

#[test]
fn the_spool_in_memory_keeps_every_clause() {
    for clause in clauses() {
        let subject = Subject::new(Arc::new(MemorySpool::default()));
        assert_eq!(clause.hold(&subject), Ok(()), "{clause}");
    }
}

/// Fault of a spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    CutsWrites,
    ReadsAtTheWrongPlace,
    ReadsBeyondTheEnd,
    OverwritesNothing,
    RefusesGaps,
    HidesUnsyncedBytes,
    Appends,
    CutsNames,
    CreatesOnOpen,
    KeepsRemoved,
    FailsToRemoveUnknown,
    SharesScratch,
    LimitsOpenFiles,
}

/// Spool in memory with a fault.
#[derive(Debug)]
struct Broken {
    inner: MemorySpool,
    fault: Fault,
    created: std::sync::atomic::AtomicUsize,
}

struct BrokenWriter {
    inner: Box<dyn SpoolWriter>,
    fault: Fault,
    held: Vec<u8>,
}

struct BrokenFile {
    inner: Arc<dyn SpoolFile>,
    fault: Fault,
}

impl fmt::Debug for BrokenFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fault.fmt(f)
    }
}

impl io::Write for BrokenWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.fault {
            Fault::CutsWrites if bytes.len() > 1_000 => self.inner.write_all(&bytes[..1_000])?,
            Fault::HidesUnsyncedBytes => self.held.extend_from_slice(bytes),
            _ => self.inner.write_all(bytes)?,
        }
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl SpoolWriter for BrokenWriter {
    fn sync(&mut self) -> io::Result<()> {
        self.inner.write_all(&std::mem::take(&mut self.held))?;
        self.inner.sync()
    }
}

impl SpoolFile for BrokenFile {
    fn size(&self) -> io::Result<u64> {
        self.inner.size()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        match self.fault {
            Fault::ReadsAtTheWrongPlace if offset > 0 => self.inner.read_at(buffer, offset - 1),
            Fault::ReadsBeyondTheEnd if offset < self.size()? => {
                self.inner.read_at(buffer, offset)?;
                Ok(buffer.len())
            }
            _ => self.inner.read_at(buffer, offset),
        }
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        match self.fault {
            Fault::OverwritesNothing if offset < self.size()? => Ok(()),
            Fault::RefusesGaps if offset > self.size()? => Err(io::ErrorKind::InvalidInput.into()),
            _ => self.inner.write_at(bytes, offset),
        }
    }
}

impl Broken {
    fn name(&self, name: &str) -> String {
        match self.fault {
            Fault::CutsNames => name.chars().take(8).collect(),
            _ => name.to_owned(),
        }
    }
}

impl Spool for Broken {
    fn create(&self, name: &str) -> io::Result<Box<dyn SpoolWriter>> {
        use std::sync::atomic::Ordering;
        let name = self.name(name);
        let before = self.inner.open(&name).ok();
        if self.created.fetch_add(1, Ordering::Relaxed) > 200
            && self.fault == Fault::LimitsOpenFiles
        {
            return Err(io::Error::from_raw_os_error(24));
        }
        let mut inner = self.inner.create(&name)?;
        if let (Fault::Appends, Some(before)) = (self.fault, before) {
            let mut bytes = vec![0; usize::try_from(before.size()?).unwrap_or_default()];
            before.read_at(&mut bytes, 0)?;
            inner.write_all(&bytes)?;
        }
        Ok(Box::new(BrokenWriter {
            inner,
            fault: self.fault,
            held: Vec::new(),
        }))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn SpoolFile>> {
        let name = self.name(name);
        let inner = match self.inner.open(&name) {
            Err(_) if self.fault == Fault::CreatesOnOpen => {
                self.inner.create(&name)?;
                self.inner.open(&name)?
            }
            other => other?,
        };
        Ok(Arc::new(BrokenFile {
            inner,
            fault: self.fault,
        }))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        match self.fault {
            Fault::KeepsRemoved => Ok(()),
            Fault::FailsToRemoveUnknown => self.inner.open(name).map(drop),
            _ => self.inner.remove(name),
        }
    }

    fn scratch(&self) -> io::Result<Arc<dyn SpoolFile>> {
        if self.fault == Fault::SharesScratch {
            let shared = self.inner.open("scratch");
            return shared.or_else(|_| {
                self.inner.create("scratch")?;
                self.inner.open("scratch")
            });
        }
        self.inner.scratch()
    }
}

#[test]
fn each_fault_of_a_spool_is_found_by_the_clause_that_names_it() {
    for (fault, name) in [
        (Fault::CutsWrites, "a_file_is_read_as_it_was_written"),
        (
            Fault::ReadsAtTheWrongPlace,
            "a_file_is_read_as_it_was_written",
        ),
        (
            Fault::ReadsBeyondTheEnd,
            "a_read_beyond_the_end_returns_what_is_there",
        ),
        (
            Fault::OverwritesNothing,
            "a_part_of_a_file_can_be_overwritten",
        ),
        (
            Fault::RefusesGaps,
            "a_write_beyond_the_end_fills_the_gap_with_zeros",
        ),
        (
            Fault::HidesUnsyncedBytes,
            "a_file_can_be_read_while_it_is_written",
        ),
        (Fault::Appends, "a_new_file_replaces_one_with_the_same_name"),
        (
            Fault::CutsNames,
            "names_that_begin_alike_are_different_files",
        ),
        (Fault::CreatesOnOpen, "an_unknown_file_is_not_found"),
        (Fault::KeepsRemoved, "a_removed_file_is_not_found"),
        (
            Fault::FailsToRemoveUnknown,
            "removing_an_unknown_file_is_no_error",
        ),
        (Fault::SharesScratch, "scratch_files_share_no_bytes"),
        (
            Fault::LimitsOpenFiles,
            "any_number_of_files_is_in_use_at_once",
        ),
    ] {
        let clause = clauses().iter().find(|clause| clause.name == name).unwrap();
        let broken = Broken {
            inner: MemorySpool::default(),
            fault,
            created: Default::default(),
        };
        let held = clause.hold(&Subject::new(Arc::new(broken)));
        assert!(held.is_err(), "{fault:?} passes {name}");
    }
    // A spool that forgets what it synced.
    let clause = clauses().last().unwrap();
    let forgetful = Subject::new(Arc::new(MemorySpool::default()))
        .with_reopen(|| Arc::new(MemorySpool::default()));
    assert!(
        clause.hold(&forgetful).is_err(),
        "{clause} misses lost files"
    );
}
