//! Items of an answer, of either endpoint.

use std::borrow::Cow;

use lmbatch_core::{
    Arguments, AttachmentKind, AttachmentView, ItemView, Items, JsonError, JsonView, Member,
    NonContent, Outline, SourceView, Text, ThinkingView, ToolCallView,
};

use crate::wire::{Audio, ChatFunction, ChatMessage, ChatToolCall, Choice, Item, Part};

/// Types of output items other than messages and function calls; an answer may consist of these alone.
const MADE: &[&str] = &[
    "image_generation_call",
    "custom_tool_call",
    "computer_call",
    "mcp_approval_request",
    "local_shell_call",
    "shell_call",
    "apply_patch_call",
];

/// Members of an answer that are not what was answered, and types of items on the way to an answer.
pub(super) const NON_CONTENT: NonContent = NonContent {
    members: &[
        "annotations",
        "call_id",
        "citations",
        "content_filter_results",
        "encrypted_content",
        "error",
        "finish_reason",
        "id",
        "incomplete_details",
        "logprobs",
        "model",
        "object",
        "phase",
        "reasoning",
        "reasoning_content",
        "reasoning_details",
        "role",
        "status",
        "stop_reason",
        "thinking",
    ],
    types: &[
        "code_interpreter_call",
        "compaction",
        "file_search_call",
        "mcp_call",
        "mcp_list_tools",
        "reasoning",
        "reasoning_text",
        "summary_text",
        "thinking",
        "tool_search_call",
        "tool_search_output",
        "web_search_call",
    ],
    flags: &[],
};

/// Returns true if an item is output for the caller whose JSON is passed on unchanged.
pub(super) fn is_made(item: &ItemView<'_>) -> bool {
    let ItemView::Other(raw) = item else {
        return false;
    };
    let mut outline = Outline::new();
    let item = outline.read(raw.as_str()).ok();
    let item = item.and_then(|item| item.read::<Item<'_>>());
    let word = item.and_then(|item| item.r#type.scalar_text());
    word.is_some_and(|word| MADE.contains(&&*word))
}

/// Reads the items of a response. Messages that say that they are commentary are on the way to the answer; where
/// one says that it is the final answer, so are those that say anything else.
pub(super) fn of_response<'a>(
    list: Items<'a>,
    items: &mut Vec<ItemView<'a>>,
) -> Result<(), JsonError> {
    let mut read = list.clone().filter_map(JsonView::read::<Item<'a>>);
    let has_final = read.any(is_final);
    for raw in list {
        let Some(found) = raw.read::<Item<'a>>() else {
            items.push(ItemView::Other(raw.json()?));
            continue;
        };
        let at = items.len();
        item(raw, &found, items)?;
        if is_commentary(found, has_final) {
            for item in &mut items[at..] {
                if let ItemView::Text(text) = item {
                    *item = ItemView::Commentary(*text);
                }
            }
        }
    }
    Ok(())
}

// "phase: commentary, final_answer" (OpenAI's OpenAPI document 2.3.0, 2026-08-21).
fn is_final(item: Item<'_>) -> bool {
    let phase = item.phase.some_text().map(Text::decode).unwrap_or_default();
    ["final_answer", "final"]
        .iter()
        .any(|word| phase.eq_ignore_ascii_case(word))
}

/// Returns true if a message is commentary before the final answer. An unknown phase does not make the only message
/// commentary.
fn is_commentary(item: Item<'_>, has_final: bool) -> bool {
    let phase = item.phase.some_text().map(Text::decode);
    phase.is_some_and(|phase| {
        phase.eq_ignore_ascii_case("commentary") || (has_final && !is_final(item))
    })
}

fn item<'a>(
    raw: JsonView<'a>,
    item: &Item<'a>,
    items: &mut Vec<ItemView<'a>>,
) -> Result<(), JsonError> {
    match (item.r#type.scalar_text().as_deref(), item.name.some_text()) {
        (Some("message"), _) => {
            content(item.content, raw, items)?;
            if item.content.is_absent() && says_otherwise(raw, MESSAGE) {
                items.push(ItemView::Other(raw.json()?));
            }
        }
        (Some("function_call"), Some(name)) => {
            let id = item.call_id.some_text().or(item.id.some_text());
            call(id, name, Arguments::of(item.arguments)?, items);
        }
        (Some("reasoning"), _) => {
            let parts = item.summary.items()?.chain(item.content.items()?);
            let mut texts = parts.filter_map(|raw| match raw.read::<Part<'a>>() {
                Some(part) => part.text.text(),
                None => raw.text(),
            });
            let whole = ThinkingView {
                text: texts.next(),
                id: item.id.text(),
                signature: None,
                data: item.encrypted_content.text(),
            };
            items.push(ItemView::Thinking(whole));
            // Further parts bear the same id, by which they are joined when they are sent back.
            items.extend(texts.map(|text| {
                ItemView::Thinking(ThinkingView {
                    text: Some(text),
                    data: None,
                    ..whole
                })
            }));
        }
        _ => items.push(ItemView::Other(raw.json()?)),
    }
    Ok(())
}

/// Members of a message of either endpoint that are read, or that say nothing of an answer.
const MESSAGE: &[&str] = &[
    "type",
    "id",
    "status",
    "phase",
    "role",
    "name",
    "content",
    "refusal",
    "reasoning",
    "reasoning_content",
    "reasoning_details",
    "thinking_blocks",
    "provider_specific_fields",
    "prefix",
    "tool_calls",
    "function_call",
    "annotations",
    "audio",
    "images",
];

/// Returns true if an object has non-empty members other than the named ones.
fn says_otherwise(raw: JsonView<'_>, names: &[&str]) -> bool {
    raw.any_member(|name, member| !names.contains(&name) && !member.is_empty())
}

/// Reads the content of a message: a string, a part, or a list of parts. Empty texts are omitted.
fn content<'a>(
    content: Member<'a>,
    whole: JsonView<'a>,
    items: &mut Vec<ItemView<'a>>,
) -> Result<(), JsonError> {
    if content.is_absent() {
        return Ok(());
    }
    if let Some(text) = content.text() {
        say(items, text, ItemView::Text);
        return Ok(());
    }
    let mut parts = content.items()?;
    if parts.is_empty() && content.list().is_none() {
        items.push(ItemView::Other(whole.json()?));
    }
    parts.try_for_each(|raw| part(raw, items))
}

/// Reads a part: what it says of each kind, in the order refusal, thoughts, text.
fn part<'a>(raw: JsonView<'a>, items: &mut Vec<ItemView<'a>>) -> Result<(), JsonError> {
    if let Some(text) = raw.text() {
        say(items, text, ItemView::Text);
        return Ok(());
    }
    let Some(part) = raw.read::<Part<'a>>() else {
        items.push(ItemView::Other(raw.json()?));
        return Ok(());
    };
    let refusal = part.refusal.text();
    if let Some(refusal) = refusal {
        say(items, refusal, ItemView::Refusal);
    }
    // Thoughts in chunks: a string, or a list of strings or texts.
    for (place, chunk) in part.thinking.items()?.enumerate() {
        let within = || chunk.read::<Part<'a>>()?.text.text();
        let Some(text) = chunk.text().or_else(within) else {
            items.push(ItemView::Other(chunk.json()?));
            continue;
        };
        let signature = part.signature.text().filter(|_| place == 0);
        if !text.is_empty() || signature.is_some() {
            items.push(ItemView::Thinking(ThinkingView {
                text: Some(text),
                signature,
                ..ThinkingView::default()
            }));
        }
    }
    let text = part.text.text();
    match text {
        Some(text) => say(items, text, ItemView::Text),
        // Something is there that is no text, or nothing that is known.
        None if !part.text.is_absent() => items.push(ItemView::Other(raw.json()?)),
        None if refusal.is_none() && part.thinking.is_absent() => {
            items.push(ItemView::Other(raw.json()?));
        }
        None => {}
    }
    for raw in part.annotations.items()? {
        items.push(ItemView::Citation(raw.json()?));
    }
    detail("logprobs", part.logprobs, items)
}

fn say<'a>(items: &mut Vec<ItemView<'a>>, text: Text<'a>, item: fn(Text<'a>) -> ItemView<'a>) {
    if !text.is_empty() {
        items.push(item(text));
    }
}

/// A member beside the answer; what is empty says nothing.
fn detail<'a>(
    name: &'static str,
    member: Member<'a>,
    items: &mut Vec<ItemView<'a>>,
) -> Result<(), JsonError> {
    let value = member.json()?.filter(|_| !member.is_empty());
    items.extend(value.map(|value| ItemView::Detail { name, value }));
    Ok(())
}

fn arguments<'a>(function: &ChatFunction<'a>) -> Result<Arguments<'a>, JsonError> {
    match (function.arguments.is_absent(), function.input.text()) {
        (true, Some(words)) => Ok(Arguments::Free(words)),
        (true, None) => Arguments::of(function.input),
        (false, _) => Arguments::of(function.arguments),
    }
}

fn call<'a>(
    id: Option<Text<'a>>,
    name: Text<'a>,
    arguments: Arguments<'a>,
    items: &mut Vec<ItemView<'a>>,
) {
    let call = match id {
        Some(id) => ToolCallView {
            id: id.decode(),
            name,
            arguments,
        },
        None => ToolCallView::without_id(name, arguments, items),
    };
    items.push(ItemView::ToolCall(call));
}

/// Reads the choice with the lowest index; its word of why it ended. Further choices are kept as they came:
/// they are other answers, not more of this one. Some servers send one choice without a list, or an object of
/// choices by their index.
pub(super) fn of_choices<'a>(
    choices: Member<'a>,
    items: &mut Vec<ItemView<'a>>,
) -> Result<Option<Cow<'a, str>>, JsonError> {
    let (numbered, listed) = match by_index(choices)? {
        Some(numbered) => (numbered, Items::default()),
        None => (Vec::new(), choices.items()?),
    };
    let mut rest = listed.clone();
    if let (Some(only), None) = (rest.next(), rest.next()) {
        return first(only, items);
    }
    let all = numbered.into_iter().chain(listed);
    let placed = all.enumerate().map(|(place, raw)| {
        let index = raw
            .read::<Choice<'a>>()
            .and_then(|choice| lmbatch_http::whole_member(choice.index));
        (index.unwrap_or(place as u64), raw)
    });
    let mut placed: Vec<(u64, JsonView<'a>)> = placed.collect();
    placed.sort_by_key(|(index, _)| *index);
    let mut choices = placed.into_iter().map(|(_, raw)| raw);
    let Some(lowest) = choices.next() else {
        return Ok(None);
    };
    let finish = first(lowest, items)?;
    for raw in choices {
        items.push(ItemView::Other(raw.json()?));
    }
    Ok(finish)
}

/// Reads the choice that is the answer; its word of why it ended.
fn first<'a>(
    raw: JsonView<'a>,
    items: &mut Vec<ItemView<'a>>,
) -> Result<Option<Cow<'a, str>>, JsonError> {
    let Some(read) = raw.read::<Choice<'a>>() else {
        items.push(ItemView::Other(raw.json()?));
        return Ok(None);
    };
    choice(raw, &read, items)?;
    Ok(read.finish_reason.scalar_text())
}

/// The choices of an object that holds them by their index; `None` for a list, for a choice and for anything else.
fn by_index(choices: Member<'_>) -> Result<Option<Vec<JsonView<'_>>>, JsonError> {
    let Some(object) = choices.raw().filter(|value| value.is_object()) else {
        return Ok(None);
    };
    let is_choice = |choice: Choice<'_>| !choice.message.is_absent() || !choice.text.is_absent();
    if object.read().is_some_and(is_choice) {
        return Ok(None);
    }
    object.json()?;
    let numbered = object
        .members()
        .into_iter()
        .filter_map(|(key, member)| Some((key.parse::<u64>().ok()?, member)));
    let mut numbered: Vec<(u64, Member<'_>)> = numbered.collect();
    numbered.sort_by_key(|(index, _)| *index);
    let is_numbered = !numbered.is_empty();
    let values = numbered.into_iter().filter_map(|(_, member)| member.raw());
    Ok(is_numbered.then(|| values.collect()))
}

fn choice<'a>(
    raw: JsonView<'a>,
    choice: &Choice<'a>,
    items: &mut Vec<ItemView<'a>>,
) -> Result<(), JsonError> {
    let at = items.len();
    if let Some(text) = choice.text.text() {
        say(items, text, ItemView::Text);
    }
    let said = choice.message.read::<ChatMessage<'a>>();
    match &said {
        Some(said) => message(said, items)?,
        // A message that is only its text.
        None => content(choice.message, raw, items)?,
    }
    // Something is there, and nothing of it can be read.
    choice.message.json()?;
    let whole = choice.message.raw().filter(|_| said.is_some());
    let is_known = || match whole {
        Some(whole) => !says_otherwise(whole, MESSAGE),
        None => !choice.text.is_absent(),
    };
    if items.len() == at && !is_known() {
        items.push(ItemView::Other(raw.json()?));
    }
    detail("logprobs", choice.logprobs, items)?;
    detail(
        "content_filter_results",
        choice.content_filter_results,
        items,
    )
}

fn message<'a>(message: &ChatMessage<'a>, items: &mut Vec<ItemView<'a>>) -> Result<(), JsonError> {
    let thought = [message.reasoning_content, message.reasoning];
    if let Some(text) = thought.iter().find_map(|thought| thought.some_text()) {
        items.push(ItemView::Thinking(ThinkingView {
            text: Some(text),
            ..ThinkingView::default()
        }));
    }
    if let Some(text) = message.content.text() {
        say(items, text, ItemView::Text);
    } else {
        for raw in message.content.items()? {
            part(raw, items)?;
        }
    }
    if let Some(refusal) = message.refusal.some_text() {
        items.push(ItemView::Refusal(refusal));
    }
    for raw in message.tool_calls.items()? {
        tool_call(raw, items)?;
    }
    if let Some(raw) = message.function_call.json()? {
        let function = message.function_call.read::<ChatFunction<'a>>();
        match function.and_then(|function| Some((function.name.some_text()?, function))) {
            Some((name, function)) => call(None, name, arguments(&function)?, items),
            None if message.function_call.is_empty() => {}
            None => items.push(ItemView::Other(raw)),
        }
    }
    for raw in message.images.items()? {
        items.push(ItemView::Other(raw.json()?));
    }
    for raw in message.annotations.items()? {
        items.push(ItemView::Citation(raw.json()?));
    }
    let audio = message.audio.read::<Audio<'a>>();
    match audio.and_then(|audio| Some((audio.data.text()?, audio))) {
        Some((data, audio)) => {
            items.extend(audio.transcript.some_text().map(ItemView::Text));
            items.push(ItemView::Attachment(AttachmentView {
                kind: AttachmentKind::Audio,
                source: SourceView::Base64(data),
                mime_type: None,
                filename: None,
            }));
        }
        None if message.audio.is_empty() => {}
        None => items.extend(message.audio.json()?.map(ItemView::Other)),
    }
    Ok(())
}

/// Reads a call of a function or, under another name, of a tool without a schema.
fn tool_call<'a>(raw: JsonView<'a>, items: &mut Vec<ItemView<'a>>) -> Result<(), JsonError> {
    let read = raw.read::<ChatToolCall<'a>>();
    let mut found = 0;
    if let Some(read) = read {
        for member in [read.function, read.custom] {
            let function = member.read::<ChatFunction<'a>>();
            let function = function.and_then(|function| Some((function.name.text()?, function)));
            if let Some((name, function)) = function {
                found += 1;
                call(read.id.some_text(), name, arguments(&function)?, items);
            }
        }
    }
    if found == 0 {
        items.push(ItemView::Other(raw.json()?));
    }
    Ok(())
}
