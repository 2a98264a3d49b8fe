//! Borrowed JSON that can be spliced into a request without being parsed again.
//!
//! Only validating constructors make a [`Token`] or a [`Json`]: one bad string (a lone surrogate, a
//! raw line break, nesting without end) would make a provider refuse a whole batch.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _};
use serde_json::value::RawValue;

use crate::adapter::legible::surrogate;

/// Brackets inside brackets that a value may have.
pub const MAX_DEPTH: usize = 100;

/// Why a piece of JSON cannot be passed on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum JsonError {
    /// Not JSON at all.
    #[error("not valid JSON")]
    Syntax,
    /// Valid JSON, but not a string.
    #[error("not a string")]
    NotAString,
    /// Half a character, which many parsers refuse.
    #[error("holds a lone surrogate escape (half a character)")]
    LoneSurrogate,
    /// More than [`MAX_DEPTH`] brackets inside one another.
    #[error("nested more than 100 deep")]
    TooDeep,
    /// A raw line break between its tokens.
    #[error("spans several lines")]
    LineBreak,
}

/// A string: plain, or still the JSON token it was read as.
#[derive(Clone, Copy)]
pub enum Text<'a> {
    /// Characters as they are.
    Plain(&'a str),
    /// A JSON string token, quotes and escapes included.
    Token(Token<'a>),
}

/// One well-formed JSON string token whose escapes decode to characters.
#[derive(Clone, Copy)]
pub struct Token<'a> {
    /// With its quotes.
    text: &'a str,
    is_escaped: bool,
}

/// One JSON value on one line, not nested too deeply, without lone surrogates.
#[derive(Clone, Copy)]
pub struct Json<'a>(&'a str);

impl fmt::Debug for Token<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({} B)", self.text.len())
    }
}

impl<'a> Token<'a> {
    /// Takes the token of a string that a JSON parser has already accepted.
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

    /// A token that was checked, and whether it has escapes.
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

    /// Appends the token without its quotes, to join several into one.
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

    /// The characters; borrowed where nothing is escaped.
    pub fn decode(self) -> Cow<'a, str> {
        match self {
            Self::Plain(text) => Cow::Borrowed(text),
            Self::Token(token) if !token.is_escaped => Cow::Borrowed(token.inner()),
            // A token was checked to decode before it was made.
            Self::Token(token) => Cow::Owned(serde_json::from_str(token.text).unwrap_or_default()),
        }
    }

    /// Whether there are no characters.
    pub fn is_empty(self) -> bool {
        match self {
            Self::Plain(text) => text.is_empty(),
            Self::Token(token) => token.text.len() == 2,
        }
    }

    /// Bytes of the text, escapes counted as written: an estimate that needs no decoding.
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
    /// Takes text that should be one JSON value.
    pub fn new(text: &'a str) -> Result<Self, JsonError> {
        let raw: &RawValue = serde_json::from_str(text).map_err(|_| JsonError::Syntax)?;
        Self::from_raw(raw)
    }

    /// Takes a value that a JSON parser has already accepted.
    pub fn from_raw(raw: &'a RawValue) -> Result<Self, JsonError> {
        check_value(raw.get())?;
        Ok(Self(raw.get()))
    }

    /// Text of a value that was checked.
    pub(crate) fn trusted(text: &'a str) -> Self {
        Self(text)
    }

    /// The value as text.
    pub fn as_str(self) -> &'a str {
        self.0
    }

    /// Appends the value.
    pub fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0.as_bytes());
    }

    /// Parses it into `T`.
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
    // Writing a string to a Vec cannot fail.
    let _ = serde_json::to_writer(out, text);
}

/// Escapes are legal already; only `\ud800`–`\udfff` need a partner.
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

/// The most brackets inside one another in well-formed JSON.
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

/// The same JSON on one line, without the space between its tokens. Numbers and order stay.
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

/// Bytes of the string token that `bytes` begins with.
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
    fn a_token_is_passed_on_byte_for_byte() {
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
    fn half_a_character_is_refused() {
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
    fn plain_text_joins_tokens() {
        let mut out = b"\"".to_vec();
        Text::Plain("a\"").write_json_inner(&mut out);
        serde_json::from_str::<Text<'_>>(r#""b\n""#)
            .unwrap()
            .write_json_inner(&mut out);
        out.push(b'"');
        assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), "a\"b\n");
    }
}
