//! Reading of one input line, from which all values are borrowed.
//!
//! An [ordinary](Ordinary) line is scanned once, without a full parse. Every other line is parsed by serde, whose
//! errors name the column.

use std::borrow::Cow;

use lmbatch_core::{
    ContentView, GenerateOptions, GenerateView, IdView, Json, MessageView, Outline, RequestEntry,
    RequestError, RequestView, ResponseSchema, Role, SourceView, SourcedRequest, Text, ToolChoice,
};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::batch_line::{BatchLine, Marks};
use crate::content::contents;
use crate::context::{InputContext, bad};
use crate::foreign;
use crate::members::find;
use crate::ordinary::Ordinary;
use crate::parameters::{check_parameter_name, check_parameter_ranges, is_parameter};
use crate::spelling::UnknownField;
use crate::strict::{StrictThinking, StrictTool};
use crate::translated::typed;
use crate::values::{MOST_TOKENS, exact, in_words, one_content, one_limit, without_messages};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    model: Option<Text<'a>>,
    #[serde(borrow)]
    prompt: Option<Text<'a>>,
    #[serde(borrow)]
    contents: Option<&'a RawValue>,
    #[serde(borrow)]
    messages: Option<Vec<Message<'a>>>,
    #[serde(borrow)]
    system: Option<Text<'a>>,
    #[serde(borrow)]
    hyperparameters: Option<Json<'a>>,
    #[serde(borrow)]
    metadata: Option<Json<'a>>,
    #[serde(borrow)]
    tools: Option<Json<'a>>,
    #[serde(borrow)]
    tool_choice: Option<Json<'a>>,
    #[serde(borrow)]
    schema: Option<Json<'a>>,
    #[serde(borrow)]
    thinking: Option<Json<'a>>,
    #[serde(borrow)]
    custom_id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow)]
    url: Option<Text<'a>>,
    #[serde(borrow)]
    body: Option<Json<'a>>,
    #[serde(borrow)]
    params: Option<Json<'a>>,
    #[serde(borrow)]
    key: Option<&'a RawValue>,
    #[serde(borrow)]
    request: Option<Json<'a>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Message<'a> {
    #[serde(borrow)]
    role: Json<'a>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    contents: Option<&'a RawValue>,
}

/// Reason for which a line is refused if an attachment has a path and the input has no folder.
pub const NO_FOLDER: &str =
    "an attachment has a path, but the input has no folder that paths could be relative to";

/// Fields of an input line, of every form.
pub const LINE_FIELDS: [&str; 19] = [
    "id",
    "model",
    "prompt",
    "contents",
    "messages",
    "system",
    "hyperparameters",
    "metadata",
    "tools",
    "tool_choice",
    "schema",
    "thinking",
    "custom_id",
    "method",
    "url",
    "body",
    "params",
    "key",
    "request",
];

/// Beginning of the reason for which a line with a field that is none of [`LINE_FIELDS`] is refused.
pub const UNKNOWN_FIELD: &str = "unknown field ";

/// Reads a line and passes on its request, valid or invalid. The memory of `outline` is reused.
pub(crate) fn read(
    text: &str,
    number: u64,
    context: &InputContext,
    outline: &mut Outline,
    visit: &mut dyn FnMut(SourcedRequest<'_>),
) {
    let mut handed = false;
    let mut hand_on = |entry: RequestEntry<'_>| {
        handed = true;
        visit(SourcedRequest {
            position: number,
            entry: Ok(entry),
        });
    };
    let result = match outline.read(text).ok().and_then(Ordinary::of) {
        Some(line) => ordinary(line, number, context, &mut hand_on),
        None => parse(text).and_then(|line| entry(&line, text, number, context, &mut hand_on)),
    };
    if let (Err(error), false) = (result, handed) {
        visit(SourcedRequest {
            position: number,
            entry: Err(error),
        });
    }
}

fn parse(text: &str) -> Result<Line<'_>, RequestError> {
    if !text.starts_with('{') {
        return Err(bad("the line is not a JSON object"));
    }
    serde_json::from_str(text).map_err(|error| bad(refusal(text, &error)))
}

/// Returns the reason for which a line cannot be parsed.
fn refusal(text: &str, error: &serde_json::Error) -> String {
    let message = error.to_string();
    let (reason, column) = match message.rsplit_once(" at line 1 column ") {
        Some((reason, column)) => (reason, format!(", at column {column}")),
        None => (message.as_str(), String::new()),
    };
    let Some(unknown) = UnknownField::of(reason) else {
        // The parser's messages name fields and positions, and never quote the values of strings.
        return format!("{reason}{column}");
    };
    if !unknown.is_among(&LINE_FIELDS) {
        // The field is one of a message.
        let line = Json::new(text).ok();
        let messages = line.and_then(|line| find(line, ["messages"])[0]);
        let foreign = messages.and_then(foreign::messages);
        return foreign.unwrap_or_else(|| format!("{}{column}", unknown.reason()));
    }
    let name = unknown.name;
    match unknown.meant() {
        _ if is_parameter(name) => {
            format!("{UNKNOWN_FIELD}{name:?}{column}; write \"hyperparameters\": {{{name:?}: …}}")
        }
        Some(meant) => format!("{UNKNOWN_FIELD}{name:?}{column}; did you mean {meant:?}?"),
        None => format!("{UNKNOWN_FIELD}{name:?}{column}"),
    }
}

/// Passes on a line of texts only, with its number as the id if it has none.
fn ordinary(
    line: Ordinary<'_>,
    number: u64,
    context: &InputContext,
    visit: &mut dyn FnMut(RequestEntry<'_>),
) -> Result<(), RequestError> {
    let own_number;
    let id = match line.id {
        Some(id) => id,
        None => {
            own_number = number.to_string();
            numbered(&own_number)?
        }
    };
    generate(
        Asked {
            id,
            model: line.model,
            system: line.system,
            messages: line.messages,
            metadata: line.metadata,
        },
        &context.options,
        context,
        visit,
    )
}

/// Returns the id of a line without one: its number.
fn numbered(number: &str) -> Result<IdView<'_>, RequestError> {
    // A number that consists of digits is valid JSON.
    let number = Json::new(number).map_err(|error| bad(error.to_string()))?;
    Ok(IdView::Number(number))
}

fn entry(
    line: &Line<'_>,
    text: &str,
    number: u64,
    context: &InputContext,
    visit: &mut dyn FnMut(RequestEntry<'_>),
) -> Result<(), RequestError> {
    let names = [
        (line.id, "id"),
        (line.custom_id, "custom_id"),
        (line.key, "key"),
    ];
    let mut given = names.iter().filter_map(|(raw, name)| Some(((*raw)?, name)));
    let first = given.next();
    for (other, name) in given {
        if let Some((one, first)) = first
            && id(one)?.decode() != id(other)?.decode()
        {
            return Err(bad(format!(
                "{first} and {name} differ; a request has one of them"
            )));
        }
    }
    let own_number;
    let id = match first {
        Some((raw, _)) => id(raw)?,
        None => {
            own_number = number.to_string();
            numbered(&own_number)?
        }
    };
    let marks = Marks {
        has_custom_id: line.custom_id.is_some(),
        method: line.method.as_deref(),
        url: line.url,
        body: line.body,
        params: line.params,
        has_key: line.key.is_some(),
        request: line.request,
    };
    if let Some(batch_line) = marks.batch_line()? {
        return of_batch(line, &batch_line, id, context, visit);
    }
    let messages = messages(line, text)?;
    if !context.reads_files && messages.iter().any(names_a_file) {
        return Err(bad(NO_FOLDER));
    }
    let own = own_options(line)?;
    let merged;
    let options = match &own {
        Some(own) => {
            merged = own.with_defaults(&context.options);
            &merged
        }
        None => &context.options,
    };
    let asked = Asked {
        id,
        model: line.model,
        system: line.system,
        messages,
        metadata: line.metadata,
    };
    generate(asked, options, context, visit)
}

/// Request of a line, without its options.
struct Asked<'a> {
    id: IdView<'a>,
    /// Model that answers this request, if the line names one.
    model: Option<Text<'a>>,
    system: Option<Text<'a>>,
    messages: Vec<MessageView<'a>>,
    metadata: Option<Json<'a>>,
}

fn generate(
    asked: Asked<'_>,
    options: &GenerateOptions,
    context: &InputContext,
    visit: &mut dyn FnMut(RequestEntry<'_>),
) -> Result<(), RequestError> {
    let model = asked
        .model
        .map_or(Cow::Borrowed(&*context.model), Text::decode);
    // The provider is chosen for the whole input, and may be repeated in a line.
    let of_provider = model.strip_prefix(context.provider.as_str());
    let model = of_provider
        .and_then(|rest| rest.strip_prefix('/'))
        .unwrap_or(&model);
    if model.is_empty() {
        return Err(bad("the model is empty"));
    }
    if is_empty(&asked.messages) {
        return Err(bad(match asked.messages.len() {
            1 => "the prompt is empty",
            _ => "the messages are empty",
        }));
    }
    let system = options.system.as_deref().map(Text::Plain);
    let request = RequestView::Generate(GenerateView {
        model: Text::Plain(model),
        system: asked.system.or(system),
        messages: asked.messages,
        tools: options.tools.as_deref().unwrap_or_default(),
        tool_choice: options.tool_choice.as_ref(),
        schema: options.schema.as_ref(),
        thinking: options.thinking.as_ref(),
        hyperparameters: Cow::Borrowed(&options.hyperparameters),
    });
    visit(RequestEntry {
        id: asked.id,
        request,
        metadata: asked.metadata,
        schema: options.schema.as_ref(),
        folder: Some(&context.folder),
    });
    Ok(())
}

/// Reports whether the messages besides those of the system hold nothing but white space. Some providers refuse them,
/// and others answer them, and bill that.
fn is_empty(messages: &[MessageView<'_>]) -> bool {
    let is_blank = |content: &ContentView<'_>| match content {
        ContentView::Text(text) => text.is_blank(),
        _ => false,
    };
    let mut said = messages
        .iter()
        .filter(|message| message.role != Role::System)
        .peekable();
    said.peek().is_some() && said.all(|message| message.contents.iter().all(is_blank))
}

fn id(raw: &RawValue) -> Result<IdView<'_>, RequestError> {
    let json = Json::from_raw(raw).map_err(|error| bad(format!("id: {error}")))?;
    match raw.get().as_bytes().first() {
        Some(b'"') => {
            let text: Text<'_> = json
                .parse()
                .map_err(|_| bad("the id holds half a character"))?;
            if text.is_empty() {
                Err(bad("the id is empty"))
            } else {
                Ok(IdView::Text(text))
            }
        }
        Some(b'0'..=b'9' | b'-') => Ok(IdView::Number(json)),
        _ => Err(bad("the id is neither a string nor a number")),
    }
}

fn messages<'a>(line: &Line<'a>, text: &str) -> Result<Vec<MessageView<'a>>, RequestError> {
    let user = |contents: Vec<ContentView<'a>>| {
        vec![MessageView {
            role: Role::User,
            contents,
        }]
    };
    match (line.prompt, line.contents, &line.messages) {
        (Some(prompt), None, None) => Ok(user(vec![ContentView::Text(prompt)])),
        (None, Some(raw), None) => Ok(user(contents(raw, "contents")?)),
        (None, None, Some(messages)) if messages.is_empty() => Err(bad("messages is empty")),
        (None, None, Some(messages)) => messages
            .iter()
            .enumerate()
            .map(|(place, message)| {
                let at = format!("messages[{place}].content");
                let raw = one_content(message.content, message.contents, place)?;
                let role = format!("messages[{place}].role");
                Ok(MessageView {
                    role: typed(message.role, &role)
                        .map_err(|error| foreign_or(error, &role, foreign::role(message.role)))?,
                    contents: contents(raw, &at)?,
                })
            })
            .collect(),
        (None, None, None) => Err(without_messages(text)),
        _ => Err(bad(
            "only one of \"prompt\", \"contents\" and \"messages\" may be set",
        )),
    }
}

/// Returns the error that names lmbatch's form of a member in a provider's form, or else `error`.
fn foreign_or(error: RequestError, at: &str, said: Option<String>) -> RequestError {
    said.map_or(error, |said| bad(format!("{at}: {said}")))
}

fn names_a_file(message: &MessageView<'_>) -> bool {
    let mut attachments = message.contents.iter().flat_map(ContentView::attachments);
    attachments.any(|attachment| matches!(attachment.source, SourceView::Path(_)))
}

fn own_options(line: &Line<'_>) -> Result<Option<GenerateOptions>, RequestError> {
    let none = line.hyperparameters.is_none()
        && line.tools.is_none()
        && line.tool_choice.is_none()
        && line.schema.is_none()
        && line.thinking.is_none();
    if none {
        return Ok(None);
    }
    let schema = line
        .schema
        .map(|schema| exact(schema, "schema"))
        .transpose()?;
    let tools = line.tools.map(|tools| {
        let exact = exact(tools, "tools")?;
        serde_json::from_value::<Vec<StrictTool>>(exact)
            .map(|tools| tools.into_iter().map(Into::into).collect())
            .map_err(|error| {
                let error = bad(format!("tools: {}", in_words(&error)));
                foreign_or(error, "tools", foreign::tools(tools))
            })
    });
    let mut options = GenerateOptions {
        tools: tools.transpose()?,
        tool_choice: line
            .tool_choice
            .map(|choice| {
                typed::<ToolChoice>(choice, "tool_choice")
                    .map_err(|error| foreign_or(error, "tool_choice", foreign::tool_choice(choice)))
            })
            .transpose()?,
        schema: schema.as_ref().map(ResponseSchema::new),
        thinking: line
            .thinking
            .map(|thinking| typed::<StrictThinking>(thinking, "thinking"))
            .transpose()?
            .map(Into::into),
        ..GenerateOptions::default()
    };
    if let Some(parameters) = line.hyperparameters {
        let Value::Object(members) = exact(parameters, "hyperparameters")? else {
            return Err(bad("hyperparameters is not an object"));
        };
        let limits = MOST_TOKENS
            .iter()
            .filter(|name| members.contains_key(**name));
        one_limit("hyperparameters", limits)?;
        for (key, value) in members {
            check_parameter_name(&key).map_err(|error| bad(format!("hyperparameters.{error}")))?;
            options
                .hyperparameters
                .set(&key, value)
                .map_err(|error| bad(format!("hyperparameters.{}", in_words(&error))))?;
        }
        check_parameter_ranges(&options.hyperparameters)
            .map_err(|error| bad(format!("hyperparameters.{error}")))?;
    }
    Ok(Some(options))
}

/// Reads a line of a provider's batch file: unchanged for that provider, else translated.
fn of_batch(
    line: &Line<'_>,
    batch_line: &BatchLine<'_>,
    id: IdView<'_>,
    context: &InputContext,
    visit: &mut dyn FnMut(RequestEntry<'_>),
) -> Result<(), RequestError> {
    for (set, name) in [
        (line.model.is_some(), "model"),
        (line.prompt.is_some(), "prompt"),
        (line.contents.is_some(), "contents"),
        (line.messages.is_some(), "messages"),
        (line.hyperparameters.is_some(), "hyperparameters"),
        (line.system.is_some(), "system"),
        (line.tools.is_some(), "tools"),
        (line.tool_choice.is_some(), "tool_choice"),
        (line.schema.is_some(), "schema"),
        (line.thinking.is_some(), "thinking"),
    ] {
        if set {
            let member = batch_line.member();
            return Err(bad(format!(
                "{name} is outside {member}; put it into {member}"
            )));
        }
    }
    if let Some((raw, schema)) = batch_line.raw(context)? {
        let unapplied = context.option_names();
        if !unapplied.is_empty() {
            return Err(unapplied_options(batch_line, &unapplied));
        }
        visit(RequestEntry {
            id,
            request: RequestView::Raw(raw),
            metadata: line.metadata,
            schema: schema.as_ref(),
            folder: None,
        });
        return Ok(());
    }
    let translated = batch_line.translate(&context.provider)?;
    let options = translated.options.with_defaults(&context.options);
    let asked = Asked {
        id,
        model: None,
        system: translated.system,
        messages: translated.messages,
        metadata: line.metadata,
    };
    generate(asked, &options, context, visit)
}

/// Returns the error of a batch line that is sent byte for byte, so that the options of the input would not apply to it.
fn unapplied_options(batch_line: &BatchLine<'_>, names: &[&str]) -> RequestError {
    let dialect = match batch_line {
        BatchLine::OpenAi { .. } => "an OpenAI",
        BatchLine::Anthropic(_) => "an Anthropic",
        BatchLine::Gemini(_) => "a Gemini",
    };
    let (pronoun, verb) = match names {
        [_] => ("it", "does"),
        _ => ("them", "do"),
    };
    bad(format!(
        "this is {dialect} batch line, which is sent as it is, so that {} of the whole input {verb} not apply to it; put {pronoun} into {}",
        names.join(", "),
        batch_line.member()
    ))
}

#[cfg(test)]
mod tests;
