//! Converts error responses into [`Error`].

use std::time::Duration;

use lmbatch_core::{Delivery, Error, ErrorKind, Result, Retry};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::classify::delivery_of;
use crate::client::Exchange;
use crate::reply::{Response, because};
use crate::responses::{is_gone, says_error};

/// Longest body of an error response or a deletion, in bytes: 64 KiB.
const MAX_BODY: usize = 64 << 10;

/// An error response, as an adapter classifies it.
///
/// ```
/// use lmbatch_http::{ApiError, kind_of};
/// // An HTML page: kind and retry by the HTTP status, and not recognised as a refusal.
/// assert!(!ApiError::new(kind_of(403)).recognised);
/// // The provider's own error object.
/// let error = ApiError { recognised: true, code: Some("no_credit".into()), ..ApiError::new(kind_of(402)) };
/// assert!(error.recognised);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    /// True if the body is the provider's own error object: valid JSON of the documented shape. Only then does a
    /// create count as refused and may be repeated. An HTML page, an empty body and any other JSON may come from
    /// a proxy after the provider has accepted the create.
    pub recognised: bool,
    /// Kind of the error, from the provider's code or the HTTP status.
    pub kind: ErrorKind,
    /// Tells if a repeated call may succeed.
    pub retry: Retry,
    /// The provider's structured error code. Secrets and control characters are removed before it is stored.
    pub code: Option<String>,
    /// The provider's error message. Secrets are removed before it is stored.
    pub message: Option<String>,
    /// Retry delay from the body, if it holds one. A `Retry-After` header takes precedence.
    pub retry_after: Option<Duration>,
}

impl ApiError {
    /// Creates an unrecognised error: kind and retry from the HTTP status, as [`kind_of`](crate::kind_of) returns
    /// them, and all other fields empty.
    pub fn new((kind, retry): (ErrorKind, Retry)) -> Self {
        Self {
            recognised: false,
            kind,
            retry,
            code: None,
            message: None,
            retry_after: None,
        }
    }
}

/// Function of an adapter that classifies an error response by its HTTP status and its body.
pub type ErrorClassifier = fn(u16, &[u8]) -> ApiError;

impl Exchange {
    /// Sends the request and returns a 2xx reply.
    ///
    /// # Errors
    /// Those of [`send`](Self::send) and [`Response::accept`]: any status outside 2xx is an error.
    pub async fn send_ok(self, classify_error: ErrorClassifier) -> Result<Response> {
        self.send().await?.accept(classify_error).await
    }

    /// Sends the request and reads a 2xx reply as JSON.
    ///
    /// # Errors
    /// Those of [`send_ok`](Self::send_ok) and [`Response::json`].
    pub async fn send_json<T: DeserializeOwned>(
        self,
        classify_error: ErrorClassifier,
    ) -> Result<T> {
        self.send_ok(classify_error).await?.json().await
    }

    /// Sends a deletion and checks that it was done. `proves` returns true for a JSON body that is the provider's
    /// own confirmation, see [`Response::deleted`]. A 404 or 410 with the provider's own error object counts as
    /// deleted too. One from a proxy does not, since a batch may still be created from the file.
    ///
    /// # Errors
    /// Those of [`send_ok`](Self::send_ok) and [`Response::deleted`].
    pub async fn send_delete(
        self,
        classify_error: ErrorClassifier,
        proves: impl FnOnce(&Value) -> bool + Send,
    ) -> Result<()> {
        match self.send_ok(classify_error).await {
            Err(error) if is_gone(&error) => Ok(()),
            other => other?.deleted(proves).await,
        }
    }

    /// Sends a GET, follows redirects as [`send_following`](Self::send_following) does, and returns a 2xx reply.
    ///
    /// # Errors
    /// Those of [`send_following`](Self::send_following) and [`Response::accept`].
    pub async fn send_following_ok(self, classify_error: ErrorClassifier) -> Result<Response> {
        self.send_following().await?.accept(classify_error).await
    }
}

impl Response {
    /// Checks that a 2xx answer to a deletion is the provider's own confirmation: `proves` receives the body and
    /// returns true if it is. Another JSON object, one that holds the [member of
    /// errors](crate::HttpOptions::error_member), or an empty body proves nothing, since a proxy may send these too.
    ///
    /// # Errors
    /// [`ErrorKind::MalformedResponse`], temporary, for anything else, such as an HTML page or `"deleted": false`.
    pub async fn deleted(self, proves: impl FnOnce(&Value) -> bool + Send) -> Result<()> {
        let about = self
            .error(ErrorKind::MalformedResponse)
            .with_retry(Retry::Temporary)
            .with_delivery(Delivery::Unknown);
        let member = self.share().error_member;
        let body = match self.bytes(MAX_BODY).await {
            Ok(body) => body,
            Err(error) => return Err(because(about, error)),
        };
        match serde_json::from_slice::<Value>(&body) {
            Ok(body) if !says_error(&body, member) && proves(&body) => Ok(()),
            _ => {
                Err(about
                    .with_message("it does not confirm the deletion; a proxy may have sent it"))
            }
        }
    }

    /// Returns the reply if its status is 2xx; converts any other into an error with `classify_error`. The headers
    /// `x-should-retry` and `Retry-After` take precedence over the body.
    ///
    /// # Errors
    /// The classified error, with status, request id and delivery.
    pub async fn accept(self, classify_error: ErrorClassifier) -> Result<Self> {
        if self.is_success() {
            return Ok(self);
        }
        let (status, wait, should) = (self.status(), self.retry_after(), self.should_retry());
        let mut error = self.error(ErrorKind::Internal);
        let rules = self.share();
        // A body that is incomplete, encoded or too long counts as empty, and so as not recognised.
        let body = self.bytes(MAX_BODY).await.unwrap_or_default();
        let classified = classify_error(status, &body);
        let retry = match should {
            Some(true) => Retry::Temporary,
            Some(false) => Retry::Permanent,
            None => classified.retry,
        };
        error = error
            .with_kind(classified.kind)
            .with_retry(retry)
            .with_delivery(delivery_of(status, classified.recognised));
        if let Some(code) = classified.code {
            error = error.with_code(rules.secrets.fact(&code));
        }
        if let Some(message) = classified.message {
            error = error.with_provider_message(rules.secrets.words(&message));
        }
        if let Some(wait) = wait.or(classified.retry_after) {
            error = error.with_retry_after(wait);
        }
        Err(error)
    }

    /// Creates an error about this reply, with its operation, provider, HTTP status and request id.
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
