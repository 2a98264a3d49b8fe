//! Rows of output and error files into outcomes. Independent of how the provider is configured: a
//! row says itself which endpoint answered.

use lmbatch_core::{
    Arguments, ErrorKind, FailureView, FinishReason, ItemView, Json, Opened, OutcomeView,
    OutputView, Problem, Retry, RowContent, RowError, Text, ThinkingView, TokenUsage, ToolCallView,
};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::error::{Said, classify, said, said_in_body};
use crate::wire::{Body, BodyStatus, ChatMessage, ChatToolCall, Choice, Item, Part, Row};

/// The answer itself stays shut.
pub(super) fn open(row: &[u8]) -> Result<Opened<'_>, RowError> {
    let row: Row<'_> = lmbatch_core::read_row(row)?;
    let content = content(&row);
    Ok(Opened {
        id: row.custom_id,
        content,
    })
}

fn content<'a>(row: &Row<'a>) -> RowContent<'a> {
    let Some(response) = &row.response else {
        return RowContent::Ended(row.error.map_or_else(malformed, not_run));
    };
    let status = response.status_code.unwrap_or(200);
    if !(200..300).contains(&status) {
        let said = match (response.body, row.error) {
            (Some(body), _) => said_in_body(body.get()),
            (None, Some(error)) => said(error),
            (None, None) => Said {
                code: None,
                message: None,
            },
        };
        return RowContent::Ended(failure(status, &said));
    }
    let Some(body) = response.body else {
        return RowContent::Ended(row.error.map_or_else(malformed, not_run));
    };
    match serde_json::from_str::<BodyStatus<'_>>(body.get()) {
        Ok(BodyStatus {
            status: Some(word),
            error,
        }) if is_failed(&word) => RowContent::Ended(not_generated(status, error)),
        _ => RowContent::Answer(body),
    }
}

// "status: completed, failed, in_progress, cancelled, queued, or incomplete" (OpenAI's OpenAPI document
// 2.3.0, 2026-08-21): a row with HTTP 200 can hold an answer that failed.
fn is_failed(word: &str) -> bool {
    ["failed", "cancelled", "canceled"]
        .iter()
        .any(|failed| word.eq_ignore_ascii_case(failed))
}

fn not_generated<'a>(status: u16, error: Option<&'a RawValue>) -> OutcomeView<'a> {
    let said = error.map_or(
        Said {
            code: None,
            message: None,
        },
        said,
    );
    // Of `error.code`, these two are the provider's fault, not the prompt's (the same document).
    let retryable = matches!(
        said.code.as_deref(),
        Some("server_error" | "rate_limit_exceeded")
    );
    OutcomeView::Errored(FailureView {
        kind: ErrorKind::GenerationFailed,
        code: said.code,
        http_status: Some(status),
        message: said.message,
        retryable,
    })
}

// `batch_expired`: "This request could not be executed before the completion window expired."
// (OpenAI's OpenAPI document 2.3.0, 2026-08-21.) `batch_cancelled`: "This request was not executed
// because the batch was cancelled." (third-party live capture, 2026-09-02)
fn not_run(error: &RawValue) -> OutcomeView<'_> {
    let said = said(error);
    match said.code.as_deref() {
        Some("batch_expired") => OutcomeView::Expired,
        Some("batch_cancelled" | "batch_canceled") => OutcomeView::Cancelled,
        // Not run for a reason we do not know: nothing speaks against asking again.
        _ => {
            let OutcomeView::Errored(failed) = failure(500, &said) else {
                return malformed();
            };
            OutcomeView::Errored(FailureView {
                http_status: None,
                ..failed
            })
        }
    }
}

fn failure<'a>(status: u16, said: &Said<'a>) -> OutcomeView<'a> {
    let (kind, retry) = classify(status, said.code.as_deref());
    OutcomeView::Errored(FailureView {
        kind,
        code: said.code.clone(),
        http_status: Some(status),
        message: said.message,
        retryable: retry == Retry::Temporary,
    })
}

fn malformed<'a>() -> OutcomeView<'a> {
    OutcomeView::Errored(FailureView::malformed())
}

pub(super) fn answer(body: &RawValue) -> OutcomeView<'_> {
    let Ok(body) = serde_json::from_str::<Body<'_>>(body.get()) else {
        return malformed();
    };
    let mut output = OutputView {
        items: Vec::new(),
        finish_reason: FinishReason::Stop,
        usage: body.usage.as_ref().map(usage).unwrap_or_default(),
        model: body.model,
        response_id: body.id,
        problem: None,
    };
    if let Some(items) = body.output {
        for raw in items {
            item(raw, &mut output.items);
        }
        let reason = body.incomplete_details.and_then(|details| details.reason);
        output.finish_reason = match body
            .status
            .as_deref()
            .map(str::to_ascii_lowercase)
            .as_deref()
        {
            None | Some("completed") => FinishReason::Stop,
            Some("incomplete") => match reason.as_deref() {
                Some("max_output_tokens") => FinishReason::Length,
                Some("content_filter") => FinishReason::ContentFilter,
                other => FinishReason::Other(other.unwrap_or("incomplete").to_owned()),
            },
            Some(other) => FinishReason::Other(other.to_owned()),
        };
    } else if let Some(choices) = body.choices {
        // Further choices are kept as they came: they are other answers, not more of this one.
        for (place, raw) in choices.into_iter().enumerate() {
            match raw.parse::<Choice<'_>>() {
                Ok(first) if place == 0 => {
                    output.finish_reason = finish(first.finish_reason.as_deref());
                    choice(first, &mut output.items);
                }
                _ => output.items.push(ItemView::Other(raw)),
            }
        }
    } else if let Some(data) = body.data.or(body.results) {
        output.items.push(ItemView::Other(data));
    } else {
        return malformed();
    }
    judge(&mut output);
    OutcomeView::Succeeded(output)
}

// "finish_reason: stop, length, tool_calls, content_filter, or function_call" (the same document).
fn finish(word: Option<&str>) -> FinishReason {
    match word {
        Some("stop") | None => FinishReason::Stop,
        Some("length") => FinishReason::Length,
        Some("tool_calls" | "function_call") => FinishReason::ToolUse,
        Some("content_filter") => FinishReason::ContentFilter,
        Some(other) => FinishReason::Other(other.to_owned()),
    }
}

/// Why the answer may be unusable, and the finish reasons that only its items show.
fn judge(output: &mut OutputView<'_>) {
    let has = |test: fn(&ItemView<'_>) -> bool| output.items.iter().any(test);
    let refused = has(|item| matches!(item, ItemView::Refusal(_)));
    let calls = has(|item| matches!(item, ItemView::ToolCall(_)));
    let says = has(|item| {
        matches!(
            item,
            ItemView::Text(_) | ItemView::Other(_) | ItemView::Attachment(_)
        )
    });
    if output.finish_reason == FinishReason::Stop && refused {
        output.finish_reason = FinishReason::Refusal;
    } else if output.finish_reason == FinishReason::Stop && calls {
        output.finish_reason = FinishReason::ToolUse;
    }
    output.problem = match output.finish_reason {
        FinishReason::Length => Some(Problem::Truncated),
        FinishReason::ContentFilter => Some(Problem::ContentFilter),
        FinishReason::Refusal => Some(Problem::Refused),
        _ if !says && !calls => Some(Problem::Empty),
        _ => None,
    };
}

fn item<'a>(raw: Json<'a>, items: &mut Vec<ItemView<'a>>) {
    let Ok(item) = raw.parse::<Item<'a>>() else {
        return items.push(ItemView::Other(raw));
    };
    match (item.r#type.as_deref(), item.call_id.or(item.id), item.name) {
        (Some("message"), ..) => item
            .content
            .into_iter()
            .flatten()
            .for_each(|raw| part(raw, items)),
        (Some("function_call"), Some(id), Some(name)) => {
            let arguments = Arguments::Quoted(item.arguments.unwrap_or(Text::Plain("{}")));
            items.push(ItemView::ToolCall(ToolCallView {
                id,
                name,
                arguments,
            }));
        }
        (Some("reasoning"), ..) => {
            let parts = item
                .summary
                .into_iter()
                .flatten()
                .chain(item.content.into_iter().flatten());
            let mut texts = parts.filter_map(|raw| raw.parse::<Part<'a>>().ok()?.text);
            let whole = ThinkingView {
                text: texts.next(),
                id: item.id,
                signature: None,
                data: item.encrypted_content,
            };
            items.push(ItemView::Thinking(whole));
            // Further parts bear the same id, by which they are joined when they are sent back.
            items.extend(texts.map(|text| {
                ItemView::Thinking(ThinkingView {
                    text: Some(text),
                    data: None,
                    ..whole
                })
            }));
        }
        _ => items.push(ItemView::Other(raw)),
    }
}

/// A part of a message. Empty words say nothing and are left out.
fn part<'a>(raw: Json<'a>, items: &mut Vec<ItemView<'a>>) {
    match raw.parse::<Part<'a>>() {
        Ok(Part {
            refusal: Some(refusal),
            ..
        }) => say(items, refusal, ItemView::Refusal),
        Ok(Part {
            text: Some(text),
            annotations,
            ..
        }) => {
            say(items, text, ItemView::Text);
            items.extend(annotations.into_iter().flatten().map(ItemView::Citation));
        }
        _ => items.push(ItemView::Other(raw)),
    }
}

fn say<'a>(items: &mut Vec<ItemView<'a>>, text: Text<'a>, item: fn(Text<'a>) -> ItemView<'a>) {
    if !text.is_empty() {
        items.push(item(text));
    }
}

fn choice<'a>(choice: Choice<'a>, items: &mut Vec<ItemView<'a>>) {
    if let Some(text) = choice.text {
        say(items, text, ItemView::Text);
    }
    if let Some(said) = choice.message {
        message(said, items);
    }
}

fn message<'a>(message: ChatMessage<'a>, items: &mut Vec<ItemView<'a>>) {
    let thought = [message.reasoning_content, message.reasoning];
    if let Some(text) = thought
        .into_iter()
        .flatten()
        .find_map(|json| json.parse::<Text<'a>>().ok())
    {
        say(items, text, |text| {
            ItemView::Thinking(ThinkingView {
                text: Some(text),
                ..ThinkingView::default()
            })
        });
    }
    if let Some(content) = message.content {
        if let Ok(text) = content.parse::<Text<'a>>() {
            say(items, text, ItemView::Text);
        } else if let Ok(parts) = content.parse::<Vec<Json<'a>>>() {
            parts.into_iter().for_each(|raw| part(raw, items));
        } else {
            items.push(ItemView::Other(content));
        }
    }
    if let Some(refusal) = message.refusal {
        say(items, refusal, ItemView::Refusal);
    }
    for raw in message.tool_calls.into_iter().flatten() {
        items.push(match raw.parse::<ChatToolCall<'a>>() {
            Ok(ChatToolCall { id, function }) => {
                let arguments = Arguments::Quoted(function.arguments.unwrap_or(Text::Plain("{}")));
                ItemView::ToolCall(ToolCallView {
                    id,
                    name: function.name,
                    arguments,
                })
            }
            Err(_) => ItemView::Other(raw),
        });
    }
    items.extend(
        message
            .annotations
            .into_iter()
            .flatten()
            .map(ItemView::Citation),
    );
    items.extend(message.audio.map(ItemView::Other));
}

/// Tokens in the words of either endpoint. Every member may be missing: what was paid for is not
/// thrown away for want of a count.
pub(crate) fn usage(usage: &Value) -> TokenUsage {
    let count = |places: [&str; 2]| {
        places
            .iter()
            .find_map(|place| usage.pointer(place)?.as_u64())
            .unwrap_or(0)
    };
    TokenUsage {
        input_tokens: count(["/input_tokens", "/prompt_tokens"]),
        cached_input_tokens: count([
            "/input_tokens_details/cached_tokens",
            "/prompt_tokens_details/cached_tokens",
        ]),
        cache_write_tokens: count([
            "/input_tokens_details/cache_write_tokens",
            "/prompt_tokens_details/cache_write_tokens",
        ]),
        output_tokens: count(["/output_tokens", "/completion_tokens"]),
        thinking_tokens: count([
            "/output_tokens_details/reasoning_tokens",
            "/completion_tokens_details/reasoning_tokens",
        ]),
    }
}

#[cfg(test)]
mod tests;
