//! Writes the parts of a message (google-genai 3.4.0, 2026-11).

use lmbatch_core::{
    Arguments, AttachmentKind, AttachmentView, CallIdRule, ContentView, GenerateView, Json,
    MessageView, Object, RequestError, Role, SourceView, Text, ToolResultView, is_text_media_type,
    write_list,
};

use super::models;
use super::names::Names;
use crate::config::DEFAULT_BASE_URL;

/// Rule for the ids of calls: none is documented. A result is matched with its call by the id, so that each call needs
/// its own (python-genai 3.4.0: `functionCall.id`, "the client is expected to return the response with the matching
/// id").
pub(super) const CALL_IDS: CallIdRule = CallIdRule {
    min_len: 1,
    max_len: 4096,
    is_legal: |letter| !letter.is_control(),
};

/// Writes a turn's parts. A signature belongs to the part that it came with, which is the next one in the list.
pub(super) fn write(
    names: Names,
    view: &GenerateView<'_>,
    turn: &MessageView<'_>,
    out: &mut Vec<u8>,
) -> Result<(), RequestError> {
    let mut parts = Parts {
        names,
        view,
        turn,
        out,
        first: true,
        signature: None,
    };
    parts.out.push(b'[');
    for content in &turn.contents {
        parts.content(content)?;
    }
    if parts.signature.is_some() {
        // A last part may hold nothing but its signature (third-party live traffic, 2026).
        let mut part = parts.next();
        part.str("text", "");
        part.end();
    }
    if parts.first {
        return Err(RequestError::invalid_input(
            "google: a message holds nothing that can be sent",
        ));
    }
    parts.out.push(b']');
    Ok(())
}

struct Parts<'p, 'v> {
    names: Names,
    view: &'p GenerateView<'v>,
    turn: &'p MessageView<'v>,
    out: &'p mut Vec<u8>,
    first: bool,
    signature: Option<Text<'v>>,
}

impl<'v> Parts<'_, 'v> {
    fn next(&mut self) -> Object<'_> {
        if !std::mem::take(&mut self.first) {
            self.out.push(b',');
        }
        let signature = self.signature.take();
        let mut part = Object::new(self.out);
        if let Some(signature) = signature {
            part.text(
                self.names.pick("thoughtSignature", "thought_signature"),
                signature,
            );
        }
        part
    }

    fn belongs(&self, to: Role, what: &str) -> Result<(), RequestError> {
        if self.turn.role == to {
            return Ok(());
        }
        Err(RequestError::unsupported(format!(
            "google: {what} stand in {} messages only",
            to.as_str()
        )))
    }

    fn content(&mut self, content: &ContentView<'v>) -> Result<(), RequestError> {
        let names = self.names;
        match content {
            ContentView::Text(text) if text.is_empty() => {}
            ContentView::Text(text) => {
                let mut part = self.next();
                part.text("text", *text);
                part.end();
            }
            // Google accepts no thoughts in requests, only their signatures.
            ContentView::Thinking(thinking) => {
                if let Some(signature) = thinking.signature {
                    self.belongs(Role::Assistant, "thoughts")?;
                    self.signature = Some(signature);
                }
            }
            ContentView::Attachment(attachment) => {
                let mut part = self.next();
                file(names, attachment, &mut part)?;
                part.end();
            }
            ContentView::ToolCall(call) => {
                self.belongs(Role::Assistant, "tool calls")?;
                let mut part = self.next();
                let mut entry = Object::new(part.key(names.pick("functionCall", "function_call")));
                entry.str("id", &call.id);
                entry.text("name", call.name);
                arguments(call.arguments, entry.key("args"))?;
                entry.end();
                part.end();
            }
            ContentView::ToolResult(result) => {
                self.belongs(Role::User, "tool results")?;
                let name = name_of(self.view, result)?;
                if !result.attachments.is_empty() {
                    models::check_tool_attachments(&self.view.model.decode())?;
                }
                let mut part = self.next();
                let field = names.pick("functionResponse", "function_response");
                let mut entry = Object::new(part.key(field));
                entry.text("id", result.id);
                entry.text("name", name);
                response(result, entry.key("response"));
                if !result.attachments.is_empty() {
                    let parts = result.attachments.iter();
                    write_list(entry.key("parts"), parts, |out, attachment| {
                        tool_part(names, attachment, out)
                    })?;
                }
                entry.end();
                part.end();
            }
            _ => return Err(RequestError::unsupported("google: content of this kind")),
        }
        Ok(())
    }
}

/// Writes arguments, which must be an object.
fn arguments(arguments: Arguments<'_>, out: &mut Vec<u8>) -> Result<(), RequestError> {
    let at = out.len();
    arguments.write_value(out);
    if out.get(at) == Some(&b'{') {
        return Ok(());
    }
    Err(RequestError::unsupported(
        "google: a tool call's arguments are no JSON object",
    ))
}

/// Returns the name that a `functionResponse` needs: that of the result, or else of its call.
fn name_of<'v>(
    view: &GenerateView<'v>,
    result: &ToolResultView<'v>,
) -> Result<Text<'v>, RequestError> {
    if let Some(name) = result.name {
        return Ok(name);
    }
    let wanted = result.id.decode();
    let mut calls = view.messages.iter().flat_map(|turn| &turn.contents);
    let found = calls.find_map(|content| match content {
        ContentView::ToolCall(call) if call.id == wanted => Some(call.name),
        _ => None,
    });
    found.ok_or_else(|| {
        RequestError::unsupported(
            "google: a tool result must say its tool's name, or follow the call that it answers",
        )
    })
}

/// "response: an object; under `output` what the function gave, under `error` what went wrong".
fn response(result: &ToolResultView<'_>, out: &mut Vec<u8>) {
    let compact = lmbatch_core::compact(&result.output);
    let object = Json::new(&compact)
        .ok()
        .filter(|json| json.as_str().starts_with('{'));
    match object {
        Some(object) if !result.is_error => object.write(out),
        object => {
            let mut entry = Object::new(out);
            let out = entry.key(if result.is_error { "error" } else { "output" });
            match object {
                Some(object) => object.write(out),
                None => Text::Plain(&result.output).write_json(out),
            }
            entry.end();
        }
    }
}

/// Media types in the results of tools (function calling guide, "multimodal function responses", 2026; as copied by
/// CodeTreatise/Gen-AI).
const OF_TOOLS: [&str; 5] = [
    "image/png",
    "image/jpeg",
    "image/webp",
    "application/pdf",
    "text/plain",
];

/// Writes a `FunctionResponsePart` with bytes; it is not known whether the Developer API accepts URIs in it.
fn tool_part(
    names: Names,
    attachment: &AttachmentView<'_>,
    out: &mut Vec<u8>,
) -> Result<(), RequestError> {
    let attachment = attachment.resolve(None)?;
    if matches!(attachment.source, SourceView::Url(_) | SourceView::File(_)) {
        return Err(RequestError::unsupported(format!(
            "google takes the {} of a tool as bytes only, not by URL or id",
            attachment.kind.as_str()
        )));
    }
    let declared = attachment.mime_type.map(Text::decode).unwrap_or_default();
    let is_text = attachment.kind == AttachmentKind::Document && is_text_media_type(&declared);
    let mime = if is_text { "text/plain" } else { &declared };
    if !OF_TOOLS.contains(&mime) {
        return Err(RequestError::unsupported(format!(
            "google takes no {declared} in the result of a tool: images are png, jpeg or webp, documents PDF or text"
        )));
    }
    let mut part = Object::new(out);
    data_part(names, &attachment.source, mime, &mut part)?;
    part.end();
    Ok(())
}

fn file(
    names: Names,
    attachment: &AttachmentView<'_>,
    part: &mut Object<'_>,
) -> Result<(), RequestError> {
    let attachment = attachment.resolve(None)?;
    let declared = attachment.mime_type.map(Text::decode);
    let mime = match declared.as_deref() {
        Some(declared) => Some(media_type(attachment.kind, declared).ok_or_else(|| {
            RequestError::unsupported(format!(
                "google takes no {declared}: images are png, jpeg, webp, heic, heif or bmp, documents PDF or text"
            ))
        })?),
        None => None,
    };
    match (&attachment.source, mime) {
        (SourceView::Url(url), mime) => uri_part(names, &url.decode(), mime, part),
        (SourceView::File(id), mime) => {
            let id = id.decode();
            let uri = if id.contains("://") {
                id.into_owned()
            } else {
                let id = id.strip_prefix("files/").unwrap_or(&id);
                format!("{DEFAULT_BASE_URL}/v1beta/files/{id}")
            };
            uri_part(names, &uri, mime, part);
        }
        (source, Some(mime)) => data_part(names, source, mime, part)?,
        // Resolved bytes have a media type.
        (_, None) => {
            return Err(RequestError::invalid_input(
                "google: the media type of an attachment is not known; declare it",
            ));
        }
    }
    Ok(())
}

/// Returns the name under which Gemini accepts a media type; `None` if it does not. Sources for images, audio and video:
/// the guide on each, and that on file input (2026-08); GIF, SVG, `image/jpg`, office documents and
/// `application/rtf` are answered with "Unsupported MIME type" (vscode 286628, 2026-01-08; gemini-cli 3054,
/// 2025-07; smart-connections 1238, 2025-10; Google's forum 67388, 2025-02).
fn media_type(kind: AttachmentKind, declared: &str) -> Option<&str> {
    const IMAGES: [&str; 6] = [
        "image/png",
        "image/jpeg",
        "image/webp",
        "image/heic",
        "image/heif",
        "image/bmp",
    ];
    const SOUNDS: [&str; 12] = [
        "audio/wav",
        "audio/mpeg",
        "audio/mp3",
        "audio/mp4",
        "audio/m4a",
        "audio/aac",
        "audio/ogg",
        "audio/opus",
        "audio/flac",
        "audio/aiff",
        "audio/webm",
        "audio/pcm",
    ];
    const FILMS: [&str; 10] = [
        "video/mp4",
        "video/mpeg",
        "video/mpg",
        "video/mov",
        "video/quicktime",
        "video/avi",
        "video/x-flv",
        "video/webm",
        "video/wmv",
        "video/3gpp",
    ];
    let listed = |list: &[&str]| list.contains(&declared).then_some(declared);
    match kind {
        AttachmentKind::Image => listed(&IMAGES),
        AttachmentKind::Audio => listed(&SOUNDS),
        AttachmentKind::Video => match declared {
            "video/x-msvideo" => Some("video/avi"),
            "video/x-ms-wmv" => Some("video/wmv"),
            "video/x-m4v" => Some("video/mp4"),
            _ => listed(&FILMS),
        },
        // PDF, and text of any kind (document page, 2026-08).
        AttachmentKind::Document => match declared {
            "application/pdf" | "application/json" => Some(declared),
            "application/x-javascript" | "application/x-python-code" => Some(declared),
            "application/rtf" => Some("text/rtf"),
            "application/xml" | "image/svg+xml" => Some("text/xml"),
            "application/javascript" => Some("text/javascript"),
            _ if !is_text_media_type(declared) => None,
            _ if AttachmentKind::of_mime_type(declared) != AttachmentKind::Document => None,
            _ if declared.starts_with("text/") => Some(declared),
            _ => Some("text/plain"),
        },
    }
}

fn data_part(
    names: Names,
    source: &SourceView<'_>,
    mime: &str,
    part: &mut Object<'_>,
) -> Result<(), RequestError> {
    let mut data = Object::new(part.key(names.pick("inlineData", "inline_data")));
    data.str(names.pick("mimeType", "mime_type"), mime);
    let out = data.key("data");
    out.push(b'"');
    if !source.write_base64(out) {
        return Err(RequestError::invalid_input(
            "an attachment's bytes are not here",
        ));
    }
    out.push(b'"');
    data.end();
    Ok(())
}

fn uri_part(names: Names, uri: &str, mime: Option<&str>, part: &mut Object<'_>) {
    let mut data = Object::new(part.key(names.pick("fileData", "file_data")));
    data.some(names.pick("mimeType", "mime_type"), mime);
    data.str(names.pick("fileUri", "file_uri"), uri);
    data.end();
}
