//! Acme's request bodies, and the parts that a broken adapter leaves out.

use lmbatch_core::{
    ContentView, Effort, GenerateView, RequestError, Role, SourceView, Text, ToolChoice,
};
use serde_json::{Map, Value, json};

/// Writes the body of a request.
pub(crate) fn ask(view: &GenerateView<'_>, breaks: &str) -> Result<Value, RequestError> {
    let mut turns: Vec<Value> = view
        .messages
        .iter()
        .filter(|turn| !(turn.role == Role::System && breaks == "system messages are left out"))
        .map(|turn| {
            let contents = turn.contents.iter().map(|content| part(content, breaks));
            let mut parts: Vec<Value> = contents.collect::<Result<_, _>>()?;
            parts.retain(|part| !part.is_null());
            if breaks == "all texts of a turn but the first are left out" {
                parts.truncate(1);
            }
            let role = match breaks {
                "every turn is sent as the user's" => "user",
                _ => turn.role.as_str(),
            };
            Ok(json!({"role": role, "parts": parts}))
        })
        .collect::<Result<_, RequestError>>()?;
    match breaks {
        "all turns but the last are left out" => drop(turns.drain(..turns.len() - 1)),
        "the turns are sent in reverse" => turns.reverse(),
        _ => {}
    }
    let mut body = Map::new();
    let mut set = |name: &str, value: Value| {
        if !value.is_null() && breaks != format!("{name} is left out") {
            body.insert(name.to_owned(), value);
        }
    };
    set("model", json!(view.model.decode()));
    set("system", json!(view.system.map(Text::decode)));
    set("turns", json!(turns));
    if !view.tools.is_empty() {
        set("tools", tools(view, breaks));
    }
    set(
        "choice",
        view.tool_choice
            .map_or(Value::Null, |choice| self::choice(choice, breaks)),
    );
    set(
        "schema",
        view.schema
            .map_or(Value::Null, |schema| schema.schema.to_value()),
    );
    let thinking = view.thinking.copied().unwrap_or_default();
    set("effort", json!(thinking.effort.map(Effort::as_str)));
    set("budget", json!(thinking.budget_tokens));
    let parameters = &view.hyperparameters;
    set("max_tokens", json!(parameters.max_output_tokens));
    let (mut temperature, mut top_p) = (parameters.temperature, parameters.top_p);
    if breaks == "temperature is sent as top_p" {
        top_p = temperature.take().or(top_p);
    }
    set("temperature", json!(temperature));
    set("top_p", json!(top_p));
    set("top_k", json!(parameters.top_k));
    set("stop", json!(parameters.stop));
    set("seed", json!(parameters.seed));
    set("presence", json!(parameters.presence_penalty));
    set("frequency", json!(parameters.frequency_penalty));
    Ok(Value::Object(body))
}

fn tools(view: &GenerateView<'_>, breaks: &str) -> Value {
    let all = view.tools.iter().map(|tool| {
        let mut described = json!({
            "name": tool.name, "description": tool.description, "parameters": tool.parameters.to_value(),
        });
        if breaks == "descriptions of tools are left out" {
            described["description"] = Value::Null;
        }
        described
    });
    all.collect()
}

fn choice(choice: &ToolChoice, breaks: &str) -> Value {
    match choice {
        ToolChoice::Auto => json!("if it likes"),
        ToolChoice::None => json!("none"),
        ToolChoice::Required => json!("any"),
        ToolChoice::Tool(_) if breaks == "a forced tool is sent as any tool" => json!("any"),
        ToolChoice::Tool(name) => json!({"tool": name}),
    }
}

fn part(content: &ContentView<'_>, breaks: &str) -> Result<Value, RequestError> {
    Ok(match content {
        ContentView::Text(text) => json!({"text": text.decode()}),
        ContentView::Attachment(file) => {
            let kind = file.kind.as_str();
            if breaks == format!("every {kind} is left out") {
                return Ok(Value::Null);
            }
            let source = match &file.source {
                SourceView::Url(url) => json!({"url": url.decode()}),
                SourceView::File(id) if breaks == "ids of files are left out" => {
                    json!({"file": id.decode().len()})
                }
                SourceView::File(id) => json!({"file": id.decode()}),
                source => {
                    let mut data = Vec::new();
                    if !source.write_base64(&mut data) {
                        return Err(RequestError::invalid_input("acme: no bytes"));
                    }
                    json!({"data": String::from_utf8_lossy(&data)})
                }
            };
            json!({"kind": kind, "type": file.mime_type.map(Text::decode), "source": source})
        }
        ContentView::ToolCall(call) => {
            let mut arguments = Vec::new();
            call.arguments.write_value(&mut arguments);
            let arguments: Value = serde_json::from_slice(&arguments).unwrap_or_default();
            let id = (breaks != "ids of sent calls are left out").then(|| call.id.clone());
            let arguments = (breaks != "arguments of calls are left out").then_some(arguments);
            json!({"call": {"id": id, "name": call.name.decode(), "arguments": arguments}})
        }
        ContentView::ToolResult(_) if breaks == "results of tools are left out" => Value::Null,
        ContentView::ToolResult(result) => {
            let id = (breaks != "ids of results are left out").then(|| result.id.decode());
            let failed = result.is_error && breaks != "the error of a tool is sent as a success";
            let mut parts = Vec::new();
            if breaks != "files in a tool result are left out" {
                for attachment in &result.attachments {
                    parts.push(part(&ContentView::Attachment(attachment.clone()), breaks)?);
                }
            }
            json!({"result": {"id": id, "output": result.output, "parts": parts, "failed": failed}})
        }
        ContentView::Thinking(thought) => {
            json!({"thought": thought.text.map(Text::decode), "seal": thought.signature.map(Text::decode)})
        }
        _ => return Err(RequestError::unsupported("acme: content of this kind")),
    })
}
