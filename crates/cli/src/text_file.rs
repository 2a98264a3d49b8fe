//! Text files that arguments name.

use std::path::Path;
use std::{fs, io};

/// Byte order mark that some editors put before text.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// Reads the text of a file, without its byte order mark.
pub(crate) fn read(path: &Path) -> io::Result<String> {
    let mut text = fs::read_to_string(path)?;
    if text.as_bytes().starts_with(MARK) {
        text.drain(..MARK.len());
    }
    Ok(text)
}
