//! Blocks of a message (SDK 2.12.0, 2026-11).

use std::borrow::Cow;

use lmbatch_core::{
    Arguments, AttachmentKind, AttachmentView, CallIdRule, ContentView, Object, RequestError, Role,
    SourceView, Text, ThinkingView, ToolResultView, is_text_media_type, write_list,
};

/// "tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'" (error of the API, public reports of
/// 2025-07 to 2026-07). No maximum length is documented; other providers accept 64.
pub(super) const CALL_IDS: CallIdRule = CallIdRule {
    min_len: 1,
    max_len: 64,
    is_legal: |letter| letter.is_ascii_alphanumeric() || letter == '_' || letter == '-',
};

/// "media_type: image/jpeg, image/png, image/gif, image/webp".
const IMAGES: [&str; 4] = ["image/jpeg", "image/png", "image/gif", "image/webp"];

pub(super) fn write<'a, 'c: 'a>(
    role: Role,
    contents: impl Iterator<Item = &'a ContentView<'c>>,
    out: &mut Vec<u8>,
) -> Result<(), RequestError> {
    let at = out.len();
    write_list(
        out,
        contents.filter(|content| is_sent(content)),
        |out, content| block(role, content, out),
    )?;
    if &out[at..] == b"[]" {
        return Err(RequestError::invalid_input(
            "anthropic: a message holds nothing that can be sent",
        ));
    }
    Ok(())
}

/// Empty texts are refused by Anthropic, and so is thinking without its signature: neither is sent.
fn is_sent(content: &ContentView<'_>) -> bool {
    match content {
        ContentView::Text(text) => !text.is_empty(),
        ContentView::Thinking(thinking) => thinking.signature.is_some() || thinking.data.is_some(),
        _ => true,
    }
}

fn block(role: Role, content: &ContentView<'_>, out: &mut Vec<u8>) -> Result<(), RequestError> {
    let belongs = |to: Role, what: &str| {
        if role == to {
            return Ok(());
        }
        Err(RequestError::unsupported(format!(
            "anthropic: {what} stand in {} messages only",
            to.as_str()
        )))
    };
    match content {
        ContentView::Text(said) => text(*said, out),
        ContentView::Attachment(attachment) => {
            belongs(Role::User, "attachments")?;
            file(attachment, out)?;
        }
        ContentView::ToolCall(call) => {
            belongs(Role::Assistant, "tool calls")?;
            let mut entry = Object::new(out);
            entry.str("type", "tool_use");
            entry.str("id", &call.id);
            entry.text("name", call.name);
            arguments(call.arguments, entry.key("input"))?;
            entry.end();
        }
        ContentView::ToolResult(result) => {
            belongs(Role::User, "tool results")?;
            let mut entry = Object::new(out);
            entry.str("type", "tool_result");
            entry.text("tool_use_id", result.id);
            tool_output(result, &mut entry)?;
            entry.some("is_error", result.is_error.then_some(true));
            entry.end();
        }
        ContentView::Thinking(thinking) => {
            belongs(Role::Assistant, "thoughts")?;
            thought(thinking, out);
        }
        _ => return Err(RequestError::unsupported("anthropic: content of this kind")),
    }
    Ok(())
}

/// Text as a string; with images or documents as blocks (`ToolResultBlockParam` of SDK 2.12.0).
fn tool_output(result: &ToolResultView<'_>, entry: &mut Object<'_>) -> Result<(), RequestError> {
    let no = |why: &str| {
        Err(RequestError::unsupported(format!(
            "anthropic: the result of a tool that failed {why}"
        )))
    };
    match result.is_error {
        // "content cannot be empty if `is_error` is true" (error of the API, trae-agent 230, 2025-07-30).
        true if result.output.is_empty() => return no("must say what went wrong"),
        // "all content must be type `text` if `is_error` is true" (vellum-assistant 18387, 2026-03-17).
        true if !result.attachments.is_empty() => return no("holds text only"),
        _ => {}
    }
    if result.attachments.is_empty() {
        entry.str("content", &result.output);
        return Ok(());
    }
    let said = (!result.output.is_empty()).then_some(None);
    let blocks = said.into_iter().chain(result.attachments.iter().map(Some));
    write_list(entry.key("content"), blocks, |out, block| match block {
        None => {
            text(Text::Plain(&result.output), out);
            Ok(())
        }
        Some(attachment) => file(attachment, out),
    })
}

/// Checks that arguments are an object: "input: an object" (SDK 2.12.0). An invalid request would fail a day later.
fn arguments(arguments: Arguments<'_>, out: &mut Vec<u8>) -> Result<(), RequestError> {
    let at = out.len();
    arguments.write_value(out);
    if out.get(at) == Some(&b'{') {
        return Ok(());
    }
    Err(RequestError::unsupported(
        "anthropic: a tool call's arguments are no JSON object",
    ))
}

pub(super) fn text(text: Text<'_>, out: &mut Vec<u8>) {
    let mut entry = Object::new(out);
    entry.str("type", "text");
    entry.text("text", text);
    entry.end();
}

/// Writes a block that must be sent back as it came: "Echo back unmodified."
fn thought(thinking: &ThinkingView<'_>, out: &mut Vec<u8>) {
    let mut entry = Object::new(out);
    match (thinking.signature, thinking.data) {
        (Some(signature), _) => {
            entry.str("type", "thinking");
            entry.text("thinking", thinking.text.unwrap_or(Text::Plain("")));
            entry.text("signature", signature);
        }
        (None, data) => {
            entry.str("type", "redacted_thinking");
            entry.text("data", data.unwrap_or(Text::Plain("")));
        }
    }
    entry.end();
}

fn file(attachment: &AttachmentView<'_>, out: &mut Vec<u8>) -> Result<(), RequestError> {
    let attachment = attachment.resolve(None)?;
    let mut entry = Object::new(out);
    match attachment.kind {
        AttachmentKind::Image => {
            entry.str("type", "image");
            source(&attachment, entry.key("source"))?;
        }
        AttachmentKind::Document => {
            entry.str("type", "document");
            source(&attachment, entry.key("source"))?;
            if let Some(name) = attachment.filename {
                entry.text("title", name);
            }
        }
        kind @ (AttachmentKind::Audio | AttachmentKind::Video) => {
            return Err(RequestError::unsupported(format!(
                "anthropic takes no {}",
                kind.as_str()
            )));
        }
    }
    entry.end();
    Ok(())
}

/// Form in which bytes of a media type are sent.
enum Form {
    Base64,
    Text,
}

fn form(kind: AttachmentKind, media_type: &str) -> Option<Form> {
    match kind {
        AttachmentKind::Image => IMAGES.contains(&media_type).then_some(Form::Base64),
        _ if media_type == "application/pdf" => Some(Form::Base64),
        // Markup, which the model would read as words: the caller converts it to plain text first.
        _ if matches!(media_type, "application/rtf" | "text/rtf") => None,
        _ => is_text_media_type(media_type).then_some(Form::Text),
    }
}

fn source(attachment: &AttachmentView<'_>, out: &mut Vec<u8>) -> Result<(), RequestError> {
    let media_type = attachment.mime_type.map(Text::decode);
    let form = match media_type.as_deref() {
        Some(media_type) => match form(attachment.kind, media_type) {
            Some(form) => Some(form),
            None => {
                return Err(RequestError::unsupported(format!(
                    "anthropic takes no {media_type}: images are jpeg, png, gif or webp, documents PDF or text"
                )));
            }
        },
        None => None,
    };
    let mut entry = Object::new(out);
    match (&attachment.source, form) {
        (SourceView::File(id), _) => {
            entry.str("type", "file");
            entry.text("file_id", *id);
        }
        // "URLPDFSource" is the only document by URL (SDK 2.12.0).
        (SourceView::Url(_), Some(Form::Text)) => {
            return Err(RequestError::unsupported(format!(
                "anthropic takes no {} by URL: documents by URL are PDF",
                media_type.unwrap_or_default()
            )));
        }
        (SourceView::Url(url), _) => {
            entry.str("type", "url");
            entry.text("url", *url);
        }
        (source, Some(form)) => {
            bytes(source, &media_type.unwrap_or_default(), &form, &mut entry)?;
        }
        // Resolved bytes have a media type.
        (_, None) => {
            return Err(RequestError::invalid_input(
                "anthropic: the media type of an attachment is not known; declare it",
            ));
        }
    }
    entry.end();
    Ok(())
}

fn bytes(
    source: &SourceView<'_>,
    media_type: &str,
    form: &Form,
    entry: &mut Object<'_>,
) -> Result<(), RequestError> {
    match form {
        Form::Base64 => {
            entry.str("type", "base64");
            entry.str("media_type", media_type);
            let out = entry.key("data");
            out.push(b'"');
            if !source.write_base64(out) {
                return Err(RequestError::invalid_input(
                    "an attachment's bytes are not here",
                ));
            }
            out.push(b'"');
        }
        Form::Text => {
            entry.str("type", "text");
            entry.str("media_type", "text/plain");
            let bytes = match source {
                SourceView::Bytes(bytes) => Cow::Borrowed(bytes.as_ref()),
                source => Cow::Owned(source.decode_base64().unwrap_or_default()),
            };
            let text = simdutf8::basic::from_utf8(&bytes)
                .map_err(|_| RequestError::invalid_input("a text attachment is not UTF-8"))?;
            entry.str("data", text);
        }
    }
    Ok(())
}
