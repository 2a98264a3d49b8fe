//! Validation of each request when the batch runs, and rows of its results.

use serde_json::{Value, json};

use super::answer;
use crate::answers::Answers;
use crate::model;
use crate::state::{Fate, Row, Settled, Tokens};

/// Prefix of model names that do not exist.
pub(super) const NO_SUCH_MODEL: &str = "no-such-";

/// Row of a request that was never sent.
pub(crate) const FOREIGN: &str = r#"{"custom_id":"of-another-batch","result":{"type":"canceled"}}"#;

/// Returns the validation error of a request's params as its row reports it: (type, message).
pub(super) fn fault(params: &Value, version: &str) -> Option<(&'static str, String)> {
    let invalid = |message: &str| Some(("invalid_request_error", message.to_owned()));
    let model = params["model"].as_str().unwrap_or_default();
    if model.starts_with(NO_SUCH_MODEL) {
        return Some(("not_found_error", format!("model: {model}")));
    }
    if params["max_tokens"].as_u64().is_none_or(|most| most == 0) {
        return invalid("max_tokens: Field required");
    }
    if params["messages"].as_array().is_none_or(Vec::is_empty) {
        return invalid("messages: at least one message is required");
    }
    if params["stream"] == true {
        return invalid("stream: not supported in batches");
    }
    // Removed in version 2026-10-21: "temperature: Extra inputs are not permitted" (one public report, 2026-10-31).
    if version == "2026-10-21" {
        for name in ["temperature", "top_p", "top_k"] {
            if params.get(name).is_some() {
                return invalid(&format!("{name}: Extra inputs are not permitted"));
            }
        }
    }
    None
}

pub(crate) fn row(
    line: &Value,
    place: usize,
    fate: Fate,
    answers: &Answers,
    settled: &mut Settled,
) -> (Row, Tokens) {
    let (result, tokens) = result(line, place, fate, answers, settled);
    let row = json!({"custom_id": line["custom_id"], "result": result});
    (
        Row {
            bytes: row.to_string().into_bytes(),
            is_error: false,
        },
        tokens,
    )
}

fn errored(kind: &str, message: &str) -> Value {
    let error = json!({"type": kind, "message": message});
    json!({"type": "errored", "error": {"type": "error", "error": error, "request_id": null}})
}

fn result(
    line: &Value,
    place: usize,
    fate: Fate,
    answers: &Answers,
    settled: &mut Settled,
) -> (Value, Tokens) {
    let none = Tokens::default();
    match fate {
        Fate::Cancelled => return (json!({"type": "canceled"}), none),
        Fate::Expired => {
            // A batch of this provider always ends as completed, for any outcomes of its requests.
            settled.phase = crate::state::Phase::Completed;
            return (json!({"type": "expired"}), none);
        }
        Fate::Error { status } => {
            let kind = match status {
                429 => "rate_limit_error",
                500 => "api_error",
                _ => "invalid_request_error",
            };
            return (errored(kind, "A request that fails on purpose."), none);
        }
        Fate::Answered => {}
    }
    let params = &line["params"];
    let version = line["version"].as_str().unwrap_or_default();
    let answered = model::answer(&answer::asked(params), answers);
    let failed = answered
        .failed
        .then(|| ("api_error", "An answer that fails on purpose.".to_owned()));
    if let Some((kind, message)) = fault(params, version).or(failed) {
        settled.counts.succeeded -= 1;
        settled.counts.errored += 1;
        return (errored(kind, &message), none);
    }
    let tokens = Tokens {
        input: answered.input_tokens,
        output: answered.output_tokens,
    };
    (
        json!({"type": "succeeded", "message": answer::render(params, place, &answered)}),
        tokens,
    )
}
