//! Session of a command: values that it keeps from its start to its end.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use lmbatch::Clock;
use lmbatch::durable::{LiveFolder, SqliteLedger};
use lmbatch::engine::SystemClock;
use lmbatch::record::Ledger as _;

use crate::recorder::Recorder;
use crate::terminal;

/// Maximum wait for the ledgers to close when the command ends.
const CLOSING: Duration = Duration::from_secs(5);

/// Values that one call of the command keeps from its start to its end.
#[derive(Debug, Default)]
pub(crate) struct Session {
    /// Open ledgers, which are closed at the end.
    opened: Mutex<Vec<SqliteLedger>>,
    /// State folder that the command writes to, once it has opened one.
    folder: OnceLock<PathBuf>,
    /// Record in that folder, once it is open.
    record: OnceLock<SqliteLedger>,
    /// Writer of the live counts in that folder.
    recorder: OnceLock<Arc<Recorder>>,
    /// Table of prices that the user's configuration file names.
    prices: Option<PathBuf>,
}

impl Session {
    /// Returns a session with the table of prices that the configuration names.
    pub(crate) fn new(prices: Option<PathBuf>) -> Self {
        Self {
            prices,
            ..Self::default()
        }
    }

    /// Returns the table of prices that the configuration names, for commands without an option that names one.
    pub(crate) fn prices(&self) -> Option<&Path> {
        self.prices.as_deref()
    }

    /// Returns the state folder that the command writes to, and its record.
    pub(crate) fn written(&self) -> Option<(&Path, &SqliteLedger)> {
        self.folder().zip(self.record.get())
    }

    /// Keeps a ledger of the state folder that the command writes to, so that it is closed when the command ends.
    pub(crate) fn opened_for_writing(&self, ledger: SqliteLedger) -> Arc<SqliteLedger> {
        self.record.get_or_init(|| ledger.clone());
        self.opened(ledger)
    }

    /// Returns the state folder that the command writes to, once it has opened one.
    pub(crate) fn folder(&self) -> Option<&Path> {
        self.folder.get().map(PathBuf::as_path)
    }

    /// Keeps the first state folder that is opened for writing.
    pub(crate) fn use_folder(&self, path: &Path) {
        let folder = self.folder.get_or_init(|| path.to_owned());
        let start = || Recorder::start(LiveFolder::new(folder), Arc::new(SystemClock::new()));
        self.recorder.get_or_init(start);
    }

    /// Returns the writer of live counts, once the command has opened a state folder for writing.
    pub(crate) fn recorder(&self) -> Option<&Recorder> {
        self.recorder.get().map(|recorder| &**recorder)
    }

    /// Keeps a ledger, so that it is closed when the command ends. Prints a note if opening it has upgraded its file,
    /// which any command does, even one that only lists.
    pub(crate) fn opened(&self, ledger: SqliteLedger) -> Arc<SqliteLedger> {
        if ledger.was_upgraded() {
            terminal::message(
                "note: the record was upgraded from an earlier version, which cannot read it any more",
            );
        }
        let mut all = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(ledger.clone());
        Arc::new(ledger)
    }

    /// Writes the last live counts, and closes the ledgers, so that the file of each is complete on its own.
    pub(crate) async fn close(&self, clock: &dyn Clock) {
        if let Some(recorder) = self.recorder() {
            recorder.flush();
        }
        let all = {
            let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *opened)
        };
        let closing = async {
            for ledger in all {
                // Committed changes are on the disk already.
                let _ = ledger.close().await;
            }
        };
        tokio::select! {
            () = closing => {}
            () = clock.sleep(CLOSING) => {}
        }
    }
}
