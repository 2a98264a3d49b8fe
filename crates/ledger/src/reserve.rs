//! Reserve of open files, so that the ledger can be written when the process has no file descriptors left.
//!
//! SQLite opens a journal for each transaction that writes. A batch that was created must be recorded even
//! when the process has reached its limit of open files, for example through hundreds of connections.

use std::fs::File;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use lmbatch_core::{Error, Result};

/// Number of files that a transaction needs: the journal, its folder, and a spare one.
const FILES: usize = 3;

/// Largest number of attempts to write: another task may take the released files first.
const ATTEMPTS: u32 = 100;

/// Open files that are closed when SQLite cannot open one.
#[derive(Debug)]
pub(crate) struct Reserve {
    folder: PathBuf,
    files: Mutex<Vec<File>>,
}

impl Reserve {
    /// Opens a folder several times. The ledger file itself is not opened, because closing it would release
    /// SQLite's locks.
    pub(crate) fn new(folder: &Path) -> Self {
        let reserve = Self {
            folder: folder.to_owned(),
            files: Mutex::default(),
        };
        reserve.fill();
        reserve
    }

    fn files(&self) -> MutexGuard<'_, Vec<File>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fill(&self) {
        let mut files = self.files();
        while files.len() < FILES {
            match File::open(&self.folder) {
                Ok(file) => files.push(file),
                // The reserve is filled after a later transaction.
                Err(_) => return,
            }
        }
    }

    /// Runs a transaction. Where SQLite could not open a file, nothing was written: the reserve is released
    /// and the transaction runs again.
    pub(crate) async fn with<T, F>(&self, transaction: impl Fn() -> F + Send) -> Result<T>
    where
        F: Future<Output = Result<T>> + Send,
    {
        for _ in 1..ATTEMPTS {
            match transaction().await {
                Err(error) if cannot_open(&error) => self.files().clear(),
                done => {
                    self.fill();
                    return done;
                }
            }
            tokio::task::yield_now().await;
        }
        transaction().await
    }
}

/// Returns whether SQLite could not open a file: `SQLITE_CANTOPEN`, extended codes included.
fn cannot_open(error: &Error) -> bool {
    let source = std::error::Error::source(error);
    match source.and_then(|source| source.downcast_ref()) {
        Some(sqlx::Error::Database(error)) => {
            let code = error.code().and_then(|code| code.parse::<u32>().ok());
            code.is_some_and(|code| code & 0xff == 14)
        }
        _ => false,
    }
}
