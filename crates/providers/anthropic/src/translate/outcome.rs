//! Rows of results into outcomes. Independent of how the provider is configured.

use lmbatch_core::{
    Arguments, FailureView, FinishReason, ItemView, Json, Opened, OutcomeView, OutputView, Problem,
    Retry, RowContent, RowError, Text, ThinkingView, TokenUsage, ToolCallView,
};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::error::{classify, said_in_body};
use crate::wire::{Block, Message, Row, RowResult, StopDetails};

/// The answer itself stays shut.
pub(super) fn open(row: &[u8]) -> Result<Opened<'_>, RowError> {
    let row: Row<'_> = lmbatch_core::read_row(row)?;
    let result = row.result.as_ref();
    Ok(Opened {
        id: row.custom_id,
        content: result.map_or_else(|| RowContent::Ended(malformed()), content),
    })
}

// "result.type: succeeded, errored, canceled, expired" (SDK 2.12.0, 2026-11).
fn content<'a>(result: &RowResult<'a>) -> RowContent<'a> {
    match (result.r#type.as_deref(), result.message, result.error) {
        (Some("succeeded"), Some(message), _) => RowContent::Answer(message),
        (Some("errored"), _, error) => RowContent::Ended(error.map_or_else(malformed, errored)),
        (Some("canceled" | "cancelled"), ..) => RowContent::Ended(OutcomeView::Cancelled),
        (Some("expired"), ..) => RowContent::Ended(OutcomeView::Expired),
        _ => RowContent::Ended(malformed()),
    }
}

/// The error is nested twice: `result.error.error`.
fn errored(error: &RawValue) -> OutcomeView<'_> {
    let said = said_in_body(error.get());
    // A row carries no HTTP status. A type that we do not know: "anything but invalid_request_error can be
    // sent again as it is" (batch guide, 2026-08).
    let (kind, retry) = classify(500, said.kind.as_deref(), said.code.as_deref());
    OutcomeView::Errored(FailureView {
        kind,
        code: said.code.or(said.kind),
        http_status: None,
        message: said.message,
        retryable: retry == Retry::Temporary,
    })
}

fn malformed<'a>() -> OutcomeView<'a> {
    OutcomeView::Errored(FailureView::malformed())
}

pub(super) fn answer(message: &RawValue) -> OutcomeView<'_> {
    let Ok(message) = serde_json::from_str::<Message<'_>>(message.get()) else {
        return malformed();
    };
    let Some(content) = message.content else {
        return malformed();
    };
    let mut items = Vec::with_capacity(content.len());
    content.into_iter().for_each(|raw| block(raw, &mut items));
    let (finish_reason, mut problem) = finish(message.stop_reason.as_deref());
    if finish_reason == FinishReason::Refusal {
        let details = message
            .stop_details
            .and_then(|details| serde_json::from_str::<StopDetails<'_>>(details.get()).ok());
        let words = details.and_then(|details| details.explanation.or(details.category));
        items.extend(words.map(ItemView::Refusal));
    }
    let says = items
        .iter()
        .any(|item| !matches!(item, ItemView::Thinking(_) | ItemView::Citation(_)));
    if problem.is_none() && !says {
        problem = Some(Problem::Empty);
    }
    OutcomeView::Succeeded(OutputView {
        items,
        finish_reason,
        usage: message.usage.as_ref().map(usage).unwrap_or_default(),
        model: message.model,
        response_id: message.id,
        problem,
    })
}

// "stop_reason: end_turn, max_tokens, stop_sequence, tool_use, pause_turn, refusal,
// model_context_window_exceeded" (SDK 2.12.0, 2026-11).
fn finish(word: Option<&str>) -> (FinishReason, Option<Problem>) {
    match word {
        None | Some("end_turn" | "stop_sequence") => (FinishReason::Stop, None),
        Some("max_tokens" | "model_context_window_exceeded") => {
            (FinishReason::Length, Some(Problem::Truncated))
        }
        Some("tool_use") => (FinishReason::ToolUse, None),
        Some("pause_turn") => (FinishReason::Paused, Some(Problem::Truncated)),
        Some("refusal") => (FinishReason::Refusal, Some(Problem::Refused)),
        Some(other) => (FinishReason::Other(other.to_owned()), None),
    }
}

fn block<'a>(raw: Json<'a>, items: &mut Vec<ItemView<'a>>) {
    let Ok(block) = raw.parse::<Block<'a>>() else {
        return items.push(ItemView::Other(raw));
    };
    match (block.r#type.as_deref(), block.text, block.id, block.name) {
        (Some("text"), Some(text), ..) => {
            if !text.is_empty() {
                items.push(ItemView::Text(text));
            }
            items.extend(
                block
                    .citations
                    .into_iter()
                    .flatten()
                    .map(ItemView::Citation),
            );
        }
        (Some("tool_use"), _, Some(id), Some(name)) => {
            let arguments = block
                .input
                .map_or(Arguments::Quoted(Text::Plain("{}")), Arguments::Value);
            items.push(ItemView::ToolCall(ToolCallView {
                id,
                name,
                arguments,
            }));
        }
        (Some("thinking" | "redacted_thinking"), ..) => {
            items.push(ItemView::Thinking(ThinkingView {
                text: block.thinking,
                id: None,
                signature: block.signature,
                data: block.data,
            }));
        }
        _ => items.push(ItemView::Other(raw)),
    }
}

/// "Total input is the sum of input_tokens, cache_creation_input_tokens and cache_read_input_tokens"
/// (SDK 2.12.0, 2026-11). Every member may be missing or null.
fn usage(usage: &Value) -> TokenUsage {
    let count = |place: &str| usage.pointer(place).and_then(Value::as_u64).unwrap_or(0);
    let (cached, written) = (
        count("/cache_read_input_tokens"),
        count("/cache_creation_input_tokens"),
    );
    TokenUsage {
        input_tokens: count("/input_tokens")
            .saturating_add(cached)
            .saturating_add(written),
        cached_input_tokens: cached,
        cache_write_tokens: written,
        output_tokens: count("/output_tokens"),
        thinking_tokens: count("/output_tokens_details/thinking_tokens"),
    }
}
