//! An answer that says no, as the error that it is.

use std::time::Duration;

use lmbatch_core::{Error, ErrorKind, Result, Retry};
use serde::de::DeserializeOwned;

use crate::classify::delivery_of;
use crate::client::Exchange;
use crate::reply::Reply;

/// The most of an error's body that is read.
const MAX_BODY: usize = 64 << 10;

/// What an adapter reads off an answer that says no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// What kind of thing went wrong.
    pub kind: ErrorKind,
    /// Whether the same call may succeed later.
    pub retry: Retry,
    /// The provider's structured code.
    pub code: Option<String>,
    /// The provider's words.
    pub message: Option<String>,
    /// When to come back, where the body says.
    pub retry_after: Option<Duration>,
}

impl Told {
    /// What kind of thing went wrong, and no more.
    pub fn new((kind, retry): (ErrorKind, Retry)) -> Self {
        Self {
            kind,
            retry,
            code: None,
            message: None,
            retry_after: None,
        }
    }
}

/// Reads an answer that says no: its HTTP status and its body.
pub type Tell = fn(u16, &[u8]) -> Told;

impl Exchange {
    /// Sends it. An answer that does not say yes is an error.
    pub async fn ask(self, tell: Tell) -> Result<Reply> {
        self.send().await?.accept(tell).await
    }

    /// The same, with the answer read as JSON.
    pub async fn ask_json<T: DeserializeOwned>(self, tell: Tell) -> Result<T> {
        self.ask(tell).await?.json().await
    }

    /// Sends a deletion: what is gone already is no error.
    pub async fn ask_gone(self, tell: Tell) -> Result<()> {
        match self.ask(tell).await {
            Err(error) if error.http_status() == Some(404) => Ok(()),
            other => other.map(drop),
        }
    }

    /// Sends a GET and follows redirects by hand, see [`send_following`](Self::send_following).
    pub async fn ask_following(self, tell: Tell) -> Result<Reply> {
        self.send_following().await?.accept(tell).await
    }
}

impl Reply {
    /// The reply, if it says yes; else the error that it is.
    pub async fn accept(self, tell: Tell) -> Result<Self> {
        if self.is_success() {
            return Ok(self);
        }
        let (status, wait, should) = (self.status(), self.retry_after(), self.should_retry());
        let mut error = self.error(ErrorKind::Internal);
        let body = self.bytes(MAX_BODY).await.unwrap_or_default();
        let told = tell(status, &body);
        let retry = match should {
            Some(true) => Retry::Temporary,
            Some(false) => Retry::Permanent,
            None => told.retry,
        };
        error = error
            .with_kind(told.kind)
            .with_retry(retry)
            .with_delivery(delivery_of(status));
        if let Some(code) = told.code {
            error = error.with_code(code);
        }
        if let Some(message) = told.message {
            error = error.with_provider_message(message);
        }
        if let Some(wait) = wait.or(told.retry_after) {
            error = error.with_retry_after(wait);
        }
        Err(error)
    }

    /// An error about this reply: operation, provider, status and request id.
    pub fn error(&self, kind: ErrorKind) -> Error {
        let error = Error::new(kind)
            .with_operation(self.operation())
            .with_provider(self.provider().clone())
            .with_http_status(self.status());
        match self.request_id() {
            Some(id) => error.with_request_id(id),
            None => error,
        }
    }
}
