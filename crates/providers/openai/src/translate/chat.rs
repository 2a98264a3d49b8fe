//! Bodies of `/v1/chat/completions` (OpenAI's OpenAPI document 2.3.0, 2026-08-21).

use lmbatch_core::schemas::Sent;
use lmbatch_core::{
    AttachmentKind, AttachmentView, CallIds, ContentView, GenerateView, MessageView, Object,
    RequestError, Role, SourceView, Text, ToolChoice, known_media_type, write_list,
};

use super::json::{
    CHAT_CALL_IDS, base64, check_media_type, check_thinking, data_url, file_name, image_url,
    tool_output,
};

pub(super) fn write(
    view: &GenerateView<'_>,
    schema: Option<&Sent>,
    out: &mut Vec<u8>,
) -> Result<(), RequestError> {
    let parameters = &*view.hyperparameters;
    if parameters.top_k.is_some() {
        return Err(RequestError::unsupported("openai has no top_k"));
    }
    check_thinking(view.thinking)?;
    let ids = CallIds::of(&view.messages, CHAT_CALL_IDS);
    let joined = ids.apply(view);
    let view = joined.as_ref().unwrap_or(view);
    let mut body = Object::new(out);
    body.text("model", view.model);
    messages(view, body.key("messages"))?;
    if !view.tools.is_empty() {
        write_list(body.key("tools"), view.tools, |out, tool| {
            let mut entry = Object::new(out);
            entry.str("type", "function");
            let mut function = Object::new(entry.key("function"));
            function.str("name", &tool.name);
            function.some("description", tool.description.as_deref());
            tool.parameters.as_json().write(function.key("parameters"));
            function.some("strict", tool.strict);
            function.end();
            entry.end();
            Ok(())
        })?;
    }
    if let Some(choice) = view.tool_choice {
        tool_choice(choice, body.key("tool_choice"));
    }
    if let (Some(schema), Some(sent)) = (view.schema, schema)
        && let Some(text) = &sent.schema
    {
        let mut format = Object::new(body.key("response_format"));
        format.str("type", "json_schema");
        let mut inner = Object::new(format.key("json_schema"));
        inner.str("name", &schema.name);
        text.as_json().write(inner.key("schema"));
        inner.value("strict", sent.strict);
        inner.end();
        format.end();
    }
    body.some(
        "reasoning_effort",
        view.thinking
            .and_then(|thinking| thinking.effort)
            .map(|effort| effort.as_str()),
    );
    // "max_tokens" is deprecated and refused by reasoning models.
    body.some("max_completion_tokens", parameters.max_output_tokens);
    body.some("temperature", parameters.temperature);
    body.some("top_p", parameters.top_p);
    body.some("stop", parameters.stop.as_ref());
    body.some("seed", parameters.seed);
    body.some("presence_penalty", parameters.presence_penalty);
    body.some("frequency_penalty", parameters.frequency_penalty);
    body.end();
    Ok(())
}

fn messages(view: &GenerateView<'_>, out: &mut Vec<u8>) -> Result<(), RequestError> {
    out.push(b'[');
    let mut first = true;
    if let Some(system) = view.system {
        let mut message = next(&mut first, out);
        message.str("role", "system");
        message.text("content", system);
        message.end();
    }
    for turn in &view.messages {
        // Each result of a tool is a message of its own.
        for content in &turn.contents {
            if let ContentView::ToolResult(result) = content {
                if turn.role != Role::User {
                    return Err(RequestError::unsupported(
                        "openai: tool results stand in user messages only",
                    ));
                }
                // "content: a string or text parts" (`ChatCompletionToolMessageParam` of SDK 3.54.0).
                if let Some(attachment) = result.attachments.first() {
                    return Err(RequestError::unsupported(format!(
                        "openai's chat endpoint takes no {} in the result of a tool: set the endpoint to responses, which does",
                        attachment.kind.as_str()
                    )));
                }
                let mut message = next(&mut first, out);
                message.str("role", "tool");
                message.text("tool_call_id", result.id);
                tool_output(result, message.key("content"));
                message.end();
            }
        }
        let rest = turn.contents.iter().filter(|content| {
            !matches!(
                content,
                ContentView::ToolResult(_) | ContentView::Thinking(_)
            )
        });
        if rest.count() > 0 {
            message(turn, next(&mut first, out))?;
        }
    }
    out.push(b']');
    Ok(())
}

fn next<'o>(first: &mut bool, out: &'o mut Vec<u8>) -> Object<'o> {
    if !std::mem::take(first) {
        out.push(b',');
    }
    Object::new(out)
}

fn message(turn: &MessageView<'_>, mut message: Object<'_>) -> Result<(), RequestError> {
    message.str("role", turn.role.as_str());
    let parts = turn
        .contents
        .iter()
        .filter(|content| matches!(content, ContentView::Text(_) | ContentView::Attachment(_)));
    if let [ContentView::Text(text)] = turn.contents.as_slice() {
        message.text("content", *text);
    } else if parts.clone().count() > 0 {
        write_list(message.key("content"), parts, |out, content| {
            let mut part = Object::new(out);
            match content {
                ContentView::Text(text) => {
                    part.str("type", "text");
                    part.text("text", *text);
                }
                ContentView::Attachment(attachment) if turn.role == Role::User => {
                    file(attachment, &mut part)?
                }
                _ => {
                    return Err(RequestError::unsupported(
                        "openai: attachments stand in user messages only",
                    ));
                }
            }
            part.end();
            Ok(())
        })?;
    } else {
        message.value("content", ());
    }
    let calls = turn.contents.iter().filter_map(|content| match content {
        ContentView::ToolCall(call) => Some(call),
        _ => None,
    });
    if calls.clone().count() > 0 {
        if turn.role != Role::Assistant {
            return Err(RequestError::unsupported(
                "openai: tool calls stand in assistant messages only",
            ));
        }
        write_list(message.key("tool_calls"), calls, |out, call| {
            let mut entry = Object::new(out);
            entry.str("id", &call.id);
            entry.str("type", "function");
            let mut function = Object::new(entry.key("function"));
            function.text("name", call.name);
            call.arguments.write_quoted(function.key("arguments"));
            function.end();
            entry.end();
            Ok(())
        })?;
    }
    message.end();
    Ok(())
}

fn file(attachment: &AttachmentView<'_>, part: &mut Object<'_>) -> Result<(), RequestError> {
    let attachment = &attachment.resolve(None)?;
    match (attachment.kind, &attachment.source) {
        (AttachmentKind::Image, SourceView::File(_)) => {
            return Err(RequestError::unsupported(
                "openai's chat endpoint takes no image by file id",
            ));
        }
        (AttachmentKind::Image, _) => {
            check_media_type(attachment, true)?;
            part.str("type", "image_url");
            let mut image = Object::new(part.key("image_url"));
            image_url(attachment, image.key("url"))?;
            image.end();
        }
        (AttachmentKind::Document, SourceView::Url(_)) => {
            return Err(RequestError::unsupported(
                "openai's chat endpoint takes no document by URL: set the endpoint to responses, which does",
            ));
        }
        (AttachmentKind::Document, source) => {
            check_media_type(attachment, true)?;
            part.str("type", "file");
            let mut file = Object::new(part.key("file"));
            if let SourceView::File(id) = source {
                file.text("file_id", *id);
            } else {
                file.text("filename", file_name(attachment));
                data_url(attachment, file.key("file_data"))?;
            }
            file.end();
        }
        (AttachmentKind::Audio, SourceView::Bytes(_) | SourceView::Base64(_)) => {
            part.str("type", "input_audio");
            let mut audio = Object::new(part.key("input_audio"));
            let data = audio.key("data");
            data.push(b'"');
            base64(attachment, data)?;
            data.push(b'"');
            audio.str("format", audio_format(attachment)?);
            audio.end();
        }
        (AttachmentKind::Audio, _) => {
            return Err(RequestError::unsupported(
                "openai takes audio as bytes only",
            ));
        }
        (AttachmentKind::Video, _) => {
            return Err(RequestError::unsupported("openai takes no video"));
        }
    }
    Ok(())
}

/// "format: wav or mp3" (API reference, 2026-08).
fn audio_format(attachment: &AttachmentView<'_>) -> Result<&'static str, RequestError> {
    let mime = attachment.mime_type.map(Text::decode);
    match mime.as_deref().and_then(known_media_type) {
        Some("audio/wav") => Ok("wav"),
        Some("audio/mpeg" | "audio/mp3") => Ok("mp3"),
        _ => Err(RequestError::unsupported(format!(
            "openai takes no audio of the type {}: it is audio/wav or audio/mpeg",
            mime.as_deref().unwrap_or("(not said)")
        ))),
    }
}

fn tool_choice(choice: &ToolChoice, out: &mut Vec<u8>) {
    let word = match choice {
        ToolChoice::Auto => "auto",
        ToolChoice::None => "none",
        ToolChoice::Required => "required",
        ToolChoice::Tool(name) => {
            let mut tool = Object::new(out);
            tool.str("type", "function");
            let mut function = Object::new(tool.key("function"));
            function.str("name", name);
            function.end();
            tool.end();
            return;
        }
    };
    Text::Plain(word).write_json(out);
}
