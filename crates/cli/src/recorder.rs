//! Writer of the live counts of runs that this process advances, for `status`, `runs` and `show` in other processes.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use lmbatch::durable::LiveFolder;
use lmbatch::{BatchId, BatchSnapshot, Clock};
use tokio::sync::Notify;

/// Minimum time between two writes: the cost of many polls is that of one.
const INTERVAL: Duration = Duration::from_secs(5);

/// Counts of one run that wait to be written.
#[derive(Debug, Default)]
struct Counts {
    /// Batches that have not ended; the record has the counts of those that have.
    batches: BTreeMap<BatchId, BatchSnapshot>,
    /// True if the counts differ from those in the file.
    changed: bool,
    /// Time of the last poll, if it is not in the file yet.
    polled_at: Option<SystemTime>,
}

/// Writer of live counts. A count that cannot be written is lost, and nothing else is.
#[derive(Debug)]
pub(crate) struct Recorder {
    live: LiveFolder,
    clock: Arc<dyn Clock>,
    runs: Mutex<HashMap<String, Counts>>,
    polled: Notify,
}

impl Recorder {
    /// Returns a writer, with a task that writes at most every 5 seconds.
    pub(crate) fn start(live: LiveFolder, clock: Arc<dyn Clock>) -> Arc<Self> {
        let recorder = Arc::new(Self::new(live, clock));
        let writer = Arc::clone(&recorder);
        tokio::spawn(async move {
            loop {
                writer.polled.notified().await;
                writer.flush();
                writer.clock.sleep(INTERVAL).await;
            }
        });
        recorder
    }

    fn new(live: LiveFolder, clock: Arc<dyn Clock>) -> Self {
        Self {
            live,
            clock,
            runs: Mutex::default(),
            polled: Notify::new(),
        }
    }

    fn runs(&self) -> MutexGuard<'_, HashMap<String, Counts>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the status of a batch that was polled.
    pub(crate) fn polled(&self, run: &str, snapshot: &BatchSnapshot) {
        let mut runs = self.runs();
        let counts = match runs.get_mut(run) {
            Some(counts) => counts,
            None => runs.entry(run.to_owned()).or_default(),
        };
        counts.polled_at = Some(self.clock.now());
        if snapshot.status.is_terminal() {
            counts.changed |= counts.batches.remove(&snapshot.id).is_some();
        } else {
            let short = short(snapshot);
            if counts.batches.get(&snapshot.id) != Some(&short) {
                counts.batches.insert(snapshot.id.clone(), short);
                counts.changed = true;
            }
        }
        drop(runs);
        self.polled.notify_one();
    }

    /// Forgets a run that has ended, and deletes its file.
    pub(crate) fn forget(&self, run: &str) {
        self.runs().remove(run);
        // A file that stays does no harm: the record of the run has its counts.
        let _ = self.live.remove(run);
    }

    /// Writes everything that is not written yet.
    pub(crate) fn flush(&self) {
        for (run, at, batches) in self.due() {
            // A poll without a change costs no write of the counts.
            let written = match &batches {
                Some(batches) => self.live.write(&run, batches, at),
                None => self.live.touch(&run, at),
            };
            match self.runs().get_mut(&run) {
                // A full disk must not fail the run: the counts are written with those of the next poll.
                Some(counts) => counts.changed |= written.is_err(),
                // The run has ended while its counts were written.
                None => drop(self.live.remove(&run)),
            }
        }
    }

    /// Takes the runs that were polled since the last write: the time of the poll, and the counts if they changed.
    fn due(&self) -> Vec<(String, SystemTime, Option<Vec<BatchSnapshot>>)> {
        let mut due = Vec::new();
        for (run, counts) in self.runs().iter_mut() {
            let Some(at) = counts.polled_at.take() else {
                continue;
            };
            let changed = std::mem::take(&mut counts.changed);
            let batches = changed.then(|| counts.batches.values().cloned().collect());
            due.push((run.clone(), at, batches));
        }
        due
    }
}

/// Returns the part of a status that `status` shows.
fn short(snapshot: &BatchSnapshot) -> BatchSnapshot {
    let mut short = BatchSnapshot::new(snapshot.id.clone(), snapshot.status.clone());
    short.counts = snapshot.counts;
    short.created_at = snapshot.created_at;
    short.expires_at = snapshot.expires_at;
    short
}

#[cfg(test)]
mod tests {
    use lmbatch::{BatchStatus, RequestCounts};
    use lmbatch_testing::TestClock;

    use super::*;

    fn snapshot(status: BatchStatus, succeeded: u64) -> BatchSnapshot {
        {
            let mut snapshot = BatchSnapshot::new(BatchId::new("b"), status);
            snapshot.counts = RequestCounts {
                succeeded,
                ..RequestCounts::default()
            };
            snapshot
        }
    }

    #[tokio::test]
    async fn many_polls_in_five_seconds_are_one_write() {
        let folder = tempfile::tempdir().unwrap();
        let live = LiveFolder::new(folder.path());
        let recorder = Recorder::new(live.clone(), Arc::new(TestClock::default()));
        for succeeded in 0..100 {
            recorder.polled("r-1", &snapshot(BatchStatus::InProgress, succeeded));
        }
        assert_eq!(live.read("r-1"), None);
        recorder.flush();
        let read = live.read("r-1").unwrap();
        assert_eq!(read.batches, [snapshot(BatchStatus::InProgress, 99)]);
        // A batch that has ended is in the record, and a run that has ended leaves no file.
        recorder.polled("r-1", &snapshot(BatchStatus::Completed, 100));
        recorder.flush();
        assert_eq!(live.read("r-1").unwrap().batches, []);
        recorder.forget("r-1");
        recorder.flush();
        assert_eq!(live.read("r-1"), None);
    }
}
