//! Files: stored on disk, and streamed in both directions.

use std::sync::Arc;

use axum::extract::{FromRequest as _, Multipart, Request};
use axum::response::Response;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use super::errors::{authorise, error, json as answer, missing};
use crate::exchange::{content as serve, parameter};
use crate::names::OPENAI;
use crate::state::{State, StoredFile};

/// "up to 200 MB in size" (batch guide, 2026).
const MAX_BYTES: u64 = 200 << 20;

const MONTH: u64 = 30 * 24 * 3600;

pub(super) async fn upload(state: &Arc<State>, request: Request) -> Response {
    if let Err(refusal) = authorise(&request) {
        return *refusal;
    }
    let Ok(mut form) = Multipart::from_request(request, state).await else {
        return error(400, "The body is not a multipart form.", None, None);
    };
    let (mut purpose, mut expires, mut stored) = (None, None, None);
    let id = state.lock().id("file-");
    loop {
        let mut field = match form.next_field().await {
            Ok(Some(field)) => field,
            Ok(None) => break,
            Err(_) => return error(400, "The form was cut short.", None, None),
        };
        match field.name().unwrap_or_default() {
            "purpose" => purpose = field.text().await.ok(),
            "expires_after[seconds]" => {
                expires = field
                    .text()
                    .await
                    .ok()
                    .and_then(|text| text.parse::<u64>().ok())
            }
            "file" => {
                let filename = field.file_name().unwrap_or_default().to_owned();
                let Ok(mut out) = tokio::fs::File::create(state.path(&id)).await else {
                    return error(500, "The disk is full.", None, None);
                };
                let mut bytes = 0;
                loop {
                    match field.chunk().await {
                        Ok(Some(chunk)) => {
                            bytes += chunk.len() as u64;
                            if bytes > MAX_BYTES {
                                return error(
                                    413,
                                    "File is too large. Maximum size for batch files is 200 MB.",
                                    Some("file"),
                                    None,
                                );
                            }
                            if out.write_all(&chunk).await.is_err() {
                                return error(500, "The disk is full.", None, None);
                            }
                        }
                        Ok(None) => break,
                        Err(_) => return error(400, "The form was cut short.", None, None),
                    }
                }
                if out.flush().await.is_err() {
                    return error(500, "The disk is full.", None, None);
                }
                stored = Some((filename, bytes));
            }
            _ => {}
        }
    }
    let Some(purpose) = purpose else {
        return missing("purpose");
    };
    let Some((filename, bytes)) = stored else {
        return missing("file");
    };
    if purpose == "batch" && !filename.ends_with(".jsonl") {
        let message = "Invalid file format for Batch API. Must be .jsonl";
        let body = json!({
            "error": {"message": message, "type": "invalid_request_error", "param": null, "code": null},
            "detail": {"message": message, "code": null},
        });
        return answer(400, &body);
    }
    let now = state.seconds();
    let file = StoredFile {
        path: id.clone(),
        id,
        provider: OPENAI,
        filename,
        purpose,
        bytes,
        created_at: now,
        expires_at: Some(now + expires.unwrap_or(MONTH)),
    };
    let body = object(&file);
    let mut inner = state.lock();
    inner.bill.uploads += 1;
    inner.files.push(file);
    answer(200, &body)
}

pub(super) fn object(file: &StoredFile) -> Value {
    json!({
        "id": file.id, "object": "file", "bytes": file.bytes, "created_at": file.created_at, "filename": file.filename,
        "purpose": file.purpose, "status": "processed", "expires_at": file.expires_at, "status_details": null,
    })
}

fn not_found(id: &str) -> Response {
    error(404, &format!("No such File object: {id}"), Some("id"), None)
}

pub(super) fn show(state: &State, id: &str, request: &Request) -> Response {
    if let Err(refusal) = authorise(request) {
        return *refusal;
    }
    let file = state.file(OPENAI, id);
    file.map_or_else(|| not_found(id), |file| answer(200, &object(&file)))
}

pub(super) fn list(state: &State, request: &Request) -> Response {
    if let Err(refusal) = authorise(request) {
        return *refusal;
    }
    let purpose = parameter(request, "purpose");
    let limit = parameter(request, "limit")
        .and_then(|limit| limit.parse().ok())
        .unwrap_or(10_000);
    let inner = state.lock();
    let mut files: Vec<&StoredFile> = inner
        .files
        .iter()
        .filter(|file| file.provider == OPENAI)
        .filter(|file| purpose.is_none_or(|purpose| purpose == file.purpose))
        .collect();
    if parameter(request, "order") != Some("asc") {
        files.reverse();
    }
    if let Some(after) = parameter(request, "after") {
        files = files
            .into_iter()
            .skip_while(|file| file.id != after)
            .skip(1)
            .collect();
    }
    let data: Vec<Value> = files.iter().take(limit).map(|file| object(file)).collect();
    let ends = |value: Option<&Value>| value.map(|value| value["id"].clone());
    let (first, last) = (ends(data.first()), ends(data.last()));
    answer(
        200,
        &json!({"object": "list", "has_more": files.len() > data.len(), "data": data, "first_id": first, "last_id": last}),
    )
}

pub(super) fn delete(state: &State, id: &str, request: &Request) -> Response {
    if let Err(refusal) = authorise(request) {
        return *refusal;
    }
    let Some(file) = state.file(OPENAI, id) else {
        return not_found(id);
    };
    let mut inner = state.lock();
    inner.files.retain(|file| file.id != id);
    inner.deleted.insert(id.to_owned());
    inner.bill.deletes += 1;
    drop(inner);
    // A file that cannot be removed is removed with the folder.
    let _ = std::fs::remove_file(state.path(&file.path));
    answer(200, &json!({"id": id, "object": "file", "deleted": true}))
}

pub(super) async fn content(state: &Arc<State>, id: String, request: Request) -> Response {
    if let Err(refusal) = authorise(&request) {
        return *refusal;
    }
    let Some(file) = state.file(OPENAI, &id) else {
        return not_found(&id);
    };
    let found = serve(state, &file.path, file.bytes, request.headers()).await;
    found.unwrap_or_else(|| not_found(&id))
}
