//! Converts rows of results to outcomes, in the same way for every configuration.

use lmbatch_core::{
    Arguments, FailureView, FinishReason, ItemView, JsonError, JsonView, Member, NonContent,
    OpenedRow, OutcomeView, Outline, OutputView, Retry, RowContent, RowError, Text, ThinkingView,
    TokenUsage, ToolCallView, read_row,
};

use crate::error::{classify_row, said_in_body};
use crate::wire::{
    Block, BlockContent, CacheCreation, Message, OutputDetails, Row, RowResult, StopDetails, Usage,
};

/// Opens a row without parsing its answer.
pub(super) fn open(row: JsonView<'_>) -> Result<OpenedRow<'_>, RowError> {
    let read: Row<'_> = read_row(row)?;
    let result = read.result.raw();
    let known = result.and_then(JsonView::read::<RowResult<'_>>);
    Ok(OpenedRow {
        id: read.custom_id.id()?,
        content: match (result, known, read.error.raw()) {
            (Some(result), Some(known), _) => content(result, &known),
            // An error in the row itself, in place of a result.
            (None, _, Some(error)) if !read.error.is_empty() => RowContent::Ended(errored(error)),
            (None, _, None) if says(row) => RowContent::Ended(errored(row)),
            _ => RowContent::Ended(malformed()),
        },
    })
}

/// Returns true if an object says in its own members what went wrong.
fn says(object: JsonView<'_>) -> bool {
    let said = said_in_body(object);
    said.message.is_some_and(|message| !message.is_empty()) || said.code.is_some()
}

// "result.type: succeeded, errored, canceled, expired" (SDK 2.12.0, 2026-11).
fn content<'a>(raw: JsonView<'a>, result: &RowResult<'a>) -> RowContent<'a> {
    let word = result
        .r#type
        .scalar_text()
        .unwrap_or_default()
        .to_ascii_lowercase();
    RowContent::Ended(match (&*word, result.message.raw()) {
        ("succeeded", Some(message)) if result.error.is_empty() || holds_answer(message) => {
            return opened(message);
        }
        // A row that holds an answer was paid for; the answer is kept even if there is an error too.
        (_, Some(message)) if holds_answer(message) => return RowContent::Answer(message),
        ("canceled" | "cancelled", _) => OutcomeView::Cancelled,
        ("expired", _) => OutcomeView::Expired,
        // Any other type is not an answer, and holds an error, or is one.
        _ => match result.error.raw() {
            Some(error) => errored(error),
            None if says(raw) => errored(raw),
            None => malformed(),
        },
    })
}

/// Members of a message that are not part of the answer, and types of blocks that hold thinking.
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

/// Returns a message, or an error object that stands in its place.
fn opened(message: JsonView<'_>) -> RowContent<'_> {
    match message.read::<Message<'_>>() {
        Some(found) if !found.error.is_empty() && is_empty(found.content) => {
            RowContent::Ended(errored(message))
        }
        // An error without nesting.
        Some(found)
            if found.content.is_absent() && found.stop_reason.is_absent() && says(message) =>
        {
            RowContent::Ended(errored(message))
        }
        _ => RowContent::Answer(message),
    }
}

/// Reads the error, which is nested twice: `result.error.error`.
fn errored(error: JsonView<'_>) -> OutcomeView<'_> {
    let mut said = said_in_body(error);
    let is_said = |name: &str, member: Member<'_>| {
        !["type", "request_id"].contains(&name) && !member.is_empty()
    };
    if said.is_nothing() && error.any_member(is_said) && error.json().is_ok() {
        // An error in a shape that is not known.
        said.message = Some(Text::Plain(error.as_str()));
    }
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
/// Where a part of the answer cannot be read.
fn read(message: JsonView<'_>) -> Result<OutcomeView<'_>, JsonError> {
    let Some(message) = message.read::<Message<'_>>() else {
        return Ok(malformed());
    };
    let mut items = Vec::new();
    if let Some(text) = message.content.text() {
        // A string instead of the list of blocks.
        items.extend((!text.is_empty()).then_some(ItemView::Text(text)));
    } else if message.content.is_absent() && message.stop_reason.is_absent() {
        return Ok(malformed());
    } else {
        for raw in message.content.items()? {
            block(raw, &mut items)?;
        }
    }
    let finish_reason = finish(message.stop_reason);
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
    Ok(OutcomeView::Succeeded(OutputView {
        usage: message.usage.read().and_then(usage),
        model: message.model.text(),
        response_id: message.id.text(),
        ..OutputView::judged_with(items, finish_reason, is_made)
    }))
}

/// Returns true if an item is a block that holds what the model made with the provider's own tools, and that is passed
/// on as it came (SDK 2.12.0, 2026-11). What it asked of those tools, and what it looked up or fetched with them, is
/// no answer yet.
fn is_made(item: &ItemView<'_>) -> bool {
    let ItemView::Other(raw) = item else {
        return false;
    };
    let mut outline = Outline::new();
    let block = outline.read(raw.as_str()).ok();
    block
        .and_then(JsonView::read::<Block<'_>>)
        .is_some_and(|block| {
            match &*block.r#type.scalar_text().unwrap_or_default() {
                "code_execution_tool_result"
                | "bash_code_execution_tool_result"
                | "text_editor_code_execution_tool_result" => {
                    // "content.type: code_execution_tool_result_error" (SDK 2.12.0).
                    let content = block.content.read::<BlockContent<'_>>();
                    let content = content.and_then(|content| content.r#type.scalar_text());
                    let has_failed = content.is_some_and(|word| word.ends_with("_error"));
                    !block.content.is_empty() && !has_failed
                }
                "container_upload" => block.file_id.some_text().is_some(),
                _ => false,
            }
        })
}

/// Returns true if an item holds known content.
fn is_said(item: &ItemView<'_>) -> bool {
    match item {
        ItemView::Text(_) | ItemView::ToolCall(_) | ItemView::Refusal(_) => true,
        other => is_made(other),
    }
}

// "stop_reason: end_turn, max_tokens, stop_sequence, tool_use, pause_turn, refusal,
// model_context_window_exceeded" (SDK 2.12.0, 2026-11).
fn finish(word: Member<'_>) -> FinishReason {
    let word = word.finish_word();
    match word.as_deref() {
        None | Some("end_turn") => FinishReason::Stop,
        Some("tool_use") => FinishReason::ToolUse,
        Some(word) => FinishReason::of_provider(&word.to_ascii_lowercase()),
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
            if arguments.are_elsewhere(raw, "input") {
                items.push(ItemView::UnreadCall(raw.json()?));
                return Ok(());
            }
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
        (Some("tool_use"), ..) => items.push(ItemView::UnreadCall(raw.json()?)),
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
/// (SDK 2.12.0, 2026-11). Counts may be numbers, floats or strings. An absent count is 0; if a
/// count cannot be read, or only unknown ones are present, the usage is unknown.
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
