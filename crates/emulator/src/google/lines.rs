//! Validation of an input file's lines, and rows of the results.

use serde_json::{Value, json};

use super::answer;
use crate::answers::Answers;
use crate::state::{Batch, Fate, Row, Settled, Tokens};
use crate::{magic, model};

/// Prefix of model names that do not exist.
pub(super) const NO_SUCH_MODEL: &str = "no-such-";

/// Row of a request that was never sent.
pub(crate) const FOREIGN: &str = r#"{"response":{},"key":"of-another-batch"}"#;

/// Members that a request may have; any other is reported as "no such field".
const KNOWN: &[&str] = &[
    "model",
    "contents",
    "systemInstruction",
    "system_instruction",
    "tools",
    "toolConfig",
    "tool_config",
    "safetySettings",
    "safety_settings",
    "generationConfig",
    "generation_config",
    "cachedContent",
    "cached_content",
    "labels",
    "serviceTier",
    "service_tier",
    "store",
];

/// Returns the validation error of a request, with the message of the provider's parser.
pub(super) fn fault(request: &Value) -> Option<String> {
    let Some(members) = request.as_object() else {
        return Some("invalid JSON: no request".to_owned());
    };
    if let Some(name) = members.keys().find(|name| !KNOWN.contains(&name.as_str())) {
        return Some(format!(
            "invalid JSON, near column 1: no such field: '{name}'"
        ));
    }
    let contents = request["contents"].as_array();
    if contents.is_none_or(Vec::is_empty) {
        return Some("contents is not specified".to_owned());
    }
    answer::user_text(request)
        .contains(magic::FAIL_LINE)
        .then(|| "a line that fails on purpose".to_owned())
}

pub(crate) fn row(
    batch: &Batch,
    line: &Value,
    place: usize,
    fate: Fate,
    answers: &Answers,
    settled: &mut Settled,
) -> (Row, Tokens) {
    let mut row = json!({});
    let mut tokens = Tokens::default();
    let error = |code: u16, message: &str| json!({"code": code, "message": message});
    match fate {
        Fate::Answered => {
            let answered = model::answer(&answer::asked(&line["request"]), answers);
            if answered.failed {
                settled.counts.succeeded -= 1;
                settled.counts.errored += 1;
                row["error"] = error(13, "An answer that fails on purpose.");
            } else {
                tokens = Tokens {
                    input: answered.input_tokens,
                    output: answered.output_tokens,
                };
                row["response"] = answer::render(&batch.target, place, &answered);
            }
        }
        // gRPC codes: 3 INVALID_ARGUMENT, 8 RESOURCE_EXHAUSTED, 13 INTERNAL, 1 CANCELLED, 4 DEADLINE_EXCEEDED.
        Fate::Error { status: 429 } => row["error"] = error(8, "A request that fails on purpose."),
        Fate::Error { status: 500 } => row["error"] = error(13, "A request that fails on purpose."),
        Fate::Error { .. } => row["error"] = error(3, "A request that fails on purpose."),
        Fate::Cancelled => row["error"] = error(1, "The batch was cancelled."),
        Fate::Expired => row["error"] = error(4, "The batch expired."),
    }
    let keyless = answer::user_text(&line["request"]).contains(magic::NO_KEY);
    if batch.inline {
        if !keyless && line["metadata"].is_object() {
            row["metadata"] = line["metadata"].clone();
        }
    } else if !keyless && !line["key"].is_null() {
        row["key"] = line["key"].clone();
    }
    (
        Row {
            bytes: row.to_string().into_bytes(),
            is_error: false,
        },
        tokens,
    )
}
