//! Counts of the batches of a run that is advanced, by distinct requests: a request that is sent again counts once.

use std::collections::BTreeMap;

use lmbatch::{BatchId, BatchSnapshot};

use crate::format::number;

/// State of a batch at its last poll.
#[derive(Debug, Clone, Copy, Default)]
struct Counted {
    has_ended: bool,
    done: u64,
    failed: u64,
    total: u64,
}

/// Numbers of requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) done: u64,
    pub(crate) failed: u64,
    /// Zero if no batch with a known number of requests was polled.
    pub(crate) total: u64,
}

/// Batches of the attempt that is under way, and the requests of earlier attempts that are not in them.
#[derive(Debug, Default)]
pub(crate) struct BatchCounts {
    batches: BTreeMap<BatchId, Counted>,
    earlier: Sums,
    /// Attempt that is under way, from its beginning on; `None` for that with which the command began.
    attempt: Option<u32>,
}

impl BatchCounts {
    /// Adds a batch that was created and not polled.
    pub(crate) fn created(&mut self, batch: &BatchId) {
        self.batches.entry(batch.clone()).or_default();
    }

    /// Takes the status of a batch that was polled.
    pub(crate) fn polled(&mut self, snapshot: &BatchSnapshot) {
        let counts = snapshot.counts;
        let counted = Counted {
            has_ended: snapshot.status.is_terminal(),
            done: counts.finished(),
            failed: counts.finished() - counts.succeeded,
            total: counts.total.unwrap_or_default().max(counts.finished()),
        };
        self.batches.insert(snapshot.id.clone(), counted);
    }

    /// Begins an attempt that sends requests again, which have failed.
    pub(crate) fn retry(&mut self, requests: u64, attempt: u32) {
        let sums = self.sums();
        self.begin(attempt, requests, sums.failed.saturating_sub(requests));
    }

    /// Begins an attempt that repairs answers, which have not failed.
    pub(crate) fn repair(&mut self, answers: u64, attempt: u32) {
        self.begin(attempt, answers, self.sums().failed);
    }

    fn begin(&mut self, attempt: u32, requests: u64, failed: u64) {
        let sums = self.sums();
        self.earlier = Sums {
            done: sums.done.saturating_sub(requests),
            failed,
            total: sums.total.saturating_sub(requests),
        };
        self.batches.clear();
        self.attempt = Some(attempt);
    }

    /// Returns the numbers of requests of all attempts.
    pub(crate) fn sums(&self) -> Sums {
        let sum = |of: fn(&Counted) -> u64| self.batches.values().map(of).sum::<u64>();
        Sums {
            done: self.earlier.done + sum(|batch| batch.done),
            failed: self.earlier.failed + sum(|batch| batch.failed),
            total: self.earlier.total + sum(|batch| batch.total),
        }
    }

    /// Returns the attempt, if the command has begun it.
    pub(crate) fn attempt(&self) -> Option<u32> {
        self.attempt
    }

    /// Returns the number of requests of a batch that were done at its last poll.
    pub(crate) fn done(&self, batch: &BatchId) -> u64 {
        self.batches.get(batch).map_or(0, |counted| counted.done)
    }

    /// Returns the number of batches of the attempt.
    pub(crate) fn len(&self) -> usize {
        self.batches.len()
    }

    /// Returns the number of batches of the attempt that have ended.
    pub(crate) fn ended(&self) -> usize {
        let all = self.batches.values();
        all.filter(|batch| batch.has_ended).count()
    }

    /// Returns the batch of the attempt, if there is only one.
    pub(crate) fn only(&self) -> Option<&BatchId> {
        let mut ids = self.batches.keys();
        ids.next().filter(|_| self.batches.len() == 1)
    }

    /// Returns the phase of a run in a pipe, and the line about it. Each of up to `few` batches, and each tenth of more,
    /// is a change worth a line.
    pub(crate) fn line(&self, snapshot: &BatchSnapshot, few: usize) -> (String, String) {
        let sums = self.sums();
        let failed = match sums.failed {
            0 => String::new(),
            failed => format!(", {} failed", number(failed)),
        };
        let attempt = match self.attempt {
            Some(attempt) => format!("attempt {attempt} · "),
            None => String::new(),
        };
        if self.len() < 2 {
            let counts = match snapshot.counts.total {
                Some(_) => format!(" · {} of {}{failed}", number(sums.done), number(sums.total)),
                None => String::new(),
            };
            // A batch whose requests are all done may still be writing its results.
            let status = snapshot.status.to_string();
            return (
                format!("{attempt}{status}"),
                format!("{attempt}{status}{counts}"),
            );
        }
        let (ended, all) = (self.ended(), self.len());
        let step = if all <= few { ended } else { ended * 10 / all };
        let text = format!(
            "{attempt}batches {}/{} · requests {}/{}{failed}",
            number(ended as u64),
            number(all as u64),
            number(sums.done),
            number(sums.total)
        );
        (format!("{attempt}batches {step} of {all}"), text)
    }
}

#[cfg(test)]
mod tests {
    use lmbatch::{BatchStatus, RequestCounts};

    use super::*;

    fn snapshot(id: &str, total: u64, succeeded: u64) -> BatchSnapshot {
        let mut snapshot = BatchSnapshot::new(BatchId::new(id), BatchStatus::Completed);
        snapshot.counts = RequestCounts {
            total: Some(total),
            succeeded,
            errored: total - succeeded,
            ..RequestCounts::default()
        };
        snapshot
    }

    #[test]
    fn a_request_that_is_sent_again_counts_once() {
        let mut counts = BatchCounts::default();
        let first = snapshot("a", 4, 1);
        counts.polled(&first);
        assert_eq!(counts.line(&first, 10).1, "completed · 4 of 4, 3 failed");
        counts.retry(2, 2);
        let sums = |done, failed, total| Sums {
            done,
            failed,
            total,
        };
        assert_eq!(counts.sums(), sums(2, 1, 2));
        let second = snapshot("b", 2, 1);
        counts.polled(&second);
        assert_eq!(
            counts.line(&second, 10).1,
            "attempt 2 · completed · 4 of 4, 2 failed"
        );
        // A repair continues an answer, which counts as done again once it has ended.
        counts.repair(1, 3);
        assert_eq!(counts.sums(), sums(3, 2, 3));
        counts.polled(&snapshot("c", 1, 1));
        assert_eq!(counts.sums(), sums(4, 2, 4));
        // A command that continues a later attempt knows its requests only.
        let mut late = BatchCounts::default();
        late.retry(2, 2);
        late.polled(&second);
        assert_eq!(late.sums(), sums(2, 1, 2));
    }
}
