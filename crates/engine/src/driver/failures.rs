//! Failures of single shards: they end the run once the other shards have finished, and stop further creates only where
//! those would fail too.

use lmbatch_core::{Error, ErrorKind};

use super::Driver;
use crate::event::Event;
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

impl Driver<'_> {
    /// Records the failure of a shard after a step. The other shards are finished first; the most
    /// important failure, of several the first, then ends the run.
    pub(super) fn record_failure(&mut self, at: usize, step: Step, error: Error) {
        self.stop(at);
        let stops_creates = stops_creates(step, error.kind());
        if stops_creates {
            if !self.creates_stopped && self.has_running_batch() {
                self.warn(&format!(
                    "{error}; no further batches are created, and the results of existing batches are fetched"
                ));
            }
            self.creates_stopped = true;
            // Nothing more is created, so that nothing waits for room.
            let now = self.now();
            for at in std::mem::take(&mut self.waiting) {
                self.schedule(at, now);
            }
        } else if self.failure.is_some() || self.has_open_shard() {
            self.warn(&format!(
                "{error}; the other batches of the run are finished first"
            ));
        }
        let rank = match (stops_creates, error.kind()) {
            (true, _) => Rank::OfTheAccount,
            (false, ErrorKind::Timeout) => Rank::Temporary,
            (false, _) => Rank::OfOneBatch,
        };
        let known = self.failure.as_ref().map(|failure| failure.rank);
        if known.is_none_or(|known| known < rank) {
            self.failure = Some(ShardFailure { error, rank });
        }
    }

    /// Returns whether a shard is open for which this process can do more.
    fn has_open_shard(&self) -> bool {
        let slots = self.slots.iter().zip(&self.stuck);
        slots.into_iter().any(|(slot, stuck)| match slot {
            Some(work) => !stuck && !work.record.state.is_final(),
            None => true,
        })
    }

    fn warn(&self, message: &str) {
        self.scope.context.tell(&Event::Warning { message });
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
            (Step::Look, Doubt, false),
            (Step::Repeat, Doubt, false),
            (Step::Fence, Doubt, false),
            (Step::Look, ProviderAuth, true),
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
