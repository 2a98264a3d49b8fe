//! Members of an answer that come in other types than documented.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::{Json, Text};

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

    /// Reads any value that can be passed on.
    pub fn json(self) -> Option<Json<'a>> {
        Json::from_raw(self.0?).ok()
    }

    /// Reads a list; one whose items cannot all be passed on is no list.
    pub fn list(self) -> Option<Vec<Json<'a>>> {
        self.read()
    }

    /// Returns the items of a list, or the value itself as the only one.
    pub fn items(self) -> Vec<Json<'a>> {
        self.list()
            .unwrap_or_else(|| self.json().into_iter().collect())
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
            assert_eq!(member.items().len(), items, "{json}");
            assert_eq!(member.is_absent(), json == "null");
        }
        assert!(Member::default().is_absent());
    }
}
