//! An answer that says no, as the error that it is.

use std::time::Duration;

use lmbatch_core::{Delivery, Error, ErrorKind, Result, Retry};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::classify::delivery_of;
use crate::client::Exchange;
use crate::habits::{is_gone, says_error};
use crate::reply::{Reply, because};

/// The most of an error's body that is read.
const MAX_BODY: usize = 64 << 10;

/// An answer that says no, as an adapter reads it.
///
/// ```
/// use lmbatch_http::{Told, kind_of};
/// // A web page: kind and retry by the HTTP status, and no refusal.
/// assert!(!Told::new(kind_of(403)).recognised);
/// // The provider's own error object.
/// let told = Told { recognised: true, code: Some("no_credit".into()), ..Told::new(kind_of(402)) };
/// assert!(told.recognised);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Whether the body is the provider's own error object: parsed as a whole, and of the documented shape.
    /// Only then a create that is answered so may count as refused, and be repeated; a web page, an empty body
    /// and any other JSON may come from a proxy after the provider has accepted the create.
    pub recognised: bool,
    /// What kind of thing went wrong.
    pub kind: ErrorKind,
    /// Whether the same call may succeed later.
    pub retry: Retry,
    /// The provider's structured code. Secrets and control characters in it are removed before it is kept.
    pub code: Option<String>,
    /// The provider's words. Secrets in them are removed before they are kept.
    pub message: Option<String>,
    /// The wait that the body asks for, where it does.
    pub retry_after: Option<Duration>,
}

impl Told {
    /// An answer whose body is not the provider's own error object: kind and retry, as
    /// [`kind_of`](crate::kind_of) gives them, and no more.
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

    /// Sends a deletion. `proves` says whether a JSON body is the provider's own confirmation that the deletion
    /// was done, see [`Reply::deleted`]. A 404 or 410 with the provider's own error object counts as done too;
    /// one of a proxy does not, since a batch may still be created from the file.
    ///
    /// # Errors
    /// As [`ask`](Self::ask) and [`Reply::deleted`] give them.
    pub async fn ask_gone(
        self,
        tell: Tell,
        proves: impl FnOnce(&Value) -> bool + Send,
    ) -> Result<()> {
        match self.ask(tell).await {
            Err(error) if is_gone(&error) => Ok(()),
            other => other?.deleted(proves).await,
        }
    }

    /// Sends a GET and follows redirects by hand, see [`send_following`](Self::send_following).
    pub async fn ask_following(self, tell: Tell) -> Result<Reply> {
        self.send_following().await?.accept(tell).await
    }
}

impl Reply {
    /// Checks that a 2xx answer to a deletion is the provider's own confirmation: `proves` gets the body and says
    /// whether it is. Another JSON object, one that holds the [member of errors](crate::HttpOptions::error_member), or
    /// an empty body proves nothing, since a proxy answers so too.
    ///
    /// # Errors
    /// [`ErrorKind::MalformedReply`], temporary, for anything else, such as a web page or `"deleted": false`.
    pub async fn deleted(self, proves: impl FnOnce(&Value) -> bool + Send) -> Result<()> {
        let about = self
            .error(ErrorKind::MalformedReply)
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

    /// The reply, if it says yes; else the error that it is.
    pub async fn accept(self, tell: Tell) -> Result<Self> {
        if self.is_success() {
            return Ok(self);
        }
        let (status, wait, should) = (self.status(), self.retry_after(), self.should_retry());
        let mut error = self.error(ErrorKind::Internal);
        let rules = self.share();
        // A body that breaks off, is encoded or too long is none that could be recognised.
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
            .with_delivery(delivery_of(status, told.recognised));
        if let Some(code) = told.code {
            error = error.with_code(rules.secrets.fact(&code));
        }
        if let Some(message) = told.message {
            error = error.with_provider_message(rules.secrets.words(&message));
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
