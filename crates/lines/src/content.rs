//! Parts of a message: a string, or a list of strings and of objects with a type.

use std::borrow::Cow;
use std::path::PathBuf;

use lmbatch_core::{
    Arguments, Attachment, AttachmentKind, AttachmentSource, AttachmentView, ContentView, Json,
    RequestError, SourceView, Text, ThinkingView, ToolCallView, ToolResultView, has_scheme,
    is_data_url, is_text_media_type, known_media_type, media_type_of,
};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::foreign;
use crate::values::in_words;

const TYPES: &str = "text, image, document, audio, video, tool_call, tool_result, thinking";

/// Returns an attachment as a part of a message.
pub(crate) fn attached<'a>(
    kind: AttachmentKind,
    source: SourceView<'a>,
    mime_type: Option<Text<'a>>,
    filename: Option<Text<'a>>,
) -> ContentView<'a> {
    ContentView::Attachment(AttachmentView {
        kind,
        source,
        mime_type,
        filename,
    })
}

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
    output: Option<Json<'a>>,
    is_error: Option<bool>,
    #[serde(borrow)]
    signature: Option<Text<'a>>,
}

fn bad(at: &str, reason: impl std::fmt::Display) -> RequestError {
    RequestError::invalid_input(format!("{at}: {reason}"))
}

fn parse<'a, T: Deserialize<'a>>(raw: &'a RawValue, at: &str) -> Result<T, RequestError> {
    serde_json::from_str(raw.get()).map_err(|error| bad(at, in_words(&error)))
}

fn parse_json<'a>(json: Json<'a>, at: &str) -> Result<&'a RawValue, RequestError> {
    json.parse().map_err(|error| bad(at, in_words(&error)))
}

/// Reads the contents of a message.
pub(crate) fn contents<'a>(
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
    let part: Part<'a> = parse(raw, at).map_err(|error| foreign_or(raw, at, error))?;
    let need = |field: Option<Text<'a>>, name: &str| {
        field.ok_or_else(|| bad(at, format!("a {} has {name}", part.r#type)))
    };
    let kind = match &*part.r#type {
        "text" => return Ok(ContentView::Text(need(part.text, "text")?)),
        "tool_call" => {
            return Ok(ContentView::ToolCall(ToolCallView {
                id: need(part.id, "id")?.decode(),
                name: need(part.name, "name")?,
                arguments: arguments(part.arguments),
            }));
        }
        "tool_result" => {
            let json = part
                .output
                .ok_or_else(|| bad(at, "a tool_result has output"))?;
            let given = output(json, &format!("{at}.output"), &["text"], |json, at| {
                self::part(parse_json(json, at)?, at)
            })?;
            return Ok(ContentView::ToolResult(ToolResultView {
                id: need(part.id, "id")?,
                name: part.name,
                output: given.text,
                attachments: given.attachments,
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
            let error = bad(at, format!("there is no type {other:?}; there is {TYPES}"));
            return Err(foreign_or(raw, at, error));
        }
    };
    attachment(&part, kind, at)
}

/// Returns the error that names lmbatch's form of a part in a provider's form, or else `error`.
fn foreign_or(raw: &RawValue, at: &str, error: RequestError) -> RequestError {
    let part = Json::from_raw(raw).ok();
    let said = part.and_then(foreign::part);
    said.map_or(error, |said| bad(at, said))
}

fn attachment<'a>(
    part: &Part<'a>,
    kind: AttachmentKind,
    at: &str,
) -> Result<ContentView<'a>, RequestError> {
    let mut mime_type = part.mime_type;
    let source = match (part.path, part.url, part.data, part.file_id) {
        (Some(path), None, None, None) => {
            // The bytes of a file and, for text, its name determine its type.
            SourceView::Path(Cow::Owned(PathBuf::from(path.decode().into_owned())))
        }
        (None, Some(url), None, None) => {
            let (source, found) = from_url(url).map_err(|why| bad(at, why))?;
            mime_type = mime_type.or(found);
            source
        }
        (None, None, Some(data), None) => {
            let (source, found) = from_data(data).map_err(|why| bad(at, why))?;
            mime_type = mime_type.or(found);
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

/// Returns the arguments of a call: a JSON value, or a string that should hold one; `{}` if there are none.
pub(crate) fn arguments(json: Option<Json<'_>>) -> Arguments<'_> {
    let Some(json) = json.filter(|json| json.as_str() != "null") else {
        return Arguments::Quoted(Text::Plain("{}"));
    };
    match json.parse::<Text<'_>>() {
        Ok(text) if text.decode().trim().is_empty() => Arguments::Quoted(Text::Plain("{}")),
        Ok(text) => Arguments::Quoted(text),
        Err(_) => Arguments::Value(json),
    }
}

/// Output of a tool: its text, and its images and documents.
pub(crate) struct Given<'a> {
    pub(crate) text: Cow<'a, str>,
    pub(crate) attachments: Vec<AttachmentView<'a>>,
}

impl<'a> Given<'a> {
    pub(crate) fn text(text: impl Into<Cow<'a, str>>) -> Self {
        Self {
            text: text.into(),
            attachments: Vec::new(),
        }
    }
}

/// Reads the output of a tool: a string, or a list of strings, texts (parts of the named types), images and documents.
/// `read` reads a part. Texts are joined by line breaks.
pub(crate) fn output<'a>(
    json: Json<'a>,
    at: &str,
    types: &[&str],
    read: impl Fn(Json<'a>, &str) -> Result<ContentView<'a>, RequestError>,
) -> Result<Given<'a>, RequestError> {
    #[derive(Deserialize)]
    struct Typed<'p> {
        #[serde(borrow)]
        r#type: Option<Cow<'p, str>>,
    }
    if let Ok(text) = json.parse::<Text<'a>>() {
        return Ok(Given::text(text.decode()));
    }
    let parts: Vec<Json<'a>> = json
        .parse()
        .map_err(|_| bad(at, "neither a string nor a list of parts"))?;
    let mut texts = Vec::with_capacity(parts.len());
    let mut attachments = Vec::new();
    for (place, json) in parts.into_iter().enumerate() {
        if let Ok(text) = json.parse::<Text<'a>>() {
            texts.push(text.decode());
            continue;
        }
        let at = format!("{at}[{place}]");
        let part: Typed<'a> = json.parse().map_err(|error| bad(&at, in_words(&error)))?;
        let kind = part.r#type.unwrap_or("a part without a type".into());
        if !(types.contains(&&*kind) || ATTACHED.contains(&&*kind)) {
            return Err(not_given(&at, &kind));
        }
        match read(json, &at)? {
            ContentView::Text(text) => texts.push(text.decode()),
            ContentView::Attachment(attachment) => attachments.push(attachment),
            _ => return Err(not_given(&at, &kind)),
        }
    }
    let text = match <[Cow<'a, str>; 1]>::try_from(texts) {
        Ok([one]) => one,
        Err(several) => Cow::Owned(several.join("\n")),
    };
    Ok(Given { text, attachments })
}

/// Types of parts other than text, in any dialect, that the output of a tool may hold.
const ATTACHED: [&str; 6] = [
    "image",
    "document",
    "image_url",
    "input_image",
    "file",
    "input_file",
];

fn not_given(at: &str, kind: &str) -> RequestError {
    RequestError::unsupported(format!(
        "{at}: {kind} cannot be translated; text, images and documents can"
    ))
}

/// Reads a URL, or the bytes of a data URL or of bare base64 in a known format.
pub(crate) fn from_url(url: Text<'_>) -> Result<(SourceView<'_>, Option<Text<'_>>), String> {
    let decoded = url.decode();
    if has_scheme(&decoded) {
        return from_data(url);
    }
    let source = SourceView::from_base64(url).filter(|source| {
        let head = source.head().unwrap_or_default();
        media_type_of(&head).is_some()
    });
    let source = source.ok_or("neither a URL nor base64 of a known format")?;
    Ok((source, None))
}

/// Reads the bytes of base64 or of a data URL, with the media type; also accepts a URL.
pub(crate) fn from_data(data: Text<'_>) -> Result<(SourceView<'_>, Option<Text<'_>>), String> {
    let decoded = data.decode();
    if !is_data_url(&decoded) {
        if has_scheme(&decoded) {
            return Ok((SourceView::Url(data), None));
        }
        let source = SourceView::from_base64(data).ok_or("the data is not valid base64")?;
        return Ok((source, None));
    }
    let (written, _) = lmbatch_core::split_data_url(&decoded).unwrap_or_default();
    let owned = Attachment::from_data_url(&decoded).map_err(|error| error.to_string())?;
    let AttachmentSource::Bytes(bytes) = owned.source else {
        return Err("not a data URL".to_owned());
    };
    let mime_type = match written.to_ascii_lowercase().as_str() {
        "" | "application/octet-stream" | "binary/octet-stream" => None,
        written => Some(match known_media_type(written) {
            Some(known) => known,
            None if is_text_media_type(written) => "text/plain",
            None => {
                return Err(format!(
                    "the data URL is of {written:?}, which is not a supported media type"
                ));
            }
        }),
    };
    let source = SourceView::Bytes(Cow::Owned(bytes.to_vec()));
    Ok((source, mime_type.map(Text::Plain)))
}
