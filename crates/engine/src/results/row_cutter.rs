//! Row splitting: a stream of bytes cut into rows.

use lmbatch_core::{Result, Segment};

use crate::spool::tables::BUFFER;
use crate::spool::{Files, spooled};

/// Passes each row of a stored segment and its offset to `note`; `None` stands for a row of more
/// than `max` bytes. Empty rows are left out.
pub(crate) fn cut_segment(
    files: &Files,
    segment: &Segment,
    max: usize,
    mut note: impl FnMut(Option<&[u8]>, u64) -> Result<()>,
) -> Result<()> {
    let file = files.open_named(&segment.name)?;
    let (mut buffer, mut at, mut rows) = (vec![0; BUFFER], 0, RowCutter::default());
    let mut note = |row: Option<&[u8]>, offset: u64| match row
        .is_some_and(|row| row.trim_ascii().is_empty())
    {
        true => Ok(()),
        false => note(row, offset),
    };
    while at < segment.bytes {
        let read = file.read_at(&mut buffer, at).map_err(spooled)?;
        let read = read.min((segment.bytes - at) as usize);
        if read == 0 {
            return Err(spooled(std::io::ErrorKind::UnexpectedEof.into()));
        }
        rows.cut(&buffer[..read], max, &mut note)?;
        at += read as u64;
    }
    rows.end(&mut note)
}

/// Cuts a stream of bytes into rows, on LF only: U+2028 and similar characters are content.
#[derive(Debug, Default)]
pub(crate) struct RowCutter {
    tail: Vec<u8>,
    at: u64,
    too_long: bool,
}

impl RowCutter {
    /// Passes each complete row and its offset to `note`; `None` stands for a row of more than
    /// `max` bytes.
    pub(crate) fn cut(
        &mut self,
        mut bytes: &[u8],
        max: usize,
        mut note: impl FnMut(Option<&[u8]>, u64) -> Result<()>,
    ) -> Result<()> {
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            let piece = &bytes[..end];
            let length = (self.tail.len() + end) as u64;
            if self.too_long || length > max as u64 {
                note(None, self.at)?;
            } else if self.tail.is_empty() {
                self.row(piece, &mut note)?;
            } else {
                self.tail.extend_from_slice(piece);
                let tail = std::mem::take(&mut self.tail);
                self.row(&tail, &mut note)?;
                self.tail = tail;
            }
            // `at` also counts the bytes of a row that was too long and is not kept.
            self.at += length + 1;
            self.tail.clear();
            self.too_long = false;
            bytes = &bytes[end + 1..];
        }
        if self.too_long || self.tail.len() + bytes.len() > max {
            self.at += (self.tail.len() + bytes.len()) as u64;
            self.tail.clear();
            self.too_long = true;
        } else {
            self.tail.extend_from_slice(bytes);
        }
        Ok(())
    }

    /// Passes the last row, which may lack its LF.
    pub(crate) fn end(
        &mut self,
        mut note: impl FnMut(Option<&[u8]>, u64) -> Result<()>,
    ) -> Result<()> {
        if self.too_long {
            return note(None, self.at);
        }
        let tail = std::mem::take(&mut self.tail);
        self.row(&tail, &mut note)
    }

    fn row(
        &self,
        row: &[u8],
        note: &mut impl FnMut(Option<&[u8]>, u64) -> Result<()>,
    ) -> Result<()> {
        // A byte order mark stands before each of several files that were joined, and a record separator before each
        // row of a JSON text sequence (RFC 7464).
        let mut rest = row;
        while let [b'\xef', b'\xbb', b'\xbf', after @ ..] | [b'\x1e', after @ ..] = rest {
            rest = after;
        }
        note(Some(rest), self.at + (row.len() - rest.len()) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns each row with its offset, for bytes that arrive in pieces of `step`.
    fn rows(bytes: &[u8], step: usize, max: usize) -> Vec<(Option<String>, u64)> {
        let mut found = Vec::new();
        let mut cutter = RowCutter {
            tail: Vec::new(),
            at: 0,
            too_long: false,
        };
        let mut note = |row: Option<&[u8]>, at| {
            found.push((row.map(|row| String::from_utf8_lossy(row).into_owned()), at));
            Ok(())
        };
        for piece in bytes.chunks(step) {
            cutter.cut(piece, max, &mut note).unwrap();
        }
        cutter.end(&mut note).unwrap();
        found
    }

    #[test]
    fn rows_are_cut_on_lf_only_wherever_the_pieces_end() {
        let text = "\u{feff}a\u{2028}b\r\n\ncc\nd";
        for step in 1..=text.len() {
            let expected = vec![
                (Some("a\u{2028}b\r".to_owned()), 3),
                (Some(String::new()), 10),
                (Some("cc".to_owned()), 11),
                (Some("d".to_owned()), 14),
            ];
            assert_eq!(
                rows(text.as_bytes(), step, 100),
                expected,
                "pieces of {step}"
            );
        }
    }

    #[test]
    fn marks_before_any_row_are_left_out() {
        let text = "a\n\u{feff}b\n\u{1e}c\n\u{feff}\u{1e}d\n\u{1e}";
        for step in 1..=text.len() {
            let expected = [("a", 0), ("b", 5), ("c", 8), ("d", 14), ("", 17)]
                .map(|(row, at)| (Some(row.to_owned()), at));
            assert_eq!(
                rows(text.as_bytes(), step, 100),
                expected,
                "pieces of {step}"
            );
        }
    }

    #[test]
    fn a_row_that_is_too_long_does_not_affect_other_rows() {
        for step in 1..=20 {
            let found = rows(b"abc\nabcdefgh\nabcd\n", step, 4);
            let lengths: Vec<Option<usize>> = found
                .iter()
                .map(|(row, _)| row.as_ref().map(String::len))
                .collect();
            assert_eq!(
                lengths,
                [Some(3), None, Some(4), Some(0)],
                "pieces of {step}"
            );
            assert_eq!(found[2].1, 13, "pieces of {step}");
        }
    }
}
