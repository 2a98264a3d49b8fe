//! Items of an answer, of either endpoint.

use std::borrow::Cow;

use lmbatch_core::{
    Arguments, AttachmentKind, AttachmentView, ItemView, Json, JsonError, Member, SourceView, Text,
    ThinkingView, ToolCallView,
};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::wire::{Audio, ChatFunction, ChatMessage, ChatToolCall, Choice, Item, Part};

/// What a response makes besides words and calls of functions; the answer may be nothing else.
const MADE: &[&str] = &[
    "image_generation_call",
    "custom_tool_call",
    "computer_call",
    "mcp_approval_request",
    "local_shell_call",
    "shell_call",
    "apply_patch_call",
];

/// Whether an item is something that the model made for the caller, in a shape that is passed on as it is.
pub(super) fn is_made(item: &ItemView<'_>) -> bool {
    let ItemView::Other(raw) = item else {
        return false;
    };
    let word = raw
        .parse::<Item<'_>>()
        .ok()
        .and_then(|item| item.r#type.word());
    word.is_some_and(|word| MADE.contains(&&*word))
}

/// Reads the items of a response. Messages that say that they are commentary are on the way to the answer.
pub(super) fn of_response<'a>(
    list: Vec<Json<'a>>,
    items: &mut Vec<ItemView<'a>>,
) -> Result<(), JsonError> {
    for raw in list {
        match raw.parse() {
            Ok(found) => item(raw, &found, items)?,
            Err(_) => items.push(ItemView::Other(raw)),
        }
    }
    Ok(())
}

// "phase: commentary, final_answer" (OpenAI's OpenAPI document 2.3.0, 2026-08-21). Any other word is no reason to
// take an answer for something else.
fn is_commentary(item: &Item<'_>) -> bool {
    let phase = item.phase.word();
    phase.is_some_and(|phase| phase.eq_ignore_ascii_case("commentary"))
}

fn item<'a>(
    raw: Json<'a>,
    item: &Item<'a>,
    items: &mut Vec<ItemView<'a>>,
) -> Result<(), JsonError> {
    match (item.r#type.word().as_deref(), item.name.some_text()) {
        (Some("message"), _) => {
            let at = items.len();
            content(item.content, raw, items)?;
            if item.content.is_absent() && says_otherwise(raw, MESSAGE) {
                items.push(ItemView::Other(raw));
            }
            if is_commentary(item) {
                for item in &mut items[at..] {
                    if let ItemView::Text(text) = item {
                        *item = ItemView::Commentary(*text);
                    }
                }
            }
        }
        (Some("function_call"), Some(name)) => {
            let id = item.call_id.some_text().or(item.id.some_text());
            call(id, name, Arguments::of(item.arguments)?, items);
        }
        (Some("reasoning"), _) => {
            let mut parts = item.summary.items()?;
            parts.extend(item.content.items()?);
            let mut texts = parts
                .into_iter()
                .filter_map(|raw| match raw.parse::<Part<'a>>() {
                    Ok(part) => part.text.text(),
                    Err(_) => raw.parse().ok(),
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
        _ => items.push(ItemView::Other(raw)),
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

/// Whether an object has members beside the named ones that say something.
fn says_otherwise(raw: Json<'_>, names: &[&str]) -> bool {
    let mut members = raw.members().into_iter();
    members.any(|(name, member)| !names.contains(&&*name) && !member.is_empty())
}

/// What a message says: a string, a part, or a list of parts. Empty words say nothing and are left out.
fn content<'a>(
    content: Member<'a>,
    whole: Json<'a>,
    items: &mut Vec<ItemView<'a>>,
) -> Result<(), JsonError> {
    if content.is_absent() {
        return Ok(());
    }
    if let Some(text) = content.text() {
        say(items, text, ItemView::Text);
        return Ok(());
    }
    let parts = content.items()?;
    if parts.is_empty() && content.list().is_none() {
        items.push(ItemView::Other(whole));
    }
    parts.into_iter().try_for_each(|raw| part(raw, items))
}

/// Reads a part: what it says of each kind, in the order refusal, thoughts, text.
fn part<'a>(raw: Json<'a>, items: &mut Vec<ItemView<'a>>) -> Result<(), JsonError> {
    if let Ok(text) = raw.parse::<Text<'a>>() {
        say(items, text, ItemView::Text);
        return Ok(());
    }
    let Ok(part) = raw.parse::<Part<'a>>() else {
        items.push(ItemView::Other(raw));
        return Ok(());
    };
    let refusal = part.refusal.text();
    if let Some(refusal) = refusal {
        say(items, refusal, ItemView::Refusal);
    }
    // Thoughts in chunks: a string, or a list of strings or texts.
    for (place, chunk) in part.thinking.items()?.into_iter().enumerate() {
        let text = chunk.parse::<Text<'a>>().ok();
        let within = || chunk.parse::<Part<'a>>().ok()?.text.text();
        let Some(text) = text.or_else(within) else {
            items.push(ItemView::Other(chunk));
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
        None if !part.text.is_absent() => items.push(ItemView::Other(raw)),
        None if refusal.is_none() && part.thinking.is_absent() => items.push(ItemView::Other(raw)),
        None => {}
    }
    items.extend(
        part.annotations
            .items()?
            .into_iter()
            .map(ItemView::Citation),
    );
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
    let mut found: Vec<(u64, Json<'a>)> = Vec::new();
    for (place, raw) in list_of(choices)?.into_iter().enumerate() {
        let index = raw.parse::<Choice<'a>>().ok().and_then(|choice| {
            let index = choice.index.read::<Value>()?;
            lmbatch_http::whole(&index)
        });
        found.push((index.unwrap_or(place as u64), raw));
    }
    found.sort_by_key(|(index, _)| *index);
    let mut choices = found.into_iter().map(|(_, raw)| raw);
    let Some(first) = choices.next() else {
        return Ok(None);
    };
    let finish = match first.parse::<Choice<'a>>() {
        Ok(read) => {
            let finish = read.finish_reason.word();
            choice(first, &read, items)?;
            finish
        }
        Err(_) => {
            items.push(ItemView::Other(first));
            None
        }
    };
    items.extend(choices.map(ItemView::Other));
    Ok(finish)
}

fn list_of(choices: Member<'_>) -> Result<Vec<Json<'_>>, JsonError> {
    let is_list = choices.read::<Vec<&RawValue>>().is_some();
    let is_choice = choices
        .read::<Choice<'_>>()
        .is_some_and(|choice| !choice.message.is_absent() || !choice.text.is_absent());
    if is_list || is_choice {
        return choices.items();
    }
    let by_index = choices.json()?.map(Json::members).unwrap_or_default();
    let numbered = by_index
        .into_iter()
        .filter_map(|(key, member)| Some((key.parse::<u64>().ok()?, member)));
    let mut numbered: Vec<(u64, Member<'_>)> = numbered.collect();
    numbered.sort_by_key(|(index, _)| *index);
    match numbered.is_empty() {
        true => choices.items(),
        false => {
            let values = numbered.into_iter().map(|(_, member)| member.json());
            values.filter_map(Result::transpose).collect()
        }
    }
}

fn choice<'a>(
    raw: Json<'a>,
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
    let whole = choice.message.json()?.filter(|_| said.is_some());
    let is_known = match whole {
        Some(whole) => !says_otherwise(whole, MESSAGE),
        None => !choice.text.is_absent(),
    };
    if items.len() == at && !is_known {
        items.push(ItemView::Other(raw));
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
    items.extend(message.images.items()?.into_iter().map(ItemView::Other));
    items.extend(
        message
            .annotations
            .items()?
            .into_iter()
            .map(ItemView::Citation),
    );
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
fn tool_call<'a>(raw: Json<'a>, items: &mut Vec<ItemView<'a>>) -> Result<(), JsonError> {
    let read = raw.parse::<ChatToolCall<'a>>().ok();
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
        items.push(ItemView::Other(raw));
    }
    Ok(())
}
