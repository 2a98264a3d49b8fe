//! Rows that a provider or a proxy did not put on lines of their own.

use std::ops::Range;

use serde::de::IgnoredAny;

/// Returns the rows of a line that is not one JSON object, as ranges of its bytes: objects that follow each other
/// without a line end, the elements of a list, and objects after a byte order mark, a record separator (RFC 7464), the
/// word `data:` of a stream of events, a comma or a bracket. From the first byte that is not JSON on, the rest is one
/// row. A line that is a row already, or holds none, is returned whole.
pub(crate) fn pieces(line: &[u8]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut at = skip(line, 0);
    if let Some(rest) = line[at..].strip_prefix(b"data:") {
        at = skip(line, line.len() - rest.len());
    }
    while at < line.len() {
        let rest = &line[at..];
        let mut values = serde_json::Deserializer::from_slice(rest).into_iter::<IgnoredAny>();
        let is_object = rest.starts_with(b"{") && matches!(values.next(), Some(Ok(_)));
        if !is_object {
            found.push(at..line.len());
            break;
        }
        let end = at + values.byte_offset();
        found.push(at..end);
        at = skip(line, end);
    }
    if found.is_empty() {
        found.push(0..line.len());
    }
    found
}

/// Returns the position of the first byte from `at` on that is part of a row.
fn skip(line: &[u8], at: usize) -> usize {
    let mut rest = &line[at..];
    loop {
        rest = match rest {
            [
                b' ' | b'\t' | b'\r' | b'\n' | b'\x1e' | b',' | b'[' | b']',
                rest @ ..,
            ]
            | [b'\xef', b'\xbb', b'\xbf', rest @ ..] => rest,
            _ => return line.len() - rest.len(),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_split_into_its_rows() {
        for (line, expected) in [
            ("{}", vec!["{}"]),
            (
                r#"{"a":1}{"b":2}{"c":3}"#,
                vec![r#"{"a":1}"#, r#"{"b":2}"#, r#"{"c":3}"#],
            ),
            (r#"{"a":"}{"} {"b":2}"#, vec![r#"{"a":"}{"}"#, r#"{"b":2}"#]),
            ("\u{feff}{\"a\":1}\r", vec![r#"{"a":1}"#]),
            (
                "\u{1e}{\"a\":1}\u{1e}{\"b\":2}",
                vec![r#"{"a":1}"#, r#"{"b":2}"#],
            ),
            (r#"data: {"a":1}"#, vec![r#"{"a":1}"#]),
            (r#"[ {"a":1} ]"#, vec![r#"{"a":1}"#]),
            (
                r#"[{"a":1},{"b":[{}]}]"#,
                vec![r#"{"a":1}"#, r#"{"b":[{}]}"#],
            ),
            (r#"[{"a":1},"#, vec![r#"{"a":1}"#]),
            (r#"{"a":1},"#, vec![r#"{"a":1}"#]),
            (r#"{"a":1}]"#, vec![r#"{"a":1}"#]),
            (
                r#"{"a":1}{"b":NaN}{"c":3}"#,
                vec![r#"{"a":1}"#, r#"{"b":NaN}{"c":3}"#],
            ),
            (r#"{"a":1}{"b":"cut"#, vec![r#"{"a":1}"#, r#"{"b":"cut"#]),
            (r#"{"a":1} words"#, vec![r#"{"a":1}"#, "words"]),
            (r#"{"a":NaN}{"b":2}"#, vec![r#"{"a":NaN}{"b":2}"#]),
            ("<html>", vec!["<html>"]),
            ("data: [DONE]", vec!["DONE]"]),
            ("[1,2]", vec!["1,2]"]),
            ("[]", vec!["[]"]),
            ("", vec![""]),
        ] {
            let found = pieces(line.as_bytes())
                .into_iter()
                .map(|range| &line[range]);
            let found: Vec<&str> = found.collect();
            assert_eq!(found, expected, "{line}");
            // What was split once is not split again.
            for piece in found {
                assert!(
                    matches!(&pieces(piece.as_bytes())[..], [only] if *only == (0..piece.len())),
                    "{piece}"
                );
            }
        }
    }
}
