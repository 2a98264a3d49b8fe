//! What only a few of many runs do at once: each of it has files or connections open.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::sink::Place;
use crate::target::Target;

/// Outputs that are written at once.
const OUTPUTS: usize = 4;

/// Runs of one account of which inputs and batches are deleted at the provider at once.
const CLEANINGS: usize = 4;

/// The outputs of all runs of the command.
#[derive(Debug)]
pub(crate) struct Outputs {
    files: Arc<Semaphore>,
    /// Standard output, and pipes by their paths: the outcomes of one run come after those of another, and
    /// one that waits for its reader holds up no other output.
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
            Target::File { .. } => return Arc::clone(&self.files),
            Target::Stream(path) => path.clone(),
            Target::Standard => PathBuf::from("-"),
        };
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = streams.entry(path);
        Arc::clone(turn.or_insert_with(|| Arc::new(Semaphore::new(1))))
    }
}

/// Turns of one run.
#[derive(Debug, Clone)]
pub(crate) struct Turns {
    outputs: Arc<Outputs>,
    cleanings: Arc<Semaphore>,
}

/// A turn, until it is dropped.
pub(crate) type Turn = Option<OwnedSemaphorePermit>;

impl Turns {
    /// Returns the turns of a run of an account.
    pub(crate) fn new(outputs: &Arc<Outputs>, cleanings: &Arc<Semaphore>) -> Self {
        Self {
            outputs: Arc::clone(outputs),
            cleanings: Arc::clone(cleanings),
        }
    }

    /// Returns what the runs of an account share.
    pub(crate) fn of_account() -> Arc<Semaphore> {
        Arc::new(Semaphore::new(CLEANINGS))
    }

    /// Waits until an output may be written.
    pub(crate) async fn output(&self, place: &Place) -> Turn {
        // It is never closed.
        self.outputs.of(&place.target).acquire_owned().await.ok()
    }

    /// Waits until something may be deleted at the provider.
    pub(crate) async fn cleaning(&self) -> Turn {
        Arc::clone(&self.cleanings).acquire_owned().await.ok()
    }
}
