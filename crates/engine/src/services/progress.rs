//! States of runs and shards as callers see them, read from their records alone.

use std::fmt;

use lmbatch_core::{BatchStatus, Closed, RunRecord, ShardRecord, ShardState};

/// State of a run as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RunState {
    /// At least one request has no final outcome yet.
    Running,
    /// Cancellation was requested, and some outcomes are not fetched yet.
    Cancelling,
    /// Every request has its final outcome.
    Finished,
    /// Every request of a pilot has its final outcome, and the other requests of the input were not added to the run.
    PilotEnded,
    /// The run was cancelled, every request has its final outcome, and at least one was cancelled or was not sent. A run
    /// whose requests had all ended when it was cancelled is [finished](Self::Finished).
    Cancelled,
    /// The provider refused every batch of the run, or the caller abandoned all of them.
    Failed,
}

impl RunState {
    /// Returns the state of a run with its shards.
    pub fn of(run: &RunRecord, shards: &[ShardRecord]) -> Self {
        match (run.finished, run.cancelled) {
            (_, false) if has_failed(run, shards) => Self::Failed,
            (true, false) if run.pilot_of.is_some() => Self::PilotEnded,
            (true, false) => Self::Finished,
            (true, true) if run.pilot_of.is_none() && have_all_ended(shards) => Self::Finished,
            (true, true) => Self::Cancelled,
            (false, true) => Self::Cancelling,
            (false, false) => Self::Running,
        }
    }

    /// Returns the word for the state, such as `running`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Cancelling => "cancelling",
            Self::Finished => "finished",
            Self::PilotEnded => "pilot_ended",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for RunState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// State of one batch of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ShardPhase {
    /// Nothing was sent.
    Planned,
    /// The provider holds the input, and no batch was created.
    Uploaded,
    /// A create was sent, and its outcome is unknown.
    InDoubt,
    /// The provider refused the create, and a repeated create would be refused as well.
    Refused,
    /// The batch has not ended.
    Running,
    /// The batch has ended, and its results are not fetched yet.
    Ended,
    /// The results are stored.
    Fetched,
    /// The outcome of a create stayed unknown, and the caller abandoned it or cancelled the run.
    Abandoned,
    /// No batch was created, and none will be.
    Cancelled,
}

impl ShardPhase {
    /// Returns the phase of a shard.
    pub fn of(shard: &ShardRecord) -> Self {
        match &shard.state {
            ShardState::Staged(_) => Self::Uploaded,
            ShardState::Posting(_) | ShardState::Doubt(_) => Self::InDoubt,
            ShardState::Refused => Self::Refused,
            ShardState::Created { .. } => Self::Running,
            ShardState::Ended(_) => Self::Ended,
            ShardState::Sealed { .. } => Self::Fetched,
            ShardState::Closed(Closed::Abandoned { .. }) => Self::Abandoned,
            ShardState::Closed(_) => Self::Cancelled,
            _ => Self::Planned,
        }
    }

    /// Returns the word for the phase, such as `in_doubt`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Uploaded => "uploaded",
            Self::InDoubt => "in_doubt",
            Self::Refused => "refused",
            Self::Running => "running",
            Self::Ended => "ended",
            Self::Fetched => "fetched",
            Self::Abandoned => "abandoned",
            Self::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for ShardPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Returns whether the provider refused every batch of a run, its creates or as a whole, or the caller abandoned
/// all of them.
pub fn has_failed(run: &RunRecord, shards: &[ShardRecord]) -> bool {
    let has_failed = |shard: &ShardRecord| match &shard.state {
        ShardState::Sealed { snapshot, .. } => snapshot.status == BatchStatus::Failed,
        ShardState::Closed(closed) => matches!(closed, Closed::Abandoned { .. }),
        _ => false,
    };
    is_refused(shards) || run.finished && !shards.is_empty() && shards.iter().all(has_failed)
}

/// Returns whether the provider has ended every request of some shards, and cancelled none.
fn have_all_ended(shards: &[ShardRecord]) -> bool {
    let has_ended = |shard: &ShardRecord| match &shard.state {
        ShardState::Sealed { snapshot, .. } => {
            let counts = &snapshot.counts;
            counts.cancelled == 0 && counts.finished() >= u64::from(shard.count)
        }
        _ => false,
    };
    !shards.is_empty() && shards.iter().all(has_ended)
}

/// Returns whether the provider refused a create of a run, and no batch of the run exists or may exist: nothing of
/// the run can be answered or paid for.
pub fn is_refused(shards: &[ShardRecord]) -> bool {
    let is_free = |shard: &ShardRecord| {
        let is_uncreated = matches!(
            shard.state,
            ShardState::Refused | ShardState::Planned | ShardState::Staged(_)
        );
        // An earlier create whose outcome stayed unknown may have made a batch.
        is_uncreated && !shard.sent_twice
    };
    let refused = |shard: &ShardRecord| matches!(shard.state, ShardState::Refused);
    shards.iter().any(refused) && shards.iter().all(is_free)
}

/// Number of answers of a run, according to the provider's counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AnswerCount {
    /// Number of requests that the provider counts as succeeded in ended batches.
    pub answered: u64,
    /// True if batches may hold more answers: one has not ended, or the outcome of its create is unknown.
    pub may_be_more: bool,
}

impl AnswerCount {
    /// Adds up the counts of a run's shards.
    pub fn of(shards: &[ShardRecord]) -> Self {
        let mut count = Self::default();
        for shard in shards {
            match &shard.state {
                ShardState::Ended(snapshot) | ShardState::Sealed { snapshot, .. } => {
                    count.answered += snapshot.counts.succeeded;
                }
                ShardState::Created { .. } | ShardState::Posting(_) | ShardState::Doubt(_) => {
                    count.may_be_more = true;
                }
                _ => {}
            }
        }
        count
    }
}
