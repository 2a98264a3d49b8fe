//! Rows of results into outcomes. Independent of how the provider is configured: rows of files and inline
//! rows differ by where the key is, and say so themselves.

use lmbatch_core::{
    Arguments, AttachmentKind, AttachmentView, FailureView, FinishReason, ItemView, Json, Opened,
    OutcomeView, OutputView, Problem, Retry, RowContent, SourceView, Text, ThinkingView,
    TokenUsage, ToolCallView,
};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::error::classify_code;
use crate::wire::{Candidate, Part, Response, Row, RowError, RowMetadata};

/// The answer itself stays shut.
pub(super) fn open(row: &[u8]) -> Result<Opened<'_>, lmbatch_core::RowError> {
    let row: Row<'_> = lmbatch_core::read_row(row)?;
    let content = match (row.error.or(row.status), row.response) {
        (Some(error), _) => RowContent::Ended(errored(error)),
        (None, Some(response)) => RowContent::Answer(response),
        (None, None) => RowContent::Ended(malformed()),
    };
    Ok(Opened {
        id: id(&row),
        content,
    })
}

/// Whose row it is: never by position.
fn id<'a>(row: &Row<'a>) -> Option<Text<'a>> {
    let key = row
        .key
        .and_then(|key| serde_json::from_str::<Text<'a>>(key.get()).ok());
    key.or_else(|| {
        let metadata = row.metadata?.get();
        serde_json::from_str::<RowMetadata<'a>>(metadata).ok()?.key
    })
}

fn errored(error: &RawValue) -> OutcomeView<'_> {
    let Ok(error) = serde_json::from_str::<RowError<'_>>(error.get()) else {
        return malformed();
    };
    // "CANCELLED: the operation was cancelled" (google.rpc.Code 1).
    if error.code == Some(1) {
        return OutcomeView::Cancelled;
    }
    let (kind, retry) = classify_code(error.code);
    OutcomeView::Errored(FailureView {
        kind,
        code: error.code.map(|code| code.to_string().into()),
        http_status: error.code.filter(|code| *code >= 100),
        message: error.message,
        retryable: retry == Retry::Temporary,
    })
}

fn malformed<'a>() -> OutcomeView<'a> {
    OutcomeView::Errored(FailureView::malformed())
}

pub(super) fn answer(response: &RawValue) -> OutcomeView<'_> {
    let Ok(response) = serde_json::from_str::<Response<'_>>(response.get()) else {
        return malformed();
    };
    let mut output = OutputView {
        items: Vec::new(),
        finish_reason: FinishReason::Stop,
        usage: response
            .usage_metadata
            .as_ref()
            .map(usage)
            .unwrap_or_default(),
        model: response.model_version,
        response_id: response.response_id,
        problem: None,
    };
    // A prompt that is blocked is a successful response without candidates.
    let blocked = response
        .prompt_feedback
        .and_then(|feedback| feedback.block_reason);
    let candidates = response.candidates.unwrap_or_default();
    if candidates.is_empty() && blocked.is_none() && output.usage == TokenUsage::default() {
        return malformed();
    }
    if blocked.is_some() {
        output.finish_reason = FinishReason::ContentFilter;
    }
    // Further candidates are kept as they came: they are other answers, not more of this one.
    for (place, raw) in candidates.into_iter().enumerate() {
        match raw.parse::<Candidate<'_>>() {
            Ok(first) if place == 0 => candidate(first, &mut output),
            _ => output.items.push(ItemView::Other(raw)),
        }
    }
    judge(&mut output);
    OutcomeView::Succeeded(output)
}

fn candidate<'a>(candidate: Candidate<'a>, output: &mut OutputView<'a>) {
    let parts = candidate.content.and_then(|content| content.parts);
    for raw in parts.into_iter().flatten() {
        part(raw, &mut output.items);
    }
    let citations = [candidate.citation_metadata, candidate.grounding_metadata];
    output
        .items
        .extend(citations.into_iter().flatten().map(ItemView::Citation));
    output.finish_reason = finish(candidate.finish_reason.as_deref());
}

// "finishReason" (google-genai 3.4.0, 2026-11). Function calls end with STOP.
fn finish(word: Option<&str>) -> FinishReason {
    match word {
        None | Some("STOP" | "FINISH_REASON_UNSPECIFIED") => FinishReason::Stop,
        Some("MAX_TOKENS") => FinishReason::Length,
        Some("CONTINUATION") => FinishReason::Paused,
        Some(
            "SAFETY"
            | "RECITATION"
            | "BLOCKLIST"
            | "PROHIBITED_CONTENT"
            | "SPII"
            | "IMAGE_SAFETY"
            | "IMAGE_PROHIBITED_CONTENT"
            | "IMAGE_RECITATION"
            | "MODEL_ARMOR",
        ) => FinishReason::ContentFilter,
        Some(other) => FinishReason::Other(other.to_ascii_lowercase()),
    }
}

fn part<'a>(raw: Json<'a>, items: &mut Vec<ItemView<'a>>) {
    let Ok(part) = raw.parse::<Part<'a>>() else {
        return items.push(ItemView::Other(raw));
    };
    if let (Some(text), Some(true)) = (part.text, part.thought) {
        return items.push(ItemView::Thinking(ThinkingView {
            text: Some(text),
            signature: part.thought_signature,
            ..ThinkingView::default()
        }));
    }
    // The seal must be sent back with the part that it came with: it stands right before it.
    if let Some(seal) = part.thought_signature {
        items.push(ItemView::Thinking(ThinkingView {
            signature: Some(seal),
            ..ThinkingView::default()
        }));
    }
    match (part.text, part.function_call, part.inline_data) {
        (Some(text), ..) => {
            if !text.is_empty() {
                items.push(ItemView::Text(text));
            }
        }
        (_, Some(call), _) => {
            let arguments = call
                .args
                .map_or(Arguments::Quoted(Text::Plain("{}")), Arguments::Value);
            items.push(ItemView::ToolCall(ToolCallView {
                // Calls without an id are answered by name.
                id: call.id.unwrap_or(call.name),
                name: call.name,
                arguments,
            }));
        }
        (_, _, Some(data)) => {
            let mime = data.mime_type.map(Text::decode).unwrap_or_default();
            items.push(ItemView::Attachment(AttachmentView {
                kind: AttachmentKind::of_mime_type(&mime),
                source: SourceView::Base64(data.data),
                mime_type: data.mime_type,
                filename: None,
            }));
        }
        _ if part.thought_signature.is_some() => {}
        _ => items.push(ItemView::Other(raw)),
    }
}

/// Why the answer may be unusable, and the finish reason that only its items show.
fn judge(output: &mut OutputView<'_>) {
    let has = |test: fn(&ItemView<'_>) -> bool| output.items.iter().any(test);
    let calls = has(|item| matches!(item, ItemView::ToolCall(_)));
    let says = has(|item| !matches!(item, ItemView::Thinking(_) | ItemView::Citation(_)));
    if output.finish_reason == FinishReason::Stop && calls {
        output.finish_reason = FinishReason::ToolUse;
    }
    output.problem = match output.finish_reason {
        FinishReason::Length | FinishReason::Paused => Some(Problem::Truncated),
        FinishReason::ContentFilter => Some(Problem::ContentFilter),
        _ if !says => Some(Problem::Empty),
        _ => None,
    };
}

/// "promptTokenCount includes cachedContentTokenCount; candidatesTokenCount excludes thoughts"
/// (google-genai 3.4.0, 2026-11). Every member may be missing.
fn usage(usage: &Value) -> TokenUsage {
    let count = |name: &str| usage.get(name).and_then(Value::as_u64).unwrap_or(0);
    let thoughts = count("thoughtsTokenCount");
    TokenUsage {
        input_tokens: count("promptTokenCount").saturating_add(count("toolUsePromptTokenCount")),
        cached_input_tokens: count("cachedContentTokenCount"),
        cache_write_tokens: 0,
        output_tokens: count("candidatesTokenCount").saturating_add(thoughts),
        thinking_tokens: thoughts,
    }
}
