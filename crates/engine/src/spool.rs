//! A spool in a temporary folder, gone with the engine.

use std::fs::{self, File};
use std::io::{self, Write};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream;
use lmbatch_core::{ByteStream, Error, ShardBody, Spool, SpoolFile, SpoolWriter};
use tempfile::TempDir;

use crate::index::BUFFER;

/// Files in a temporary folder that only this user can read.
#[derive(Debug)]
pub struct TemporarySpool {
    folder: TempDir,
}

impl TemporarySpool {
    /// Makes the folder.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            folder: tempfile::Builder::new().prefix("lmbatch-").tempdir()?,
        })
    }
}

impl Spool for TemporarySpool {
    fn create(&self, name: &str) -> io::Result<Box<dyn SpoolWriter>> {
        Ok(Box::new(Written(File::create(
            self.folder.path().join(name),
        )?)))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn SpoolFile>> {
        let file = File::options()
            .read(true)
            .write(true)
            .open(self.folder.path().join(name))?;
        Ok(Arc::new(Opened(file)))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        match fs::remove_file(self.folder.path().join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }
}

struct Written(File);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl SpoolWriter for Written {
    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }
}

#[derive(Debug)]
struct Opened(File);

#[cfg(unix)]
impl SpoolFile for Opened {
    fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        use std::os::unix::fs::FileExt as _;
        let mut filled = 0;
        while filled < buffer.len() {
            match self
                .0
                .read_at(&mut buffer[filled..], offset + filled as u64)
            {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
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
                let mut piece = vec![0; (rest.end - rest.start).min(BUFFER as u64) as usize];
                let read = file
                    .read_at(&mut piece, rest.start)
                    .map_err(|e| Error::local("reading the spool", e))?;
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

/// The spool files of one plan, deleted with the last user.
#[derive(Debug)]
pub(crate) struct Files {
    spool: Arc<dyn Spool>,
    stem: Box<str>,
}

impl Files {
    pub(crate) fn new(spool: Arc<dyn Spool>, stem: &str) -> Self {
        Self {
            spool,
            stem: stem.into(),
        }
    }

    pub(crate) fn name(&self, what: &str) -> String {
        format!("{}.{what}", self.stem)
    }

    pub(crate) fn create(&self, what: &str) -> Result<crate::index::Writer, Error> {
        let writer = self
            .spool
            .create(&self.name(what))
            .map_err(|e| Error::local("writing the spool", e))?;
        Ok(crate::index::Writer::new(writer))
    }

    pub(crate) fn open(&self, what: &str) -> Result<Arc<dyn SpoolFile>, Error> {
        self.spool
            .open(&self.name(what))
            .map_err(|e| Error::local("reading the spool", e))
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let segments = (0..8).map(|k| format!("segment-{k}"));
        for what in ["body", "index", "echo"]
            .map(str::to_owned)
            .into_iter()
            .chain(segments)
        {
            // A file that stays is swept with its folder.
            let _ = self.spool.remove(&self.name(&what));
        }
    }
}
