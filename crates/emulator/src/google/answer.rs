//! Parsing of requests, and answers in the form of generated content. Names are accepted in camelCase and snake_case.

use serde_json::{Value, json};

use crate::model::{Answer, Asked, Says};

/// Returns a member by its camelCase or snake_case name.
pub(super) fn member<'v>(value: &'v Value, camel: &str) -> &'v Value {
    if let Some(found) = value.get(camel) {
        return found;
    }
    let mut snake = String::new();
    for c in camel.chars() {
        if c.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    value.get(snake.as_str()).unwrap_or(&Value::Null)
}

/// Returns the text of the last user message, with a placeholder for each part that is not text.
pub(crate) fn user_text(request: &Value) -> String {
    let turns = request["contents"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let last = turns.iter().rev().find(|turn| turn["role"] != "model");
    let parts = last.and_then(|turn| turn["parts"].as_array());
    parts
        .into_iter()
        .flatten()
        .map(part)
        .collect::<Vec<_>>()
        .join(" ")
}

fn part(part: &Value) -> String {
    if let Some(text) = part["text"].as_str() {
        return text.to_owned();
    }
    for name in ["inlineData", "fileData"] {
        let data = member(part, name);
        if let Some(kind) = member(data, "mimeType").as_str() {
            let kind = kind.split('/').next().unwrap_or_default();
            let known = ["image", "audio", "video"].contains(&kind);
            return format!("[{}]", if known { kind } else { "document" });
        }
    }
    if member(part, "functionResponse").is_object() {
        "[tool_result]".to_owned()
    } else {
        String::new()
    }
}

pub(super) fn asked(request: &Value) -> Asked<'_> {
    let tools = request["tools"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let declared = tools
        .iter()
        .filter_map(|tool| member(tool, "functionDeclarations").as_array())
        .flatten();
    let parameters = |tool| {
        let schema = member(tool, "parametersJsonSchema");
        if schema.is_null() {
            &tool["parameters"]
        } else {
            schema
        }
    };
    let config = member(member(request, "toolConfig"), "functionCallingConfig");
    let allowed = member(config, "allowedFunctionNames");
    let generation = member(request, "generationConfig");
    let schema = [
        member(generation, "responseJsonSchema"),
        member(generation, "responseSchema"),
    ];
    Asked {
        text: user_text(request),
        tools: declared
            .map(|tool| (tool["name"].as_str().unwrap_or_default(), parameters(tool)))
            .collect(),
        forced: allowed.get(0).and_then(Value::as_str),
        must_call: config["mode"] == "ANY",
        schema: schema.into_iter().find(|schema| schema.is_object()),
    }
}

pub(super) fn render(model: &str, place: usize, answer: &Answer) -> Value {
    let mut parts = Vec::new();
    if answer.thinking_tokens > 0 {
        parts.push(json!({"text": "thinking aloud", "thought": true}));
    }
    let mut reason = "STOP";
    match &answer.says {
        Says::Text(text) => parts.push(json!({"text": text})),
        Says::Refusal => {}
        Says::Tool { name, arguments } => parts.push(json!({
            "functionCall": {"id": format!("call_{place}"), "name": name, "args": arguments}, "thoughtSignature": "c2ln",
        })),
        Says::Nothing => {}
    }
    if answer.unknown_item {
        parts.push(json!({"crystalBall": {"vision": "fog"}}));
    }
    if answer.truncated {
        reason = "MAX_TOKENS";
    } else if answer.filtered {
        reason = "SAFETY";
    }
    let written = answer.output_tokens - answer.thinking_tokens;
    let usage = json!({
        "promptTokenCount": answer.input_tokens, "candidatesTokenCount": written, "thoughtsTokenCount": answer.thinking_tokens,
        "totalTokenCount": answer.input_tokens + answer.output_tokens, "serviceTier": "standard",
    });
    let mut body = json!({
        "candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": reason, "index": 0}],
        "usageMetadata": usage, "modelVersion": format!("{model}-001"), "responseId": format!("resp_{place:08}"),
    });
    if matches!(answer.says, Says::Refusal) {
        // A blocked prompt is a successful response without candidates.
        body["candidates"] = Value::Null;
        body["promptFeedback"] = json!({"blockReason": "PROHIBITED_CONTENT"});
    }
    body
}
