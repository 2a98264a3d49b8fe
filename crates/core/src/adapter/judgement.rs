//! What an answer amounts to: whether anything was said, and whether its tool calls can be carried out.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::{
    Arguments, FinishReason, ItemView, MAX_DEPTH, Member, OutcomeView, OutputView, Problem,
};

/// Parts of an answer that are not what the model answered, in the names of one provider.
#[derive(Debug, Clone, Copy)]
pub struct Asides {
    /// Names of members that hold no answer, such as `id`, `finish_reason` and `reasoning`.
    pub members: &'static [&'static str],
    /// Values of `type` of objects that hold no answer, such as `reasoning` and `web_search_call`.
    pub types: &'static [&'static str],
    /// Names of members that say, where they are `true`, that their object holds no answer, such as `thought`.
    pub flags: &'static [&'static str],
}

impl Member<'_> {
    /// Returns whether the value is an object, or a list that holds one, however deeply it is nested.
    pub fn holds_object(self) -> bool {
        let Some(raw) = self.raw().map(RawValue::get) else {
            return false;
        };
        match raw.as_bytes().first() {
            Some(b'{') => true,
            Some(b'[') => objects(raw).next().is_some(),
            _ => false,
        }
    }

    /// Returns whether an object, or an object of a list, holds a text that is not empty, no `type` and no aside, at
    /// any depth and in any shape. Where an error stands beside an answer in a shape that is not known, or nested more
    /// than [`MAX_DEPTH`] deep, something was answered and paid for, although it cannot be read.
    ///
    /// ```
    /// use lmbatch_core::{Asides, Member};
    /// let asides = Asides { members: &["id"], types: &["reasoning"], flags: &[] };
    /// let says = |json| serde_json::from_str::<Member<'_>>(json).is_ok_and(|it| it.says_something(&asides));
    /// assert!(says(r#"[{"id":"a","odd":{"words":["A"]}}]"#));
    /// assert!(!says(r#"[{"id":"a","text":""},{"type":"reasoning","text":"Hm."},"A",7]"#));
    /// ```
    pub fn says_something(self, asides: &Asides) -> bool {
        let Some(raw) = self.raw().map(RawValue::get) else {
            return false;
        };
        match raw.as_bytes().first() {
            Some(b'{') => says(raw, asides, 1),
            Some(b'[') => objects(raw).any(|raw| says(raw, asides, 2)),
            _ => false,
        }
    }
}

/// The objects of a list.
fn objects(list: &str) -> impl Iterator<Item = &str> {
    let items: Vec<&RawValue> = serde_json::from_str(list).unwrap_or_default();
    let items = items.into_iter().map(RawValue::get);
    items.filter(|raw| raw.starts_with('{'))
}

/// Whether a value that has so many brackets around it, its own included, holds a text that is no aside.
fn says(raw: &str, asides: &Asides, depth: usize) -> bool {
    match raw.as_bytes().first() {
        Some(b'"') => raw.len() > 2,
        Some(b'{' | b'[') if depth > MAX_DEPTH => true,
        Some(b'{') => {
            let Ok(Members(members)) = serde_json::from_str::<Members<'_>>(raw) else {
                return true;
            };
            let is_aside = members.iter().any(|(name, value)| {
                let kind = (name == "type")
                    .then(|| serde_json::from_str::<String>(value.get()).ok())
                    .flatten();
                kind.is_some_and(|kind| asides.types.contains(&kind.as_str()))
                    || asides.flags.contains(&name.as_str()) && value.get() == "true"
            });
            let mut members = members.iter();
            !is_aside
                && members.any(|(name, value)| {
                    let is_marker = name == "type" || asides.members.contains(&name.as_str());
                    !is_marker && says(value.get(), asides, depth + 1)
                })
        }
        Some(b'[') => match serde_json::from_str::<Vec<&RawValue>>(raw) {
            Ok(items) => items.iter().any(|item| says(item.get(), asides, depth + 1)),
            Err(_) => true,
        },
        _ => false,
    }
}

/// The members of an object, those whose names it repeats included.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Each).map(Self)
    }
}

impl OutputView<'_> {
    /// Returns whether the model has answered: it said something, called a tool, made something, refused, or was
    /// stopped by a filter. What it thought, and what no shape is known of, is no answer. Where an error stands
    /// beside an answer, an adapter keeps the answer: it was paid for.
    pub fn holds_answer(&self) -> bool {
        let is_final = matches!(
            self.finish_reason,
            FinishReason::ContentFilter | FinishReason::Refusal
        );
        is_final
            || self.items.iter().any(|item| match item {
                ItemView::Text(text) | ItemView::Commentary(text) | ItemView::Refusal(text) => {
                    !text.is_empty()
                }
                ItemView::ToolCall(_) | ItemView::Attachment(_) => true,
                _ => false,
            })
    }
}

impl OutcomeView<'_> {
    /// Adds the problem of tool calls whose arguments are no JSON object, where there is no other problem.
    pub(crate) fn with_checked_calls(mut self) -> Self {
        if let Self::Succeeded(output) = &mut self {
            let is_bad = |item: &ItemView<'_>| match item {
                ItemView::ToolCall(call) => !call.arguments.can_be_used(),
                _ => false,
            };
            if output.problem.is_none() && output.items.iter().any(is_bad) {
                output.problem = Some(Problem::InvalidArguments);
            }
        }
        self
    }
}

impl Arguments<'_> {
    /// Returns whether the arguments are a JSON object, or text for a tool that takes any, or there are none: models write the empty string, `null`
    /// or an empty list for a tool without parameters.
    pub fn can_be_used(self) -> bool {
        let is_usable = |json: &str| {
            let json = json.trim();
            let is_object = json.starts_with('{');
            is_object
                || json == "null"
                || json
                    .strip_prefix('[')
                    .and_then(|rest| rest.strip_suffix(']'))
                    .is_some_and(|inner| inner.trim().is_empty())
        };
        match self {
            Self::Value(json) => is_usable(json.as_str()),
            Self::Free(_) => true,
            Self::Quoted(text) => {
                let text = text.decode();
                let text = text.trim();
                text.is_empty()
                    || serde_json::from_str::<&RawValue>(text).is_ok() && is_usable(text)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{Json, Text};

    use super::*;

    #[test]
    fn an_answer_that_cannot_be_read_is_not_taken_for_none() {
        let asides = Asides {
            members: &["id", "finish", "reasoning"],
            types: &["thinking"],
            flags: &["thought"],
        };
        let deep = |depth: usize, core: &str| {
            format!("{}{core}{}", "{\"a\":".repeat(depth), "}".repeat(depth))
        };
        for (json, holds_object, says) in [
            ("null".to_owned(), false, false),
            ("7".to_owned(), false, false),
            (r#""A""#.to_owned(), false, false),
            (r#"["A",7,null,[]]"#.to_owned(), false, false),
            ("{}".to_owned(), true, false),
            ("[{}]".to_owned(), true, false),
            (r#"[{"text":""}]"#.to_owned(), true, false),
            (r#"[{"text":"A"}]"#.to_owned(), true, true),
            (
                r#"{"id":"x","finish":"stop","index":0}"#.to_owned(),
                true,
                false,
            ),
            (
                r#"[{"message":{"reasoning":"Hm.","text":null}}]"#.to_owned(),
                true,
                false,
            ),
            (
                r#"[{"type":"thinking","text":"Hm."}]"#.to_owned(),
                true,
                false,
            ),
            (r#"[{"type":"text","text":"A"}]"#.to_owned(), true, true),
            (r#"[{"thought":true,"text":"Hm."}]"#.to_owned(), true, false),
            (r#"[{"thought":false,"text":"A"}]"#.to_owned(), true, true),
            (r#"[{"odd":[[{"x":["A"]}]]}]"#.to_owned(), true, true),
            // The first of two members of one name is not lost.
            (r#"[{"text":"A","text":""}]"#.to_owned(), true, true),
            (deep(90, "1"), true, false),
            (deep(90, r#""A""#), true, true),
            (deep(120, "1"), true, true),
            (deep(100_000, "1"), true, true),
            (format!(r#"[{{"id":{}}}]"#, deep(120, "1")), true, false),
        ] {
            let member: Member<'_> = serde_json::from_str(&json).unwrap();
            let shown = &json[..json.len().min(60)];
            assert_eq!(member.holds_object(), holds_object, "{shown}");
            assert_eq!(member.says_something(&asides), says, "{shown}");
        }
        assert!(!Member::default().holds_object());
        assert!(!Member::default().says_something(&asides));
    }

    #[test]
    fn arguments_can_be_used_if_they_are_an_object_or_absent() {
        for (arguments, expected) in [
            ("{}", true),
            (r#" {"x": 1} "#, true),
            ("", true),
            ("  \n", true),
            ("null", true),
            ("[]", true),
            ("[ ]", true),
            (r#"{"x": "#, false),
            (r#"{"x": 1}}"#, false),
            (r#"{"x": 1} {"y": 2}"#, false),
            ("{'x': 1}", false),
            (r#"{"x": NaN}"#, false),
            ("x=1", false),
            ("7", false),
            ("true", false),
            ("[1]", false),
            (r#""{}""#, false),
        ] {
            let quoted = Arguments::Quoted(Text::Plain(arguments));
            assert_eq!(quoted.can_be_used(), expected, "{arguments}");
            assert!(Arguments::Free(Text::Plain(arguments)).can_be_used());
            if let Ok(json) = Json::new(arguments) {
                let value = Arguments::Value(json);
                assert_eq!(value.can_be_used(), expected, "{arguments}");
            }
        }
    }
}
