//! An answer, whatever its status.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use lmbatch_core::{ByteStream, Chunk, Delivery, Error, ErrorKind, ProviderId, Retry, RowStream};
use reqwest::Response;
use reqwest::header::HeaderMap;
use serde::de::DeserializeOwned;

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
}

impl Reply {
    pub(crate) fn new(response: Response, operation: &'static str, provider: ProviderId) -> Self {
        Self {
            provider,
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            response,
            operation,
        }
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
    /// The provider's name of the exchange.
    pub fn request_id(&self) -> Option<&str> {
        self.header("x-request-id")
            .or_else(|| self.header("request-id"))
    }
    /// When the server wishes us to come back.
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

    /// The body, up to `max` bytes.
    pub async fn bytes(self, max: usize) -> Result<Bytes, Error> {
        let mut stream = self.stream();
        let mut body = BytesMut::new();
        while let Some(piece) = stream.try_next().await? {
            if body.len() + piece.len() > max {
                return Err(Error::malformed(format!("it is longer than {max} bytes")));
            }
            body.extend_from_slice(&piece);
        }
        Ok(body.freeze())
    }

    /// The body as JSON. An answer that says yes and cannot be read leaves a create in doubt.
    pub async fn json<T: DeserializeOwned>(self) -> Result<T, Error> {
        let about = self
            .error(ErrorKind::MalformedReply)
            .with_delivery(Delivery::Unknown);
        match self.bytes(MAX_JSON).await {
            Err(error) => Err(about
                .with_kind(error.kind())
                .with_retry(error.retry())
                .with_source(error)),
            // The parser's words may quote the body: its position is enough.
            Ok(body) => serde_json::from_slice(&body).map_err(|error| {
                about.with_message(format!(
                    "not the JSON that was expected (line {}, column {})",
                    error.line(),
                    error.column()
                ))
            }),
        }
    }

    /// The body as it comes. One that ends before its announced length is an error.
    pub fn stream(self) -> ByteStream {
        let (operation, provider) = (self.operation, self.provider);
        let named = provider.clone();
        let expected = self
            .headers
            .get("content-length")
            .and_then(|len| len.to_str().ok()?.parse::<u64>().ok());
        let body = self
            .response
            .bytes_stream()
            .map_err(move |error| broken(named.clone(), operation, error.without_url()));
        let counted =
            body.map_ok(move |piece| (piece.len() as u64, piece))
                .scan(0_u64, |seen, item| {
                    if let Ok((len, _)) = &item {
                        *seen += len;
                    }
                    let seen = *seen;
                    async move { Some(item.map(|(_, piece)| (seen, piece))) }
                });
        let last = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
        let count = std::sync::Arc::clone(&last);
        let pieces = counted.map_ok(move |(seen, piece)| {
            count.store(seen, std::sync::atomic::Ordering::Relaxed);
            piece
        });
        let check = stream::once(async move {
            let seen = last.load(std::sync::atomic::Ordering::Relaxed);
            let short = expected.filter(|expected| *expected != seen)?;
            let message = format!("the answer ended after {seen} of {short} bytes");
            Some(Err(Error::new(ErrorKind::Connection)
                .with_operation(operation)
                .with_provider(provider)
                .with_message(message)
                .with_retry(Retry::Temporary)
                .with_delivery(Delivery::Unknown)))
        });
        pieces.chain(check.filter_map(std::future::ready)).boxed()
    }
}

fn broken(provider: ProviderId, operation: &'static str, error: reqwest::Error) -> Error {
    let kind = if error.is_timeout() {
        ErrorKind::Timeout
    } else {
        ErrorKind::Connection
    };
    Error::new(kind)
        .with_operation(operation)
        .with_provider(provider)
        .with_message("the answer broke off")
        .with_retry(Retry::Temporary)
        .with_delivery(Delivery::Unknown)
        .with_source(error)
}

/// A body of rows, as providers give it to the engine.
pub fn rows(body: ByteStream) -> RowStream {
    body.map_ok(Chunk::Bytes).boxed()
}
