//! The server: binds, serves, and breaks connections on faults.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::{delete, get, post};
use hyper_util::rt::TokioIo;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tower::ServiceExt as _;

use crate::answers::{Answers, Prompt};
use crate::exchange::{self, parameter};
use crate::faults::{Fault, Operation};
use crate::hook::{Hook, Moment};
use crate::limits::Limits;
use crate::names;
use crate::state::{Bill, RecordedCall, State};
use crate::time::Pace;
use crate::{anthropic, google, openai};

/// Settings of an emulator.
#[derive(Debug, Clone)]
pub struct EmulatorBuilder {
    addr: SocketAddr,
    folder: Option<PathBuf>,
    pace: Pace,
    seed: u64,
    limits: Limits,
    faults: Vec<Fault>,
    clock_offset: i64,
    hook: Hook,
    answers: Answers,
}

impl EmulatorBuilder {
    /// Sets the address to listen on; a free port of 127.0.0.1 by default.
    pub fn addr(mut self, addr: SocketAddr) -> Self {
        self.addr = addr;
        self
    }
    /// Sets the folder for uploaded files; a temporary folder by default.
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }
    /// Sets the duration of batches in virtual time.
    pub fn pace(mut self, pace: Pace) -> Self {
        self.pace = pace;
        self
    }
    /// Sets the seed that determines the order of results.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Sets limits and habits of the providers.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Adds a fault before the start; see [`Emulator::add_fault`].
    pub fn fault(mut self, fault: Fault) -> Self {
        self.faults.push(fault);
        self
    }

    /// Sets the emulator's clock ahead of the machine's by a number of seconds, negative for behind; 0 by default.
    /// Every `Date` header and every time in a response follows it.
    pub fn clock_offset(mut self, seconds: i64) -> Self {
        self.clock_offset = seconds;
        self
    }

    /// Sets a function that runs in the middle of every call to a provider while the client waits: it can inspect the
    /// client's files, stop the client or add a fault. It does not run for calls that belong to no operation.
    pub fn on_call(mut self, hook: impl Fn(Operation, Moment) + Send + Sync + 'static) -> Self {
        self.hook = Hook::new(hook);
        self
    }

    /// Sets a function that answers requests; where it returns `None`, the emulated model answers. The words of
    /// [`magic`](crate::magic) hold for either.
    ///
    /// ```no_run
    /// # async fn example() -> std::io::Result<()> {
    /// use lmbatch_emulator::{Emulator, Prompt};
    /// let emulator = Emulator::builder()
    ///     .answers(|prompt: Prompt<'_>| prompt.text.contains("parcel").then(|| "delivery".to_owned()))
    ///     .start()
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn answers(
        mut self,
        answers: impl Fn(Prompt<'_>) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.answers = Answers::new(answers);
        self
    }

    /// Starts the server, which runs until the returned value is dropped.
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
        let state = State::new(
            folder,
            self.pace,
            self.seed,
            self.limits,
            self.hook,
            self.answers,
        );
        state.time.shift(self.clock_offset);
        state.lock().faults = self.faults;
        let state = Arc::new(state);
        let listener = TcpListener::bind(self.addr).await?;
        let addr = listener.local_addr()?;
        let router = router(&state);
        let task = tokio::spawn(serve(listener, router, Arc::clone(&state)));
        Ok(Emulator {
            addr,
            state,
            task,
            _temporary: temporary,
        })
    }
}

/// A running emulator. It stops when dropped.
#[derive(Debug)]
pub struct Emulator {
    addr: SocketAddr,
    state: Arc<State>,
    task: JoinHandle<()>,
    _temporary: Option<TempDir>,
}

impl Emulator {
    /// Returns the settings of a new emulator, with their defaults.
    pub fn builder() -> EmulatorBuilder {
        EmulatorBuilder {
            addr: SocketAddr::from(([127, 0, 0, 1], 0)),
            folder: None,
            pace: Pace::FAST,
            seed: 0,
            limits: Limits::default(),
            faults: Vec::new(),
            clock_offset: 0,
            hook: Hook::default(),
            answers: Answers::default(),
        }
    }

    /// Returns the address that the emulator listens on.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
    /// Returns the base URL of the OpenAI dialect.
    pub fn openai_base_url(&self) -> String {
        format!("http://{}/v1", self.addr)
    }
    /// Returns the base URL of the Anthropic dialect.
    pub fn anthropic_base_url(&self) -> String {
        format!("http://{}", self.addr)
    }
    /// Returns the base URL of the Gemini dialect.
    pub fn google_base_url(&self) -> String {
        format!("http://{}", self.addr)
    }
    /// Returns the environment variables that point the providers' SDKs to the emulator.
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
    /// Returns the recorded calls, oldest first.
    pub fn calls(&self) -> Vec<RecordedCall> {
        self.state.lock().calls.clone()
    }
    /// Returns the charges of a provider so far.
    pub fn bill(&self) -> Bill {
        self.state.lock().bill.clone()
    }
    /// Adds a fault to later calls.
    pub fn add_fault(&self, fault: Fault) {
        self.state.lock().faults.push(fault);
    }
    /// Removes all faults.
    pub fn clear_faults(&self) {
        self.state.lock().faults.clear();
    }
    /// Sets the emulator's clock ahead of the machine's by a number of seconds, negative for behind. Replaces an
    /// earlier offset, and adds to the time that was [advanced](Self::advance).
    pub fn shift_clock(&self, seconds: i64) {
        self.state.time.shift(seconds);
    }
    /// Advances virtual time.
    pub fn advance(&self, by: Duration) {
        self.state.time.advance(by);
    }
    /// Waits until the server ends.
    pub async fn wait(&mut self) {
        // A server that failed has ended as well.
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
            "/_emulator/shift/{seconds}",
            post(
                |axum::extract::State(state): axum::extract::State<Arc<State>>,
                 axum::extract::Path(seconds): axum::extract::Path<i64>| async move {
                    state.time.shift(seconds);
                },
            ),
        )
        .route(
            "/_emulator/faults",
            delete(
                |axum::extract::State(state): axum::extract::State<Arc<State>>| async move {
                    state.lock().faults.clear();
                },
            )
            .post(
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
            names::GOOGLE => google.clone(),
            names::ANTHROPIC => anthropic.clone(),
            _ => openai.clone(),
        };
        router.oneshot(request)
    };
    control.with_state(Arc::clone(state)).fallback(dialects)
}

/// Returns the dialect of a request. Paths of the dialects overlap (`/v1/files`, `/v1/batches`, `/v1/models`), so
/// headers decide.
fn dialect(request: &Request) -> &'static str {
    let path = request.uri().path();
    let has = |header: &str| request.headers().contains_key(header);
    let google = ["/v1beta", "/upload/", "/download/"]
        .iter()
        .any(|prefix| path.starts_with(prefix));
    if google || has("x-goog-api-key") || parameter(request, "key").is_some() {
        names::GOOGLE
    } else if path.starts_with("/v1/messages") || has("anthropic-version") {
        names::ANTHROPIC
    } else {
        names::OPENAI
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

/// Sends the provider's time, which may differ from the machine's.
fn date(state: &State, response: &mut Response) {
    if let Ok(date) = state.time.date().parse() {
        response.headers_mut().entry("date").or_insert(date);
    }
}

async fn serve(listener: TcpListener, router: Router, state: Arc<State>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let (router, state) = (router.clone(), Arc::clone(&state));
        tokio::spawn(async move {
            let service = hyper::service::service_fn(
                move |request: hyper::Request<hyper::body::Incoming>| {
                    let (router, state) = (router.clone(), Arc::clone(&state));
                    async move {
                        let (head, body) = request.into_parts();
                        let (body, rest) = exchange::shared(body);
                        let request = Request::from_parts(head, body);
                        let result: Result<Response, Infallible> = router.oneshot(request).await;
                        match result {
                            Ok(response) if exchange::is_reset(&response) => {
                                Err(io::Error::from(io::ErrorKind::ConnectionReset))
                            }
                            Ok(mut response) => {
                                exchange::drain(&rest).await;
                                date(&state, &mut response);
                                Ok(response)
                            }
                            Err(never) => match never {},
                        }
                    }
                },
            );
            // The client notices a connection that breaks.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}
