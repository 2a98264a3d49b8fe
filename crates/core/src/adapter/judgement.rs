//! What an answer amounts to: whether anything was said, and whether its tool calls can be carried out.

use serde_json::value::RawValue;

use crate::{
    Arguments, FinishReason, ItemView, JsonView, MAX_DEPTH, Member, OutcomeView, OutputView,
    Problem, Text,
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
        let holds =
            |value: JsonView<'_>| value.is_object() || value.values().any(JsonView::is_object);
        self.raw().is_some_and(holds)
    }

    /// Returns whether an object, or an object of a list, holds a text that is not empty, no `type` and no aside, at
    /// any depth and in any shape. Where an error stands beside an answer in a shape that is not known, or nested more
    /// than [`MAX_DEPTH`] deep, something was answered and paid for, although it cannot be read.
    ///
    /// ```
    /// use lmbatch_core::{Asides, Member, Outline};
    /// let asides = Asides { members: &["id"], types: &["reasoning"], flags: &[] };
    /// let says = |json| Outline::new().read(json).is_ok_and(|it| Member::from(it).says_something(&asides));
    /// assert!(says(r#"[{"id":"a","odd":{"words":["A"]}}]"#));
    /// assert!(!says(r#"[{"id":"a","text":""},{"type":"reasoning","text":"Hm."},"A",7]"#));
    /// ```
    pub fn says_something(self, asides: &Asides) -> bool {
        let Some(value) = self.raw() else {
            return false;
        };
        let mut objects = value.values().filter(|item| item.is_object());
        value.is_object() && says(value, asides, 1) || objects.any(|item| says(item, asides, 2))
    }
}

/// Whether a value that has so many brackets around it, its own included, holds a text that is no aside.
fn says(value: JsonView<'_>, asides: &Asides, depth: usize) -> bool {
    if value.is_string() {
        return !value.is_empty();
    }
    if depth > MAX_DEPTH && (value.is_object() || value.is_list()) {
        return true;
    }
    if value.is_list() {
        return value.values().any(|item| says(item, asides, depth + 1));
    }
    let (mut is_aside, mut has_said) = (false, false);
    for (name, value) in value.entries() {
        let Some(name) = name.decode() else {
            return true;
        };
        let is_type = name == "type";
        if is_type && let Some(kind) = value.text().map(Text::decode) {
            is_aside |= asides.types.contains(&&*kind);
        }
        is_aside |= value.is_true() && asides.flags.contains(&&*name);
        let is_marker = is_type || asides.members.contains(&&*name);
        has_said = has_said || !is_marker && says(value, asides, depth + 1);
    }
    has_said && !is_aside
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
    use crate::{Json, Outline};

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
            let mut outline = Outline::new();
            let member = Member::from(outline.read(&json).unwrap());
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
