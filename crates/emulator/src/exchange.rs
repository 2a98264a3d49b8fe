//! What every call has in common: the fault that is due, and how files are served.

use std::io;
use std::sync::Arc;

use axum::body::{Body, BodyDataStream, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use futures::StreamExt as _;
use tokio::io::AsyncSeekExt as _;
use tokio::sync::Mutex;
use tokio_util::io::ReaderStream;

use crate::faults::{FaultKind, Operation};
use crate::state::State;

/// A parameter of the query string, undecoded: ids and numbers need no decoding.
pub(crate) fn parameter<'r>(request: &'r Request, name: &str) -> Option<&'r str> {
    let mut pairs = request
        .uri()
        .query()?
        .split('&')
        .filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
}

/// What of a request's body has not been read yet.
pub(crate) type Rest = Arc<Mutex<BodyDataStream>>;

/// A body, and the same once more for whoever reads what is left of it.
pub(crate) fn shared(body: hyper::body::Incoming) -> (Body, Rest) {
    let rest = Arc::new(Mutex::new(Body::new(body).into_data_stream()));
    let pieces = futures::stream::unfold(Arc::clone(&rest), |rest| async {
        let piece = rest.lock().await.next().await?;
        Some((piece, rest))
    });
    (Body::from_stream(pieces), rest)
}

/// Reads the rest of a body. A refusal may come before the request has been sent whole, and a client
/// that is still sending when the connection closes never hears it: so a proxy takes it all first.
pub(crate) async fn drain(rest: &Rest) {
    while let Some(Ok(_)) = rest.lock().await.next().await {}
}

/// The bytes of a stored file, from the middle where that is allowed and asked for.
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

/// The mark on a response that must not be sent: the connection is closed instead.
#[derive(Clone)]
struct Reset;

/// Whether the connection is to be closed instead.
pub(crate) fn is_reset(response: &Response) -> bool {
    response.extensions().get::<Reset>().is_some()
}

/// Does a call, with the fault that is due.
pub(crate) async fn call<F>(
    state: &State,
    operation: Operation,
    request: Request,
    work: impl FnOnce(Request) -> F,
) -> Response
where
    F: Future<Output = Response>,
{
    let fault = state.call(operation);
    tracing::debug!(?operation, faulty = fault.is_some(), "call");
    let Some(fault) = fault else {
        return work(request).await;
    };
    if let Some(latency) = fault.latency() {
        crate::time::wait(latency).await;
    }
    match fault {
        FaultKind::Status {
            code,
            body,
            headers,
        } => {
            let mut response = plain(code, body);
            for (name, value) in headers {
                if let (Ok(name), Ok(value)) =
                    (name.parse::<axum::http::HeaderName>(), value.parse())
                {
                    response.headers_mut().insert(name, value);
                }
            }
            response
        }
        FaultKind::StatusAfter { code, body } => {
            work(request).await;
            plain(code, body)
        }
        FaultKind::Redirect { code, location } => {
            let mut response = plain(code, String::new());
            if let Ok(location) = location.parse() {
                response.headers_mut().insert("location", location);
            }
            response
        }
        FaultKind::LostInput => {
            let response = work(request).await;
            if let Some(batch) = state.lock().batches.last_mut() {
                batch.lost_input = true;
            }
            response
        }
        FaultKind::ResetBefore => reset(),
        FaultKind::ResetAfter => {
            work(request).await;
            reset()
        }
        FaultKind::Truncate { bytes } => truncate(work(request).await, bytes).await,
        FaultKind::Latency { .. } => work(request).await,
    }
}

fn plain(code: u16, body: String) -> Response {
    let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let kind = if body.starts_with('{') {
        "application/json"
    } else {
        "text/html"
    };
    (status, [("content-type", kind)], body).into_response()
}

fn reset() -> Response {
    let mut response = Response::new(Body::empty());
    response.extensions_mut().insert(Reset);
    response
}

/// Announces the whole length, sends a part, and breaks off.
async fn truncate(response: Response, bytes: usize) -> Response {
    let (mut parts, body) = response.into_parts();
    let whole = axum::body::to_bytes(body, usize::MAX)
        .await
        .unwrap_or_default();
    parts.headers.insert("content-length", whole.len().into());
    let part: Bytes = whole.slice(..bytes.min(whole.len()));
    let broken =
        futures::stream::once(async { Err(io::Error::from(io::ErrorKind::ConnectionReset)) });
    let stream = futures::stream::iter([Ok(part)]).chain(broken);
    Response::from_parts(parts, Body::from_stream(stream))
}
