//! Items of an answer, of either endpoint.

use std::borrow::Cow;

use lmbatch_core::{
    Arguments, Asides, AttachmentKind, AttachmentView, ItemView, Json, Member, SourceView, Text,
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

/// Members of an answer that are not what was answered, and types of items on the way to an answer.
pub(super) const ASIDES: Asides = Asides {
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

/// Reads the items of a response. Where a message says that it is the final answer, those that say that they
/// are not are commentary.
pub(super) fn of_response<'a>(list: Vec<Json<'a>>, items: &mut Vec<ItemView<'a>>) {
    let read: Vec<(Json<'a>, Option<Item<'a>>)> = list
        .into_iter()
        .map(|raw| (raw, raw.parse().ok()))
        .collect();
    for (raw, found) in &read {
        match found {
            Some(found) => item(*raw, found, items),
            None => items.push(ItemView::Other(*raw)),
        }
    }
}

fn is_commentary(item: &Item<'_>) -> bool {
    item.phase
        .word()
        .is_some_and(|phase| phase != "final_answer")
}

fn item<'a>(raw: Json<'a>, item: &Item<'a>, items: &mut Vec<ItemView<'a>>) {
    match (item.r#type.word().as_deref(), item.name.some_text()) {
        (Some("message"), _) => {
            let at = items.len();
            content(item.content, raw, items);
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
            call(id, name, Arguments::of(item.arguments), items);
        }
        (Some("reasoning"), _) => {
            let parts = [item.summary, item.content];
            let parts = parts.iter().flat_map(|parts| parts.items());
            let mut texts = parts.filter_map(|raw| match raw.parse::<Part<'a>>() {
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
}

/// What a message says: a string, a part, or a list of parts. Empty words say nothing and are left out.
fn content<'a>(content: Member<'a>, whole: Json<'a>, items: &mut Vec<ItemView<'a>>) {
    if content.is_absent() {
        return;
    }
    if let Some(text) = content.text() {
        return say(items, text, ItemView::Text);
    }
    let parts = content.items();
    if parts.is_empty() && content.list().is_none() {
        items.push(ItemView::Other(whole));
    }
    for raw in parts {
        part(raw, items);
    }
}

fn part<'a>(raw: Json<'a>, items: &mut Vec<ItemView<'a>>) {
    if let Ok(text) = raw.parse::<Text<'a>>() {
        return say(items, text, ItemView::Text);
    }
    let Ok(part) = raw.parse::<Part<'a>>() else {
        return items.push(ItemView::Other(raw));
    };
    if let Some(refusal) = part.refusal.text() {
        say(items, refusal, ItemView::Refusal);
        if part.text.text().is_none() {
            return;
        }
    }
    // Thoughts in chunks: a string, or a list of strings or texts.
    if !part.thinking.is_absent() {
        for (place, chunk) in part.thinking.items().into_iter().enumerate() {
            let text = chunk.parse::<Text<'a>>().ok();
            let within = || chunk.parse::<Part<'a>>().ok()?.text.text();
            let Some(text) = text.or_else(within) else {
                items.push(ItemView::Other(chunk));
                continue;
            };
            items.push(ItemView::Thinking(ThinkingView {
                text: Some(text),
                signature: part.signature.text().filter(|_| place == 0),
                ..ThinkingView::default()
            }));
        }
        if part.text.text().is_none() {
            return;
        }
    }
    let Some(text) = part.text.text() else {
        return items.push(ItemView::Other(raw));
    };
    say(items, text, ItemView::Text);
    items.extend(part.annotations.items().into_iter().map(ItemView::Citation));
    detail("logprobs", part.logprobs, items);
}

fn say<'a>(items: &mut Vec<ItemView<'a>>, text: Text<'a>, item: fn(Text<'a>) -> ItemView<'a>) {
    if !text.is_empty() {
        items.push(item(text));
    }
}

/// A member beside the answer; what is empty says nothing.
fn detail<'a>(name: &'static str, member: Member<'a>, items: &mut Vec<ItemView<'a>>) {
    let value = member.json();
    let value = value.filter(|value| !matches!(value.as_str(), "[]" | "{}"));
    items.extend(value.map(|value| ItemView::Detail { name, value }));
}

fn arguments<'a>(function: &ChatFunction<'a>) -> Arguments<'a> {
    match (function.arguments.is_absent(), function.input.text()) {
        (true, Some(words)) => Arguments::Free(words),
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
) -> Option<Cow<'a, str>> {
    let mut found: Vec<(u64, Json<'a>)> = Vec::new();
    for (place, raw) in list_of(choices).into_iter().enumerate() {
        let index = raw.parse::<Choice<'a>>().ok().and_then(|choice| {
            let index = choice.index.read::<Value>()?;
            lmbatch_http::whole(&index)
        });
        found.push((index.unwrap_or(place as u64), raw));
    }
    found.sort_by_key(|(index, _)| *index);
    let mut choices = found.into_iter().map(|(_, raw)| raw);
    let first = choices.next()?;
    let finish = match first.parse::<Choice<'a>>() {
        Ok(read) => {
            let finish = read.finish_reason.word();
            choice(first, &read, items);
            finish
        }
        Err(_) => {
            items.push(ItemView::Other(first));
            None
        }
    };
    items.extend(choices.map(ItemView::Other));
    finish
}

fn list_of(choices: Member<'_>) -> Vec<Json<'_>> {
    if let Some(list) = choices.list() {
        return list;
    }
    let is_choice = choices
        .read::<Choice<'_>>()
        .is_some_and(|choice| !choice.message.is_absent() || !choice.text.is_absent());
    if is_choice {
        return choices.items();
    }
    let by_index: Option<std::collections::BTreeMap<Cow<'_, str>, &RawValue>> = choices.read();
    let mut by_index: Vec<_> = by_index
        .into_iter()
        .flatten()
        .filter_map(|(key, raw)| Some((key.parse::<u64>().ok()?, Json::from_raw(raw).ok()?)))
        .collect();
    by_index.sort_by_key(|(index, _)| *index);
    match by_index.is_empty() {
        true => choices.items(),
        false => by_index.into_iter().map(|(_, raw)| raw).collect(),
    }
}

fn choice<'a>(raw: Json<'a>, choice: &Choice<'a>, items: &mut Vec<ItemView<'a>>) {
    let at = items.len();
    if let Some(text) = choice.text.text() {
        say(items, text, ItemView::Text);
    }
    match choice.message.read::<ChatMessage<'a>>() {
        Some(said) => message(&said, items),
        // A message that is only its text.
        None => content(choice.message, raw, items),
    }
    // Something is there, and nothing of it can be read.
    let is_message = choice.message.read::<ChatMessage<'a>>().is_some();
    let is_odd = !is_message || choice.message.says_something(&ASIDES);
    if items.len() == at && is_odd && choice.text.is_absent() {
        items.push(ItemView::Other(raw));
    }
    detail("logprobs", choice.logprobs, items);
    detail(
        "content_filter_results",
        choice.content_filter_results,
        items,
    );
}

fn message<'a>(message: &ChatMessage<'a>, items: &mut Vec<ItemView<'a>>) {
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
        message
            .content
            .items()
            .into_iter()
            .for_each(|raw| part(raw, items));
    }
    if let Some(refusal) = message.refusal.some_text() {
        items.push(ItemView::Refusal(refusal));
    }
    for raw in message.tool_calls.items() {
        match raw.parse::<ChatToolCall<'a>>() {
            Ok(ChatToolCall { id, function }) => {
                let arguments = arguments(&function);
                call(id.some_text(), function.name, arguments, items);
            }
            Err(_) => items.push(ItemView::Other(raw)),
        }
    }
    if let Some(raw) = message.function_call.json() {
        match message.function_call.read::<ChatFunction<'a>>() {
            Some(function) => call(None, function.name, arguments(&function), items),
            None => items.push(ItemView::Other(raw)),
        }
    }
    items.extend(
        message
            .annotations
            .items()
            .into_iter()
            .map(ItemView::Citation),
    );
    match (message.audio.read::<Audio<'a>>(), message.audio.json()) {
        (Some(audio), _) => {
            items.extend(audio.transcript.some_text().map(ItemView::Text));
            items.push(ItemView::Attachment(AttachmentView {
                kind: AttachmentKind::Audio,
                source: SourceView::Base64(audio.data),
                mime_type: None,
                filename: None,
            }));
        }
        (None, other) => items.extend(other.map(ItemView::Other)),
    }
}
