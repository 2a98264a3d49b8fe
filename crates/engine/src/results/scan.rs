//! Scans rows of results for their request and their verdict.

use std::ops::Range;

use lmbatch_core::{BatchCodec, JsonView, ResultPart, ResultRow, RowReader, ScannedRow};

use crate::results::pieces::pieces;

/// Line of results, scanned.
pub(crate) enum Line<'a> {
    /// One row, with lone surrogate escapes replaced.
    Row(ResultRow<'a>, ScannedRow<'a>),
    /// Several rows, or one among other bytes, as ranges of the line. Each is scanned on its own.
    Rows(Vec<Range<usize>>),
    /// A row that cannot be read.
    Unreadable,
}

/// Scans a line of results.
///
/// An id with a lone surrogate is left out: with U+FFFD in its place it could equal the id of
/// another row.
pub(crate) fn scan<'a>(
    codec: &dyn BatchCodec,
    part: &ResultPart,
    raw: &'a [u8],
    rows: &'a mut RowReader,
) -> Line<'a> {
    let row = rows.read(raw);
    if !row.value().is_some_and(JsonView::is_object) {
        let pieces = pieces(raw);
        let is_whole = matches!(&pieces[..], [only] if *only == (0..raw.len()));
        if !is_whole {
            return Line::Rows(pieces);
        }
    }
    match scan_row(codec, part, raw, row) {
        Some(scanned) => Line::Row(row, scanned),
        None => Line::Unreadable,
    }
}

fn scan_row<'a>(
    codec: &dyn BatchCodec,
    part: &ResultPart,
    raw: &[u8],
    row: ResultRow<'a>,
) -> Option<ScannedRow<'a>> {
    let mut scanned = codec.scan(part, row).ok()?;
    if row.replaced() > 0 && scanned.id.is_some() {
        let other = replaced_otherwise(raw, row.as_bytes());
        let mut rows = RowReader::new();
        let again = codec.scan(part, rows.read(&other)).ok()?;
        if again.id != scanned.id {
            scanned.id = None;
        }
    }
    Some(scanned)
}

/// Returns the row with U+FFFC where `replaced` has U+FFFD for a lone surrogate.
fn replaced_otherwise(raw: &[u8], replaced: &[u8]) -> Vec<u8> {
    let mut other = replaced.to_vec();
    let mut at = 0;
    while at < other.len() {
        if raw.get(at) == replaced.get(at) {
            at += 1;
            continue;
        }
        // The first digit of the escape differs: that of a surrogate is `d`.
        let end = other.len().min(at + 4);
        other[at..end].copy_from_slice(&b"fffc"[..end - at]);
        at = end;
    }
    other
}

/// Returns whether a last row without a line end is truncated: one of its strings or brackets is
/// still open.
pub(crate) fn is_truncated(row: &[u8]) -> bool {
    let (mut depth, mut at, mut in_string) = (0_usize, 0, false);
    while let Some(byte) = row.get(at) {
        match byte {
            b'\\' if in_string => at += 1,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => depth += 1,
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    in_string || depth > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_with_an_open_string_or_bracket_is_truncated() {
        for (row, cut) in [
            ("{}", false),
            (r#"{"a":[1,{"b":"]"}]}"#, false),
            (r#"{"a":NaN}"#, false),
            ("<html>", false),
            ("", false),
            ("{", true),
            (r#"{"a":[1,{"b":"c"}]"#, true),
            (r#"{"a":"b}"#, true),
            (r#"{"a":"b\"}"#, true),
            (r#"{"a":"b\\"}"#, false),
            (r#"{"a":NaN,"b":{}"#, true),
        ] {
            assert_eq!(is_truncated(row.as_bytes()), cut, "{row}");
        }
    }

    #[test]
    fn a_lone_surrogate_is_replaced_by_another_character_of_the_same_length() {
        for (raw, expected) in [
            (
                r#"{"a":"\ud800","b":"\uDFFF\ufffd"}"#,
                r#"{"a":"\ufffc","b":"\ufffc\ufffd"}"#,
            ),
            (
                r#"{"a":"\ud83d\ude00\ud83d"}"#,
                r#"{"a":"\ud83d\ude00\ufffc"}"#,
            ),
            ("{}", "{}"),
        ] {
            let mut rows = RowReader::new();
            let replaced = rows.read(raw.as_bytes()).as_bytes();
            let other = replaced_otherwise(raw.as_bytes(), replaced);
            assert_eq!(String::from_utf8(other).unwrap(), expected);
        }
    }
}
