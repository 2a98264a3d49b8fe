//! Batches as long-running operations.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::dialect::DIALECT;
use super::errors::{authorise, error, exhausted, invalid, json as answer, not_found};
use super::{answer as content, inline, lines};
use crate::batch;
use crate::exchange::parameter;
use crate::model;
use crate::names::GOOGLE;
use crate::state::{Batch, Phase, State, StoredFile};

/// "under 20 MB" for a create with its requests (batch guide, 2026-02-19).
const MAX_INLINE: usize = 20 << 20;

pub(super) async fn create(state: &Arc<State>, model: String, request: Request) -> Response {
    if let Err(refusal) = authorise(&request) {
        return *refusal;
    }
    let Ok(body) = axum::body::to_bytes(request.into_body(), MAX_INLINE).await else {
        return invalid("Request payload size exceeds the limit: 20971520 bytes.");
    };
    if model.starts_with(lines::NO_SUCH_MODEL) {
        return not_found(&format!(
            "models/{model} is not found for API version v1beta"
        ));
    }
    let id = state.lock().id("b");
    let input = format!("google-{id}.input");
    let created = match inline::read(&body, &state.path(&input)) {
        Ok(created) => created,
        Err(message) => return invalid(&message),
    };
    let (input, requests) = match &created.file {
        None => (input, created.requests),
        Some(name) => {
            let name = name.trim_start_matches("files/");
            let Some(file) = state.file(GOOGLE, name) else {
                let message = format!(
                    "You do not have permission to access the File {name} or it may not exist."
                );
                return error(403, "PERMISSION_DENIED", &message);
            };
            match inline::check(&state.path(&file.path)) {
                Ok(requests) => (file.path, requests),
                Err(message) => return invalid(&message),
            }
        }
    };
    let (going_on, _) = batch::going_on(state, GOOGLE);
    let most = state.limits.concurrent_batches;
    if most.is_some_and(|most| going_on >= most) {
        return exhausted("Quota exceeded: too many batches are running.");
    }
    let mut metadata = Map::new();
    metadata.insert("displayName".to_owned(), json!(created.display_name));
    if let Some(file) = &created.file {
        metadata.insert("fileName".to_owned(), json!(file));
    }
    let batch = batch::accept(
        state,
        Batch {
            id,
            dialect: DIALECT,
            input,
            target: model,
            metadata: Some(metadata),
            requests,
            inline: created.file.is_none(),
            created: state.time.now(),
            cancelled: None,
            lost_input: false,
            unlisted: 0,
            checked: true,
            settled: None,
        },
    );
    answer(200, &operation(state, &batch, Phase::Validating, true))
}

fn found(state: &State, id: &str) -> Option<(Batch, Phase)> {
    batch::current(state, GOOGLE, id)
}

fn missing(id: &str) -> Response {
    not_found(&format!("Requested entity was not found: batches/{id}"))
}

pub(super) fn status(state: &State, id: &str, request: &Request) -> Response {
    if let Err(refusal) = authorise(request) {
        return *refusal;
    }
    let found = found(state, id);
    found.map_or_else(
        || missing(id),
        |(batch, phase)| answer(200, &operation(state, &batch, phase, true)),
    )
}

pub(super) fn list(state: &State, request: &Request) -> Response {
    if let Err(refusal) = authorise(request) {
        return *refusal;
    }
    let size = parameter(request, "pageSize")
        .and_then(|size| size.parse().ok())
        .unwrap_or(50);
    let from: usize = parameter(request, "pageToken")
        .and_then(|token| token.parse().ok())
        .unwrap_or(0);
    let ids = batch::listed(state, GOOGLE, request);
    let page = ids
        .iter()
        .skip(from)
        .take(size)
        .filter_map(|id| found(state, id));
    let operations: Vec<Value> = page
        .map(|(batch, phase)| operation(state, &batch, phase, false))
        .collect();
    let mut body = json!({});
    if !operations.is_empty() {
        body["operations"] = Value::Array(operations);
    }
    if from + size < ids.len() {
        body["nextPageToken"] = json!((from + size).to_string());
    }
    answer(200, &body)
}

pub(super) fn cancel(state: &State, id: &str, request: &Request) -> Response {
    if let Err(refusal) = authorise(request) {
        return *refusal;
    }
    match batch::cancel(state, GOOGLE, id) {
        None => missing(id),
        Some((_, true)) => answer(200, &json!({})),
        Some((_, false)) => error(400, "FAILED_PRECONDITION", "The batch has ended."),
    }
}

pub(super) fn delete(state: &State, id: &str, request: &Request) -> Response {
    if let Err(refusal) = authorise(request) {
        return *refusal;
    }
    if found(state, id).is_none() {
        return missing(id);
    }
    let mut inner = state.lock();
    inner.batches.retain(|batch| batch.id != id);
    inner.bill.deletes += 1;
    answer(200, &json!({}))
}

pub(super) async fn answer_now(state: &State, model: String, request: Request) -> Response {
    if let Err(refusal) = authorise(&request) {
        return *refusal;
    }
    let body = axum::body::to_bytes(request.into_body(), MAX_INLINE)
        .await
        .unwrap_or_default();
    let Ok(body) = serde_json::from_slice::<Value>(&body) else {
        return invalid("Invalid JSON payload received.");
    };
    if let Some(fault) = lines::fault(&body) {
        return invalid(&fault);
    }
    answer(
        200,
        &content::render(
            &model,
            0,
            &model::answer(&content::asked(&body), &state.answers),
        ),
    )
}

/// Formats a time with nanoseconds and `Z`, as recorded.
pub(super) fn time(at: Duration) -> Value {
    let seconds = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(at.as_secs());
    let text = humantime::format_rfc3339_seconds(seconds).to_string();
    json!(format!(
        "{}.{:09}Z",
        text.trim_end_matches('Z'),
        at.subsec_nanos()
    ))
}

fn state_of(phase: Phase) -> &'static str {
    match phase {
        Phase::Validating => "BATCH_STATE_PENDING",
        Phase::InProgress | Phase::Finalizing | Phase::Cancelling => "BATCH_STATE_RUNNING",
        Phase::Completed => "BATCH_STATE_SUCCEEDED",
        Phase::Failed => "BATCH_STATE_FAILED",
        Phase::Expired => "BATCH_STATE_EXPIRED",
        Phase::Cancelled => "BATCH_STATE_CANCELLED",
    }
}

/// Writes the counts as strings; zero counts are absent.
fn counts(batch: &Batch) -> Value {
    let mut counts = Map::new();
    let mut count = |name: &str, number: u64| {
        if number > 0 {
            counts.insert(name.to_owned(), json!(number.to_string()));
        }
    };
    count("requestCount", batch.requests);
    match &batch.settled {
        Some(settled) => {
            let failed = settled.counts.errored + settled.counts.expired + settled.counts.cancelled;
            count("successfulRequestCount", settled.counts.succeeded);
            count("failedRequestCount", failed);
        }
        None => count("pendingRequestCount", batch.requests),
    }
    Value::Object(counts)
}

/// Writes the operation: `done` is absent until the end, and the output is both in the metadata and in the response.
fn operation(state: &State, batch: &Batch, phase: Phase, whole: bool) -> Value {
    let name = format!("batches/{}", batch.id);
    let meta = batch.metadata.clone().unwrap_or_default();
    let kind = "type.googleapis.com/google.ai.generativelanguage.v1main.GenerateContentBatch";
    let mut metadata = json!({
        "@type": kind, "model": format!("models/{}", batch.target), "displayName": meta.get("displayName"),
        "createTime": time(batch.created), "updateTime": time(batch.created),
        "batchStats": counts(batch), "state": state_of(phase), "name": name,
    });
    if let Some(file) = meta.get("fileName") {
        metadata["inputConfig"] = json!({"fileName": file});
    }
    let Some(settled) = &batch.settled else {
        return json!({"name": name, "metadata": metadata});
    };
    metadata["endTime"] = time(settled.at);
    let late = state.time.now().saturating_sub(settled.at) < state.limits.late_results;
    let output = if late {
        None
    } else {
        output(state, batch, whole)
    };
    let mut operation = json!({"name": name});
    if let Some(output) = &output {
        metadata["output"] = output.clone();
    }
    operation["metadata"] = metadata;
    operation["done"] = json!(true);
    match (phase, output) {
        (Phase::Failed | Phase::Expired, _) => {
            let message = if phase == Phase::Expired {
                "The batch expired."
            } else {
                "The batch failed."
            };
            operation["error"] = json!({"code": 4, "message": message});
        }
        (_, Some(Value::Object(mut members))) => {
            members.insert("@type".to_owned(), json!(format!("{kind}Output")));
            operation["response"] = Value::Object(members);
        }
        _ => {}
    }
    operation
}

fn output(state: &State, batch: &Batch, whole: bool) -> Option<Value> {
    let settled = batch.settled.as_ref()?;
    let file = settled.output.as_ref()?;
    if batch.inline {
        if !whole {
            return None;
        }
        let text = std::fs::read_to_string(state.path(&file.name)).ok()?;
        let rows: Vec<Value> = text
            .lines()
            .filter_map(|row| serde_json::from_str(row).ok())
            .collect();
        return Some(json!({"inlinedResponses": {"inlinedResponses": rows}}));
    }
    let id = format!("batch-{}", batch.id);
    let mut inner = state.lock();
    if !inner.files.iter().any(|known| known.id == id) && !inner.deleted.contains(&id) {
        inner.files.push(StoredFile {
            id: id.clone(),
            provider: GOOGLE,
            path: file.name.clone(),
            filename: id.clone(),
            purpose: "GENERATED".to_owned(),
            bytes: file.bytes,
            created_at: settled.at.as_secs(),
            expires_at: Some(settled.at.as_secs() + 48 * 3600),
        });
    }
    Some(json!({"responsesFile": format!("files/{id}")}))
}
