//! Recognition of files that are not JSON Lines by their first line.

/// Beginning of the reason for which an input in a format other than JSON Lines is refused.
pub const NOT_JSON_LINES: &str = "the input is not JSON Lines: ";

/// Returns the name of a format other than text that the first bytes of an input show, with a way to convert it.
pub(crate) fn other_than_text(head: &[u8]) -> Option<&'static str> {
    Some(match head {
        [b'P', b'K', 3, 4, ..] => {
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
        [b'%', b'P', b'D', b'F', ..] => "it is a PDF",
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => {
            "it is UTF-16; convert it to UTF-8, for example with: iconv -f UTF-16 -t UTF-8"
        }
        head if is_html(head) => "it is an HTML page; a download may have failed",
        _ => return None,
    })
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
