//! Parsing of requests, and answers in the form of a message.

use serde_json::{Value, json};

use crate::model::{Answer, Asked, Says};

/// Returns the text of the last user message, with a placeholder for each block that is not text.
pub(crate) fn user_text(params: &Value) -> String {
    let turns = params["messages"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let last = turns.iter().rev().find(|turn| turn["role"] == "user");
    match last.map(|turn| &turn["content"]) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(blocks)) => blocks.iter().map(block).collect::<Vec<_>>().join(" "),
        _ => String::new(),
    }
}

fn block(block: &Value) -> String {
    match block["type"].as_str() {
        Some("text") => block["text"].as_str().unwrap_or_default().to_owned(),
        Some(kind @ ("image" | "document")) => format!("[{kind}]"),
        Some("tool_result") => match &block["content"] {
            Value::String(text) => text.clone(),
            _ => "[tool_result]".to_owned(),
        },
        _ => String::new(),
    }
}

pub(super) fn asked(params: &Value) -> Asked<'_> {
    let tools = params["tools"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let choice = &params["tool_choice"];
    let wanted = &params["output_config"]["format"]["schema"];
    Asked {
        text: user_text(params),
        tools: tools
            .iter()
            .map(|tool| {
                (
                    tool["name"].as_str().unwrap_or_default(),
                    &tool["input_schema"],
                )
            })
            .collect(),
        forced: choice["name"].as_str(),
        must_call: choice["type"] == "any",
        schema: wanted.is_object().then_some(wanted),
    }
}

pub(super) fn render(params: &Value, place: usize, answer: &Answer) -> Value {
    let mut content = Vec::new();
    if answer.thinking_tokens > 0 {
        content.push(json!({"type": "thinking", "thinking": "thinking aloud", "signature": format!("sig_{place}")}));
    }
    let mut stop = "end_turn";
    match &answer.says {
        Says::Text(text) => content.push(json!({"type": "text", "text": text})),
        Says::Refusal => stop = "refusal",
        Says::Tool { name, arguments } => {
            stop = "tool_use";
            content.push(json!({"type": "tool_use", "id": format!("toolu_{place}"), "name": name, "input": arguments}));
        }
        Says::Nothing => {}
    }
    if answer.unknown_item {
        content.push(json!({"type": "crystal_ball", "vision": "fog"}));
    }
    if answer.truncated {
        stop = "max_tokens";
    } else if answer.filtered {
        stop = "refusal";
    }
    let details = (stop == "refusal")
        .then(|| json!({"type": "refusal", "category": "general_harms", "explanation": null}));
    json!({
        "id": format!("msg_{place:08}"), "type": "message", "role": "assistant",
        "model": format!("{}-20260101", params["model"].as_str().unwrap_or_default()),
        "content": content, "stop_reason": stop, "stop_sequence": null, "stop_details": details,
        "usage": {
            "input_tokens": answer.input_tokens, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0,
            "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
            "output_tokens": answer.output_tokens, "output_tokens_details": {"thinking_tokens": answer.thinking_tokens},
            "service_tier": "batch", "inference_geo": "not_available",
        },
    })
}
