//! Quotes of CSV and TSV that are not closed, or closed too early.

use std::io;

use memchr::{memchr, memchr_iter, memchr3};

use super::decoded::malformed;

/// Place in a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// At the first byte of a field.
    Start,
    /// In a field without quotes. A quote in it is a character like any other.
    Bare,
    /// In a field with quotes.
    Quoted,
    /// After a quote in such a field, which closes it or is the first of two.
    Closed,
}

/// Check of the quotes of a table, over bytes as they come.
#[derive(Debug)]
pub(super) struct Quotes {
    delimiter: u8,
    state: State,
    /// Line of the last opening quote.
    opened: u64,
}

impl Quotes {
    pub(super) fn new(delimiter: u8) -> Self {
        Self {
            delimiter,
            state: State::Start,
            opened: 0,
        }
    }

    /// Checks the next bytes, which begin on `line`.
    ///
    /// # Errors
    /// Text after a closing quote, and at the end of the input an open quote.
    pub(super) fn check(&mut self, bytes: &[u8], line: u64, is_end: bool) -> io::Result<()> {
        let mut at = 0;
        // The last quote that was opened in these bytes.
        let mut opened_at = None;
        while let Some(byte) = bytes.get(at) {
            (self.state, at) = match (self.state, *byte) {
                (State::Start, b'"') => {
                    opened_at = Some(at);
                    (State::Quoted, at + 1)
                }
                (State::Closed, b'"') => (State::Quoted, at + 1),
                (State::Quoted, _) => match memchr(b'"', &bytes[at..]) {
                    Some(quote) => (State::Closed, at + quote + 1),
                    None => (State::Quoted, bytes.len()),
                },
                (State::Start | State::Bare | State::Closed, byte) if self.ends_field(byte) => {
                    (State::Start, at + 1)
                }
                (State::Start | State::Bare, _) => {
                    match memchr3(self.delimiter, b'\n', b'\r', &bytes[at..]) {
                        Some(end) => (State::Start, at + end + 1),
                        None => (State::Bare, bytes.len()),
                    }
                }
                (State::Closed, _) => {
                    let (line, opened) = (
                        line_of(bytes, at, line),
                        self.opened(bytes, opened_at, line),
                    );
                    return Err(malformed(format!(
                        "line {line} has text after the closing quote of a field that begins on line {opened}; a quote inside such a field is written twice"
                    )));
                }
            };
        }
        self.opened = self.opened(bytes, opened_at, line);
        if is_end && self.state == State::Quoted {
            return Err(malformed(format!(
                "the quote of a field that begins on line {} is never closed",
                self.opened
            )));
        }
        Ok(())
    }

    fn ends_field(&self, byte: u8) -> bool {
        byte == self.delimiter || matches!(byte, b'\n' | b'\r')
    }

    fn opened(&self, bytes: &[u8], at: Option<usize>, line: u64) -> u64 {
        at.map_or(self.opened, |at| line_of(bytes, at, line))
    }
}

/// Returns the line of a byte, where the first is on `line`.
fn line_of(bytes: &[u8], at: usize, line: u64) -> u64 {
    line + memchr_iter(b'\n', &bytes[..at]).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks a text in pieces of `size` bytes.
    fn checked(text: &str, size: usize) -> Result<(), String> {
        let (mut quotes, mut line) = (Quotes::new(b','), 1);
        let mut all: Vec<&[u8]> = text.as_bytes().chunks(size).collect();
        all.push(&[]);
        for piece in all {
            let checked = quotes.check(piece, line, piece.is_empty());
            checked.map_err(|error| error.to_string())?;
            line += memchr_iter(b'\n', piece).count() as u64;
        }
        Ok(())
    }

    #[test]
    fn quotes_are_checked_in_pieces_of_any_size() {
        let late = "has text after the closing quote of a field that begins on line";
        let open = "the quote of a field that begins on line";
        for (text, expected) in [
            ("a,b\n1,2\n", None),
            ("a,b\r\n\"1\",\"x, \"\"y\"\"\nz\"\r\n", None),
            ("a\n27\" screen\n", None),
            ("a,b\n,\"\"\n\"\",\n", None),
            ("a\n\"x\"", None),
            (
                "a,b\n1,\"x\n2,y\n",
                Some(format!("{open} 2 is never closed")),
            ),
            ("a,b\n1,\"x\n2,\"y\"\n", Some(format!("line 3 {late} 2; "))),
            ("a\n\"x\" \n", Some(format!("line 2 {late} 2; "))),
            ("\"a", Some(format!("{open} 1 is never closed"))),
        ] {
            for size in 1..=text.len() {
                let found = checked(text, size).err();
                let is_expected = match (&found, &expected) {
                    (Some(found), Some(start)) => found.starts_with(start.as_str()),
                    (None, None) => true,
                    _ => false,
                };
                assert!(is_expected, "{text:?} by {size}: {found:?}");
            }
        }
    }
}
