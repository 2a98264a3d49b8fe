//! Requests with every kind of content and every kind of id, as lines of input and for the library, with their
//! expected outcomes.

use lmbatch::{
    Attachment, GenerateOptions, JsonBuf, LMInput, Message, MessageContent, Request,
    ResponseSchema, Role, Thinking, ToolCall, ToolResult,
};
use serde_json::{Value, json};

use crate::Subject;

/// A request and its expected outcome.
#[derive(Debug, Clone)]
pub struct Mixed {
    /// The caller's id of the request.
    pub id: String,
    /// The request as a line of the command's input.
    pub line: Value,
    /// The expected status of the outcome.
    pub status: &'static str,
    /// The expected problem of the outcome.
    pub problem: Option<&'static str>,
    /// A part of the expected text.
    pub text: String,
}

/// A kind of request: its line without the id, and its outcome. `$` stands for its number.
struct Kind {
    line: Value,
    status: &'static str,
    problem: Option<&'static str>,
    text: &'static str,
    /// Names of the subjects that accept it.
    only: &'static [&'static str],
}

fn kinds() -> Vec<Kind> {
    let kind = |line: Value, text: &'static str| Kind {
        line,
        status: "succeeded",
        problem: None,
        text,
        only: &[],
    };
    let goes = |word: &str, status: &'static str, problem: Option<&'static str>| Kind {
        line: json!({"prompt": format!("{word} $")}),
        status,
        problem,
        text: "",
        only: &[],
    };
    let image = json!({"type": "image", "data": "iVBORw0KGgo=", "mime_type": "image/png"});
    let pdf = json!({"type": "document", "data": "JVBERi0xLjc=", "mime_type": "application/pdf"});
    let audio = json!({"type": "audio", "data": "UklGRg==", "mime_type": "audio/wav"});
    let video = json!({"type": "video", "data": "AAAA", "mime_type": "video/mp4"});
    let city = json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": false});
    let tools = json!([{"name": "weather", "description": "Weather.", "parameters": city}]);
    let call = json!({"type": "tool_call", "id": "call_1", "name": "weather", "arguments": {"city": "Köln"}});
    vec![
        kind(
            json!({"prompt": "zwölf \"Boxkämpfer\"\n$ \u{1F600}"}),
            "echo: zwölf \"Boxkämpfer\"\n$ \u{1F600}",
        ),
        kind(
            json!({"messages": [
                {"role": "user", "content": "first"}, {"role": "assistant", "content": "second"}, {"role": "user", "content": "third $"},
            ]}),
            "echo: third $",
        ),
        kind(
            json!({"system": "be brief", "messages": [
                {"role": "system", "content": "be kind"}, {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"},
                {"role": "system", "content": "be quick"}, {"role": "user", "content": "c $"},
            ]}),
            "echo: c $",
        ),
        kind(
            json!({"contents": ["look $", image]}),
            "echo: look $ [image]",
        ),
        kind(
            json!({"contents": ["read $", pdf]}),
            "echo: read $ [document]",
        ),
        Kind {
            only: &["openai chat", "google by file", "google inline"],
            ..kind(
                json!({"contents": ["hear $", audio]}),
                "echo: hear $ [audio]",
            )
        },
        Kind {
            only: &["google by file", "google inline"],
            ..kind(json!({"contents": ["see $", video]}), "echo: see $ [video]")
        },
        kind(
            json!({"prompt": "call $", "tools": tools, "tool_choice": {"tool": "weather"}}),
            "",
        ),
        kind(
            json!({"tools": tools, "messages": [
                {"role": "user", "content": "weather?"}, {"role": "assistant", "contents": [call]},
                {"role": "user", "contents": [{"type": "tool_result", "id": "call_1", "output": "sunny"}, "and $?"]},
            ]}),
            "and $?",
        ),
        kind(
            json!({"prompt": "shape $", "schema": city}),
            "{\"city\":\"echo\"}",
        ),
        kind(
            json!({"prompt": "lmb:think $", "thinking": {"effort": "low"}}),
            "echo: lmb:think $",
        ),
        kind(
            json!({"prompt": "warm $", "hyperparameters": {"max_tokens": 50}}),
            "echo: warm $",
        ),
        kind(
            json!({"prompt": "lmb:unknown-item $"}),
            "echo: lmb:unknown-item $",
        ),
        kind(json!({"prompt": "lmb:twice $"}), "echo: lmb:twice $"),
        kind(json!({"prompt": "lmb:foreign $"}), "echo: lmb:foreign $"),
        goes("lmb:truncate", "succeeded", Some("truncated")),
        goes("lmb:empty", "succeeded", Some("empty")),
        goes("lmb:error-400", "errored", None),
        goes("lmb:error-500", "errored", None),
        Kind {
            // Chat completions have no failed answers.
            only: &[
                "openai responses",
                "anthropic",
                "google by file",
                "google inline",
            ],
            ..goes("lmb:failed", "errored", None)
        },
        goes("lmb:unanswered", "missing", None),
    ]
}

/// Returns an id that a caller might use, different for each place.
fn id(place: usize) -> String {
    match place % 5 {
        0 => format!("plain-{place}"),
        1 => format!("zürich/天気 {place}"),
        2 => format!("../a/b?c=d&e#{place}%20"),
        3 => format!("{place}{}", "x".repeat(200 - place.to_string().len())),
        _ => format!("{place}\"\\\t"),
    }
}

/// Returns `count` mixed requests for a provider.
pub fn mixed(subject: &Subject, count: usize) -> Vec<Mixed> {
    let kinds = kinds();
    let mine: Vec<&Kind> = kinds
        .iter()
        .filter(|kind| kind.only.is_empty() || kind.only.contains(&subject.name))
        .collect();
    (0..count)
        .map(|place| {
            let kind = mine[place % mine.len()];
            let number = place.to_string();
            let mut line = fill(&kind.line, &number);
            line["id"] = id(place).into();
            Mixed {
                id: id(place),
                line,
                status: kind.status,
                problem: kind.problem,
                text: kind.text.replace('$', &number),
            }
        })
        .collect()
}

fn fill(value: &Value, number: &str) -> Value {
    match value {
        Value::String(text) => text.replace('$', number).into(),
        Value::Array(list) => list.iter().map(|value| fill(value, number)).collect(),
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| (name.clone(), fill(value, number)))
            .collect(),
        other => other.clone(),
    }
}

impl Mixed {
    /// Returns the request for the library.
    ///
    /// # Panics
    /// If the line does not have the form that this module writes.
    pub fn request(&self) -> Request {
        let line = &self.line;
        let messages = match (&line["prompt"], &line["contents"], &line["messages"]) {
            (Value::String(prompt), ..) => vec![Message::user(prompt.as_str())],
            (_, Value::Array(_), _) => vec![message("user", &line["contents"])],
            (.., Value::Array(turns)) => turns
                .iter()
                .map(|turn| {
                    let contents = turn.get("contents").unwrap_or(&turn["content"]);
                    message(turn["role"].as_str().unwrap_or_default(), contents)
                })
                .collect(),
            _ => panic!("{line}"),
        };
        let mut options = GenerateOptions::default();
        let own = |name: &str| line.get(name).cloned();
        options.system = own("system").and_then(|text| text.as_str().map(str::to_owned));
        options.tools = own("tools").and_then(|value| serde_json::from_value(value).ok());
        options.tool_choice =
            own("tool_choice").and_then(|value| serde_json::from_value(value).ok());
        options.thinking = own("thinking").and_then(|value| serde_json::from_value(value).ok());
        options.schema = own("schema").map(|schema| ResponseSchema::new(&schema));
        for (name, value) in own("hyperparameters")
            .iter()
            .filter_map(Value::as_object)
            .flatten()
        {
            let set = options.hyperparameters.set(name, value.clone());
            assert!(set.is_ok(), "{name}");
        }
        Request::new(self.id.as_str(), LMInput::from(messages)).with_options(options)
    }
}

fn message(role: &str, contents: &Value) -> Message {
    let contents: Vec<MessageContent> = match contents {
        Value::Array(list) => list.iter().map(content).collect(),
        other => vec![content(other)],
    };
    let role = match role {
        "system" => Role::System,
        "assistant" => Role::Assistant,
        _ => Role::User,
    };
    Message::new(role, contents)
}

fn content(value: &Value) -> MessageContent {
    let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
    match (value.as_str(), value["type"].as_str()) {
        (Some(words), _) => MessageContent::Text(words.to_owned()),
        (_, Some("tool_call")) => MessageContent::ToolCall(ToolCall {
            id: text("id"),
            name: text("name"),
            arguments: JsonBuf::from_value(&value["arguments"]),
        }),
        (_, Some("tool_result")) => MessageContent::ToolResult(ToolResult {
            id: text("id"),
            name: None,
            output: text("output"),
            attachments: Vec::new(),
            is_error: false,
        }),
        (_, Some("thinking")) => MessageContent::Thinking(Thinking::default()),
        _ => {
            let found = Attachment::from_base64(&text("data"), &text("mime_type"));
            MessageContent::Attachment(found.unwrap_or_else(|error| panic!("{value}: {error}")))
        }
    }
}
