//! Answers in the form of either endpoint.

use serde_json::{Value, json};

use crate::model::{Answer, Asked, Says};

/// Returns the text of the last user message, with a placeholder for each part that is not text.
pub(crate) fn user_text(body: &Value) -> String {
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

pub(super) fn asked(body: &Value) -> Asked<'_> {
    let tools = body["tools"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let inner = |tool| -> &Value {
        let tool: &Value = tool;
        if tool["function"].is_object() {
            &tool["function"]
        } else {
            tool
        }
    };
    let choice = &body["tool_choice"];
    let format = &body["text"]["format"];
    let wanted = if format["type"] == "json_schema" {
        &format["schema"]
    } else {
        &body["response_format"]["json_schema"]["schema"]
    };
    Asked {
        text: user_text(body),
        tools: tools
            .iter()
            .map(inner)
            .map(|tool| {
                (
                    tool["name"].as_str().unwrap_or_default(),
                    &tool["parameters"],
                )
            })
            .collect(),
        forced: choice["name"]
            .as_str()
            .or(choice["function"]["name"].as_str()),
        must_call: choice == "required",
        schema: wanted.is_object().then_some(wanted),
    }
}

/// Returns the body of an answer at `endpoint`.
pub(super) fn render(endpoint: &str, body: &Value, place: usize, answer: &Answer) -> Value {
    let model = format!("{}-2026-01-01", body["model"].as_str().unwrap_or_default());
    if endpoint == "/v1/chat/completions" {
        chat(answer, &model, place)
    } else {
        responses(body, answer, &model, place)
    }
}

fn responses(body: &Value, answer: &Answer, model: &str, place: usize) -> Value {
    let mut items = Vec::new();
    if answer.thinking_tokens > 0 {
        items.push(json!({"id": format!("rs_{place}"), "type": "reasoning", "summary": [{"type": "summary_text", "text": "thinking aloud"}]}));
    }
    let message = |part: Value| json!({"id": format!("msg_{place}"), "type": "message", "role": "assistant", "status": "completed", "content": [part]});
    match &answer.says {
        Says::Text(text) => items.push(message(json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []}))),
        Says::Refusal => items.push(message(json!({"type": "refusal", "refusal": "I will not do that."}))),
        Says::Tool { name, arguments } => items.push(json!({
            "id": format!("fc_{place}"), "type": "function_call", "status": "completed", "call_id": format!("call_{place}"),
            "name": name, "arguments": arguments.to_string(),
        })),
        Says::Nothing => {}
    }
    if answer.unknown_item {
        items.push(
            json!({"type": "crystal_ball_call", "id": format!("cb_{place}"), "vision": "fog"}),
        );
    }
    let (status, details) = if answer.truncated {
        ("incomplete", json!({"reason": "max_output_tokens"}))
    } else if answer.filtered {
        ("incomplete", json!({"reason": "content_filter"}))
    } else if answer.failed {
        ("failed", Value::Null)
    } else {
        ("completed", Value::Null)
    };
    let error = if status == "failed" {
        // A failed response has no output; text next to the error would be an answer.
        items.clear();
        json!({"code": "server_error", "message": "An answer that fails on purpose."})
    } else {
        Value::Null
    };
    let (input, output, thinking) = (
        answer.input_tokens,
        answer.output_tokens,
        answer.thinking_tokens,
    );
    // The response repeats the request's options, with defaults; SDKs require these three.
    let echoed = |name: &str, otherwise: Value| body.get(name).cloned().unwrap_or(otherwise);
    json!({
        "tools": echoed("tools", json!([])), "tool_choice": echoed("tool_choice", json!("auto")),
        "parallel_tool_calls": echoed("parallel_tool_calls", json!(true)),
        "id": format!("resp_{place:08}"), "object": "response", "created_at": 0, "status": status, "error": error,
        "incomplete_details": details, "model": model, "output": items,
        "usage": {
            "input_tokens": input, "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": output, "output_tokens_details": {"reasoning_tokens": thinking}, "total_tokens": input + output,
        },
    })
}

fn chat(answer: &Answer, model: &str, place: usize) -> Value {
    let (message, reason) = match &answer.says {
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
            let function = json!({"name": name, "arguments": arguments.to_string()});
            let call =
                json!({"id": format!("call_{place}"), "type": "function", "function": function});
            (
                json!({"role": "assistant", "content": null, "refusal": null, "tool_calls": [call]}),
                "tool_calls",
            )
        }
    };
    let reason = match (answer.truncated, answer.filtered) {
        (true, _) => "length",
        (_, true) => "content_filter",
        _ => reason,
    };
    let (input, output, thinking) = (
        answer.input_tokens,
        answer.output_tokens,
        answer.thinking_tokens,
    );
    json!({
        "id": format!("chatcmpl-{place:08}"), "object": "chat.completion", "created": 0, "model": model,
        "choices": [{"index": 0, "finish_reason": reason, "logprobs": null, "message": message}],
        "usage": {
            "prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output,
            "prompt_tokens_details": {"cached_tokens": 0}, "completion_tokens_details": {"reasoning_tokens": thinking},
        },
    })
}
