//! Splits a Rust source into its comments and its string literals.

/// Kind of a piece of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A line of a doc comment.
    Doc,
    /// A line of another comment.
    Comment,
    /// A line of a string literal.
    Text,
}

/// One line, or part of a line, of a comment or of a string literal.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece<'a> {
    /// Number of the line in the file, from 1.
    pub(super) line: usize,
    pub(super) kind: Kind,
    /// Its text without quotes and comment signs.
    pub(super) text: &'a str,
}

/// Returns the comments and string literals of a source, in their order.
pub(super) fn pieces(source: &str) -> Vec<Piece<'_>> {
    let bytes = source.as_bytes();
    let mut found = Vec::new();
    let (mut at, mut line) = (0, 1);
    while at < bytes.len() {
        let rest = &source[at..];
        // End of the token, its text and its kind; `None` for code.
        let (length, piece) = if rest.starts_with("//") {
            let length = rest.find('\n').unwrap_or(rest.len());
            (length, Some(comment(&rest[..length])))
        } else if rest.starts_with("/*") {
            let length = end_of_block(rest);
            (length, Some((Kind::Comment, &rest[..length])))
        } else if let Some((open, close)) = raw_string(source, at) {
            let inner = &rest[open..];
            let length = inner.find(&close).unwrap_or(inner.len());
            let whole = (open + length + close.len()).min(rest.len());
            (whole, Some((Kind::Text, &inner[..length])))
        } else if rest.starts_with('"') {
            let length = end_of_quote(rest, b'"');
            let inner = &rest[1..length.max(2).min(rest.len()) - 1];
            (length, Some((Kind::Text, inner)))
        } else if rest.starts_with('\'') {
            (character(rest), None)
        } else {
            (rest.chars().next().map_or(1, char::len_utf8), None)
        };
        if let Some((kind, text)) = piece {
            let lines = text.split('\n').enumerate();
            found.extend(lines.map(|(below, text)| Piece {
                line: line + below,
                kind,
                text: text.trim_end_matches('\r'),
            }));
        }
        line += rest[..length].bytes().filter(|byte| *byte == b'\n').count();
        at += length;
    }
    found
}

/// Returns the kind and the text of a comment up to the end of its line.
fn comment(text: &str) -> (Kind, &str) {
    let doc = text
        .strip_prefix("///")
        .filter(|rest| !rest.starts_with('/'));
    match doc.or_else(|| text.strip_prefix("//!")) {
        Some(rest) => (Kind::Doc, rest),
        None => (Kind::Comment, text.trim_start_matches('/')),
    }
}

/// Returns the length of a comment between `/*` and `*/`; such comments nest.
fn end_of_block(text: &str) -> usize {
    let (mut at, mut depth) = (0, 0_usize);
    let bytes = text.as_bytes();
    while at + 1 < bytes.len() {
        match &bytes[at..at + 2] {
            b"/*" => depth += 1,
            b"*/" => depth = depth.saturating_sub(1),
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

/// Returns the length of the opening of a raw string at a place, and its closing.
fn raw_string(source: &str, at: usize) -> Option<(usize, String)> {
    let before = source[..at].chars().next_back();
    // The `r` of `br"…"` and `cr"…"` follows a letter as well.
    let is_prefix = matches!(before, Some('b' | 'c'));
    if !is_prefix && before.is_some_and(|before| before.is_alphanumeric() || before == '_') {
        return None;
    }
    let rest = source[at..].strip_prefix('r')?;
    let hashes = rest.len() - rest.trim_start_matches('#').len();
    rest[hashes..].starts_with('"').then(|| {
        let close = format!("\"{}", "#".repeat(hashes));
        (1 + hashes + 1, close)
    })
}

/// Returns the length of a literal between two quotes, with the escapes in it.
fn end_of_quote(text: &str, quote: u8) -> usize {
    let mut is_escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            byte if byte == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Returns the length of a character literal, or of the quote before a lifetime.
fn character(text: &str) -> usize {
    let mut characters = text.chars().skip(1);
    match (characters.next(), characters.next()) {
        (Some('\\'), _) => end_of_quote(text, b'\''),
        (Some(one), Some('\'')) => one.len_utf8() + 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_strings_are_told_from_code() {
        let source = "//! Crate.\n/// Doc \"a\".\nfn f<'a>() { // why\n let s = \"x // y \\\" z\"; let c = '\"'; /* a\n b */ let r = r#\"p \"q\" \"#; }";
        let found: Vec<_> = pieces(source)
            .into_iter()
            .map(|piece| (piece.line, piece.kind, piece.text))
            .collect();
        assert_eq!(
            found,
            [
                (1, Kind::Doc, " Crate."),
                (2, Kind::Doc, " Doc \"a\"."),
                (3, Kind::Comment, " why"),
                (4, Kind::Text, "x // y \\\" z"),
                (4, Kind::Comment, "/* a"),
                (5, Kind::Comment, " b */"),
                (5, Kind::Text, "p \"q\" "),
            ]
        );
    }
}
