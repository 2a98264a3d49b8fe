//! What an answer amounts to: whether anything was said, and whether its tool calls can be carried out.

use serde_json::value::RawValue;

use crate::{Arguments, FinishReason, ItemView, OutcomeView, OutputView, Problem};

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
