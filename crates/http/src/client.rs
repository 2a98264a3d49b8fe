//! HTTP client of one account, and the requests that it sends.

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
use crate::client_options::{Checked, CheckedProxy, ClientOptions};
use crate::clock::MachineClock;
use crate::limits::{Limits, Rules};
use crate::multipart::Multipart;
use crate::reply::Response;
use crate::secrets::Secrets;
use crate::sending::{Meter, answer_to};
use crate::tls::{Trust, tls_config};
use crate::url::is_loopback;

/// Most redirects that one download follows.
const MAX_HOPS: usize = 3;

/// Longest URL from a provider, in bytes: 8 KiB.
const MAX_URL: usize = 8 << 10;

/// Base URL, time limits and size limits of a provider.
#[derive(Debug, Clone)]
pub struct HttpOptions {
    /// Provider that every error names.
    pub provider: ProviderId,
    /// Base URL; all paths are relative to it.
    pub base_url: Url,
    /// User agent header, `lmbatch/VERSION` by default. Some providers refuse clients without one.
    pub user_agent: String,
    /// Settings of the caller: headers, certificates and a proxy. Their timeouts, suffix of the user agent and
    /// permission for `http://` are applied by [`with_client_options`](Self::with_client_options).
    pub client: ClientOptions,
    /// Longest time to establish a connection, 10 s by default.
    pub connect_timeout: Duration,
    /// Longest time without progress, 120 s by default: no byte of the request is sent, no answer begins, or no
    /// byte of the answer arrives. The total time of an upload or download is not limited.
    pub read_timeout: Duration,
    /// Longest time from the beginning of an answer to its end, if it is read as JSON or as an error; 120 s by
    /// default. A document that holds results gets one second more for each 64 KiB.
    pub response_timeout: Duration,
    /// Least speed of an upload or a download in bytes per second, 1,024 by default; a slower one fails. 0 means no
    /// least speed, so that only `read_timeout` applies.
    pub min_speed: u64,
    /// Time over which `min_speed` is measured, 60 s by default. Uploads use at least `read_timeout`, since the
    /// system's send buffers take bytes in bursts. Less than one millisecond means no least speed.
    pub speed_window: Duration,
    /// Longest JSON document that may hold results, in bytes; 2 GiB by default.
    pub max_document_bytes: u64,
    /// Origins other than that of the base URL to which a download may be redirected; they get no credentials. None
    /// by default.
    pub allowed_origins: Vec<Url>,
    /// Name of the member that holds the error in a JSON answer, `error` by default. A 200 answer that holds it is not
    /// accepted as a batch, a list or the confirmation of a cancel: see [`Response::created_id`], [`Response::checked`]
    /// and [`cancelled`](crate::cancelled).
    pub error_member: &'static str,
}

impl HttpOptions {
    /// Creates the default options for a provider at `base_url`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for an invalid base URL.
    pub fn new(provider: &str, base_url: &str) -> Result<Self> {
        Self::with_client_options(provider, base_url, ClientOptions::default())
    }

    /// Creates the options for a provider at `base_url` with the settings of the caller, which [`HttpClient::new`]
    /// checks.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for an invalid base URL.
    pub fn with_client_options(
        provider: &str,
        base_url: &str,
        client: ClientOptions,
    ) -> Result<Self> {
        let user_agent = concat!("lmbatch/", env!("CARGO_PKG_VERSION"));
        let response_timeout = client.response_timeout.unwrap_or(Duration::from_secs(120));
        Ok(Self {
            provider: provider.into(),
            base_url: crate::url::base_url_over(base_url, client.allow_http)?,
            user_agent: match &client.user_agent_suffix {
                Some(suffix) => format!("{user_agent} {suffix}"),
                None => user_agent.to_owned(),
            },
            connect_timeout: client.connect_timeout.unwrap_or(Duration::from_secs(10)),
            read_timeout: response_timeout,
            response_timeout,
            client,
            min_speed: 1 << 10,
            speed_window: Duration::from_secs(60),
            max_document_bytes: 2 << 30,
            allowed_origins: Vec::new(),
            error_member: "error",
        })
    }
}

/// HTTP client of one account at a provider. Clones are cheap and share connections.
#[derive(Clone)]
pub struct HttpClient {
    inner: Arc<Inner>,
}

struct Inner {
    options: HttpOptions,
    checked: Checked,
    credentials: HeaderMap,
    headers: HeaderMap,
    usual: LazyClient,
    /// For creates, which are never sent twice: a new connection for each call, and no transparent retry.
    creates: LazyClient,
    rules: Arc<Rules>,
}

/// Client that is built by its first call: a command without network calls would otherwise spend most of its time
/// on reading the system's certificates.
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

    fn get(&self, options: &HttpOptions, checked: &Checked) -> Result<&Client> {
        if let Some(client) = self.made.get() {
            return Ok(client);
        }
        let client = build((self.builder)(), options, checked)?;
        Ok(self.made.get_or_init(|| client))
    }
}

impl HttpClient {
    /// Creates a client that sends `credentials` and `headers` with each request to the origin of the base URL, and
    /// to no other origin.
    ///
    /// # Errors
    /// [`ErrorKind::ProviderAuth`] for a credential, [`ErrorKind::InvalidInput`] for a user agent that holds
    /// characters that no header can hold, and for a setting of the caller that cannot be used.
    pub fn new(
        options: HttpOptions,
        credentials: &[(HeaderName, SecretString)],
        mut headers: HeaderMap,
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
        let checked = options.client.check(&[&secret, &headers])?;
        headers.extend(checked.headers.clone());
        let secrets = credentials.iter().map(|(_, value)| value);
        // Hundreds of runs may poll at the same time. Without a limit their idle connections would use up the
        // process's file descriptors, and a create, which opens a new connection, would fail.
        let usual = LazyClient::new(|| Client::builder().pool_max_idle_per_host(16));
        let creates = LazyClient::new(|| Client::builder().pool_max_idle_per_host(0));
        let rules = Rules {
            limits: Limits {
                silence: options.read_timeout,
                answer: options.response_timeout,
                min_speed: options.min_speed,
                window: options.speed_window,
                document_bytes: options.max_document_bytes,
            },
            secrets: Secrets::new(secrets.chain(&checked.secrets)),
            clock: Arc::new(MachineClock::new()),
            error_member: options.error_member,
        };
        Ok(Self {
            inner: Arc::new(Inner {
                rules: Arc::new(rules),
                checked,
                options,
                credentials: secret,
                headers,
                usual,
                creates,
            }),
        })
    }

    /// Returns the account of a provider that has no organisations, projects or workspaces: a digest of the base
    /// URL, without the credentials, so that it outlives a key rotation. [`Identity`](crate::Identity) serves the
    /// others, and gives a digest of the key as well.
    pub fn account(&self) -> AccountId {
        account_at(&self.inner.options.base_url, &[])
    }

    /// Returns a GET of a path below the base URL.
    pub fn get(&self, path: &str) -> Exchange {
        self.exchange(Method::GET, path)
    }
    /// Returns a POST to a path below the base URL.
    pub fn post(&self, path: &str) -> Exchange {
        self.exchange(Method::POST, path)
    }
    /// Returns the POST that creates a batch, to a path below the base URL. It is sent on a new connection, without
    /// retries and redirects, so that no layer of the client sends it twice.
    pub fn create(&self, path: &str) -> Exchange {
        Exchange {
            is_create: true,
            ..self.exchange(Method::POST, path)
        }
    }
    /// Returns a DELETE of a path below the base URL.
    pub fn delete(&self, path: &str) -> Exchange {
        self.exchange(Method::DELETE, path)
    }

    /// Returns path and query of a URL from the provider; `None` if it leads to another origin than that of the base
    /// URL, is invalid or is longer than 8 KiB.
    pub fn path_on_origin(&self, url: &str) -> Option<String> {
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
            is_create: false,
            operation: "call the provider",
        }
    }
}

fn build(builder: ClientBuilder, options: &HttpOptions, checked: &Checked) -> Result<Client> {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    // Loopback requests may be unencrypted, so that they must not pass a proxy.
    let is_local = is_loopback(&options.base_url);
    let is_plain = |url: &Url| url.scheme() == "http";
    let trust = match is_local
        && is_plain(&options.base_url)
        && options.allowed_origins.iter().all(is_plain)
    {
        true => Trust::Nothing,
        false => Trust::System(&checked.root_certificates),
    };
    let builder = match &checked.proxy {
        _ if is_local => builder.no_proxy(),
        CheckedProxy::Never => builder.no_proxy(),
        CheckedProxy::Given(proxy) => builder.proxy((**proxy).clone()),
        CheckedProxy::Environment => builder,
    };
    let tls = tls_config(trust).map_err(unusable)?;
    builder
        .tls_backend_preconfigured(tls)
        .user_agent(&options.user_agent)
        .default_headers(headers)
        .connect_timeout(options.connect_timeout)
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .referer(false)
        .build()
        .map_err(unusable)
}

fn unusable(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Local)
        .with_message("the HTTP client could not be set up")
        .with_source(error)
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClient")
            .field("base_url", &self.inner.options.base_url.as_str())
            .finish_non_exhaustive()
    }
}

/// One HTTP request that is not sent yet.
#[must_use = "nothing is sent until `send` is awaited"]
pub struct Exchange {
    client: HttpClient,
    method: Method,
    path: String,
    query: Vec<(String, String)>,
    headers: HeaderMap,
    body: Option<(HeaderValue, u64, ByteStream)>,
    is_create: bool,
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
    /// Sets the operation that errors name: a lowercase fragment that can follow "failed to".
    pub fn operation(mut self, operation: &'static str) -> Self {
        self.operation = operation;
        self
    }
    /// Adds a query parameter.
    pub fn query(mut self, name: &str, value: impl Into<String>) -> Self {
        self.query.push((name.to_owned(), value.into()));
        self
    }
    /// Adds a query parameter if `value` is set.
    pub fn query_some(self, name: &str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.query(name, value.to_string()),
            None => self,
        }
    }
    /// Sets a request header.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }
    /// Sets a body of JSON bytes.
    pub fn json_bytes(self, body: Vec<u8>) -> Self {
        let len = body.len() as u64;
        let bytes = futures::stream::iter([Ok(bytes::Bytes::from(body))]).boxed();
        self.stream(HeaderValue::from_static("application/json"), len, bytes)
    }
    /// Sets a JSON body from a value.
    pub fn json(self, body: &serde_json::Value) -> Self {
        self.json_bytes(body.to_string().into_bytes())
    }
    /// Sets the whole content of a shard as the body.
    pub fn shard(self, content_type: &'static str, shard: &Shard) -> Self {
        let content_type = HeaderValue::from_static(content_type);
        self.stream(content_type, shard.len(), shard.open(0..shard.len()))
    }
    /// Sets a multipart form with one streamed file as the body.
    pub fn multipart(self, form: Multipart) -> Self {
        let (len, body) = form.into_body();
        // The boundary is ASCII, so that the header is always valid.
        let content_type = HeaderValue::from_str(&Multipart::content_type());
        self.stream(
            content_type.unwrap_or_else(|_| HeaderValue::from_static("multipart/form-data")),
            len,
            body,
        )
    }
    /// Sets a multipart form as the body: `fields`, then the whole content of the shard in the field `file`. The file
    /// name is the shard's label with `.jsonl`.
    ///
    /// ```no_run
    /// # fn upload(http: &lmbatch_http::HttpClient, shard: &lmbatch_core::Shard) -> lmbatch_http::Exchange {
    /// http.post("files").upload(shard, &[("purpose", "batch")])
    /// # }
    /// ```
    pub fn upload(self, shard: &Shard, fields: &[(&str, &str)]) -> Self {
        self.upload_as("file", shard, fields)
    }
    /// Sets a multipart form as [`upload`](Self::upload) does, with the file in the field `file_field`.
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
    /// Sets a streamed body of `len` bytes.
    pub fn stream(mut self, content_type: HeaderValue, len: u64, body: ByteStream) -> Self {
        self.body = Some((content_type, len, body));
        self
    }

    /// Sends the request. Any HTTP status is a response.
    ///
    /// # Errors
    /// An error means that no answer came; its delivery states whether the provider may have acted.
    /// [`ErrorKind::ForeignOrigin`] for a path on another origin than that of the base URL.
    pub async fn send(self) -> Result<Response> {
        let inner = Arc::clone(&self.client.inner);
        let provider = inner.options.provider.clone();
        let mut url = inner.options.base_url.join(&self.path).map_err(|_| {
            Error::new(ErrorKind::Internal)
                .with_operation(self.operation)
                .with_provider(provider.clone())
                .with_message("the path is not valid in a URL")
        })?;
        // A path may be an absolute URL, such as the upload URL of a provider: it must stay on the base URL's origin.
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
        let client = if self.is_create {
            &inner.creates
        } else {
            &inner.usual
        };
        let mut request = client
            .get(&inner.options, &inner.checked)?
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
        // The path may hold an id from the provider, which may contain secrets.
        let path = rules.secrets.fact(&self.path);
        match answered {
            Ok(response) => {
                let reply = Response::new(response, self.operation, provider, rules);
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

    /// Sends a GET and follows at most 3 redirects: on the origin of the base URL with credentials, or to one of
    /// [`allowed_origins`](HttpOptions::allowed_origins) without them.
    ///
    /// # Errors
    /// Those of [`send`](Self::send); [`ErrorKind::ForeignOrigin`] for a redirect without a target or to another
    /// origin.
    pub async fn send_following(self) -> Result<Response> {
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
            let is_own = target.origin() == inner.options.base_url.origin();
            let allowed = inner
                .options
                .allowed_origins
                .iter()
                .any(|origin| origin.origin() == target.origin());
            if !is_own && !allowed {
                let host = target.host_str().unwrap_or("another host");
                let host = inner.rules.secrets.fact(host);
                return foreign(&format!("a redirect to {host}"));
            }
            let client = inner.usual.get(&inner.options, &inner.checked)?;
            let mut request = client.get(target.clone()).headers(headers.clone());
            if is_own {
                request = request
                    .headers(inner.headers.clone())
                    .headers(inner.credentials.clone());
            }
            let about = (operation, &provider);
            let response = answer_to(request, &Meter::new(0), &inner.rules, about).await?;
            reply = Response::new(response, operation, provider.clone(), &inner.rules).after_get();
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
