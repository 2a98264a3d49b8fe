//! Files that are kept open for the ledger.
//!
//! SQLite opens a journal for each transaction that writes. A batch that was created must be noted although
//! every file that the process may have open is taken, as by hundreds of connections.

use std::fs::File;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use lmbatch_core::{Error, Result};

/// Files that a transaction needs: the journal, its folder, and one more.
const FILES: usize = 3;

/// Attempts to write; what is released may be taken by another task first.
const ATTEMPTS: u32 = 100;

/// Open files that are given up where SQLite finds none free.
#[derive(Debug)]
pub(crate) struct Reserve {
    folder: PathBuf,
    files: Mutex<Vec<File>>,
}

impl Reserve {
    /// Opens a folder several times. Never the ledger itself: whoever closes it releases SQLite's locks.
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
                // Later, once files are free.
                Err(_) => return,
            }
        }
    }

    /// Makes a transaction, and makes it again with the reserve where SQLite could open no file: nothing of it
    /// was written then.
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

/// Whether SQLite could not open a file: `SQLITE_CANTOPEN` with its extended codes.
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
