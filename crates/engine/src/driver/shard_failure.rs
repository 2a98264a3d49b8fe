//! Failure of a shard, and its importance beside others.

use lmbatch_core::{Error, ErrorKind};

use crate::run::step::Step;

/// Failure of a shard for which this process does nothing more.
#[derive(Debug)]
pub(super) struct ShardFailure {
    pub(super) error: Error,
    rank: Rank,
}

/// Importance of a failure for the caller of the run, the lowest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// A later attempt helps.
    Temporary,
    /// A decision or another input is needed for one batch.
    OfOneBatch,
    /// Further creates would fail too.
    OfTheAccount,
}

impl ShardFailure {
    /// Returns the failure of a shard after a step.
    pub(super) fn new(step: Step, error: Error) -> Self {
        let rank = match (stops_creates(step, error.kind()), error.kind()) {
            (true, _) => Rank::OfTheAccount,
            (false, ErrorKind::Timeout) => Rank::Temporary,
            (false, _) => Rank::OfOneBatch,
        };
        Self { error, rank }
    }

    /// Returns whether further creates of the run would fail too.
    pub(super) fn stops_creates(&self) -> bool {
        self.rank == Rank::OfTheAccount
    }

    /// Returns whether the run ends with this failure in place of another one.
    pub(super) fn outranks(&self, other: &Self) -> bool {
        self.rank > other.rank
    }
}

/// Returns whether a failure after a step shows that further creates of the run would fail too. One doubtful create and
/// one batch whose results are late or gone concern no other batch.
fn stops_creates(step: Step, kind: ErrorKind) -> bool {
    match step.leads_to_a_create() {
        true => kind != ErrorKind::Doubt,
        false => matches!(
            kind,
            ErrorKind::ProviderAuth
                | ErrorKind::Billing
                | ErrorKind::OtherAccount
                | ErrorKind::ForeignOrigin
                | ErrorKind::Local
                | ErrorKind::Internal
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_failures_that_further_creates_would_meet_stop_them() {
        use ErrorKind::{
            BatchNotFound, Doubt, FileNotFound, Local, ProviderAuth, ProviderInternal,
            ProviderInvalidArgs, Quota, Timeout,
        };
        for (step, kind, stops) in [
            (Step::Post, ProviderAuth, true),
            (Step::Post, ProviderInvalidArgs, true),
            (Step::Post, Quota, true),
            (Step::Stage, Timeout, true),
            (Step::Stage, Local, true),
            (Step::Watermark, Doubt, false),
            (Step::Search, Doubt, false),
            (Step::Repeat, Doubt, false),
            (Step::Fence, Doubt, false),
            (Step::Search, ProviderAuth, true),
            (Step::Poll, ProviderAuth, true),
            (Step::Poll, Timeout, false),
            (Step::Poll, BatchNotFound, false),
            (Step::Fetch, Timeout, false),
            (Step::Fetch, FileNotFound, false),
            (Step::Fetch, ProviderInternal, false),
            (Step::Fetch, Local, true),
        ] {
            assert_eq!(stops_creates(step, kind), stops, "{step:?} {kind:?}");
        }
    }
}
