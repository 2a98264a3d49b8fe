//! JSON on several lines, for people. Numbers and strings stay as they are written.

/// Length in bytes from which a string without spaces, such as an image in base64, is shortened.
const LONG: usize = 2_000;

/// Number of characters that are shown of such a string.
const MAX_SHOWN_REQUESTS: usize = 60;

/// Returns JSON text with one member or item per line; text that is not JSON is only split differently.
pub(crate) fn pretty(json: &str) -> String {
    let mut out = String::with_capacity(json.len() * 2);
    let mut depth = 0_usize;
    let mut rest = json.trim();
    while let Some(first) = rest.chars().next() {
        let mut length = first.len_utf8();
        match first {
            '"' => {
                length = string_length(rest);
                out.push_str(&shortened(&rest[..length]));
            }
            '{' | '[' => {
                let inner = rest[1..].trim_start();
                if inner.starts_with(['}', ']']) {
                    // Empty, and stays on its line.
                    out.push(first);
                    out.push_str(&inner[..1]);
                    rest = &inner[1..];
                    continue;
                }
                depth += 1;
                out.push(first);
                line(&mut out, depth);
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
                out.push(first);
            }
            ',' => {
                out.push(',');
                line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            space if space.is_whitespace() => {}
            other => out.push(other),
        }
        rest = &rest[length..];
    }
    out
}

fn line(out: &mut String, depth: usize) {
    out.push('\n');
    out.extend(std::iter::repeat_n("  ", depth));
}

/// Returns the length of the string with which a text begins, quotes included.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Returns a string, or the beginning of one that holds data rather than text.
fn shortened(string: &str) -> String {
    let is_data = string.len() > LONG && !string.contains([' ', '\\']);
    if !is_data {
        return string.to_owned();
    }
    let shown: String = string.chars().take(MAX_SHOWN_REQUESTS).collect();
    let characters = string.chars().count().saturating_sub(2);
    format!("{shown}…\" ({characters} characters)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_member_is_on_its_own_line_and_nothing_else_changes() {
        let json = r#"{"a":[1,{"b":"x, {y}: \"z\""}],"c":{},"d":[ ],"e":12345678901234567890123}"#;
        let expected = r#"{
  "a": [
    1,
    {
      "b": "x, {y}: \"z\""
    }
  ],
  "c": {},
  "d": [],
  "e": 12345678901234567890123
}"#;
        assert_eq!(pretty(json), expected);
    }

    #[test]
    fn only_strings_of_data_are_shortened() {
        let data = "A".repeat(3_000);
        let text = pretty(&format!(r#"{{"data":"{data}"}}"#));
        assert!(text.contains("(3000 characters)"), "{text}");
        assert!(text.len() < 150, "{text}");
        let words = "word ".repeat(1_000);
        let text = pretty(&format!(r#"{{"text":"{words}"}}"#));
        assert!(text.contains(&words), "{text:.100}");
    }

    #[test]
    fn text_that_is_not_json_is_not_lost() {
        for text in ["", "plain", "{\"a", "]]", "\"\\"] {
            let squeezed = |text: &str| text.replace(char::is_whitespace, "");
            assert_eq!(squeezed(&pretty(text)), squeezed(text), "{text}");
        }
    }
}
