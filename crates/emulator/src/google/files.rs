//! Files: uploaded in pieces, listed and deleted; only generated files can be downloaded.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::response::Response;
use futures::StreamExt as _;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use super::answer::member;
use super::batches::time;
use super::errors::{authorise, error, invalid, json as answer, not_found};
use crate::exchange::parameter;
use crate::names::GOOGLE;
use crate::state::{Session, State, StoredFile};

/// "2 GB per file", "stored for 48 hours" (Files API guide, 2026).
const MAX_BYTES: u64 = 2 << 30;
const KEPT: u64 = 48 * 3600;

fn header<'r>(request: &'r Request, name: &str) -> Option<&'r str> {
    request.headers().get(name)?.to_str().ok()
}

pub(super) async fn begin(state: &Arc<State>, request: Request) -> Response {
    if let Err(refusal) = authorise(&request) {
        return *refusal;
    }
    let started = header(&request, "x-goog-upload-protocol") == Some("resumable")
        && header(&request, "x-goog-upload-command")
            .is_some_and(|command| command.contains("start"));
    if !started {
        return invalid("only resumable uploads are served");
    }
    let length = header(&request, "x-goog-upload-header-content-length")
        .and_then(|length| length.parse::<u64>().ok());
    if length.is_some_and(|length| length > MAX_BYTES) {
        return invalid("The file is larger than 2 GB.");
    }
    let host = header(&request, "host").unwrap_or("127.0.0.1").to_owned();
    let body = axum::body::to_bytes(request.into_body(), 1 << 20)
        .await
        .unwrap_or_default();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let file = &body["file"];
    let mut inner = state.lock();
    let id = match file["name"].as_str() {
        Some(name) => name.trim_start_matches("files/").to_owned(),
        None => inner.id("f"),
    };
    if inner
        .files
        .iter()
        .any(|known| known.provider == GOOGLE && known.id == id)
    {
        return error(409, "ALREADY_EXISTS", &format!("files/{id} already exists"));
    }
    let session = inner.id("s");
    let display_name = member(file, "displayName")
        .as_str()
        .unwrap_or_default()
        .to_owned();
    inner.sessions.insert(
        session.clone(),
        Session {
            file: id,
            display_name,
            bytes: 0,
            turn: Arc::default(),
        },
    );
    drop(inner);
    let mut response = answer(200, &json!({}));
    if let Ok(url) = format!("http://{host}/upload/session/{session}").parse() {
        response.headers_mut().insert("x-goog-upload-url", url);
    }
    response
}

pub(super) async fn upload(state: &Arc<State>, id: String, request: Request) -> Response {
    let find = || state.lock().sessions.get(&id).cloned();
    let Some(session) = find() else {
        return not_found("no such upload");
    };
    let command = header(&request, "x-goog-upload-command")
        .unwrap_or_default()
        .to_owned();
    let offset = header(&request, "x-goog-upload-offset")
        .and_then(|offset| offset.parse::<u64>().ok())
        .unwrap_or(0);
    if command.contains("query") {
        return status(answer(200, &json!({})), "active", Some(session.bytes));
    }
    // The call of a process that was killed may still be read.
    let _turn = session.turn.lock().await;
    let Some(session) = find() else {
        return not_found("no such upload");
    };
    if offset != session.bytes {
        return invalid("the offset is not the number of bytes received");
    }
    // The path belongs to this upload alone: an earlier upload of the same name may have broken off.
    let path = format!("google-{}-{id}", session.file);
    let mut options = tokio::fs::OpenOptions::new();
    let Ok(mut file) = options
        .create(true)
        .append(true)
        .open(state.path(&path))
        .await
    else {
        return error(500, "INTERNAL", "The disk is full.");
    };
    let (mut body, mut bytes) = (request.into_body().into_data_stream(), session.bytes);
    let mut is_whole = true;
    while let Some(piece) = body.next().await {
        let Ok(piece) = piece else {
            // The received bytes stay, and the upload resumes after them.
            is_whole = false;
            break;
        };
        if file.write_all(&piece).await.is_err() {
            return error(500, "INTERNAL", "The disk is full.");
        }
        bytes += piece.len() as u64;
    }
    let flushed = file.flush().await;
    if flushed.is_err() {
        return error(500, "INTERNAL", "The disk is full.");
    }
    if let Some(session) = state.lock().sessions.get_mut(&id) {
        session.bytes = bytes;
    }
    if !is_whole || !command.contains("finalize") {
        return status(answer(200, &json!({})), "active", Some(bytes));
    }
    let now = state.seconds();
    let stored = StoredFile {
        id: session.file,
        provider: GOOGLE,
        path,
        filename: session.display_name,
        purpose: "UPLOADED".to_owned(),
        bytes,
        created_at: now,
        expires_at: Some(now + KEPT),
    };
    let body = json!({"file": object(&stored)});
    let mut inner = state.lock();
    inner.bill.uploads += 1;
    inner.sessions.remove(&id);
    inner.files.push(stored);
    drop(inner);
    status(answer(200, &body), "final", None)
}

fn status(mut response: Response, word: &'static str, received: Option<u64>) -> Response {
    let headers = response.headers_mut();
    headers.insert(
        "x-goog-upload-status",
        axum::http::HeaderValue::from_static(word),
    );
    if let Some(received) = received {
        headers.insert("x-goog-upload-size-received", received.into());
    }
    response
}

fn object(file: &StoredFile) -> Value {
    let created = time(Duration::from_secs(file.created_at));
    json!({
        "name": format!("files/{}", file.id), "displayName": file.filename, "mimeType": "application/jsonl",
        "sizeBytes": file.bytes.to_string(), "state": "ACTIVE", "source": file.purpose,
        "createTime": created, "updateTime": created,
        "uri": format!("https://generativelanguage.googleapis.com/v1beta/files/{}", file.id),
    })
}

fn missing(id: &str) -> Response {
    // The provider does not distinguish a deleted file from a file of another account.
    error(
        403,
        "PERMISSION_DENIED",
        &format!("You do not have permission to access the File {id} or it may not exist."),
    )
}

pub(super) fn show(state: &State, id: &str, request: &Request) -> Response {
    if let Err(refusal) = authorise(request) {
        return *refusal;
    }
    let file = state.file(GOOGLE, id);
    file.map_or_else(|| missing(id), |file| answer(200, &object(&file)))
}

pub(super) fn list(state: &State, request: &Request) -> Response {
    if let Err(refusal) = authorise(request) {
        return *refusal;
    }
    let size = parameter(request, "pageSize")
        .and_then(|size| size.parse().ok())
        .unwrap_or(10);
    let from: usize = parameter(request, "pageToken")
        .and_then(|token| token.parse().ok())
        .unwrap_or(0);
    let inner = state.lock();
    let files: Vec<&StoredFile> = inner
        .files
        .iter()
        .filter(|file| file.provider == GOOGLE)
        .collect();
    let page: Vec<Value> = files
        .iter()
        .skip(from)
        .take(size)
        .map(|file| object(file))
        .collect();
    let mut body = json!({"files": page});
    if from + size < files.len() {
        body["nextPageToken"] = json!((from + size).to_string());
    }
    answer(200, &body)
}

pub(super) fn delete(state: &State, id: &str, request: &Request) -> Response {
    if let Err(refusal) = authorise(request) {
        return *refusal;
    }
    let Some(file) = state.file(GOOGLE, id) else {
        return missing(id);
    };
    let mut inner = state.lock();
    inner.files.retain(|known| known.id != id);
    inner.deleted.insert(id.to_owned());
    inner.bill.deletes += 1;
    drop(inner);
    // A file that cannot be removed is removed with the folder.
    let _ = std::fs::remove_file(state.path(&file.path));
    answer(200, &json!({}))
}

pub(super) async fn content(state: &Arc<State>, id: String, request: Request) -> Response {
    if let Err(refusal) = authorise(&request) {
        return *refusal;
    }
    let Some(file) = state.file(GOOGLE, &id) else {
        return missing(&id);
    };
    if file.purpose == "UPLOADED" {
        return invalid("Only generated files can be downloaded.");
    }
    let served = crate::exchange::content(state, &file.path, file.bytes, request.headers()).await;
    served.unwrap_or_else(|| missing(&id))
}
