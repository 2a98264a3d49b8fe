//! Answers and rows in the chat completions format, which many services share, for the wires of their adapters.

use serde_json::{Value, json};

use crate::full_row::{End, FullAnswer, Piece};

/// Returns the body of an answer as a chat completion. Thoughts are in `reasoning_content`, as many services write
/// them.
///
/// ```
/// use lmbatch_contract::{FullAnswer, chat_completion};
/// let body = chat_completion(&FullAnswer::default());
/// assert_eq!(body["choices"][0]["finish_reason"], "stop");
/// ```
pub fn chat_completion(answer: &FullAnswer) -> Value {
    let (mut text, mut calls) = (Vec::new(), Vec::new());
    let mut message = json!({"role": "assistant"});
    for piece in &answer.pieces {
        match piece {
            Piece::Text(one) => text.push(one.as_str()),
            Piece::Refusal(words) => message["refusal"] = json!(words),
            Piece::Thinking(words) => message["reasoning_content"] = json!(words),
            Piece::ToolCall {
                id,
                name,
                arguments,
            } => calls.push(json!({
                "id": id, "type": "function",
                "function": {"name": name, "arguments": arguments.to_string()},
            })),
        }
    }
    message["content"] = json!((!text.is_empty()).then(|| text.concat()));
    message["tool_calls"] = json!((!calls.is_empty()).then_some(calls));
    let end = match answer.end {
        End::CutOff => "length",
        End::ToolUse => "tool_calls",
        End::Complete | End::Refused => "stop",
    };
    let mut choices = vec![json!({"index": 0, "message": message, "finish_reason": end})];
    choices.extend(
        answer.others.iter().map(
            |other| json!({"index": 1, "message": {"content": other}, "finish_reason": "stop"}),
        ),
    );
    let usage = answer
        .usage
        .map(|usage| json!({"prompt_tokens": usage.input, "completion_tokens": usage.output}));
    json!({"id": answer.id, "model": answer.model, "choices": choices, "usage": usage})
}

/// Returns a row of the results with a body: `{"custom_id", "response": {"status_code", "body"}, "error": null}`.
pub fn chat_row(id: &str, status: u16, body: &Value) -> Value {
    json!({"custom_id": id, "response": {"status_code": status, "body": body}, "error": null})
}
