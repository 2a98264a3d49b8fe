//! Rows of results into outcomes. Independent of how the provider is configured: rows of files and inline
//! rows differ by where the key is, and say so themselves.

use lmbatch_core::{
    Arguments, Asides, AttachmentKind, AttachmentView, FailureView, FinishReason, ItemView, Json,
    Member, Opened, OutcomeView, OutputView, Problem, Retry, RowContent, SourceView, Text,
    ThinkingView, TokenUsage, ToolCallView,
};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::error::classify_row;
use crate::wire::{
    Candidate, Content, FunctionCall, InlineData, Part, PromptFeedback, Response, Row, RowError,
    RowMetadata,
};

/// The answer itself stays shut.
pub(super) fn open(row: &[u8]) -> Result<Opened<'_>, lmbatch_core::RowError> {
    let row: Row<'_> = lmbatch_core::read_row(row)?;
    let content = match (row.error.or(row.status), row.response) {
        (None, Some(response)) => opened(response),
        // What was answered was paid for, whatever stands beside it.
        (Some(_), Some(response)) if is_answer(response) => RowContent::Answer(response),
        (Some(error), _) => RowContent::Ended(errored(error)),
        (None, None) => RowContent::Ended(malformed()),
    };
    Ok(Opened {
        id: id(&row),
        content,
    })
}

/// Members of a candidate that are not what was answered, and the one that marks thoughts.
const ASIDES: Asides = Asides {
    members: &[
        "citationMetadata",
        "finishMessage",
        "finishReason",
        "groundingAttributions",
        "groundingMetadata",
        "id",
        "logprobsResult",
        "partMetadata",
        "role",
        "safetyRatings",
        "thoughtSignature",
        "urlContextMetadata",
    ],
    types: &[],
    flags: &["thought"],
};

/// Whether a response holds an answer that is kept though an error stands beside it. One that is there and cannot
/// be read was paid for as well.
fn is_answer(response: &RawValue) -> bool {
    let has_known = |item: &ItemView<'_>| matches!(item, ItemView::Other(raw) if is_known(raw));
    if let OutcomeView::Succeeded(output) = answer(response)
        && (output.holds_answer() || output.items.iter().any(has_known))
    {
        return true;
    }
    match serde_json::from_str::<Response<'_>>(response.get()) {
        Ok(found) => found.candidates.says_something(&ASIDES),
        Err(_) => response.get().starts_with('{'),
    }
}

/// Whether candidates hold no object.
fn is_empty(candidates: Member<'_>) -> bool {
    !candidates.holds_object()
}

/// A response, unless it is an error in its place.
fn opened(response: &RawValue) -> RowContent<'_> {
    match serde_json::from_str::<Response<'_>>(response.get()) {
        Ok(found) if is_empty(found.candidates) && !found.error.is_absent() => {
            RowContent::Ended(errored(response))
        }
        _ => RowContent::Answer(response),
    }
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
    let mut error = error;
    let mut found = RowError::default();
    // Some nest it once more.
    for _ in 0..3 {
        let Ok(read) = serde_json::from_str::<RowError<'_>>(error.get()) else {
            break;
        };
        found = read;
        match found.error.raw() {
            Some(inner) => error = inner,
            None => break,
        }
    }
    let code = found.code.word();
    let number = code.as_deref().and_then(|code| code.parse::<u16>().ok());
    let word = found.status.word().or(code.clone());
    // "CANCELLED: the operation was cancelled" (google.rpc.Code 1).
    if number == Some(1) || word.as_deref() == Some("CANCELLED") {
        return OutcomeView::Cancelled;
    }
    let message = found.message.text();
    let message = message.or_else(|| serde_json::from_str(error.get()).ok());
    if code.is_none() && word.is_none() && message.is_none() {
        return malformed();
    }
    let (kind, retry) = classify_row(number, word.as_deref());
    OutcomeView::Errored(FailureView {
        kind,
        code: code.or(word),
        http_status: number.filter(|code| *code >= 100),
        message,
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
            .read::<Value>()
            .as_ref()
            .and_then(usage),
        model: response.model_version.text(),
        response_id: response.response_id.text(),
        problem: None,
    };
    // A prompt that is blocked is a successful response without candidates.
    let feedback = response.prompt_feedback.read::<PromptFeedback<'_>>();
    let is_blocked = feedback.is_some_and(|feedback| !feedback.block_reason.is_absent());
    // Nested too deeply, as a whole or in one of its parts.
    if !response.candidates.is_absent() && response.candidates.json().is_none() {
        return malformed();
    }
    let candidates = in_order(response.candidates);
    if candidates.is_empty() && !is_blocked && output.usage.is_none() {
        return malformed();
    }
    if is_blocked {
        output.finish_reason = FinishReason::ContentFilter;
    }
    // Further candidates are kept as they came: they are other answers, not more of this one.
    for (place, raw) in candidates.into_iter().enumerate() {
        match raw.parse::<Candidate<'_>>() {
            Ok(first) if place == 0 => candidate(raw, &first, &mut output),
            _ => output.items.push(ItemView::Other(raw)),
        }
    }
    if let Some(value) = response.prompt_feedback.json() {
        let name = "promptFeedback";
        output.items.push(ItemView::Detail { name, value });
    }
    judge(&mut output);
    OutcomeView::Succeeded(output)
}

/// Candidates by their index; those that say none stay where they are.
fn in_order(candidates: Member<'_>) -> Vec<Json<'_>> {
    let index = |raw: &Json<'_>| {
        let candidate = raw.parse::<Candidate<'_>>().ok()?;
        lmbatch_http::whole(&candidate.index.read::<Value>()?)
    };
    let mut placed: Vec<(u64, Json<'_>)> = candidates
        .items()
        .into_iter()
        .enumerate()
        .map(|(place, raw)| (index(&raw).unwrap_or(place as u64), raw))
        .collect();
    placed.sort_by_key(|(index, _)| *index);
    placed.into_iter().map(|(_, raw)| raw).collect()
}

fn candidate<'a>(raw: Json<'a>, candidate: &Candidate<'a>, output: &mut OutputView<'a>) {
    let items = &mut output.items;
    match (
        candidate.content.text(),
        candidate.content.read::<Content<'a>>(),
    ) {
        (Some(text), _) => items.push(ItemView::Text(text)),
        (None, Some(content)) => content
            .parts
            .items()
            .into_iter()
            .for_each(|raw| part(raw, items)),
        // Something is there, and nothing of it can be read.
        (None, None) if !candidate.content.is_absent() => items.push(ItemView::Other(raw)),
        // Neither an answer nor a word of why there is none.
        (None, None) if candidate.finish_reason.is_absent() => items.push(ItemView::Other(raw)),
        (None, None) => {}
    }
    let citations = [candidate.citation_metadata, candidate.grounding_metadata];
    let citations = citations.iter().filter_map(|member| member.json());
    items.extend(citations.map(ItemView::Citation));
    for (name, member) in [
        ("finishMessage", candidate.finish_message),
        ("safetyRatings", candidate.safety_ratings),
        ("logprobsResult", candidate.logprobs_result),
        ("urlContextMetadata", candidate.url_context_metadata),
    ] {
        let value = member
            .json()
            .filter(|value| !matches!(value.as_str(), "[]" | "{}"));
        items.extend(value.map(|value| ItemView::Detail { name, value }));
    }
    output.finish_reason = finish(candidate.finish_reason.word().as_deref());
}

// "finishReason" (google-genai 3.4.0, 2026-11). Function calls end with STOP. A number is the word's of
// protobuf's enumeration (google.ai.generativelanguage.v1beta Candidate.FinishReason, 2026).
fn finish(word: Option<&str>) -> FinishReason {
    let word = word.map(str::to_ascii_uppercase);
    match word.as_deref() {
        None | Some("STOP" | "FINISH_REASON_UNSPECIFIED" | "0" | "1") => FinishReason::Stop,
        Some("MAX_TOKENS" | "2") => FinishReason::Length,
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
            | "MODEL_ARMOR"
            | "3"
            | "4"
            | "7"
            | "8"
            | "9"
            | "11",
        ) => FinishReason::ContentFilter,
        Some(other) => FinishReason::Other(other.to_ascii_lowercase()),
    }
}

fn part<'a>(raw: Json<'a>, items: &mut Vec<ItemView<'a>>) {
    let Ok(part) = raw.parse::<Part<'a>>() else {
        return items.push(ItemView::Other(raw));
    };
    let seal = part.thought_signature.text();
    if let (Some(text), Some("true")) = (part.text.text(), part.thought.word().as_deref()) {
        return items.push(ItemView::Thinking(ThinkingView {
            text: Some(text),
            signature: seal,
            ..ThinkingView::default()
        }));
    }
    // The seal must be sent back with the part that it came with: it stands right before it.
    if let Some(seal) = seal {
        items.push(ItemView::Thinking(ThinkingView {
            signature: Some(seal),
            ..ThinkingView::default()
        }));
    }
    let call = part.function_call.read::<FunctionCall<'a>>();
    let data = part.inline_data.read::<InlineData<'a>>();
    match (part.text.text(), call, data) {
        (Some(text), ..) => {
            if !text.is_empty() {
                items.push(ItemView::Text(text));
            }
        }
        (_, Some(call), _) => {
            let (name, arguments) = (call.name, Arguments::of(call.args));
            let call = match call.id.some_text() {
                Some(id) => ToolCallView {
                    id: id.decode(),
                    name,
                    arguments,
                },
                None => ToolCallView::without_id(name, arguments, items),
            };
            items.push(ItemView::ToolCall(call));
        }
        (_, _, Some(data)) => {
            let mime_type = data.mime_type.text();
            let mime = mime_type.map(Text::decode).unwrap_or_default();
            items.push(ItemView::Attachment(AttachmentView {
                kind: AttachmentKind::of_mime_type(&mime),
                source: SourceView::Base64(data.data),
                mime_type,
                filename: None,
            }));
        }
        _ if seal.is_some() => {}
        _ => items.push(ItemView::Other(raw)),
    }
}

/// Parts that are passed on as they came: code that the provider ran, and what it gave.
fn is_known(raw: &Json<'_>) -> bool {
    let members = raw
        .parse::<serde_json::Map<String, Value>>()
        .unwrap_or_default();
    ["executableCode", "codeExecutionResult", "fileData"]
        .iter()
        .any(|name| members.contains_key(*name))
}

/// Why the answer may be unusable, and the finish reason that only its items show.
fn judge(output: &mut OutputView<'_>) {
    let has = |test: fn(&ItemView<'_>) -> bool| output.items.iter().any(test);
    let calls = has(|item| matches!(item, ItemView::ToolCall(_)));
    let says = has(|item| match item {
        ItemView::Other(raw) => is_known(raw),
        ItemView::Thinking(_) | ItemView::Citation(_) | ItemView::Detail { .. } => false,
        _ => true,
    });
    let others = has(|item| matches!(item, ItemView::Other(_)));
    if output.finish_reason == FinishReason::Stop && calls {
        output.finish_reason = FinishReason::ToolUse;
    }
    output.problem = match output.finish_reason {
        FinishReason::Length | FinishReason::Paused => Some(Problem::Truncated),
        FinishReason::ContentFilter => Some(Problem::ContentFilter),
        _ if says => None,
        _ if others => Some(Problem::Unrecognized),
        _ => Some(Problem::Empty),
    };
}

/// "promptTokenCount includes cachedContentTokenCount; candidatesTokenCount excludes thoughts"
/// (google-genai 3.4.0, 2026-11). Numbers, floats or strings; every member may be missing, and where all are
/// the usage is unknown.
fn usage(usage: &Value) -> Option<TokenUsage> {
    let find = |name: &str| lmbatch_http::whole(usage.get(name)?);
    let count = |name: &str| find(name).unwrap_or(0);
    let totals = [
        "promptTokenCount",
        "candidatesTokenCount",
        "totalTokenCount",
    ];
    totals.iter().find_map(|name| find(name))?;
    let thoughts = count("thoughtsTokenCount");
    Some(TokenUsage {
        input_tokens: count("promptTokenCount").saturating_add(count("toolUsePromptTokenCount")),
        cached_input_tokens: count("cachedContentTokenCount"),
        cache_write_tokens: 0,
        output_tokens: count("candidatesTokenCount").saturating_add(thoughts),
        thinking_tokens: thoughts,
    })
}
