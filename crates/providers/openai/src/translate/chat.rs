//! Bodies of chat completions (OpenAI's OpenAPI document 2.3.0, 2026-08-21), in the words of a dialect.

use lmbatch_core::schemas::{SchemaChanges, SentSchema};
use lmbatch_core::{
    AttachmentKind, AttachmentView, CallIds, ContentView, FollowUp, GenerateView, Hyperparameters,
    MessageView, Object, RequestError, ResponseSchema, Role, SourceView, Text, ThinkingOptions,
    ThinkingView, ToolChoice, check_tool_choice, known_media_type, write_list,
};
use serde::Serialize;

use super::json::{base64, file_name, tool_output, url};
use super::schema;
use crate::chat::{Contents, Dialect, Extras, FilePart, Files, Schemas, Thoughts};

/// Writes a body without the caller's own parameters.
pub(crate) fn write(
    view: &GenerateView<'_>,
    schema: Option<&SentSchema>,
    dialect: &Dialect,
    out: &mut Vec<u8>,
) -> Result<(), RequestError> {
    check(view, dialect)?;
    match dialect.tools.and_then(|tools| tools.names) {
        Some(names) => names.check(dialect.service, view)?,
        None => check_tool_choice(view)?,
    }
    let ids = dialect
        .tools
        .map(|tools| CallIds::of(&view.messages, tools.call_ids));
    let joined = ids.as_ref().and_then(|ids| ids.apply(view));
    let view = joined.as_ref().unwrap_or(view);
    let mut body = Object::new(out);
    if dialect.names_model {
        body.text("model", view.model);
    }
    messages(view, dialect, body.key("messages"))?;
    if !view.tools.is_empty() {
        let takes_strict = dialect.tools.is_some_and(|tools| tools.strict);
        write_list(body.key("tools"), view.tools, |out, tool| {
            let mut entry = Object::new(out);
            entry.str("type", "function");
            let mut function = Object::new(entry.key("function"));
            function.str("name", &tool.name);
            function.some("description", tool.description.as_deref());
            tool.parameters.as_json().write(function.key("parameters"));
            // Where there is no such member, no tool is strict; one that must be was refused.
            function.some("strict", tool.strict.filter(|_| takes_strict));
            function.end();
            entry.end();
            Ok(())
        })?;
    }
    if let Some(choice) = view.tool_choice {
        tool_choice(choice, dialect, body.key("tool_choice"))?;
    }
    if let (Some(schema), Some(sent)) = (view.schema, schema) {
        response_format(schema, sent, dialect, &mut body);
    }
    if let Some(thinking) = view.thinking {
        thought(thinking, dialect, &mut body)?;
    }
    let (names, set) = (&dialect.parameters, &*view.hyperparameters);
    parameter(&mut body, names.max_output_tokens, set.max_output_tokens);
    parameter(&mut body, names.temperature, set.temperature);
    parameter(&mut body, names.top_p, set.top_p);
    parameter(&mut body, names.top_k, set.top_k);
    parameter(&mut body, names.stop, set.stop.as_ref());
    parameter(&mut body, names.seed, set.seed);
    parameter(&mut body, names.presence_penalty, set.presence_penalty);
    parameter(&mut body, names.frequency_penalty, set.frequency_penalty);
    body.end();
    Ok(())
}

/// Writes the messages that continue a conversation: the text of an answer, and the user's message about it.
pub(crate) fn follow_up(turns: &FollowUp<'_>, out: &mut Vec<u8>) {
    let answer = turns.text();
    let texts = [(Role::Assistant, &*answer), (Role::User, turns.message)];
    for (place, (role, text)) in texts.into_iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        let mut message = Object::new(out);
        message.str("role", role.as_str());
        message.str("content", text);
        message.end();
    }
}

fn unsupported(dialect: &Dialect, what: &str) -> RequestError {
    RequestError::unsupported(format!("{}{what}", dialect.service))
}

/// Refuses what the dialect has no word for.
fn check(view: &GenerateView<'_>, dialect: &Dialect) -> Result<(), RequestError> {
    let names = &dialect.parameters;
    // Without a rest, so that a parameter that is added one day cannot be forgotten here.
    let Hyperparameters {
        max_output_tokens,
        temperature,
        top_p,
        top_k,
        stop,
        seed,
        presence_penalty,
        frequency_penalty,
        extra,
    } = &*view.hyperparameters;
    let mut contents = view.messages.iter().flat_map(|turn| &turn.contents);
    let is_of_tools = |content: &ContentView<'_>| {
        matches!(
            content,
            ContentView::ToolCall(_) | ContentView::ToolResult(_)
        )
    };
    let no_thinking = dialect.efforts.is_none() && dialect.thinking_budget.is_none();
    let no_tools = dialect.tools.is_none();
    let no_strict = dialect.tools.is_none_or(|tools| !tools.strict);
    let is_strict = view.tools.iter().any(|tool| tool.strict == Some(true));
    let refused = [
        (
            "max_output_tokens",
            names.max_output_tokens.is_none() && max_output_tokens.is_some(),
        ),
        (
            "temperature",
            names.temperature.is_none() && temperature.is_some(),
        ),
        ("top_p", names.top_p.is_none() && top_p.is_some()),
        ("top_k", names.top_k.is_none() && top_k.is_some()),
        ("stop", names.stop.is_none() && stop.is_some()),
        ("seed", names.seed.is_none() && seed.is_some()),
        (
            "presence_penalty",
            names.presence_penalty.is_none() && presence_penalty.is_some(),
        ),
        (
            "frequency_penalty",
            names.frequency_penalty.is_none() && frequency_penalty.is_some(),
        ),
        ("thinking", no_thinking && view.thinking.is_some()),
        ("tools", no_tools && !view.tools.is_empty()),
        ("tool_choice", no_tools && view.tool_choice.is_some()),
        (
            "tool calls or results",
            no_tools && contents.any(is_of_tools),
        ),
        ("strict tools", no_strict && is_strict),
    ];
    if let Some((name, _)) = refused.into_iter().find(|(_, refused)| *refused) {
        return Err(unsupported(dialect, &format!(" has no {name}")));
    }
    let refused = extra.keys().find(|name| {
        let among = |names: &[&str]| names.contains(&name.as_str());
        match dialect.extras {
            Extras::Any => false,
            Extras::Except(names) => among(names),
            Extras::Only(names) => !among(names),
        }
    });
    match refused {
        Some(name) => Err(unsupported(dialect, &format!(" has no parameter {name:?}"))),
        None => Ok(()),
    }
}

fn parameter(body: &mut Object<'_>, name: Option<&str>, value: Option<impl Serialize>) {
    if let Some(name) = name {
        body.some(name, value);
    }
}

fn thought(
    thinking: &ThinkingOptions,
    dialect: &Dialect,
    body: &mut Object<'_>,
) -> Result<(), RequestError> {
    if let Some(effort) = thinking.effort {
        let efforts = dialect
            .efforts
            .ok_or_else(|| unsupported(dialect, " has no thinking effort; set budget_tokens"))?;
        let mut levels = efforts.levels.iter();
        let Some((_, word)) = levels.find(|(level, _)| *level == effort) else {
            let levels = efforts.levels.iter().map(|(level, _)| level.as_str());
            let levels = levels.collect::<Vec<_>>().join(", ");
            let what = format!(" has no thinking effort {effort}; it has {levels}");
            return Err(unsupported(dialect, &what));
        };
        body.str(efforts.member, word);
    }
    if let Some(budget) = thinking.budget_tokens {
        let name = dialect
            .thinking_budget
            .ok_or_else(|| unsupported(dialect, " has no thinking budget_tokens; set an effort"))?;
        body.value(name, budget);
    }
    Ok(())
}

/// The schema as the dialect sends it.
pub(crate) fn sent_schema(
    schema: &ResponseSchema,
    dialect: &Dialect,
) -> Result<SentSchema, RequestError> {
    let as_is = |strict| {
        SentSchema::new(
            schema,
            &schema.schema.to_value(),
            strict,
            SchemaChanges::default(),
        )
    };
    match dialect.schemas {
        Schemas::Unsupported => {
            SentSchema::refused(schema, &format!("{} takes no schema", dialect.service))
        }
        Schemas::OpenAi => schema::translate(schema, dialect.service),
        Schemas::AsIs { strict } => Ok(as_is(strict.unwrap_or(false))),
        Schemas::JsonObject => Ok(as_is(false)),
    }
}

fn response_format(
    schema: &ResponseSchema,
    sent: &SentSchema,
    dialect: &Dialect,
    body: &mut Object<'_>,
) {
    let Some(text) = &sent.schema else { return };
    let mut format = Object::new(body.key("response_format"));
    if dialect.schemas == Schemas::JsonObject {
        format.str("type", "json_object");
        text.as_json().write(format.key("schema"));
    } else {
        format.str("type", "json_schema");
        let mut inner = Object::new(format.key("json_schema"));
        inner.str("name", &schema.name);
        text.as_json().write(inner.key("schema"));
        if dialect.schemas != (Schemas::AsIs { strict: None }) {
            inner.value("strict", sent.strict);
        }
        inner.end();
    }
    format.end();
}

fn messages(
    view: &GenerateView<'_>,
    dialect: &Dialect,
    out: &mut Vec<u8>,
) -> Result<(), RequestError> {
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
                    let what = ": tool results stand in user messages only";
                    return Err(unsupported(dialect, what));
                }
                // "content: a string or text parts" (`ChatCompletionToolMessageParam` of SDK 3.54.0).
                if let Some(attachment) = result.attachments.first() {
                    return Err(no_result(dialect, attachment));
                }
                let mut message = next(&mut first, out);
                message.str("role", "tool");
                message.text("tool_call_id", result.id);
                tool_output(result, message.key("content"));
                message.end();
            }
        }
        let is_sent = |content: &ContentView<'_>| match content {
            ContentView::ToolResult(_) => false,
            ContentView::Thinking(thinking) => chunk(thinking, turn, dialect).is_some(),
            _ => true,
        };
        let is_thought = |content: &ContentView<'_>| matches!(content, ContentView::Thinking(_));
        if turn.contents.iter().any(is_sent) {
            message(turn, dialect, next(&mut first, out))?;
        } else if turn.contents.iter().all(is_thought) {
            let what = " takes no thinking back, and a message holds nothing else";
            return Err(unsupported(dialect, what));
        }
    }
    out.push(b']');
    Ok(())
}

/// The refusal of an attachment in the result of a tool.
fn no_result(dialect: &Dialect, attachment: &AttachmentView<'_>) -> RequestError {
    // Advice that is true of OpenAI only, whose other endpoint takes them.
    let hint = match dialect.service == Dialect::OPENAI.service {
        true => "'s chat endpoint",
        false => "",
    };
    let rest = match hint {
        "" => "",
        _ => ": set the endpoint to responses, which does",
    };
    let kind = attachment.kind.as_str();
    unsupported(
        dialect,
        &format!("{hint} takes no {kind} in the result of a tool{rest}"),
    )
}

/// The words of a thought that is sent back as a chunk, where the service takes one.
fn chunk<'a>(
    thinking: &ThinkingView<'a>,
    turn: &MessageView<'_>,
    dialect: &Dialect,
) -> Option<Text<'a>> {
    let takes = dialect.thoughts == Thoughts::Chunks && turn.role == Role::Assistant;
    thinking.text.filter(|text| takes && !text.is_empty())
}

fn next<'o>(first: &mut bool, out: &'o mut Vec<u8>) -> Object<'o> {
    if !std::mem::take(first) {
        out.push(b',');
    }
    Object::new(out)
}

fn message(
    turn: &MessageView<'_>,
    dialect: &Dialect,
    mut message: Object<'_>,
) -> Result<(), RequestError> {
    message.str("role", turn.role.as_str());
    let parts = turn.contents.iter().filter(|content| match content {
        ContentView::Text(_) | ContentView::Attachment(_) => true,
        ContentView::Thinking(thinking) => chunk(thinking, turn, dialect).is_some(),
        _ => false,
    });
    let is_text = |content: &ContentView<'_>| matches!(content, ContentView::Text(_));
    if let [ContentView::Text(text)] = turn.contents.as_slice() {
        message.text("content", *text);
    } else if parts.clone().count() == 0 {
        message.value("content", ());
    } else if dialect.contents == Contents::Strings && parts.clone().all(is_text) {
        let out = message.key("content");
        out.push(b'"');
        for content in parts {
            if let ContentView::Text(text) = content {
                text.write_json_inner(out);
            }
        }
        out.push(b'"');
    } else {
        write_list(message.key("content"), parts, |out, content| {
            let mut part = Object::new(out);
            match content {
                ContentView::Text(text) => {
                    part.str("type", "text");
                    part.text("text", *text);
                }
                ContentView::Attachment(attachment) if turn.role == Role::User => {
                    file(attachment, dialect, &mut part)?
                }
                // "thinking: list of text chunks" (SDK mistralai 3.7.0, `thinkchunk.py`).
                ContentView::Thinking(ThinkingView {
                    text: Some(text), ..
                }) => {
                    part.str("type", "thinking");
                    write_list(part.key("thinking"), [*text], |out, text| {
                        let mut inner = Object::new(out);
                        inner.str("type", "text");
                        inner.text("text", text);
                        inner.end();
                        Ok(())
                    })?;
                }
                _ => {
                    let what = ": attachments stand in user messages only";
                    return Err(unsupported(dialect, what));
                }
            }
            part.end();
            Ok(())
        })?;
    }
    let calls = turn.contents.iter().filter_map(|content| match content {
        ContentView::ToolCall(call) => Some(call),
        _ => None,
    });
    if calls.clone().count() > 0 {
        if turn.role != Role::Assistant {
            let what = ": tool calls stand in assistant messages only";
            return Err(unsupported(dialect, what));
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

fn file(
    attachment: &AttachmentView<'_>,
    dialect: &Dialect,
    part: &mut Object<'_>,
) -> Result<(), RequestError> {
    let attachment = &attachment.resolve(None)?;
    let (files, kind) = match attachment.kind {
        AttachmentKind::Image => (dialect.images, "images"),
        AttachmentKind::Document => (dialect.documents, "documents"),
        AttachmentKind::Audio => (dialect.audio, "audio"),
        AttachmentKind::Video => (dialect.videos, "video"),
    };
    let files = files.ok_or_else(|| unsupported(dialect, &format!(" takes no {kind}")))?;
    check_file(attachment, &files, kind, dialect)?;
    match files.part {
        FilePart::Url(name) => {
            part.str("type", name);
            let mut inner = Object::new(part.key(name));
            url(attachment, inner.key("url"))?;
            inner.end();
        }
        FilePart::PlainUrl(name) => {
            part.str("type", name);
            url(attachment, part.key(name))?;
        }
        FilePart::File => {
            part.str("type", "file");
            let mut file = Object::new(part.key("file"));
            if let SourceView::File(id) = attachment.source {
                file.text("file_id", id);
            } else {
                file.text("filename", file_name(attachment));
                url(attachment, file.key("file_data"))?;
            }
            file.end();
        }
        FilePart::InputAudio => {
            part.str("type", "input_audio");
            let mut audio = Object::new(part.key("input_audio"));
            quoted_base64(attachment, audio.key("data"))?;
            audio.str("format", audio_format(attachment, dialect)?);
            audio.end();
        }
        FilePart::PlainAudio => {
            part.str("type", "input_audio");
            let out = part.key("input_audio");
            match attachment.source {
                SourceView::Url(url) => url.write_json(out),
                _ => quoted_base64(attachment, out)?,
            }
        }
    }
    Ok(())
}

/// Refuses an attachment that comes in a form, or is of a type, that the service does not take.
fn check_file(
    attachment: &AttachmentView<'_>,
    files: &Files,
    kind: &str,
    dialect: &Dialect,
) -> Result<(), RequestError> {
    let refused = |what: String| {
        let hint = match files.hint {
            "" => String::new(),
            hint => format!("; {hint}"),
        };
        Err(unsupported(dialect, &format!(" takes no {what}{hint}")))
    };
    let (is_taken, how) = match attachment.source {
        SourceView::Url(_) => (files.urls, "by URL"),
        SourceView::File(_) => (files.ids, "by file id"),
        _ => (files.bytes, "as bytes"),
    };
    if !is_taken {
        let forms = [
            (files.bytes, "as bytes"),
            (files.urls, "by URL"),
            (files.ids, "by file id"),
        ];
        let forms = forms.iter().filter(|(is_taken, _)| *is_taken);
        let forms: Vec<&str> = forms.map(|(_, how)| *how).collect();
        return refused(format!("{kind} {how}, only {}", forms.join(" or ")));
    }
    let Some(media_type) = attachment.mime_type.map(Text::decode) else {
        return Ok(());
    };
    if files.media_types.is_empty() || files.media_types.contains(&&*media_type) {
        return Ok(());
    }
    let taken = files.media_types.join(", ");
    refused(format!("{media_type}, only {kind} of {taken}"))
}

fn quoted_base64(attachment: &AttachmentView<'_>, out: &mut Vec<u8>) -> Result<(), RequestError> {
    out.push(b'"');
    base64(attachment, out)?;
    out.push(b'"');
    Ok(())
}

/// "format: wav or mp3" (API reference, 2026-08).
fn audio_format(
    attachment: &AttachmentView<'_>,
    dialect: &Dialect,
) -> Result<&'static str, RequestError> {
    let mime = attachment.mime_type.map(Text::decode);
    match mime.as_deref().and_then(known_media_type) {
        Some("audio/wav") => Ok("wav"),
        Some("audio/mpeg" | "audio/mp3") => Ok("mp3"),
        _ => {
            let media_type = mime.as_deref().unwrap_or("(unknown)");
            let what =
                format!(" takes no audio of the type {media_type}: it is audio/wav or audio/mpeg");
            Err(unsupported(dialect, &what))
        }
    }
}

fn tool_choice(
    choice: &ToolChoice,
    dialect: &Dialect,
    out: &mut Vec<u8>,
) -> Result<(), RequestError> {
    let words = dialect.tools;
    let word = match choice {
        ToolChoice::Auto => "auto",
        ToolChoice::None => "none",
        ToolChoice::Required => words
            .and_then(|words| words.required)
            .ok_or_else(|| unsupported(dialect, " has no tool_choice for any of the tools"))?,
        ToolChoice::Tool(name) => {
            if !words.is_some_and(|words| words.named) {
                let what = " has no tool_choice for one tool by its name";
                return Err(unsupported(dialect, what));
            }
            let mut tool = Object::new(out);
            tool.str("type", "function");
            let mut function = Object::new(tool.key("function"));
            function.str("name", name);
            function.end();
            tool.end();
            return Ok(());
        }
    };
    Text::Plain(word).write_json(out);
    Ok(())
}
