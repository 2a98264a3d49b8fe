//! The spool in a folder that stays.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lmbatch_core::{Spool, SpoolFile, SpoolWriter};

/// Files that are open at once. A run has one or more for each of its batches, which may be thousands, and
/// many systems let a process open 256 or 1,024.
const OPEN_FILES: usize = 32;

/// Files in a folder.
#[derive(Debug)]
pub struct FolderSpool {
    folder: PathBuf,
    handles: Arc<Handles>,
}

impl FolderSpool {
    /// In a folder that is there.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            handles: Arc::default(),
        }
    }

    /// Only this user may read what prompts are in.
    fn options() -> fs::OpenOptions {
        let mut options = File::options();
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt as _;
            // Nothing in the folder is a link unless something else made it.
            options.mode(0o600).custom_flags(libc::O_NOFOLLOW);
        }
        options
    }
}

impl Spool for FolderSpool {
    fn create(&self, name: &str) -> io::Result<Box<dyn SpoolWriter>> {
        let mut options = Self::options();
        let file = options.write(true).create(true).truncate(true);
        let path = self.folder.join(name);
        Ok(Box::new(Written {
            file: self.handles.with_room(|| file.open(&path))?,
            folder: Some(self.folder.clone()),
        }))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn SpoolFile>> {
        let opened = Opened {
            path: self.folder.join(name),
            number: self.handles.opened.fetch_add(1, Ordering::Relaxed),
            handles: Arc::clone(&self.handles),
        };
        // Whoever opens what is not there hears it now.
        opened.file()?;
        Ok(Arc::new(opened))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        match fs::remove_file(self.folder.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    fn scratch(&self) -> io::Result<Arc<dyn SpoolFile>> {
        let file = self
            .handles
            .with_room(|| tempfile::tempfile_in(&self.folder))?;
        Ok(Arc::new(Nameless(file)))
    }
}

struct Written {
    file: File,
    /// Where it lies, until its entry there is synced.
    folder: Option<PathBuf>,
}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl SpoolWriter for Written {
    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()?;
        // A file whose entry is lost with the power is lost as well.
        #[cfg(unix)]
        if let Some(folder) = &self.folder {
            File::open(folder)?.sync_all()?;
            self.folder = None;
        }
        Ok(())
    }
}

/// The files that were used last, still open.
#[derive(Debug, Default)]
struct Handles {
    opened: AtomicU64,
    /// By their numbers: another file may have come under the same name since.
    recent: Mutex<VecDeque<(u64, Arc<File>)>>,
}

impl Handles {
    fn recent(&self) -> MutexGuard<'_, VecDeque<(u64, Arc<File>)>> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a file; where the process has too many open, those that are kept open for later make room.
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

/// A file that is open while it is used, and a while longer.
#[derive(Debug)]
struct Opened {
    path: PathBuf,
    number: u64,
    handles: Arc<Handles>,
}

impl Opened {
    fn file(&self) -> io::Result<Arc<File>> {
        let mut recent = self.handles.recent();
        let at = recent.iter().position(|(number, _)| *number == self.number);
        let (number, file) = match at.and_then(|at| recent.remove(at)) {
            Some(known) => known,
            None => {
                let mut options = FolderSpool::options();
                options.read(true).write(true);
                drop(recent);
                let file = self.handles.with_room(|| options.open(&self.path))?;
                recent = self.handles.recent();
                (self.number, Arc::new(file))
            }
        };
        recent.truncate(OPEN_FILES - 1);
        recent.push_front((number, Arc::clone(&file)));
        Ok(file)
    }
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
        Ok(self.file()?.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        read_at(&*self.file()?, buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        use std::os::unix::fs::FileExt as _;
        self.file()?.write_all_at(bytes, offset)
    }
}

/// Fills the buffer, or as much of it as there is.
#[cfg(unix)]
pub(crate) fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    use std::os::unix::fs::FileExt as _;
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// A file that no folder lists.
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
