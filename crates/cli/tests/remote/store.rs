//! A store on this machine that speaks as much of S3's protocol as the command needs.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{Method, Response, StatusCode};

/// Largest body of a request in bytes.
const LARGEST: usize = 64 << 20;

/// An object with the metadata that its upload noted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Object {
    pub(crate) bytes: Vec<u8>,
    metadata: BTreeMap<String, String>,
}

/// Metadata and parts of an upload that has begun.
type Upload = (BTreeMap<String, String>, BTreeMap<u32, Vec<u8>>);

#[derive(Debug, Default)]
struct Inner {
    /// Objects by bucket and key, as `/bucket/key`.
    objects: BTreeMap<String, Object>,
    /// Uploads that have begun, by their id.
    uploads: BTreeMap<String, Upload>,
    begun: u32,
    /// Calls as `PUT /bucket/key`, with `?upload` for those of a multipart upload.
    calls: Vec<String>,
    /// Call that is refused from now on, and its status.
    refused: Option<(String, StatusCode)>,
}

/// A store that ends with the process.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    inner: Arc<Mutex<Inner>>,
    pub(crate) address: SocketAddr,
}

impl Store {
    pub(crate) fn start() -> Self {
        let inner: Arc<Mutex<Inner>> = Arc::default();
        let (state, (send, address)) = (Arc::clone(&inner), std::sync::mpsc::channel());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                send.send(listener.local_addr().unwrap()).unwrap();
                let service = Router::new().fallback(answer).with_state(state);
                axum::serve(listener, service).await.unwrap();
            });
        });
        Self {
            inner,
            address: address.recv().unwrap(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn put(&self, name: &str, bytes: impl Into<Vec<u8>>) {
        let object = Object {
            bytes: bytes.into(),
            ..Object::default()
        };
        self.lock().objects.insert(name.to_owned(), object);
    }

    pub(crate) fn object(&self, name: &str) -> Option<Object> {
        self.lock().objects.get(name).cloned()
    }

    /// Refuses a call from now on.
    pub(crate) fn refuse(&self, call: &str, status: u16) {
        let status = StatusCode::from_u16(status).unwrap();
        self.lock().refused = Some((call.to_owned(), status));
    }

    /// Returns the calls since the last time.
    pub(crate) fn calls(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().calls)
    }

    /// Returns the number of uploads that were begun and neither completed nor abandoned.
    pub(crate) fn open_uploads(&self) -> usize {
        self.lock().uploads.len()
    }
}

async fn answer(State(inner): State<Arc<Mutex<Inner>>>, request: Request) -> Response<Body> {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, LARGEST).await.unwrap();
    let name = head.uri.path().to_owned();
    let query: BTreeMap<&str, &str> = head
        .uri
        .query()
        .unwrap_or_default()
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .collect();
    let metadata = head.headers.iter().filter_map(|(name, value)| {
        let name = name.as_str().starts_with("x-amz-meta-").then_some(name)?;
        Some((name.to_string(), value.to_str().ok()?.to_owned()))
    });
    let metadata: BTreeMap<String, String> = metadata.collect();
    let mut inner = inner.lock().unwrap_or_else(PoisonError::into_inner);
    let is_upload = query.contains_key("uploads") || query.contains_key("uploadId");
    let kind = if is_upload { "?upload" } else { "" };
    let call = format!("{} {name}{kind}", head.method);
    inner.calls.push(call.clone());
    if let Some((refused, status)) = &inner.refused
        && *refused == call
    {
        // The body of such an answer repeats what was signed.
        let signed = head.headers.get("authorization");
        let signed = signed.and_then(|value| value.to_str().ok());
        let body = format!("<?xml?><Error>{}</Error>", signed.unwrap_or_default());
        return respond(*status, body);
    }
    let id = query.get("uploadId").copied().unwrap_or_default();
    match (head.method, is_upload) {
        (Method::GET | Method::HEAD, false) => match inner.objects.get(&name) {
            Some(object) => found(object),
            None => respond(StatusCode::NOT_FOUND, ""),
        },
        (Method::PUT, false) => {
            let bytes = body.to_vec();
            inner.objects.insert(name, Object { bytes, metadata });
            respond(StatusCode::OK, "")
        }
        (Method::POST, true) if query.contains_key("uploads") => {
            inner.begun += 1;
            let id = format!("upload-{}", inner.begun);
            inner
                .uploads
                .insert(id.clone(), (metadata, BTreeMap::new()));
            respond(
                StatusCode::OK,
                format!(
                    "<InitiateMultipartUploadResult><Bucket>b</Bucket><Key>k</Key><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
                ),
            )
        }
        (Method::PUT, true) => {
            let number = query["partNumber"].parse().unwrap();
            let (_, parts) = inner.uploads.get_mut(id).unwrap();
            parts.insert(number, body.to_vec());
            respond(StatusCode::OK, "")
        }
        (Method::POST, true) => {
            let (metadata, parts) = inner.uploads.remove(id).unwrap();
            let bytes = parts.into_values().flatten().collect();
            inner.objects.insert(name, Object { bytes, metadata });
            respond(
                StatusCode::OK,
                "<CompleteMultipartUploadResult><Location>l</Location><Bucket>b</Bucket><Key>k</Key><ETag>e</ETag></CompleteMultipartUploadResult>",
            )
        }
        (Method::DELETE, true) => {
            inner.uploads.remove(id);
            respond(StatusCode::NO_CONTENT, "")
        }
        _ => respond(StatusCode::METHOD_NOT_ALLOWED, ""),
    }
}

fn respond(status: StatusCode, body: impl Into<Body>) -> Response<Body> {
    let response = Response::builder().status(status).header("etag", "\"e\"");
    response.body(body.into()).unwrap()
}

fn found(object: &Object) -> Response<Body> {
    let mut response = respond(StatusCode::OK, object.bytes.clone());
    let headers = response.headers_mut();
    let date = "Fri, 27 Nov 2026 08:00:00 GMT".parse().unwrap();
    headers.insert("last-modified", date);
    for (name, value) in &object.metadata {
        let name: axum::http::HeaderName = name.parse().unwrap();
        headers.insert(name, value.parse().unwrap());
    }
    response
}
