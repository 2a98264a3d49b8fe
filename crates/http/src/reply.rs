//! The response to one HTTP request.

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

/// Longest JSON answer, in bytes: 16 MiB.
const MAX_JSON: usize = 16 << 20;

/// Response to one HTTP request, with any status; the body is not read yet.
#[derive(Debug)]
pub struct Response {
    status: u16,
    headers: HeaderMap,
    response: Response,
    operation: &'static str,
    provider: ProviderId,
    rules: Arc<Rules>,
    began: Duration,
    request_id: Option<String>,
    /// True for the answer to a GET, which changes nothing at the provider.
    reads: bool,
}

impl Response {
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

    /// Marks the reply as the answer to a GET.
    pub(crate) fn after_get(self) -> Self {
        Self {
            reads: true,
            ..self
        }
    }

    /// Creates the error about a 2xx whose body is not the expected one, such as a proxy's HTML page. The delivery is
    /// unknown. The error is temporary for a GET, which may be repeated, and permanent for other methods.
    pub fn unreadable(&self, message: impl Into<Box<str>>) -> Error {
        let retry = match self.reads {
            true => Retry::Temporary,
            false => Retry::Permanent,
        };
        self.error(ErrorKind::MalformedResponse)
            .with_delivery(Delivery::Unknown)
            .with_retry(retry)
            .with_message(message)
    }

    /// Returns the HTTP status code.
    pub fn status(&self) -> u16 {
        self.status
    }
    /// Returns true if the status is 2xx.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
    /// Returns a header's value; `None` if it is absent or not ASCII text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
    /// Returns the provider's request id: at most 200 characters, without secrets and control characters.
    pub fn request_id(&self) -> Option<&str> {
        self.request_id.as_deref()
    }
    /// Returns the server's retry delay, one second to one day, as [`retry_after`](crate::retry_after) reads it.
    pub fn retry_after(&self) -> Option<Duration> {
        crate::retry_after::retry_after(&self.headers)
    }
    /// Returns the value of the header `x-should-retry`: `true`, `false`, or `None` for anything else.
    pub fn should_retry(&self) -> Option<bool> {
        match self.header("x-should-retry")? {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        }
    }
    /// Returns the operation, a lowercase fragment such as "create the batch".
    pub fn operation(&self) -> &'static str {
        self.operation
    }

    /// Returns the provider that answered.
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

    /// Reads the whole body of at most `max` bytes.
    ///
    /// # Errors
    /// A longer body is malformed; one that is not complete within
    /// [`response_timeout`](crate::HttpOptions::response_timeout) times out.
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

    /// Reads the body as JSON of at most 16 MiB.
    ///
    /// # Errors
    /// [`ErrorKind::MalformedResponse`] of unknown delivery, so that a create is in doubt: temporary for a GET whose
    /// answer is not the expected JSON, permanent for a body longer than 16 MiB. Timeouts and connection errors
    /// while the body is read.
    pub async fn json<T: DeserializeOwned>(self) -> Result<T, Error> {
        let about = self.unreadable(NOT_JSON);
        match self.bytes(MAX_JSON).await {
            Err(error) => Err(because(about, error)),
            Ok(body) => {
                serde_json::from_slice(&body).map_err(|error| about.with_message(not_json(&error)))
            }
        }
    }

    /// Returns the body as a stream. The stream ends with an error if the body ends before its announced length, makes
    /// no progress within [`read_timeout`](crate::HttpOptions::read_timeout), is slower than
    /// [`min_speed`](crate::HttpOptions::min_speed), or is encoded.
    pub fn stream(self) -> ByteStream {
        self.body(Kind::Transfer).into_stream()
    }
}

/// Message about a body that is not the expected JSON.
pub(crate) const NOT_JSON: &str = "not the JSON that was expected";

/// Returns the message with line and column. The parser's own message is not used, since it may quote the body.
pub(crate) fn not_json(error: &serde_json::Error) -> String {
    format!(
        "{NOT_JSON} (line {}, column {})",
        error.line(),
        error.column()
    )
}

/// Adds the reason for which the body could not be read to the error about a reply.
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

/// Converts a body into a stream of rows, as providers return it to the engine.
pub fn rows(body: ByteStream) -> RowStream {
    body.map_ok(Chunk::Bytes).boxed()
}
