//! Members of an answer that come in other types than documented.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::{Json, JsonError, Text};

/// A member of an answer in whatever type it came: read as the type that it should have, or as absent. One
/// odd member never spoils those beside it. Null is absent.
///
/// ```
/// #[derive(serde::Deserialize)]
/// struct Answer<'a> {
///     #[serde(borrow, default)]
///     end: lmbatch_core::Member<'a>,
/// }
/// let odd: Answer<'_> = serde_json::from_str(r#"{"end":1}"#)?;
/// assert!(odd.end.text().is_none());
/// assert_eq!(odd.end.word().as_deref(), Some("1"));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Copy, Default)]
pub struct Member<'a>(Option<&'a RawValue>);

impl<'a> Member<'a> {
    /// Whether it is absent or null.
    pub fn is_absent(self) -> bool {
        self.0.is_none()
    }

    /// Returns the value as it came.
    pub fn raw(self) -> Option<&'a RawValue> {
        self.0
    }

    /// Reads it as `T`.
    pub fn read<T: Deserialize<'a>>(self) -> Option<T> {
        serde_json::from_str(self.0?.get()).ok()
    }

    /// Reads a string.
    pub fn text(self) -> Option<Text<'a>> {
        self.0.filter(|raw| raw.get().starts_with('"'))?;
        self.read()
    }

    /// Reads a string that is not empty.
    pub fn some_text(self) -> Option<Text<'a>> {
        self.text().filter(|text| !text.is_empty())
    }

    /// Reads a word: a string, or a number or boolean as it is written.
    pub fn word(self) -> Option<Cow<'a, str>> {
        let raw = self.0?.get();
        match raw.as_bytes().first()? {
            b'"' => self.text().map(Text::decode),
            b'{' | b'[' => None,
            _ => Some(Cow::Borrowed(raw)),
        }
    }

    /// Returns whether it says nothing: null, an empty string, list or object.
    pub fn is_empty(self) -> bool {
        let text = self.0.map_or("null", RawValue::get);
        let is_hollow = |open, close| {
            let inner = text
                .strip_prefix(open)
                .and_then(|rest: &str| rest.strip_suffix(close));
            inner.is_some_and(|inner| inner.trim_ascii().is_empty())
        };
        matches!(text, "null" | "\"\"") || is_hollow('[', ']') || is_hollow('{', '}')
    }

    /// Reads any value, to be passed on.
    ///
    /// # Errors
    /// Where it is there and cannot be passed on, such as one that is nested too deep.
    pub fn json(self) -> Result<Option<Json<'a>>, JsonError> {
        self.0.map(Json::from_raw).transpose()
    }

    /// Reads a list; one whose items cannot all be passed on is no list.
    pub fn list(self) -> Option<Vec<Json<'a>>> {
        self.read()
    }

    /// Returns the items of a list, or the value itself as the only one.
    ///
    /// # Errors
    /// Where something is there and cannot be passed on, such as an item that is nested too deep.
    pub fn items(self) -> Result<Vec<Json<'a>>, JsonError> {
        match self.read::<Vec<&'a RawValue>>() {
            Some(items) => items.into_iter().map(Json::from_raw).collect(),
            None => Ok(self.json()?.into_iter().collect()),
        }
    }
}

impl fmt::Debug for Member<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(raw) => write!(f, "Member({} B)", raw.get().len()),
            None => f.write_str("Member(absent)"),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Member<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::deserialize(deserializer).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(json: &str) -> Member<'_> {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_member_is_read_as_what_it_should_be_or_as_absent() {
        for (json, text, word, items) in [
            (r#""a""#, Some("a"), Some("a"), 1),
            (r#""""#, Some(""), Some(""), 1),
            ("7", None, Some("7"), 1),
            ("true", None, Some("true"), 1),
            ("null", None, None, 0),
            (r#"{"a":1}"#, None, None, 1),
            ("[1,2]", None, None, 2),
            ("[]", None, None, 0),
            (r#""\ud800""#, None, None, 0),
        ] {
            let member = member(json);
            assert_eq!(
                member
                    .text()
                    .map(|text| text.decode().into_owned())
                    .as_deref(),
                text,
                "{json}"
            );
            assert_eq!(member.word().as_deref(), word, "{json}");
            match member.items() {
                Ok(found) => assert_eq!(found.len(), items, "{json}"),
                Err(_) => assert!(json.contains("ud800")),
            }
            assert_eq!(member.is_absent(), json == "null");
        }
        assert!(Member::default().is_absent());
    }

    #[test]
    fn what_is_there_and_cannot_be_read_is_no_empty_list() {
        let deep = |levels: usize| format!("{}1{}", r#"{"a":"#.repeat(levels), "}".repeat(levels));
        let list = |levels: usize| format!("[1,{}]", deep(levels));
        for (json, items) in [
            (deep(100), Ok(1)),
            (deep(101), Err(JsonError::TooDeep)),
            (list(100), Ok(2)),
            (list(101), Err(JsonError::TooDeep)),
            (r#"["\ud800"]"#.to_owned(), Err(JsonError::LoneSurrogate)),
            ("null".to_owned(), Ok(0)),
        ] {
            let found = member(&json).items().map(|items| items.len());
            assert_eq!(found, items, "{json:.40}");
        }
        assert_eq!(
            member(&deep(101)).json().map(|_| ()),
            Err(JsonError::TooDeep)
        );
    }

    #[test]
    fn a_member_is_empty_where_it_says_nothing() {
        for (json, expected) in [
            ("null", true),
            (r#""""#, true),
            ("[ ]", true),
            ("{}", true),
            (r#"" ""#, false),
            ("0", false),
            ("false", false),
            ("[null]", false),
            (r#""a""#, false),
        ] {
            assert_eq!(member(json).is_empty(), expected, "{json}");
        }
        assert!(Member::default().is_empty());
    }
}
