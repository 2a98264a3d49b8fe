//! Bytes of a Parquet file.

use std::fmt::Display;
use std::fs::File;
use std::io::{BufReader, Read as _, Seek as _, SeekFrom};
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;

use bytes::Bytes;
use lmbatch_core::Error;
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{ChunkReader, Length};

/// Bytes at the beginning and at the end of a file, and at the end of one whose index is encrypted.
const MAGIC: &[u8; 4] = b"PAR1";
const ENCRYPTED: &[u8; 4] = b"PARE";

/// File that is read in pieces.
pub(super) struct Source {
    file: File,
    length: u64,
}

impl Source {
    /// Checks that a file begins and ends like Parquet.
    ///
    /// # Errors
    /// Any other file; those of the system.
    pub(super) fn new(mut file: File) -> std::result::Result<Self, Error> {
        let failed = |error| Error::local("the input cannot be read", error);
        let length = file.metadata().map_err(failed)?.len();
        let mut ends = [[0; MAGIC.len()]; 2];
        if length >= 3 * MAGIC.len() as u64 {
            file.rewind().map_err(failed)?;
            file.read_exact(&mut ends[0]).map_err(failed)?;
            file.seek(SeekFrom::End(-4)).map_err(failed)?;
            file.read_exact(&mut ends[1]).map_err(failed)?;
        }
        let refused = match [&ends[0], &ends[1]] {
            [MAGIC, MAGIC] => return Ok(Self { file, length }),
            [ENCRYPTED, _] | [_, ENCRYPTED] => "the input is encrypted Parquet; decrypt it",
            [[0x1f, 0x8b, ..] | [0x28, 0xb5, 0x2f, 0xfd], _] => {
                "the input is compressed as a whole; decompress it, since Parquet is compressed inside"
            }
            [MAGIC, _] => {
                "the input begins like Parquet and does not end like it; it may be incomplete"
            }
            _ => "the input is not Parquet, as its name or the given format says",
        };
        Err(Error::invalid_input(refused))
    }
}

/// Handle on a source for the reader of Parquet.
#[derive(Clone)]
pub(super) struct Shared(pub(super) Arc<Source>);

impl Length for Shared {
    fn len(&self) -> u64 {
        self.0.length
    }
}

impl ChunkReader for Shared {
    type T = BufReader<File>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        self.0.file.get_read(start)
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        // A damaged index must not ask for more memory than the file has bytes.
        let end = start.checked_add(length as u64);
        match end.is_some_and(|end| end <= self.0.length) {
            true => self.0.file.get_bytes(start, length),
            false => Err(ParquetError::EOF(
                "a part lies behind the end of the file".to_owned(),
            )),
        }
    }
}

/// Takes a step of reading. The reader of Parquet panics on some damaged files.
///
/// # Errors
/// [`ErrorKind::InvalidInput`](lmbatch_core::ErrorKind::InvalidInput) with the reason.
pub(super) fn guarded<T, E: Display>(
    step: impl FnOnce() -> std::result::Result<T, E>,
) -> std::result::Result<T, Error> {
    let why = match panic::catch_unwind(AssertUnwindSafe(step)) {
        Ok(Ok(done)) => return Ok(done),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "it is damaged".to_owned(),
    };
    Err(Error::invalid_input(format!(
        "the Parquet file cannot be read: {why}"
    )))
}
