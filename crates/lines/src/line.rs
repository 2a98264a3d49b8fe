//! Reading of one input line, from which all values are borrowed.
//!
//! An [ordinary](Ordinary) line is scanned once, without a full parse. Every other line is parsed by serde, whose
//! errors name the column.

use std::borrow::Cow;

use lmbatch_core::{
    ContentView, Entry, GenerateOptions, GenerateView, IdView, Json, MessageView, Outline,
    RequestError, RequestView, ResponseSchema, Role, SourceView, Sourced, Text, ThinkingOptions,
    Tool, ToolChoice,
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
use crate::translated::typed;
use crate::values::{MOST_TOKENS, exact, in_words, one_limit};

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
    visit: &mut dyn FnMut(Sourced<'_>),
) {
    let mut handed = false;
    let mut hand_on = |entry: Entry<'_>| {
        handed = true;
        visit(Sourced {
            place: number,
            entry: Ok(entry),
        });
    };
    let result = match outline.read(text).ok().and_then(Ordinary::of) {
        Some(line) => ordinary(line, number, context, &mut hand_on),
        None => parse(text).and_then(|line| entry(&line, number, context, &mut hand_on)),
    };
    if let (Err(error), false) = (result, handed) {
        visit(Sourced {
            place: number,
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
    visit: &mut dyn FnMut(Entry<'_>),
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
    number: u64,
    context: &InputContext,
    visit: &mut dyn FnMut(Entry<'_>),
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
    let messages = messages(line)?;
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
    visit: &mut dyn FnMut(Entry<'_>),
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
    visit(Entry {
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

fn messages<'a>(line: &Line<'a>) -> Result<Vec<MessageView<'a>>, RequestError> {
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
                let ((Some(raw), None) | (None, Some(raw))) = (message.content, message.contents)
                else {
                    return Err(bad(format!("{at} must be there, once")));
                };
                let role = format!("messages[{place}].role");
                Ok(MessageView {
                    role: typed(message.role, &role)
                        .map_err(|error| foreign_or(error, &role, foreign::role(message.role)))?,
                    contents: contents(raw, &at)?,
                })
            })
            .collect(),
        (None, None, None) => Err(bad("it has none of prompt, contents, messages")),
        _ => Err(bad("it has more than one of prompt, contents, messages")),
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
        serde_json::from_value::<Vec<Tool>>(exact).map_err(|error| {
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
            .map(|thinking| typed::<ThinkingOptions>(thinking, "thinking"))
            .transpose()?,
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
                .map_err(|error| bad(format!("hyperparameters.{error}")))?;
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
    visit: &mut dyn FnMut(Entry<'_>),
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
        visit(Entry {
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
mod tests {
    use super::*;

    #[test]
    fn options_of_the_input_are_refused_for_a_line_that_is_sent_unchanged() {
        let options = |json: &str| match json {
            "schema" => GenerateOptions {
                schema: Some(ResponseSchema::new(&Value::Bool(true))),
                ..GenerateOptions::default()
            },
            json => serde_json::from_str(json).unwrap(),
        };
        for (json, named) in [
            (r#"{"system":"s"}"#, "system"),
            ("schema", "schema"),
            (r#"{"thinking":{"effort":"low"}}"#, "effort"),
            (r#"{"thinking":{"budget_tokens":5}}"#, "budget_tokens"),
            (
                r#"{"hyperparameters":{"max_output_tokens":5}}"#,
                "max_tokens",
            ),
            (
                r#"{"hyperparameters":{"temperature":0.5,"top_p":0.5,"extra":{"zip":1}}}"#,
                "temperature, top_p, zip",
            ),
        ] {
            for (endpoint, line, start, end) in [
                (
                    "/v1/responses",
                    r#"{"custom_id":"c","method":"POST","url":"/v1/responses","body":{"model":"m","input":"x"}}"#,
                    "this is an OpenAI batch line, which is sent as it is, so that ",
                    " into body",
                ),
                (
                    "/v1/messages",
                    r#"{"custom_id":"c","params":{"model":"m","max_tokens":5,"messages":[]}}"#,
                    "this is an Anthropic batch line, which is sent as it is, so that ",
                    " into params",
                ),
                (
                    "generateContent",
                    r#"{"key":"k","request":{"contents":[]}}"#,
                    "this is a Gemini batch line, which is sent as it is, so that ",
                    " into request",
                ),
            ] {
                let endpoints: &'static [&'static str] = Box::leak(Box::new([endpoint]));
                let context = InputContext::new("acme", "m").with_raw_endpoints(endpoints);
                let reason = |context: &InputContext| {
                    let mut found = None;
                    read(line, 7, context, &mut Outline::new(), &mut |sourced| {
                        found = sourced
                            .entry
                            .err()
                            .and_then(|error| error.message().map(str::to_owned));
                    });
                    found
                };
                assert_eq!(reason(&context), None, "{line}");
                let said = reason(&context.clone().with_options(options(json))).unwrap();
                assert!(
                    said.starts_with(&format!("{start}{named} of the whole input"))
                        && said.ends_with(end),
                    "{said}"
                );
            }
        }
    }

    fn check(text: &str) -> String {
        let context = InputContext::new("acme", "m").with_raw_endpoints(&["/v1/responses"]);
        let mut found = String::new();
        read(text, 7, &context, &mut Outline::new(), &mut |sourced| {
            found = match sourced.entry {
                Err(error) => error.message().unwrap_or_default().to_owned(),
                Ok(entry) => {
                    let kind = match &entry.request {
                        RequestView::Generate(g) => format!(
                            "{} messages, {} tools, {:?} tokens",
                            g.messages.len(),
                            g.tools.len(),
                            g.hyperparameters.max_output_tokens
                        ),
                        RequestView::Raw(raw) => format!("raw {}", raw.body.as_str()),
                        _ => "other".to_owned(),
                    };
                    format!("{}: {kind}", entry.id.decode())
                }
            };
        });
        found
    }

    #[test]
    fn the_fields_of_a_line_are_listed_in_their_order() {
        let error = serde_json::from_str::<Line<'_>>(r#"{"?":1}"#)
            .err()
            .unwrap();
        let message = error.to_string();
        let known = message.split('`').skip(3).step_by(2);
        assert_eq!(known.collect::<Vec<_>>(), LINE_FIELDS);
    }

    #[test]
    fn the_form_of_a_provider_is_refused_with_the_form_of_lmbatch() {
        for (line, expected) in [
            (
                r#"{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"u"}}]}]}"#,
                r#"messages[0].content[0]: "image_url" is of OpenAI's form; write {"type": "image", "url": "https://…"}"#,
            ),
            (
                r#"{"messages":[{"role":"user","content":[{"type":"image","source":{"type":"url","url":"u"}}]}]}"#,
                r#"messages[0].content[0]: "source" is of Anthropic's form; write "url", "data" with"#,
            ),
            (
                r#"{"messages":[{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"n","input":{}}]}]}"#,
                r#"messages[0].content[0]: "tool_use" is of Anthropic's form; write a part {"type": "tool_call""#,
            ),
            (
                r#"{"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":"x"}]}]}"#,
                r#"messages[0].content[0]: "tool_use_id" is of Anthropic's form; write {"type": "tool_result""#,
            ),
            (
                r#"{"messages":[{"role":"user","content":"x"},{"role":"assistant","content":null,"tool_calls":[]}]}"#,
                r#"messages[1]: "tool_calls" is of OpenAI's form; write a part {"type": "tool_call""#,
            ),
            (
                r#"{"messages":[{"role":"user","parts":[{"text":"x"}]}]}"#,
                r#"messages[0]: "parts" is of Gemini's form; write "content": ["…"]"#,
            ),
            (
                r#"{"contents":[{"role":"user","parts":[{"text":"x"}]}]}"#,
                r#"contents[0]: "parts" is of Gemini's form; write "messages": [{"role": "user""#,
            ),
            (
                r#"{"contents":[{"text":"x"}]}"#,
                r#"contents[0]: "text" is of Gemini's form; write {"type": "text", "text": "…"}"#,
            ),
            (
                r#"{"messages":[{"role":"model","content":"x"}]}"#,
                r#"messages[0].role: "model" is of Gemini's form; write "role": "assistant""#,
            ),
            (
                r#"{"prompt":"x","tools":[{"type":"function","function":{"name":"t","parameters":{}}}]}"#,
                r#"tools: "function" is of OpenAI's form; write {"name": "…", "description": "…", "parameters": {…}}"#,
            ),
            (
                r#"{"prompt":"x","tools":[{"type":"function","name":"t","parameters":{}}]}"#,
                r#"tools: "type" is of OpenAI's form; write {"name""#,
            ),
            (
                r#"{"prompt":"x","tools":[{"name":"t","input_schema":{}}]}"#,
                r#"tools: "input_schema" is of Anthropic's form; write {"name""#,
            ),
            (
                r#"{"prompt":"x","tool_choice":{"type":"function","function":{"name":"t"}}}"#,
                r#"tool_choice: "function" is of OpenAI's form; write "auto", "none", "required" or {"tool": "NAME"}"#,
            ),
        ] {
            let said = check(line);
            assert!(said.starts_with(expected), "{line}: {said}");
            assert!(said.contains("batch files"), "{said}");
        }
    }

    #[test]
    fn a_line_is_a_request_or_is_refused_with_a_reason() {
        for (line, expected) in [
            (r#"{"prompt":"hi"}"#, "7: 1 messages, 0 tools, None tokens"),
            (
                r#"{"id":"a/ü","prompt":"hi"}"#,
                "a/ü: 1 messages, 0 tools, None tokens",
            ),
            (
                r#"{"id":12,"contents":["a",{"type":"text","text":"b"}]}"#,
                "12: 1 messages, 0 tools, None tokens",
            ),
            (
                r#"{"id":1,"messages":[{"role":"system","content":"s"},{"role":"user","contents":["u"]}],"hyperparameters":{"max_tokens":5}}"#,
                "1: 2 messages, 0 tools, Some(5) tokens",
            ),
            (
                r#"{"id":1,"prompt":"x","tools":[{"name":"t","parameters":{}}],"tool_choice":{"tool":"t"}}"#,
                "1: 1 messages, 1 tools, None tokens",
            ),
            (
                r#"{"custom_id":"c","method":"POST","url":"/v1/responses","body":{"model":"m",  "input":"x"}}"#,
                r#"c: raw {"model":"m",  "input":"x"}"#,
            ),
            (
                r#"{"custom_id":"c","method":"POST","url":"/v1/responses","body":{"model":"n"}}"#,
                "the body names another model than \"m\", the model of the run",
            ),
            (
                r#"{"custom_id":"c","method":"GET","url":"/v1/responses","body":{"model":"m"}}"#,
                "method must be POST",
            ),
            (
                r#"{"custom_id":"c","method":"POST","url":"/v1/x","body":{"model":"m"}}"#,
                "url: a body of /v1/x cannot be translated for acme; one of /v1/responses or /v1/chat/completions can",
            ),
            (
                r#"{"custom_id":"c","method":"POST","url":"/v1/chat/completions","body":{"model":"n","messages":[{"role":"user","content":"x"}],"max_tokens":7}}"#,
                "c: 1 messages, 0 tools, Some(7) tokens",
            ),
            (
                r#"{"custom_id":"c","body":{}}"#,
                "an OpenAI batch line has custom_id, method, url and body",
            ),
            (r#"{"id":"","prompt":"x"}"#, "the id is empty"),
            (
                r#"{"id":true,"prompt":"x"}"#,
                "the id is neither a string nor a number",
            ),
            (r#"{"id":1}"#, "it has none of prompt, contents, messages"),
            (
                r#"{"id":1,"prompt":"x","messages":[]}"#,
                "it has more than one of prompt, contents, messages",
            ),
            (r#"{"id":1,"messages":[]}"#, "messages is empty"),
            (r#"{"id":1,"contents":[]}"#, "contents is empty"),
            (
                r#"{"id":1,"prompt":"\ud800"}"#,
                "holds a lone surrogate escape (half a character), at column 26",
            ),
            (
                r#"{"id":"a","custom_id":"b","prompt":"x"}"#,
                "id and custom_id differ; a request has one of them",
            ),
            (
                r#"{"id":"a","custom_id":"\u0061","prompt":"x"}"#,
                "a: 1 messages, 0 tools, None tokens",
            ),
            (
                r#"{"id":1,"prompt":"x","hyperparameters":{"seed":1,"seed":2}}"#,
                "hyperparameters: the member \"seed\" stands twice",
            ),
            (
                r#"{"id":1,"prompt":"x","hyperparameters":{"own":{"a":1,"a":2}}}"#,
                "hyperparameters: the member \"a\" stands twice",
            ),
            (
                r#"{"id":1,"prompt":"x","hyperparameters":{"max_tokens":5,"max_completion_tokens":7}}"#,
                "hyperparameters has both max_tokens and max_completion_tokens; keep one of them",
            ),
            (
                r#"{"id":1,"prompt":"x","hyperparameters":[]}"#,
                "hyperparameters is not an object",
            ),
            (
                r#"{"id":1,"prompt":"x","schema":{"const":123456789012345678901234567891}}"#,
                "schema: the number 123456789012345678901234567891 cannot be passed on exactly; write it as a string or with fewer digits",
            ),
            (
                r#"{"id":1,"prompt":"x","tools":[{"name":"t","parameters":{"a":1e-400}}]}"#,
                "tools: the number 1e-400 cannot be passed on exactly; write it as a string or with fewer digits",
            ),
            (
                r#"{"id":1,"prompt":"x","tools":[{"name":"t","parameters":{"a":1,"a":2}}]}"#,
                "tools: the member \"a\" stands twice",
            ),
            (
                r#"{"custom_id":"c","method":"POST","url":"/v1/responses","body":{"model":"m","model":"m","input":"x"}}"#,
                "the body names its model twice",
            ),
            (
                r#"{"custom_id":"c","method":"POST","url":"/v1/responses","body":{"input":"x"}}"#,
                "the body names no model",
            ),
            (
                r#"{"custom_id":"c","method":"POST","url":"/v1/chat/completions","body":{"messages":[{"role":"user","content":"x"}],"max_tokens":5,"max_completion_tokens":7}}"#,
                "body has both max_tokens and max_completion_tokens; keep one of them",
            ),
            (r#"[1]"#, "the line is not a JSON object"),
            (
                r#"{"id":1,"messages":[{"role":"tool","content":"x"}]}"#,
                r#"messages[0].role: "tool" is of OpenAI's form; write a part {"type": "tool_result", "id": "…", "output": "…"} of a user message, or give the request as a line of OpenAI's batch files"#,
            ),
            (
                r#"{"id":1,"prompt":"x","tool_choice":"some"}"#,
                "tool_choice: unknown value `some`, expected one of `auto`, `none`, `required`, `tool`",
            ),
            (
                r#"{"custom_id":"c","method":"POST","url":"/v1/responses","body":[]}"#,
                "the body is not a JSON object",
            ),
            (
                r#"{"custom_id":"c","method":"POST","url":"/v1/responses","body":{"model":7}}"#,
                "the model of the body is not a string",
            ),
            (
                r#"{"id":1,"contents":[{"type":"image","path":"a.png"}]}"#,
                NO_FOLDER,
            ),
            (
                r#"{"id":1,"contents":[{"type":"image","url":"data:image/photo;base64,AAAA"}]}"#,
                "contents[0]: the data URL is of \"image/photo\", which is no media type that a provider takes",
            ),
            (
                r#"{"id":1,"contents":[{"type":"smell"}]}"#,
                "contents[0]: there is no type \"smell\"; there is text, image, document, audio, video, tool_call, tool_result, thinking",
            ),
            (
                r#"{"id":1,"contents":[{"type":"image"}]}"#,
                "contents[0]: an image has exactly one of path, url, data, file_id",
            ),
            (
                r#"{"id":1,"contents":[{"type":"image","data":"%%","mime_type":"image/png"}]}"#,
                "contents[0]: the data is not valid base64",
            ),
            (
                r#"{"id":1,"promt":"x"}"#,
                "unknown field \"promt\", at column 15; did you mean \"prompt\"?",
            ),
            (
                r#"{"id":1,"zip":"x"}"#,
                "unknown field \"zip\", at column 13",
            ),
            (
                r#"{"id":1,"prompt":"x","top_p":0.5}"#,
                "unknown field \"top_p\", at column 28; write \"hyperparameters\": {\"top_p\": …}",
            ),
            (
                r#"{"id":1,"messages":[{"role":"user","contnt":"x"}]}"#,
                "unknown field \"contnt\"; did you mean \"content\"?, at column 43",
            ),
            (r#"{"id":1,"prompt":""}"#, "the prompt is empty"),
            (
                r#"{"id":1,"prompt":" \n\t","system":"s"}"#,
                "the prompt is empty",
            ),
            (
                r#"{"id":1,"contents":["",{"type":"text","text":" "}]}"#,
                "the prompt is empty",
            ),
            (
                r#"{"id":1,"messages":[{"role":"system","content":"s"},{"role":"user","content":""}]}"#,
                "the messages are empty",
            ),
            (
                r#"{"custom_id":"c","method":"POST","url":"/v1/chat/completions","body":{"model":"m","messages":[{"role":"user","content":""}]}}"#,
                "the prompt is empty",
            ),
        ] {
            assert_eq!(check(line), expected, "{line}");
        }
    }
}
