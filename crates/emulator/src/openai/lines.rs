//! Validation of an input file's lines, and rows of the result files.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead as _, BufReader};

use serde_json::{Value, json};

use super::answer::{self, user_text};
use crate::answers::Answers;
use crate::magic;
use crate::model;
use crate::names::OPENAI;
use crate::state::{Batch, Fate, Row, Settled, State, Tokens};

/// Prefix of model names that do not exist.
pub(crate) const NO_SUCH_MODEL: &str = "no-such-";

/// Row of a request that was never sent.
pub(crate) const FOREIGN: &str = r#"{"id":"batch_req_x","custom_id":"of-another-batch","response":{"status_code":200,"request_id":"r","body":{}},"error":null}"#;

/// "up to 50,000 requests" (batch guide, 2026).
const MAX_REQUESTS: u64 = 50_000;

fn problem(code: &str, message: &str, param: Option<&str>, line: Option<u64>) -> Value {
    json!({"code": code, "message": message, "param": param, "line": line})
}

/// Returns the reason why the batch fails as a whole, if it does. Validation stops at the first invalid line.
pub(crate) fn check(state: &State, batch: &Batch) -> Option<Value> {
    let missing = || {
        let message = format!(
            "Cannot find file {}, or organization org-emulated does not have access to it.",
            batch.input
        );
        problem("invalid_request", &message, Some("file_id"), None)
    };
    let known = state.file(OPENAI, &batch.input);
    if batch.lost_input || known.is_none_or(|file| file.purpose != "batch") {
        return Some(missing());
    }
    if let Some(error) = check_enqueued(state, batch) {
        return Some(error);
    }
    let Ok(file) = File::open(state.path(&batch.input)) else {
        return Some(missing());
    };
    let (mut seen, mut model, mut number) = (HashSet::new(), None, 0);
    for line in BufReader::new(file).split(b'\n') {
        number += 1;
        let Ok(line) = line else {
            return Some(missing());
        };
        if line.trim_ascii().is_empty() {
            continue;
        }
        if let Some(error) = check_line(batch, &line, number, &mut seen, &mut model) {
            return Some(error);
        }
    }
    if seen.is_empty() {
        return Some(problem(
            "empty_file",
            "The file holds no requests.",
            None,
            None,
        ));
    }
    (seen.len() as u64 > MAX_REQUESTS).then(|| {
        let message = "The file holds more than 50,000 requests.";
        problem("too_many_requests", message, None, None)
    })
}

/// Checks the limit of enqueued tokens. A batch over the limit is accepted and then fails; it can be created again
/// once others end.
fn check_enqueued(state: &State, batch: &Batch) -> Option<Value> {
    let most = state.limits.enqueued_tokens?;
    let tokens = |bytes: u64| bytes / 4;
    let running: Vec<String> = {
        let inner = state.lock();
        let earlier = inner
            .batches
            .iter()
            .take_while(|other| other.id != batch.id);
        let running =
            earlier.filter(|other| other.dialect.name() == OPENAI && other.settled.is_none());
        running.map(|other| other.input.clone()).collect()
    };
    let size = |input: &str| {
        state
            .file(OPENAI, input)
            .map_or(0, |file| tokens(file.bytes))
    };
    let enqueued: u64 = running.iter().map(|input| size(input)).sum::<u64>() + size(&batch.input);
    (enqueued > most).then(|| {
        let message = format!(
            "Enqueued token limit reached for the model in organization org-emulated. Limit: {most} enqueued tokens. Please try again once some in_progress batches have been completed."
        );
        problem("token_limit_exceeded", &message, None, None)
    })
}

fn check_line(
    batch: &Batch,
    line: &[u8],
    number: u64,
    seen: &mut HashSet<String>,
    model: &mut Option<String>,
) -> Option<Value> {
    let bad = |code: &str, message: &str, param: Option<&str>| {
        Some(problem(code, message, param, Some(number)))
    };
    let Ok(line) = serde_json::from_slice::<Value>(line) else {
        return bad(
            "invalid_json_line",
            "This line is not parseable as valid JSON.",
            None,
        );
    };
    for key in ["custom_id", "method", "url", "body"] {
        if line.get(key).is_none_or(Value::is_null) {
            let message = format!("Missing required parameter: '{key}'.");
            return bad("missing_required_parameter", &message, Some(key));
        }
    }
    let custom_id = line["custom_id"].as_str().unwrap_or_default().to_owned();
    if !seen.insert(custom_id) {
        return bad(
            "duplicate_custom_id",
            "The custom_id is used more than once.",
            Some("custom_id"),
        );
    }
    if line["method"] != "POST" {
        return bad(
            "invalid_method",
            "Invalid value. Supported values are: 'POST'",
            Some("method"),
        );
    }
    if line["url"] != batch.target.as_str() {
        let message = "The URL provided for this request does not match the batch endpoint.";
        return bad("invalid_url", message, Some("url"));
    }
    let body = &line["body"];
    if body["stream"] == true {
        let message = "Streaming is not supported in batches.";
        return bad("streaming_unsupported", message, Some("body.stream"));
    }
    let Some(name) = body["model"].as_str() else {
        return bad(
            "invalid_request",
            "The body names no model.",
            Some("body.model"),
        );
    };
    if name.starts_with(NO_SUCH_MODEL) {
        let message = "The provided model is not supported by the Batch API.";
        return bad("model_not_found", message, Some("body.model"));
    }
    if model.get_or_insert_with(|| name.to_owned()) != name {
        let message = "All requests of a batch must name the same model.";
        return bad("mismatched_model", message, Some("body.model"));
    }
    if user_text(body).contains(magic::FAIL_LINE) {
        return bad(
            "invalid_request",
            "A line that fails on purpose.",
            Some("body"),
        );
    }
    None
}

pub(crate) fn row(
    batch: &Batch,
    line: &Value,
    place: usize,
    fate: Fate,
    answers: &Answers,
    settled: &mut Settled,
) -> (Row, Tokens) {
    let (custom_id, body) = (&line["custom_id"], &line["body"]);
    let model = || format!("{}-2026-01-01", body["model"].as_str().unwrap_or_default());
    settled.model.get_or_insert_with(model);
    let row = |response: Value, error: Value| {
        let id = format!("batch_req_{place:08}");
        json!({"id": id, "custom_id": custom_id, "response": response, "error": error})
            .to_string()
            .into_bytes()
    };
    let not_run = |code: &str, message: &str| {
        let bytes = row(Value::Null, json!({"code": code, "message": message}));
        (
            Row {
                bytes,
                is_error: true,
            },
            Tokens::default(),
        )
    };
    match fate {
        Fate::Cancelled => not_run(
            "batch_cancelled",
            "This request was not executed because the batch was cancelled.",
        ),
        Fate::Expired => not_run(
            "batch_expired",
            "This request could not be executed before the completion window expired.",
        ),
        Fate::Error { status } => {
            let code = match status {
                429 => "rate_limit_exceeded",
                500 => "server_error",
                _ => "invalid_value",
            };
            let body = json!({"error": {"message": "A request that fails on purpose.", "type": "invalid_request_error", "param": null, "code": code}});
            let response =
                json!({"status_code": status, "request_id": "req_emulated", "body": body});
            (
                Row {
                    bytes: row(response, Value::Null),
                    is_error: true,
                },
                Tokens::default(),
            )
        }
        Fate::Answered => {
            let answered = model::answer(&answer::asked(body), answers);
            let tokens = Tokens {
                input: answered.input_tokens,
                output: answered.output_tokens,
            };
            let body = answer::render(&batch.target, body, place, &answered);
            let response = json!({"status_code": 200, "request_id": "req_emulated", "body": body});
            (
                Row {
                    bytes: row(response, Value::Null),
                    is_error: false,
                },
                tokens,
            )
        }
    }
}
