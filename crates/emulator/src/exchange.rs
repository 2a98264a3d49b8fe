//! Common parts of every call: the fault that is due, and downloads of files.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes};
use axum::extract::Request;
use axum::http::response::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use futures::StreamExt as _;
use serde_json::Value;
use tokio::io::AsyncSeekExt as _;
use tokio::sync::Mutex;
use tokio_util::io::ReaderStream;

use crate::faults::{FaultKind, Operation};
use crate::hook::Moment;
use crate::late;
use crate::state::{Batch, State};

/// Returns a query parameter without decoding: ids and numbers need none.
pub(crate) fn parameter<'r>(request: &'r Request, name: &str) -> Option<&'r str> {
    let mut pairs = request
        .uri()
        .query()?
        .split('&')
        .filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
}

/// The unread rest of a request's body.
pub(crate) type Rest = Arc<Mutex<BodyDataStream>>;

/// Returns a body and a second handle to its unread rest.
pub(crate) fn shared(body: hyper::body::Incoming) -> (Body, Rest) {
    let rest = Arc::new(Mutex::new(Body::new(body).into_data_stream()));
    let pieces = futures::stream::unfold(Arc::clone(&rest), |rest| async {
        let piece = rest.lock().await.next().await?;
        Some((piece, rest))
    });
    (Body::from_stream(pieces), rest)
}

/// Reads the rest of a body. A refusal may come before the request has been sent completely, and a client that is
/// still sending when the connection closes never reads it; so the emulator reads everything first, as proxies do.
pub(crate) async fn drain(rest: &Rest) {
    while let Some(Ok(_)) = rest.lock().await.next().await {}
}

/// Returns the bytes of a stored file, from an offset where ranges are enabled and requested.
pub(crate) async fn content(
    state: &State,
    path: &str,
    bytes: u64,
    asked: &HeaderMap,
) -> Option<Response> {
    let mut file = tokio::fs::File::open(state.path(path)).await.ok()?;
    let range = asked.get("range").and_then(|range| range.to_str().ok());
    let from = range.and_then(|range| {
        range
            .strip_prefix("bytes=")?
            .strip_suffix('-')?
            .parse::<u64>()
            .ok()
    });
    let from = from.filter(|from| state.limits.ranges && (1..bytes).contains(from));
    if let Some(from) = from {
        file.seek(io::SeekFrom::Start(from)).await.ok()?;
    }
    let start = from.unwrap_or(0);
    let mut response = Response::new(Body::from_stream(ReaderStream::with_capacity(
        file,
        256 << 10,
    )));
    let headers = response.headers_mut();
    headers.insert("content-length", (bytes - start).into());
    if state.limits.ranges {
        headers.insert(
            "accept-ranges",
            axum::http::HeaderValue::from_static("bytes"),
        );
    }
    if from.is_some() {
        let range = format!("bytes {start}-{}/{bytes}", bytes - 1);
        headers.insert("content-range", range.parse().ok()?);
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    Some(response)
}

/// Marks a response that must not be sent: the connection is closed instead.
#[derive(Clone)]
struct Reset;

/// Returns whether the connection is to be closed instead of sending the response.
pub(crate) fn is_reset(response: &Response) -> bool {
    response.extensions().get::<Reset>().is_some()
}

/// Marks a request for a list whose batches of equal time are to be reversed.
#[derive(Clone, Copy)]
pub(crate) struct ReversedTies;

/// Performs a call with the fault that is due.
pub(crate) async fn call<F>(
    state: &State,
    operation: Operation,
    mut request: Request,
    work: impl FnOnce(Request) -> F,
) -> Response
where
    F: Future<Output = Response>,
{
    state.notify(operation, Moment::Received);
    let fault = state.call(operation);
    tracing::debug!(?operation, faulty = fault.is_some(), "call");
    let Some(fault) = fault else {
        let response = work(request).await;
        state.notify(operation, Moment::Performed);
        return response;
    };
    let kinds = fault.clone().flat();
    for kind in &kinds {
        match kind {
            FaultKind::Latency { milliseconds } => {
                crate::time::wait(Duration::from_millis(*milliseconds)).await;
            }
            FaultKind::ReverseTies => {
                request.extensions_mut().insert(ReversedTies);
            }
            FaultKind::ResetBefore => {
                // The body is read to its end, so that the client cannot tell whether the call was performed.
                let body = std::mem::take(request.body_mut());
                let mut pieces = body.into_data_stream();
                while let Some(Ok(_)) = pieces.next().await {}
                return reset();
            }
            _ => {
                if let Some(refusal) = refusal(kind) {
                    return refusal;
                }
            }
        }
    }
    let mut response = work(request).await;
    state.notify(operation, Moment::Performed);
    let mut struck = false;
    for kind in kinds {
        let (next, changed) = after(state, kind, response).await;
        (response, struck) = (next, struck || changed);
    }
    if !struck {
        state.give_back(operation, &fault);
    }
    response
}

/// Returns the response to a call that is not performed; `None` for faults that strike after the call.
fn refusal(kind: &FaultKind) -> Option<Response> {
    Some(match kind {
        FaultKind::Status {
            code,
            body,
            headers,
        } => plain(*code, headers, body.clone().into()),
        FaultKind::Redirect { code, location } => {
            let headers = [("location".to_owned(), location.clone())];
            plain(*code, &headers, Bytes::new())
        }
        _ => return None,
    })
}

/// Spoils the response to a performed call; false if the fault had nothing to change.
async fn after(state: &State, kind: FaultKind, response: Response) -> (Response, bool) {
    let response = match kind {
        FaultKind::StatusAfter {
            code,
            body,
            headers,
        } => plain(code, &headers, body.into()),
        FaultKind::Body {
            status,
            headers,
            bytes,
        } => plain(status, &headers, bytes.into()),
        FaultKind::ResetAfter => reset(),
        FaultKind::Truncate { bytes } => truncate(response, bytes).await,
        FaultKind::Damage { how } => {
            let (parts, whole) = whole(response).await;
            how.apply(parts, &whole)
        }
        FaultKind::SlowBody { bytes_per_second } => drip(response, bytes_per_second).await,
        FaultKind::LostInput => {
            return mark(state, response, |batch| batch.lost_input = true).await;
        }
        FaultKind::Unlisted { reads } => {
            return mark(state, response, |batch| batch.unlisted = reads).await;
        }
        FaultKind::Late { what, empty } => {
            return edit(response, |answer| what.hide(answer, empty)).await;
        }
        FaultKind::Rewrite { pointer, value } => {
            return edit(response, |answer| late::rewrite(answer, &pointer, &value)).await;
        }
        FaultKind::Status { .. }
        | FaultKind::Redirect { .. }
        | FaultKind::ResetBefore
        | FaultKind::ReverseTies
        | FaultKind::Latency { .. }
        | FaultKind::Several { .. } => response,
    };
    (response, true)
}

async fn whole(response: Response) -> (Parts, Bytes) {
    let (parts, body) = response.into_parts();
    let whole = axum::body::to_bytes(body, usize::MAX).await;
    (parts, whole.unwrap_or_default())
}

/// Changes a JSON response; false if the change had no effect.
async fn edit(response: Response, change: impl FnOnce(&mut Value) -> bool) -> (Response, bool) {
    let (mut parts, bytes) = whole(response).await;
    let mut answer = serde_json::from_slice::<Value>(&bytes).unwrap_or_default();
    if !parts.status.is_success() || !change(&mut answer) {
        return (Response::from_parts(parts, Body::from(bytes)), false);
    }
    parts.headers.remove("content-length");
    let body = Body::from(answer.to_string());
    (Response::from_parts(parts, body), true)
}

/// Changes the batch that a create returned.
async fn mark(
    state: &State,
    response: Response,
    change: impl FnOnce(&mut Batch),
) -> (Response, bool) {
    let (parts, bytes) = whole(response).await;
    let answer = serde_json::from_slice::<Value>(&bytes).unwrap_or_default();
    let id = answer["id"].as_str().or_else(|| {
        let name = answer["name"].as_str()?;
        name.strip_prefix("batches/")
    });
    let mut inner = state.lock();
    let batch = inner
        .batches
        .iter_mut()
        .find(|batch| Some(&*batch.id) == id);
    let found = batch.map(change).is_some();
    drop(inner);
    (Response::from_parts(parts, Body::from(bytes)), found)
}

fn plain(code: u16, headers: &[(String, String)], body: Bytes) -> Response {
    let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let kind = if body.starts_with(b"{") {
        "application/json"
    } else {
        "text/html"
    };
    let mut response = (status, [("content-type", kind)], body).into_response();
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) = (name.parse::<axum::http::HeaderName>(), value.parse()) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

fn reset() -> Response {
    let mut response = Response::new(Body::empty());
    response.extensions_mut().insert(Reset);
    response
}

/// Announces the complete length, sends a part, and breaks off.
async fn truncate(response: Response, bytes: usize) -> Response {
    let (mut parts, whole) = whole(response).await;
    parts.headers.insert("content-length", whole.len().into());
    let part: Bytes = whole.slice(..bytes.min(whole.len()));
    let broken =
        futures::stream::once(async { Err(io::Error::from(io::ErrorKind::ConnectionReset)) });
    let stream = futures::stream::iter([Ok(part)]).chain(broken);
    Response::from_parts(parts, Body::from_stream(stream))
}

/// Number of pieces per second of a slow response.
const PIECES: u64 = 10;

/// Announces the complete length, and sends it slowly.
async fn drip(response: Response, bytes_per_second: u64) -> Response {
    let (mut parts, whole) = whole(response).await;
    parts.headers.insert("content-length", whole.len().into());
    let size = (bytes_per_second / PIECES).max(1);
    let wait = Duration::from_secs_f64(size as f64 / bytes_per_second.max(1) as f64);
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let stream = futures::stream::unfold(whole, move |mut rest| async move {
        if rest.is_empty() {
            return None;
        }
        crate::time::wait(wait).await;
        let piece = rest.split_to(size.min(rest.len()));
        Some((Ok::<_, io::Error>(piece), rest))
    });
    Response::from_parts(parts, Body::from_stream(stream))
}
