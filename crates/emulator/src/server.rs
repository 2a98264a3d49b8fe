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
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use futures::StreamExt as _;
use hyper_util::rt::TokioIo;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tower::ServiceExt as _;

use crate::faults::{Fault, FaultKind, Operation};
use crate::openai;
use crate::state::{Bill, State};
use crate::time::Pace;

/// How an emulator is to be.
#[derive(Debug, Clone)]
pub struct EmulatorBuilder {
    addr: SocketAddr,
    folder: Option<PathBuf>,
    pace: Pace,
    seed: u64,
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
        let state = Arc::new(State::new(folder, self.pace, self.seed));
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
    /// The variables that point the providers' SDKs here.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("OPENAI_BASE_URL", self.openai_base_url()),
            ("OPENAI_API_KEY", "emulated".to_owned()),
        ]
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
    Router::new()
        .merge(openai::routes())
        .merge(control)
        .with_state(Arc::clone(state))
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
