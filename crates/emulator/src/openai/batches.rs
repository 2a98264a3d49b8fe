//! Batches: accepted at once, checked and answered afterwards.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::errors::{authorise, error, json as answer, missing};
use super::{parameter, settle};
use crate::state::{BilledBatch, State, StoredBatch};

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
        return error(
            400,
            "Invalid 'metadata': 16 pairs of strings, keys up to 64 characters, values up to 512.",
            Some("metadata"),
            None,
        );
    }
    let mut inner = state.lock();
    let batch = StoredBatch {
        id: inner.id("batch_"),
        input_file: text("input_file_id").unwrap_or_default().to_owned(),
        endpoint: text("endpoint").unwrap_or_default().to_owned(),
        metadata,
        created: state.time.now(),
        cancelled: None,
        settled: None,
    };
    inner.bill.creates += 1;
    let metadata = batch.metadata.clone().unwrap_or_default();
    inner.bill.batches.push(BilledBatch {
        id: batch.id.clone(),
        metadata,
        answered: 0,
    });
    inner.batches.push(batch.clone());
    drop(inner);
    answer(200, &object(&batch, "validating", &state.pace.total()))
}

fn legal(pairs: &Map<String, Value>) -> bool {
    pairs.len() <= 16
        && pairs.iter().all(|(key, value)| {
            key.len() <= 64 && value.as_str().is_some_and(|value| value.len() <= 512)
        })
}

/// The batch as it stands now; what is due is done first.
fn current(state: &State, id: &str) -> Option<(StoredBatch, &'static str)> {
    let now = state.time.now();
    let batch = state
        .lock()
        .batches
        .iter()
        .find(|batch| batch.id == id)?
        .clone();
    if let Some(settled) = &batch.settled {
        return Some((batch.clone(), settled.status));
    }
    let pace = state.pace;
    let age = now.saturating_sub(batch.created);
    let status = match batch.cancelled {
        Some(at) if now.saturating_sub(at) < pace.finalizing => "cancelling",
        Some(_) => "cancelled",
        None if age < pace.validating => "validating",
        None if age < pace.validating + pace.in_progress => "in_progress",
        None if age < pace.total() => "finalizing",
        None => "completed",
    };
    if matches!(status, "validating" | "cancelling") {
        return Some((batch, status));
    }
    // A bad input shows as soon as it has been checked.
    if status != "completed" && status != "cancelled" {
        if let Some(failed) = settle::failure(state, &batch) {
            return Some(settled(state, batch, failed));
        }
        return Some((batch, status));
    }
    let outcome = settle::settle(state, &batch, status);
    Some(settled(state, batch, outcome))
}

fn settled(
    state: &State,
    mut batch: StoredBatch,
    outcome: crate::state::Settled,
) -> (StoredBatch, &'static str) {
    let status = outcome.status;
    batch.settled = Some(outcome);
    let mut inner = state.lock();
    if let Some(stored) = inner
        .batches
        .iter_mut()
        .find(|stored| stored.id == batch.id)
    {
        if let Some(earlier) = &stored.settled {
            return (stored.clone(), earlier.status);
        }
        stored.settled = batch.settled.clone();
    }
    let answered = batch
        .settled
        .as_ref()
        .map_or(0, |settled| settled.completed);
    inner.bill.answered_requests += answered;
    if let Some(billed) = inner
        .bill
        .batches
        .iter_mut()
        .find(|billed| billed.id == batch.id)
    {
        billed.answered = answered;
    }
    (batch, status)
}

fn not_found(id: &str) -> Response {
    error(404, &format!("No batch found with id '{id}'."), None, None)
}

pub(super) fn status(state: &State, id: &str, request: &Request) -> Response {
    if let Err(refusal) = authorise(request) {
        return *refusal;
    }
    current(state, id).map_or_else(
        || not_found(id),
        |(batch, status)| answer(200, &object(&batch, status, &state.pace.total())),
    )
}

pub(super) fn cancel(state: &State, id: &str, request: &Request) -> Response {
    if let Err(refusal) = authorise(request) {
        return *refusal;
    }
    let Some((_, status)) = current(state, id) else {
        return not_found(id);
    };
    match status {
        "cancelled" | "cancelling" => {}
        "completed" | "failed" | "expired" => {
            return error(
                409,
                &format!("Cannot cancel a batch with status '{status}'."),
                None,
                None,
            );
        }
        _ => {
            let now = state.time.now();
            if let Some(batch) = state.lock().batches.iter_mut().find(|batch| batch.id == id) {
                batch.cancelled = Some(now);
            }
        }
    }
    self::status(state, id, request)
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
    let mut ids: Vec<String> = state
        .lock()
        .batches
        .iter()
        .rev()
        .map(|batch| batch.id.clone())
        .collect();
    if let Some(after) = parameter(request, "after") {
        ids = ids
            .into_iter()
            .skip_while(|id| id != after)
            .skip(1)
            .collect();
    }
    let page = ids.iter().take(limit).filter_map(|id| current(state, id));
    let data: Vec<Value> = page
        .map(|(batch, status)| object(&batch, status, &state.pace.total()))
        .collect();
    let (first, last) = (
        data.first().map(|batch| batch["id"].clone()),
        data.last().map(|batch| batch["id"].clone()),
    );
    answer(
        200,
        &json!({"object": "list", "has_more": ids.len() > data.len(), "data": data, "first_id": first, "last_id": last}),
    )
}

/// Every key is there, null where there is nothing yet.
fn object(batch: &StoredBatch, status: &str, total: &Duration) -> Value {
    let created = batch.created.as_secs();
    let ended = created + total.as_secs();
    let settled = batch.settled.clone().unwrap_or_default();
    let at = |wanted: &[&str]| wanted.contains(&status).then_some(ended);
    let usage = (settled.completed > 0 || status == "completed").then(|| {
        json!({
            "input_tokens": settled.input_tokens, "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": settled.output_tokens, "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": settled.input_tokens + settled.output_tokens,
        })
    });
    json!({
        "id": batch.id, "object": "batch", "endpoint": batch.endpoint, "model": settled.model,
        "errors": settled.error.map(|error| json!({"object": "list", "data": [error]})),
        "input_file_id": batch.input_file, "completion_window": "24h", "status": status,
        "output_file_id": settled.output_file, "error_file_id": settled.error_file,
        "created_at": created, "in_progress_at": (status != "validating").then_some(created), "expires_at": created + DAY,
        "finalizing_at": at(&["finalizing", "completed"]), "completed_at": at(&["completed"]), "failed_at": at(&["failed"]),
        "expired_at": at(&["expired"]), "cancelling_at": batch.cancelled.map(|at| at.as_secs()), "cancelled_at": at(&["cancelled"]),
        "request_counts": {"total": settled.total, "completed": settled.completed, "failed": settled.failed},
        "usage": usage, "metadata": batch.metadata,
    })
}
