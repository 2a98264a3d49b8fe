//! Messages and blocks of Anthropic batch lines.

use std::borrow::Cow;

use lmbatch_core::{
    AttachmentKind, ContentView, Json, MessageView, RequestError, Role, SourceView, Text,
    ThinkingView, ToolCallView, ToolResultView,
};

use crate::content::{Given, arguments, attached, from_data, from_url, output};
use crate::context::bad;
use crate::members::Members;
use crate::translated::{drop_thoughts, file_of};
use crate::values::{list, untranslated};

/// Reads the texts of a system prompt: a string, or text blocks.
pub(crate) fn system(value: Json<'_>) -> Result<Vec<Text<'_>>, RequestError> {
    let at = "params.system";
    let contents = contents(value, at)?;
    let text = |content| match content {
        ContentView::Text(text) => Ok(text),
        _ => Err(bad(format!("{at} holds content other than text"))),
    };
    contents.into_iter().map(text).collect()
}

/// Reads the member `messages` of params.
pub(crate) fn messages<'a>(
    value: Json<'a>,
    provider: &str,
) -> Result<Vec<MessageView<'a>>, RequestError> {
    let items = list(value, "params.messages")?;
    let mut messages = Vec::with_capacity(items.len());
    for (place, json) in items.into_iter().enumerate() {
        let mut item = Members::of(json, &format!("params.messages[{place}]"))?;
        let role = match &*item.need("role")?.decode() {
            "user" => Role::User,
            "assistant" => Role::Assistant,
            "system" => Role::System,
            _ => return Err(untranslated(&format!("{}.role", item.at))),
        };
        let at = format!("{}.content", item.at);
        let Some(content) = item.take("content") else {
            return Err(bad(format!("{at} is missing")));
        };
        let contents = contents(content, &at)?;
        // Gemini shows the model no name of a document; the title is written for the model.
        let mut attachments = contents.iter().flat_map(ContentView::attachments);
        if provider == "google" && attachments.any(|attachment| attachment.filename.is_some()) {
            return Err(RequestError::unsupported(format!(
                "{at}: the title of a document cannot be translated for google"
            )));
        }
        item.end_exact()?;
        messages.push(MessageView { role, contents });
    }
    drop_thoughts(&mut messages);
    Ok(messages)
}

fn contents<'a>(json: Json<'a>, at: &str) -> Result<Vec<ContentView<'a>>, RequestError> {
    if let Ok(text) = json.parse::<Text<'a>>() {
        return Ok(vec![ContentView::Text(text)]);
    }
    let blocks: Vec<Json<'a>> = json
        .parse()
        .map_err(|_| bad(format!("{at} is neither a string nor a list")))?;
    let mut contents = Vec::with_capacity(blocks.len());
    for (place, json) in blocks.into_iter().enumerate() {
        contents.extend(block(json, &format!("{at}[{place}]"))?);
    }
    Ok(contents)
}

/// Reads a block; `None` for encrypted thinking, which only Anthropic can read.
fn block<'a>(json: Json<'a>, at: &str) -> Result<Option<ContentView<'a>>, RequestError> {
    let mut block = Members::of(json, at)?;
    block.ignore(&["cache_control"]);
    let kind = block.need("type")?.decode();
    let content = match &*kind {
        "text" => {
            block.refuse(&["citations"], &[])?;
            ContentView::Text(block.need("text")?)
        }
        "image" => {
            let (source, mime_type) = source(&mut block, at)?;
            attached(AttachmentKind::Image, source, mime_type, None)
        }
        "document" => {
            if let Some(citations) = block.take("citations") {
                let mut citations = Members::of(citations, &format!("{at}.citations"))?;
                match citations.flag("enabled")? {
                    None | Some(false) => citations.end_exact()?,
                    Some(true) => return Err(untranslated(&format!("{at}.citations"))),
                }
            }
            let title = block.text("title")?;
            let (source, mime_type) = source(&mut block, at)?;
            attached(AttachmentKind::Document, source, mime_type, title)
        }
        "tool_use" => {
            if let Some(caller) = block.take("caller") {
                let mut caller = Members::of(caller, &format!("{at}.caller"))?;
                caller.refuse(&["type"], &["direct"])?;
                caller.end_exact()?;
            }
            ContentView::ToolCall(ToolCallView {
                id: block.need("id")?.decode(),
                name: block.need("name")?,
                arguments: arguments(block.value("input")),
            })
        }
        "tool_result" => {
            let id = block.need("tool_use_id")?;
            let given = match block.take("content") {
                Some(json) => output(json, &format!("{at}.content"), &["text"], given)?,
                None => Given::text(""),
            };
            let is_error = block.flag("is_error")?.unwrap_or(false);
            ContentView::ToolResult(ToolResultView {
                id,
                name: None,
                output: given.text,
                attachments: given.attachments,
                is_error,
            })
        }
        // The signature is of use to Anthropic alone.
        "thinking" => {
            block.ignore(&["signature"]);
            let text = block.text("thinking")?;
            block.end_exact()?;
            let text = text.filter(|text| !text.is_empty());
            return Ok(text.map(|text| {
                ContentView::Thinking(ThinkingView {
                    text: Some(text),
                    ..ThinkingView::default()
                })
            }));
        }
        "redacted_thinking" => {
            block.ignore(&["data"]);
            block.end_exact()?;
            return Ok(None);
        }
        other => return Err(untranslated(&format!("{at}: {other}"))),
    };
    block.end_exact()?;
    Ok(Some(content))
}

/// Reads a block of a tool's result.
fn given<'a>(json: Json<'a>, at: &str) -> Result<ContentView<'a>, RequestError> {
    block(json, at)?.ok_or_else(|| untranslated(at))
}

/// Reads the source and the media type of an image or a document.
fn source<'a>(
    block: &mut Members<'a>,
    at: &str,
) -> Result<(SourceView<'a>, Option<Text<'a>>), RequestError> {
    let at = format!("{at}.source");
    let Some(source) = block.take("source") else {
        return Err(bad(format!("{at} is missing")));
    };
    let mut source = Members::of(source, &at)?;
    let kind = source.need("type")?.decode();
    let found = match &*kind {
        "base64" => {
            let declared = source.text("media_type")?;
            let found = from_data(source.need("data")?);
            let (bytes, found) = found.map_err(|why| bad(format!("{at}.data: {why}")))?;
            (bytes, declared.or(found))
        }
        "text" => {
            let declared = source.text("media_type")?;
            let bytes = match source.need("data")?.decode() {
                Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
                Cow::Owned(text) => Cow::Owned(text.into_bytes()),
            };
            let declared = declared.unwrap_or(Text::Plain("text/plain"));
            (SourceView::Bytes(bytes), Some(declared))
        }
        "url" => {
            let found = from_url(source.need("url")?);
            found.map_err(|why| bad(format!("{at}.url: {why}")))?
        }
        "file" => return Err(file_of("Anthropic", &format!("{at}.file_id"))),
        other => return Err(untranslated(&format!("{at}: {other}"))),
    };
    source.end_exact()?;
    Ok(found)
}
