//! The spool in a folder that stays, and the files of one run in any spool.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Write};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream;
use lmbatch_core::{ByteStream, Error, ErrorKind, ShardBody, Spool, SpoolFile, SpoolWriter};

use crate::engine::blocking;
use crate::index::{BUFFER, checksum_of};

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
struct Nameless(File);

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

/// A spool that forgets: for plans that are only checked.
#[derive(Debug)]
pub(crate) struct Nowhere;

impl Spool for Nowhere {
    fn create(&self, _: &str) -> io::Result<Box<dyn SpoolWriter>> {
        Ok(Box::new(NowhereWriter))
    }
    fn open(&self, _: &str) -> io::Result<Arc<dyn SpoolFile>> {
        Err(io::ErrorKind::NotFound.into())
    }
    fn remove(&self, _: &str) -> io::Result<()> {
        Ok(())
    }
    fn scratch(&self) -> io::Result<Arc<dyn SpoolFile>> {
        Ok(Arc::new(Nameless(tempfile::tempfile()?)))
    }
}

struct NowhereWriter;

impl Write for NowhereWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl SpoolWriter for NowhereWriter {
    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes a file from front to back.
struct Appending {
    file: Arc<dyn SpoolFile>,
    at: u64,
}

impl Write for Appending {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_at(bytes, self.at)?;
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl SpoolWriter for Appending {
    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The requests of a shard in a spool file.
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
                let (piece, read) = read.map_err(|e| Error::local("reading the spool", e))?;
                if read < piece.len() {
                    return Err(Error::local(
                        "reading the spool",
                        io::ErrorKind::UnexpectedEof.into(),
                    ));
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

/// The spool files of one run. They go with their last user, unless they are kept.
#[derive(Debug)]
pub(crate) struct Files {
    spool: Arc<dyn Spool>,
    stem: Box<str>,
    made: Mutex<Vec<String>>,
    kept: AtomicBool,
}

impl Files {
    pub(crate) fn new(spool: Arc<dyn Spool>, stem: &str, kept: bool) -> Self {
        Self {
            spool,
            stem: stem.into(),
            made: Mutex::default(),
            kept: AtomicBool::new(kept),
        }
    }

    pub(crate) fn name(&self, what: &str) -> String {
        format!("{}.{what}", self.stem)
    }

    pub(crate) fn create(&self, what: &str) -> Result<crate::index::Writer, Error> {
        let name = self.name(what);
        let writer = self.spool.create(&name);
        let writer = writer.map_err(|e| Error::local("writing the spool", e))?;
        self.made().push(name);
        Ok(crate::index::Writer::new(writer))
    }

    /// A new file without a name, with what writes it from front to back. What is derived from the record is
    /// kept there: of two readers of one run neither may see the other's.
    pub(crate) fn scratch(&self) -> Result<(Arc<dyn SpoolFile>, crate::index::Writer), Error> {
        let file = self.spool.scratch();
        let file = file.map_err(|e| Error::local("writing the spool", e))?;
        let appending = Appending {
            file: Arc::clone(&file),
            at: 0,
        };
        Ok((file, crate::index::Writer::new(Box::new(appending))))
    }

    pub(crate) fn open(&self, what: &str) -> Result<Arc<dyn SpoolFile>, Error> {
        self.open_named(&self.name(what))
    }

    /// The same by the whole name, as the ledger has it.
    pub(crate) fn open_named(&self, name: &str) -> Result<Arc<dyn SpoolFile>, Error> {
        self.spool
            .open(name)
            .map_err(|e| Error::local("reading the spool", e))
    }

    /// Deletes a file by its whole name; one that stays is swept with the run.
    pub(crate) fn remove(&self, name: &str) {
        // Nothing speaks of it any more.
        let _ = self.spool.remove(name);
    }

    /// Checks a file against the checksum that the record has of it.
    ///
    /// # Errors
    /// [`ErrorKind::Local`](lmbatch_core::ErrorKind::Local) where the file is missing, shorter or changed.
    pub(crate) fn verify(&self, what: &str, checksum: u32) -> Result<(), Error> {
        let file = self.open(what)?;
        let found = file
            .size()
            .and_then(|bytes| checksum_of(&*file, bytes))
            .map_err(|error| Error::local("reading the spool", error))?;
        if found == checksum {
            return Ok(());
        }
        Err(damaged(&self.name(what)))
    }

    /// Where they lie.
    pub(crate) fn spool(&self) -> Arc<dyn Spool> {
        Arc::clone(&self.spool)
    }

    /// Lets go of everything with its last user, though it was to be kept.
    pub(crate) fn discard(&mut self) {
        self.keep(false);
    }

    /// Whether a record speaks of them: then they outlive their last user.
    pub(crate) fn keep(&self, kept: bool) {
        self.kept.store(kept, Ordering::Release);
    }

    fn made(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A file of the spool that is not what was written.
pub(crate) fn damaged(name: &str) -> Error {
    Error::new(ErrorKind::Local).with_message(format!(
        "the file {name} of the spool is damaged: its checksum is not the one in the record; nothing was sent. Restore it from a backup, or rebuild the record from the provider's batches and the input"
    ))
}

impl Drop for Files {
    fn drop(&mut self) {
        if *self.kept.get_mut() {
            return;
        }
        for name in self.made().drain(..) {
            // A file that stays is swept with its folder.
            let _ = self.spool.remove(&name);
        }
    }
}
