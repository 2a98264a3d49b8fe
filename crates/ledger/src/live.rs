//! Live counts of runs, next to the record: one small file for each run, which the process that advances the run
//! replaces while it polls.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use lmbatch_core::BatchSnapshot;

use crate::owner;

/// Statuses of a run's batches at their last polls.
#[derive(Debug, Clone, PartialEq)]
pub struct LiveCounts {
    /// Batches that were polled, each as the provider reported it last.
    pub batches: Vec<BatchSnapshot>,
    /// Time of the last poll of any batch, by the clock of this machine.
    pub polled_at: SystemTime,
}

/// Files with the live counts of runs, in the folder `live/` of a state folder.
///
/// The files are only for display, and are not part of the record: they are written without a sync and without a
/// claim, and no decision depends on them. A file that is lost or damaged reads as absent.
#[derive(Debug, Clone)]
pub struct LiveFolder {
    folder: PathBuf,
}

impl LiveFolder {
    /// Returns the files of a state folder. The folder `live/` is created by the first write.
    pub fn new(state: &Path) -> Self {
        Self {
            folder: state.join("live"),
        }
    }

    /// Replaces the live counts of a run; `at` is the time of the last poll.
    ///
    /// # Errors
    /// The error of the file system. The earlier counts stay readable then.
    pub fn write(&self, run: &str, batches: &[BatchSnapshot], at: SystemTime) -> io::Result<()> {
        let path = self.path(run)?;
        owner::folder(&self.folder)?;
        // One process at a time advances a run, so that its temporary file has one writer.
        let temporary = path.with_extension("new");
        let mut options = File::options();
        options.write(true).create(true).truncate(true);
        let mut file = owner::private(&mut options).open(&temporary)?;
        file.write_all(&serde_json::to_vec(batches)?)?;
        file.set_modified(at)?;
        drop(file);
        fs::rename(&temporary, &path)
    }

    /// Sets the time of the last poll of a run. Its counts stay.
    ///
    /// # Errors
    /// The error of the file system, such as [`NotFound`](io::ErrorKind::NotFound) for a run without counts.
    pub fn touch(&self, run: &str, at: SystemTime) -> io::Result<()> {
        let file = File::options().append(true).open(self.path(run)?)?;
        file.set_modified(at)
    }

    /// Reads the live counts of a run; `None` where there are none, or where they are damaged.
    pub fn read(&self, run: &str) -> Option<LiveCounts> {
        let path = self.path(run).ok()?;
        let polled_at = fs::metadata(&path).and_then(|found| found.modified());
        let batches = serde_json::from_slice(&fs::read(&path).ok()?).ok()?;
        Some(LiveCounts {
            batches,
            polled_at: polled_at.ok()?,
        })
    }

    /// Deletes the live counts of a run.
    ///
    /// # Errors
    /// The error of the file system. A run without counts is not an error.
    pub fn remove(&self, run: &str) -> io::Result<()> {
        match fs::remove_file(self.path(run)?) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Returns the path of a run's file. Fails for an id that is not a plain file name.
    fn path(&self, run: &str) -> io::Result<PathBuf> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        match !run.is_empty() && run.bytes().all(plain) {
            true => Ok(self.folder.join(format!("{run}.json"))),
            false => Err(io::ErrorKind::InvalidInput.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use lmbatch_core::{BatchId, BatchStatus};

    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn snapshot(succeeded: u64) -> BatchSnapshot {
        let mut snapshot = BatchSnapshot::new(BatchId::new("batch_1"), BatchStatus::InProgress);
        snapshot.counts.total = Some(10);
        snapshot.counts.succeeded = succeeded;
        snapshot
    }

    #[test]
    fn counts_that_one_process_writes_are_read_by_another() {
        let state = tempfile::tempdir().unwrap();
        let live = LiveFolder::new(state.path());
        assert_eq!(live.read("r-1"), None);
        live.write("r-1", &[snapshot(3)], at(1_000)).unwrap();
        live.write("r-1", &[snapshot(4)], at(1_001)).unwrap();
        let other = LiveFolder::new(state.path());
        assert_eq!(other.read("r-1").unwrap().batches, [snapshot(4)]);
        assert_eq!(other.read("r-2"), None);
        other.remove("r-1").unwrap();
        other.remove("r-1").unwrap();
        assert_eq!(live.read("r-1"), None);
    }

    #[test]
    fn a_poll_without_a_change_renews_only_the_time() {
        let state = tempfile::tempdir().unwrap();
        let live = LiveFolder::new(state.path());
        assert!(live.touch("r-1", at(1_000)).is_err());
        live.write("r-1", &[snapshot(3)], at(1_000)).unwrap();
        assert_eq!(live.read("r-1").unwrap().polled_at, at(1_000));
        live.touch("r-1", at(1_060)).unwrap();
        let read = live.read("r-1").unwrap();
        assert_eq!(read.polled_at, at(1_060));
        assert_eq!(read.batches, [snapshot(3)]);
    }

    #[test]
    fn damaged_counts_read_as_absent() {
        let state = tempfile::tempdir().unwrap();
        let live = LiveFolder::new(state.path());
        live.write("r-1", &[snapshot(3)], at(1_000)).unwrap();
        fs::write(live.path("r-1").unwrap(), "[{").unwrap();
        assert_eq!(live.read("r-1"), None);
        assert!(live.write("../r-1", &[], at(1)).is_err());
    }
}
