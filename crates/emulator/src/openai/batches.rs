//! Batches: accepted at once, validated and answered afterwards.

use std::sync::Arc;

use axum::extract::Request;
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::dialect::DIALECT;
use super::errors::{authorise, error, json as answer, missing};
use crate::batch;
use crate::exchange::parameter;
use crate::names::OPENAI;
use crate::state::{Batch, Phase, State, StoredFile};

const DAY: u64 = 24 * 3600;

const ENDPOINTS: &[&str] = &[
    "/v1/responses",
    "/v1/chat/completions",
    "/v1/embeddings",
    "/v1/completions",
    "/v1/moderations",
];

pub(super) async fn create(state: &Arc<State>, request: Request) -> Response {
    if let Err(refusal) = authorise(&request) {
        return *refusal;
    }
    let body = axum::body::to_bytes(request.into_body(), 1 << 20)
        .await
        .unwrap_or_default();
    let Ok(body) = serde_json::from_slice::<Map<String, Value>>(&body) else {
        return error(
            400,
            "We could not parse the JSON body of your request.",
            None,
            None,
        );
    };
    let text = |key: &str| body.get(key).and_then(Value::as_str);
    for key in ["input_file_id", "endpoint", "completion_window"] {
        if text(key).is_none() {
            return missing(key);
        }
    }
    for (key, known) in [("endpoint", ENDPOINTS), ("completion_window", &["24h"])] {
        let value = text(key).unwrap_or_default();
        if !known.contains(&value) {
            return error(
                400,
                &format!("Invalid value: '{value}'."),
                Some(key),
                Some("invalid_value"),
            );
        }
    }
    let metadata = body.get("metadata").and_then(Value::as_object).cloned();
    if metadata.as_ref().is_some_and(|pairs| !legal(pairs)) {
        let message =
            "Invalid 'metadata': 16 pairs of strings, keys up to 64 characters, values up to 512.";
        return error(400, message, Some("metadata"), None);
    }
    if batch::too_many_creates(state, OPENAI, state.limits.creates_per_hour as usize) {
        let message = "Rate limit reached for batch creations.";
        return error(429, message, None, Some("rate_limit_exceeded"));
    }
    let batch = Batch {
        id: state.lock().id("batch_"),
        dialect: DIALECT,
        input: text("input_file_id").unwrap_or_default().to_owned(),
        target: text("endpoint").unwrap_or_default().to_owned(),
        metadata,
        requests: 0,
        inline: false,
        created: state.time.now(),
        cancelled: None,
        lost_input: false,
        unlisted: 0,
        checked: false,
        settled: None,
    };
    let batch = batch::accept(state, batch);
    answer(200, &object(state, &batch, Phase::Validating))
}

fn legal(pairs: &Map<String, Value>) -> bool {
    pairs.len() <= 16
        && pairs.iter().all(|(key, value)| {
            key.len() <= 64 && value.as_str().is_some_and(|value| value.len() <= 512)
        })
}

fn not_found(id: &str) -> Response {
    error(404, &format!("No batch found with id '{id}'."), None, None)
}

pub(super) fn status(state: &State, id: &str, request: &Request) -> Response {
    if let Err(refusal) = authorise(request) {
        return *refusal;
    }
    let found = batch::current(state, OPENAI, id);
    found.map_or_else(
        || not_found(id),
        |(batch, phase)| answer(200, &object(state, &batch, phase)),
    )
}

pub(super) fn cancel(state: &State, id: &str, request: &Request) -> Response {
    if let Err(refusal) = authorise(request) {
        return *refusal;
    }
    match batch::cancel(state, OPENAI, id) {
        None => not_found(id),
        Some((_, true)) => status(state, id, request),
        Some((batch, false)) => {
            let phase = batch
                .settled
                .map_or(Phase::Completed, |settled| settled.phase);
            let message = format!("Cannot cancel a batch with status '{}'.", word(phase));
            error(409, &message, None, None)
        }
    }
}

pub(super) fn list(state: &State, request: &Request) -> Response {
    if let Err(refusal) = authorise(request) {
        return *refusal;
    }
    let limit = parameter(request, "limit")
        .and_then(|limit| limit.parse::<usize>().ok())
        .unwrap_or(20);
    if !(1..=100).contains(&limit) {
        return error(
            400,
            "Invalid 'limit': between 1 and 100.",
            Some("limit"),
            Some("invalid_value"),
        );
    }
    let mut ids = batch::listed(state, OPENAI, request);
    if let Some(after) = parameter(request, "after") {
        ids = ids
            .into_iter()
            .skip_while(|id| *id != after)
            .skip(1)
            .collect();
    }
    let page = ids
        .iter()
        .take(limit)
        .filter_map(|id| batch::current(state, OPENAI, id));
    let data: Vec<Value> = page
        .map(|(batch, phase)| object(state, &batch, phase))
        .collect();
    let end = |batch: Option<&Value>| batch.map(|batch| batch["id"].clone());
    let (first, last) = (end(data.first()), end(data.last()));
    answer(
        200,
        &json!({"object": "list", "has_more": ids.len() > data.len(), "data": data, "first_id": first, "last_id": last}),
    )
}

fn word(phase: Phase) -> &'static str {
    match phase {
        Phase::Validating => "validating",
        Phase::InProgress => "in_progress",
        Phase::Finalizing => "finalizing",
        Phase::Cancelling => "cancelling",
        Phase::Completed => "completed",
        Phase::Failed => "failed",
        Phase::Expired => "expired",
        Phase::Cancelled => "cancelled",
    }
}

/// Publishes a result file when the batch ends.
fn publish(state: &State, batch: &Batch, what: &str) -> Option<String> {
    let settled = batch.settled.as_ref()?;
    let file = if what == "output" {
        &settled.output
    } else {
        &settled.errors
    }
    .as_ref()?;
    let id = format!("file-{what}-{}", batch.id);
    let at = settled.at.as_secs();
    let mut inner = state.lock();
    if !inner.files.iter().any(|known| known.id == id) && !inner.deleted.contains(&id) {
        inner.files.push(StoredFile {
            id: id.clone(),
            provider: OPENAI,
            path: file.name.clone(),
            filename: format!("{}_{what}.jsonl", batch.id),
            purpose: "batch_output".to_owned(),
            bytes: file.bytes,
            created_at: at,
            expires_at: Some(at + 30 * DAY),
        });
    }
    Some(id)
}

/// Writes the batch object: every key is present, and null without a value.
fn object(state: &State, batch: &Batch, phase: Phase) -> Value {
    let created = batch.created.as_secs();
    let (output_file, error_file) = (
        publish(state, batch, "output"),
        publish(state, batch, "error"),
    );
    let settled = batch.settled.clone().unwrap_or_default();
    let ended = settled.at.as_secs();
    let at = |wanted: Phase| (phase == wanted).then_some(ended);
    let counts = settled.counts;
    let usage = (counts.succeeded > 0 || phase == Phase::Completed).then(|| {
        json!({
            "input_tokens": settled.input_tokens, "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": settled.output_tokens, "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": settled.input_tokens + settled.output_tokens,
        })
    });
    json!({
        "id": batch.id, "object": "batch", "endpoint": batch.target, "model": settled.model,
        "errors": settled.error.map(|error| json!({"object": "list", "data": [error]})),
        "input_file_id": batch.input, "completion_window": "24h", "status": word(phase),
        "output_file_id": output_file, "error_file_id": error_file,
        "created_at": created, "in_progress_at": (phase != Phase::Validating).then_some(created), "expires_at": created + DAY,
        "finalizing_at": at(Phase::Completed), "completed_at": at(Phase::Completed), "failed_at": at(Phase::Failed),
        "expired_at": at(Phase::Expired), "cancelling_at": batch.cancelled.map(|at| at.as_secs()), "cancelled_at": at(Phase::Cancelled),
        "request_counts": {"total": settled.total, "completed": counts.succeeded, "failed": counts.errored},
        "usage": usage, "metadata": batch.metadata,
    })
}
