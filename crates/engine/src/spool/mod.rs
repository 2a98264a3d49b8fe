//! Spools, and the files of one run in any spool.

pub(crate) mod appending;
pub(crate) mod arena;
pub(crate) mod folder;
pub(crate) mod layout;
pub(crate) mod location_table;
pub(crate) mod marks;
pub(crate) mod nowhere;
pub(crate) mod order;
pub(crate) mod tables;
pub(crate) mod temporary;
pub(crate) mod window;

use std::collections::HashSet;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream;
use lmbatch_core::{ByteStream, Error, ErrorKind, ShardBody, Spool, SpoolFile, StoredTable};

use crate::blocking::blocking;
use crate::spool::appending::Appending;
use crate::spool::tables::{BUFFER, Writer, checksum_of};

/// Body of a shard in a spool file.
#[derive(Debug)]
pub(crate) struct SpooledBody {
    pub(crate) file: Arc<dyn SpoolFile>,
    pub(crate) bytes: u64,
}

impl ShardBody for SpooledBody {
    fn len(&self) -> u64 {
        self.bytes
    }

    fn open(&self, range: Range<u64>) -> ByteStream {
        let file = Arc::clone(&self.file);
        stream::try_unfold(range, move |rest| {
            let file = Arc::clone(&file);
            async move {
                if rest.is_empty() {
                    return Ok(None);
                }
                let length = (rest.end - rest.start).min(BUFFER as u64) as usize;
                let work = move || {
                    let mut piece = vec![0; length];
                    let read = file.read_at(&mut piece, rest.start)?;
                    Ok((piece, read))
                };
                let read = blocking(work).await?;
                let (piece, read) = read.map_err(spooled)?;
                if read < piece.len() {
                    return Err(spooled(io::ErrorKind::UnexpectedEof.into()));
                }
                Ok(Some((
                    Bytes::from(piece),
                    rest.start + read as u64..rest.end,
                )))
            }
        })
        .boxed()
    }
}

/// Spool files of one run. They are deleted with the last user of this value, unless they are kept.
#[derive(Debug)]
pub(crate) struct Files {
    spool: Arc<dyn Spool>,
    stem: Box<str>,
    made: Mutex<Vec<String>>,
    kept: AtomicBool,
    /// Names of the files that this value has compared with their checksums.
    whole: Mutex<HashSet<Box<str>>>,
}

impl Files {
    pub(crate) fn new(spool: Arc<dyn Spool>, stem: &str, kept: bool) -> Self {
        Self {
            spool,
            stem: stem.into(),
            made: Mutex::default(),
            kept: AtomicBool::new(kept),
            whole: Mutex::default(),
        }
    }

    pub(crate) fn name(&self, what: &str) -> String {
        format!("{}.{what}", self.stem)
    }

    pub(crate) fn create(&self, what: &str) -> Result<Writer, Error> {
        self.create_within(what, BUFFER)
    }

    /// Creates a file with a buffer of `most` bytes.
    pub(crate) fn create_within(&self, what: &str, most: usize) -> Result<Writer, Error> {
        let name = self.name(what);
        let writer = self.spool.create(&name);
        let writer = writer.map_err(spooled)?;
        self.made().push(name);
        Ok(Writer::within(writer, most))
    }

    /// Creates an unnamed file, with its writer from front to back. Data that is derived from the
    /// record is kept in such a file: two readers of one run must not see each other's data.
    pub(crate) fn scratch(&self) -> Result<(Arc<dyn SpoolFile>, Writer), Error> {
        let file = self.spool.scratch();
        let file = file.map_err(spooled)?;
        let appending = Appending {
            file: Arc::clone(&file),
            at: 0,
        };
        Ok((file, Writer::new(Box::new(appending))))
    }

    pub(crate) fn open(&self, what: &str) -> Result<Arc<dyn SpoolFile>, Error> {
        self.open_named(&self.name(what))
    }

    /// Opens a file by its full name, as the ledger has it.
    pub(crate) fn open_named(&self, name: &str) -> Result<Arc<dyn SpoolFile>, Error> {
        self.spool.open(name).map_err(spooled)
    }

    /// Opens a table, and compares it with its checksum the first time.
    ///
    /// # Errors
    /// [`ErrorKind::Local`] where the file is missing, shorter or changed.
    pub(crate) fn open_whole(&self, table: &StoredTable) -> Result<Arc<dyn SpoolFile>, Error> {
        let file = self.open_named(&table.name)?;
        let whole = || self.whole.lock().unwrap_or_else(PoisonError::into_inner);
        if whole().contains(&table.name) {
            return Ok(file);
        }
        match checksum_of(&*file, table.bytes) {
            Ok(found) if found == table.checksum => {}
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
                return Err(spooled(error));
            }
            _ => return Err(damaged(&table.name)),
        }
        whole().insert(table.name.clone());
        Ok(file)
    }

    /// Deletes a file by its full name. A file that cannot be deleted is deleted with the run.
    pub(crate) fn remove(&self, name: &str) {
        // No record names the file any more.
        let _ = self.spool.remove(name);
    }

    /// Compares a file with its recorded checksum.
    ///
    /// # Errors
    /// [`ErrorKind::Local`](lmbatch_core::ErrorKind::Local) where the file is missing, shorter or changed.
    pub(crate) fn verify(&self, what: &str, checksum: u32) -> Result<(), Error> {
        let file = self.open(what)?;
        let found = file
            .size()
            .and_then(|bytes| checksum_of(&*file, bytes))
            .map_err(spooled)?;
        if found == checksum {
            return Ok(());
        }
        Err(damaged(&self.name(what)))
    }

    /// Returns the spool that holds the files.
    pub(crate) fn spool(&self) -> Arc<dyn Spool> {
        Arc::clone(&self.spool)
    }

    /// Deletes the files with the last user, even where they were to be kept.
    pub(crate) fn discard(&mut self) {
        self.keep(false);
    }

    /// Sets whether the files outlive the last user, since a record names them.
    pub(crate) fn keep(&self, kept: bool) {
        self.kept.store(kept, Ordering::Release);
    }

    fn made(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the error of a spool file that differs from what was written.
pub(crate) fn damaged(name: &str) -> Error {
    Error::new(ErrorKind::Local).with_message(format!(
        "the spool file {name} is damaged: its checksum differs from the recorded one; nothing was sent. Restore it from a backup, or rebuild the record from the provider's batches and the input"
    ))
}

impl Drop for Files {
    fn drop(&mut self) {
        if *self.kept.get_mut() {
            return;
        }
        for name in self.made().drain(..) {
            // A file that cannot be deleted is deleted with its folder.
            let _ = self.spool.remove(&name);
        }
    }
}

/// Returns the error of a spool file that cannot be used, with what to do about it. The source
/// names the file.
pub(crate) fn spooled(error: std::io::Error) -> Error {
    use io::ErrorKind as Kind;
    let doing = match error.kind() {
        Kind::NotFound | Kind::UnexpectedEof | Kind::InvalidData => {
            "a spool file is missing or truncated; restore it from a copy of the state folder, or rebuild the record from the provider's batches and the input"
        }
        Kind::StorageFull | Kind::QuotaExceeded => {
            "the disk of the spool is full; free some space, then resume the run"
        }
        Kind::FileTooLarge => {
            "a spool file would exceed the limit on the size of a file (ulimit -f); raise the limit, then resume the run"
        }
        Kind::PermissionDenied | Kind::ReadOnlyFilesystem => {
            "a spool file cannot be accessed; give the user of this process access to it, then resume the run"
        }
        _ => "a spool file cannot be used; resume the run when that is fixed",
    };
    Error::local(doing, error)
}
