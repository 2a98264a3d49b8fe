//! Rows of results, each scanned once.

use std::fmt;

use crate::{JsonView, Outline, replace_lone_surrogates};

/// Reusable memory for reading rows of results one after another.
///
/// ```
/// use lmbatch_core::RowReader;
/// let mut rows = RowReader::new();
/// let row = rows.read(br#"{"custom_id":"a"}"#);
/// assert!(row.value().is_some_and(|value| value.is_object()));
/// assert!(rows.read(b"<html>").value().is_none());
/// ```
#[derive(Debug, Default)]
pub struct RowReader {
    outline: Outline,
    /// Copy of a row with U+FFFD in place of each lone surrogate escape.
    repaired: Vec<u8>,
}

impl RowReader {
    /// Creates a reader that holds no memory yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads a row, which may be anything. Lone surrogate escapes are replaced by U+FFFD.
    pub fn read<'a>(&'a mut self, row: &'a [u8]) -> ResultRow<'a> {
        let text = simdutf8::basic::from_utf8(row).ok();
        let text = text.filter(|text| self.outline.fill(text));
        if let Some(text) = text
            && !self.outline.has_lone_surrogate()
        {
            return ResultRow {
                bytes: row,
                value: Some(self.outline.view(text)),
                replaced: 0,
            };
        }
        let (bytes, replaced) = replace_lone_surrogates(row, &mut self.repaired);
        let text = text.and_then(|_| simdutf8::basic::from_utf8(bytes).ok());
        let text = text.filter(|text| self.outline.fill(text));
        ResultRow {
            bytes,
            value: text.map(|text| self.outline.view(text)),
            replaced,
        }
    }
}

/// Scanned row of results.
#[derive(Clone, Copy)]
pub struct ResultRow<'a> {
    bytes: &'a [u8],
    value: Option<JsonView<'a>>,
    replaced: u32,
}

impl<'a> ResultRow<'a> {
    /// Returns the bytes of the row, with U+FFFD in place of lone surrogate escapes.
    pub fn as_bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// Returns the row as a JSON value; `None` where it is not JSON.
    pub fn value(self) -> Option<JsonView<'a>> {
        self.value
    }

    /// Returns the number of lone surrogate escapes that were replaced.
    pub fn replaced(self) -> u32 {
        self.replaced
    }
}

impl fmt::Debug for ResultRow<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ResultRow({} B)", self.bytes.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_read_as_json_with_whole_characters_or_as_bytes() {
        let mut rows = RowReader::new();
        for (row, bytes, is_json, replaced) in [
            (&br#"{"a":1}"#[..], &br#"{"a":1}"#[..], true, 0),
            (br#"{"a":"\ud800"}"#, br#"{"a":"\ufffd"}"#, true, 1),
            (
                br#"{"a":"\ud83d\ude00"}"#,
                br#"{"a":"\ud83d\ude00"}"#,
                true,
                0,
            ),
            (br#"{"a":"\ud800""#, br#"{"a":"\ufffd""#, false, 1),
            (b"{\"a\":\"\xff\"}", b"{\"a\":\"\xff\"}", false, 0),
            (
                b"{\"a\":\"\xff\\ud800\"}",
                b"{\"a\":\"\xff\\ufffd\"}",
                false,
                1,
            ),
            (b"\xef\xbb\xbf{}", b"\xef\xbb\xbf{}", false, 0),
            (b"", b"", false, 0),
        ] {
            let read = rows.read(row);
            assert_eq!((read.as_bytes(), read.replaced()), (bytes, replaced));
            let value = read.value().map(|value| value.as_str().as_bytes());
            assert_eq!(value, is_json.then_some(bytes));
        }
    }
}
