//! Batches of self-tests among those that `doctor` finds: no run needs them.

use lmbatch::BatchSnapshot;
use lmbatch::engine::Orphans;

use super::label::is_of_selftest;
use crate::{format, hints, terminal};

/// Batches of self-tests at a provider.
#[derive(Debug, Default)]
pub(crate) struct SelftestBatches {
    /// Batches that have not ended: those of a self-test that is under way, or that was killed.
    running: Vec<BatchSnapshot>,
    /// Number of batches that have ended.
    ended: u64,
}

impl SelftestBatches {
    /// Takes the batches of self-tests out of the orphans.
    pub(crate) fn take(orphans: &mut Orphans) -> Self {
        let mut found = Self::default();
        let unknown = &mut orphans.unknown;
        unknown.retain(|one| !found.takes(&one.nonce, &one.snapshot));
        let recognised = &mut orphans.recognised.found;
        recognised.retain(|(nonce, snapshot)| !found.takes(nonce.as_str(), snapshot));
        found
    }

    /// Adds a batch if its nonce is that of a self-test.
    fn takes(&mut self, nonce: &str, snapshot: &BatchSnapshot) -> bool {
        let is_own = is_of_selftest(nonce);
        match (is_own, snapshot.status.is_terminal()) {
            (false, _) => {}
            (true, true) => self.ended += 1,
            (true, false) => self.running.push(snapshot.clone()),
        }
        is_own
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.running.is_empty() && self.ended == 0
    }

    /// Reports whether a batch costs money for nothing.
    pub(crate) fn needs_action(&self) -> bool {
        !self.running.is_empty()
    }

    /// Returns the batches that have not ended.
    pub(crate) fn running(&self) -> &[BatchSnapshot] {
        &self.running
    }

    /// Prints what to do about the batches.
    pub(crate) fn print_hints(&self, provider: &str) {
        if !self.running.is_empty() {
            terminal::message(
                "batches of a self-test, which no run needs; if it is not under way, cancel them:",
            );
            for batch in &self.running {
                let command = hints::command(["cancel", batch.id.as_str(), "-p", provider]);
                terminal::message(&format!("  {command}"));
            }
        }
        if self.ended > 0 {
            terminal::message(&format!(
                "{} of self-tests; no action needed",
                format::count(self.ended, "ended batch", "ended batches")
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use lmbatch::{BatchId, BatchStatus, Nonce};

    use super::*;

    fn snapshot(status: BatchStatus) -> BatchSnapshot {
        BatchSnapshot::new(BatchId::new("b"), status)
    }

    #[test]
    fn only_running_batches_of_self_tests_need_action() {
        for (nonce, status, is_taken, needs_action) in [
            ("abcdefghijkl", BatchStatus::InProgress, false, false),
            ("selftestab12", BatchStatus::Completed, true, false),
            ("selftestab12", BatchStatus::InProgress, true, true),
        ] {
            let mut found = SelftestBatches::default();
            assert_eq!(found.takes(nonce, &snapshot(status)), is_taken);
            assert_eq!(found.is_empty(), !is_taken);
            assert_eq!(found.needs_action(), needs_action);
        }
    }

    #[test]
    fn batches_that_are_recognised_by_their_rows_are_no_orphans() {
        let mut orphans = Orphans::default();
        for nonce in ["selftestcd34", "abcdefghijkl"] {
            let ended = snapshot(BatchStatus::Completed);
            let found = &mut orphans.recognised.found;
            found.push((Nonce::parse(nonce).unwrap(), ended));
        }
        let taken = SelftestBatches::take(&mut orphans);
        assert_eq!((taken.ended, orphans.recognised.found.len()), (1, 1));
    }
}
