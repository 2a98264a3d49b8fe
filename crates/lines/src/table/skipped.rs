//! Invalid rows that are left out, written to a file of their own.

use std::io::{BufWriter, Write};

use lmbatch_core::{Error, RequestError, write_string};

/// File of the invalid rows.
pub(super) struct Skipped {
    file: BufWriter<Box<dyn Write + Send>>,
    /// The current row as JSON.
    pub(super) original: Vec<u8>,
}

impl Skipped {
    pub(super) fn new(file: Box<dyn Write + Send>) -> Self {
        Self {
            file: BufWriter::new(file),
            original: Vec::new(),
        }
    }

    /// Writes the current row with its position and its error.
    pub(super) fn write(&mut self, place: u64, error: &RequestError) -> Result<(), Error> {
        let reason = error
            .message()
            .map_or_else(|| error.to_string(), str::to_owned);
        let mut line = format!("{{\"line\":{place},\"error\":").into_bytes();
        write_string(&reason, &mut line);
        line.extend_from_slice(b",\"row\":");
        match self.original.is_empty() {
            true => line.extend_from_slice(b"null"),
            false => line.extend_from_slice(&self.original),
        }
        line.extend_from_slice(b"}\n");
        self.file.write_all(&line).map_err(unwritable)
    }

    pub(super) fn flush(&mut self) -> Result<(), Error> {
        self.file.flush().map_err(unwritable)
    }
}

fn unwritable(error: std::io::Error) -> Error {
    Error::local("the invalid rows cannot be written", error)
}
