//! Borrowed JSON that can be copied into a request without being parsed again.
//!
//! A [`Token`] or a [`Json`] is made only by constructors that validate, because one bad value (a lone
//! surrogate, a raw line break, nesting without limit) makes a provider refuse a whole batch.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _};
use serde_json::value::RawValue;

use crate::adapter::readable::surrogate;

/// Largest depth of brackets within one another in a value.
pub const MAX_DEPTH: usize = 100;

/// Reason why a piece of JSON cannot be passed on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum JsonError {
    /// The text is not JSON.
    #[error("not valid JSON")]
    Syntax,
    /// The text is JSON, but not a string.
    #[error("not a string")]
    NotAString,
    /// A string contains half a character, which many parsers refuse.
    #[error("holds a lone surrogate escape (half a character)")]
    LoneSurrogate,
    /// The value has more than [`MAX_DEPTH`] brackets within one another.
    #[error("nested more than 100 deep")]
    TooDeep,
    /// The value contains a raw line break between its tokens.
    #[error("spans several lines")]
    LineBreak,
}

/// Borrowed string: plain characters, or the JSON token as it was read.
#[derive(Clone, Copy)]
pub enum Text<'a> {
    /// Plain characters without escapes.
    Plain(&'a str),
    /// JSON string token, quotes and escapes included.
    Token(Token<'a>),
}

/// Well-formed JSON string token whose escapes decode to characters.
#[derive(Clone, Copy)]
pub struct Token<'a> {
    /// Text of the token, quotes included.
    text: &'a str,
    is_escaped: bool,
}

/// One JSON value on one line, not nested too deep, without lone surrogates.
#[derive(Clone, Copy)]
pub struct Json<'a>(&'a str);

impl fmt::Debug for Token<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({} B)", self.text.len())
    }
}

impl<'a> Token<'a> {
    /// Creates a token from a value that a JSON parser has accepted.
    ///
    /// # Errors
    /// [`JsonError`] where the value is not a string, or contains a lone surrogate.
    pub fn from_raw(raw: &'a RawValue) -> Result<Self, JsonError> {
        let token = raw.get();
        if !token.starts_with('"') {
            return Err(JsonError::NotAString);
        }
        let is_escaped = memchr::memchr(b'\\', token.as_bytes()).is_some();
        if is_escaped {
            check_escapes(token)?;
        }
        Ok(Self::trusted(token, is_escaped))
    }

    /// Creates a token from text that was checked; `is_escaped` states whether it contains escapes.
    pub(crate) fn trusted(text: &'a str, is_escaped: bool) -> Self {
        Self { text, is_escaped }
    }

    fn inner(self) -> &'a str {
        &self.text[1..self.text.len() - 1]
    }
}

impl<'a> Text<'a> {
    /// Appends the string as a JSON token.
    pub fn write_json(self, out: &mut Vec<u8>) {
        match self {
            Self::Token(token) => out.extend_from_slice(token.text.as_bytes()),
            Self::Plain(text) => write_string(text, out),
        }
    }

    /// Appends the token without its quotes, so that several can be joined into one.
    pub fn write_json_inner(self, out: &mut Vec<u8>) {
        match self {
            Self::Token(token) => out.extend_from_slice(token.inner().as_bytes()),
            Self::Plain(text) => {
                let mut token = Vec::with_capacity(text.len() + 2);
                write_string(text, &mut token);
                out.extend_from_slice(&token[1..token.len() - 1]);
            }
        }
    }

    /// Returns the characters, borrowed where none is escaped.
    pub fn decode(self) -> Cow<'a, str> {
        match self {
            Self::Plain(text) => Cow::Borrowed(text),
            Self::Token(token) if !token.is_escaped => Cow::Borrowed(token.inner()),
            // Tokens are checked to decode before they are made.
            Self::Token(token) => Cow::Owned(serde_json::from_str(token.text).unwrap_or_default()),
        }
    }

    /// Returns whether there are no characters other than white space.
    ///
    /// ```
    /// use lmbatch_core::Text;
    /// assert!(Text::Plain(" \n").is_blank());
    /// assert!(!Text::Plain(" a ").is_blank());
    /// ```
    pub fn is_blank(self) -> bool {
        let is_blank = |text: &str| text.chars().all(char::is_whitespace);
        match self {
            Self::Plain(text) => is_blank(text),
            Self::Token(token) if !token.is_escaped => is_blank(token.inner()),
            // Escapes are decoded only where a character before them does not decide.
            Self::Token(token) => {
                let begin = token.inner().split('\\').next().unwrap_or_default();
                is_blank(begin) && is_blank(&self.decode())
            }
        }
    }

    /// Returns whether there are no characters.
    pub fn is_empty(self) -> bool {
        match self {
            Self::Plain(text) => text.is_empty(),
            Self::Token(token) => token.text.len() == 2,
        }
    }

    /// Returns the size in bytes with escapes as written, an estimate that needs no decoding.
    pub fn encoded_len(self) -> usize {
        match self {
            Self::Plain(text) => text.len(),
            Self::Token(token) => token.text.len() - 2,
        }
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Self::Plain(text)
    }
}

impl PartialEq for Text<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.decode() == other.decode()
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Text({} B)", self.encoded_len())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&'a RawValue>::deserialize(deserializer)?;
        Token::from_raw(raw)
            .map(Text::Token)
            .map_err(D::Error::custom)
    }
}

impl<'a> Json<'a> {
    /// Creates JSON from text that should be one value.
    ///
    /// # Errors
    /// [`JsonError`] where the text is not JSON, or cannot be passed on.
    pub fn new(text: &'a str) -> Result<Self, JsonError> {
        let raw: &RawValue = serde_json::from_str(text).map_err(|_| JsonError::Syntax)?;
        Self::from_raw(raw)
    }

    /// Creates JSON from a value that a JSON parser has accepted.
    ///
    /// # Errors
    /// [`JsonError`] where the value cannot be passed on.
    pub fn from_raw(raw: &'a RawValue) -> Result<Self, JsonError> {
        check_value(raw.get())?;
        Ok(Self(raw.get()))
    }

    /// Creates JSON from text that was checked.
    pub(crate) fn trusted(text: &'a str) -> Self {
        Self(text)
    }

    /// Returns the value as text.
    pub fn as_str(self) -> &'a str {
        self.0
    }

    /// Appends the value as text.
    pub fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0.as_bytes());
    }

    /// Parses the value as `T`.
    ///
    /// # Errors
    /// The error of `serde_json` where the value does not fit.
    pub fn parse<T: Deserialize<'a>>(self) -> serde_json::Result<T> {
        serde_json::from_str(self.0)
    }
}

impl fmt::Debug for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Json({} B)", self.0.len())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Json<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&'a RawValue>::deserialize(deserializer)?;
        Json::from_raw(raw).map_err(D::Error::custom)
    }
}

/// Appends `text` as a JSON string token.
pub fn write_string(text: &str, out: &mut Vec<u8>) {
    // Writing a string to a `Vec` cannot fail.
    let _ = serde_json::to_writer(out, text);
}

/// Checks the surrogates among escapes that are well-formed: `\ud800`–`\udfff` must come in pairs.
fn check_escapes(token: &str) -> Result<(), JsonError> {
    let bytes = token.as_bytes();
    let mut at = 0;
    while let Some(found) = memchr::memchr(b'\\', &bytes[at..]) {
        at += found;
        let Some(unit) = surrogate(&bytes[at..]) else {
            at += 2;
            continue;
        };
        let low = unit < 0xdc00 && surrogate(&bytes[at + 6..]).is_some_and(|next| next >= 0xdc00);
        if !low {
            return Err(JsonError::LoneSurrogate);
        }
        at += 12;
    }
    Ok(())
}

fn check_value(text: &str) -> Result<(), JsonError> {
    let bytes = text.as_bytes();
    if memchr::memchr2(b'\n', b'\r', bytes).is_some() {
        return Err(JsonError::LineBreak);
    }
    check_escapes(text)?;
    if depth(bytes) > MAX_DEPTH {
        return Err(JsonError::TooDeep);
    }
    Ok(())
}

/// Returns the depth of brackets within one another in well-formed JSON.
pub(crate) fn depth(bytes: &[u8]) -> usize {
    let (mut depth, mut deepest, mut at) = (0_usize, 0, 0);
    while at < bytes.len() {
        match bytes[at] {
            b'"' => {
                at += string_end(&bytes[at..]);
                continue;
            }
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    deepest
}

/// Returns the JSON on one line, without white space between its tokens. Numbers and order stay unchanged.
/// JSON that is on one line already is returned as it is.
pub fn compact(json: &str) -> Cow<'_, str> {
    if memchr::memchr2(b'\n', b'\r', json.as_bytes()).is_none() {
        return Cow::Borrowed(json);
    }
    let mut out = String::with_capacity(json.len());
    let (mut in_string, mut escaped) = (false, false);
    for c in json.chars() {
        if in_string {
            in_string = escaped || c != '"';
            escaped = !escaped && c == '\\';
        } else if c == '"' {
            in_string = true;
        } else if c.is_ascii_whitespace() {
            continue;
        }
        out.push(c);
    }
    Cow::Owned(out)
}

/// Returns the length in bytes of the string token at the start of `bytes`.
fn string_end(bytes: &[u8]) -> usize {
    let mut at = 1;
    while let Some(found) = memchr::memchr2(b'"', b'\\', &bytes[at..]) {
        at += found;
        if bytes[at] == b'"' {
            return at + 1;
        }
        at += 2;
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_written_byte_for_byte() {
        for (json, text) in [
            (r#""a""#, "a"),
            (r#""ü\n\u00e9""#, "ü\né"),
            (r#""\ud83d\ude00""#, "😀"),
            (r#""\\ud800""#, "\\ud800"),
        ] {
            let token: Text<'_> = serde_json::from_str(json).unwrap();
            let mut out = Vec::new();
            token.write_json(&mut out);
            assert_eq!((out.as_slice(), &*token.decode()), (json.as_bytes(), text));
        }
    }

    #[test]
    fn lone_surrogates_are_refused() {
        for json in [
            r#""\ud800""#,
            r#""\udc00""#,
            r#""\ud800\ud800""#,
            r#""x\ud83dx""#,
            r#""\uDBFF\n""#,
        ] {
            assert!(serde_json::from_str::<Text<'_>>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn a_value_is_checked_before_it_is_passed_on() {
        let deep = format!("{}1{}", "[".repeat(101), "]".repeat(101));
        for (json, expected) in [
            (r#"{"a":["[[[[","\"]]",1.50]}"#, Ok(())),
            ("{\"a\":\n1}", Err(JsonError::LineBreak)),
            (r#"{"a":"\ud800"}"#, Err(JsonError::LoneSurrogate)),
            ("{", Err(JsonError::Syntax)),
            (deep.as_str(), Err(JsonError::TooDeep)),
        ] {
            assert_eq!(Json::new(json).map(|_| ()), expected, "{json:.20}");
        }
    }

    #[test]
    fn plain_text_and_tokens_can_be_joined() {
        let mut out = b"\"".to_vec();
        Text::Plain("a\"").write_json_inner(&mut out);
        serde_json::from_str::<Text<'_>>(r#""b\n""#)
            .unwrap()
            .write_json_inner(&mut out);
        out.push(b'"');
        assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), "a\"b\n");
    }
}
