//! Judgement of an answer: whether it has content, and whether its tool calls can be executed.

use serde_json::value::RawValue;

use crate::{
    Arguments, FinishReason, ItemView, JsonView, MAX_DEPTH, Member, OutcomeView, OutputView,
    Problem, Text,
};

/// Parts of a provider's answer that are not content of the model, by their names in the provider's JSON.
#[derive(Debug, Clone, Copy)]
pub struct NonContent {
    /// Names of members without content of the answer, such as `id`, `finish_reason` and `reasoning`.
    pub members: &'static [&'static str],
    /// Values of `type` of objects without content of the answer, such as `reasoning` and `web_search_call`.
    pub types: &'static [&'static str],
    /// Names of members that exclude their object where they are `true`, such as `thought`.
    pub flags: &'static [&'static str],
}

impl Member<'_> {
    /// Returns whether the value is an object, or a list with an object among its items.
    pub fn holds_object(self) -> bool {
        let holds =
            |value: JsonView<'_>| value.is_object() || value.values().any(JsonView::is_object);
        self.raw().is_some_and(holds)
    }

    /// Returns whether an object, or an object in a list, holds a text that is not empty, not a `type` and
    /// not among `non_content`, at any depth and in any shape. Where an error arrives together with an answer of
    /// unknown shape, this shows that the answer was given and paid for, although it cannot be read. An
    /// answer nested more than [`MAX_DEPTH`] deep counts as one.
    ///
    /// ```
    /// use lmbatch_core::{NonContent, Member, Outline};
    /// let non_content = NonContent { members: &["id"], types: &["reasoning"], flags: &[] };
    /// let has_text = |json| Outline::new().read(json).is_ok_and(|it| Member::from(it).has_content(&non_content));
    /// assert!(has_text(r#"[{"id":"a","odd":{"words":["A"]}}]"#));
    /// assert!(!has_text(r#"[{"id":"a","text":""},{"type":"reasoning","text":"Hm."},"A",7]"#));
    /// ```
    pub fn has_content(self, non_content: &NonContent) -> bool {
        let Some(value) = self.raw() else {
            return false;
        };
        let mut objects = value.values().filter(|item| item.is_object());
        value.is_object() && has_text(value, non_content, 1)
            || objects.any(|item| has_text(item, non_content, 2))
    }
}

/// Returns whether a value holds a text outside of `non_content`. `depth` is the number of brackets around it, its
/// own included.
fn has_text(value: JsonView<'_>, non_content: &NonContent, depth: usize) -> bool {
    if value.is_string() {
        return !value.is_empty();
    }
    if depth > MAX_DEPTH && (value.is_object() || value.is_list()) {
        return true;
    }
    if value.is_list() {
        return value
            .values()
            .any(|item| has_text(item, non_content, depth + 1));
    }
    let (mut is_aside, mut is_text_found) = (false, false);
    for (name, value) in value.entries() {
        let Some(name) = name.decode() else {
            return true;
        };
        let is_type = name == "type";
        if is_type && let Some(kind) = value.text().map(Text::decode) {
            is_aside |= non_content.types.contains(&&*kind);
        }
        is_aside |= value.is_true() && non_content.flags.contains(&&*name);
        let is_marker = is_type || non_content.members.contains(&&*name);
        is_text_found = is_text_found || !is_marker && has_text(value, non_content, depth + 1);
    }
    is_text_found && !is_aside
}

impl OutputView<'_> {
    /// Returns whether the model has answered: with text, a tool call, an attachment or a refusal, or with an
    /// answer that a filter stopped. Reasoning and items of unknown shape are not answers. Where an error
    /// arrives together with an answer, an adapter keeps the answer, because it was paid for.
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
    /// Adds what an adapter may have left out: the reason for which an answer ended as one of lmbatch's own, where
    /// the provider's word is known; the problem of that reason; and the problem of tool calls that cannot be
    /// executed. A problem that the adapter has found stays.
    pub(crate) fn checked(mut self) -> Self {
        if let Self::Succeeded(output) = &mut self {
            if let FinishReason::Other(word) = &output.finish_reason {
                output.finish_reason = FinishReason::of_provider(word);
            }
            output.problem = output
                .problem
                .or_else(|| output.finish_reason.problem())
                .or_else(|| output.problem_of_calls());
        }
        self
    }
}

impl OutputView<'_> {
    /// Returns the problem of tool calls that cannot be executed.
    fn problem_of_calls(&self) -> Option<Problem> {
        let is_unread = |item: &ItemView<'_>| matches!(item, ItemView::UnreadCall(_));
        let is_bad = |item: &ItemView<'_>| match item {
            ItemView::ToolCall(call) => !call.arguments.is_usable(),
            _ => false,
        };
        match () {
            () if self.items.iter().any(is_unread) => Some(Problem::Unrecognized),
            () if self.items.iter().any(is_bad) => Some(Problem::InvalidArguments),
            () => None,
        }
    }
}

impl Arguments<'_> {
    /// Returns whether the arguments are a JSON object, text for a tool that accepts any text, or absent. For
    /// a tool without parameters, models write the empty string, `null` or an empty list.
    pub fn is_usable(self) -> bool {
        let is_object_or_absent = |json: &str| {
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
            Self::Value(json) => is_object_or_absent(json.as_str()),
            Self::Free(_) => true,
            Self::Quoted(text) => {
                let text = text.decode();
                let text = text.trim();
                text.is_empty()
                    || serde_json::from_str::<&RawValue>(text).is_ok() && is_object_or_absent(text)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{Json, Outline};

    use super::*;

    #[test]
    fn an_answer_of_unknown_shape_is_recognised_as_an_answer() {
        let non_content = NonContent {
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
            // The first of two members of one name is examined too.
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
            assert_eq!(member.has_content(&non_content), says, "{shown}");
        }
        assert!(!Member::default().holds_object());
        assert!(!Member::default().has_content(&non_content));
    }

    #[test]
    fn what_an_adapter_leaves_out_of_an_answer_is_added() {
        let output = |word: &str, items, problem| {
            OutcomeView::Succeeded(OutputView {
                items,
                finish_reason: FinishReason::Other(word.to_owned()),
                usage: None,
                model: None,
                response_id: None,
                problem,
            })
        };
        let text = || ItemView::Text(Text::Plain("x"));
        let unread = || ItemView::UnreadCall(Json::new("{}").unwrap());
        for (word, items, problem, reason, expected) in [
            (
                "length",
                vec![text()],
                None,
                FinishReason::Length,
                Some(Problem::Truncated),
            ),
            (
                "SAFETY",
                vec![text()],
                None,
                FinishReason::ContentFilter,
                Some(Problem::ContentFilter),
            ),
            ("end_turn", vec![text()], None, FinishReason::Stop, None),
            (
                "stop",
                vec![text(), unread()],
                None,
                FinishReason::Stop,
                Some(Problem::Unrecognized),
            ),
            (
                "odd",
                vec![text()],
                None,
                FinishReason::Other("odd".into()),
                Some(Problem::Unrecognized),
            ),
            (
                "odd",
                vec![],
                Some(Problem::Empty),
                FinishReason::Other("odd".into()),
                Some(Problem::Empty),
            ),
        ] {
            let OutcomeView::Succeeded(found) = output(word, items, problem).checked() else {
                panic!("an answer stays an answer")
            };
            assert_eq!(
                (found.finish_reason, found.problem),
                (reason, expected),
                "{word}"
            );
        }
    }

    #[test]
    fn arguments_are_usable_if_they_are_an_object_or_absent() {
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
            assert_eq!(quoted.is_usable(), expected, "{arguments}");
            assert!(Arguments::Free(Text::Plain(arguments)).is_usable());
            if let Ok(json) = Json::new(arguments) {
                let value = Arguments::Value(json);
                assert_eq!(value.is_usable(), expected, "{arguments}");
            }
        }
    }
}
