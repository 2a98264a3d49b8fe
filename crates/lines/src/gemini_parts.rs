//! Contents and parts of Gemini batch lines.

use std::borrow::Cow;

use lmbatch_core::{
    AttachmentKind, AttachmentView, ContentView, Json, MessageView, RequestError, Role, SourceView,
    Text, ThinkingView, ToolCallView, ToolResultView,
};

use crate::content::{arguments, from_data};
use crate::context::bad;
use crate::members::{Members, members};
use crate::translated::{drop_thoughts, file_of};
use crate::values::{list, untranslated};

/// Members of a part that are translated.
const PART: [&str; 7] = [
    "text",
    "thought",
    "thoughtSignature",
    "inlineData",
    "fileData",
    "functionCall",
    "functionResponse",
];

/// Reads the texts of a system instruction.
pub(crate) fn system(value: Json<'_>) -> Result<Vec<Text<'_>>, RequestError> {
    let at = "request.systemInstruction";
    let mut content = Members::spelled(value, at, &[])?;
    // Google ignores the role of a system instruction.
    content.ignore(&["role"]);
    let parts = parts(&mut content)?;
    content.end_exact()?;
    let text = |part| match part {
        ContentView::Text(text) => Ok(text),
        _ => Err(bad(format!("{at} holds content other than text"))),
    };
    parts.into_iter().map(text).collect()
}

/// Reads the member `contents` of a request.
pub(crate) fn messages(value: Json<'_>) -> Result<Vec<MessageView<'_>>, RequestError> {
    let items = list(value, "request.contents")?;
    let mut messages = Vec::with_capacity(items.len());
    for (place, json) in items.into_iter().enumerate() {
        let mut content = Members::of(json, &format!("request.contents[{place}]"))?;
        let role = match content.text("role")?.map(Text::decode).as_deref() {
            None | Some("user" | "function") => Role::User,
            Some("model") => Role::Assistant,
            Some(_) => return Err(untranslated(&format!("{}.role", content.at))),
        };
        let contents = parts(&mut content)?;
        content.end_exact()?;
        messages.push(MessageView { role, contents });
    }
    drop_thoughts(&mut messages);
    Ok(messages)
}

fn parts<'a>(content: &mut Members<'a>) -> Result<Vec<ContentView<'a>>, RequestError> {
    let at = format!("{}.parts", content.at);
    let Some(parts) = content.take("parts") else {
        return Err(bad(format!("{at} is missing")));
    };
    let parts = list(parts, &at)?;
    let mut contents = Vec::with_capacity(parts.len());
    for (place, json) in parts.into_iter().enumerate() {
        contents.extend(part(json, &format!("{at}[{place}]"))?);
    }
    Ok(contents)
}

/// Reads a part; `None` for a part with only Google's signature of a thought.
fn part<'a>(json: Json<'a>, at: &str) -> Result<Option<ContentView<'a>>, RequestError> {
    let mut part = Members::spelled(json, at, &PART)?;
    let has_signature = part.take("thoughtSignature").is_some();
    let is_thought = part.flag("thought")?.unwrap_or(false);
    let text = part.text("text")?;
    let mut found = text.map(|text| match is_thought {
        true => ContentView::Thinking(ThinkingView {
            text: Some(text),
            ..ThinkingView::default()
        }),
        false => ContentView::Text(text),
    });
    let readers: [(&str, Reader<'a>); 4] = [
        ("inlineData", inline_data),
        ("fileData", file_data),
        ("functionCall", function_call),
        ("functionResponse", function_response),
    ];
    for (name, read) in readers {
        let Some(value) = part.take(name) else {
            continue;
        };
        if found.is_some() || is_thought {
            return Err(bad(format!(
                "{at}.{name} cannot be combined with other content"
            )));
        }
        found = Some(read(value, &format!("{at}.{name}"))?);
    }
    part.end_exact()?;
    match found {
        // A part of an answer may hold only a signature.
        None if has_signature || is_thought => Ok(None),
        None => Err(bad(format!("{at} is empty"))),
        Some(ContentView::Text(text)) if has_signature && text.is_empty() => Ok(None),
        found => Ok(found),
    }
}

/// Function that reads one member of a part.
type Reader<'a> = fn(Json<'a>, &str) -> Result<ContentView<'a>, RequestError>;

fn inline_data<'a>(json: Json<'a>, at: &str) -> Result<ContentView<'a>, RequestError> {
    let mut data = Members::spelled(json, at, &["mimeType", "displayName"])?;
    let mime_type = data.need("mimeType")?;
    let filename = data.text("displayName")?;
    let found = from_data(data.need("data")?);
    let (source, _) = found.map_err(|why| bad(format!("{at}.data: {why}")))?;
    data.end_exact()?;
    Ok(attachment(source, mime_type, filename))
}

fn file_data<'a>(json: Json<'a>, at: &str) -> Result<ContentView<'a>, RequestError> {
    let mut data = Members::spelled(json, at, &["mimeType", "fileUri", "displayName"])?;
    let uri = data.need("fileUri")?;
    let address = uri.decode();
    let is_web = address.starts_with("https://") || address.starts_with("http://");
    if !is_web || address.contains("//generativelanguage.googleapis.com/") {
        return Err(file_of("Google", &format!("{at}.fileUri")));
    }
    let mime_type = data.need("mimeType")?;
    let filename = data.text("displayName")?;
    data.end_exact()?;
    Ok(attachment(SourceView::Url(uri), mime_type, filename))
}

fn attachment<'a>(
    source: SourceView<'a>,
    mime_type: Text<'a>,
    filename: Option<Text<'a>>,
) -> ContentView<'a> {
    ContentView::Attachment(AttachmentView {
        kind: AttachmentKind::of_mime_type(&mime_type.decode().to_ascii_lowercase()),
        source,
        mime_type: Some(mime_type),
        filename,
    })
}

/// Reads a call; without an id the function's name serves as the id.
fn function_call<'a>(json: Json<'a>, at: &str) -> Result<ContentView<'a>, RequestError> {
    let mut call = Members::of(json, at)?;
    let name = call.need("name")?;
    let id = call.text("id")?.unwrap_or(name);
    let arguments = arguments(call.value("args"));
    call.end_exact()?;
    Ok(ContentView::ToolCall(ToolCallView {
        id: id.decode(),
        name,
        arguments,
    }))
}

/// Reads a function's response. Google's reference: "If `output` and `error` keys are not specified, then whole
/// `response` is treated as function output."
fn function_response<'a>(json: Json<'a>, at: &str) -> Result<ContentView<'a>, RequestError> {
    let mut result = Members::of(json, at)?;
    let name = result.need("name")?;
    let id = result.text("id")?.unwrap_or(name);
    let (output, is_error) = match result.value("response") {
        Some(response) => response_of(response, &format!("{at}.response"))?,
        None => (Cow::Borrowed(""), false),
    };
    let mut attachments = Vec::new();
    if let Some(parts) = result.take("parts") {
        let at = format!("{at}.parts");
        let parts = list(parts, &at)?;
        for (place, json) in parts.into_iter().enumerate() {
            let at = format!("{at}[{place}]");
            match part(json, &at)? {
                Some(ContentView::Attachment(attachment)) => attachments.push(attachment),
                _ => return Err(untranslated(&at)),
            }
        }
    }
    result.end_exact()?;
    Ok(ContentView::ToolResult(ToolResultView {
        id,
        name: Some(name),
        output,
        attachments,
        is_error,
    }))
}

/// Returns the output text of a function, and true if the function failed.
fn response_of<'a>(json: Json<'a>, at: &str) -> Result<(Cow<'a, str>, bool), RequestError> {
    if !json.as_str().starts_with('{') {
        return Err(bad(format!("{at} is not a JSON object")));
    }
    let members = members(json).map_err(|error| bad(format!("{at}: {error}")))?;
    let only = members.iter().next().filter(|_| members.len() == 1);
    Ok(match only {
        Some((name, value)) if name == "output" || name == "error" => {
            let text = value.parse::<Text<'a>>().map(Text::decode);
            (text.unwrap_or(value.as_str().into()), name == "error")
        }
        _ => (json.as_str().into(), false),
    })
}
