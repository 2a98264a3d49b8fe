//! Rows of output and error files into outcomes. Independent of how the provider is configured: a
//! row says itself which endpoint answered.

use lmbatch_core::{
    Arguments, ErrorKind, FailureView, FinishReason, ItemView, Json, OutcomeView, OutputView,
    Problem, Retry, RowError, RowView, Scanned, Text, ThinkingView, TokenUsage, ToolCallView,
    Verdict,
};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::error::{classify, said, said_in_body};
use crate::wire::{Body, BodyStatus, Choice, Item, Row, Usage};

/// What a row comes to before its answer is read.
enum Verdicted<'a> {
    Answer(&'a RawValue),
    Final(OutcomeView<'a>),
}

fn parse<'a, T: Deserialize<'a>>(row: &'a [u8]) -> Result<T, RowError> {
    let text = simdutf8::basic::from_utf8(row).map_err(|_| RowError::Malformed)?;
    serde_json::from_str(text).map_err(|_| RowError::Malformed)
}

pub(super) fn scan(row: &[u8]) -> Result<Scanned<'_>, RowError> {
    let row: Row<'_> = parse(row)?;
    let id = row.custom_id.ok_or(RowError::NoId)?;
    let verdict = match weigh(&row) {
        Verdicted::Answer(_) => Verdict::Succeeded,
        Verdicted::Final(outcome) => outcome.verdict(),
    };
    Ok(Scanned { id, verdict })
}

pub(super) fn decode(row: &[u8]) -> Result<RowView<'_>, RowError> {
    let row: Row<'_> = parse(row)?;
    let id = row.custom_id.ok_or(RowError::NoId)?;
    let outcome = match weigh(&row) {
        Verdicted::Answer(body) => answer(body),
        Verdicted::Final(outcome) => outcome,
    };
    Ok(RowView { id, outcome })
}

fn weigh<'a>(row: &Row<'a>) -> Verdicted<'a> {
    let Some(response) = &row.response else {
        return Verdicted::Final(row.error.map_or_else(malformed, not_run));
    };
    let status = response.status_code.unwrap_or(200);
    let Some(body) = response.body else {
        return Verdicted::Final(
            row.error
                .map_or_else(malformed, |error| failure(status, &said(error))),
        );
    };
    if !(200..300).contains(&status) {
        return Verdicted::Final(failure(status, &said_in_body(body.get())));
    }
    // A 200 row can hold an answer that failed.
    match serde_json::from_str::<BodyStatus<'_>>(body.get()) {
        Ok(BodyStatus {
            status: Some(word),
            error,
        }) if word == "failed" || word == "cancelled" => {
            let said = error.map(said);
            let code = said.as_ref().and_then(|said| said.code.clone());
            let (kind, retry) = match code.as_deref() {
                Some("server_error" | "rate_limit_exceeded") => {
                    (ErrorKind::GenerationFailed, Retry::Temporary)
                }
                _ => (ErrorKind::GenerationFailed, Retry::Permanent),
            };
            Verdicted::Final(OutcomeView::Errored(FailureView {
                kind,
                code,
                http_status: None,
                message: said.and_then(|said| said.message),
                retryable: retry == Retry::Temporary,
            }))
        }
        _ => Verdicted::Answer(body),
    }
}

// `batch_expired`: "This request could not be executed before the completion window expired."
// (OpenAI's OpenAPI document 2.3.0, 2026-08-21.) `batch_cancelled`: "This request was not executed
// because the batch was cancelled." (third-party live capture, 2026-09-02)
fn not_run(error: &RawValue) -> OutcomeView<'_> {
    let said = said(error);
    match said.code.as_deref() {
        Some("batch_expired") => OutcomeView::Expired,
        Some("batch_cancelled" | "batch_canceled") => OutcomeView::Cancelled,
        _ => failure(500, &said),
    }
}

fn failure<'a>(status: u16, said: &crate::error::Said<'a>) -> OutcomeView<'a> {
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
    OutcomeView::Errored(FailureView {
        kind: ErrorKind::MalformedReply,
        code: None,
        http_status: None,
        message: Some(Text::Plain("the row holds no answer that can be read")),
        retryable: false,
    })
}

fn answer(body: &RawValue) -> OutcomeView<'_> {
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
    if let Some(items) = &body.output {
        for raw in items {
            item(*raw, &mut output.items);
        }
        let reason = body
            .incomplete_details
            .as_ref()
            .and_then(|details| details.reason.as_deref());
        output.finish_reason = match (body.status.as_deref(), reason) {
            (Some("incomplete"), Some("max_output_tokens")) => FinishReason::Length,
            (Some("incomplete"), Some("content_filter")) => FinishReason::ContentFilter,
            (Some("incomplete"), reason) => {
                FinishReason::Other(reason.unwrap_or("incomplete").to_owned())
            }
            _ => FinishReason::Stop,
        };
    } else if let Some(choice) = body.choices.as_ref().and_then(|choices| choices.first()) {
        output.finish_reason = match choice.finish_reason.as_deref() {
            Some("stop") | None => FinishReason::Stop,
            Some("length") => FinishReason::Length,
            Some("tool_calls" | "function_call") => FinishReason::ToolUse,
            Some("content_filter") => FinishReason::ContentFilter,
            Some(other) => FinishReason::Other(other.to_owned()),
        };
        chat(choice, &mut output.items);
    } else if let Some(data) = body.data {
        // Embeddings, moderations: kept as they came.
        output.items.push(ItemView::Other(data));
    } else {
        return malformed();
    }
    judge(&mut output);
    OutcomeView::Succeeded(output)
}

/// Why the answer may be unusable, and the finish reasons that only its items show.
fn judge(output: &mut OutputView<'_>) {
    let has = |test: fn(&ItemView<'_>) -> bool| output.items.iter().any(test);
    let refused = has(|item| matches!(item, ItemView::Refusal(_)));
    let calls = has(|item| matches!(item, ItemView::ToolCall(_)));
    let says = has(|item| match item {
        ItemView::Text(text) => !text.is_empty(),
        ItemView::Other(_) | ItemView::Attachment(_) => true,
        _ => false,
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
    match item.r#type.as_deref() {
        Some("message") => {
            for part in item.content.into_iter().flatten() {
                match (part.r#type.as_deref(), part.text, part.refusal) {
                    (_, _, Some(refusal)) => items.push(ItemView::Refusal(refusal)),
                    (_, Some(text), _) => items.push(ItemView::Text(text)),
                    _ => {}
                }
                items.extend(
                    part.annotations
                        .into_iter()
                        .flatten()
                        .map(ItemView::Citation),
                );
            }
        }
        Some("function_call") => match (item.call_id.or(item.id), item.name) {
            (Some(id), Some(name)) => {
                let arguments = Arguments::Quoted(item.arguments.unwrap_or(Text::Plain("{}")));
                items.push(ItemView::ToolCall(ToolCallView {
                    id,
                    name,
                    arguments,
                }));
            }
            _ => items.push(ItemView::Other(raw)),
        },
        Some("reasoning") => {
            let text = item
                .summary
                .into_iter()
                .flatten()
                .chain(item.content.into_iter().flatten())
                .find_map(|part| part.text);
            items.push(ItemView::Thinking(ThinkingView {
                text,
                id: item.id,
                signature: None,
                data: item.encrypted_content,
            }));
        }
        _ => items.push(ItemView::Other(raw)),
    }
}

fn chat<'a>(choice: &Choice<'a>, items: &mut Vec<ItemView<'a>>) {
    let Some(message) = &choice.message else {
        return;
    };
    if let Some(text) = message.reasoning_content {
        items.push(ItemView::Thinking(ThinkingView {
            text: Some(text),
            ..ThinkingView::default()
        }));
    }
    items.extend(message.content.map(ItemView::Text));
    items.extend(message.refusal.map(ItemView::Refusal));
    for call in message.tool_calls.iter().flatten() {
        if let (Some(id), Some(function)) = (call.id, &call.function)
            && let Some(name) = function.name
        {
            let arguments = Arguments::Quoted(function.arguments.unwrap_or(Text::Plain("{}")));
            items.push(ItemView::ToolCall(ToolCallView {
                id,
                name,
                arguments,
            }));
        }
    }
    items.extend(
        message
            .annotations
            .iter()
            .flatten()
            .map(|json| ItemView::Citation(*json)),
    );
}

pub(crate) fn usage(usage: &Usage) -> TokenUsage {
    let input = usage.input_tokens_details.clone().unwrap_or_default();
    let output = usage.output_tokens_details.clone().unwrap_or_default();
    TokenUsage {
        input_tokens: usage.input_tokens.unwrap_or(0),
        cached_input_tokens: input.cached_tokens.unwrap_or(0),
        cache_write_tokens: input.cache_write_tokens.unwrap_or(0),
        output_tokens: usage.output_tokens.unwrap_or(0),
        thinking_tokens: output.reasoning_tokens.unwrap_or(0),
    }
}
