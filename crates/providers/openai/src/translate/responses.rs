//! Writes bodies of `/v1/responses` (OpenAI's OpenAPI document 2.3.0, 2026-08-21).

use lmbatch_core::schemas::SentSchema;
use lmbatch_core::{
    AttachmentKind, AttachmentView, CallIds, ContentView, Effort, FollowUp, GenerateView,
    MessageView, Object, RequestError, Role, SourceView, Text, ThinkingView, ToolChoice, ToolNames,
    ToolResultView, append_items, check_call_pairs, replace_member, write_list,
};

use super::json::{
    CALL_IDS, check_media_type, check_thinking, data_url, file_name, tool_output, url,
};

/// "Invalid 'tools[0].name': string too long. Expected a string with maximum length 128" (measured at
/// `/v1/responses`, 2026-10-05), "Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'" (errors of the API).
const TOOL_NAMES: ToolNames = ToolNames {
    max_len: 128,
    punctuation: "_-",
    begins_with_letter: false,
};

pub(super) fn write(
    view: &GenerateView<'_>,
    schema: Option<&SentSchema>,
    out: &mut Vec<u8>,
) -> Result<(), RequestError> {
    let parameters = &*view.hyperparameters;
    for (set, name) in [
        (parameters.top_k.is_some(), "top_k"),
        (parameters.stop.is_some(), "stop"),
        (parameters.seed.is_some(), "seed"),
        (parameters.presence_penalty.is_some(), "presence_penalty"),
        (parameters.frequency_penalty.is_some(), "frequency_penalty"),
    ] {
        if set {
            let hint = if name == "top_k" {
                "openai has none"
            } else {
                "set the endpoint to chat_completions, which has"
            };
            return Err(RequestError::unsupported(format!(
                "openai's /v1/responses has no {name}: {hint}"
            )));
        }
    }
    check_thinking(view.thinking)?;
    TOOL_NAMES.check("openai", view)?;
    // "No tool call found for function call output with call_id …" and "No tool output found for function call …" (errors
    // of the API; public threads of 2025 and 2026). The calls may stand in an answer that OpenAI stores.
    let is_continued = |name: &&str| parameters.extra.contains_key(*name);
    if !["previous_response_id", "conversation"]
        .iter()
        .any(is_continued)
    {
        check_call_pairs("openai", &view.messages)?;
    }
    let ids = CallIds::of(&view.messages, CALL_IDS);
    let joined = ids.apply(view);
    let view = joined.as_ref().unwrap_or(view);
    // System messages at the start are the instructions; later ones keep their position.
    let leading = view
        .messages
        .iter()
        .take_while(|message| message.role == Role::System)
        .count();
    let (system, turns) = view.messages.split_at(leading);
    if turns.is_empty() {
        return Err(RequestError::invalid_input(
            "there is nothing but system messages; add a user message",
        ));
    }
    let mut body = Object::new(out);
    body.text("model", view.model);
    if view.system.is_some() || !system.is_empty() {
        instructions(view, system, body.key("instructions"))?;
    }
    input(turns, body.key("input"))?;
    if !view.tools.is_empty() {
        tools(view, body.key("tools"))?;
    }
    if let Some(choice) = view.tool_choice {
        tool_choice(choice, body.key("tool_choice"));
    }
    if let (Some(schema), Some(sent)) = (view.schema, schema)
        && let Some(text) = &sent.schema
    {
        let mut outer = Object::new(body.key("text"));
        let mut format = Object::new(outer.key("format"));
        format.str("type", "json_schema");
        format.str("name", &schema.name);
        text.as_json().write(format.key("schema"));
        format.value("strict", sent.strict);
        format.end();
        outer.end();
    }
    if let Some(thinking) = view.thinking {
        let mut reasoning = Object::new(body.key("reasoning"));
        reasoning.some("effort", thinking.effort.map(Effort::as_str));
        if thinking.effort != Some(Effort::None) {
            reasoning.str("summary", "auto");
        }
        reasoning.end();
    }
    body.some("max_output_tokens", parameters.max_output_tokens);
    body.some("temperature", parameters.temperature);
    body.some("top_p", parameters.top_p);
    body.end();
    Ok(())
}

/// Appends a body with an answer and a message of the user at the end of its `input`. "input: string or array", and a
/// string is the same as one message of the user (API reference, 2026-11).
pub(super) fn follow_up(
    body: &str,
    turns: &FollowUp<'_>,
    out: &mut Vec<u8>,
) -> Result<(), RequestError> {
    replace_member(body, "input", out, |input, out| {
        if input.is_string() {
            out.extend_from_slice(b"[{\"role\":\"user\",\"content\":");
            out.extend_from_slice(input.as_str().as_bytes());
            out.extend_from_slice(b"},");
            added(turns, out)?;
            out.push(b']');
            return Ok(());
        }
        let mut items = Vec::new();
        added(turns, &mut items)?;
        append_items(input, out, |out| out.append(&mut items))
    })
}

fn added(turns: &FollowUp<'_>, out: &mut Vec<u8>) -> Result<(), RequestError> {
    said(&ContentView::Text(Text::Plain(&turns.text())), out)?;
    out.push(b',');
    let asked = ContentView::Text(Text::Plain(turns.message));
    message(Role::User, &[asked], out)
}

fn instructions(
    view: &GenerateView<'_>,
    system: &[MessageView<'_>],
    out: &mut Vec<u8>,
) -> Result<(), RequestError> {
    out.push(b'"');
    let mut first = true;
    let contents = system.iter().flat_map(|message| &message.contents);
    let texts = contents.map(|content| match content {
        ContentView::Text(text) => Ok(*text),
        _ => Err(RequestError::unsupported(
            "openai: a system message holds text only",
        )),
    });
    for text in view.system.map(Ok).into_iter().chain(texts) {
        if !std::mem::take(&mut first) {
            out.extend_from_slice(b"\\n\\n");
        }
        text?.write_json_inner(out);
    }
    out.push(b'"');
    Ok(())
}

/// Writes messages, and between them the items that are not messages.
fn input(turns: &[MessageView<'_>], out: &mut Vec<u8>) -> Result<(), RequestError> {
    out.push(b'[');
    let mut first = true;
    let mut comma = |out: &mut Vec<u8>| {
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
    };
    for turn in turns {
        let mut rest = turn.contents.as_slice();
        while let Some(content) = rest.first() {
            let parts = rest.iter().take_while(|content| is_part(content)).count();
            if turn.role == Role::Assistant && parts > 0 {
                for part in &rest[..parts] {
                    comma(out);
                    said(part, out)?;
                }
                rest = &rest[parts..];
                continue;
            }
            if parts > 0 {
                comma(out);
                message(turn.role, &rest[..parts], out)?;
                rest = &rest[parts..];
                continue;
            }
            if let ContentView::Thinking(thinking) = content {
                let parts = same(thinking, rest);
                // Thinking without its id cannot be sent back; see docs.md.
                if let Some(id) = thinking.id {
                    comma(out);
                    reasoning(id, thinking, &rest[..parts], out)?;
                }
                rest = &rest[parts..];
            } else {
                comma(out);
                item(turn.role, content, out)?;
                rest = &rest[1..];
            }
        }
    }
    out.push(b']');
    Ok(())
}

fn is_part(content: &ContentView<'_>) -> bool {
    matches!(content, ContentView::Text(_) | ContentView::Attachment(_))
}

/// Returns the number of leading pieces that OpenAI sent as one reasoning item, under one id.
fn same(thinking: &ThinkingView<'_>, rest: &[ContentView<'_>]) -> usize {
    let more = rest[1..].iter().take_while(|content| match content {
        ContentView::Thinking(next) => {
            thinking.id.is_some() && next.id == thinking.id && next.data.is_none()
        }
        _ => false,
    });
    1 + more.count()
}

/// Writes texts of the assistant as plain strings, each text as its own message. In a list each would be an
/// `output_text`, whose message has an id and a status that are unknown here; servers that check it refuse
/// it without them (opencode 42613, 2026-09-16).
fn said(content: &ContentView<'_>, out: &mut Vec<u8>) -> Result<(), RequestError> {
    let ContentView::Text(text) = content else {
        return Err(only_users());
    };
    let mut message = Object::new(out);
    message.str("role", Role::Assistant.as_str());
    message.text("content", *text);
    message.end();
    Ok(())
}

fn only_users() -> RequestError {
    RequestError::unsupported("openai: attachments stand in user messages only")
}

fn message(
    role: Role,
    contents: &[ContentView<'_>],
    out: &mut Vec<u8>,
) -> Result<(), RequestError> {
    let mut message = Object::new(out);
    message.str("role", role.as_str());
    write_list(message.key("content"), contents, |out, content| {
        let mut part = Object::new(out);
        match content {
            ContentView::Text(text) => {
                part.str("type", "input_text");
                part.text("text", *text);
            }
            ContentView::Attachment(attachment) if role == Role::User => {
                file(attachment, &mut part)?
            }
            _ => return Err(only_users()),
        }
        part.end();
        Ok(())
    })?;
    message.end();
    Ok(())
}

fn file(attachment: &AttachmentView<'_>, part: &mut Object<'_>) -> Result<(), RequestError> {
    let attachment = &attachment.resolve(None)?;
    check_media_type(attachment)?;
    match (attachment.kind, &attachment.source) {
        (AttachmentKind::Image, source) => {
            part.str("type", "input_image");
            // The default; servers that check it refuse an image without it (vllm 57241, 2026-09-16).
            part.str("detail", "auto");
            match source {
                SourceView::File(id) => part.text("file_id", *id),
                _ => url(attachment, part.key("image_url"))?,
            }
        }
        (AttachmentKind::Document, source) => {
            part.str("type", "input_file");
            match source {
                SourceView::File(id) => part.text("file_id", *id),
                SourceView::Url(url) => part.text("file_url", *url),
                _ => {
                    part.text("filename", file_name(attachment));
                    data_url(attachment, part.key("file_data"))?;
                }
            }
        }
        (AttachmentKind::Audio, _) => {
            return Err(RequestError::unsupported(
                "openai's /v1/responses takes no audio: set the endpoint to chat_completions, which does",
            ));
        }
        (AttachmentKind::Video, _) => {
            return Err(RequestError::unsupported("openai takes no video"));
        }
    }
    Ok(())
}

fn reasoning(
    id: Text<'_>,
    thinking: &ThinkingView<'_>,
    parts: &[ContentView<'_>],
    out: &mut Vec<u8>,
) -> Result<(), RequestError> {
    let mut item = Object::new(out);
    item.str("type", "reasoning");
    item.text("id", id);
    let texts = parts.iter().filter_map(|content| match content {
        ContentView::Thinking(part) => part.text,
        _ => None,
    });
    write_list(item.key("summary"), texts, |out, text| {
        let mut part = Object::new(out);
        part.str("type", "summary_text");
        part.text("text", text);
        part.end();
        Ok(())
    })?;
    if let Some(data) = thinking.data {
        item.text("encrypted_content", data);
    }
    item.end();
    Ok(())
}

fn item(role: Role, content: &ContentView<'_>, out: &mut Vec<u8>) -> Result<(), RequestError> {
    let mut item = Object::new(out);
    match content {
        ContentView::ToolCall(call) if role == Role::Assistant => {
            item.str("type", "function_call");
            item.str("call_id", &call.id);
            item.text("name", call.name);
            call.arguments.write_quoted(item.key("arguments"));
        }
        ContentView::ToolResult(result) if role == Role::User => {
            item.str("type", "function_call_output");
            item.text("call_id", result.id);
            tool_parts(result, item.key("output"))?;
        }
        _ => {
            return Err(RequestError::unsupported(
                "openai: tool calls stand in assistant messages, and tool results in user messages",
            ));
        }
    }
    item.end();
    Ok(())
}

/// Writes the output of a tool: a string, or with images or documents a list of parts
/// (`ResponseFunctionCallOutputItemListParam` of SDK 3.54.0).
fn tool_parts(result: &ToolResultView<'_>, out: &mut Vec<u8>) -> Result<(), RequestError> {
    if result.attachments.is_empty() {
        tool_output(result, out);
        return Ok(());
    }
    let said = (!result.output.is_empty() || result.is_error).then_some(None);
    let parts = said.into_iter().chain(result.attachments.iter().map(Some));
    write_list(out, parts, |out, part| {
        let mut entry = Object::new(out);
        match part {
            None => {
                entry.str("type", "input_text");
                tool_output(result, entry.key("text"));
            }
            Some(attachment) => file(attachment, &mut entry)?,
        }
        entry.end();
        Ok(())
    })
}

fn tools(view: &GenerateView<'_>, out: &mut Vec<u8>) -> Result<(), RequestError> {
    write_list(out, view.tools, |out, tool| {
        let mut entry = Object::new(out);
        entry.str("type", "function");
        entry.str("name", &tool.name);
        entry.some("description", tool.description.as_deref());
        tool.parameters.as_json().write(entry.key("parameters"));
        entry.value("strict", tool.strict.unwrap_or(false));
        entry.end();
        Ok(())
    })
}

fn tool_choice(choice: &ToolChoice, out: &mut Vec<u8>) {
    let word = match choice {
        ToolChoice::Auto => "auto",
        ToolChoice::None => "none",
        ToolChoice::Required => "required",
        ToolChoice::Tool(name) => {
            let mut tool = Object::new(out);
            tool.str("type", "function");
            tool.str("name", name);
            tool.end();
            return;
        }
    };
    Text::Plain(word).write_json(out);
}
