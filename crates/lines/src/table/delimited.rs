//! Records of CSV and TSV, with the line on which each begins.

use std::io;

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use memchr::memchr_iter;

use super::decoded::{Input, malformed};
use super::quotes::Quotes;

/// Largest record in bytes. A larger one usually has a quote that is never closed.
const LARGEST: usize = 256 << 20;

/// Reader of records as the crate `csv` reads them; its memory is reused.
pub(super) struct Records {
    input: Input,
    parser: Reader,
    quotes: Quotes,
    /// Fields of the current record, without quotes and delimiters.
    bytes: Vec<u8>,
    /// End of each field in `bytes`.
    ends: Vec<usize>,
    fields: usize,
    /// Line of the next byte.
    line: u64,
    is_over: bool,
}

impl Records {
    pub(super) fn new(input: Input, delimiter: u8) -> Self {
        Self {
            input,
            parser: ReaderBuilder::new().delimiter(delimiter).build(),
            quotes: Quotes::new(delimiter),
            bytes: vec![0; 4 << 10],
            ends: vec![0; 64],
            fields: 0,
            line: 1,
            is_over: false,
        }
    }

    /// Reads the next record and returns the line on which it begins; `None` at the end. Blank lines are skipped.
    ///
    /// # Errors
    /// Those of the reader, a record that is larger than 256 MiB, a quote that is never closed, and text after a
    /// closing quote. The parser would take the rows up to the next quote for a part of the field.
    pub(super) fn read(&mut self) -> io::Result<Option<u64>> {
        if self.is_over || !self.skip_blank_lines()? {
            return Ok(None);
        }
        let start = self.line;
        let (mut length, mut fields) = (0, 0);
        loop {
            let buffer = self.input.fill_buf();
            let buffer = match buffer {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                buffer => buffer?,
            };
            let (result, read, written, ended) = self.parser.read_record(
                buffer,
                &mut self.bytes[length..],
                &mut self.ends[fields..],
            );
            self.quotes
                .check(&buffer[..read], self.line, buffer.is_empty())?;
            self.line += memchr_iter(b'\n', &buffer[..read]).count() as u64;
            self.input.consume(read);
            length += written;
            fields += ended;
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull if self.bytes.len() >= LARGEST => {
                    return Err(malformed(format!(
                        "the row on line {start} has more than {} MiB; a quote may not be closed",
                        LARGEST >> 20
                    )));
                }
                ReadRecordResult::OutputFull => self.bytes.resize(self.bytes.len() * 2, 0),
                ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
                ReadRecordResult::Record => {
                    self.fields = fields;
                    return Ok(Some(start));
                }
                ReadRecordResult::End => {
                    self.is_over = true;
                    return Ok(None);
                }
            }
        }
    }

    /// Returns the number of fields of the current record.
    pub(super) fn len(&self) -> usize {
        self.fields
    }

    /// Returns the fields of the current record.
    pub(super) fn fields(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = 0;
        self.ends[..self.fields].iter().map(move |end| {
            let field = &self.bytes[start..*end];
            start = *end;
            field
        })
    }

    /// Skips line breaks before a record, and returns `false` at the end of the input.
    fn skip_blank_lines(&mut self) -> io::Result<bool> {
        loop {
            let buffer = match self.input.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                buffer => buffer?,
            };
            if buffer.is_empty() {
                return Ok(false);
            }
            let is_break = |byte: &&u8| matches!(**byte, b'\r' | b'\n');
            let blank = buffer.iter().take_while(is_break).count();
            self.line += memchr_iter(b'\n', &buffer[..blank]).count() as u64;
            let is_at_record = blank < buffer.len();
            self.input.consume(blank);
            if is_at_record {
                return Ok(true);
            }
        }
    }
}
