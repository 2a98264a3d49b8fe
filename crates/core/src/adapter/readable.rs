//! Rows of results that are not strict JSON: reading their ids, and showing their content.

use serde_json::value::RawValue;

use crate::{Text, Token, write_string};

/// Returns the id of a row that is not strict JSON, where it can be read without a guess: `members` is the
/// path to it through objects, everything before it is complete, and it appears once. `NaN`, raw control
/// characters, bytes that are not UTF-8 and a truncated end are tolerated.
///
/// ```
/// use lmbatch_core::readable_id;
/// let id = |row: &'static [u8]| readable_id(row, &["custom_id"]).map(|id| id.decode().into_owned());
/// assert_eq!(id(br#"{"logprob":NaN,"custom_id":"a","text":"cut of"#).as_deref(), Some("a"));
/// assert_eq!(id(br#"{"text":"custom_id","x":{"custom_id":"b"}}"#), None);
/// ```
pub fn readable_id<'a>(row: &'a [u8], members: &[&str]) -> Option<Text<'a>> {
    let (name, rest) = members.split_first()?;
    let mut found = None;
    let mut left = row.trim_ascii_start().strip_prefix(b"{")?;
    loop {
        let Some((key, value)) = member(left) else {
            // The row is truncated or malformed. An id that was found before this point is valid.
            return found;
        };
        let after = skip_value(value);
        if key == name.as_bytes() {
            let end = after.map_or(value.len(), |after| value.len() - after.len());
            let id = match rest {
                [] => after.and_then(|_| string(&value[..end])),
                rest => readable_id(&value[..end], rest),
            };
            let again = found.is_some_and(|first| Some(first) != id);
            if again || (id.is_none() && rest.is_empty()) {
                return None;
            }
            found = id;
        }
        match after
            .map(<[u8]>::trim_ascii_start)
            .and_then(<[u8]>::split_first)
        {
            Some((b',', after)) => left = after,
            _ => return found,
        }
    }
}

/// Returns the key of the member at the start of `bytes`, and the bytes after its colon.
fn member(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let bytes = bytes.trim_ascii_start();
    let after = skip_string(bytes)?;
    let key = &bytes[1..bytes.len() - after.len() - 1];
    let value = after.trim_ascii_start().strip_prefix(b":")?;
    Some((key, value.trim_ascii_start()))
}

/// Returns the bytes after the value at the start of `bytes`; `None` where the value has no end.
fn skip_value(bytes: &[u8]) -> Option<&[u8]> {
    match bytes.first()? {
        b'"' => skip_string(bytes),
        b'{' | b'[' => {
            let (mut left, mut depth) = (bytes, 0_usize);
            loop {
                left = match left.first()? {
                    b'"' => skip_string(left)?,
                    b'{' | b'[' => {
                        depth += 1;
                        &left[1..]
                    }
                    b'}' | b']' => {
                        depth -= 1;
                        &left[1..]
                    }
                    _ => &left[1..],
                };
                if depth == 0 {
                    return Some(left);
                }
            }
        }
        _ => {
            let end = bytes
                .iter()
                .position(|byte| matches!(byte, b',' | b'}' | b']'))?;
            Some(&bytes[end..])
        }
    }
}

/// Returns the bytes after the string at the start of `bytes`.
fn skip_string(bytes: &[u8]) -> Option<&[u8]> {
    let mut at = 1;
    bytes.strip_prefix(b"\"")?;
    while let Some(found) = memchr::memchr2(b'"', b'\\', bytes.get(at..)?) {
        at += found;
        if bytes[at] == b'"' {
            return Some(&bytes[at + 1..]);
        }
        at += 2;
    }
    None
}

fn string(token: &[u8]) -> Option<Text<'_>> {
    let text = std::str::from_utf8(token.trim_ascii()).ok()?;
    let raw: &RawValue = serde_json::from_str(text).ok()?;
    Token::from_raw(raw).ok().map(Text::Token)
}

/// Returns the row with each lone surrogate escape replaced by U+FFFD, and the number of replacements. A lone
/// surrogate is half a character; models that stop within an emoji produce them. A row without any is
/// returned unchanged.
///
/// ```
/// let mut scratch = Vec::new();
/// let (row, count) = lmbatch_core::replace_lone_surrogates(br#"{"a":"\ud83d"}"#, &mut scratch);
/// assert_eq!((row, count), (&br#"{"a":"\ufffd"}"#[..], 1));
/// ```
pub fn replace_lone_surrogates<'a>(row: &'a [u8], scratch: &'a mut Vec<u8>) -> (&'a [u8], u32) {
    let (mut from, mut count) = (0, 0);
    scratch.clear();
    while let Some(found) = memchr::memmem::find(&row[from..], b"\\u") {
        let at = from + found;
        let before = row[..at].iter().rev();
        let is_escaped = before.take_while(|byte| **byte == b'\\').count() % 2 == 1;
        let unit = if is_escaped {
            None
        } else {
            surrogate(&row[at..])
        };
        from = match unit {
            None => at + 2,
            Some(high) if high < 0xdc00 && is_low(row.get(at + 6..)) => at + 12,
            Some(_) => {
                if count == 0 {
                    scratch.extend_from_slice(row);
                }
                scratch[at..at + 6].copy_from_slice(b"\\ufffd");
                count += 1;
                at + 6
            }
        };
    }
    if count == 0 {
        (row, 0)
    } else {
        (scratch, count)
    }
}

fn is_low(bytes: Option<&[u8]>) -> bool {
    bytes.and_then(surrogate).is_some_and(|unit| unit >= 0xdc00)
}

/// Returns the surrogate whose escape is at the start of `bytes`.
pub(crate) fn surrogate(bytes: &[u8]) -> Option<u16> {
    let digits = bytes.strip_prefix(b"\\u")?.get(..4)?;
    let unit = u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    (0xd800..=0xdfff).contains(&unit).then_some(unit)
}

/// Row of results as the provider sent it. It may be anything.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RawRow<'a>(&'a [u8]);

impl<'a> RawRow<'a> {
    /// Creates a row from its bytes. Whitespace around them, such as the line end, is removed.
    pub fn new(row: &'a [u8]) -> Self {
        Self(row.trim_ascii())
    }

    /// Returns the bytes of the row.
    pub fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// Appends the row as one JSON value on one line: a JSON value unchanged, other text as a string, and any
    /// other bytes as an object:
    ///
    /// ```json
    /// {"base64":"/w=="}
    /// ```
    pub fn write_json(self, out: &mut Vec<u8>) {
        use base64::Engine as _;
        match std::str::from_utf8(self.0) {
            Ok(text) if is_json_line(text) => out.extend_from_slice(self.0),
            Ok(text) => write_string(text, out),
            Err(_) => {
                out.extend_from_slice(b"{\"base64\":\"");
                let encoded = base64::engine::general_purpose::STANDARD.encode(self.0);
                out.extend_from_slice(encoded.as_bytes());
                out.extend_from_slice(b"\"}");
            }
        }
    }
}

fn is_json_line(text: &str) -> bool {
    memchr::memchr2(b'\n', b'\r', text.as_bytes()).is_none()
        && serde_json::from_str::<&RawValue>(text).is_ok()
}

impl std::fmt::Debug for RawRow<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RawRow({} B)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(row: &[u8], members: &[&str]) -> Option<String> {
        readable_id(row, members).map(|id| id.decode().into_owned())
    }

    #[test]
    fn the_id_of_a_malformed_row_is_read_where_it_is_unambiguous() {
        for (row, found) in [
            (&br#"{"custom_id":"a","x":NaN}"#[..], Some("a")),
            (br#"{"x":-Infinity,"custom_id":"a"}"#, Some("a")),
            (
                br#"{"x":{"y":[NaN,"]}"]},"custom_id":"a","t":"cut"#,
                Some("a"),
            ),
            (b"{\"x\":\"\x01\n\",\"custom_id\":\"a\"}", Some("a")),
            (b"{\"x\":\"\xff\",\"custom_id\":\"a\"}", Some("a")),
            (b"  {\"custom_id\" : \"\\u00fc/1\" , \"x\":", Some("ü/1")),
            (br#"{"custom_id":"a","custom_id":"a","x":NaN}"#, Some("a")),
            // The id is incomplete, absent, not a string, ambiguous, or at another place.
            (br#"{"custom_id":"a"#, None),
            (br#"{"custom_id":7,"x":NaN}"#, None),
            (br#"{"custom_id":"a","custom_id":"b","x":NaN}"#, None),
            (br#"{"x":{"custom_id":"a"},"y":NaN}"#, None),
            (br#"{"x":"a "quote", "custom_id":"a"}"#, None),
            (b"{\"custom_id\":\"\xff\"}", None),
            (br#"{"custom_id":"\ud800"}"#, None),
            (br#"["custom_id","a"]"#, None),
            (b"<html>", None),
            (b"", None),
        ] {
            let shown = String::from_utf8_lossy(row);
            assert_eq!(id(row, &["custom_id"]).as_deref(), found, "{shown}");
        }
        let nested = br#"{"response":NaN,"metadata":{"other":1,"key":"a"}}"#;
        assert_eq!(id(nested, &["metadata", "key"]).as_deref(), Some("a"));
        assert_eq!(id(br#"{"metadata":{"x":1}}"#, &["metadata", "key"]), None);
    }

    #[test]
    fn lone_surrogates_are_replaced_and_counted() {
        for (row, expected, count) in [
            (r#""\ud83d""#, r#""\ufffd""#, 1),
            (
                r#""\uDE00 \ud83d\ud83d\ude00""#,
                r#""\ufffd \ufffd\ud83d\ude00""#,
                2,
            ),
            (r#""\ud83d\ude00""#, r#""\ud83d\ude00""#, 0),
            (r#""\\ud83d""#, r#""\\ud83d""#, 0),
            (r#""\\\ud83d""#, r#""\\\ufffd""#, 1),
            (r#""\u00e9""#, r#""\u00e9""#, 0),
            (r#""\ud8"#, r#""\ud8"#, 0),
        ] {
            let mut scratch = Vec::new();
            let (found, replaced) = replace_lone_surrogates(row.as_bytes(), &mut scratch);
            assert_eq!((found, replaced), (expected.as_bytes(), count), "{row}");
        }
    }

    #[test]
    fn any_raw_row_is_written_as_json() {
        for (row, shown) in [
            (&b"{\"a\":\"\\ud83d\"}\r\n"[..], r#"{"a":"\ud83d"}"#),
            (b"{\"a\":NaN}", r#""{\"a\":NaN}""#),
            (b"\xff", r#"{"base64":"/w=="}"#),
        ] {
            let mut out = Vec::new();
            RawRow::new(row).write_json(&mut out);
            assert_eq!(out, shown.as_bytes());
        }
    }
}
