//! Requests of one batch that its results name, counted once each.

use lmbatch_core::{BatchSnapshot, BatchStatus, Verdict};

use crate::results::finished::CountMismatch;

/// Requests of the batch under way that a row has named.
///
/// Ids on the wire are unique in a run, not in a batch: a row of another batch of the same run is not one of
/// this batch, and counting it would seal a batch whose own rows did not come.
#[derive(Debug, Default)]
pub(crate) struct Delivered {
    named: Named,
    /// Of these, the requests that a row says were answered or failed, not merely expired or cancelled.
    decided: Named,
    /// Of these, the requests that a row says failed.
    errored: Named,
}

/// What [`Delivered`] had noted at a time.
pub(crate) type SoFar = [Named; 3];

/// Requests that were named: one bit for each, by its place in the batch.
#[derive(Debug, Clone, Default)]
pub(crate) struct Named {
    bits: Vec<u64>,
    count: u64,
}

impl Named {
    fn set(&mut self, place: u32) {
        let (at, bit) = (place as usize / 64, 1 << (place % 64));
        if self.bits.len() <= at {
            self.bits.resize(at + 1, 0);
        }
        self.count += u64::from(self.bits[at] & bit == 0);
        self.bits[at] |= bit;
    }
}

/// What the results of a batch must hold to be whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Promised {
    /// Number of different requests that rows must name.
    pub(crate) named: u64,
    /// Number of these whose row must say more than that they expired or were cancelled.
    pub(crate) decided: u64,
    /// Number of rows that say that their request failed and stand for none of the decided.
    pub(crate) errored: u64,
}

impl Delivered {
    /// Notes a row that names a request, by the place of the request in the batch.
    pub(crate) fn note(&mut self, place: u32, verdict: Verdict) {
        self.named.set(place);
        if !matches!(verdict, Verdict::Expired | Verdict::Cancelled) {
            self.decided.set(place);
        }
        if matches!(verdict, Verdict::Errored | Verdict::ErroredRetryable) {
            self.errored.set(place);
        }
    }

    /// Number of requests that ended by the provider's counts and that no row accounts for.
    pub(crate) fn short_of(&self, promised: &Promised) -> u64 {
        let named = promised.named.saturating_sub(self.named.count);
        let beside = self.errored.count.min(promised.errored);
        let decided = self.decided.count.saturating_sub(beside);
        named.max(promised.decided.saturating_sub(decided))
    }

    /// Compares what the provider counts of a batch that has ended with the rows that were read of it. `others` is
    /// the number of rows that name no request of the caller's: they stand for requests that are counted as well.
    pub(crate) fn mismatch(&self, snapshot: &BatchSnapshot, others: u64) -> Option<CountMismatch> {
        let counts = &snapshot.counts;
        // Where nothing has ended by its counts, the server does not keep them.
        if counts.finished() == 0 {
            return None;
        }
        let counted = counts.succeeded.saturating_add(counts.errored);
        // Some servers count a failure among the answered as well.
        let counted = counted.min(counts.total.unwrap_or(u64::MAX));
        let read = self.decided.count;
        let short = self.short_of(&promised(snapshot, None));
        (short > others || read > counted).then_some(CountMismatch { counted, read })
    }

    /// Number of different requests that rows have named.
    pub(crate) fn count(&self) -> u64 {
        self.named.count
    }

    /// The requests named so far, to go back to.
    pub(crate) fn so_far(&self) -> SoFar {
        [&self.named, &self.decided, &self.errored].map(Named::clone)
    }

    /// Goes back to the requests that were named at an earlier time.
    pub(crate) fn restore(&mut self, so_far: SoFar) {
        [self.named, self.decided, self.errored] = so_far;
    }
}

/// What the results of a batch must hold, by what the provider says of it: a row for each request that was
/// answered or failed, and a row for each that was created where a completed batch comes without counts, or at least
/// one where that number is not known either. Some providers write
/// no rows for what an expired or cancelled batch did not come to, and some have one count for that and for
/// what failed: what is answered must still have its row then, beside those of as many failures.
pub(crate) fn promised(snapshot: &BatchSnapshot, requests: Option<u64>) -> Promised {
    let counts = &snapshot.counts;
    let most = requests.or(counts.total).unwrap_or(u64::MAX);
    if !has_counts(snapshot) {
        let completed = snapshot.status == BatchStatus::Completed;
        let created = requests.unwrap_or(1);
        return Promised {
            named: if completed { created } else { 0 },
            decided: u64::from(completed).min(most),
            errored: 0,
        };
    }
    let (succeeded, errored) = (counts.succeeded.min(most), counts.errored);
    let ended = succeeded.saturating_add(errored).min(most);
    if !may_count_undone_as_failed(snapshot) {
        return Promised {
            named: ended,
            decided: ended,
            errored: 0,
        };
    }
    // Where every request has ended by the counts, those that were not come to are among the failed.
    let every = counts.total == Some(counts.finished());
    Promised {
        named: if every { succeeded } else { ended },
        decided: succeeded,
        errored,
    }
}

/// Whether a batch that ended early may count as failed what it did not come to: no request has expired or
/// was cancelled by its counts.
fn may_count_undone_as_failed(snapshot: &BatchSnapshot) -> bool {
    let counts = &snapshot.counts;
    let ended_early = matches!(
        snapshot.status,
        BatchStatus::Expired | BatchStatus::Cancelled
    );
    ended_early && counts.expired == 0 && counts.cancelled == 0
}

/// Whether the provider counts the requests of the batch. A completed batch of which nothing has ended is
/// one whose server does not keep its counts.
pub(crate) fn has_counts(snapshot: &BatchSnapshot) -> bool {
    let counts = &snapshot.counts;
    counts.finished() > 0 || counts.total.is_some() && snapshot.status != BatchStatus::Completed
}

#[cfg(test)]
mod tests {
    use lmbatch_core::RequestCounts;

    use super::*;

    #[test]
    fn a_request_counts_once() {
        let mut all = Delivered::default();
        for ordinal in [5, 0, 5, 64, 63] {
            let verdict = match ordinal {
                63 | 64 => Verdict::Expired,
                _ => Verdict::Errored,
            };
            all.note(ordinal, verdict);
        }
        assert_eq!(all.count(), 4);
        for (named, decided, errored, short) in [
            (4, 2, 0, 0),
            (5, 2, 0, 1),
            (4, 4, 0, 2),
            (0, 0, 0, 0),
            // Two rows say that they failed, and no more than so many stand for what was not answered.
            (4, 2, 1, 1),
            (4, 2, 2, 2),
            (4, 2, 9, 2),
            (0, 0, 2, 0),
        ] {
            let promised = Promised {
                named,
                decided,
                errored,
            };
            assert_eq!(all.short_of(&promised), short, "{promised:?}");
        }
    }

    #[test]
    fn a_request_takes_three_bits() {
        let mut all = Delivered::default();
        (0..50_000).for_each(|place| all.note(place, Verdict::Errored));
        let named = [&all.named, &all.decided, &all.errored];
        let held: usize = named.iter().map(|named| size_of_val(&*named.bits)).sum();
        assert!(held <= 3 * (50_000 / 8 + 8), "{held} bytes");
    }

    #[test]
    fn as_many_rows_are_promised_as_requests_have_ended() {
        use BatchStatus::{Cancelled, Completed, Expired};
        let counts = |total, succeeded, errored, expired, cancelled| RequestCounts {
            total,
            succeeded,
            errored,
            expired,
            cancelled,
        };
        for (counts, status, requests, expected) in [
            (counts(Some(8), 6, 2, 0, 0), Completed, Some(8), (8, 8, 0)),
            // What expired may have a row or none; what was answered has one.
            (counts(Some(8), 3, 0, 5, 0), Expired, Some(8), (3, 3, 0)),
            (counts(Some(8), 3, 1, 0, 0), Expired, Some(8), (4, 3, 1)),
            // What is counted apart is not among the failed: an error stands for no lost answer.
            (counts(Some(8), 3, 1, 4, 0), Expired, Some(8), (4, 4, 0)),
            (counts(Some(8), 0, 0, 0, 8), Cancelled, Some(8), (0, 0, 0)),
            // What was not come to may be among the failed.
            (counts(Some(8), 3, 5, 0, 0), Expired, Some(8), (3, 3, 5)),
            (counts(Some(8), 0, 8, 0, 0), Cancelled, Some(8), (0, 0, 8)),
            (counts(Some(8), 3, 5, 0, 0), Completed, Some(8), (8, 8, 0)),
            (counts(None, 3, 0, 0, 0), Completed, Some(8), (3, 3, 0)),
            // Servers that count a failure among the completed as well promise no more than was sent.
            (counts(Some(8), 8, 2, 0, 0), Completed, Some(8), (8, 8, 0)),
            (
                counts(Some(8), u64::MAX, 2, 0, 0),
                Completed,
                Some(8),
                (8, 8, 0),
            ),
            // Without counts only a completed batch says that something was answered: all that was created.
            (counts(None, 0, 0, 0, 0), Completed, Some(8), (8, 1, 0)),
            (counts(Some(8), 0, 0, 0, 0), Completed, Some(8), (8, 1, 0)),
            (counts(None, 0, 0, 0, 0), Completed, Some(0), (0, 0, 0)),
            (counts(None, 0, 0, 0, 0), Completed, None, (1, 1, 0)),
            (counts(None, 0, 0, 0, 0), Expired, Some(8), (0, 0, 0)),
            (counts(Some(8), 8, 0, 0, 0), Completed, None, (8, 8, 0)),
            // Without a handle the provider's own total is the most.
            (counts(Some(8), 8, 2, 0, 0), Completed, None, (8, 8, 0)),
            (counts(None, 8, 2, 0, 0), Completed, None, (10, 10, 0)),
        ] {
            let snapshot = BatchSnapshot {
                counts,
                ..BatchSnapshot::new("b".into(), status)
            };
            let found = promised(&snapshot, requests);
            assert_eq!(
                (found.named, found.decided, found.errored),
                expected,
                "{snapshot:?}"
            );
        }
    }

    #[test]
    fn counts_disagree_with_rows_that_are_fewer_or_more() {
        use BatchStatus::{Cancelled, Completed, Expired};
        // Total, answered, failed; rows that say answered, failed, expired; rows of others.
        for (status, counts, rows, others, expected) in [
            (Completed, (Some(3), 2, 1), (2, 1, 0), 0, None),
            // One kind stands for another.
            (Completed, (Some(3), 3, 0), (2, 1, 0), 0, None),
            (Completed, (Some(3), 0, 3), (3, 0, 0), 0, None),
            (Completed, (Some(3), 3, 0), (0, 0, 0), 0, Some((3, 0))),
            (Completed, (Some(3), 3, 0), (2, 0, 0), 0, Some((3, 2))),
            (Completed, (Some(3), 2, 1), (2, 0, 1), 0, Some((3, 2))),
            (Completed, (None, 3, 0), (2, 0, 0), 0, Some((3, 2))),
            (Completed, (Some(3), 2, 0), (3, 0, 0), 0, Some((2, 3))),
            (Completed, (Some(3), 0, 1), (1, 1, 0), 0, Some((1, 2))),
            // A handle that does not name every request of the batch.
            (Completed, (Some(3), 3, 0), (2, 0, 0), 1, None),
            (Completed, (Some(3), 3, 0), (1, 0, 0), 1, Some((3, 1))),
            // No counts.
            (Completed, (None, 0, 0), (3, 0, 0), 0, None),
            (Completed, (Some(3), 0, 0), (3, 0, 0), 0, None),
            (Expired, (None, 0, 0), (3, 0, 0), 0, None),
            // A failure that is counted twice.
            (Completed, (Some(3), 3, 1), (2, 1, 0), 0, None),
            // What was not come to is counted as failed, or not at all.
            (Expired, (Some(3), 1, 2), (1, 0, 0), 0, None),
            (Cancelled, (Some(3), 1, 2), (1, 0, 2), 0, None),
            (Expired, (Some(3), 1, 0), (1, 0, 2), 0, None),
            (Expired, (Some(3), 1, 2), (0, 0, 3), 0, Some((3, 0))),
            (Expired, (Some(3), 1, 0), (2, 0, 1), 0, Some((1, 2))),
        ] {
            let (total, succeeded, errored) = counts;
            let counts = RequestCounts {
                total,
                succeeded,
                errored,
                ..RequestCounts::default()
            };
            let snapshot = BatchSnapshot {
                counts,
                ..BatchSnapshot::new("b".into(), status)
            };
            let (answers, failures, expired) = rows;
            let verdicts = std::iter::repeat_n(Verdict::Succeeded, answers);
            let verdicts = verdicts.chain(std::iter::repeat_n(Verdict::Errored, failures));
            let verdicts = verdicts.chain(std::iter::repeat_n(Verdict::Expired, expired));
            let mut delivered = Delivered::default();
            for (ordinal, verdict) in (0..).zip(verdicts) {
                delivered.note(ordinal, verdict);
            }
            let found = delivered.mismatch(&snapshot, others);
            let found = found.map(|found| (found.counted, found.read));
            assert_eq!(found, expected, "{snapshot:?} {rows:?}");
        }
    }
}
