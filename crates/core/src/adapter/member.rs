//! Members of an answer whose types may differ from the documented ones.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;

use crate::{Items, Json, JsonError, JsonView, RowError, Text, Token};

/// Member of an answer, of any type: read as the documented type, or as absent. A member of an unexpected
/// type does not affect the members next to it. Null counts as absent.
///
/// ```
/// use lmbatch_core::Outline;
/// lmbatch_core::members! {
///     struct Answer {
///         end: "end",
///     }
/// }
/// let mut outline = Outline::new();
/// let odd: Answer<'_> = outline.read(r#"{"end":1}"#)?.read().unwrap_or_default();
/// assert!(odd.end.text().is_none());
/// assert_eq!(odd.end.scalar_text().as_deref(), Some("1"));
/// # Ok::<(), lmbatch_core::JsonError>(())
/// ```
#[derive(Clone, Copy, Default)]
pub struct Member<'a>(Option<JsonView<'a>>);

impl<'a> From<JsonView<'a>> for Member<'a> {
    fn from(value: JsonView<'a>) -> Self {
        Self(Some(value).filter(|value| !value.is_null()))
    }
}

impl<'a> JsonView<'a> {
    /// Returns the string with its escapes as written; `None` for any other value, or a string with a lone
    /// surrogate.
    ///
    /// ```
    /// use lmbatch_core::Outline;
    /// let mut outline = Outline::new();
    /// let text = outline.read(r#""a\u00e9""#)?.text();
    /// assert_eq!(text.unwrap().decode(), "a\u{e9}");
    /// assert!(outline.read(r#""\ud800""#)?.text().is_none());
    /// # Ok::<(), lmbatch_core::JsonError>(())
    /// ```
    pub fn text(self) -> Option<Text<'a>> {
        let is_text = self.is_string() && self.check().is_ok();
        is_text.then(|| Text::Token(Token::trusted(self.as_str(), self.is_escaped())))
    }

    /// Returns the value as JSON that can be passed on.
    ///
    /// # Errors
    /// [`JsonError`] where the value cannot be passed on, such as one that is nested too deep.
    pub fn json(self) -> Result<Json<'a>, JsonError> {
        self.check().map(|()| Json::trusted(self.as_str()))
    }

    /// Parses the value as `T`, which scans it again; `None` where it does not fit.
    pub fn parse<T: Deserialize<'a>>(self) -> Option<T> {
        serde_json::from_str(self.as_str()).ok()
    }

    /// Returns whether a member of an object meets a condition. Of members with one name, only the last is
    /// considered.
    pub fn any_member(self, mut condition: impl FnMut(&str, Member<'a>) -> bool) -> bool {
        /// Number of members above which a table costs less than comparing each with all others.
        const MANY: usize = 32;
        let mut members = self.entries();
        if members.clone().nth(MANY).is_some() {
            let members = self.members();
            return members.iter().any(|(name, value)| condition(name, *value));
        }
        if members.clone().any(|(name, _)| name.decode().is_none()) {
            return false;
        }
        while let Some((name, value)) = members.next() {
            let Some(name) = name.decode() else { continue };
            let is_last = || {
                members
                    .clone()
                    .all(|(other, _)| other.decode().as_ref() != Some(&name))
            };
            if condition(&name, value.into()) && is_last() {
                return true;
            }
        }
        false
    }

    /// Returns the members of an object in order, repeated names included; empty for any other value. A name
    /// with a lone surrogate is `None`.
    pub fn written_members(self) -> impl Iterator<Item = (Option<Cow<'a, str>>, Self)> {
        self.entries().map(|(name, value)| (name.decode(), value))
    }

    /// Returns the members of an object by name; empty for any other value. Of members with one name, the
    /// last is kept.
    pub fn members(self) -> BTreeMap<Cow<'a, str>, Member<'a>> {
        let members = self.entries();
        let members = members.map(|(name, value)| Some((name.decode()?, value.into())));
        members.collect::<Option<_>>().unwrap_or_default()
    }
}

impl<'a> Member<'a> {
    /// Returns whether the member is absent or null.
    pub fn is_absent(self) -> bool {
        self.0.is_none()
    }

    /// Returns the value as it was received; `None` where it is absent or null.
    pub fn raw(self) -> Option<JsonView<'a>> {
        self.0
    }

    /// Parses the value as `T`, which scans it again; `None` where it is absent or does not fit.
    pub fn parse<T: Deserialize<'a>>(self) -> Option<T> {
        self.0?.parse()
    }

    /// Returns the string; `None` for any other value.
    pub fn text(self) -> Option<Text<'a>> {
        self.0?.text()
    }

    /// Returns the string; `None` for an empty string and any other value.
    pub fn some_text(self) -> Option<Text<'a>> {
        self.text().filter(|text| !text.is_empty())
    }

    /// Returns the id of a row; `None` where it is absent.
    ///
    /// # Errors
    /// [`RowError`] for an id that is not a string.
    pub fn id(self) -> Result<Option<Text<'a>>, RowError> {
        let read = |value: JsonView<'a>| value.text().ok_or(RowError);
        self.0.map(read).transpose()
    }

    /// Returns a string, or a number or boolean as it is written; `None` for any other value.
    pub fn scalar_text(self) -> Option<Cow<'a, str>> {
        match self.0? {
            value if value.is_string() => value.text().map(Text::decode),
            value if value.is_object() || value.is_list() => None,
            value => Some(Cow::Borrowed(value.as_str())),
        }
    }

    /// Returns whether the member is absent, null, or an empty string, list or object.
    pub fn is_empty(self) -> bool {
        self.0.is_none_or(JsonView::is_empty)
    }

    /// Returns the value as JSON that can be passed on; `None` where it is absent.
    ///
    /// # Errors
    /// [`JsonError`] where the value exists and cannot be passed on, such as one that is nested too deep.
    pub fn json(self) -> Result<Option<Json<'a>>, JsonError> {
        self.0.map(JsonView::json).transpose()
    }

    /// Returns the items of a list; `None` for any other value, or where an item cannot be passed on.
    pub fn list(self) -> Option<Items<'a>> {
        let items = self.0.filter(|value| value.is_list())?.values();
        checked(items).ok()
    }

    /// Returns the items of a list, or any other value as the only item; none where it is absent.
    ///
    /// # Errors
    /// [`JsonError`] where an item cannot be passed on, such as one that is nested too deep.
    pub fn items(self) -> Result<Items<'a>, JsonError> {
        checked(match self.0 {
            Some(value) if value.is_list() => value.values(),
            Some(value) => value.alone(),
            None => Items::default(),
        })
    }
}

/// Returns the items unchanged, after checking that all of them can be passed on.
fn checked(items: Items<'_>) -> Result<Items<'_>, JsonError> {
    items.clone().try_for_each(JsonView::check)?;
    Ok(items)
}

impl fmt::Debug for Member<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(raw) => write!(f, "Member({} B)", raw.as_str().len()),
            None => f.write_str("Member(absent)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::Outline;

    use super::*;

    fn member<'a>(json: &'a str, outline: &'a mut Outline) -> Member<'a> {
        outline.read(json).unwrap().into()
    }

    #[test]
    fn a_member_is_read_as_its_documented_type_or_as_absent() {
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
            let mut outline = Outline::new();
            let member = member(json, &mut outline);
            assert_eq!(
                member
                    .text()
                    .map(|text| text.decode().into_owned())
                    .as_deref(),
                text,
                "{json}"
            );
            assert_eq!(member.scalar_text().as_deref(), word, "{json}");
            match member.items() {
                Ok(found) => assert_eq!(found.count(), items, "{json}"),
                Err(_) => assert!(json.contains("ud800")),
            }
            assert_eq!(member.is_absent(), json == "null");
        }
        assert!(Member::default().is_absent());
    }

    #[test]
    fn an_unreadable_member_is_not_an_empty_list() {
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
            let mut outline = Outline::new();
            let found = member(&json, &mut outline).items();
            let found = found.map(Iterator::count);
            assert_eq!(found, items, "{json:.40}");
        }
        assert_eq!(
            member(&deep(101), &mut Outline::new()).json().map(|_| ()),
            Err(JsonError::TooDeep)
        );
    }

    #[test]
    fn of_members_with_one_name_the_last_counts() {
        for (json, expected) in [
            (r#"{"a":1}"#, true),
            (r#"{"b":2,"\u0061":1}"#, true),
            (r#"{"a":2,"a":1}"#, true),
            (r#"{"a":1,"a":2}"#, false),
            (r#"{"a":1,"\u0061":null,"b":1}"#, false),
            (r#"{"a":1,"\ud800":1}"#, false),
            (r#"["a",1]"#, false),
        ] {
            // Enough further members that a table of them is used.
            let more: String = (0..40).map(|number| format!(",\"x{number}\":0")).collect();
            let many = json.strip_suffix('}').map(|head| format!("{head}{more}}}"));
            for json in std::iter::once(json).chain(many.as_deref()) {
                let mut outline = Outline::new();
                let value = outline.read(json).unwrap();
                let is_one = |name: &str, member: Member<'_>| {
                    name == "a" && member.scalar_text().as_deref() == Some("1")
                };
                assert_eq!(value.any_member(is_one), expected, "{json}");
            }
        }
    }

    #[test]
    fn null_and_empty_values_are_empty_members() {
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
            let mut outline = Outline::new();
            let member = member(json, &mut outline);
            assert_eq!(member.is_empty(), expected, "{json}");
        }
        assert!(Member::default().is_empty());
    }
}
