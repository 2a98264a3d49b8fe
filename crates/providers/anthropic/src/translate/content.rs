//! Blocks of a message (SDK 2.12.0, 2026-11).

use lmbatch_core::{
    AttachmentKind, AttachmentView, ContentView, Object, RequestError, Role, SourceView, Text,
    ThinkingView, split_data_url, write_list,
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

/// Empty texts are refused by Anthropic, and so is thinking without its seal: neither is sent.
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
            call.arguments.write_value(entry.key("input"));
            entry.end();
        }
        ContentView::ToolResult(result) => {
            belongs(Role::User, "tool results")?;
            let mut entry = Object::new(out);
            entry.str("type", "tool_result");
            entry.text("tool_use_id", result.id);
            entry.text("content", result.output);
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

pub(super) fn text(text: Text<'_>, out: &mut Vec<u8>) {
    let mut entry = Object::new(out);
    entry.str("type", "text");
    entry.text("text", text);
    entry.end();
}

/// "Echo back unmodified."
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
    let mut entry = Object::new(out);
    match attachment.kind {
        AttachmentKind::Image => {
            entry.str("type", "image");
            source(attachment, entry.key("source"), |mime| {
                IMAGES.contains(&mime).then_some(Form::Base64)
            })?;
        }
        AttachmentKind::Document => {
            entry.str("type", "document");
            source(attachment, entry.key("source"), |mime| match mime {
                "application/pdf" => Some(Form::Base64),
                "application/json" => Some(Form::Text),
                mime if mime.starts_with("text/") => Some(Form::Text),
                _ => None,
            })?;
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

/// How bytes of a media type travel.
enum Form {
    Base64,
    Text,
}

fn source(
    attachment: &AttachmentView<'_>,
    out: &mut Vec<u8>,
    form: impl Fn(&str) -> Option<Form>,
) -> Result<(), RequestError> {
    let mut entry = Object::new(out);
    match &attachment.source {
        SourceView::File(id) => {
            entry.str("type", "file");
            entry.text("file_id", *id);
        }
        SourceView::Url(url) => {
            let address = url.decode();
            match split_data_url(&address) {
                Some((mime, data)) => {
                    let source = SourceView::Base64(Text::Plain(data));
                    bytes(&source, mime, form(mime).as_ref(), &mut entry)?;
                }
                None => {
                    entry.str("type", "url");
                    entry.text("url", *url);
                }
            }
        }
        source => {
            let otherwise = match attachment.kind {
                AttachmentKind::Image => "image/png",
                _ => "application/pdf",
            };
            let mime = attachment.mime_type.map(Text::decode);
            let mime = mime.as_deref().unwrap_or(otherwise);
            bytes(source, mime, form(mime).as_ref(), &mut entry)?;
        }
    }
    entry.end();
    Ok(())
}

fn bytes(
    source: &SourceView<'_>,
    mime: &str,
    form: Option<&Form>,
    entry: &mut Object<'_>,
) -> Result<(), RequestError> {
    match form {
        Some(Form::Base64) => {
            entry.str("type", "base64");
            entry.str("media_type", mime);
            let out = entry.key("data");
            out.push(b'"');
            if !source.write_base64(out) {
                return Err(RequestError::invalid_input(
                    "an attachment's bytes are not here",
                ));
            }
            out.push(b'"');
        }
        Some(Form::Text) => {
            entry.str("type", "text");
            entry.str("media_type", "text/plain");
            let decoded;
            let bytes = match source {
                SourceView::Bytes(bytes) => bytes.as_ref(),
                source => {
                    decoded = source.decode_base64().unwrap_or_default();
                    &decoded
                }
            };
            let text = simdutf8::basic::from_utf8(bytes)
                .map_err(|_| RequestError::invalid_input("a text attachment is not UTF-8"))?;
            entry.str("data", text);
        }
        None => {
            return Err(RequestError::unsupported(format!(
                "anthropic takes no {mime}: images are jpeg, png, gif or webp, documents PDF or text"
            )));
        }
    }
    Ok(())
}
