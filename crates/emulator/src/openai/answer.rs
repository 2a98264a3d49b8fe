//! Answers in the shape of either endpoint.

use serde_json::{Value, json};

use crate::{magic, schema};

/// A body, and what it used.
pub(super) struct Answer {
    pub(super) body: Value,
    pub(super) input_tokens: u64,
    pub(super) output_tokens: u64,
}

/// What the model says, whatever the endpoint's shape.
enum Says {
    Text(String),
    Refusal,
    Tool { name: String, arguments: String },
    Nothing,
}

/// The text of the last user message, with a mark for each part that is not text.
pub(super) fn user_text(body: &Value) -> String {
    let turns = match (&body["input"], &body["messages"]) {
        (Value::String(text), _) => return text.clone(),
        (Value::Array(items), _) | (_, Value::Array(items)) => items,
        _ => return String::new(),
    };
    let last = turns.iter().rev().find(|turn| turn["role"] == "user");
    match last.map(|turn| &turn["content"]) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => parts.iter().map(part).collect::<Vec<_>>().join(" "),
        _ => String::new(),
    }
}

fn part(part: &Value) -> String {
    if let Some(text) = part["text"].as_str() {
        return text.to_owned();
    }
    match part["type"].as_str() {
        Some("input_image" | "image_url") => "[image]".to_owned(),
        Some("input_file" | "file") => "[document]".to_owned(),
        Some("input_audio") => "[audio]".to_owned(),
        _ => String::new(),
    }
}

pub(super) fn answer(endpoint: &str, body: &Value, place: usize) -> Answer {
    let text = user_text(body);
    let says = says(body, &text);
    let thinks = text.contains(magic::THINK);
    let words = match &says {
        Says::Text(text) => text.len(),
        Says::Tool { arguments, .. } => arguments.len(),
        Says::Refusal => 20,
        Says::Nothing => 0,
    };
    // Four bytes a token, as a rule of thumb.
    let tokens = |bytes: usize| bytes.div_ceil(4).max(1) as u64;
    let thinking = if thinks { 7 } else { 0 };
    let (input, output) = (tokens(text.len()), tokens(words) + thinking);
    let model = format!("{}-2026-01-01", body["model"].as_str().unwrap_or_default());
    let body = if endpoint == "/v1/chat/completions" {
        chat(&says, &text, &model, place, (input, output, thinking))
    } else {
        responses(&says, &text, &model, place, (input, output, thinking))
    };
    Answer {
        body,
        input_tokens: input,
        output_tokens: output,
    }
}

fn says(body: &Value, text: &str) -> Says {
    if text.contains(magic::REFUSE) {
        return Says::Refusal;
    }
    if text.contains(magic::EMPTY) {
        return Says::Nothing;
    }
    let tools = body["tools"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let inner = |tool: &Value| {
        if tool["function"].is_object() {
            tool["function"].clone()
        } else {
            tool.clone()
        }
    };
    let choice = &body["tool_choice"];
    let forced = choice["name"]
        .as_str()
        .or(choice["function"]["name"].as_str());
    if forced.is_some() || choice == "required" || text.contains(magic::TOOL) {
        let tool = tools
            .iter()
            .map(inner)
            .find(|tool| forced.is_none_or(|name| tool["name"] == name));
        if let Some(tool) = tool {
            let parameters = &tool["parameters"];
            let arguments = schema::instance(parameters, parameters, 4).to_string();
            return Says::Tool {
                name: tool["name"].as_str().unwrap_or_default().to_owned(),
                arguments,
            };
        }
    }
    let format = &body["text"]["format"];
    let wanted = if format["type"] == "json_schema" {
        &format["schema"]
    } else {
        &body["response_format"]["json_schema"]["schema"]
    };
    if wanted.is_object() {
        if text.contains(magic::INVALID_JSON) {
            return Says::Text("{\"not\": json".to_owned());
        }
        if text.contains(magic::SCHEMA_MISS) {
            return Says::Text("[\"not what was asked\"]".to_owned());
        }
        return Says::Text(schema::instance(wanted, wanted, 4).to_string());
    }
    Says::Text(format!("echo: {text}"))
}

fn responses(
    says: &Says,
    text: &str,
    model: &str,
    place: usize,
    (input, output, thinking): (u64, u64, u64),
) -> Value {
    let mut items = Vec::new();
    if thinking > 0 {
        items.push(json!({"id": format!("rs_{place}"), "type": "reasoning", "summary": [{"type": "summary_text", "text": "thinking aloud"}]}));
    }
    let message = |part: Value| json!({"id": format!("msg_{place}"), "type": "message", "role": "assistant", "status": "completed", "content": [part]});
    match says {
        Says::Text(text) => items.push(message(json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []}))),
        Says::Refusal => items.push(message(json!({"type": "refusal", "refusal": "I will not do that."}))),
        Says::Tool { name, arguments } => items.push(json!({
            "id": format!("fc_{place}"), "type": "function_call", "status": "completed", "call_id": format!("call_{place}"), "name": name, "arguments": arguments,
        })),
        Says::Nothing => {}
    }
    if text.contains(magic::UNKNOWN_ITEM) {
        items.push(
            json!({"type": "crystal_ball_call", "id": format!("cb_{place}"), "vision": "fog"}),
        );
    }
    let (status, details) = if text.contains(magic::TRUNCATE) {
        ("incomplete", json!({"reason": "max_output_tokens"}))
    } else if text.contains(magic::FILTER) {
        ("incomplete", json!({"reason": "content_filter"}))
    } else if text.contains(magic::FAILED) {
        ("failed", Value::Null)
    } else {
        ("completed", Value::Null)
    };
    let error = if status == "failed" {
        json!({"code": "server_error", "message": "An answer that fails on purpose."})
    } else {
        Value::Null
    };
    json!({
        "id": format!("resp_{place:08}"), "object": "response", "created_at": 0, "status": status, "error": error,
        "incomplete_details": details, "model": model, "output": items,
        "usage": {
            "input_tokens": input, "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": output, "output_tokens_details": {"reasoning_tokens": thinking}, "total_tokens": input + output,
        },
    })
}

fn chat(
    says: &Says,
    text: &str,
    model: &str,
    place: usize,
    (input, output, thinking): (u64, u64, u64),
) -> Value {
    let (message, reason) = match says {
        Says::Text(text) => (
            json!({"role": "assistant", "content": text, "refusal": null}),
            "stop",
        ),
        Says::Refusal => (
            json!({"role": "assistant", "content": null, "refusal": "I will not do that."}),
            "stop",
        ),
        Says::Nothing => (
            json!({"role": "assistant", "content": "", "refusal": null}),
            "stop",
        ),
        Says::Tool { name, arguments } => {
            let call = json!({"id": format!("call_{place}"), "type": "function", "function": {"name": name, "arguments": arguments}});
            (
                json!({"role": "assistant", "content": null, "refusal": null, "tool_calls": [call]}),
                "tool_calls",
            )
        }
    };
    let reason = if text.contains(magic::TRUNCATE) {
        "length"
    } else if text.contains(magic::FILTER) {
        "content_filter"
    } else {
        reason
    };
    json!({
        "id": format!("chatcmpl-{place:08}"), "object": "chat.completion", "created": 0, "model": model,
        "choices": [{"index": 0, "finish_reason": reason, "logprobs": null, "message": message}],
        "usage": {
            "prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output,
            "prompt_tokens_details": {"cached_tokens": 0}, "completion_tokens_details": {"reasoning_tokens": thinking},
        },
    })
}
