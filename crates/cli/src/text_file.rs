//! Text files that arguments name.

use std::path::Path;
use std::{fmt, fs, io};

/// Byte order mark that some editors put before text.
const MARK: &str = "\u{feff}";

/// Reads the text of a file, without its byte order mark.
///
/// # Errors
/// Those of the file, and [`io::ErrorKind::InvalidData`] with the line that is not text in UTF-8.
pub(crate) fn read(path: &Path) -> io::Result<String> {
    text(fs::read(path)?).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Returns bytes as text, without a byte order mark.
///
/// # Errors
/// The first line that is not text in UTF-8.
pub(crate) fn text(bytes: Vec<u8>) -> Result<String, NotText> {
    match String::from_utf8(bytes) {
        Ok(mut text) => {
            if text.starts_with(MARK) {
                text.drain(..MARK.len());
            }
            Ok(text)
        }
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            let line = line_of(error.as_bytes(), at);
            Err(NotText { line })
        }
    }
}

/// Returns the number of the line of a byte, from 1.
pub(crate) fn line_of(bytes: &[u8], at: usize) -> usize {
    let before = bytes.iter().take(at);
    1 + before.filter(|byte| **byte == b'\n').count()
}

/// Error of a file that is not text in UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotText {
    /// Number of the first line that is wrong, from 1.
    pub(crate) line: usize,
}

impl fmt::Display for NotText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "line {} is not UTF-8; save the file as text in UTF-8",
            self.line
        )
    }
}

impl std::error::Error for NotText {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_no_text_is_refused_with_its_line() {
        for (bytes, expected) in [
            (&b"a\nb"[..], Ok("a\nb")),
            (b"\xef\xbb\xbfa", Ok("a")),
            (b"", Ok("")),
            (b"a\n\xff", Err(2)),
            (b"\xff\xfea\0", Err(1)),
            (b"a\n\n\xc3(", Err(3)),
        ] {
            let found = text(bytes.to_vec());
            let found = found.as_deref().map_err(|wrong| wrong.line);
            assert_eq!(found, expected, "{bytes:?}");
        }
    }
}
