//! Acme's answers: a string, or an object with more content.

use std::borrow::Cow;

use lmbatch_core::{
    Arguments, FailureView, FinishReason, ItemView, Json, JsonView, OutcomeView, OutputView,
    Problem, Text, ThinkingView, TokenUsage, ToolCallView,
};
use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    model: Option<Text<'a>>,
    #[serde(borrow)]
    parts: Vec<Part<'a>>,
    #[serde(borrow)]
    others: Option<Vec<&'a RawValue>>,
    end: Option<Cow<'a, str>>,
    read: Option<u64>,
    written: Option<u64>,
}

#[derive(Deserialize)]
struct Part<'a> {
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    thought: Option<Text<'a>>,
    #[serde(borrow)]
    refusal: Option<Text<'a>>,
    #[serde(borrow)]
    call: Option<Call<'a>>,
}

#[derive(Deserialize)]
struct Call<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow)]
    name: Text<'a>,
    /// `None` where the arguments stand under an unknown name, as far as Acme's API can tell.
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
}

/// Reads an answer that is a plain string.
pub(crate) fn text<'a>(text: Text<'a>, breaks: &str) -> OutputView<'a> {
    let mut output = OutputView::text(text, FinishReason::Stop);
    match breaks {
        "an empty answer has no problem" => output.problem = None,
        "every answer is reported as truncated" => output.problem = Some(Problem::Truncated),
        _ => {}
    }
    output
}

/// Reads an answer the way an adapter that breaks a clause would.
pub(crate) fn read<'a>(answer: JsonView<'a>, breaks: &str) -> OutcomeView<'a> {
    if let Some(one) = answer.text() {
        return OutcomeView::Succeeded(text(one, breaks));
    }
    let Some(answer) = answer.parse::<Answer<'a>>() else {
        return match breaks {
            "an answer that cannot be read is empty" => {
                OutcomeView::Succeeded(text(Text::Plain(""), breaks))
            }
            "an answer that cannot be read is expired" => OutcomeView::Expired,
            "an answer that cannot be read is retryable" => OutcomeView::Errored(FailureView {
                retryable: true,
                ..FailureView::malformed()
            }),
            _ => OutcomeView::Errored(FailureView::malformed()),
        };
    };
    let mut items = Vec::new();
    for part in answer.parts {
        if let Some(text) = part.text.filter(|text| !text.is_empty()) {
            items.push(ItemView::Text(text));
        }
        if let Some(text) = part.thought {
            items.push(match breaks {
                "a thought is returned as text" => ItemView::Text(text),
                _ => ItemView::Thinking(ThinkingView {
                    text: Some(text),
                    ..ThinkingView::default()
                }),
            });
        }
        if let Some(words) = part.refusal {
            items.push(match breaks {
                "a refusal is returned as text" => ItemView::Text(words),
                _ => ItemView::Refusal(words),
            });
        }
        let is_lost = breaks == "arguments under an unknown name are lost";
        if part
            .call
            .as_ref()
            .is_some_and(|call| call.arguments.is_none())
            && !is_lost
        {
            return OutcomeView::Errored(FailureView::malformed());
        }
        if let Some(call) = part
            .call
            .filter(|_| breaks != "tool calls of answers are lost")
        {
            items.push(ItemView::ToolCall(ToolCallView {
                id: match breaks {
                    "ids of received tool calls are lost" => call.name.decode(),
                    _ => call.id.decode(),
                },
                name: call.name,
                arguments: match call.arguments.and_then(json) {
                    _ if breaks == "arguments of received tool calls are lost" => {
                        Arguments::Quoted(Text::Plain("{}"))
                    }
                    Some(json) => Arguments::Value(json),
                    None => Arguments::Quoted(Text::Plain("{}")),
                },
            }));
        }
    }
    if breaks == "all pieces of an answer but the first are lost" {
        items.truncate(1);
    }
    for other in answer.others.into_iter().flatten() {
        match breaks {
            "further answers are lost" => {}
            "further answers are added to the first" => {
                items.extend(serde_json::from_str(other.get()).ok().map(ItemView::Text));
            }
            _ => items.extend(json(other).map(ItemView::Other)),
        }
    }
    let finish_reason = match answer.end.as_deref() {
        Some("length") if breaks != "the finish reason length is read as stop" => {
            FinishReason::Length
        }
        Some("tool") => FinishReason::ToolUse,
        Some("refusal") if breaks != "a refusal is returned as text" => FinishReason::Refusal,
        _ => FinishReason::Stop,
    };
    let says = items
        .iter()
        .any(|item| !matches!(item, ItemView::Thinking(_)));
    let problem = match finish_reason {
        FinishReason::Length => Some(Problem::Truncated),
        FinishReason::Refusal => Some(Problem::Refused),
        _ if !says && breaks != "an empty answer has no problem" => Some(Problem::Empty),
        _ => None,
    };
    let mut usage = TokenUsage {
        input_tokens: answer.read.unwrap_or(0),
        output_tokens: answer.written.unwrap_or(0),
        ..TokenUsage::default()
    };
    match breaks {
        "usage is dropped" => usage = TokenUsage::default(),
        "input tokens are reported as output tokens" => {
            std::mem::swap(&mut usage.input_tokens, &mut usage.output_tokens);
        }
        _ => {}
    }
    OutcomeView::Succeeded(OutputView {
        items,
        finish_reason,
        usage: Some(usage),
        model: answer
            .model
            .filter(|_| breaks != "the model of an answer is lost"),
        response_id: answer
            .id
            .filter(|_| breaks != "the id of an answer is lost"),
        problem,
    })
}

fn json(raw: &RawValue) -> Option<Json<'_>> {
    Json::new(raw.get()).ok()
}
