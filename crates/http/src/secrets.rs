//! Removes secrets, control characters and excess length from a provider's text before it enters an error.

use std::fmt;

use lmbatch_core::is_unsafe;
use secrecy::{ExposeSecret as _, SecretString};

/// Fewest characters of a secret. Shorter ones are placeholders for local servers, and may be parts of words.
const MIN_SECRET: usize = 8;

/// Key of the emulator: public, and a part of words in the emulator's answers.
const PLACEHOLDER: &str = "emulated";

/// Most characters of a code or a request id.
const MAX_FACT: usize = 200;

/// The credentials of a client, longest first.
pub(crate) struct Secrets(Vec<SecretString>);

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").finish_non_exhaustive()
    }
}

impl Secrets {
    /// Collects each credential as it is sent and, if it is `Bearer KEY`, the key alone.
    pub(crate) fn new<'a>(credentials: impl Iterator<Item = &'a SecretString>) -> Self {
        let mut secrets: Vec<&str> = credentials
            .flat_map(|value| {
                let value = value.expose_secret().trim();
                [Some(value), value.rsplit(' ').next()]
            })
            .flatten()
            .filter(|secret| secret.len() >= MIN_SECRET && *secret != PLACEHOLDER)
            .collect();
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets.dedup();
        Self(secrets.into_iter().map(SecretString::from).collect())
    }

    /// Replaces every secret, in upper or lower case, with `***`.
    fn redacted(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.0 {
            let secret = secret.expose_secret().as_bytes();
            let mut from = 0;
            while let Some(at) = find(&text.as_bytes()[from..], secret) {
                // Secrets are ASCII, so that both ends lie between characters.
                let at = from + at;
                text.replace_range(at..at + secret.len(), "***");
                from = at + 3;
            }
        }
        text
    }

    /// Returns a provider's message without secrets, bidirectional control characters and control characters other
    /// than line breaks and tabs.
    pub(crate) fn words(&self, text: &str) -> String {
        let plain = |c: &char| matches!(c, '\n' | '\t') || !is_unsafe(*c);
        self.redacted(&text.chars().filter(plain).collect::<String>())
    }

    /// Returns true if a text that must not be changed, such as an id, holds a secret. Only secrets of at least 16
    /// characters count, since an id may contain a placeholder.
    pub(crate) fn are_in(&self, text: &str) -> bool {
        let secrets = self
            .0
            .iter()
            .map(|secret| secret.expose_secret().as_bytes());
        let mut long = secrets.filter(|secret| secret.len() >= 2 * MIN_SECRET);
        long.any(|secret| find(text.as_bytes(), secret).is_some())
    }

    /// Returns a code, a request id or a name for display: one line of at most 200 characters, without secrets,
    /// control characters and bidirectional control characters.
    pub(crate) fn fact(&self, text: &str) -> String {
        // Control characters are removed first: removing them later could join the pieces of a secret.
        let plain: String = text.chars().filter(|c| !is_unsafe(*c)).collect();
        self.redacted(&plain).chars().take(MAX_FACT).collect()
    }
}

fn find(text: &[u8], secret: &[u8]) -> Option<usize> {
    text.windows(secret.len())
        .position(|window| window.eq_ignore_ascii_case(secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(values: &[&str]) -> Secrets {
        let values: Vec<_> = values.iter().copied().map(SecretString::from).collect();
        Secrets::new(values.iter())
    }

    #[test]
    fn secrets_are_replaced_at_every_position() {
        let secrets = secrets(&["Bearer sk-canary-0123"]);
        for (text, expected) in [
            ("rate_limit_exceeded", "rate_limit_exceeded"),
            ("sk-canary-0123", "***"),
            ("Bearer sk-canary-0123", "***"),
            (
                "bad key 'SK-Canary-0123': sk-canary-0123!",
                "bad key '***': ***!",
            ),
            ("sk-sk-canary-01230123", "sk-***0123"),
            ("süß-sk-canary-0123-süß", "süß-***-süß"),
            ("sk-can\u{1b}ary-\u{202e}0123", "***"),
            (
                "sk\u{200b}-can\u{2060}ary\u{200d}-\u{ad}01\u{34f}2\u{e0020}3",
                "***",
            ),
            ("sk-canary", "sk-canary"),
        ] {
            assert_eq!(secrets.fact(text), expected);
        }
    }

    #[test]
    fn long_secrets_in_ids_are_found() {
        let secrets = secrets(&["sk-canary-0123456789", "lmbatch-local"]);
        assert!(secrets.are_in("batch_SK-canary-0123456789"));
        assert!(!secrets.are_in("batch_sk-canary-012345678"));
        assert!(!secrets.are_in("lmbatch-local-1"));
    }

    #[test]
    fn placeholders_are_not_secrets() {
        let short = secrets(&["EMPTY", "", "Bearer none", "k"]);
        assert_eq!(short.fact("EMPTY k none"), "EMPTY k none");
        // A request id of the emulator.
        let emulated = secrets(&["Bearer emulated"]);
        assert_eq!(emulated.fact("req_emulated"), "req_emulated");
    }

    #[test]
    fn codes_become_one_short_line_without_control_characters() {
        let secrets = secrets(&[]);
        for c in "\0\u{7}\u{1b}\r\n\t\u{7f}\u{85}\u{9b}\u{61c}\u{200e}\u{200f}\u{2028}\u{2029}\
                  \u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}\u{feff}"
            .chars()
        {
            assert_eq!(secrets.fact(&format!("a{c}b")), "ab", "{:x}", c as u32);
        }
        assert_eq!(secrets.fact(&"ü".repeat(1000)), "ü".repeat(200));
        assert_eq!(secrets.fact("日本語 é"), "日本語 é");
    }

    #[test]
    fn debug_shows_no_secret() {
        assert!(!format!("{:?}", secrets(&["sk-canary-0123"])).contains("canary"));
    }
}
