//! What goes wrong, said once: for a call ([`Error`]) and for one request ([`RequestError`]).

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{BatchId, ProviderId};

/// The result of a call.
///
/// ```
/// fn read() -> lmbatch_core::Result<u8> {
///     Err(lmbatch_core::Error::invalid_input("nothing to read"))
/// }
/// assert!(read().is_err());
/// ```
pub type Result<T, E = Error> = std::result::Result<T, E>;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $word:literal: $text:literal),+ $(,)?) => {
        /// What kind of thing went wrong.
        ///
        /// ```
        /// use lmbatch_core::ErrorKind;
        /// assert_eq!(ErrorKind::ProviderRateLimit.as_str(), "provider_rate_limit");
        /// assert!(ErrorKind::ALL.contains(&ErrorKind::Billing));
        /// ```
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        #[non_exhaustive]
        pub enum ErrorKind { $($(#[$doc])* $name),+ }

        impl ErrorKind {
            /// Every kind, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The kind as one word, as output lines carry it.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word),+ }
            }

            fn sentence(self) -> &'static str {
                match self { $(Self::$name => $text),+ }
            }
        }
    };
}

kinds! {
    /// The caller or the provider cancelled it.
    Cancelled = "cancelled": "cancelled",
    /// The window closed before the provider came to it.
    Expired = "expired": "expired before the provider answered it",
    /// The provider's results do not name it.
    Missing = "missing": "the provider gave no result for it",
    /// The model does not exist, or the key may not use it.
    ModelNotFound = "model_not_found": "the model was not found",
    /// The key is missing, wrong, or may not do this.
    ProviderAuth = "provider_auth": "the provider did not accept the key",
    /// The provider failed.
    ProviderInternal = "provider_internal": "the provider failed",
    /// The provider will not take these arguments.
    ProviderInvalidArgs = "provider_invalid_args": "the provider refused the arguments",
    /// The provider is busy.
    ProviderOverloaded = "provider_overloaded": "the provider is overloaded",
    /// Too many calls in too short a time.
    ProviderRateLimit = "provider_rate_limit": "the provider's rate limit was reached",
    /// No answer in time.
    Timeout = "timeout": "timed out",
    /// The input cannot be sent as it is.
    InvalidInput = "invalid_input": "the input is not valid",
    /// The account cannot pay.
    Billing = "billing": "the account cannot be billed",
    /// A quota that waiting for other work may free.
    Quota = "quota": "a quota of the account is used up",
    /// More tokens than the model takes.
    ContextOverflow = "context_overflow": "the request is longer than the model takes",
    /// The provider knows no such batch.
    BatchNotFound = "batch_not_found": "the batch was not found",
    /// What a batch needs, or what it gave, is no longer at the provider.
    FileNotFound = "file_not_found": "a file was not found at the provider",
    /// Not something this provider, or this version, does.
    Unsupported = "unsupported": "not supported",
    /// The connection failed.
    Connection = "connection": "the connection failed",
    /// The reply could not be read.
    MalformedReply = "malformed_reply": "the reply could not be read",
    /// The reply would have led elsewhere with our key or our requests.
    ForeignOrigin = "foreign_origin": "the provider pointed to an origin that is not allowed",
    /// The provider took the request and answered that it failed.
    GenerationFailed = "generation_failed": "the model failed to answer",
    /// The reply does not fit the schema.
    InvalidStructured = "invalid_structured": "the reply does not fit the schema",
    /// A create's fate is unknown: it may have been accepted.
    Doubt = "doubt": "it is not known whether the batch was created",
    /// Another process holds or has changed it.
    ///
    /// # Troubleshooting
    /// The message names the process. Wait for it, or end it: the claim ends with the process.
    Conflict = "conflict": "another process holds or has changed it",
    /// A run or handle belongs to another account than the one in use.
    ///
    /// # Troubleshooting
    /// Use a key of the account, and the base URL and organisation, with which it was made.
    OtherAccount = "other_account": "it belongs to another account",
    /// A file or folder on this machine.
    Local = "local": "a local file could not be used",
    /// A bug of ours.
    Internal = "internal": "lmbatch failed",
}

/// Whether the same call may succeed later.
///
/// ```
/// use lmbatch_core::{Error, ErrorKind, Retry};
/// let busy = Error::new(ErrorKind::ProviderOverloaded).with_retry(Retry::Temporary);
/// assert!(busy.to_string().ends_with("try again later"));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    /// It will fail again.
    Permanent,
    /// It may succeed later.
    Temporary,
    /// It was tried again until patience ran out; do not start over.
    Exhausted,
}

/// What became of a call that failed: decides whether a create may be repeated.
///
/// ```
/// use lmbatch_core::{Delivery, Error};
/// // An error of our own never reached the provider; one that may have is not repeated.
/// assert_eq!(Error::invalid_input("no requests").delivery(), Delivery::NotSent);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// The provider cannot have acted: nothing, or not all, was sent.
    NotSent,
    /// The provider answered that it will not.
    Refused,
    /// It may have been accepted.
    Unknown,
}

/// A call that failed. One pointer wide; prints one line and never a prompt, body or key.
///
/// ```
/// use lmbatch_core::{Error, ErrorKind};
/// let error = Error::new(ErrorKind::Timeout).with_operation("wait for the batch").with_batch("b1".into());
/// assert_eq!(error.to_string(), "failed to wait for the batch: timed out (batch b1)");
/// assert_eq!(error.batch().map(|batch| batch.as_str()), Some("b1"));
/// ```
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    retry: Retry,
    delivery: Delivery,
    provider: Option<ProviderId>,
    operation: Option<&'static str>,
    http_status: Option<u16>,
    code: Option<Box<str>>,
    request_id: Option<Box<str>>,
    retry_after: Option<Duration>,
    batch: Option<BatchId>,
    message: Option<Box<str>>,
    provider_message: Option<Box<str>>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// A permanent error that never reached a provider.
    pub fn new(kind: ErrorKind) -> Self {
        Self(Box::new(Inner {
            kind,
            retry: Retry::Permanent,
            delivery: Delivery::NotSent,
            provider: None,
            operation: None,
            http_status: None,
            code: None,
            request_id: None,
            retry_after: None,
            batch: None,
            message: None,
            provider_message: None,
            source: None,
        }))
    }

    /// [`ErrorKind::Unsupported`], naming what is.
    pub fn unsupported(what: &str) -> Self {
        Self::new(ErrorKind::Unsupported).with_message(what)
    }

    /// [`ErrorKind::InvalidInput`], saying what is wrong.
    pub fn invalid_input(message: impl Into<Box<str>>) -> Self {
        Self::new(ErrorKind::InvalidInput).with_message(message)
    }

    /// [`ErrorKind::Local`], with what was being done.
    pub fn local(doing: impl Into<Box<str>>, source: std::io::Error) -> Self {
        Self::new(ErrorKind::Local)
            .with_message(doing)
            .with_source(source)
    }

    /// [`ErrorKind::MalformedReply`], saying what could not be read.
    pub fn malformed(message: impl Into<Box<str>>) -> Self {
        Self::new(ErrorKind::MalformedReply)
            .with_message(message)
            .with_delivery(Delivery::Unknown)
    }

    /// Whether to try again.
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.0.retry = retry;
        self
    }
    /// What became of the call.
    pub fn with_delivery(mut self, delivery: Delivery) -> Self {
        self.0.delivery = delivery;
        self
    }
    /// Replaces the kind, keeping everything else.
    pub fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.0.kind = kind;
        self
    }
    /// Whose answer it was.
    pub fn with_provider(mut self, provider: ProviderId) -> Self {
        self.0.provider = Some(provider);
        self
    }
    /// What was being done: a lowercase fragment that can follow "failed to".
    pub fn with_operation(mut self, operation: &'static str) -> Self {
        self.0.operation = Some(operation);
        self
    }
    /// The HTTP status.
    pub fn with_http_status(mut self, status: u16) -> Self {
        self.0.http_status = Some(status);
        self
    }
    /// The provider's structured code.
    pub fn with_code(mut self, code: impl Into<Box<str>>) -> Self {
        self.0.code = Some(code.into());
        self
    }
    /// The provider's name of the exchange, for its support.
    pub fn with_request_id(mut self, id: impl Into<Box<str>>) -> Self {
        self.0.request_id = Some(id.into());
        self
    }
    /// How long the server wishes us to wait.
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        self.0.retry_after = Some(wait);
        self
    }
    /// The batch it was about.
    pub fn with_batch(mut self, batch: BatchId) -> Self {
        self.0.batch = Some(batch);
        self
    }
    /// Our own words; printed. Never from a provider.
    pub fn with_message(mut self, message: impl Into<Box<str>>) -> Self {
        self.0.message = Some(message.into());
        self
    }
    /// The provider's words: kept, not printed, since they may quote a prompt.
    pub fn with_provider_message(mut self, message: impl Into<Box<str>>) -> Self {
        self.0.provider_message = Some(message.into());
        self
    }
    /// What caused it.
    pub fn with_source(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// What kind of thing went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }
    /// Whether the same call may succeed later.
    pub fn retry(&self) -> Retry {
        self.0.retry
    }
    /// What became of the call.
    pub fn delivery(&self) -> Delivery {
        self.0.delivery
    }
    /// Whose answer it was.
    pub fn provider(&self) -> Option<&ProviderId> {
        self.0.provider.as_ref()
    }
    /// What was being done.
    pub fn operation(&self) -> Option<&'static str> {
        self.0.operation
    }
    /// The HTTP status, if there was an answer.
    pub fn http_status(&self) -> Option<u16> {
        self.0.http_status
    }
    /// The provider's structured code.
    pub fn code(&self) -> Option<&str> {
        self.0.code.as_deref()
    }
    /// The provider's name of the exchange.
    pub fn request_id(&self) -> Option<&str> {
        self.0.request_id.as_deref()
    }
    /// How long the server wishes us to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }
    /// The batch it was about: after a create, always there.
    pub fn batch(&self) -> Option<&BatchId> {
        self.0.batch.as_ref()
    }
    /// Our own words.
    pub fn message(&self) -> Option<&str> {
        self.0.message.as_deref()
    }
    /// The provider's words. They may quote a prompt: do not log them.
    pub fn provider_message(&self) -> Option<&str> {
        self.0.provider_message.as_deref()
    }

    /// The same as data, for the requests of a batch that failed as a whole.
    ///
    /// ```
    /// use lmbatch_core::{ErrorKind, RequestError};
    /// let error = RequestError::new(ErrorKind::ContextOverflow).with_http_status(400);
    /// assert!(!error.is_retryable());
    /// assert_eq!(error.to_string(), "the request is longer than the model takes (HTTP 400)");
    /// ```
    pub fn to_request_error(&self) -> RequestError {
        RequestError {
            kind: self.0.kind,
            code: self.0.code.as_deref().map(str::to_owned),
            message: self
                .0
                .provider_message
                .as_deref()
                .or(self.0.message.as_deref())
                .map(str::to_owned),
            http_status: self.0.http_status,
            retryable: self.0.retry == Retry::Temporary,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let e = &*self.0;
        if let Some(operation) = e.operation {
            write!(f, "failed to {operation}: ")?;
        }
        f.write_str(e.kind.sentence())?;
        if let Some(message) = &e.message {
            write!(f, ": {message}")?;
        }
        let mut facts = Vec::new();
        facts.extend(e.provider.as_ref().map(|p| format!("provider {p}")));
        facts.extend(e.http_status.map(|s| format!("HTTP {s}")));
        facts.extend(e.code.as_ref().map(|c| format!("code {c}")));
        facts.extend(e.batch.as_ref().map(|b| format!("batch {b}")));
        facts.extend(e.request_id.as_ref().map(|r| format!("request id {r}")));
        if !facts.is_empty() {
            write!(f, " ({})", facts.join(", "))?;
        }
        match (e.retry, e.retry_after) {
            (Retry::Temporary, Some(wait)) => {
                write!(f, "; try again in {} s", wait.as_secs_f64().ceil())
            }
            (Retry::Temporary, None) => f.write_str("; try again later"),
            (Retry::Exhausted, _) => f.write_str("; tried again without success"),
            (Retry::Permanent, _) => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let e = &*self.0;
        f.debug_struct("Error")
            .field("kind", &e.kind)
            .field("retry", &e.retry)
            .field("delivery", &e.delivery)
            .field("provider", &e.provider)
            .field("operation", &e.operation)
            .field("http_status", &e.http_status)
            .field("code", &e.code)
            .field("request_id", &e.request_id)
            .field("retry_after", &e.retry_after)
            .field("batch", &e.batch)
            .field("message", &e.message)
            .field("source", &e.source)
            .finish_non_exhaustive()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

/// Why one request has no answer: plain data, which a ledger or an output line can hold.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestError {
    kind: ErrorKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    http_status: Option<u16>,
    #[serde(default)]
    retryable: bool,
}

impl RequestError {
    /// An error that asking again would not cure.
    pub fn new(kind: ErrorKind) -> Self {
        Self {
            kind,
            code: None,
            message: None,
            http_status: None,
            retryable: false,
        }
    }

    /// [`ErrorKind::InvalidInput`], saying what is wrong.
    pub fn invalid_input(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidInput).with_message(message)
    }

    /// [`ErrorKind::Unsupported`], saying what the provider cannot take.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported).with_message(message)
    }

    /// The provider's structured code.
    pub fn with_code(mut self, code: impl Into<String>) -> Self {
        self.code = Some(code.into());
        self
    }
    /// The words: the provider's, or ours.
    pub fn with_message(mut self, message: impl Into<String>) -> Self {
        self.message = Some(message.into());
        self
    }
    /// The HTTP status that the row carries.
    pub fn with_http_status(mut self, status: u16) -> Self {
        self.http_status = Some(status);
        self
    }
    /// Whether asking again may succeed.
    pub fn retryable(mut self, retryable: bool) -> Self {
        self.retryable = retryable;
        self
    }

    /// What kind of thing went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
    /// The provider's structured code.
    pub fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }
    /// The words, which may quote the prompt: for the caller, not for logs.
    pub fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }
    /// The HTTP status that the row carried.
    pub fn http_status(&self) -> Option<u16> {
        self.http_status
    }
    /// Whether asking again may succeed.
    pub fn is_retryable(&self) -> bool {
        self.retryable
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.sentence())?;
        match (&self.code, self.http_status) {
            (Some(code), Some(status)) => write!(f, " (HTTP {status}, code {code})"),
            (Some(code), None) => write!(f, " (code {code})"),
            (None, Some(status)) => write!(f, " (HTTP {status})"),
            (None, None) => Ok(()),
        }
    }
}

impl fmt::Debug for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestError")
            .field("kind", &self.kind)
            .field("code", &self.code)
            .field("http_status", &self.http_status)
            .field("retryable", &self.retryable)
            .finish_non_exhaustive()
    }
}

impl std::error::Error for RequestError {}

/// So that `outcome.value()?` works where a function returns our [`Error`].
impl From<&RequestError> for Error {
    fn from(request: &RequestError) -> Self {
        let mut error = Self::new(request.kind).with_source(request.clone());
        if let Some(status) = request.http_status {
            error = error.with_http_status(status);
        }
        if let Some(code) = &request.code {
            error = error.with_code(code.as_str());
        }
        error
    }
}

impl From<crate::StructuredError> for Error {
    fn from(error: crate::StructuredError) -> Self {
        Self::new(ErrorKind::InvalidStructured).with_source(error)
    }
}

impl From<crate::AttachmentError> for Error {
    fn from(error: crate::AttachmentError) -> Self {
        Self::invalid_input(error.to_string())
    }
}

/// A row of results that is not what the provider's rows look like.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the row could not be read")]
pub struct RowError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_prints_one_line_with_its_facts_and_no_provider_words() {
        let error = Error::new(ErrorKind::ProviderRateLimit)
            .with_operation("create the batch")
            .with_provider(ProviderId::new("acme"))
            .with_http_status(429)
            .with_code("slow_down")
            .with_batch(BatchId::new("b1"))
            .with_request_id("req_1")
            .with_retry(Retry::Temporary)
            .with_retry_after(Duration::from_millis(1500))
            .with_provider_message("your prompt 'secret' …");
        assert_eq!(
            error.to_string(),
            "failed to create the batch: the provider's rate limit was reached \
             (provider acme, HTTP 429, code slow_down, batch b1, request id req_1); try again in 2 s"
        );
        assert!(!format!("{error:?}").contains("secret"));
        assert_eq!(error.provider_message(), Some("your prompt 'secret' …"));
        assert_eq!(size_of::<Error>(), size_of::<usize>());
    }

    #[test]
    fn every_kind_is_written_as_it_is_serialised() {
        for kind in ErrorKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
    }

    #[test]
    fn an_error_says_whether_to_try_again() {
        let error = || Error::new(ErrorKind::Timeout);
        for (error, said) in [
            (error().with_retry(Retry::Permanent), "timed out"),
            (
                error().with_retry(Retry::Temporary),
                "timed out; try again later",
            ),
            (
                error().with_retry(Retry::Exhausted),
                "timed out; tried again without success",
            ),
            (
                error()
                    .with_message("after 9 s")
                    .with_retry(Retry::Permanent),
                "timed out: after 9 s",
            ),
        ] {
            assert_eq!(error.to_string(), said);
        }
    }

    #[test]
    fn an_error_of_a_call_is_one_of_its_requests_with_the_providers_words_first() {
        let error = Error::new(ErrorKind::ContextOverflow)
            .with_http_status(400)
            .with_code("too_long")
            .with_message("ours")
            .with_retry(Retry::Permanent);
        let request = error.to_request_error();
        let facts = (request.kind(), request.http_status(), request.code());
        assert_eq!(
            facts,
            (ErrorKind::ContextOverflow, Some(400), Some("too_long"))
        );
        assert_eq!(
            (request.message(), request.is_retryable()),
            (Some("ours"), false)
        );
        let theirs = error
            .with_provider_message("theirs")
            .with_retry(Retry::Temporary);
        let request = theirs.to_request_error();
        assert_eq!(
            (request.message(), request.is_retryable()),
            (Some("theirs"), true)
        );
        // And back, so that `?` works in functions that return ours.
        let back = Error::from(&request);
        let facts = (back.kind(), back.http_status(), back.code());
        assert_eq!(
            facts,
            (ErrorKind::ContextOverflow, Some(400), Some("too_long"))
        );
        assert!(std::error::Error::source(&back).is_some());
    }

    #[test]
    fn a_request_error_names_its_status_and_code() {
        let error = || RequestError::new(ErrorKind::Quota);
        for (error, said) in [
            (error(), "a quota of the account is used up"),
            (
                error().with_http_status(429),
                "a quota of the account is used up (HTTP 429)",
            ),
            (
                error().with_code("q"),
                "a quota of the account is used up (code q)",
            ),
            (
                error().with_http_status(429).with_code("q"),
                "a quota of the account is used up (HTTP 429, code q)",
            ),
        ] {
            assert_eq!(error.to_string(), said);
        }
    }

    #[test]
    fn a_request_error_shows_no_message() {
        let error = RequestError::new(ErrorKind::ProviderInvalidArgs)
            .with_message("secret")
            .with_http_status(400);
        assert_eq!(
            error.to_string(),
            "the provider refused the arguments (HTTP 400)"
        );
        assert!(!format!("{error:?}").contains("secret"));
    }
}
