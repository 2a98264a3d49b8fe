//! Messages and items in OpenAI's words.

use std::borrow::Cow;

use lmbatch_core::{
    Arguments, AttachmentKind, AttachmentView, ContentView, Json, MessageView, RequestError, Role,
    SourceView, Text, ToolCallView, ToolResultView,
};
use serde::Deserialize;

use super::bad;
use super::content::from_url;

/// An item of `input`, or a message of `messages`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Item<'a> {
    #[serde(borrow)]
    r#type: Option<Cow<'a, str>>,
    #[serde(borrow)]
    role: Option<Cow<'a, str>>,
    #[serde(borrow)]
    content: Option<Json<'a>>,
    #[serde(borrow)]
    call_id: Option<Text<'a>>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    arguments: Option<Text<'a>>,
    #[serde(borrow)]
    output: Option<Text<'a>>,
    #[serde(borrow)]
    tool_calls: Option<Vec<Call<'a>>>,
    #[serde(borrow)]
    tool_call_id: Option<Text<'a>>,
    // Said of what a model made; they say nothing to another.
    #[serde(borrow, rename = "id")]
    _id: Option<Json<'a>>,
    #[serde(borrow, rename = "status")]
    _status: Option<Json<'a>>,
}

#[derive(Deserialize)]
struct Call<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow)]
    function: Function<'a>,
}

#[derive(Deserialize)]
struct Function<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    arguments: Text<'a>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Part<'a> {
    #[serde(borrow)]
    r#type: Cow<'a, str>,
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    refusal: Option<Text<'a>>,
    /// A string in responses, an object in chat completions.
    #[serde(borrow)]
    image_url: Option<Json<'a>>,
    #[serde(borrow)]
    input_audio: Option<Audio<'a>>,
    #[serde(borrow)]
    file: Option<FilePart<'a>>,
    #[serde(borrow)]
    file_id: Option<Text<'a>>,
    #[serde(borrow)]
    file_url: Option<Text<'a>>,
    #[serde(borrow)]
    file_data: Option<Text<'a>>,
    #[serde(borrow)]
    filename: Option<Text<'a>>,
    // How closely OpenAI looks at a picture, and what it made of a text: nothing to another.
    #[serde(borrow, rename = "detail")]
    _detail: Option<Json<'a>>,
    #[serde(borrow, rename = "annotations")]
    _annotations: Option<Json<'a>>,
    #[serde(borrow, rename = "logprobs")]
    _logprobs: Option<Json<'a>>,
}

#[derive(Deserialize)]
struct Audio<'a> {
    #[serde(borrow)]
    data: Text<'a>,
    #[serde(borrow)]
    format: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct FilePart<'a> {
    #[serde(borrow)]
    file_id: Option<Text<'a>>,
    #[serde(borrow)]
    file_data: Option<Text<'a>>,
    #[serde(borrow)]
    filename: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct ImageUrl<'a> {
    #[serde(borrow)]
    url: Text<'a>,
}

/// The `input` of `/v1/responses`: a string, or items.
pub(super) fn input(value: Json<'_>) -> Result<Vec<MessageView<'_>>, RequestError> {
    if let Ok(text) = value.parse::<Text<'_>>() {
        return Ok(vec![MessageView {
            role: Role::User,
            contents: vec![ContentView::Text(text)],
        }]);
    }
    list(value, "body.input")
}

/// The `messages` of `/v1/chat/completions`.
pub(super) fn messages(value: Json<'_>) -> Result<Vec<MessageView<'_>>, RequestError> {
    list(value, "body.messages")
}

fn list<'a>(value: Json<'a>, name: &str) -> Result<Vec<MessageView<'a>>, RequestError> {
    let items: Vec<Json<'a>> = value
        .parse()
        .map_err(|_| bad(format!("{name} is not a list")))?;
    let mut messages = Vec::with_capacity(items.len());
    for (place, json) in items.into_iter().enumerate() {
        let at = format!("{name}[{place}]");
        let item: Item<'a> = json
            .parse()
            .map_err(|error| bad(format!("{at}: {error}")))?;
        messages.push(message(item, &at)?);
    }
    Ok(messages)
}

fn message<'a>(item: Item<'a>, at: &str) -> Result<MessageView<'a>, RequestError> {
    let need = |field: Option<Text<'a>>, name: &str| {
        field.ok_or_else(|| bad(format!("{at}.{name} must be there")))
    };
    let one = |role, content| {
        Ok(MessageView {
            role,
            contents: vec![content],
        })
    };
    match item.r#type.as_deref() {
        None | Some("message") => {}
        Some("function_call") => {
            let call = ToolCallView {
                id: need(item.call_id, "call_id")?.decode(),
                name: need(item.name, "name")?,
                arguments: Arguments::Quoted(need(item.arguments, "arguments")?),
            };
            return one(Role::Assistant, ContentView::ToolCall(call));
        }
        Some("function_call_output") => {
            let result = result(need(item.call_id, "call_id")?, need(item.output, "output")?);
            return one(Role::User, result);
        }
        Some(other) => {
            return Err(RequestError::unsupported(format!(
                "{at}: {other} cannot be translated"
            )));
        }
    }
    let role = match item.role.as_deref() {
        Some("system" | "developer") => Role::System,
        Some("user") => Role::User,
        Some("assistant") => Role::Assistant,
        Some("tool") => {
            let text = item.content.and_then(|content| content.parse().ok());
            let result = result(
                need(item.tool_call_id, "tool_call_id")?,
                need(text, "content")?,
            );
            return one(Role::User, result);
        }
        _ => return Err(bad(format!("{at}.role cannot be translated"))),
    };
    let mut contents = match item.content.filter(|content| content.as_str() != "null") {
        Some(content) => self::contents(content, &format!("{at}.content"))?,
        None => Vec::new(),
    };
    contents.extend(item.tool_calls.into_iter().flatten().map(|call| {
        ContentView::ToolCall(ToolCallView {
            id: call.id.decode(),
            name: call.function.name,
            arguments: Arguments::Quoted(call.function.arguments),
        })
    }));
    if contents.is_empty() {
        return Err(bad(format!("{at} says nothing")));
    }
    Ok(MessageView { role, contents })
}

fn result<'a>(id: Text<'a>, output: Text<'a>) -> ContentView<'a> {
    ContentView::ToolResult(ToolResultView {
        id,
        name: None,
        output,
        is_error: false,
    })
}

fn contents<'a>(json: Json<'a>, at: &str) -> Result<Vec<ContentView<'a>>, RequestError> {
    if let Ok(text) = json.parse::<Text<'a>>() {
        return Ok(vec![ContentView::Text(text)]);
    }
    let parts: Vec<Json<'a>> = json
        .parse()
        .map_err(|_| bad(format!("{at} is neither a string nor a list")))?;
    let part = |(place, json): (usize, Json<'a>)| {
        let at = format!("{at}[{place}]");
        let part: Part<'a> = json
            .parse()
            .map_err(|error| bad(format!("{at}: {error}")))?;
        content(part, &at)
    };
    parts.into_iter().enumerate().map(part).collect()
}

fn content<'a>(part: Part<'a>, at: &str) -> Result<ContentView<'a>, RequestError> {
    if let Some(text) = part.text.or(part.refusal) {
        return Ok(ContentView::Text(text));
    }
    let by_url = |kind, url: Text<'a>, filename| {
        let (source, mime_type) = from_url(url).map_err(|why| bad(format!("{at}: {why}")))?;
        Ok(attachment(kind, source, mime_type, filename))
    };
    if let Some(image) = part.image_url {
        let url = image
            .parse::<ImageUrl<'a>>()
            .map(|image| image.url)
            .or_else(|_| image.parse::<Text<'a>>())
            .map_err(|_| bad(format!("{at}.image_url is no URL")))?;
        return by_url(AttachmentKind::Image, url, None);
    }
    if let Some(audio) = part.input_audio {
        let at = format!("{at}.input_audio");
        let mime_type = match audio.format.as_deref() {
            Some("wav") => "audio/wav",
            Some("mp3") => "audio/mpeg",
            other => {
                let other = other.unwrap_or("none");
                return Err(bad(format!("{at}.format is {other}; it is wav or mp3")));
            }
        };
        let mime_type = Text::Plain(mime_type);
        let source = SourceView::Base64(audio.data);
        if source.decode_base64().is_none() {
            return Err(bad(format!("{at}.data is not valid base64")));
        }
        return Ok(attachment(
            AttachmentKind::Audio,
            source,
            Some(mime_type),
            None,
        ));
    }
    let (id, data, filename) = match &part.file {
        Some(file) => (file.file_id, file.file_data, file.filename),
        None => (
            part.file_id,
            part.file_data.or(part.file_url),
            part.filename,
        ),
    };
    match (id, data) {
        (Some(_), _) => Err(RequestError::unsupported(format!(
            "{at}.file_id: a file at OpenAI cannot be reached by another provider"
        ))),
        (None, Some(url)) => by_url(AttachmentKind::Document, url, filename),
        (None, None) => Err(RequestError::unsupported(format!(
            "{at}: {} cannot be translated",
            part.r#type
        ))),
    }
}

fn attachment<'a>(
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
