//! One client for a provider's account.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::StreamExt as _;
use lmbatch_core::{AccountId, ByteStream, Error, ErrorKind, ProviderId, Result, Shard};
use reqwest::header::{
    ACCEPT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION,
};
use reqwest::{Body, Client, ClientBuilder, Method, Url, redirect, retry};
use secrecy::{ExposeSecret as _, SecretString};

use crate::account::account_at;
use crate::clock::MachineClock;
use crate::limits::{Limits, Rules};
use crate::multipart::Multipart;
use crate::reply::Reply;
use crate::secrets::Secrets;
use crate::sending::{Meter, answer_to};
use crate::url::is_loopback;

/// Redirects that a download may take.
const MAX_HOPS: usize = 3;

/// The most bytes of a URL that a provider gives.
const MAX_URL: usize = 8 << 10;

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
    /// The longest silence, 120 s unless set: no byte of the request is taken, no answer begins, or no byte
    /// of it arrives. A large upload or download may take as long as it moves.
    pub read_timeout: Duration,
    /// The time in which an answer that is read as JSON or as an error must be complete, from its beginning:
    /// 120 s unless set. A document that holds results gets one second more for each 64 KiB.
    pub answer_timeout: Duration,
    /// The bytes per second below which an upload or a download is given up, 1,024 unless set. 0 means no least
    /// speed: a transfer may be as slow as `read_timeout` lets it be.
    pub least_speed: u64,
    /// The time over which that speed is measured, 60 s unless set. For uploads it is at least `read_timeout`,
    /// since the system's buffers take them in bursts. Less than a millisecond measures nothing, and means no least
    /// speed.
    pub speed_window: Duration,
    /// The most bytes of a JSON document that may hold results, 2 GiB unless set.
    pub max_document_bytes: u64,
    /// Origins besides our own from which a download may come, without credentials.
    pub allowed_origins: Vec<Url>,
    /// Name of the member by which a JSON answer says that the call failed, `error` unless set. A 200 that holds it
    /// is neither a batch, a list nor the confirmation of a cancel: see [`Reply::made`], [`Reply::checked`] and
    /// [`cancelled`](crate::cancelled).
    pub error_member: &'static str,
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
            answer_timeout: Duration::from_secs(120),
            least_speed: 1 << 10,
            speed_window: Duration::from_secs(60),
            max_document_bytes: 2 << 30,
            allowed_origins: Vec::new(),
            error_member: "error",
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
    usual: LazyClient,
    /// For creates, which are never sent twice: no connection that may have gone stale, no transparent retry.
    once: LazyClient,
    rules: Arc<Rules>,
}

/// A client that is made by its first call: to read the certificates of the system takes longer than a command
/// that calls nobody.
struct LazyClient {
    made: OnceLock<Client>,
    builder: fn() -> ClientBuilder,
}

impl LazyClient {
    fn new(builder: fn() -> ClientBuilder) -> Self {
        Self {
            made: OnceLock::new(),
            builder,
        }
    }

    fn get(&self, options: &HttpOptions) -> Result<&Client> {
        if let Some(client) = self.made.get() {
            return Ok(client);
        }
        let client = build((self.builder)(), options)?;
        Ok(self.made.get_or_init(|| client))
    }
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
        if HeaderValue::from_str(&options.user_agent).is_err() {
            return Err(Error::invalid_input(
                "the user agent holds characters that no header can hold",
            ));
        }
        // Hundreds of runs poll at once: connections that they leave idle would use up the open files that a
        // process may have, and a create, which takes a connection of its own, would find none.
        let usual = LazyClient::new(|| Client::builder().pool_max_idle_per_host(16));
        let once = LazyClient::new(|| Client::builder().http1_only().pool_max_idle_per_host(0));
        let rules = Rules {
            limits: Limits {
                silence: options.read_timeout,
                answer: options.answer_timeout,
                least_speed: options.least_speed,
                window: options.speed_window,
                document_bytes: options.max_document_bytes,
            },
            secrets: Secrets::new(credentials.iter().map(|(_, value)| value)),
            clock: Arc::new(MachineClock::new()),
            error_member: options.error_member,
        };
        Ok(Self {
            inner: Arc::new(Inner {
                rules: Arc::new(rules),
                options,
                credentials: secret,
                headers,
                usual,
                once,
            }),
        })
    }

    /// Returns the account of a provider that has no organisations, projects or workspaces: a digest of the base
    /// URL, without the credentials, so that it outlives a key rotation. [`Identity`](crate::Identity) serves the
    /// others, and gives a digest of the key as well.
    pub fn account(&self) -> AccountId {
        account_at(&self.inner.options.base_url, &[])
    }

    /// A GET below the base URL.
    pub fn get(&self, path: &str) -> Exchange {
        self.exchange(Method::GET, path)
    }
    /// A POST below the base URL.
    pub fn post(&self, path: &str) -> Exchange {
        self.exchange(Method::POST, path)
    }
    /// Returns the POST of a create, below the base URL: on a connection of its own, without retries and redirects,
    /// so that nothing on the way can send it twice.
    pub fn create(&self, path: &str) -> Exchange {
        Exchange {
            once: true,
            ..self.exchange(Method::POST, path)
        }
    }
    /// A DELETE below the base URL.
    pub fn delete(&self, path: &str) -> Exchange {
        self.exchange(Method::DELETE, path)
    }

    /// Path and query of a URL that the provider gave, if it leads to the origin of the base URL and is not
    /// longer than 8 KiB.
    pub fn own_path(&self, url: &str) -> Option<String> {
        if url.len() > MAX_URL {
            return None;
        }
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
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    // What stays on this machine may travel in the open: it goes through no proxy. Reading the certificates of
    // the system takes longer than all else that a small run does: without TLS nothing needs them.
    let is_plain = |url: &Url| url.scheme() == "http";
    let builder = match is_loopback(&options.base_url) {
        true if is_plain(&options.base_url) && options.allowed_origins.iter().all(is_plain) => {
            builder.no_proxy().tls_certs_only([])
        }
        true => builder.no_proxy(),
        false => builder,
    };
    builder
        .user_agent(&options.user_agent)
        .default_headers(headers)
        .connect_timeout(options.connect_timeout)
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
    /// Sends the whole body of a shard as the file of a form, after `fields`. The file is called by the shard's
    /// label and ends in `.jsonl`.
    ///
    /// ```no_run
    /// # fn upload(http: &lmbatch_http::HttpClient, shard: &lmbatch_core::Shard) -> lmbatch_http::Exchange {
    /// http.post("files").upload(shard, &[("purpose", "batch")])
    /// # }
    /// ```
    pub fn upload(self, shard: &Shard, fields: &[(&str, &str)]) -> Self {
        self.upload_as("file", shard, fields)
    }
    /// Sends the whole body of a shard as [`upload`](Self::upload) does, with the file in the field `file_field` of
    /// the form.
    pub fn upload_as(
        self,
        file_field: &'static str,
        shard: &Shard,
        fields: &[(&str, &str)],
    ) -> Self {
        let fields = fields.iter();
        self.multipart(Multipart {
            file_field,
            fields: fields
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            file_name: format!("{}.jsonl", shard.label),
            content_type: "application/jsonl",
            len: shard.len(),
            body: shard.open(0..shard.len()),
        })
    }
    /// A streamed body of known length.
    pub fn stream(mut self, content_type: HeaderValue, len: u64, body: ByteStream) -> Self {
        self.body = Some((content_type, len, body));
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
            .get(&inner.options)?
            .request(self.method.clone(), url)
            .headers(inner.headers.clone())
            .headers(inner.credentials.clone());
        request = request.headers(self.headers);
        let rules = &inner.rules;
        let total = self.body.as_ref().map_or(0, |(_, len, _)| *len);
        let meter = Meter::new(total);
        if let Some((content_type, len, body)) = self.body {
            request = request
                .header(CONTENT_TYPE, content_type)
                .header(CONTENT_LENGTH, len)
                .body(Body::wrap_stream(meter.count(rules, body)));
        } else if self.method == Method::POST {
            request = request.header(CONTENT_LENGTH, 0);
        }
        let about = (self.operation, &provider);
        let answered = answer_to(request, &meter, rules, about).await;
        // An id in the path may be anything that the provider says.
        let path = rules.secrets.fact(&self.path);
        match answered {
            Ok(response) => {
                let reply = Reply::new(response, self.operation, provider, rules);
                let reply = match self.method == Method::GET {
                    true => reply.after_get(),
                    false => reply,
                };
                tracing::debug!(method = %self.method, %path, status = reply.status(), request_id = reply.request_id(), "exchange");
                Ok(reply)
            }
            Err(error) => {
                tracing::debug!(method = %self.method, %path, delivery = ?error.delivery(), "exchange failed");
                Err(error)
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
                let host = target.host_str().unwrap_or("another host");
                let host = inner.rules.secrets.fact(host);
                return foreign(&format!("a redirect to {host}"));
            }
            let client = inner.usual.get(&inner.options)?;
            let mut request = client.get(target.clone()).headers(headers.clone());
            if ours {
                request = request
                    .headers(inner.headers.clone())
                    .headers(inner.credentials.clone());
            }
            let about = (operation, &provider);
            let response = answer_to(request, &Meter::new(0), &inner.rules, about).await?;
            reply = Reply::new(response, operation, provider.clone(), &inner.rules).after_get();
            at = target;
        }
        Ok(reply)
    }
}

fn foreign(provider: &ProviderId, operation: &'static str, message: &str) -> Error {
    Error::new(ErrorKind::ForeignOrigin)
        .with_operation(operation)
        .with_provider(provider.clone())
        .with_message(message)
}
