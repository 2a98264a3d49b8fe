//! Messages and items of OpenAI batch lines.

use lmbatch_core::{
    AttachmentKind, AttachmentView, ContentView, Json, MessageView, RequestError, Role, SourceView,
    Text, ThinkingView, ToolCallView, ToolResultView, known_media_type,
};

use crate::content::{Given, arguments, from_data, from_url, output};
use crate::context::bad;
use crate::members::Members;
use crate::translated::{drop_thoughts, file_of, is_only_thought, untranslated};

/// The `input` of `/v1/responses`: a string, or items.
pub(crate) fn input(value: Json<'_>) -> Result<Vec<MessageView<'_>>, RequestError> {
    if let Ok(text) = value.parse::<Text<'_>>() {
        return Ok(vec![MessageView {
            role: Role::User,
            contents: vec![ContentView::Text(text)],
        }]);
    }
    list(value, "body.input")
}

/// The `messages` of `/v1/chat/completions`.
pub(crate) fn messages(value: Json<'_>) -> Result<Vec<MessageView<'_>>, RequestError> {
    list(value, "body.messages")
}

fn list<'a>(value: Json<'a>, name: &str) -> Result<Vec<MessageView<'a>>, RequestError> {
    let items: Vec<Json<'a>> = value
        .parse()
        .map_err(|_| bad(format!("{name} is not a list")))?;
    let mut messages: Vec<MessageView<'a>> = Vec::with_capacity(items.len());
    for (place, json) in items.into_iter().enumerate() {
        let message = message(Members::of(json, &format!("{name}[{place}]"))?)?;
        match messages.last_mut() {
            // Reasoning is an item of its own there, and stands before what it led to.
            Some(before) if before.role == message.role && is_only_thought(before) => {
                before.contents.extend(message.contents);
            }
            _ => messages.push(message),
        }
    }
    drop_thoughts(&mut messages);
    Ok(messages)
}

/// Said of what a model made; nothing to another.
const MADE: [&str; 2] = ["id", "object"];

fn message(mut item: Members<'_>) -> Result<MessageView<'_>, RequestError> {
    item.ignore(&MADE);
    // One that was cut off, or that is no answer, would be taken for a whole one.
    item.refuse(&["status"], &["completed"])?;
    item.refuse(&["phase"], &["final_answer"])?;
    let kind = item.text("type")?.map(Text::decode);
    let (role, contents) = match kind.as_deref() {
        None | Some("message") => return spoken(item),
        Some("function_call") => {
            let call = ToolCallView {
                id: item.need("call_id")?.decode(),
                name: item.need("name")?,
                arguments: arguments(item.take("arguments")),
            };
            (Role::Assistant, vec![ContentView::ToolCall(call)])
        }
        Some("function_call_output") => {
            let id = item.need("call_id")?;
            let output = result(&mut item, "output")?;
            (Role::User, vec![answer(id, None, output)])
        }
        Some("reasoning") => {
            // The seal is OpenAI's.
            item.ignore(&["encrypted_content"]);
            let mut contents = Vec::new();
            for name in ["summary", "content"] {
                if let Some(parts) = item.take(name) {
                    contents.extend(thoughts(parts, &format!("{}.{name}", item.at))?);
                }
            }
            if contents.is_empty() {
                contents.push(ContentView::Thinking(ThinkingView::default()));
            }
            (Role::Assistant, contents)
        }
        Some(other) => {
            return Err(untranslated(&format!("{}: {other}", item.at)));
        }
    };
    item.end()?;
    Ok(MessageView { role, contents })
}

fn thoughts<'a>(parts: Json<'a>, at: &str) -> Result<Vec<ContentView<'a>>, RequestError> {
    let parts: Vec<Json<'a>> = parts
        .parse()
        .map_err(|_| bad(format!("{at} is not a list")))?;
    let parts = parts.into_iter().enumerate().map(|(place, json)| {
        let mut part = Members::of(json, &format!("{at}[{place}]"))?;
        part.ignore(&["type"]);
        let text = part.need("text")?;
        part.end()?;
        Ok(thought(text))
    });
    parts.collect()
}

fn thought(text: Text<'_>) -> ContentView<'_> {
    ContentView::Thinking(ThinkingView {
        text: Some(text),
        ..ThinkingView::default()
    })
}

/// A message with a role.
fn spoken(mut item: Members<'_>) -> Result<MessageView<'_>, RequestError> {
    let role = item.need("role")?.decode();
    let role = match &*role {
        "system" | "developer" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "tool" => {
            let id = item.need("tool_call_id")?;
            let name = item.text("name")?;
            let output = result(&mut item, "content")?;
            item.end()?;
            return Ok(MessageView {
                role: Role::User,
                contents: vec![answer(id, name, output)],
            });
        }
        // Of old: the function's name is all that joins call and result.
        "function" => {
            let name = item.need("name")?;
            let output = result(&mut item, "content")?;
            item.end()?;
            return Ok(MessageView {
                role: Role::User,
                contents: vec![answer(name, Some(name), output)],
            });
        }
        _ => return Err(bad(format!("{}.role cannot be translated", item.at))),
    };
    let mut contents = Vec::new();
    if role == Role::Assistant {
        // As servers that imitate OpenAI show what a model thought: without the seal that others ask for.
        item.refuse(
            &[
                "reasoning_content",
                "reasoning",
                "reasoning_details",
                "annotations",
            ],
            &[],
        )?;
        item.ignore(&["logprobs"]);
    }
    if let Some(content) = item.take("content") {
        contents.extend(self::contents(content, &format!("{}.content", item.at))?);
    }
    if role == Role::Assistant {
        item.refuse(&["refusal"], &[])?;
        calls(&mut item, &mut contents)?;
    }
    if contents.is_empty() {
        return Err(bad(format!("{} says nothing", item.at)));
    }
    item.end()?;
    Ok(MessageView { role, contents })
}

fn calls<'a>(
    item: &mut Members<'a>,
    contents: &mut Vec<ContentView<'a>>,
) -> Result<(), RequestError> {
    if let Some(list) = item.take("tool_calls") {
        let at = format!("{}.tool_calls", item.at);
        let list: Vec<Json<'a>> = list
            .parse()
            .map_err(|_| bad(format!("{at} is not a list")))?;
        for (place, json) in list.into_iter().enumerate() {
            let at = format!("{at}[{place}]");
            let mut call = Members::of(json, &at)?;
            call.ignore(&["index", "status"]);
            let kind = call.text("type")?.map(Text::decode);
            if let Some(other) = kind.filter(|kind| kind != "function") {
                return Err(RequestError::unsupported(format!(
                    "{at}: a call of type {other} cannot be translated"
                )));
            }
            let id = call.text("id")?;
            let function = call.take("function");
            let function = function.ok_or_else(|| bad(format!("{at}.function must be there")))?;
            call.end()?;
            contents.push(called(function, id, &format!("{at}.function"))?);
        }
    }
    if let Some(function) = item.take("function_call") {
        contents.push(called(
            function,
            None,
            &format!("{}.function_call", item.at),
        )?);
    }
    Ok(())
}

/// A call; without an id its function's name is its id.
fn called<'a>(
    function: Json<'a>,
    id: Option<Text<'a>>,
    at: &str,
) -> Result<ContentView<'a>, RequestError> {
    let mut function = Members::of(function, at)?;
    let name = function.need("name")?;
    let arguments = arguments(function.take("arguments"));
    function.end()?;
    Ok(ContentView::ToolCall(ToolCallView {
        id: id.unwrap_or(name).decode(),
        name,
        arguments,
    }))
}

/// Reads the output of a tool: a string, or text, images and documents in parts. It may be empty.
fn result<'a>(item: &mut Members<'a>, name: &str) -> Result<Given<'a>, RequestError> {
    let at = format!("{}.{name}", item.at);
    if !item.has(name) {
        return Err(bad(format!("{at} must be there")));
    }
    match item.take(name) {
        Some(json) => output(
            json,
            &at,
            &["text", "input_text", "output_text"],
            |json, at| content(Members::of(json, at)?),
        ),
        None => Ok(Given::text("")),
    }
}

fn answer<'a>(id: Text<'a>, name: Option<Text<'a>>, given: Given<'a>) -> ContentView<'a> {
    ContentView::ToolResult(ToolResultView {
        id,
        name,
        output: given.text,
        attachments: given.attachments,
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
        if let Ok(text) = json.parse::<Text<'a>>() {
            return Ok(ContentView::Text(text));
        }
        content(Members::of(json, &at)?)
    };
    parts.into_iter().enumerate().map(part).collect()
}

fn content(mut part: Members<'_>) -> Result<ContentView<'_>, RequestError> {
    // What OpenAI's model made of a text.
    part.ignore(&["logprobs"]);
    part.refuse(&["annotations"], &[])?;
    let kind = part.need("type")?.decode();
    let content = match &*kind {
        "text" | "input_text" | "output_text" => ContentView::Text(part.need("text")?),
        "image_url" | "input_image" => image(&mut part)?,
        "input_audio" => audio(&mut part)?,
        "file" | "input_file" => file(&mut part)?,
        other => {
            return Err(untranslated(&format!("{}: {other}", part.at)));
        }
    };
    part.end()?;
    Ok(content)
}

fn image<'a>(part: &mut Members<'a>) -> Result<ContentView<'a>, RequestError> {
    let at = part.at.clone();
    // How closely OpenAI looks at a picture; "auto" is what happens without a word.
    part.refuse(&["detail"], &["auto"])?;
    refuse_file_id(part)?;
    let Some(image) = part.take("image_url") else {
        return Err(bad(format!("{at}.image_url must be there")));
    };
    let url = match image.parse::<Text<'a>>() {
        Ok(url) => url,
        Err(_) => {
            let mut image = Members::of(image, &format!("{at}.image_url"))?;
            image.refuse(&["detail"], &["auto"])?;
            let url = image.need("url")?;
            image.end()?;
            url
        }
    };
    let (source, mime_type) = from_url(url).map_err(|why| bad(format!("{at}.image_url: {why}")))?;
    Ok(attachment(AttachmentKind::Image, source, mime_type, None))
}

fn audio<'a>(part: &mut Members<'a>) -> Result<ContentView<'a>, RequestError> {
    let at = format!("{}.input_audio", part.at);
    let Some(audio) = part.take("input_audio") else {
        return Err(bad(format!("{at} must be there")));
    };
    let mut audio = Members::of(audio, &at)?;
    let data = audio.need("data")?;
    let format = audio.text("format")?.map(Text::decode);
    audio.end()?;
    let declared = match format.as_deref() {
        None => None,
        Some("mp3") => Some("audio/mpeg"),
        Some("pcm16") => Some("audio/pcm"),
        Some(format) => {
            let known = known_media_type(&format!("audio/{format}"));
            Some(known.ok_or_else(|| {
                bad(format!(
                    "{at}.format is {format}, which is no known format of sound"
                ))
            })?)
        }
    };
    let (source, found) = from_data(data).map_err(|why| bad(format!("{at}.data: {why}")))?;
    let mime_type = found.or(declared.map(Text::Plain));
    Ok(attachment(AttachmentKind::Audio, source, mime_type, None))
}

fn file<'a>(part: &mut Members<'a>) -> Result<ContentView<'a>, RequestError> {
    part.refuse(&["detail"], &["auto"])?;
    if let Some(file) = part.take("file") {
        let mut file = Members::of(file, &format!("{}.file", part.at))?;
        let content = document(&mut file)?;
        file.end()?;
        return Ok(content);
    }
    document(part)
}

fn document<'a>(file: &mut Members<'a>) -> Result<ContentView<'a>, RequestError> {
    refuse_file_id(file)?;
    let filename = file.text("filename")?;
    let (name, found) = match (file.text("file_data")?, file.text("file_url")?) {
        (Some(data), None) => ("file_data", from_data(data)),
        (None, Some(url)) => ("file_url", from_url(url)),
        _ => {
            return Err(bad(format!(
                "{} has exactly one of file_data and file_url",
                file.at
            )));
        }
    };
    let (source, mime_type) = found.map_err(|why| bad(format!("{}.{name}: {why}", file.at)))?;
    Ok(attachment(
        AttachmentKind::Document,
        source,
        mime_type,
        filename,
    ))
}

fn refuse_file_id(part: &mut Members<'_>) -> Result<(), RequestError> {
    if part.text("file_id")?.is_none() {
        return Ok(());
    }
    Err(file_of("OpenAI", &format!("{}.file_id", part.at)))
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
