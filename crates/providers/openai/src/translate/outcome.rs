//! Rows of output and error files into outcomes. Independent of how the provider is configured: a
//! row says itself which endpoint answered.

use lmbatch_core::{
    ErrorKind, FailureView, FinishReason, ItemView, Json, Member, Opened, OutcomeView, OutputView,
    Problem, Retry, RowContent, RowError, TokenUsage,
};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::error::{Said, classify, classify_row, said, said_in_body};
use crate::translate::items;
use crate::wire::{Body, BodyStatus, Incomplete, Response, Row};

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
    let Some(response) = row.response.read::<Response<'a>>() else {
        return RowContent::Ended(not_run(row.error));
    };
    let status = response.status_code.read::<Value>();
    let status = status.and_then(|status| lmbatch_http::whole(&status)?.try_into().ok());
    let status: u16 = status.unwrap_or(200);
    if !(200..300).contains(&status) {
        // What was answered was paid for, whatever status stands beside it.
        if let Some(body) = response.body.raw().filter(|body| holds_answer(body)) {
            return RowContent::Answer(body);
        }
        let said = match response.body.raw() {
            Some(body) => said_in_body(body.get()),
            None => row.error.raw().map(said).unwrap_or_default(),
        };
        return RowContent::Ended(failure(status, &said));
    }
    let Some(body) = response.body.raw() else {
        return RowContent::Ended(not_run(row.error));
    };
    match serde_json::from_str::<BodyStatus<'_>>(body.get()) {
        Ok(found) if is_failed(&found) && !holds_answer(body) => {
            RowContent::Ended(not_generated(status, found.error))
        }
        Ok(found) if is_error(&found) => RowContent::Ended(OutcomeView::Errored(in_row(
            said_in_body(body.get()),
            Some(status),
        ))),
        _ => RowContent::Answer(body),
    }
}

// "status: completed, failed, in_progress, cancelled, queued, or incomplete" (OpenAI's OpenAPI document
// 2.3.0, 2026-08-21): a row with HTTP 200 can hold an answer that failed.
fn is_failed(body: &BodyStatus<'_>) -> bool {
    let word = body.status.word().unwrap_or_default();
    ["failed", "cancelled", "canceled"]
        .iter()
        .any(|failed| word.eq_ignore_ascii_case(failed))
}

/// Whether a body holds an answer that is kept though an error stands beside it.
fn holds_answer(body: &RawValue) -> bool {
    let OutcomeView::Succeeded(output) = answer(body) else {
        return false;
    };
    // Embeddings and moderations.
    let has_data = || {
        let found = serde_json::from_str::<BodyStatus<'_>>(body.get());
        found.is_ok_and(|found| {
            let lists = [found.data, found.results].map(Member::list);
            lists.into_iter().flatten().any(|list| {
                let is_object = |item: &Json<'_>| item.as_str().starts_with('{');
                !list.is_empty() && list.iter().all(is_object)
            })
        })
    };
    output.holds_answer() || output.items.iter().any(items::is_made) || has_data()
}

/// Whether a member that should hold an answer holds an object at least.
fn holds_object(member: Member<'_>) -> bool {
    let items = member.items();
    items.iter().any(|item| item.as_str().starts_with('{'))
}

/// Whether a body under HTTP 200 is an error, as servers that imitate OpenAI send it: it holds no answer, or one
/// that is empty, and an error in any shape.
fn is_error(body: &BodyStatus<'_>) -> bool {
    let answers = [body.output, body.choices, body.data, body.results];
    let is_named = body.object.word().as_deref() == Some("error");
    let says = [body.error, body.detail, body.message];
    answers.iter().all(|answer| !holds_object(*answer))
        && (is_named || says.iter().any(|member| !member.is_absent()))
}

fn not_generated<'a>(status: u16, error: Member<'a>) -> OutcomeView<'a> {
    let said = error.raw().map(said).unwrap_or_default();
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
fn not_run(error: Member<'_>) -> OutcomeView<'_> {
    let Some(error) = error.raw() else {
        return malformed();
    };
    let said = said(error);
    match said.code.as_deref() {
        Some("batch_expired") => OutcomeView::Expired,
        Some("batch_cancelled" | "batch_canceled") => OutcomeView::Cancelled,
        _ => OutcomeView::Errored(in_row(said, None)),
    }
}

/// A failure whose row carries no HTTP status that speaks of it.
fn in_row(said: Said<'_>, status: Option<u16>) -> FailureView<'_> {
    let (kind, retry) = classify_row(&said);
    FailureView {
        kind,
        http_status: said.status.or(status),
        code: said.code,
        message: said.message,
        retryable: retry == Retry::Temporary,
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
        usage: body.usage.read::<Value>().as_ref().and_then(usage),
        model: body.model.text(),
        response_id: body.id.text(),
        problem: None,
    };
    if let Some(list) = body.output.list() {
        items::of_response(list, &mut output.items);
        end_of_response(&body, &mut output);
    } else if !body.choices.is_absent() {
        if let Some(finish) = items::of_choices(body.choices, &mut output.items) {
            output.finish_reason = finish_of_chat(&finish);
        }
    } else if let Some(data) = body.data.json().or(body.results.json()) {
        output.items.push(ItemView::Other(data));
        return OutcomeView::Succeeded(output);
    } else if let Some(other) = body.output.json() {
        output.items.push(ItemView::Other(other));
    } else {
        return malformed();
    }
    judge(&mut output);
    OutcomeView::Succeeded(output)
}

/// How a response ended. One that is incomplete is never usable, whatever its reason.
fn end_of_response(body: &Body<'_>, output: &mut OutputView<'_>) {
    let details = body.incomplete_details.read::<Incomplete<'_>>();
    let reason = details.and_then(|details| details.reason.word());
    let word = body.status.word().unwrap_or_default().to_ascii_lowercase();
    (output.finish_reason, output.problem) = match (word.as_str(), reason.as_deref()) {
        ("" | "completed", _) => (FinishReason::Stop, None),
        ("incomplete", Some("max_output_tokens" | "max_tokens")) => (FinishReason::Length, None),
        ("incomplete", Some("content_filter")) => (FinishReason::ContentFilter, None),
        ("incomplete", None) => {
            let reason = FinishReason::Other("incomplete".to_owned());
            (reason, Some(Problem::Truncated))
        }
        ("incomplete", Some(other)) => {
            let reason = FinishReason::Other(other.to_owned());
            (reason, Some(Problem::Unrecognized))
        }
        (other, _) => {
            let reason = FinishReason::Other(other.to_owned());
            (reason, Some(Problem::Unrecognized))
        }
    };
}

// "finish_reason: stop, length, tool_calls, content_filter, or function_call" (the same document).
fn finish_of_chat(word: &str) -> FinishReason {
    match word.to_ascii_lowercase().as_str() {
        "stop" => FinishReason::Stop,
        // The other words are those of servers that imitate OpenAI.
        "length" | "max_tokens" | "max_output_tokens" => FinishReason::Length,
        "tool_calls" | "function_call" => FinishReason::ToolUse,
        "content_filter" => FinishReason::ContentFilter,
        _ => FinishReason::Other(word.to_owned()),
    }
}

/// Why the answer may be unusable, and the finish reasons that only its items show.
fn judge(output: &mut OutputView<'_>) {
    let has = |test: fn(&ItemView<'_>) -> bool| output.items.iter().any(test);
    let refused = has(|item| matches!(item, ItemView::Refusal(_)));
    let calls = has(|item| matches!(item, ItemView::ToolCall(_)));
    let says = has(|item| matches!(item, ItemView::Text(_) | ItemView::Attachment(_)));
    let made = has(items::is_made);
    let others = has(|item| matches!(item, ItemView::Other(_)));
    if output.finish_reason == FinishReason::Stop && refused {
        output.finish_reason = FinishReason::Refusal;
    } else if output.finish_reason == FinishReason::Stop && calls {
        output.finish_reason = FinishReason::ToolUse;
    }
    output.problem = output.problem.or(match output.finish_reason {
        FinishReason::Length => Some(Problem::Truncated),
        FinishReason::ContentFilter => Some(Problem::ContentFilter),
        FinishReason::Refusal => Some(Problem::Refused),
        _ if says || calls || made => None,
        _ if others => Some(Problem::Unrecognized),
        _ => Some(Problem::Empty),
    });
}

/// Tokens in the words of either endpoint, as numbers, floats or strings; `None` where there is no count.
/// Every member may be missing: what was paid for is not thrown away for want of a count.
pub(crate) fn usage(usage: &Value) -> Option<TokenUsage> {
    let find = |places: [&str; 2]| {
        let mut places = places.iter();
        places.find_map(|place| lmbatch_http::whole(usage.pointer(place)?))
    };
    let count = |places| find(places).unwrap_or(0);
    let input = find(["/input_tokens", "/prompt_tokens"]);
    let output = find(["/output_tokens", "/completion_tokens"]);
    if input.is_none() && output.is_none() {
        return None;
    }
    Some(TokenUsage {
        input_tokens: input.unwrap_or(0),
        cached_input_tokens: count([
            "/input_tokens_details/cached_tokens",
            "/prompt_tokens_details/cached_tokens",
        ]),
        cache_write_tokens: count([
            "/input_tokens_details/cache_write_tokens",
            "/prompt_tokens_details/cache_write_tokens",
        ]),
        output_tokens: output.unwrap_or(0),
        thinking_tokens: count([
            "/output_tokens_details/reasoning_tokens",
            "/completion_tokens_details/reasoning_tokens",
        ]),
    })
}

#[cfg(test)]
mod tests;
