//! Parts of a message: a string, or a list of strings and of objects with a type.

use std::borrow::Cow;
use std::path::PathBuf;

use lmbatch_core::{
    Arguments, Attachment, AttachmentKind, AttachmentSource, AttachmentView, ContentView, Json,
    RequestError, SourceView, Text, ThinkingView, ToolCallView, ToolResultView, known_media_type,
};
use serde::Deserialize;
use serde_json::value::RawValue;

const TYPES: &str = "text, image, document, audio, video, tool_call, tool_result, thinking";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Part<'a> {
    #[serde(borrow)]
    r#type: Cow<'a, str>,
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    path: Option<Text<'a>>,
    #[serde(borrow)]
    url: Option<Text<'a>>,
    #[serde(borrow)]
    data: Option<Text<'a>>,
    #[serde(borrow)]
    file_id: Option<Text<'a>>,
    #[serde(borrow)]
    mime_type: Option<Text<'a>>,
    #[serde(borrow)]
    filename: Option<Text<'a>>,
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    arguments: Option<Json<'a>>,
    #[serde(borrow)]
    output: Option<Text<'a>>,
    is_error: Option<bool>,
    #[serde(borrow)]
    signature: Option<Text<'a>>,
}

fn bad(at: &str, reason: impl std::fmt::Display) -> RequestError {
    RequestError::invalid_input(format!("{at}: {reason}"))
}

fn parse<'a, T: Deserialize<'a>>(raw: &'a RawValue, at: &str) -> Result<T, RequestError> {
    serde_json::from_str(raw.get()).map_err(|error| bad(at, error))
}

/// The contents of a message.
pub(super) fn contents<'a>(
    raw: &'a RawValue,
    at: &str,
) -> Result<Vec<ContentView<'a>>, RequestError> {
    if raw.get().starts_with('"') {
        return Ok(vec![ContentView::Text(parse(raw, at)?)]);
    }
    let parts: Vec<&'a RawValue> = parse(raw, at)?;
    if parts.is_empty() {
        return Err(RequestError::invalid_input(format!("{at} is empty")));
    }
    let parts = parts.into_iter().enumerate();
    parts
        .map(|(place, raw)| part(raw, &format!("{at}[{place}]")))
        .collect()
}

fn part<'a>(raw: &'a RawValue, at: &str) -> Result<ContentView<'a>, RequestError> {
    if raw.get().starts_with('"') {
        return Ok(ContentView::Text(parse(raw, at)?));
    }
    let part: Part<'a> = parse(raw, at)?;
    let need = |field: Option<Text<'a>>, name: &str| {
        field.ok_or_else(|| bad(at, format!("a {} has {name}", part.r#type)))
    };
    let kind = match &*part.r#type {
        "text" => return Ok(ContentView::Text(need(part.text, "text")?)),
        "tool_call" => {
            let arguments = part
                .arguments
                .ok_or_else(|| bad(at, "a tool_call has arguments"))?;
            let (id, name) = (need(part.id, "id")?, need(part.name, "name")?);
            return Ok(ContentView::ToolCall(ToolCallView {
                id: id.decode(),
                name,
                arguments: Arguments::Value(arguments),
            }));
        }
        "tool_result" => {
            return Ok(ContentView::ToolResult(ToolResultView {
                id: need(part.id, "id")?,
                name: part.name,
                output: need(part.output, "output")?,
                is_error: part.is_error.unwrap_or(false),
            }));
        }
        "thinking" => {
            return Ok(ContentView::Thinking(ThinkingView {
                text: part.text,
                id: part.id,
                signature: part.signature,
                data: part.data,
            }));
        }
        "image" => AttachmentKind::Image,
        "document" => AttachmentKind::Document,
        "audio" => AttachmentKind::Audio,
        "video" => AttachmentKind::Video,
        other => {
            return Err(bad(
                at,
                format!("there is no type {other:?}; there is {TYPES}"),
            ));
        }
    };
    attachment(&part, kind, at)
}

fn attachment<'a>(
    part: &Part<'a>,
    kind: AttachmentKind,
    at: &str,
) -> Result<ContentView<'a>, RequestError> {
    let mut mime_type = part.mime_type;
    let source = match (part.path, part.url, part.data, part.file_id) {
        (Some(path), None, None, None) => {
            // Its bytes and, for text, its name say what it is.
            SourceView::Path(Cow::Owned(PathBuf::from(path.decode().into_owned())))
        }
        (None, Some(url), None, None) => {
            let (source, found) = from_url(url).map_err(|why| bad(at, why))?;
            mime_type = mime_type.or(found);
            source
        }
        (None, None, Some(data), None) => {
            if mime_type.is_none() {
                return Err(bad(at, "data wants a mime_type"));
            }
            let source = SourceView::Base64(data);
            if source.decode_base64().is_none() {
                return Err(bad(at, "the data is not valid base64"));
            }
            source
        }
        (None, None, None, Some(id)) => SourceView::File(id),
        _ => {
            let article = if matches!(kind, AttachmentKind::Image | AttachmentKind::Audio) {
                "an"
            } else {
                "a"
            };
            return Err(bad(
                at,
                format!(
                    "{article} {} has exactly one of path, url, data, file_id",
                    kind.as_str()
                ),
            ));
        }
    };
    Ok(ContentView::Attachment(AttachmentView {
        kind,
        source,
        mime_type,
        filename: part.filename,
    }))
}

/// A URL, or the bytes and the type that a data URL holds.
pub(super) fn from_url(url: Text<'_>) -> Result<(SourceView<'_>, Option<Text<'_>>), String> {
    let decoded = url.decode();
    if !decoded.starts_with("data:") {
        return Ok((SourceView::Url(url), None));
    }
    let owned = Attachment::from_data_url(&decoded).map_err(|error| error.to_string())?;
    let AttachmentSource::Bytes(bytes) = owned.source else {
        return Err("not a data URL".to_owned());
    };
    let mime_type = match owned.mime_type.as_deref() {
        None | Some("application/octet-stream" | "binary/octet-stream") => None,
        Some(written) => Some(known_media_type(written).ok_or_else(|| {
            format!("the data URL is of {written:?}, which is no media type that a provider takes")
        })?),
    };
    let source = SourceView::Bytes(Cow::Owned(bytes.to_vec()));
    Ok((source, mime_type.map(Text::Plain)))
}
