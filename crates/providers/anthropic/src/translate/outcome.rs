//! Rows of results into outcomes. Independent of how the provider is configured.

use lmbatch_core::{
    Arguments, FailureView, FinishReason, ItemView, JsonError, JsonView, Member, NonContent,
    OpenedRow, OutcomeView, Outline, OutputView, Problem, Retry, RowContent, RowError,
    ThinkingView, TokenUsage, ToolCallView, read_row,
};

use crate::error::{classify_row, said_in_body};
use crate::wire::{
    Block, BlockContent, CacheCreation, Message, OutputDetails, Row, RowResult, StopDetails, Usage,
};

/// The answer itself stays shut.
pub(super) fn open(row: JsonView<'_>) -> Result<OpenedRow<'_>, RowError> {
    let row: Row<'_> = read_row(row)?;
    let result = row.result.read::<RowResult<'_>>();
    Ok(OpenedRow {
        id: row.custom_id.id()?,
        content: match &result {
            Some(result) => content(result),
            None => RowContent::Ended(malformed()),
        },
    })
}

// "result.type: succeeded, errored, canceled, expired" (SDK 2.12.0, 2026-11).
fn content<'a>(result: &RowResult<'a>) -> RowContent<'a> {
    let word = result.r#type.scalar_text();
    RowContent::Ended(match (word.as_deref(), result.message.raw()) {
        (Some("succeeded"), Some(message)) if result.error.is_empty() || holds_answer(message) => {
            return opened(message);
        }
        // A row that holds an answer was paid for; the answer is kept even if there is an error too.
        (_, Some(message)) if holds_answer(message) => return RowContent::Answer(message),
        (Some("canceled" | "cancelled"), _) => OutcomeView::Cancelled,
        (Some("expired"), _) => OutcomeView::Expired,
        (Some("errored"), _) => result.error.raw().map_or_else(malformed, errored),
        // Any other type is not an answer, and holds an error.
        _ => match result.error.raw() {
            Some(error) => errored(error),
            None => malformed(),
        },
    })
}

/// Members of a message that are not what was answered, and types of blocks that hold thoughts.
const NON_CONTENT: NonContent = NonContent {
    members: &["cache_control", "caller", "citations", "id", "role"],
    types: &["thinking", "redacted_thinking"],
    flags: &[],
};

/// Returns true if a message holds an answer, which is kept even if there is an error too. An unreadable answer
/// was paid for as well.
fn holds_answer(message: JsonView<'_>) -> bool {
    if let OutcomeView::Succeeded(output) = answer(message)
        && (output.holds_answer() || output.items.iter().any(is_said))
    {
        return true;
    }
    match message.read::<Message<'_>>() {
        Some(found) => found.content.has_content(&NON_CONTENT),
        None => message.is_object(),
    }
}

/// Returns true if a content holds neither text nor blocks.
fn is_empty(content: Member<'_>) -> bool {
    content.some_text().is_none() && !content.holds_object()
}

/// A message, unless it is an error in its place.
fn opened(message: JsonView<'_>) -> RowContent<'_> {
    match message.read::<Message<'_>>() {
        Some(found) if !found.error.is_empty() && is_empty(found.content) => {
            RowContent::Ended(errored(message))
        }
        _ => RowContent::Answer(message),
    }
}

/// The error is nested twice: `result.error.error`.
fn errored(error: JsonView<'_>) -> OutcomeView<'_> {
    let said = said_in_body(error);
    let (kind, retry) = classify_row(&said);
    OutcomeView::Errored(FailureView {
        kind,
        code: said.code.or(said.kind),
        http_status: said.status,
        message: said.message,
        retryable: retry == Retry::Temporary,
    })
}

fn malformed<'a>() -> OutcomeView<'a> {
    OutcomeView::Errored(FailureView::malformed())
}

pub(super) fn answer(message: JsonView<'_>) -> OutcomeView<'_> {
    read(message).unwrap_or_else(|_| malformed())
}

/// Reads an answer.
///
/// # Errors
/// Where something of it is there and cannot be passed on.
fn read(message: JsonView<'_>) -> Result<OutcomeView<'_>, JsonError> {
    let Some(message) = message.read::<Message<'_>>() else {
        return Ok(malformed());
    };
    let mut items = Vec::new();
    if let Some(text) = message.content.text() {
        // A text in place of the list of blocks.
        items.extend((!text.is_empty()).then_some(ItemView::Text(text)));
    } else if message.content.is_absent() {
        return Ok(malformed());
    } else {
        for raw in message.content.items()? {
            block(raw, &mut items)?;
        }
    }
    let (finish_reason, mut problem) = finish(message.stop_reason.scalar_text().as_deref());
    if finish_reason == FinishReason::Refusal {
        let details = message.stop_details.read::<StopDetails<'_>>();
        let words = details.and_then(|details| {
            let explanation = details.explanation.text();
            explanation.or(details.category.text())
        });
        items.extend(words.map(ItemView::Refusal));
    } else if let Some(value) = message.stop_details.json()? {
        let name = "stop_details";
        items.push(ItemView::Detail { name, value });
    }
    problem = problem.or_else(|| unusable(&items));
    Ok(OutcomeView::Succeeded(OutputView {
        items,
        finish_reason,
        usage: message.usage.read().and_then(usage),
        model: message.model.text(),
        response_id: message.id.text(),
        problem,
    }))
}

/// Blocks that hold what the model made with the provider's own tools, and that are passed on as they came (SDK
/// 2.12.0, 2026-11). What it asked of those tools, and what it looked up or fetched with them, is no answer yet.
const MADE: &[&str] = &[
    "code_execution_tool_result",
    "bash_code_execution_tool_result",
    "text_editor_code_execution_tool_result",
    "container_upload",
];

/// Returns true if an item holds known content.
fn is_said(item: &ItemView<'_>) -> bool {
    match item {
        ItemView::Other(raw) => {
            let mut outline = Outline::new();
            let block = outline.read(raw.as_str()).ok();
            let Some(block) = block.and_then(JsonView::read::<Block<'_>>) else {
                return false;
            };
            // "content.type: code_execution_tool_result_error" (SDK 2.12.0).
            let content = block.content.read::<BlockContent<'_>>();
            let content = content.and_then(|content| content.r#type.scalar_text());
            let has_failed = content.is_some_and(|word| word.ends_with("_error"));
            let word = block.r#type.scalar_text().unwrap_or_default();
            MADE.contains(&&*word) && !has_failed
        }
        ItemView::Thinking(_) | ItemView::Citation(_) | ItemView::Detail { .. } => false,
        _ => true,
    }
}

/// Returns the problem of an answer without content or without known content.
fn unusable(items: &[ItemView<'_>]) -> Option<Problem> {
    let is_other = |item: &ItemView<'_>| matches!(item, ItemView::Other(_));
    match () {
        () if items.iter().any(is_said) => None,
        () if items.iter().any(is_other) => Some(Problem::Unrecognized),
        () => Some(Problem::Empty),
    }
}

// "stop_reason: end_turn, max_tokens, stop_sequence, tool_use, pause_turn, refusal,
// model_context_window_exceeded" (SDK 2.12.0, 2026-11).
fn finish(word: Option<&str>) -> (FinishReason, Option<Problem>) {
    if word.is_none_or(|word| word == "end_turn") {
        return (FinishReason::Stop, None);
    }
    let word = word.map(str::to_ascii_lowercase);
    match word.as_deref() {
        None | Some("end_turn" | "stop_sequence") => (FinishReason::Stop, None),
        Some("max_tokens" | "model_context_window_exceeded") => {
            (FinishReason::Length, Some(Problem::Truncated))
        }
        Some("tool_use") => (FinishReason::ToolUse, None),
        Some("pause_turn") => (FinishReason::Paused, Some(Problem::Truncated)),
        Some("refusal") => (FinishReason::Refusal, Some(Problem::Refused)),
        // An end that is a failure, of servers that imitate Anthropic.
        Some(other @ ("error" | "failed")) => (
            FinishReason::Other(other.to_owned()),
            Some(Problem::Unrecognized),
        ),
        Some(other) => (FinishReason::Other(other.to_owned()), None),
    }
}

fn block<'a>(raw: JsonView<'a>, items: &mut Vec<ItemView<'a>>) -> Result<(), JsonError> {
    let Some(block) = raw.read::<Block<'a>>() else {
        items.push(ItemView::Other(raw.json()?));
        return Ok(());
    };
    let word = block.r#type.scalar_text();
    match (word.as_deref(), block.text.text(), block.name.some_text()) {
        (Some("text"), Some(text), _) => {
            if !text.is_empty() {
                items.push(ItemView::Text(text));
            }
            for raw in block.citations.items()? {
                items.push(ItemView::Citation(raw.json()?));
            }
        }
        (Some("tool_use"), text, Some(name)) => {
            items.extend(text.filter(|text| !text.is_empty()).map(ItemView::Text));
            let arguments = Arguments::of(block.input)?;
            let call = match block.id.some_text() {
                Some(id) => ToolCallView {
                    id: id.decode(),
                    name,
                    arguments,
                },
                None => ToolCallView::without_id(name, arguments, items),
            };
            items.push(ItemView::ToolCall(call));
        }
        (Some("thinking" | "redacted_thinking"), ..) => {
            items.push(ItemView::Thinking(ThinkingView {
                text: block.thinking.text(),
                id: None,
                signature: block.signature.text(),
                data: block.data.text(),
            }));
        }
        _ => items.push(ItemView::Other(raw.json()?)),
    }
    Ok(())
}

/// "Total input is the sum of input_tokens, cache_creation_input_tokens and cache_read_input_tokens"
/// (SDK 2.12.0, 2026-11). Numbers, floats or strings; a count that is not there is 0, and where one that is there
/// cannot be read, or where there are only others, the usage is unknown.
fn usage(usage: Usage<'_>) -> Option<TokenUsage> {
    let count = |member: Member<'_>| match member.is_absent() {
        true => Some(0),
        false => lmbatch_http::whole_member(member),
    };
    if usage.input.is_absent() && usage.output.is_absent() {
        return None;
    }
    let details = usage.output_details.read::<OutputDetails<'_>>();
    let lifetimes = usage.written_by_lifetime.read::<CacheCreation<'_>>();
    let (cached, written) = (count(usage.cached)?, count(usage.written)?);
    Some(TokenUsage {
        input_tokens: count(usage.input)?
            .saturating_add(cached)
            .saturating_add(written),
        cached_input_tokens: cached,
        cache_write_tokens: written,
        cache_write_1h_tokens: count(lifetimes.unwrap_or_default().one_hour)?,
        audio_input_tokens: 0,
        output_tokens: count(usage.output)?,
        thinking_tokens: count(details.unwrap_or_default().thinking)?,
    })
}
