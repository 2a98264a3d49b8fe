//! Recognition of files that are not JSON Lines by their first line.

/// Beginning of the reason for which an input in a format other than JSON Lines is refused.
pub const NOT_JSON_LINES: &str = "the input is not JSON Lines: ";

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
