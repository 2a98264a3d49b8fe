//! Limits on the outputs and deletions that many runs perform at once, since each holds files or connections open.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::sink::Place;
use crate::target::Target;

/// Maximum number of output files that are written at once.
const OUTPUTS: usize = 4;

/// Maximum number of runs of one account whose data is deleted at the provider at once.
const CLEANINGS: usize = 4;

/// Limits on the outputs of all runs of the command.
#[derive(Debug)]
pub(crate) struct Outputs {
    files: Arc<Semaphore>,
    /// Limits of standard output and of pipes, by path. Each stream receives the outcomes of one run after another, and
    /// a blocked stream delays no other output.
    streams: Mutex<HashMap<PathBuf, Arc<Semaphore>>>,
}

impl Outputs {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            files: Arc::new(Semaphore::new(OUTPUTS)),
            streams: Mutex::default(),
        })
    }

    fn of(&self, target: &Target) -> Arc<Semaphore> {
        let path = match target {
            Target::File { .. } | Target::Remote(_) => return Arc::clone(&self.files),
            Target::Stream(path) => path.clone(),
            Target::Standard => PathBuf::from("-"),
        };
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = streams.entry(path);
        Arc::clone(turn.or_insert_with(|| Arc::new(Semaphore::new(1))))
    }
}

/// Limits that one run observes.
#[derive(Debug, Clone)]
pub(crate) struct Turns {
    outputs: Arc<Outputs>,
    cleanings: Arc<Semaphore>,
}

/// Permission to write an output or to delete data, held until it is dropped.
pub(crate) type Turn = Option<OwnedSemaphorePermit>;

impl Turns {
    /// Returns the limits for a run of an account.
    pub(crate) fn new(outputs: &Arc<Outputs>, cleanings: &Arc<Semaphore>) -> Self {
        Self {
            outputs: Arc::clone(outputs),
            cleanings: Arc::clone(cleanings),
        }
    }

    /// Returns the semaphore that the runs of one account share.
    pub(crate) fn of_account() -> Arc<Semaphore> {
        Arc::new(Semaphore::new(CLEANINGS))
    }

    /// Waits until an output may be written.
    pub(crate) async fn output(&self, place: &Place) -> Turn {
        // The semaphore is never closed.
        self.outputs.of(&place.target).acquire_owned().await.ok()
    }

    /// Waits until something may be deleted at the provider.
    pub(crate) async fn cleaning(&self) -> Turn {
        Arc::clone(&self.cleanings).acquire_owned().await.ok()
    }
}
