//! Errors of calls. Errors of single requests are [`RequestError`](crate::RequestError)s.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{BatchHandle, BatchId, HandleSource, Label, ProviderId, UnknownWord};

/// Result of a fallible call, with [`Error`] as the default error.
///
/// ```
/// # use lmbatch_core as lmbatch;
/// fn read() -> lmbatch::Result<u8> {
///     Err(lmbatch::Error::invalid_input("nothing to read"))
/// }
/// assert!(read().is_err());
/// ```
pub type Result<T, E = Error> = std::result::Result<T, E>;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $word:literal: $text:literal => $hint:literal),+ $(,)?) => {
        /// Kind of an error, by which a caller decides what to do.
        ///
        /// ```
        /// # use lmbatch_core as lmbatch;
        /// use lmbatch::ErrorKind;
        /// assert_eq!(ErrorKind::ProviderRateLimit.as_str(), "provider_rate_limit");
        /// assert!(ErrorKind::ALL.contains(&ErrorKind::Billing));
        /// ```
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        #[non_exhaustive]
        pub enum ErrorKind {
            $(
                $(#[$doc])*
                ///
                /// # Troubleshooting
                #[doc = $hint]
                $name
            ),+
        }

        impl ErrorKind {
            /// All kinds, in the order in which they are documented.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// Returns the kind as one word in snake case, as JSON and output lines hold it.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word),+ }
            }

            /// Returns what to do about an error of this kind, in one or two sentences.
            ///
            /// ```
            /// use lmbatch_core::ErrorKind;
            /// assert_eq!(ErrorKind::ProviderOverloaded.hint(), "Try again later.");
            /// ```
            pub fn hint(self) -> &'static str {
                match self { $(Self::$name => $hint),+ }
            }

            pub(crate) fn sentence(self) -> &'static str {
                match self { $(Self::$name => $text),+ }
            }
        }
    };
}

kinds! {
    /// The request, the batch or the run was cancelled, by the caller or by the provider.
    Cancelled = "cancelled": "cancelled"
        => "Send the requests again if their answers are still wanted.",
    /// The provider's time for the batch was over before it answered the request.
    Expired = "expired": "expired before the provider answered it"
        => "Send the request again, in a smaller batch or at a less busy time. It was not billed.",
    /// The provider's results do not name the request.
    Missing = "missing": "the provider gave no result for it"
        => "Send the request again. If it is missing again, report the batch id to the provider.",
    /// The model does not exist, or the key may not use it.
    ModelNotFound = "model_not_found": "the model was not found"
        => "Check the model's name, and that the account has access to it and its batch API.",
    /// The key is missing or wrong, or lacks a permission.
    ProviderAuth = "provider_auth": "the provider did not accept the key"
        => "Check the API key, its permissions, and that it belongs to this provider and base URL.",
    /// The provider failed.
    ProviderInternal = "provider_internal": "the provider failed"
        => "Try again later. If it persists, report the request id to the provider.",
    /// The provider refused the arguments of the request.
    ProviderInvalidArgs = "provider_invalid_args": "the provider refused the arguments"
        => "Fix the request: the code and the provider's message say which argument is wrong.",
    /// The provider is overloaded.
    ProviderOverloaded = "provider_overloaded": "the provider is overloaded"
        => "Try again later.",
    /// The provider's limit of calls or tokens in a time was reached.
    ProviderRateLimit = "provider_rate_limit": "the provider's rate limit was reached"
        => "Wait for the time in retry_after, run fewer calls at once, or ask the provider for a higher limit.",
    /// No answer came in time, or the batch has not ended yet.
    Timeout = "timeout": "timed out"
        => "Batches continue at the provider: retrieve the outcomes later by the error's handles, or allow more time.",
    /// The input cannot be sent as it is.
    InvalidInput = "invalid_input": "the input is not valid"
        => "Fix the input that the message names. Sending the same input again fails again.",
    /// The account cannot pay.
    Billing = "billing": "the account cannot be billed"
        => "Check the account's billing. Batches that exist continue.",
    /// The cost limit of the run leaves no room for a batch. The batch was not created.
    CostLimit = "cost_limit": "the cost limit was reached"
        => "Resume the run with a higher cost limit. Existing outcomes are kept, and nothing is sent twice.",
    /// A quota of the account is used up, which other work may free when it ends.
    Quota = "quota": "a quota of the account is used up"
        => "Wait until other batches of the account have ended, or ask the provider for a higher quota.",
    /// The request has more tokens than the model takes.
    ContextOverflow = "context_overflow": "the request is longer than the model takes"
        => "Shorten the request, or choose a model with a larger context window.",
    /// A batch was created with this idempotency token before. The error names the batch, where the provider does.
    AlreadyExists = "already_exists": "the batch exists already"
        => "Use the batch that exists instead of creating another one.",
    /// The provider knows no such batch.
    BatchNotFound = "batch_not_found": "the batch was not found"
        => "Check the batch id, and that the key belongs to the account that created the batch. Providers delete old \
            batches.",
    /// An input or a result file is no longer at the provider.
    FileNotFound = "file_not_found": "a file was not found at the provider"
        => "Providers delete files after some weeks. Send the requests again if their answers are still wanted.",
    /// The provider, or this version of lmbatch, does not support it.
    Unsupported = "unsupported": "not supported"
        => "Leave out what the message names, or use a provider or an endpoint that supports it.",
    /// The connection failed.
    Connection = "connection": "the connection failed"
        => "Check the network, the base URL, the proxy and the certificates.",
    /// The reply could not be read: it is not what the provider documents, such as a proxy's HTML page.
    MalformedResponse = "malformed_reply": "the reply could not be read"
        => "Check the base URL and any proxy in between, then try again.",
    /// A row of the results belongs to the request, and its answer cannot be read. It was paid for, and is
    /// not sent again.
    MalformedAnswer = "malformed_answer": "the answer could not be read"
        => "The bytes are kept in the record: ask for raw rows to see them.",
    /// The reply would have led to another origin with the key or the requests.
    ForeignOrigin = "foreign_origin": "the provider pointed to an origin that is not allowed"
        => "Check the base URL and any proxy. Allow the origin only if the provider documents it.",
    /// The provider took the request and answered that it failed.
    GenerationFailed = "generation_failed": "the model failed to answer"
        => "Check the request and the error's problem. Send it again where the error is retryable.",
    /// The answer does not fit the schema.
    InvalidStructured = "invalid_structured": "the reply does not fit the schema"
        => "Send the request again, allow more output tokens, or simplify the schema.",
    /// A create's result is unknown: the batch may exist and be billed.
    Doubt = "doubt": "creation status unknown"
        => "Search the provider's list for the error's label before the requests are sent again. A named run searches \
            by itself when it is resumed.",
    /// Another process or task holds or has changed the run.
    Conflict = "conflict": "the run is held, or was changed, by another process"
        => "The message names the process. Wait for it, or end it: the claim ends with the process.",
    /// A run or handle belongs to another account than the one in use.
    OtherAccount = "other_account": "it belongs to another account"
        => "Use a key of the account, and the base URL and organisation, with which it was made.",
    /// A file or folder on this machine could not be used.
    Local = "local": "a local file could not be used"
        => "Check the path that the message names, its permissions, the free space and the limit of open files.",
    /// A bug in lmbatch.
    Internal = "internal": "lmbatch failed"
        => "Report it, with the message and its cause.",
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for ErrorKind {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        let found = Self::ALL.iter().copied().find(|kind| kind.as_str() == word);
        found.ok_or_else(|| UnknownWord::new(word, Self::ALL.iter().map(|kind| kind.as_str())))
    }
}

/// Advice on repeating a failed call.
///
/// ```
/// # use lmbatch_core as lmbatch;
/// use lmbatch::{Error, ErrorKind, Retry};
/// let busy = Error::new(ErrorKind::ProviderOverloaded).with_retry(Retry::Temporary);
/// assert!(busy.to_string().ends_with("try again later"));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    /// The call fails again if it is repeated unchanged.
    Permanent,
    /// The call may succeed later.
    Temporary,
    /// The call was repeated up to the limit of attempts or time. Do not start another round of retries.
    Exhausted,
}

/// Delivery state of a failed call. Decides whether a create may be repeated.
///
/// ```
/// # use lmbatch_core as lmbatch;
/// use lmbatch::{Delivery, Error};
/// // Input that is refused locally never reached the provider, so a create may be repeated.
/// assert_eq!(Error::invalid_input("no requests").delivery(), Delivery::NotSent);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// The provider cannot have acted: the request was not sent, or not in full.
    NotSent,
    /// The provider answered that it refuses.
    Refused,
    /// The provider may have accepted the request: its answer is unknown.
    Unknown,
}

/// Error of a failed call. One pointer wide. Display prints one line, without prompts, bodies or keys.
///
/// ```
/// # use lmbatch_core as lmbatch;
/// use lmbatch::{Error, ErrorKind};
/// let error = Error::new(ErrorKind::Timeout).with_operation("wait for the batch").with_batch("b1".into());
/// assert_eq!(error.to_string(), "failed to wait for the batch: timed out (batch b1)");
/// assert_eq!(error.batch().map(|batch| batch.as_str()), Some("b1"));
/// ```
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
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
    label: Option<Label>,
    message: Option<Box<str>>,
    provider_message: Option<Box<str>>,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
    handles: Option<Arc<dyn HandleSource>>,
    read: OnceLock<Vec<BatchHandle>>,
}

impl Error {
    /// Creates an error that is permanent and was not sent to a provider.
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
            label: None,
            message: None,
            provider_message: None,
            source: None,
            handles: None,
            read: OnceLock::new(),
        }))
    }

    /// Creates an [`ErrorKind::Unsupported`] error that names the missing feature.
    pub fn unsupported(what: &str) -> Self {
        Self::new(ErrorKind::Unsupported).with_message(what)
    }

    /// Creates an [`ErrorKind::InvalidInput`] error with a message that names the fault.
    pub fn invalid_input(message: impl Into<Box<str>>) -> Self {
        Self::new(ErrorKind::InvalidInput).with_message(message)
    }

    /// Creates an [`ErrorKind::Local`] error from an I/O error and a message that says what failed, such as
    /// "ledger.sqlite cannot be read". The error is [`Retry::Temporary`] where the process or the machine has reached its
    /// limit of open files, and otherwise permanent.
    pub fn local(message: impl Into<Box<str>>, source: std::io::Error) -> Self {
        let retry = if has_too_many_open_files(&source) {
            Retry::Temporary
        } else {
            Retry::Permanent
        };
        Self::new(ErrorKind::Local)
            .with_message(message)
            .with_retry(retry)
            .with_source(source)
    }

    /// Creates an [`ErrorKind::MalformedResponse`] error that names the unreadable part. Its delivery is
    /// [`Delivery::Unknown`].
    pub fn malformed(message: impl Into<Box<str>>) -> Self {
        Self::new(ErrorKind::MalformedResponse)
            .with_message(message)
            .with_delivery(Delivery::Unknown)
    }

    /// Sets the advice on repeating the call.
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.0.retry = retry;
        self
    }
    /// Sets the delivery state of the call.
    pub fn with_delivery(mut self, delivery: Delivery) -> Self {
        self.0.delivery = delivery;
        self
    }
    /// Replaces the kind and keeps everything else.
    pub fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.0.kind = kind;
        self
    }
    /// Sets the provider that answered, or that was called.
    pub fn with_provider(mut self, provider: ProviderId) -> Self {
        self.0.provider = Some(provider);
        self
    }
    /// Sets the operation that failed: a lowercase fragment that can follow "failed to".
    pub fn with_operation(mut self, operation: &'static str) -> Self {
        self.0.operation = Some(operation);
        self
    }
    /// Sets the HTTP status of the reply.
    pub fn with_http_status(mut self, status: u16) -> Self {
        self.0.http_status = Some(status);
        self
    }
    /// Sets the provider's structured error code.
    pub fn with_code(mut self, code: impl Into<Box<str>>) -> Self {
        self.0.code = Some(code.into());
        self
    }
    /// Sets the provider's id of the HTTP exchange, which its support asks for.
    pub fn with_request_id(mut self, id: impl Into<Box<str>>) -> Self {
        self.0.request_id = Some(id.into());
        self
    }
    /// Sets the server's requested wait (`Retry-After`).
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        self.0.retry_after = Some(wait);
        self
    }
    /// Sets the batch that the call was about.
    pub fn with_batch(mut self, batch: BatchId) -> Self {
        self.0.batch = Some(batch);
        self
    }
    /// Copies provider, HTTP status, code and request id from `other` where they are not set.
    pub fn with_facts_of(mut self, other: &Self) -> Self {
        let (mine, theirs) = (&mut *self.0, &*other.0);
        mine.provider = mine.provider.take().or_else(|| theirs.provider.clone());
        mine.http_status = mine.http_status.or(theirs.http_status);
        mine.code = mine.code.take().or_else(|| theirs.code.clone());
        mine.request_id = mine.request_id.take().or_else(|| theirs.request_id.clone());
        self
    }
    /// Sets the label that the batch has, or would have, at the provider.
    pub fn with_label(mut self, label: Label) -> Self {
        self.0.label = Some(label);
        self
    }
    /// Attaches the batches that the failed call had created so far. Replaces those attached before.
    pub fn with_handles(mut self, handles: Arc<dyn HandleSource>) -> Self {
        (self.0.handles, self.0.read) = (Some(handles), OnceLock::new());
        self
    }
    /// Sets lmbatch's own message, which Display prints. It must not contain text from a provider.
    pub fn with_message(mut self, message: impl Into<Box<str>>) -> Self {
        self.0.message = Some(message.into());
        self
    }
    /// Sets the provider's message. It is kept but not printed, because it may quote a prompt.
    pub fn with_provider_message(mut self, message: impl Into<Box<str>>) -> Self {
        self.0.provider_message = Some(message.into());
        self
    }
    /// Sets the error that caused this one.
    pub fn with_source(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.0.source = Some(Arc::from(source.into()));
        self
    }

    /// Returns the kind of the error.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }
    /// Returns the advice on repeating the call.
    pub fn retry(&self) -> Retry {
        self.0.retry
    }
    /// Returns the delivery state of the call.
    pub fn delivery(&self) -> Delivery {
        self.0.delivery
    }
    /// Returns the provider that answered, or that was called.
    pub fn provider(&self) -> Option<&ProviderId> {
        self.0.provider.as_ref()
    }
    /// Returns the operation that failed, as a fragment that can follow "failed to".
    pub fn operation(&self) -> Option<&'static str> {
        self.0.operation
    }
    /// Returns the HTTP status, if there was a reply.
    pub fn http_status(&self) -> Option<u16> {
        self.0.http_status
    }
    /// Returns the provider's structured error code.
    pub fn code(&self) -> Option<&str> {
        self.0.code.as_deref()
    }
    /// Returns the provider's id of the HTTP exchange, which its support asks for.
    pub fn request_id(&self) -> Option<&str> {
        self.0.request_id.as_deref()
    }
    /// Returns the server's requested wait (`Retry-After`).
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }
    /// Returns the batch that the call was about. Always present for an error that follows a create that was
    /// accepted.
    pub fn batch(&self) -> Option<&BatchId> {
        self.0.batch.as_ref()
    }
    /// Returns the label that the batch has, or would have, at the provider. While it is unknown whether a
    /// create was accepted, the batch is searched for by this label at providers that keep labels.
    pub fn label(&self) -> Option<&Label> {
        self.0.label.as_ref()
    }
    /// Returns the handle of the batch that the failed call had created: the one named by
    /// [`batch`](Self::batch), or else the first. `None` where no batch was created, or where
    /// [`handles`](Self::handles) fails.
    ///
    /// The batch continues at the provider, and its outcomes can be retrieved later under the caller's
    /// request ids.
    pub fn handle(&self) -> Option<&BatchHandle> {
        let handles = self.handles().ok()?;
        let named = handles.iter().find(|one| Some(&one.batch) == self.batch());
        named.or(handles.first())
    }
    /// Returns the handles of all batches that the failed call had created so far, in the order of their
    /// creation; empty where there are none. The handles are read from files of the run at the first call,
    /// and kept.
    ///
    /// # Errors
    /// [`ErrorKind::Local`] where the files of the run cannot be read.
    pub fn handles(&self) -> Result<&[BatchHandle]> {
        let Some(source) = &self.0.handles else {
            return Ok(&[]);
        };
        if self.0.read.get().is_none() {
            // Another thread may have stored its own reading first; both hold the same handles.
            let _ = self.0.read.set(source.handles()?);
        }
        Ok(self.0.read.get().map_or(&[], Vec::as_slice))
    }
    /// Returns lmbatch's own message.
    pub fn message(&self) -> Option<&str> {
        self.0.message.as_deref()
    }
    /// Returns the provider's message. It may quote a prompt: do not log it.
    pub fn provider_message(&self) -> Option<&str> {
        self.0.provider_message.as_deref()
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
            .field("label", &e.label)
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

/// Returns whether the process (`EMFILE`) or the machine (`ENFILE`) has reached its limit of open files.
fn has_too_many_open_files(error: &std::io::Error) -> bool {
    cfg!(unix) && matches!(error.raw_os_error(), Some(23 | 24))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_prints_one_line_with_its_facts_and_no_provider_message() {
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
    fn every_kind_serializes_as_its_word() {
        for kind in ErrorKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
            assert_eq!(kind.to_string().parse(), Ok(*kind));
        }
        assert_eq!("tea".parse::<ErrorKind>().unwrap_err().word(), "tea");
    }

    #[test]
    fn every_kind_has_a_hint_that_names_no_flag() {
        for kind in ErrorKind::ALL {
            let hint = kind.hint();
            assert!(
                hint.ends_with('.') && !hint.contains("--"),
                "{kind}: {hint}"
            );
            assert!(!hint.contains("  "), "{kind}: {hint}");
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

    #[cfg(unix)]
    #[test]
    fn only_a_lack_of_file_descriptors_makes_a_local_error_temporary() {
        for (code, retry) in [
            (24, Retry::Temporary),
            (23, Retry::Temporary),
            // ENOSPC, EACCES, ENOENT
            (28, Retry::Permanent),
            (13, Retry::Permanent),
            (2, Retry::Permanent),
        ] {
            let error = Error::local("reading", std::io::Error::from_raw_os_error(code));
            assert_eq!(error.retry(), retry, "{code}");
        }
    }

    #[test]
    fn a_cloned_error_keeps_its_facts_source_and_handles() {
        #[derive(Debug)]
        struct Unreadable;
        impl HandleSource for Unreadable {
            fn handles(&self) -> Result<Vec<BatchHandle>> {
                Err(Error::invalid_input("not readable"))
            }
        }
        let error = Error::new(ErrorKind::Doubt)
            .with_label(Label::new("lmbatch-x-0"))
            .with_source(Error::invalid_input("why"))
            .with_handles(Arc::new(Unreadable));
        let copy = error.clone();
        assert_eq!(copy.to_string(), error.to_string());
        assert_eq!(copy.label(), Some(&Label::new("lmbatch-x-0")));
        assert!(std::error::Error::source(&copy).is_some_and(|source| source.is::<Error>()));
        let unread = copy.handles().unwrap_err();
        assert_eq!(unread.message(), Some("not readable"));
        assert_eq!(copy.handle(), None);
        assert!(Error::new(ErrorKind::Doubt).handles().unwrap().is_empty());
    }
}
