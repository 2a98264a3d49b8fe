//! Text in lines of a width.

use console::measure_text_width;

/// Returns a text as lines of at most `columns` columns, broken between words; a longer word is broken as well.
pub(crate) fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(2);
    let (mut lines, mut line, mut used) = (Vec::new(), String::new(), 0);
    for word in text.split_whitespace() {
        let width = measure_text_width(word);
        if used > 0 && used + 1 + width > columns {
            lines.push(std::mem::take(&mut line));
            used = 0;
        }
        if used > 0 {
            line.push(' ');
            used += 1;
        }
        if width <= columns {
            line.push_str(word);
            used += width;
            continue;
        }
        for c in word.chars() {
            let width = measure_text_width(c.encode_utf8(&mut [0; 4]));
            if used + width > columns {
                lines.push(std::mem::take(&mut line));
                used = 0;
            }
            line.push(c);
            used += width;
        }
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_between_words_and_within_long_ones() {
        for (text, columns, lines) in [
            ("", 5, &[][..]),
            ("one two three", 7, &["one two", "three"]),
            ("one two three", 6, &["one", "two", "three"]),
            ("a abcdefgh b", 4, &["a", "abcd", "efgh", "b"]),
            ("abcdef gh", 4, &["abcd", "ef", "gh"]),
            ("日本語 文", 4, &["日本", "語", "文"]),
        ] {
            assert_eq!(wrapped(text, columns), lines, "{text}");
        }
    }
}
