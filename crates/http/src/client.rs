//! One client for a provider's account.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use lmbatch_core::{
    AccountId, ByteStream, Delivery, Error, ErrorKind, ProviderId, Result, Retry, Shard,
};
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION};
use reqwest::{Body, Client, ClientBuilder, Method, Url, redirect, retry};
use secrecy::{ExposeSecret as _, SecretString};

use crate::multipart::Multipart;
use crate::reply::Reply;

/// Redirects that a download may take.
const MAX_HOPS: usize = 3;

/// Where a provider is and how long to wait for it.
#[derive(Debug, Clone)]
pub struct HttpOptions {
    /// Whose service it is: every error says so.
    pub provider: ProviderId,
    /// Everything is relative to it.
    pub base_url: Url,
    /// Who we say we are. Some providers refuse clients that do not say.
    pub user_agent: String,
    /// For the connection.
    pub connect_timeout: Duration,
    /// For each read: a large upload or download may take as long as it moves.
    pub read_timeout: Duration,
    /// Origins besides our own from which a download may come, without credentials.
    pub allowed_origins: Vec<Url>,
}

impl HttpOptions {
    /// The usual waits for a provider at `base_url`.
    pub fn new(provider: &str, base_url: &str) -> Result<Self> {
        Ok(Self {
            provider: provider.into(),
            base_url: crate::url::base_url(base_url)?,
            user_agent: concat!("lmbatch/", env!("CARGO_PKG_VERSION")).to_owned(),
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(120),
            allowed_origins: Vec::new(),
        })
    }
}

/// One client for a provider's account. Cheap to clone.
#[derive(Clone)]
pub struct HttpClient {
    inner: Arc<Inner>,
}

struct Inner {
    options: HttpOptions,
    credentials: HeaderMap,
    headers: HeaderMap,
    usual: Client,
    once: Client,
}

impl HttpClient {
    /// Credentials go to the base URL's origin and nowhere else.
    pub fn new(
        options: HttpOptions,
        credentials: &[(HeaderName, SecretString)],
        headers: HeaderMap,
    ) -> Result<Self> {
        let mut secret = HeaderMap::new();
        for (name, value) in credentials {
            let mut value = HeaderValue::from_str(value.expose_secret()).map_err(|_| {
                Error::new(ErrorKind::ProviderAuth).with_message(
                    "the key holds characters that no key can hold, such as a line break",
                )
            })?;
            value.set_sensitive(true);
            secret.insert(name.clone(), value);
        }
        // Hundreds of runs poll at once: connections that they leave idle would use up the open files that a
        // process may have, and a create, which takes a connection of its own, would find none.
        let usual = build(Client::builder().pool_max_idle_per_host(16), &options)?;
        // A create is never sent twice: no connection that may have gone stale, no transparent retry.
        let once = build(
            Client::builder().http1_only().pool_max_idle_per_host(0),
            &options,
        )?;
        Ok(Self {
            inner: Arc::new(Inner {
                options,
                credentials: secret,
                headers,
                usual,
                once,
            }),
        })
    }

    /// Which account this is: a digest of the origin and of the credentials.
    pub fn account(&self) -> AccountId {
        let origin = self.inner.options.base_url.origin().ascii_serialization();
        let secrets = self.inner.credentials.values();
        let secrets = secrets.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        let parts: Vec<String> = std::iter::once(origin).chain(secrets).collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        crate::account::account(&parts)
    }

    /// A GET below the base URL.
    pub fn get(&self, path: &str) -> Exchange {
        self.exchange(Method::GET, path)
    }
    /// A POST below the base URL.
    pub fn post(&self, path: &str) -> Exchange {
        self.exchange(Method::POST, path)
    }
    /// A DELETE below the base URL.
    pub fn delete(&self, path: &str) -> Exchange {
        self.exchange(Method::DELETE, path)
    }

    /// Path and query of a URL that the provider gave, if it leads to our own origin.
    pub fn own_path(&self, url: &str) -> Option<String> {
        let base = &self.inner.options.base_url;
        let url = base.join(url).ok()?;
        let query = url.query().map(|query| format!("?{query}"));
        (url.origin() == base.origin())
            .then(|| format!("{}{}", url.path(), query.unwrap_or_default()))
    }

    fn exchange(&self, method: Method, path: &str) -> Exchange {
        Exchange {
            client: self.clone(),
            method,
            path: path.to_owned(),
            query: Vec::new(),
            headers: HeaderMap::new(),
            body: None,
            once: false,
            operation: "call the provider",
        }
    }
}

fn build(builder: ClientBuilder, options: &HttpOptions) -> Result<Client> {
    builder
        .user_agent(&options.user_agent)
        .connect_timeout(options.connect_timeout)
        .read_timeout(options.read_timeout)
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .referer(false)
        .build()
        .map_err(|error| {
            Error::new(ErrorKind::Local)
                .with_message("the HTTP client could not be set up")
                .with_source(error)
        })
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClient")
            .field("base_url", &self.inner.options.base_url.as_str())
            .finish_non_exhaustive()
    }
}

/// One request and its answer.
#[must_use = "nothing is sent until it is"]
pub struct Exchange {
    client: HttpClient,
    method: Method,
    path: String,
    query: Vec<(String, String)>,
    headers: HeaderMap,
    body: Option<(HeaderValue, u64, ByteStream)>,
    once: bool,
    operation: &'static str,
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange")
            .field("method", &self.method)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl Exchange {
    /// What is being done: a lowercase fragment that can follow "failed to".
    pub fn expecting(mut self, operation: &'static str) -> Self {
        self.operation = operation;
        self
    }
    /// A query parameter.
    pub fn query(mut self, name: &str, value: impl Into<String>) -> Self {
        self.query.push((name.to_owned(), value.into()));
        self
    }
    /// The same, left out where there is none.
    pub fn query_some(self, name: &str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.query(name, value.to_string()),
            None => self,
        }
    }
    /// A header.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }
    /// A JSON body.
    pub fn json_bytes(self, body: Vec<u8>) -> Self {
        let len = body.len() as u64;
        let bytes = futures::stream::iter([Ok(bytes::Bytes::from(body))]).boxed();
        self.stream(HeaderValue::from_static("application/json"), len, bytes)
    }
    /// The same of a value.
    pub fn json(self, body: &serde_json::Value) -> Self {
        self.json_bytes(body.to_string().into_bytes())
    }
    /// The whole body of a shard.
    pub fn shard(self, content_type: &'static str, shard: &Shard) -> Self {
        let content_type = HeaderValue::from_static(content_type);
        self.stream(content_type, shard.len(), shard.open(0..shard.len()))
    }
    /// A form with one streamed file.
    pub fn multipart(self, form: Multipart) -> Self {
        let (len, body) = form.into_body();
        // The boundary is plain ASCII.
        let content_type = HeaderValue::from_str(&Multipart::content_type());
        self.stream(
            content_type.unwrap_or_else(|_| HeaderValue::from_static("multipart/form-data")),
            len,
            body,
        )
    }
    /// A streamed body of known length.
    pub fn stream(mut self, content_type: HeaderValue, len: u64, body: ByteStream) -> Self {
        self.body = Some((content_type, len, body));
        self
    }
    /// For the create: a connection of its own, and nothing that could send it twice.
    pub fn once(mut self) -> Self {
        self.once = true;
        self
    }

    /// Sends it. Any HTTP status is a reply; an error means that there was no answer, and says
    /// whether the provider can have acted.
    pub async fn send(self) -> Result<Reply> {
        let inner = Arc::clone(&self.client.inner);
        let provider = inner.options.provider.clone();
        let mut url = inner.options.base_url.join(&self.path).map_err(|_| {
            Error::new(ErrorKind::Internal)
                .with_operation(self.operation)
                .with_provider(provider.clone())
                .with_message("the path is not a path")
        })?;
        // An absolute path, such as a provider gives for an upload, stays on our origin too.
        if url.origin() != inner.options.base_url.origin() {
            return Err(foreign(
                &provider,
                self.operation,
                "a call to another origin",
            ));
        }
        if !self.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&self.query);
        }
        let client = if self.once { &inner.once } else { &inner.usual };
        let mut request = client
            .request(self.method.clone(), url)
            .headers(inner.headers.clone())
            .headers(inner.credentials.clone());
        request = request.headers(self.headers);
        let mut total = 0;
        let sent = Arc::new(AtomicU64::new(0));
        if let Some((content_type, len, body)) = self.body {
            total = len;
            let counter = Arc::clone(&sent);
            let counted = body.inspect_ok(move |piece| {
                counter.fetch_add(piece.len() as u64, Ordering::Relaxed);
            });
            request = request
                .header(CONTENT_TYPE, content_type)
                .header(CONTENT_LENGTH, len)
                .body(Body::wrap_stream(counted));
        } else if self.method == Method::POST {
            request = request.header(CONTENT_LENGTH, 0);
        }
        let result = request.send().await;
        let complete = sent.load(Ordering::Relaxed) >= total;
        match result {
            Ok(response) => {
                let reply = Reply::new(response, self.operation, provider);
                tracing::debug!(method = %self.method, path = %self.path, status = reply.status(), request_id = reply.request_id(), "exchange");
                Ok(reply)
            }
            Err(error) => {
                tracing::debug!(method = %self.method, path = %self.path, complete, "exchange failed");
                Err(failed(
                    provider,
                    self.operation,
                    complete,
                    error.without_url(),
                ))
            }
        }
    }

    /// Sends a GET and follows redirects by hand: on our origin, or to an allowed one without credentials.
    pub async fn send_following(self) -> Result<Reply> {
        let (inner, operation, headers) = (
            Arc::clone(&self.client.inner),
            self.operation,
            self.headers.clone(),
        );
        let provider = inner.options.provider.clone();
        let mut reply = self.send().await?;
        let mut at = inner.options.base_url.clone();
        for _ in 0..MAX_HOPS {
            if !(300..400).contains(&reply.status()) {
                return Ok(reply);
            }
            let foreign = |message: &str| Err(foreign(&provider, operation, message));
            let Some(target) = reply
                .header(LOCATION.as_str())
                .and_then(|location| at.join(location).ok())
            else {
                return foreign("a redirect without a target");
            };
            let ours = target.origin() == inner.options.base_url.origin();
            let allowed = inner
                .options
                .allowed_origins
                .iter()
                .any(|origin| origin.origin() == target.origin());
            if !ours && !allowed {
                return foreign(&format!(
                    "a redirect to {}",
                    target.host_str().unwrap_or("another host")
                ));
            }
            let mut request = inner.usual.get(target.clone()).headers(headers.clone());
            if ours {
                request = request
                    .headers(inner.headers.clone())
                    .headers(inner.credentials.clone());
            }
            let response = request
                .send()
                .await
                .map_err(|error| failed(provider.clone(), operation, true, error.without_url()))?;
            reply = Reply::new(response, operation, provider.clone());
            at = target;
        }
        Ok(reply)
    }
}

/// No answer. Where the body was never complete the provider cannot have acted on it.
fn failed(
    provider: ProviderId,
    operation: &'static str,
    complete: bool,
    error: reqwest::Error,
) -> Error {
    let delivery = if error.is_connect() || error.is_builder() || !complete {
        Delivery::NotSent
    } else {
        Delivery::Unknown
    };
    let kind = if error.is_timeout() {
        ErrorKind::Timeout
    } else {
        ErrorKind::Connection
    };
    let mut text = String::new();
    let mut cause: Option<&dyn std::error::Error> = Some(&error);
    while let Some(one) = cause {
        text = one.to_string();
        cause = one.source();
    }
    // A certificate does not become valid by asking again.
    let retry = if text.contains("certificate") {
        Retry::Permanent
    } else {
        Retry::Temporary
    };
    Error::new(kind)
        .with_operation(operation)
        .with_provider(provider)
        .with_message(text)
        .with_retry(retry)
        .with_delivery(delivery)
        .with_source(error)
}

fn foreign(provider: &ProviderId, operation: &'static str, message: &str) -> Error {
    Error::new(ErrorKind::ForeignOrigin)
        .with_operation(operation)
        .with_provider(provider.clone())
        .with_message(message)
}
