//! Binds, serves, and breaks connections where a fault says so.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use futures::StreamExt as _;
use hyper_util::rt::TokioIo;
use tempfile::TempDir;
use tokio::io::AsyncSeekExt as _;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::io::ReaderStream;
use tower::ServiceExt as _;

use crate::batch::Dialect;
use crate::faults::{Fault, FaultKind, Operation};
use crate::state::{Bill, RecordedCall, State};
use crate::time::Pace;
use crate::{anthropic, batch, google, openai};

/// How an emulator is to be.
#[derive(Debug, Clone)]
pub struct EmulatorBuilder {
    addr: SocketAddr,
    folder: Option<PathBuf>,
    pace: Pace,
    seed: u64,
    limits: Limits,
}

/// What an emulated provider allows, and its habits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Tokens that may wait in OpenAI batches at once, at four bytes a token; a batch beyond them fails
    /// its validation with `token_limit_exceeded`.
    pub enqueued_tokens: Option<u64>,
    /// Creates an hour. "2,000 batches per hour" (OpenAI batch guide, 2026).
    pub creates_per_hour: u32,
    /// Whether results can be read from the middle, which is not established of any provider.
    pub ranges: bool,
    /// The `Retry-After` of an Anthropic batch that has not ended. The provider says 10 s.
    pub retry_after: Option<Duration>,
    /// How long a Gemini batch has succeeded before its results show.
    pub late_results: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            enqueued_tokens: None,
            creates_per_hour: 2000,
            ranges: false,
            retry_after: None,
            late_results: Duration::ZERO,
        }
    }
}

impl EmulatorBuilder {
    /// Where it listens; a free port of 127.0.0.1 unless said otherwise.
    pub fn addr(mut self, addr: SocketAddr) -> Self {
        self.addr = addr;
        self
    }
    /// Where uploads lie; a temporary folder unless said otherwise.
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }
    /// How long batches take.
    pub fn pace(mut self, pace: Pace) -> Self {
        self.pace = pace;
        self
    }
    /// Decides the order of results.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// What it allows, and its habits.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Listens and serves until it is dropped.
    pub async fn start(self) -> io::Result<Emulator> {
        let temporary = if self.folder.is_none() {
            Some(TempDir::new()?)
        } else {
            None
        };
        let folder = self
            .folder
            .or_else(|| temporary.as_ref().map(|dir| dir.path().to_path_buf()))
            .unwrap_or_default();
        std::fs::create_dir_all(&folder)?;
        let state = Arc::new(State::new(folder, self.pace, self.seed, self.limits));
        let listener = TcpListener::bind(self.addr).await?;
        let addr = listener.local_addr()?;
        let router = router(&state);
        let task = tokio::spawn(serve(listener, router));
        Ok(Emulator {
            addr,
            state,
            task,
            _temporary: temporary,
        })
    }
}

/// A running emulator. Stops when dropped.
#[derive(Debug)]
pub struct Emulator {
    addr: SocketAddr,
    state: Arc<State>,
    task: JoinHandle<()>,
    _temporary: Option<TempDir>,
}

impl Emulator {
    /// What can be set.
    pub fn builder() -> EmulatorBuilder {
        EmulatorBuilder {
            addr: SocketAddr::from(([127, 0, 0, 1], 0)),
            folder: None,
            pace: Pace::BRISK,
            seed: 0,
            limits: Limits::default(),
        }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
    /// The base URL of the OpenAI dialect.
    pub fn openai_base_url(&self) -> String {
        format!("http://{}/v1", self.addr)
    }
    /// The base URL of the Anthropic dialect.
    pub fn anthropic_base_url(&self) -> String {
        format!("http://{}", self.addr)
    }
    /// The base URL of the Gemini dialect.
    pub fn google_base_url(&self) -> String {
        format!("http://{}", self.addr)
    }
    /// The variables that point the providers' SDKs here.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let key = || "emulated".to_owned();
        vec![
            ("OPENAI_BASE_URL", self.openai_base_url()),
            ("OPENAI_API_KEY", key()),
            ("ANTHROPIC_BASE_URL", self.anthropic_base_url()),
            ("ANTHROPIC_API_KEY", key()),
            ("GOOGLE_GEMINI_BASE_URL", self.google_base_url()),
            ("GEMINI_API_KEY", key()),
        ]
    }
    /// The calls that came, oldest first.
    pub fn calls(&self) -> Vec<RecordedCall> {
        self.state.lock().calls.clone()
    }
    /// What a provider would charge for so far.
    pub fn bill(&self) -> Bill {
        self.state.lock().bill.clone()
    }
    /// Makes calls go wrong.
    pub fn add_fault(&self, fault: Fault) {
        self.state.lock().faults.push(fault);
    }
    /// Pushes virtual time on.
    pub fn advance(&self, by: Duration) {
        self.state.time.advance(by);
    }
    /// Serves until the server ends.
    pub async fn wait(&mut self) {
        // A server that ended is what was waited for.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn router(state: &Arc<State>) -> Router {
    let control = Router::new()
        .route(
            "/_emulator/bill",
            get(
                |axum::extract::State(state): axum::extract::State<Arc<State>>| async move {
                    axum::Json(state.lock().bill.clone())
                },
            ),
        )
        .route(
            "/_emulator/advance/{seconds}",
            post(
                |axum::extract::State(state): axum::extract::State<Arc<State>>,
                 axum::extract::Path(seconds): axum::extract::Path<u64>| async move {
                    state.time.advance(Duration::from_secs(seconds));
                },
            ),
        )
        .route(
            "/_emulator/faults",
            post(
                |axum::extract::State(state): axum::extract::State<Arc<State>>,
                 axum::Json(fault): axum::Json<Fault>| async move {
                    state.lock().faults.push(fault);
                },
            ),
        );
    let [openai, anthropic, google] = [openai::routes(), anthropic::routes(), google::routes()]
        .map(|routes| routes.with_state(Arc::clone(state)));
    let recorder = Arc::clone(state);
    let dialects = move |request: Request| {
        record(&recorder, &request);
        let router = match dialect(&request) {
            Dialect::OpenAi => openai.clone(),
            Dialect::Anthropic => anthropic.clone(),
            Dialect::Google => google.clone(),
        };
        router.oneshot(request)
    };
    control.with_state(Arc::clone(state)).fallback(dialects)
}

/// Paths of the dialects overlap (`/v1/files`, `/v1/batches`, `/v1/models`); headers tell them apart.
fn dialect(request: &Request) -> Dialect {
    let path = request.uri().path();
    let has = |header: &str| request.headers().contains_key(header);
    let google = ["/v1beta", "/upload/", "/download/"]
        .iter()
        .any(|prefix| path.starts_with(prefix));
    if google || has("x-goog-api-key") || parameter(request, "key").is_some() {
        Dialect::Google
    } else if path.starts_with("/v1/messages") || has("anthropic-version") {
        Dialect::Anthropic
    } else {
        Dialect::OpenAi
    }
}

fn record(state: &State, request: &Request) {
    let text =
        |value: &axum::http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = request
        .headers()
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), text(value)));
    state.lock().calls.push(RecordedCall {
        method: request.method().to_string(),
        path: request
            .uri()
            .path_and_query()
            .map(ToString::to_string)
            .unwrap_or_default(),
        headers: headers.collect(),
    });
}

/// A parameter of the query string, undecoded: ids and numbers need no decoding.
pub(crate) fn parameter<'r>(request: &'r Request, name: &str) -> Option<&'r str> {
    let mut pairs = request
        .uri()
        .query()?
        .split('&')
        .filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
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

async fn serve(listener: TcpListener, router: Router) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let router = router.clone();
        tokio::spawn(async move {
            let service = hyper::service::service_fn(
                move |request: hyper::Request<hyper::body::Incoming>| {
                    let router = router.clone();
                    async move {
                        let result: Result<Response, Infallible> =
                            router.oneshot(request.map(Body::new)).await;
                        match result {
                            Ok(response) if response.extensions().get::<Reset>().is_some() => {
                                Err(io::Error::from(io::ErrorKind::ConnectionReset))
                            }
                            Ok(response) => Ok(response),
                            Err(never) => match never {},
                        }
                    }
                },
            );
            // A connection that ends badly is the client's to notice.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
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
            batch::lose_input(state, operation);
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
