//! Reasons why an input cannot be planned: all invalid requests are counted, the first few named.

use std::fmt;

use lmbatch_core::Error;

/// Maximum number of invalid requests that an error shows.
pub const MAX_SHOWN_REQUESTS: usize = 20;

/// Reason why an input cannot be planned. Nothing was sent.
#[derive(Debug)]
pub enum PlanError {
    /// Some requests are invalid.
    Input(BadInput),
    /// The input cannot be read, or has too many requests.
    Failed(Error),
}

impl From<Error> for PlanError {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<PlanError> for Error {
    fn from(error: PlanError) -> Self {
        match error {
            PlanError::Failed(error) => error,
            PlanError::Input(bad) => Self::invalid_input(bad.sentence()).with_source(bad),
        }
    }
}

/// Invalid requests of an input: all counted, the first few named. It is the
/// [source](std::error::Error::source) of the [`InvalidInput`](lmbatch_core::ErrorKind::InvalidInput) error of a call, so
/// that a web service can answer with the ids that its caller has to fix.
///
/// ```no_run
/// # use lmbatch_engine as lmbatch;
/// # async fn example(invoker: lmbatch::LMInvoker, requests: Vec<(String, String)>) -> lmbatch_core::Result<()> {
/// use std::error::Error as _;
/// use lmbatch::BadInput;
///
/// if let Err(error) = invoker.batch().create(requests).prepare().await {
///     let bad = error.source().and_then(|source| source.downcast_ref::<BadInput>());
///     for request in bad.map(|bad| bad.first.as_slice()).unwrap_or_default() {
///         println!("422 {:?}: {}", request.id, request.reason);
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct BadInput {
    /// Number of all invalid requests.
    pub count: u64,
    /// The first [`MAX_SHOWN_REQUESTS`] invalid requests, by position.
    pub first: Vec<BadRequest>,
}

impl BadInput {
    /// Counts an invalid request and keeps the first ones by position; all but duplicates arrive in
    /// that order.
    pub(crate) fn note(&mut self, bad: BadRequest) {
        self.count += 1;
        self.first.push(bad);
        if self.first.len() > 2 * MAX_SHOWN_REQUESTS {
            self.trim();
        }
    }

    /// Returns one sentence that names the first invalid requests.
    fn sentence(&self) -> String {
        let mut sentence = self.to_string();
        for bad in &self.first {
            sentence.push_str("; ");
            sentence.push_str(&bad.to_string());
        }
        sentence
    }

    pub(crate) fn trim(&mut self) {
        self.first.sort_by_key(|bad| bad.position);
        self.first.truncate(MAX_SHOWN_REQUESTS);
    }
}

/// One invalid request of an input, as [`BadInput`] names it.
///
/// ```
/// # use lmbatch_engine as lmbatch;
/// use lmbatch::BadRequest;
///
/// fn line(bad: &BadRequest) -> String {
///     format!("{}: {}", bad.id.as_deref().unwrap_or("(no id)"), bad.reason)
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BadRequest {
    /// Position in the source, from 1.
    pub position: u64,
    /// Caller's id; `None` where it could not be read and where another request has it. `position` names the request in
    /// any case.
    pub id: Option<String>,
    /// Reason why the request is invalid, without content of the request.
    pub reason: String,
}

impl fmt::Display for BadRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.id {
            Some(id) => write!(f, "{id:?} (number {}): {}", self.position, self.reason),
            None => write!(f, "number {}: {}", self.position, self.reason),
        }
    }
}

/// The requests are not named again, since the message of the error of the call names them.
impl fmt::Display for BadInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = match self.count {
            1 => "request is",
            _ => "requests are",
        };
        write!(f, "{} {plural} not valid", self.count)
    }
}

impl std::error::Error for BadInput {}
