//! Converts rows of results to outcomes, in the same way for every configuration: each row shows whether its key is that
//! of a file or of an inline batch.

use lmbatch_core::{
    Arguments, AttachmentKind, AttachmentView, FailureView, FinishReason, ItemView, Items,
    JsonError, JsonView, Member, NonContent, OpenedRow, OutcomeView, Outline, OutputView, Retry,
    RowContent, SourceView, Text, ThinkingView, TokenUsage, ToolCallView, read_row,
};

use crate::error::classify_row;
use crate::wire::{
    Candidate, Content, FileData, FunctionCall, InlineData, ModalityTokens, Part, PromptFeedback,
    Response, Row, RowError, RowMetadata, Usage,
};

/// Opens a row without parsing its answer.
pub(super) fn open(raw: JsonView<'_>) -> Result<OpenedRow<'_>, lmbatch_core::RowError> {
    let row: Row<'_> = read_row(raw)?;
    let errors = [row.error, row.status].into_iter();
    let error = errors
        .filter_map(Member::raw)
        .find(|error| is_error(*error));
    // An error in the row's own members, in place of a response.
    let own = || Some(raw).filter(|_| row.response.is_absent() && says(raw));
    // A bare word does not say what the row says beside it.
    let error = error.filter(|error| error.is_object() || error.is_list() || own().is_none());
    let content = match (error.or_else(own), row.response.raw()) {
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

/// Returns true if an object says in its own members what went wrong.
fn says(object: JsonView<'_>) -> bool {
    let read = object.read::<RowError<'_>>().unwrap_or_default();
    let is_code = !read.code.is_empty() && is_error(object);
    is_code || !read.message.is_empty()
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
    // A member reports an error, or none reports success.
    let said = [read.code, read.status, read.message, read.error];
    let mut words = said.into_iter().filter(|member| !member.is_absent());
    said.iter().all(|member| member.is_absent())
        || words.any(|member| !is_good(member) && !member.is_empty())
}

/// Members of a candidate that are not part of the answer, and the one that marks thinking.
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
    if let OutcomeView::Succeeded(output) = answer(response)
        && (output.holds_answer() || output.items.iter().any(is_known))
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

/// Returns a response, or an error object that stands in its place.
fn opened(response: JsonView<'_>) -> RowContent<'_> {
    match response.read::<Response<'_>>() {
        Some(found) if is_empty(found.candidates) && found.error.raw().is_some_and(is_error) => {
            RowContent::Ended(errored(response))
        }
        // An error without nesting.
        Some(found)
            if is_empty(found.candidates)
                && found.prompt_feedback.is_absent()
                && found.usage_metadata.is_absent()
                && says(response) =>
        {
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
    let mut words = None;
    // Some nest it once more, or put it into a list.
    for _ in 0..8 {
        let member = Member::from(error);
        let mut listed = error.values();
        if let Some(first) = listed.next() {
            // Of several, each says something of its own.
            let whole = listed.next().filter(|_| error.json().is_ok());
            words = words.or(whole.map(|_| Text::Plain(error.as_str())));
            error = first;
            continue;
        }
        let Some(read) = member.read::<RowError<'_>>() else {
            // A bare number is the code.
            if member.scalar_text().is_some() && member.text().is_none() {
                found.code = member;
            }
            words = words.or(member.text());
            break;
        };
        // What the error itself lacks, those around it may say.
        found = RowError {
            code: either(read.code, found.code),
            status: either(read.status, found.status),
            message: either(read.message, found.message),
            error: read.error,
        };
        let words_within = Some(read.message).filter(|words| words.holds_object());
        match read.error.raw().or(words_within.and_then(Member::raw)) {
            Some(inner) => error = inner,
            None => break,
        }
    }
    let code = found.code.scalar_text().filter(|code| !code.is_empty());
    let number = lmbatch_http::whole_member(found.code);
    let number = number.and_then(|code| u16::try_from(code).ok());
    let word = found.status.scalar_text().or(code.clone());
    let is_cancelled = |word: &str| {
        ["CANCELLED", "CANCELED"]
            .iter()
            .any(|known| word.eq_ignore_ascii_case(known))
    };
    // "CANCELLED: the operation was cancelled" (google.rpc.Code 1).
    if number == Some(1) || word.as_deref().is_some_and(is_cancelled) {
        return OutcomeView::Cancelled;
    }
    let message = words.or(found.message.text());
    // Words in a shape that is not known.
    let message = message.or_else(|| {
        let written = found.message.raw().filter(|_| !found.message.is_empty());
        let written = written.filter(|written| written.json().is_ok());
        written.map(|written| Text::Plain(written.as_str()))
    });
    if code.is_none() && word.is_none() && message.is_none() {
        return malformed();
    }
    let upper = word.as_deref().map(str::to_ascii_uppercase);
    let (kind, retry) = classify_row(number, upper.as_deref());
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

/// Returns the first of two members that is there.
fn either<'a>(one: Member<'a>, other: Member<'a>) -> Member<'a> {
    match one.is_absent() {
        true => other,
        false => one,
    }
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
/// Where a part of the answer cannot be read.
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
        // Neither an answer nor a reason for its absence, although tokens were used.
        output.items.push(ItemView::Other(raw.json()?));
    }
    // Further candidates are passed on unchanged: they are other answers, not parts of this one.
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
    let judged = OutputView::judged_with(output.items, output.finish_reason, is_known);
    Ok(OutcomeView::Succeeded(OutputView {
        usage: output.usage,
        model: output.model,
        response_id: output.response_id,
        ..judged
    }))
}

/// Returns true if a block reason means that the prompt was blocked: 0 is `BLOCK_REASON_UNSPECIFIED` of protobuf's
/// enumeration.
fn is_block(reason: Member<'_>) -> bool {
    let word = reason.scalar_text().unwrap_or_default();
    !reason.is_empty() && !matches!(&*word, "BLOCK_REASON_UNSPECIFIED" | "0" | "false")
}

/// Candidates by their index. JSON of protobuf leaves out what is 0, so that the first may have none; where none has
/// one, all stay where they are.
fn in_order<'a>(candidates: Items<'a>) -> impl Iterator<Item = JsonView<'a>> {
    let index = |raw: &JsonView<'a>| {
        let candidate = raw.read::<Candidate<'_>>()?;
        lmbatch_http::whole_member(candidate.index)
    };
    let mut candidates: Vec<JsonView<'a>> = candidates.collect();
    candidates.sort_by_key(|raw| index(raw).unwrap_or(0));
    candidates.into_iter()
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
        // Content without parts, but with members other than its role.
        (None, Some(_)) => {
            candidate.content.json()?;
            let says = candidate.content.raw().is_some_and(|content| {
                content.any_member(|name, member| name != "role" && !member.is_empty())
            });
            if says {
                items.push(ItemView::Other(raw.json()?));
            }
        }
        // There is content, and none of it can be read.
        (None, None) if !candidate.content.is_absent() => {
            items.push(ItemView::Other(raw.json()?));
        }
        // Neither an answer nor a reason for its absence.
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
        ("groundingAttributions", candidate.grounding_attributions),
        ("avgLogprobs", candidate.avg_logprobs),
    ] {
        let value = member.json()?.filter(|_| !member.is_empty());
        items.extend(value.map(|value| ItemView::Detail { name, value }));
    }
    output.finish_reason = finish(candidate.finish_reason);
    Ok(())
}

// "finishReason" (google-genai 3.4.0, 2026-11). Function calls end with STOP. A number is the word's of
// protobuf's enumeration (google.ai.generativelanguage.v1beta Candidate.FinishReason, 2026).
fn finish(reason: Member<'_>) -> FinishReason {
    let word = reason.finish_word();
    if word.as_deref().is_none_or(|word| word == "STOP") {
        return FinishReason::Stop;
    }
    match lmbatch_http::whole_member(reason) {
        Some(0 | 1) => FinishReason::Stop,
        Some(2) => FinishReason::Length,
        // SAFETY, RECITATION, BLOCKLIST, PROHIBITED_CONTENT, SPII, IMAGE_SAFETY.
        Some(3 | 4 | 7 | 8 | 9 | 11) => FinishReason::ContentFilter,
        Some(other) => FinishReason::Other(other.to_string()),
        None => {
            let word = word.unwrap_or_default().to_ascii_lowercase();
            FinishReason::of_provider(&word)
        }
    }
}

/// Reads a part. Most parts hold one item; all items of a part are returned.
fn part<'a>(raw: JsonView<'a>, items: &mut Vec<ItemView<'a>>) -> Result<(), JsonError> {
    let Some(part) = raw.read::<Part<'a>>() else {
        items.push(ItemView::Other(raw.json()?));
        return Ok(());
    };
    let signature = part.thought_signature.text();
    let is_thought = part.thought.scalar_text().as_deref() == Some("true");
    let text = part.text.text();
    // The signature must be sent back with the part that it came with: it precedes that part.
    if signature.is_some() || (is_thought && text.is_some()) {
        items.push(ItemView::Thinking(ThinkingView {
            text: text.filter(|_| is_thought),
            signature,
            ..ThinkingView::default()
        }));
    }
    let said = text.filter(|text| !is_thought && !text.is_empty());
    items.extend(said.map(ItemView::Text));
    let call = part.function_call.read::<FunctionCall<'a>>();
    let call = call.and_then(|call| Some((call.name.some_text()?, call)));
    let mut is_call_read = false;
    if let (Some((name, call)), Some(whole)) = (call, part.function_call.raw()) {
        let arguments = Arguments::of(call.args)?;
        is_call_read = !arguments.are_elsewhere(whole, "args");
        let call = match call.id.some_text() {
            Some(id) => ToolCallView {
                id: id.decode(),
                name,
                arguments,
            },
            None => ToolCallView::without_id(name, arguments, items),
        };
        if is_call_read {
            items.push(ItemView::ToolCall(call));
        }
    }
    if !is_call_read && !part.function_call.is_empty() {
        items.push(ItemView::UnreadCall(raw.json()?));
        return Ok(());
    }
    let call = Some(()).filter(|()| is_call_read);
    let inline = part.inline_data.read::<InlineData<'a>>();
    let data = inline.and_then(|inline| Some((inline.data.some_text()?, inline.mime_type.text())));
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
    // Other members are passed on unchanged. Next to members that are read, only objects and lists are: they hold
    // content, such as code that the provider ran.
    let is_left = raw.any_member(|name, member| {
        let is_content = || !says || member.scalar_text().is_none();
        !is_read(name) && !member.is_empty() && is_content()
    });
    // An empty text is no content; a part without a known member may have content.
    if is_left || (!says && text.is_none() && signature.is_none()) {
        items.push(ItemView::Other(raw.json()?));
    }
    Ok(())
}

/// Members that describe a part and are not its content.
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

/// Parts that are passed on as they came: code that the provider ran, and what it gave, and files that it made.
fn is_known(item: &ItemView<'_>) -> bool {
    let ItemView::Other(raw) = item else {
        return false;
    };
    let mut outline = Outline::new();
    let Ok(raw) = outline.read(raw.as_str()) else {
        return false;
    };
    raw.any_member(|name, member| match name {
        "executableCode" | "executable_code" | "codeExecutionResult" | "code_execution_result" => {
            !member.is_empty()
        }
        "fileData" | "file_data" => {
            let file = member.read::<FileData<'_>>();
            file.is_some_and(|file| file.uri.some_text().is_some())
        }
        _ => false,
    })
}

/// "promptTokenCount includes cachedContentTokenCount; candidatesTokenCount excludes thoughts"
/// (google-genai 3.4.0, 2026-11). Counts may be numbers, floats or strings. An absent count is 0; if a
/// count cannot be read, or only unknown ones are present, the usage is unknown.
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
