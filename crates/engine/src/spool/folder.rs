//! Spool in a permanent folder. Every error names the file it is about.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lmbatch_core::{Spool, SpoolFile, SpoolWriter};

use crate::spool::arena::read_at;
use crate::spool::temporary::TemporarySpool;

/// Maximum number of files that the spool keeps open for reading and writing. A run has several
/// files for each of its batches, which may be thousands, and many systems let a process open 256
/// or 1,024.
const OPEN_FILES: usize = 32;

/// Spool of files in a folder.
#[derive(Debug)]
pub struct FolderSpool {
    folder: PathBuf,
    handles: Arc<Handles>,
    /// Spool for unnamed files.
    scratch: TemporarySpool,
}

/// Adds the path of a file to an error. The error of too many open files is not about the file and
/// stays as it is.
fn of_file(path: &Path, error: io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(23 | 24) => error,
        _ => io::Error::new(error.kind(), format!("{}: {error}", path.display())),
    }
}

impl FolderSpool {
    /// Returns the spool of an existing folder.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        let folder = folder.into();
        Self {
            scratch: TemporarySpool::in_folder(folder.clone()),
            folder,
            handles: Arc::default(),
        }
    }

    /// Files can hold prompts: only the user of the process may read them.
    fn options() -> fs::OpenOptions {
        let mut options = File::options();
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt as _;
            // The spool creates no links: a link in the folder was made by something else.
            options.mode(0o600).custom_flags(libc::O_NOFOLLOW);
        }
        options
    }
}

impl FolderSpool {
    /// Returns a file of the folder that is not open yet.
    fn named(&self, name: &str) -> Opened {
        Opened {
            path: self.folder.join(name),
            number: self.handles.opened.fetch_add(1, Ordering::Relaxed),
            handles: Arc::clone(&self.handles),
        }
    }
}

impl Spool for FolderSpool {
    fn create(&self, name: &str) -> io::Result<Box<dyn SpoolWriter>> {
        let mut options = Self::options();
        let file = options.read(true).write(true).create(true).truncate(true);
        let opened = self.named(name);
        let made = self.handles.with_room(|| file.open(&opened.path));
        let made = made.map_err(|error| of_file(&opened.path, error))?;
        self.handles.keep(opened.number, &Arc::new(made));
        // Counted once the file exists: a later sync of the folder covers its entry.
        let entry = self.handles.entries.fetch_add(1, Ordering::AcqRel) + 1;
        Ok(Box::new(Written {
            opened,
            at: 0,
            folder: self.folder.clone(),
            entry,
        }))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn SpoolFile>> {
        let opened = self.named(name);
        // Fail early if the file does not exist.
        opened.file()?;
        Ok(Arc::new(opened))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let path = self.folder.join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.map_err(|error| of_file(&path, error)),
        }
    }

    fn scratch(&self) -> io::Result<Arc<dyn SpoolFile>> {
        self.scratch.scratch()
    }
}

/// File that is written from front to back. It is open as long as it is among the files that were
/// used last: a plan of many classes writes three files of each at once.
struct Written {
    opened: Opened,
    /// Number of bytes written.
    at: u64,
    folder: PathBuf,
    /// Number of the file's entry in the folder.
    entry: u64,
}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.opened.write_at(bytes, self.at)?;
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl SpoolWriter for Written {
    fn sync(&mut self) -> io::Result<()> {
        let synced = self.opened.file()?.sync_data();
        synced.map_err(|error| of_file(&self.opened.path, error))?;
        // A file whose folder entry is lost in a power failure is lost as well.
        #[cfg(unix)]
        self.opened
            .handles
            .sync_entry(self.entry, &self.folder)
            .map_err(|error| of_file(&self.folder, error))?;
        Ok(())
    }
}

/// Files that were used last, still open.
#[derive(Debug, Default)]
struct Handles {
    opened: AtomicU64,
    /// Number of files that were created.
    entries: AtomicU64,
    /// Number of created files whose folder entries are synced, counted from the first.
    synced: AtomicU64,
    /// Open files by number, not by name: another file may have been created under the same name
    /// since.
    recent: Mutex<VecDeque<(u64, Arc<File>)>>,
}

impl Handles {
    fn recent(&self) -> MutexGuard<'_, VecDeque<(u64, Arc<File>)>> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes a file from those that were used last.
    fn take(&self, number: u64) -> Option<Arc<File>> {
        let mut recent = self.recent();
        let at = recent.iter().position(|(held, _)| *held == number)?;
        recent.remove(at).map(|(_, file)| file)
    }

    /// Puts a file before all others. The least recently used one is closed.
    fn keep(&self, number: u64, file: &Arc<File>) {
        let mut recent = self.recent();
        recent.retain(|(held, _)| *held != number);
        recent.truncate(OPEN_FILES - 1);
        recent.push_front((number, Arc::clone(file)));
    }

    /// Syncs the folder, unless that was done since the file was created: files that are created
    /// together need one sync.
    #[cfg(unix)]
    fn sync_entry(&self, entry: u64, folder: &Path) -> io::Result<()> {
        if self.synced.load(Ordering::Acquire) >= entry {
            return Ok(());
        }
        let there = self.entries.load(Ordering::Acquire);
        File::open(folder)?.sync_all()?;
        self.synced.fetch_max(there, Ordering::AcqRel);
        Ok(())
    }

    /// Opens a file. If the process has too many open files, those that are kept open for later are
    /// closed first.
    fn with_room(&self, open: impl Fn() -> io::Result<File>) -> io::Result<File> {
        match open() {
            // ENFILE, EMFILE
            Err(error) if matches!(error.raw_os_error(), Some(23 | 24)) => {
                self.recent().clear();
                open()
            }
            other => other,
        }
    }
}

/// File that is opened when it is used, and kept open for a while.
#[derive(Debug)]
struct Opened {
    path: PathBuf,
    number: u64,
    handles: Arc<Handles>,
}

impl Opened {
    fn file(&self) -> io::Result<Arc<File>> {
        let file = match self.handles.take(self.number) {
            Some(file) => file,
            None => {
                let open = |writes| {
                    let mut options = FolderSpool::options();
                    options.read(true).write(writes).open(&self.path)
                };
                let file = self.handles.with_room(|| match open(true) {
                    // A file that cannot be written can still be read; a write to it fails.
                    Err(error) if is_read_only(&error) => open(false),
                    file => file,
                });
                Arc::new(file.map_err(|error| of_file(&self.path, error))?)
            }
        };
        self.handles.keep(self.number, &file);
        Ok(file)
    }
}

/// Returns whether a file may only be read, as in a copy of a state folder that is mounted read-only.
fn is_read_only(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
    )
}

impl Drop for Opened {
    fn drop(&mut self) {
        let mut recent = self.handles.recent();
        recent.retain(|(number, _)| *number != self.number);
    }
}

#[cfg(unix)]
impl SpoolFile for Opened {
    fn size(&self) -> io::Result<u64> {
        let facts = self.file()?.metadata();
        Ok(facts.map_err(|error| of_file(&self.path, error))?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let read = read_at(&*self.file()?, buffer, offset);
        read.map_err(|error| of_file(&self.path, error))
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        use std::os::unix::fs::FileExt as _;
        let written = self.file()?.write_all_at(bytes, offset);
        written.map_err(|error| of_file(&self.path, error))
    }
}

/// File without a name in any folder.
#[derive(Debug)]
pub(crate) struct Nameless(pub(crate) File);

#[cfg(unix)]
impl SpoolFile for Nameless {
    fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        read_at(&self.0, buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        use std::os::unix::fs::FileExt as _;
        self.0.write_all_at(bytes, offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::Files;

    #[test]
    fn an_error_of_a_file_names_it_and_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let spool = || Arc::new(FolderSpool::new(folder.path()));
        let files = Files::new(spool(), "abc", true);
        for what in ["one", "two-1"] {
            let error = files.open(what).unwrap_err();
            let source = std::error::Error::source(&error).unwrap().to_string();
            let path = folder.path().join(format!("abc.{what}"));
            assert!(source.contains(&*path.to_string_lossy()), "{source}");
            let message = error.message().unwrap();
            assert!(message.contains("restore it from a copy"), "{message}");
        }
        // A folder is in the way of a file.
        std::fs::create_dir(folder.path().join("abc.one")).unwrap();
        let error = files.create("one").err().unwrap();
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.contains("abc.one"), "{source}");
        // A file is removed while it is used.
        std::fs::write(folder.path().join("abc.two-1"), "x").unwrap();
        let opened = spool().open("abc.two-1").unwrap();
        std::fs::remove_file(folder.path().join("abc.two-1")).unwrap();
        assert_eq!(opened.size().unwrap(), 1, "it is still open");
    }

    #[test]
    fn any_number_of_unnamed_files_share_one_file() {
        let folder = tempfile::tempdir().unwrap();
        let spool = FolderSpool::new(folder.path());
        let bytes = vec![7; 300 << 10];
        let files: Vec<_> = (0..50).map(|_| spool.scratch().unwrap()).collect();
        for file in &files {
            file.write_at(&bytes, 0).unwrap();
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        let mut read = vec![0; bytes.len()];
        for file in &files {
            assert_eq!(file.read_at(&mut read, 0).unwrap(), bytes.len());
            assert!(read == bytes);
        }
    }
}
