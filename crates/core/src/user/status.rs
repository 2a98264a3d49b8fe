//! Status of a batch at its provider.

use std::fmt;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::{BatchId, Label, RequestError, TokenUsage};

/// Status of a batch at its provider.
///
/// ```
/// # use lmbatch_core as lmbatch;
/// use lmbatch::BatchStatus;
/// // Terminal does not mean successful, and an expired batch may hold answers.
/// assert!(BatchStatus::Expired.is_terminal() && BatchStatus::Expired.may_have_outcomes());
/// assert!(BatchStatus::Failed.is_terminal() && !BatchStatus::Failed.may_have_outcomes());
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
#[non_exhaustive]
pub enum BatchStatus {
    /// The provider is checking the input.
    Validating,
    /// The batch is accepted and not started.
    Queued,
    /// The provider is answering requests.
    InProgress,
    /// All requests are answered, and the results are being written.
    Finalizing,
    /// Cancellation was requested; some requests may still be answered.
    Cancelling,
    /// The provider has tried every request.
    Completed,
    /// The provider refused the batch as a whole, and answered no request.
    Failed,
    /// The batch expired; some requests may have been answered.
    Expired,
    /// The batch was cancelled; some requests may have been answered.
    Cancelled,
    /// A status that lmbatch does not know: reported, and treated as not terminal.
    Unknown(String),
}

impl BatchStatus {
    /// Returns whether the status is final. A terminal batch is not necessarily successful.
    pub fn is_terminal(&self) -> bool {
        matches!(
            self,
            Self::Completed | Self::Failed | Self::Expired | Self::Cancelled
        )
    }

    /// Returns whether results may exist. Expired and cancelled batches can hold answers that were paid for.
    pub fn may_have_outcomes(&self) -> bool {
        matches!(self, Self::Completed | Self::Expired | Self::Cancelled)
    }

    /// Returns the status as one word in snake case, as JSON holds it; the provider's own word where it is
    /// unknown.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Validating => "validating",
            Self::Queued => "queued",
            Self::InProgress => "in_progress",
            Self::Finalizing => "finalizing",
            Self::Cancelling => "cancelling",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::Unknown(word) => word,
        }
    }
}

impl From<String> for BatchStatus {
    fn from(word: String) -> Self {
        match word.as_str() {
            "validating" => Self::Validating,
            "queued" => Self::Queued,
            "in_progress" => Self::InProgress,
            "finalizing" => Self::Finalizing,
            "cancelling" => Self::Cancelling,
            "completed" => Self::Completed,
            "failed" => Self::Failed,
            "expired" => Self::Expired,
            "cancelled" => Self::Cancelled,
            _ => Self::Unknown(word),
        }
    }
}

impl From<BatchStatus> for String {
    fn from(status: BatchStatus) -> Self {
        status.as_str().to_owned()
    }
}

impl fmt::Display for BatchStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Numbers of requests of a batch by status, as the provider reports them. The fields are exhaustive: adapters set
/// each of them, and a further status would have to reach every adapter.
///
/// ```
/// # use lmbatch_core as lmbatch;
/// let counts = lmbatch::RequestCounts { total: Some(10), succeeded: 3, errored: 1, ..Default::default() };
/// assert_eq!(counts.finished(), 4);
/// assert_eq!(
///     serde_json::to_string(&counts)?,
///     r#"{"total":10,"succeeded":3,"errored":1,"expired":0,"cancelled":0}"#
/// );
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct RequestCounts {
    /// Number of all requests; `None` while the provider does not report it.
    pub total: Option<u64>,
    /// Number of requests that were answered.
    pub succeeded: u64,
    /// Number of requests that failed.
    pub errored: u64,
    /// Number of requests that expired before an answer.
    pub expired: u64,
    /// Number of requests that were cancelled before an answer.
    pub cancelled: u64,
}

impl RequestCounts {
    /// Returns the number of requests whose status is final.
    pub fn finished(&self) -> u64 {
        let others = [self.errored, self.expired, self.cancelled];
        others.into_iter().fold(self.succeeded, u64::saturating_add)
    }
}

/// Reason that a provider gives for refusing a batch as a whole.
///
/// ```
/// # use lmbatch_core as lmbatch;
/// use lmbatch::{BatchProblem, ErrorKind, RequestError};
/// let error = RequestError::new(ErrorKind::InvalidInput).with_message("unknown member \"promt\"");
/// let problem = BatchProblem { error, line: Some(7) };
/// assert_eq!(problem.error.kind(), ErrorKind::InvalidInput);
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BatchProblem {
    /// Error that each request of the batch receives.
    pub error: RequestError,
    /// Line of the input that the reason concerns, from 1, where the provider reports it.
    pub line: Option<u64>,
}

/// State of a batch, as the provider reports it at one time.
///
/// ```
/// # use lmbatch_core as lmbatch;
/// use lmbatch::{BatchId, BatchSnapshot, BatchStatus};
/// let snapshot = BatchSnapshot::new(BatchId::new("b"), BatchStatus::InProgress);
/// assert!(!snapshot.status.is_terminal());
/// ```
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BatchSnapshot {
    /// The provider's id of the batch.
    pub id: BatchId,
    /// Status of the batch.
    pub status: BatchStatus,
    /// Numbers of requests by status.
    #[serde(default)]
    pub counts: RequestCounts,
    /// Model that answers the batch, where the provider reports it.
    pub model: Option<String>,
    /// lmbatch's label on the batch, where the provider keeps labels.
    pub label: Option<Label>,
    /// Time at which the batch was created.
    #[serde(default, with = "crate::adapter::time::optional")]
    pub created_at: Option<SystemTime>,
    /// Time at which the batch will expire, or did.
    #[serde(default, with = "crate::adapter::time::optional")]
    pub expires_at: Option<SystemTime>,
    /// Time at which the batch ended.
    #[serde(default, with = "crate::adapter::time::optional")]
    pub ended_at: Option<SystemTime>,
    /// Id of the input file of the batch, where there is one and the provider reports it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_file: Option<Box<str>>,
    /// Tokens used by the whole batch, where the provider reports them.
    pub usage: Option<TokenUsage>,
    /// Reasons why the provider refused the batch as a whole.
    #[serde(default)]
    pub problems: Vec<BatchProblem>,
    /// Wait before the next poll that the server requested.
    pub poll_after: Option<Duration>,
}

impl BatchSnapshot {
    /// Creates a snapshot that holds only the id and the status.
    pub fn new(id: BatchId, status: BatchStatus) -> Self {
        Self {
            id,
            status,
            counts: RequestCounts::default(),
            model: None,
            label: None,
            created_at: None,
            expires_at: None,
            ended_at: None,
            input_file: None,
            usage: None,
            problems: Vec::new(),
            poll_after: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_round_trips_as_json_with_times_as_text() {
        let mut snapshot = BatchSnapshot::new(BatchId::new("b"), BatchStatus::InProgress);
        snapshot.created_at = crate::parse_time("2026-11-01T09:00:00Z");
        let json = serde_json::to_value(&snapshot).unwrap();
        assert_eq!(json["created_at"], "2026-11-01T09:00:00Z");
        assert_eq!(json["ended_at"], serde_json::Value::Null);
        assert_eq!(
            serde_json::from_value::<BatchSnapshot>(json).unwrap(),
            snapshot
        );
    }

    #[test]
    fn counts_of_any_size_can_be_summed() {
        let counts = RequestCounts {
            total: Some(1),
            succeeded: u64::MAX,
            errored: u64::MAX,
            expired: 1,
            cancelled: 1,
        };
        assert_eq!(counts.finished(), u64::MAX);
    }

    #[test]
    fn every_status_tells_whether_it_is_terminal_and_may_have_outcomes() {
        for (word, terminal, outcomes) in [
            ("validating", false, false),
            ("queued", false, false),
            ("in_progress", false, false),
            ("finalizing", false, false),
            ("cancelling", false, false),
            ("completed", true, true),
            ("failed", true, false),
            ("expired", true, true),
            ("cancelled", true, true),
            ("not_a_known_status", false, false),
        ] {
            let status = BatchStatus::from(word.to_owned());
            assert_eq!(
                (
                    status.as_str(),
                    status.is_terminal(),
                    status.may_have_outcomes()
                ),
                (word, terminal, outcomes)
            );
        }
    }
}
