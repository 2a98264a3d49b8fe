//! Text that is safe to print: no control characters, no invisible format characters, no key.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;

/// Replacement for a character that is not printed.
const REPLACEMENT: char = '\u{fffd}';

/// Replacement for a key.
const REMOVED: &str = "[key removed]";

/// Minimum length of a hidden key in bytes: a shorter one would match ordinary words.
const SHORTEST_KEY: usize = 8;

/// Maximum length of a printed provider message in characters.
const MAX_PROVIDER_TEXT: usize = 300;

static KEYS: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn keys() -> MutexGuard<'static, Vec<String>> {
    KEYS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps a key out of everything that is printed from now on.
pub(crate) fn hide(key: &str) {
    let key = key.trim();
    // The emulator's key is an ordinary word of the output as well.
    if key == "emulated" {
        return;
    }
    let mut keys = keys();
    if key.len() >= SHORTEST_KEY && !keys.iter().any(|known| known == key) {
        keys.push(key.to_owned());
        // A key that contains another one must be replaced first.
        keys.sort_by_key(|key| std::cmp::Reverse(key.len()));
    }
}

/// Reports whether a terminal may act on a character, or show nothing for it.
pub(crate) fn is_unsafe(c: char) -> bool {
    lmbatch::adapter::is_unsafe(c)
}

/// Returns one line of text as it may be printed; what cannot be printed becomes U+FFFD.
pub(crate) fn plain(text: &str) -> String {
    cleaned(text, |c| if is_unsafe(c) { REPLACEMENT } else { c })
}

/// Returns text of several lines as it may be printed; its line breaks stay.
pub(crate) fn plain_lines(text: &str) -> String {
    let line = |c: char| c == '\n' || !is_unsafe(c);
    cleaned(text, |c| if line(c) { c } else { REPLACEMENT })
}

/// Returns a provider message on one line of at most 300 characters; `None` if nothing is left of it.
pub(crate) fn provider_text(text: &str) -> Option<String> {
    let spaced = cleaned(text, |c| match c {
        '\n' | '\r' | '\t' | '\u{2028}' | '\u{2029}' => ' ',
        c if is_unsafe(c) => REPLACEMENT,
        c => c,
    });
    let said = spaced.trim();
    let cut = said.char_indices().nth(MAX_PROVIDER_TEXT);
    match cut {
        Some((at, _)) => Some(format!("{}…", said[..at].trim_end())),
        None => (!said.is_empty()).then(|| said.to_owned()),
    }
}

/// Replaces characters and keys, including a key that is interrupted by invisible characters.
fn cleaned(text: &str, replace: impl Fn(char) -> char) -> String {
    match scrubbed(text) {
        Some(text) => text.chars().map(replace).collect(),
        None => text.chars().map(replace).collect(),
    }
}

/// Returns the text with its keys replaced; `None` if it holds no key.
fn scrubbed(text: &str) -> Option<String> {
    let keys = keys();
    if keys.is_empty() {
        return None;
    }
    let holds = |text: &str| keys.iter().any(|key| text.contains(key.as_str()));
    let shown = || text.chars().filter(|c| !is_unsafe(*c)).collect::<String>();
    let mut text = if holds(text) {
        text.to_owned()
    } else {
        Some(shown()).filter(|shown| holds(shown))?
    };
    for key in keys.iter() {
        text = text.replace(key, REMOVED);
    }
    Some(text)
}

/// Returns a value as one line of JSON without keys. Characters that a terminal may act on are escaped,
/// which changes no value.
pub(crate) fn json(mut value: Value) -> String {
    scrub(&mut value);
    let text = value.to_string();
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if is_unsafe(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                line.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            line.push(c);
        }
    }
    line
}

fn scrub(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Some(clean) = scrubbed(text) {
                *text = clean;
            }
        }
        Value::Array(values) => values.iter_mut().for_each(scrub),
        Value::Object(members) => members.values_mut().for_each(scrub),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Characters that a terminal acts on, hides or displays in reverse order.
    const UNSAFE: &[char] = &[
        '\0',
        '\u{7}',
        '\u{8}',
        '\t',
        '\r',
        '\u{1b}',
        '\u{7f}',
        '\u{85}',
        '\u{90}',
        '\u{9b}',
        '\u{9c}',
        '\u{9d}',
        '\u{ad}',
        '\u{61c}',
        '\u{180e}',
        '\u{200b}',
        '\u{200d}',
        '\u{200e}',
        '\u{200f}',
        '\u{2028}',
        '\u{2029}',
        '\u{202a}',
        '\u{202e}',
        '\u{2060}',
        '\u{2066}',
        '\u{2069}',
        '\u{206a}',
        '\u{feff}',
        '\u{fff9}',
        '\u{e0001}',
        '\u{e007f}',
    ];

    #[test]
    fn characters_that_a_terminal_acts_on_are_replaced() {
        for c in UNSAFE {
            let text = format!("a{c}b\nc");
            assert_eq!(plain(&text), "a\u{fffd}b\u{fffd}c", "{c:?}");
            assert_eq!(plain_lines(&text), "a\u{fffd}b\nc", "{c:?}");
            let value: Value = serde_json::from_str(&json(text.clone().into())).expect("JSON");
            assert_eq!(value, Value::from(text.clone()), "{c:?}");
            assert!(!json(text.into()).contains(*c), "{c:?}");
        }
        let usual = "Größe 大 é 😀 – “a” {\"b\": 1}";
        assert_eq!(plain(usual), usual);
    }

    #[test]
    fn a_key_is_never_printed_even_if_it_is_interrupted() {
        hide(" sk-plain-secret-1 ");
        for text in [
            "key sk-plain-secret-1 is wrong",
            "key sk-plain\u{200b}-secret-1 is wrong",
            "key sk-\u{1b}plain-\nsecret-1 is wrong",
        ] {
            for shown in [plain(text), plain_lines(text), provider_text(text).unwrap()] {
                assert_eq!(shown, "key [key removed] is wrong", "{text:?}");
            }
            let value = serde_json::json!({"a": [{"b": text}]});
            assert_eq!(json(value), r#"{"a":[{"b":"key [key removed] is wrong"}]}"#);
        }
    }

    #[test]
    fn a_provider_message_is_one_short_line() {
        assert_eq!(provider_text(" a\nb\u{1b}[2J ").unwrap(), "a b\u{fffd}[2J");
        assert_eq!(provider_text(" \n"), None);
        let long = provider_text(&"ä".repeat(400)).unwrap();
        assert_eq!(long.chars().count(), 301);
        assert!(long.ends_with("ä…"));
        // A key that is cut at the end would be half a key.
        hide("sk-cut-secret-2");
        let cut = format!("{}sk-cut-secret-2", "x".repeat(295));
        assert!(!provider_text(&cut).unwrap().contains("sk-"));
    }
}
