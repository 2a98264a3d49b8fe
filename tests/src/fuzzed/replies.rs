//! Targets for responses of providers, read by the adapters over HTTP.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use lmbatch::anthropic::Anthropic;
use lmbatch::google::{Google, Route};
use lmbatch::openai::OpenAi;
use lmbatch_core::{
    BatchClass, BatchId, BatchProvider, CreateToken, Delivery, Error, Frame, Intent, Label,
    ListOptions, Shard, Staged,
};
use lmbatch_http::{HeaderMap, HeaderName, HeaderValue};
use tokio::runtime::{Builder, Runtime};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use super::choose;

const KEY: &str = "k-canary-0123456789";

/// A provider with the same status and body for every call, and adapters that call it.
struct World {
    runtime: Runtime,
    server: MockServer,
    answer: Arc<Mutex<(u16, Vec<u8>)>>,
    /// Number of responses so far.
    given: AtomicU32,
    adapters: Vec<Arc<dyn BatchProvider>>,
}

static WORLD: LazyLock<Mutex<World>> = LazyLock::new(|| Mutex::new(World::new()));

impl World {
    fn new() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.unwrap_or_else(|error| panic!("{error}"));
        let server = MockServer::builder().disable_request_recording();
        let server = runtime.block_on(server.start());
        let made = |adapter: Result<Arc<dyn BatchProvider>, Error>| {
            adapter.unwrap_or_else(|error| panic!("{error}"))
        };
        let url = server.uri();
        let google = |route| {
            Google::builder()
                .api_key(KEY)
                .base_url(&url)
                .route(route)
                .build()
        };
        let openai = OpenAi::builder()
            .api_key(KEY)
            .base_url(format!("{url}/v1"))
            .build();
        let anthropic = Anthropic::builder().api_key(KEY).base_url(&url).build();
        let adapters = vec![
            made(openai.map(|adapter| Arc::new(adapter) as Arc<_>)),
            made(anthropic.map(|adapter| Arc::new(adapter) as Arc<_>)),
            made(google(Route::File).map(|adapter| Arc::new(adapter) as Arc<_>)),
            made(google(Route::Inline).map(|adapter| Arc::new(adapter) as Arc<_>)),
        ];
        Self {
            runtime,
            server,
            answer: Arc::default(),
            given: AtomicU32::new(0),
            adapters,
        }
    }

    /// Sets the response to every call.
    fn answer(&self, status: u16, body: &[u8]) {
        let mut answer = self.answer.lock().unwrap_or_else(PoisonError::into_inner);
        *answer = (status, body.to_vec());
        drop(answer);
        // The mock server stores every request, and can be reset only some ten thousand times.
        if self
            .given
            .fetch_add(1, Ordering::Relaxed)
            .is_multiple_of(1_000)
        {
            let answer = Arc::clone(&self.answer);
            let respond = move |_: &Request| {
                let answer = answer.lock().unwrap_or_else(PoisonError::into_inner);
                ResponseTemplate::new(answer.0).set_body_raw(answer.1.clone(), "application/json")
            };
            self.runtime.block_on(async {
                self.server.reset().await;
                let mock = Mock::given(any()).respond_with(respond);
                mock.mount(&self.server).await;
            });
        }
    }
}

fn in_world(run: impl FnOnce(&World)) {
    run(&WORLD.lock().unwrap_or_else(PoisonError::into_inner));
}

/// Checks that no text of an error contains the key.
fn check(error: &Error) {
    let said = format!("{error} {error:?}");
    assert!(!said.contains(KEY), "{said}");
}

/// Returns the results of every call except a create, as text.
async fn asked(adapter: &dyn BatchProvider) -> Vec<String> {
    let batch = BatchId::new("batch_1");
    let mut said = Vec::new();
    let mut say = |outcome: Result<String, Error>| match outcome {
        Ok(text) => said.push(text),
        Err(error) => {
            check(&error);
            // The position in the body may differ.
            said.push(format!("{:?} {:?}", error.kind(), error.delivery()));
        }
    };
    say(adapter.status(&batch).await.map(|got| format!("{got:?}")));
    say(adapter
        .results(None, &batch)
        .await
        .map(|got| format!("{got:?}")));
    let list = adapter.list(&ListOptions::default()).await;
    say(list.map(|got| format!("{got:?}")));
    say(adapter.uploads(None).await.map(|got| format!("{got:?}")));
    say(adapter
        .cancel(&batch)
        .await
        .map(|()| "cancelled".to_owned()));
    let intent = intent();
    say(adapter
        .find(&intent, None)
        .await
        .map(|got| format!("{got:?}")));
    said
}

/// A response body is read or is an error, independent of its white space.
pub fn status_bodies(data: &[u8]) {
    in_world(|world| {
        let Some((adapter, body)) = choose(data, &world.adapters) else {
            return;
        };
        world.answer(200, body);
        let said = world.runtime.block_on(asked(&**adapter));
        world.answer(200, &[b" \n", body, b"\r\n "].concat());
        let again = world.runtime.block_on(asked(&**adapter));
        assert_eq!(said, again);
    });
}

fn shard() -> Shard {
    Shard {
        class: BatchClass {
            model: Some("gemini-2.5-flash".into()),
            endpoint: "/v1/responses".into(),
            route: "file".into(),
            variant: Default::default(),
        },
        label: Label::new("lmbatch-abcdefghijkl-0"),
        count: 1,
        frame: Frame::LINES,
        rows: Arc::new(Bytes::from_static(b"{}")),
    }
}

fn intent() -> Intent {
    let shard = shard();
    Intent {
        label: shard.label.clone(),
        class: shard.class.clone(),
        count: 1,
        bytes: shard.len(),
        staged: Staged {
            ready: true,
            remote_objects: Vec::new(),
            state: [
                ("file_id".into(), "file-1".into()),
                ("file".into(), "files/1".into()),
            ]
            .into(),
        },
        token: CreateToken::new("t"),
        posted_at: None,
        watermark: None,
        watermark_at: None,
        foreign_batches: Vec::new(),
    }
}

/// Every response to a create is an error that states the delivery: a create that the provider may have accepted is
/// never reported as refused.
pub fn error_bodies(data: &[u8]) {
    const STATUSES: [u16; 14] = [
        200, 400, 401, 403, 404, 408, 409, 413, 422, 429, 500, 502, 503, 529,
    ];
    in_world(|world| {
        let Some((adapter, rest)) = choose(data, &world.adapters) else {
            return;
        };
        let Some((status, body)) = choose(rest, &STATUSES) else {
            return;
        };
        world.answer(*status, body);
        let created = world.runtime.block_on(adapter.create(&shard(), &intent()));
        let may_have_acted = *status == 200 || *status >= 500 || matches!(status, 408 | 409);
        match created {
            Ok(batch) => assert!(*status == 200 && !batch.as_str().is_empty(), "{status}"),
            Err(error) => {
                check(&error);
                // Only the provider's own error object, with a refusing status, is a refusal.
                let unknown = error.delivery() == Delivery::Unknown;
                assert!(unknown || !may_have_acted, "{status}: {error:?}");
            }
        }
        let asked = world.runtime.block_on(asked(&**adapter));
        assert_eq!(asked.len(), 6);
    });
}

/// A `Retry-After` is a delay that can be waited for, or absent.
pub fn retry_after(data: &[u8]) {
    const NAMES: [&str; 4] = [
        "retry-after",
        "retry-after-ms",
        "x-ms-retry-after-ms",
        "date",
    ];
    let mut headers = HeaderMap::new();
    for (name, value) in NAMES.iter().zip(data.split(|byte| *byte == b'\n')) {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    let day = Duration::from_secs(24 * 3_600);
    assert!(lmbatch_http::retry_after(&headers).is_none_or(|wish| wish <= day));
    let text = String::from_utf8_lossy(data);
    assert!(lmbatch_http::retry_delay(&text).is_none_or(|wish| wish <= day));
}
