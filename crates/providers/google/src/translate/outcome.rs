//! Rows of results into outcomes. Independent of how the provider is configured: rows of files and inline
//! rows differ by where the key is, and say so themselves.

use lmbatch_core::{
    Arguments, AttachmentKind, AttachmentView, FailureView, FinishReason, ItemView, Items, Json,
    JsonError, JsonView, Member, NonContent, OpenedRow, OutcomeView, Outline, OutputView, Problem,
    Retry, RowContent, SourceView, Text, ThinkingView, TokenUsage, ToolCallView, read_row,
};

use crate::error::classify_row;
use crate::wire::{
    Candidate, Content, FunctionCall, InlineData, ModalityTokens, Part, PromptFeedback, Response,
    Row, RowError, RowMetadata, Usage,
};

/// The answer itself stays shut.
pub(super) fn open(row: JsonView<'_>) -> Result<OpenedRow<'_>, lmbatch_core::RowError> {
    let row: Row<'_> = read_row(row)?;
    let errors = [row.error, row.status].into_iter();
    let error = errors
        .filter_map(Member::raw)
        .find(|error| is_error(*error));
    let content = match (error, row.response.raw()) {
        (None, Some(response)) => opened(response),
        // A row that holds an answer was paid for; the answer is kept even if there is an error too.
        (Some(_), Some(response)) if is_answer(response) => RowContent::Answer(response),
        (Some(error), _) => RowContent::Ended(errored(error)),
        (None, None) => RowContent::Ended(malformed()),
    };
    Ok(OpenedRow {
        id: id(&row),
        content,
    })
}

/// Returns true if the error or the status of a row reports an error: `OK`, the code 0 of gRPC, the states of a
/// batch that succeeded, and what is empty do not.
fn is_error(error: JsonView<'_>) -> bool {
    const GOOD: [&str; 6] = [
        "",
        "0",
        "OK",
        "SUCCEEDED",
        "JOB_STATE_SUCCEEDED",
        "BATCH_STATE_SUCCEEDED",
    ];
    let is_good = |member: Member<'_>| {
        let word = member.scalar_text();
        word.is_some_and(|word| GOOD.iter().any(|good| word.eq_ignore_ascii_case(good)))
    };
    let member = Member::from(error);
    if member.is_empty() || is_good(member) || member.scalar_text().as_deref() == Some("false") {
        return false;
    }
    let Some(read) = member.read::<RowError<'_>>() else {
        return true;
    };
    // Something is said beside what is good, or nothing is good.
    let said = [read.code, read.status, read.message, read.error];
    let mut words = said.into_iter().filter(|member| !member.is_absent());
    said.iter().all(|member| member.is_absent())
        || words.any(|member| !is_good(member) && !member.is_empty())
}

/// Members of a candidate that are not what was answered, and the one that marks thoughts.
const NON_CONTENT: NonContent = NonContent {
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

/// Returns true if a response holds an answer, which is kept even if there is an error too. An unreadable answer
/// was paid for as well.
fn is_answer(response: JsonView<'_>) -> bool {
    let has_known = |item: &ItemView<'_>| matches!(item, ItemView::Other(raw) if is_known(raw));
    if let OutcomeView::Succeeded(output) = answer(response)
        && (output.holds_answer() || output.items.iter().any(has_known))
    {
        return true;
    }
    match response.read::<Response<'_>>() {
        Some(found) => found.candidates.has_content(&NON_CONTENT),
        None => response.is_object(),
    }
}

/// Returns true if the candidates hold no object.
fn is_empty(candidates: Member<'_>) -> bool {
    !candidates.holds_object()
}

/// A response, unless it is an error in its place.
fn opened(response: JsonView<'_>) -> RowContent<'_> {
    match response.read::<Response<'_>>() {
        Some(found) if is_empty(found.candidates) && found.error.raw().is_some_and(is_error) => {
            RowContent::Ended(errored(response))
        }
        _ => RowContent::Answer(response),
    }
}

/// Returns the request id of a row; rows are never matched by position.
fn id<'a>(row: &Row<'a>) -> Option<Text<'a>> {
    let metadata = || row.metadata.read::<RowMetadata<'a>>();
    row.key.text().or_else(|| metadata()?.key.text())
}

fn errored(error: JsonView<'_>) -> OutcomeView<'_> {
    let mut error = error;
    let mut found = RowError::default();
    // Some nest it once more, or put it into a list.
    for _ in 0..4 {
        let member = Member::from(error);
        if let Some(first) = error.values().next() {
            error = first;
            continue;
        }
        let Some(read) = member.read::<RowError<'_>>() else {
            // A bare number is the code.
            if member.scalar_text().is_some() && member.text().is_none() {
                found.code = member;
            }
            break;
        };
        found = read;
        match found.error.raw() {
            Some(inner) => error = inner,
            None => break,
        }
    }
    let code = found.code.scalar_text();
    let number = lmbatch_http::whole_member(found.code);
    let number = number.and_then(|code| u16::try_from(code).ok());
    let word = found.status.scalar_text().or(code.clone());
    // "CANCELLED: the operation was cancelled" (google.rpc.Code 1).
    if number == Some(1) || word.as_deref() == Some("CANCELLED") {
        return OutcomeView::Cancelled;
    }
    let message = found.message.text();
    let message = message.or_else(|| error.text());
    if code.is_none() && word.is_none() && message.is_none() {
        return malformed();
    }
    let (kind, retry) = classify_row(number, word.as_deref());
    OutcomeView::Errored(FailureView {
        kind,
        code: number
            .map(|number| number.to_string().into())
            .or(code)
            .or(word),
        http_status: number.filter(|code| *code >= 100),
        message,
        retryable: retry == Retry::Temporary,
    })
}

fn malformed<'a>() -> OutcomeView<'a> {
    OutcomeView::Errored(FailureView::malformed())
}

pub(super) fn answer(response: JsonView<'_>) -> OutcomeView<'_> {
    read(response).unwrap_or_else(|_| malformed())
}

/// Reads an answer.
///
/// # Errors
/// Where something of it is there and cannot be passed on.
fn read(raw: JsonView<'_>) -> Result<OutcomeView<'_>, JsonError> {
    let Some(response) = raw.read::<Response<'_>>() else {
        return Ok(malformed());
    };
    let mut output = OutputView {
        items: Vec::new(),
        finish_reason: FinishReason::Stop,
        usage: response.usage_metadata.read().and_then(usage),
        model: response.model_version.text(),
        response_id: response.response_id.text(),
        problem: None,
    };
    // A prompt that is blocked is a successful response without candidates.
    let feedback = response.prompt_feedback.read::<PromptFeedback<'_>>();
    let is_blocked = feedback.is_some_and(|feedback| is_block(feedback.block_reason));
    let candidates = response.candidates.items()?;
    if candidates.is_empty() && !is_blocked {
        if response.usage_metadata.is_absent() {
            return Ok(malformed());
        }
        // Neither an answer nor a word of why there is none, though tokens were used.
        output.items.push(ItemView::Other(raw.json()?));
    }
    // Further candidates are kept as they came: they are other answers, not more of this one.
    let mut rest = candidates.clone();
    if let (Some(only), None) = (rest.next(), rest.next()) {
        first(only, &mut output)?;
    } else {
        let mut candidates = in_order(candidates);
        if let Some(lowest) = candidates.next() {
            first(lowest, &mut output)?;
        }
        for raw in candidates {
            output.items.push(ItemView::Other(raw.json()?));
        }
    }
    if is_blocked && output.finish_reason == FinishReason::Stop && !output.holds_answer() {
        output.finish_reason = FinishReason::ContentFilter;
    }
    if let Some(value) = response.prompt_feedback.json()? {
        let name = "promptFeedback";
        output.items.push(ItemView::Detail { name, value });
    }
    judge(&mut output);
    Ok(OutcomeView::Succeeded(output))
}

/// Returns true if a block reason means that the prompt was blocked: 0 is `BLOCK_REASON_UNSPECIFIED` of protobuf's
/// enumeration.
fn is_block(reason: Member<'_>) -> bool {
    let word = reason.scalar_text().unwrap_or_default();
    !reason.is_empty() && !matches!(&*word, "BLOCK_REASON_UNSPECIFIED" | "0" | "false")
}

/// Candidates by their index; those that say none stay where they are.
fn in_order<'a>(candidates: Items<'a>) -> impl Iterator<Item = JsonView<'a>> {
    let index = |raw: JsonView<'a>| {
        let candidate = raw.read::<Candidate<'_>>()?;
        lmbatch_http::whole_member(candidate.index)
    };
    let mut placed: Vec<(u64, JsonView<'a>)> = candidates
        .enumerate()
        .map(|(place, raw)| (index(raw).unwrap_or(place as u64), raw))
        .collect();
    placed.sort_by_key(|(index, _)| *index);
    placed.into_iter().map(|(_, raw)| raw)
}

/// Reads the candidate that is the answer.
fn first<'a>(raw: JsonView<'a>, output: &mut OutputView<'a>) -> Result<(), JsonError> {
    match raw.read::<Candidate<'_>>() {
        Some(read) => candidate(raw, &read, output)?,
        None => output.items.push(ItemView::Other(raw.json()?)),
    }
    Ok(())
}

fn candidate<'a>(
    raw: JsonView<'a>,
    candidate: &Candidate<'a>,
    output: &mut OutputView<'a>,
) -> Result<(), JsonError> {
    let items = &mut output.items;
    match (
        candidate.content.text(),
        candidate.content.read::<Content<'a>>(),
    ) {
        (Some(text), _) => items.extend((!text.is_empty()).then_some(ItemView::Text(text))),
        (None, Some(content)) if !content.parts.is_absent() => {
            for raw in content.parts.items()? {
                part(raw, items)?;
            }
        }
        // Content without parts, and something beside its role.
        (None, Some(_)) => {
            candidate.content.json()?;
            let says = candidate.content.raw().is_some_and(|content| {
                content.any_member(|name, member| name != "role" && !member.is_empty())
            });
            if says {
                items.push(ItemView::Other(raw.json()?));
            }
        }
        // Something is there, and nothing of it can be read.
        (None, None) if !candidate.content.is_absent() => {
            items.push(ItemView::Other(raw.json()?));
        }
        // Neither an answer nor a word of why there is none.
        (None, None) if candidate.finish_reason.is_absent() => {
            items.push(ItemView::Other(raw.json()?));
        }
        (None, None) => {}
    }
    let citations = [candidate.citation_metadata, candidate.grounding_metadata];
    for member in citations {
        items.extend(member.json()?.map(ItemView::Citation));
    }
    for (name, member) in [
        ("finishMessage", candidate.finish_message),
        ("safetyRatings", candidate.safety_ratings),
        ("logprobsResult", candidate.logprobs_result),
        ("urlContextMetadata", candidate.url_context_metadata),
    ] {
        let value = member.json()?.filter(|_| !member.is_empty());
        items.extend(value.map(|value| ItemView::Detail { name, value }));
    }
    output.finish_reason = finish(candidate.finish_reason.scalar_text().as_deref());
    Ok(())
}

// "finishReason" (google-genai 3.4.0, 2026-11). Function calls end with STOP. A number is the word's of
// protobuf's enumeration (google.ai.generativelanguage.v1beta Candidate.FinishReason, 2026).
fn finish(word: Option<&str>) -> FinishReason {
    if word.is_none_or(|word| word == "STOP") {
        return FinishReason::Stop;
    }
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

/// Reads a part. Most hold one thing; one that holds several says all of them.
fn part<'a>(raw: JsonView<'a>, items: &mut Vec<ItemView<'a>>) -> Result<(), JsonError> {
    let Some(part) = raw.read::<Part<'a>>() else {
        items.push(ItemView::Other(raw.json()?));
        return Ok(());
    };
    let seal = part.thought_signature.text();
    let is_thought = part.thought.scalar_text().as_deref() == Some("true");
    let text = part.text.text();
    // The seal must be sent back with the part that it came with: it stands right before it.
    if seal.is_some() || (is_thought && text.is_some()) {
        items.push(ItemView::Thinking(ThinkingView {
            text: text.filter(|_| is_thought),
            signature: seal,
            ..ThinkingView::default()
        }));
    }
    let said = text.filter(|text| !is_thought && !text.is_empty());
    items.extend(said.map(ItemView::Text));
    let call = part.function_call.read::<FunctionCall<'a>>();
    let call = call.and_then(|call| Some((call.name.some_text()?, call)));
    if let Some((name, call)) = call {
        let arguments = Arguments::of(call.args)?;
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
    let inline = part.inline_data.read::<InlineData<'a>>();
    let data = inline.and_then(|inline| Some((inline.data.text()?, inline.mime_type.text())));
    if let Some((data, mime_type)) = data {
        let mime = mime_type.map(Text::decode).unwrap_or_default();
        items.push(ItemView::Attachment(AttachmentView {
            kind: AttachmentKind::of_mime_type(&mime),
            source: SourceView::Base64(data),
            mime_type,
            filename: None,
        }));
    }
    let read = [
        ("text", text.is_some()),
        ("functionCall", call.is_some()),
        ("function_call", call.is_some()),
        ("inlineData", data.is_some()),
        ("inline_data", data.is_some()),
    ];
    let is_read = |name: &str| {
        ABOUT.contains(&name)
            || read
                .iter()
                .any(|(known, is_read)| *known == name && *is_read)
    };
    let is_thinking = is_thought && text.is_some();
    let says = said.is_some() || call.is_some() || data.is_some() || is_thinking;
    // What else is there is passed on as it came. Beside what is read that is objects and lists only: those hold
    // content, such as code that the provider ran.
    let is_left = raw.any_member(|name, member| {
        let is_content = || !says || member.scalar_text().is_none();
        !is_read(name) && !member.is_empty() && is_content()
    });
    // A text that is empty says nothing; a part without a member that is known may say something.
    if is_left || (!says && text.is_none() && seal.is_none()) {
        items.push(ItemView::Other(raw.json()?));
    }
    Ok(())
}

/// Members that say something of a part, and are no content of it.
const ABOUT: [&str; 9] = [
    "thought",
    "thoughtSignature",
    "thought_signature",
    "videoMetadata",
    "video_metadata",
    "partMetadata",
    "part_metadata",
    "mediaResolution",
    "media_resolution",
];

/// Parts that are passed on as they came: code that the provider ran, and what it gave.
fn is_known(raw: &Json<'_>) -> bool {
    const KNOWN: [&str; 6] = [
        "executableCode",
        "executable_code",
        "codeExecutionResult",
        "code_execution_result",
        "fileData",
        "file_data",
    ];
    let mut outline = Outline::new();
    let Ok(raw) = outline.read(raw.as_str()) else {
        return false;
    };
    raw.any_member(|name, member| KNOWN.contains(&name) && !member.is_empty())
}

/// Reasons of an end that is a failure of the model or of the provider, also after partial output, as words
/// and as numbers of protobuf's enumeration.
const FAILED: [&str; 21] = [
    "other",
    "language",
    "malformed_function_call",
    "unexpected_tool_call",
    "too_many_tool_calls",
    "image_other",
    "no_image",
    "missing_thought_signature",
    "malformed_response",
    "error",
    "failed",
    "5",
    "6",
    "10",
    "12",
    "13",
    "14",
    "15",
    "16",
    "17",
    "18",
];

/// Sets the problem of an unusable answer, and the finish reason that only its items show.
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
    output.problem = match &output.finish_reason {
        FinishReason::Length | FinishReason::Paused => Some(Problem::Truncated),
        FinishReason::ContentFilter => Some(Problem::ContentFilter),
        _ if others && !says => Some(Problem::Unrecognized),
        FinishReason::Other(word) if FAILED.contains(&word.as_str()) && (says || others) => {
            Some(Problem::Unrecognized)
        }
        _ if says => None,
        _ if others => Some(Problem::Unrecognized),
        _ => Some(Problem::Empty),
    };
}

/// "promptTokenCount includes cachedContentTokenCount; candidatesTokenCount excludes thoughts"
/// (google-genai 3.4.0, 2026-11). Numbers, floats or strings; a count that is not there is 0, and where one that
/// is there cannot be read, or where there are only others, the usage is unknown.
fn usage(usage: Usage<'_>) -> Option<TokenUsage> {
    let count = |member: Member<'_>| match member.is_absent() {
        true => Some(0),
        false => lmbatch_http::whole_member(member),
    };
    if usage.prompt.is_absent() && usage.candidates.is_absent() {
        return None;
    }
    let thoughts = count(usage.thoughts)?;
    let mut audio = 0_u64;
    for details in usage.prompt_details.list().into_iter().flatten() {
        let details: ModalityTokens<'_> = details.read().unwrap_or_default();
        if details.modality.scalar_text().as_deref() == Some("AUDIO") {
            audio = audio.saturating_add(count(details.count)?);
        }
    }
    Some(TokenUsage {
        input_tokens: count(usage.prompt)?.saturating_add(count(usage.tool_use_prompt)?),
        cached_input_tokens: count(usage.cached)?,
        cache_write_tokens: 0,
        cache_write_1h_tokens: 0,
        audio_input_tokens: audio,
        output_tokens: count(usage.candidates)?.saturating_add(thoughts),
        thinking_tokens: thoughts,
    })
}
