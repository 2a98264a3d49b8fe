//! Errors of single requests: plain data that an outcome carries.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Error, ErrorKind, Problem, Retry};

/// Reason why one request has no answer: plain data, which a ledger or an output line can hold.
///
/// ```
/// # use lmbatch_core as lmbatch;
/// use lmbatch::{ErrorKind, RequestError};
/// let error = RequestError::new(ErrorKind::ContextOverflow).with_http_status(400);
/// assert_eq!(
///     serde_json::to_string(&error)?,
///     r#"{"kind":"context_overflow","http_status":400,"retryable":false}"#
/// );
/// # Ok::<(), serde_json::Error>(())
/// ```
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    problem: Option<Problem>,
}

impl RequestError {
    /// Creates an error that is not retryable.
    pub fn new(kind: ErrorKind) -> Self {
        Self {
            kind,
            code: None,
            message: None,
            http_status: None,
            retryable: false,
            problem: None,
        }
    }

    /// Creates an [`ErrorKind::InvalidInput`] error with a message that names the fault.
    pub fn invalid_input(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidInput).with_message(message)
    }

    /// Creates an [`ErrorKind::Unsupported`] error with a message that names what the provider does not
    /// accept.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported).with_message(message)
    }

    /// Sets the provider's structured error code.
    pub fn with_code(mut self, code: impl Into<String>) -> Self {
        self.code = Some(code.into());
        self
    }
    /// Sets the message: the provider's or lmbatch's own.
    pub fn with_message(mut self, message: impl Into<String>) -> Self {
        self.message = Some(message.into());
        self
    }
    /// Sets the HTTP status of the request's row in the results.
    pub fn with_http_status(mut self, status: u16) -> Self {
        self.http_status = Some(status);
        self
    }
    /// Sets whether the same request may succeed if it is sent again.
    pub fn retryable(mut self, retryable: bool) -> Self {
        self.retryable = retryable;
        self
    }

    /// Sets the problem of an answer that arrived but is unusable.
    pub fn with_problem(mut self, problem: Problem) -> Self {
        self.problem = Some(problem);
        self
    }

    /// Returns the kind of the error.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
    /// Returns the provider's structured error code.
    pub fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }
    /// Returns the message. It may quote the prompt: show it to the caller, and do not log it.
    pub fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }
    /// Returns the HTTP status of the request's row in the results.
    pub fn http_status(&self) -> Option<u16> {
        self.http_status
    }
    /// Returns whether the same request may succeed if it is sent again.
    pub fn is_retryable(&self) -> bool {
        self.retryable
    }
    /// Returns the problem of an answer that arrived but could not be used, such as a refusal in place of a
    /// structured value.
    pub fn problem(&self) -> Option<Problem> {
        self.problem
    }
}

impl Error {
    /// Returns the error as plain data, for each request of a batch that failed as a whole. The message is
    /// the provider's, or else lmbatch's own.
    ///
    /// ```
    /// use lmbatch_core::{ErrorKind, RequestError};
    /// let error = RequestError::new(ErrorKind::ContextOverflow).with_http_status(400);
    /// assert!(!error.is_retryable());
    /// assert_eq!(error.to_string(), "the request is longer than the model takes (HTTP 400)");
    /// ```
    pub fn to_request_error(&self) -> RequestError {
        let message = self.provider_message().or(self.message());
        RequestError {
            kind: self.kind(),
            code: self.code().map(str::to_owned),
            message: message.map(str::to_owned),
            http_status: self.http_status(),
            retryable: self.retry() == Retry::Temporary,
            problem: None,
        }
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
            .field("problem", &self.problem)
            .finish_non_exhaustive()
    }
}

impl std::error::Error for RequestError {}

/// Lets `outcome.as_result()?` and `outcome.into_result()?` work in functions that return [`Error`].
impl From<RequestError> for Error {
    fn from(request: RequestError) -> Self {
        let retry = if request.retryable {
            Retry::Temporary
        } else {
            Retry::Permanent
        };
        let mut error = Self::new(request.kind).with_retry(retry);
        if let Some(status) = request.http_status {
            error = error.with_http_status(status);
        }
        if let Some(code) = &request.code {
            error = error.with_code(code.as_str());
        }
        // The message is the provider's in most cases, and may quote the prompt.
        if let Some(message) = &request.message {
            error = error.with_provider_message(message.as_str());
        }
        error.with_source(request)
    }
}

/// Converts a copy of the error of one request.
impl From<&RequestError> for Error {
    fn from(request: &RequestError) -> Self {
        request.clone().into()
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

/// Error of a result row that does not have the provider's format.
///
/// ```
/// # use lmbatch_core as lmbatch;
/// assert_eq!(lmbatch::RowError.to_string(), "the row could not be read");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the row could not be read")]
pub struct RowError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_a_call_converts_to_a_request_error_with_the_providers_message_first() {
        let error = Error::new(ErrorKind::ContextOverflow)
            .with_http_status(400)
            .with_code("too_long")
            .with_message("from lmbatch")
            .with_retry(Retry::Permanent);
        let request = error.to_request_error();
        let facts = (request.kind(), request.http_status(), request.code());
        assert_eq!(
            facts,
            (ErrorKind::ContextOverflow, Some(400), Some("too_long"))
        );
        assert_eq!(
            (request.message(), request.is_retryable()),
            (Some("from lmbatch"), false)
        );
        let theirs = error
            .with_provider_message("from the provider")
            .with_retry(Retry::Temporary);
        let request = theirs.to_request_error();
        assert_eq!(
            (request.message(), request.is_retryable()),
            (Some("from the provider"), true)
        );
        // The conversion back serves `?` in functions that return `lmbatch::Error`.
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
