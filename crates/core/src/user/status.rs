//! What a provider says of a batch.

use std::fmt;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::{BatchId, Label, RequestError, TokenUsage};

/// Where a batch stands.
///
/// ```
/// use lmbatch_core::BatchStatus;
/// // Terminal is not the same as success, and an expired batch may hold answers.
/// assert!(BatchStatus::Expired.is_terminal() && BatchStatus::Expired.may_have_outcomes());
/// assert!(BatchStatus::Failed.is_terminal() && !BatchStatus::Failed.may_have_outcomes());
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
#[non_exhaustive]
pub enum BatchStatus {
    /// The provider checks the input.
    Validating,
    /// Accepted, not begun.
    Queued,
    /// Being answered.
    InProgress,
    /// Answered; the results are being written.
    Finalizing,
    /// Being cancelled; some requests may still be answered.
    Cancelling,
    /// Every request was tried.
    Completed,
    /// The provider refused the batch as a whole; nothing was answered.
    Failed,
    /// Time ran out; some requests may have been answered.
    Expired,
    /// Cancelled; some requests may have been answered.
    Cancelled,
    /// A word we do not know: treated as unfinished, and reported.
    Unknown(String),
}

impl BatchStatus {
    /// Whether it will not change. Not the same as success.
    pub fn is_terminal(&self) -> bool {
        matches!(
            self,
            Self::Completed | Self::Failed | Self::Expired | Self::Cancelled
        )
    }

    /// Whether results may exist. Expired and cancelled batches hold answers that were paid for.
    pub fn may_have_outcomes(&self) -> bool {
        matches!(self, Self::Completed | Self::Expired | Self::Cancelled)
    }

    /// The status as one word.
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

/// Requests of a batch by what became of them, as the provider counts.
///
/// ```
/// let counts = lmbatch_core::RequestCounts { total: Some(10), succeeded: 3, errored: 1, ..Default::default() };
/// assert_eq!(counts.finished(), 4);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct RequestCounts {
    /// All requests; `None` where the provider does not say yet.
    pub total: Option<u64>,
    /// Answered.
    pub succeeded: u64,
    /// Tried, and failed.
    pub errored: u64,
    /// Not tried in time.
    pub expired: u64,
    /// Cancelled first.
    pub cancelled: u64,
}

impl RequestCounts {
    /// Requests that will not change any more.
    pub fn finished(&self) -> u64 {
        let others = [self.errored, self.expired, self.cancelled];
        others.into_iter().fold(self.succeeded, u64::saturating_add)
    }
}

/// A reason that a provider gives for refusing a batch as a whole.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BatchProblem {
    /// The error, as each request of the batch gets it.
    pub error: RequestError,
    /// The line of the input it is about, from 1, where the provider says.
    pub line: Option<u64>,
}

/// One answer to `status`.
///
/// ```
/// use lmbatch_core::{BatchId, BatchSnapshot, BatchStatus};
/// let snapshot = BatchSnapshot::new(BatchId::new("b"), BatchStatus::InProgress);
/// assert!(!snapshot.status.is_terminal());
/// ```
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct BatchSnapshot {
    /// The batch.
    pub id: BatchId,
    /// Where it stands.
    pub status: BatchStatus,
    /// Its requests by what became of them.
    pub counts: RequestCounts,
    /// The model it is for, where the provider says.
    pub model: Option<String>,
    /// Our mark, where the provider keeps one.
    pub label: Option<Label>,
    /// When it was made.
    #[serde(default, with = "crate::adapter::time::optional")]
    pub created_at: Option<SystemTime>,
    /// When it will expire.
    #[serde(default, with = "crate::adapter::time::optional")]
    pub expires_at: Option<SystemTime>,
    /// When it ended.
    #[serde(default, with = "crate::adapter::time::optional")]
    pub ended_at: Option<SystemTime>,
    /// Id of the file that it was made from, where there is one and the provider says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_file: Option<Box<str>>,
    /// What it used in all, where the provider says.
    pub usage: Option<TokenUsage>,
    /// Why it was refused as a whole.
    pub problems: Vec<BatchProblem>,
    /// The server's wish for the next poll.
    pub poll_after: Option<Duration>,
}

impl BatchSnapshot {
    /// A snapshot that says nothing but the status.
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
    fn a_snapshot_survives_serde_with_times_as_text() {
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
    fn a_status_is_terminal_or_may_have_outcomes_by_its_own_rule() {
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
            ("paused_for_tea", false, false),
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
