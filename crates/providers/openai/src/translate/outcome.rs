//! Rows of output and error files into outcomes, in the words of a dialect. Independent of how the provider is
//! configured: a row says itself which endpoint answered.

use lmbatch_core::{
    ErrorKind, FailureView, FinishReason, ItemView, JsonError, JsonView, Member, OpenedRow,
    OutcomeView, Outline, OutputView, Problem, Retry, RowContent, RowError, Text, TokenUsage,
    read_row,
};
use serde_json::value::RawValue;

use crate::chat::{Dialect, Rows};
use crate::error::{Said, classify_as, classify_row, said, said_as};
use crate::translate::items;
use crate::wire::{Body, BodyStatus, Incomplete, Response, Row, Usage, UsageDetails};

/// Opens a row. The answer itself stays unread.
pub(crate) fn open<'a>(row: JsonView<'a>, dialect: &Dialect) -> Result<OpenedRow<'a>, RowError> {
    let row: Row<'_> = read_row(row)?;
    Ok(OpenedRow {
        id: row.custom_id.id()?,
        content: content(&row, dialect),
    })
}

fn content<'a>(row: &Row<'a>, dialect: &Dialect) -> RowContent<'a> {
    let Some(response) = row.response.read::<Response<'a>>() else {
        return RowContent::Ended(match row.response.holds_object() {
            // A response is there, and cannot be read.
            true => malformed(),
            false => not_run(row.error, dialect),
        });
    };
    let status = lmbatch_http::whole_member(response.status_code);
    let status = status.and_then(|status| status.try_into().ok());
    let status: u16 = status.unwrap_or(200);
    let body = match dialect.rows {
        Rows::Bare => row.response,
        Rows::Wrapped => response.body,
    };
    let is_good = (200..300).contains(&status);
    let Some(body) = body.raw() else {
        let is_misplaced = row.response.raw();
        let is_misplaced = is_misplaced.is_some_and(|raw| holds_answer(raw, dialect));
        return RowContent::Ended(match () {
            () if is_misplaced => malformed(),
            () if is_good => not_run(row.error, dialect),
            () => unanswered(status, None, row.error, dialect),
        });
    };
    if !is_good {
        // An answer was paid for; it is kept under any status.
        return match holds_answer(body, dialect) {
            true => RowContent::Answer(body),
            false => RowContent::Ended(unanswered(status, Some(body), row.error, dialect)),
        };
    }
    match body.read::<BodyStatus<'_>>() {
        Some(found) if is_failed(&found) && !holds_answer(body, dialect) => {
            RowContent::Ended(match found.error.is_absent() && !row.error.is_absent() {
                true => not_run(row.error, dialect),
                false => not_generated(status, found.error),
            })
        }
        Some(found) if is_error(&found) => {
            RowContent::Ended(unanswered(status, Some(body), row.error, dialect))
        }
        // An error beside nothing that was answered.
        _ if row
            .error
            .raw()
            .is_some_and(|error| !said(error).is_nothing())
            && !holds_answer(body, dialect) =>
        {
            RowContent::Ended(not_run(row.error, dialect))
        }
        _ => RowContent::Answer(body),
    }
}

/// The outcome of a row without an answer. What its body does not say of the error, the error beside it may say.
fn unanswered<'a>(
    status: u16,
    body: Option<JsonView<'a>>,
    error: Member<'a>,
    dialect: &Dialect,
) -> OutcomeView<'a> {
    let said = body.map(|body| said_as(body, dialect));
    let said = said.unwrap_or_default();
    let beside = error.raw().map(self::said).unwrap_or_default();
    if said.code.is_none()
        && let Some(outcome) = not_executed(&beside)
    {
        return outcome;
    }
    let said = said.or(beside);
    match status {
        // Some servers write 0 where no request was made.
        ..100 if said.is_nothing() => malformed(),
        ..100 => OutcomeView::Errored(in_row(said, None, dialect)),
        200..300 => OutcomeView::Errored(in_row(said, Some(status), dialect)),
        _ => failure(status, &said, dialect),
    }
}

// "status: completed, failed, in_progress, cancelled, queued, or incomplete" (OpenAI's OpenAPI document
// 2.3.0, 2026-08-21): a row with HTTP 200 can hold an answer that failed.
fn is_failed(body: &BodyStatus<'_>) -> bool {
    let word = body.status.scalar_text().unwrap_or_default();
    ["failed", "cancelled", "canceled"]
        .iter()
        .any(|failed| word.eq_ignore_ascii_case(failed))
}

/// Returns true if a body holds an answer, which is kept even if there is an error too. An unreadable answer
/// was paid for as well.
fn holds_answer(body: JsonView<'_>, dialect: &Dialect) -> bool {
    if let OutcomeView::Succeeded(output) = answer(body, dialect)
        && (output.holds_answer() || output.items.iter().any(items::is_made))
    {
        return true;
    }
    if body.is_list() {
        let mut bodies = body.values().filter(|body| body.is_object());
        return bodies.any(|body| holds_answer(body, dialect));
    }
    if !body.is_object() {
        // A body in quotes.
        let text = body.text().map(Text::decode).unwrap_or_default();
        let mut outline = Outline::new();
        let body = outline.read(&text);
        return body.is_ok_and(|body| holds_answer(body, dialect));
    }
    let Some(found) = body.read::<BodyStatus<'_>>() else {
        return true;
    };
    // Embeddings and moderations.
    let is_data = |list: Member<'_>| match list.list() {
        Some(mut list) => !list.is_empty() && list.all(JsonView::is_object),
        None => list.json().is_err(),
    };
    let says = |member: Member<'_>| member.has_content(&items::NON_CONTENT);
    [found.data, found.results].into_iter().any(is_data)
        || [found.output, found.choices].into_iter().any(says)
}

/// Returns true if a member that should hold an answer holds at least an object.
fn may_answer(body: &BodyStatus<'_>) -> bool {
    let answers = [body.output, body.choices, body.data, body.results];
    answers.into_iter().any(Member::holds_object)
}

/// Returns true if a body under HTTP 200 is an error, as OpenAI-compatible servers send it: it holds no answer, or one
/// that is empty, and an error in any shape.
fn is_error(body: &BodyStatus<'_>) -> bool {
    let is_named = body.object.scalar_text().as_deref() == Some("error");
    let says = [body.error, body.detail, body.message];
    !may_answer(body) && (is_named || says.iter().any(|member| !member.is_empty()))
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
fn not_executed<'a>(said: &Said<'_>) -> Option<OutcomeView<'a>> {
    match said.code.as_deref() {
        Some("batch_expired") => Some(OutcomeView::Expired),
        Some("batch_cancelled" | "batch_canceled") => Some(OutcomeView::Cancelled),
        _ => None,
    }
}

fn not_run<'a>(error: Member<'a>, dialect: &Dialect) -> OutcomeView<'a> {
    let Some(error) = error.raw() else {
        return malformed();
    };
    let said = said(error);
    not_executed(&said).unwrap_or_else(|| OutcomeView::Errored(in_row(said, None, dialect)))
}

/// A failure whose row carries no HTTP status that speaks of it.
fn in_row<'a>(said: Said<'a>, status: Option<u16>, dialect: &Dialect) -> FailureView<'a> {
    let (kind, retry) = classify_row(&said, dialect);
    FailureView {
        kind,
        http_status: said.status.or(status),
        code: said.code,
        message: said.message,
        retryable: retry == Retry::Temporary,
    }
}

fn failure<'a>(status: u16, said: &Said<'a>, dialect: &Dialect) -> OutcomeView<'a> {
    let (kind, retry) = classify_as(status, said.code.as_deref(), dialect);
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

/// Reads an answer.
pub(crate) fn answer<'a>(body: JsonView<'a>, dialect: &Dialect) -> OutcomeView<'a> {
    read(body, dialect).unwrap_or_else(|_| malformed())
}

/// Reads an answer.
///
/// # Errors
/// Where something of it is there and cannot be passed on.
fn read<'a>(body: JsonView<'a>, dialect: &Dialect) -> Result<OutcomeView<'a>, JsonError> {
    let Some(body) = body.read::<Body<'_>>() else {
        return Ok(malformed());
    };
    let mut items = Vec::new();
    let (mut finish, mut problem) = (FinishReason::Stop, None);
    let mut is_list = false;
    let output = body.output.list();
    // An empty list of the one endpoint says nothing beside an answer of the other.
    let has_choices = !body.choices.is_empty();
    if let Some(list) = output.filter(|list| !list.is_empty() || !has_choices) {
        items::of_response(list, &mut items)?;
        (finish, problem) = end_of_response(&body);
        if has_choices {
            items.extend(body.choices.json()?.map(ItemView::Other));
        }
    } else if !body.choices.is_absent() {
        if let Some(word) = items::of_choices(body.choices, &mut items)? {
            finish = finish_of_chat(&word, dialect);
        }
    } else if let Some(data) = body.data.json()?.or(body.results.json()?) {
        items.push(ItemView::Other(data));
        is_list = true;
    } else if let Some(other) = body.output.json()? {
        items.push(ItemView::Other(other));
    } else {
        return Ok(malformed());
    }
    if is_failure(&finish) && !items.is_empty() {
        problem = problem.or(Some(Problem::Unrecognized));
    }
    // What a model made, or a list of vectors, is an answer in a shape that is passed on as it is.
    let is_made = is_list || items.iter().any(items::is_made);
    let mut output = OutputView::from_items(items, finish);
    if is_made && matches!(output.problem, Some(Problem::Unrecognized | Problem::Empty)) {
        output.problem = None;
    }
    output.problem = problem.or(output.problem);
    output.usage = body.usage.read().and_then(usage_of);
    if let Some(usage) = &mut output.usage
        && dialect.thinks_outside_completion
    {
        usage.output_tokens = usage.output_tokens.saturating_add(usage.thinking_tokens);
    }
    output.model = body.model.text();
    output.response_id = body.id.text();
    Ok(OutcomeView::Succeeded(output))
}

/// Returns true if a finish reason is a failure of the model or of the service, also after partial output, as
/// OpenAI-compatible services name it.
fn is_failure(finish: &FinishReason) -> bool {
    let FinishReason::Other(word) = finish else {
        return false;
    };
    let failed = ["error", "failed", "abort", "aborted"];
    failed
        .iter()
        .any(|failed| word.eq_ignore_ascii_case(failed))
}

/// Returns the finish reason of a response and its problem. An incomplete response is never usable.
fn end_of_response(body: &Body<'_>) -> (FinishReason, Option<Problem>) {
    let details = body.incomplete_details.read::<Incomplete<'_>>();
    let reason = details.and_then(|details| details.reason.scalar_text());
    let word = body.status.scalar_text().unwrap_or_default();
    if word.is_empty() || word.eq_ignore_ascii_case("completed") {
        return (FinishReason::Stop, None);
    }
    let word = word.to_ascii_lowercase();
    match (word.as_str(), reason.as_deref()) {
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
    }
}

// "finish_reason: stop, length, tool_calls, content_filter, or function_call" (the same document).
fn finish_of_chat(word: &str, dialect: &Dialect) -> FinishReason {
    let mut own = dialect.finish_reasons.iter();
    if let Some((_, reason)) = own.find(|(own, _)| *own == word) {
        return reason.clone();
    }
    if word.eq_ignore_ascii_case("stop") {
        return FinishReason::Stop;
    }
    match word.to_ascii_lowercase().as_str() {
        // The other words are those of servers that imitate OpenAI.
        "length" | "max_tokens" | "max_output_tokens" => FinishReason::Length,
        "tool_calls" | "function_call" => FinishReason::ToolUse,
        "content_filter" => FinishReason::ContentFilter,
        _ => FinishReason::Other(word.to_owned()),
    }
}

/// Tokens of a value in the words of either endpoint, as [`usage_of`] reads them.
pub(crate) fn usage(usage: &RawValue) -> Option<TokenUsage> {
    let mut outline = Outline::new();
    outline.read(usage.get()).ok()?.read().and_then(usage_of)
}

/// Tokens in the words of either endpoint, as numbers, floats or strings. A count that is not there is 0, and
/// where one that is there cannot be read, or where there are only others, the usage is unknown.
fn usage_of(usage: Usage<'_>) -> Option<TokenUsage> {
    let count = |member: Member<'_>| match member.is_absent() {
        true => Some(0),
        false => lmbatch_http::whole_member(member),
    };
    if usage.input.is_absent() && usage.output.is_absent() {
        return None;
    }
    let input: UsageDetails<'_> = usage.input_details.read().unwrap_or_default();
    let output: UsageDetails<'_> = usage.output_details.read().unwrap_or_default();
    Some(TokenUsage {
        input_tokens: count(usage.input)?,
        cached_input_tokens: count(input.cached)?,
        cache_write_tokens: count(input.written)?,
        cache_write_1h_tokens: 0,
        audio_input_tokens: count(input.audio)?,
        output_tokens: count(usage.output)?,
        thinking_tokens: count(output.reasoning)?,
    })
}

#[cfg(test)]
mod tests;
