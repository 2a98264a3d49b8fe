//! Failures of single shards: they end the run once the other shards have finished, and stop further creates only where
//! those would fail too.

use lmbatch_core::Error;

use super::Driver;
use super::shard_failure::ShardFailure;
use crate::run::step::Step;

impl Driver<'_> {
    /// Records the failure of a shard after a step. The other shards are finished first; the most
    /// important failure, of several the first, then ends the run.
    pub(super) fn record_failure(&mut self, at: usize, step: Step, error: Error) {
        self.stop(at);
        let failure = ShardFailure::new(step, error);
        let error = &failure.error;
        if failure.stops_creates() {
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
        let known = self.failure.as_ref();
        if known.is_none_or(|known| failure.outranks(known)) {
            self.failure = Some(failure);
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
        let context = self.scope.context;
        context.warn(context.subject(), message);
    }
}
