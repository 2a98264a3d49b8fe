//! An answer, whatever its status.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::{StreamExt as _, TryStreamExt as _};
use lmbatch_core::{ByteStream, Chunk, Delivery, Error, ErrorKind, ProviderId, Retry, RowStream};
use reqwest::Response;
use reqwest::header::HeaderMap;
use serde::de::DeserializeOwned;

use crate::body::{Body, Kind};
use crate::limits::Rules;

/// The most bytes of a JSON answer.
const MAX_JSON: usize = 16 << 20;

/// An answer, whatever its status.
#[derive(Debug)]
pub struct Reply {
    status: u16,
    headers: HeaderMap,
    response: Response,
    operation: &'static str,
    provider: ProviderId,
    rules: Arc<Rules>,
    began: Duration,
    request_id: Option<String>,
    /// Whether it answers a GET, which changes nothing at the provider.
    reads: bool,
}

impl Reply {
    pub(crate) fn new(
        response: Response,
        operation: &'static str,
        provider: ProviderId,
        rules: &Arc<Rules>,
    ) -> Self {
        let headers = response.headers().clone();
        let id = ["x-request-id", "request-id"];
        let id = id.into_iter().find_map(|name| headers.get(name));
        Self {
            provider,
            status: response.status().as_u16(),
            request_id: id.map(|id| rules.secrets.fact(&String::from_utf8_lossy(id.as_bytes()))),
            headers,
            response,
            operation,
            rules: Arc::clone(rules),
            began: rules.clock.elapsed(),
            reads: false,
        }
    }

    /// The same as the answer to a GET.
    pub(crate) fn after_get(self) -> Self {
        Self {
            reads: true,
            ..self
        }
    }

    /// An error about a 2xx whose body is not what was asked for, such as a proxy's HTML page. The delivery is
    /// unknown. The answer to a GET may be read when it is asked for again, and is temporary.
    pub fn unreadable(&self, message: impl Into<Box<str>>) -> Error {
        let retry = match self.reads {
            true => Retry::Temporary,
            false => Retry::Permanent,
        };
        self.error(ErrorKind::MalformedReply)
            .with_delivery(Delivery::Unknown)
            .with_retry(retry)
            .with_message(message)
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        self.status
    }
    /// Whether the status is 2xx.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
    /// A header, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
    /// The provider's name of the exchange, of at most 200 characters, without secrets and control characters.
    pub fn request_id(&self) -> Option<&str> {
        self.request_id.as_deref()
    }
    /// The time after which the server asks to be called again: one second to one day.
    pub fn retry_after(&self) -> Option<Duration> {
        crate::retry_after::retry_after(&self.headers)
    }
    /// Whether the server says that a retry makes sense.
    pub fn should_retry(&self) -> Option<bool> {
        match self.header("x-should-retry")? {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        }
    }
    /// What was being done.
    pub fn operation(&self) -> &'static str {
        self.operation
    }

    /// Whose answer it is.
    pub fn provider(&self) -> &ProviderId {
        &self.provider
    }

    pub(crate) fn share(&self) -> Arc<Rules> {
        Arc::clone(&self.rules)
    }

    pub(crate) fn body(self, kind: Kind) -> Body {
        let about = (self.operation, self.provider);
        Body::new(self.response, kind, about, (self.rules, self.began))
    }

    /// The body, up to `max` bytes, complete within [`answer_timeout`](crate::HttpOptions::answer_timeout).
    pub async fn bytes(self, max: usize) -> Result<Bytes, Error> {
        let mut stream = self.body(Kind::Answer);
        let mut body = BytesMut::new();
        while let Some(piece) = stream.next().await? {
            if body.len() + piece.len() > max {
                return Err(Error::malformed(format!("it is longer than {max} bytes")));
            }
            body.extend_from_slice(&piece);
        }
        Ok(body.freeze())
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// [`ErrorKind::MalformedReply`] of unknown delivery, so that a create is in doubt: temporary where a GET was
    /// answered by something else, permanent where the body is longer than 16 MiB. Else as the connection fails.
    pub async fn json<T: DeserializeOwned>(self) -> Result<T, Error> {
        let about = self.unreadable(NOT_JSON);
        match self.bytes(MAX_JSON).await {
            Err(error) => Err(because(about, error)),
            Ok(body) => {
                serde_json::from_slice(&body).map_err(|error| about.with_message(not_json(&error)))
            }
        }
    }

    /// The body as it comes. One that ends before its announced length is an error, and so is one that stands
    /// still, is slower than [`least_speed`](crate::HttpOptions::least_speed), or is encoded.
    pub fn stream(self) -> ByteStream {
        self.body(Kind::Transfer).into_stream()
    }
}

/// The message about a body that is not the JSON that was asked for.
pub(crate) const NOT_JSON: &str = "not the JSON that was expected";

/// The same with the position. The parser's words may quote the body.
pub(crate) fn not_json(error: &serde_json::Error) -> String {
    format!(
        "{NOT_JSON} (line {}, column {})",
        error.line(),
        error.column()
    )
}

/// The error about a reply whose body could not be read, with the reason.
pub(crate) fn because(about: Error, error: Error) -> Error {
    let about = about.with_kind(error.kind()).with_retry(error.retry());
    match error.message() {
        Some(message) => {
            let message = message.to_owned();
            about.with_message(message).with_source(error)
        }
        None => about.with_source(error),
    }
}

/// A body of rows, as providers give it to the engine.
pub fn rows(body: ByteStream) -> RowStream {
    body.map_ok(Chunk::Bytes).boxed()
}
