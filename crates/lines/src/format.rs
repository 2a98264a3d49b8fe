//! Recognition of files that are not text, or not JSON Lines, by their first bytes.

/// Beginning of the reason for which an input in a format other than JSON Lines is refused.
pub const NOT_JSON_LINES: &str = "the input is not JSON Lines: ";

/// Returns the name of a format other than text that the first bytes of an input show, with a way to convert it.
pub(crate) fn other_than_text(head: &[u8]) -> Option<&'static str> {
    Some(match head {
        [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] | [b'P', b'K', 7, 8, ..] => {
            "it is a ZIP file or a spreadsheet, such as .xlsx; export the sheet as CSV, or unpack the file"
        }
        [0xd0, 0xcf, 0x11, 0xe0, ..] => {
            "it is a spreadsheet or document of an old office format, such as .xls; export it as CSV"
        }
        [b'P', b'A', b'R', b'1', ..] => {
            "it is Parquet, which is read as the format parquet only, and from a file rather than a stream or a compressed file"
        }
        [b'A', b'R', b'R', b'O', b'W', b'1', ..] => {
            "it is Arrow IPC (Feather); convert it to CSV or JSON Lines"
        }
        [b'S', b'Q', b'L', b'i', b't', b'e', ..] => {
            "it is an SQLite database; export a table as CSV"
        }
        [b'B', b'Z', b'h', ..] => "it is compressed with bzip2; decompress it, or use gzip or zstd",
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => {
            "it is compressed with xz; decompress it, or use gzip or zstd"
        }
        [0x04, 0x22, 0x4d, 0x18, ..] | [0x02, 0x21, 0x4c, 0x18, ..] => {
            "it is compressed with LZ4; decompress it, or use gzip or zstd"
        }
        [0xff, 0x06, 0, 0, b's', b'N', b'a', b'P', b'p', b'Y', ..] => {
            "it is compressed with Snappy; decompress it, or use gzip or zstd"
        }
        [b'L', b'Z', b'I', b'P', 1, ..] => {
            "it is compressed with lzip; decompress it, or use gzip or zstd"
        }
        [0x1f, 0x9d, ..] => {
            "it is compressed with compress (.Z); decompress it, or use gzip or zstd"
        }
        [b'7', b'z', 0xbc, 0xaf, 0x27, 0x1c, ..] => "it is a 7z archive; unpack it",
        [b'R', b'a', b'r', b'!', 0x1a, 7, ..] => "it is a RAR archive; unpack it",
        [b'%', b'P', b'D', b'F', ..] => "it is a PDF",
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => {
            "it is UTF-16; convert it to UTF-8, for example with: iconv -f UTF-16 -t UTF-8"
        }
        head if is_html(head) => "it is an HTML page; a download may have failed",
        _ => return None,
    })
}

/// Returns the reason why the bytes of a file are not UTF-8, if they are not: the format that they show, or the first
/// invalid byte. A text may begin like another format, such as HTML.
///
/// ```
/// use lmbatch_lines::not_text;
/// assert_eq!(not_text("Ünïcode\n".as_bytes()), None);
/// assert_eq!(not_text(b"\x1f\x8b\x08").as_deref(), Some("it is compressed with gzip; decompress it"));
/// assert!(not_text(b"one\ntw\xef").is_some_and(|why| why.contains("byte 3 of line 2")));
/// ```
pub fn not_text(bytes: &[u8]) -> Option<String> {
    let at = std::str::from_utf8(bytes).err()?.valid_up_to();
    let shown = match bytes {
        [0x1f, 0x8b, ..] => Some("it is compressed with gzip; decompress it"),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Some("it is compressed with zstd; decompress it"),
        _ => None,
    };
    if let Some(shown) = shown.or_else(|| other_than_text(bytes)) {
        return Some(shown.to_owned());
    }
    Some(match is_binary(bytes) {
        true => binary(bytes, at),
        false => format!("it is not UTF-8 at {}; {CONVERT}", place(bytes, at)),
    })
}

/// Returns the reason why an input is not text, if its first bytes show that it is binary.
pub(crate) fn other_than_plain(head: &[u8]) -> Option<String> {
    if let Some(shown) = other_than_text(head) {
        return Some(shown.to_owned());
    }
    // A character may continue after the first bytes.
    let error = std::str::from_utf8(head).err()?;
    let is_invalid = error.error_len().is_some() && is_binary(head);
    is_invalid.then(|| binary(head, error.valid_up_to()))
}

/// Returns what follows the name of a line or a cell that is not UTF-8.
pub(crate) fn not_utf8(bytes: &[u8]) -> String {
    let end = std::str::from_utf8(bytes).err();
    let byte = end.map_or(bytes.len(), |error| error.valid_up_to()) + 1;
    match is_binary(bytes) {
        true => format!("is not text (invalid UTF-8 at byte {byte}); {BROTLI}"),
        false => format!("is not UTF-8 at byte {byte}; {CONVERT}"),
    }
}

/// Brotli has no first bytes by which it is recognised.
const BROTLI: &str = "if the file is compressed with brotli, decompress it first";

const CONVERT: &str = "convert the file, for example with: iconv -f LATIN1 -t UTF-8";

fn binary(bytes: &[u8], at: usize) -> String {
    format!(
        "it is not text (invalid UTF-8 at {}); {BROTLI}",
        place(bytes, at)
    )
}

/// Returns the place of a byte, counted from 1.
fn place(bytes: &[u8], at: usize) -> String {
    let before = &bytes[..at];
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let start = before.iter().rposition(|byte| *byte == b'\n');
    let byte = at - start.map_or(0, |end| end + 1) + 1;
    format!("byte {byte} of line {line}")
}

/// Reports whether bytes have control characters that occur in no text.
fn is_binary(bytes: &[u8]) -> bool {
    let is_control = |byte: &u8| *byte < b' ' && !b"\t\n\r\x0b\x0c\x1b".contains(byte);
    bytes.iter().any(is_control)
}

/// Reports whether bytes begin an HTML page.
fn is_html(head: &[u8]) -> bool {
    let head = head.trim_ascii_start();
    [&b"<!doctype html"[..], b"<html"].iter().any(|begin| {
        let start = head.get(..begin.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(begin))
    })
}

/// Returns the reason why an input is not JSON Lines, if its first line shows another format.
pub(crate) fn other_than_json_lines(line: &[u8]) -> Option<String> {
    let found = match line {
        [0x1f, 0x8b, ..] => "it is compressed with gzip",
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "it is compressed with zstd",
        [b'P', b'K', 3, 4, ..] => "it is a ZIP file or a spreadsheet",
        [b'P', b'A', b'R', b'1', ..] => "it is Parquet",
        // The line holds a whole array, or is the first line of one.
        [b'[', ..] => "it is a JSON array",
        [b'{'] => "its JSON objects span several lines",
        [b'{', ..] => return None,
        line if is_html(line) => "it is an HTML page",
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "it is UTF-16",
        line if is_table(line) => "it looks like CSV",
        _ => return None,
    };
    Some(format!("{NOT_JSON_LINES}{found}"))
}

/// Reports whether a line is the header of a table: names, with commas, semicolons or tabs between them.
fn is_table(line: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(line) else {
        return false;
    };
    [',', ';', '\t'].iter().any(|separator| {
        let mut cells = text.split(*separator);
        let is_name = |cell: &str| {
            let cell = cell.trim().trim_matches('"');
            !cell.is_empty()
                && cell
                    .chars()
                    .all(|c| c.is_alphanumeric() || " _-.".contains(c))
        };
        text.contains(*separator) && cells.all(is_name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_not_text_are_refused_by_their_format_or_their_first_invalid_byte() {
        for (bytes, expected) in [
            (&b"\x04\x22\x4d\x18\x64"[..], "LZ4"),
            (b"\xff\x06\0\0sNaPpY", "Snappy"),
            (b"7z\xbc\xaf\x27\x1c\0", "7z"),
            (b"Rar!\x1a\x07\0", "RAR"),
            (b"LZIP\x01", "lzip"),
            (b"\x1f\x9d\x90", ".Z"),
            (b"PK\x05\x06", "ZIP"),
            (
                b"\x1b\x07\x00\xf8\xa5",
                "invalid UTF-8 at byte 4 of line 1); if the file is compressed with brotli",
            ),
            (b"a\nb\x01\xff", "invalid UTF-8 at byte 3 of line 2"),
        ] {
            let (whole, head) = (
                not_text(&[bytes, b"\xff"].concat()),
                other_than_plain(bytes),
            );
            assert!(
                whole.is_some_and(|why| why.contains(expected)),
                "{expected}"
            );
            assert!(head.is_some_and(|why| why.contains(expected)), "{expected}");
        }
        for text in ["<html>{{ text }}</html>", "%PDF is a prefix", "BZh", "PAR1"] {
            assert_eq!(not_text(text.as_bytes()), None);
        }
        // Text in another encoding is an error of its line, and a character may be cut at the end of the first bytes.
        let latin = not_text(b"na\xefve").unwrap_or_default();
        assert!(
            latin.starts_with("it is not UTF-8 at byte 3 of line 1; convert"),
            "{latin}"
        );
        for head in [
            &b"na\xefve"[..],
            b"\x01\xc3",
            b"\x01 text",
            "ü\n".as_bytes(),
            b"",
        ] {
            assert_eq!(other_than_plain(head), None, "{head:?}");
        }
        assert!(not_utf8(b"na\xefve").starts_with("is not UTF-8 at byte 3; convert"));
        assert!(not_utf8(b"\x01\xff").starts_with("is not text (invalid UTF-8 at byte 2); if"));
    }

    #[test]
    fn another_format_is_recognised_by_its_first_line() {
        for (line, found) in [
            (&b"id,prompt"[..], Some("CSV")),
            (b"\"id\";\"the prompt\"", Some("CSV")),
            (b"id\tprompt\tn", Some("CSV")),
            (b"\x1f\x8b\x08\x00", Some("gzip")),
            (b"\x28\xb5\x2f\xfd", Some("zstd")),
            (b"PK\x03\x04", Some("spreadsheet")),
            (b"PAR1\x15", Some("Parquet")),
            (b"[", Some("array")),
            (b"[{\"prompt\": \"a\"}]", Some("array")),
            (b"{", Some("several lines")),
            (b"{\"prompt\": \"a, b\"}", None),
            (b"prompt", None),
            (b"\xff,\xfe", None),
            (b"\xff\xfe{\0", Some("UTF-16")),
            (b"<!DOCTYPE html>", Some("HTML")),
            (b"", None),
        ] {
            let why = other_than_json_lines(line);
            assert_eq!(why.is_some(), found.is_some(), "{line:?}");
            assert!(
                why.unwrap_or_default().contains(found.unwrap_or("")),
                "{line:?}"
            );
        }
    }
}
