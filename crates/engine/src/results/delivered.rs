//! Requests of one batch that its results name, each counted once.

use lmbatch_core::{BatchSnapshot, BatchStatus, Verdict};

use crate::results::finished::CountMismatch;

/// Requests of a batch that rows have named so far.
///
/// Ids on the wire are unique in a run, not in a batch. A row of another batch of the same run is
/// not counted, since counting it would seal a batch whose own rows did not arrive.
#[derive(Debug, Default)]
pub(crate) struct Delivered {
    named: RequestSet,
    /// Requests in `named` that, according to a row, were answered or failed, not merely expired or
    /// cancelled.
    decided: RequestSet,
    /// Requests in `named` that failed according to a row.
    errored: RequestSet,
}

/// Copy of the sets of [`Delivered`], to which a reading can be reset.
pub(crate) type SoFar = [RequestSet; 3];

/// Set of requests of a batch: one bit for each, by position.
#[derive(Debug, Clone, Default)]
pub(crate) struct RequestSet {
    bits: Vec<u64>,
    count: u64,
}

impl RequestSet {
    fn set(&mut self, position: u32) {
        let (at, bit) = (position as usize / 64, 1 << (position % 64));
        if self.bits.len() <= at {
            self.bits.resize(at + 1, 0);
        }
        self.count += u64::from(self.bits[at] & bit == 0);
        self.bits[at] |= bit;
    }
}

/// Requirements that the results of a batch must meet to be complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Promised {
    /// Number of different requests that rows must name.
    pub(crate) named: u64,
    /// Number of these requests whose row must not say merely that they expired or were cancelled.
    pub(crate) decided: u64,
    /// Number of failure rows that count towards `named` but not towards `decided`.
    pub(crate) errored: u64,
}

impl Delivered {
    /// Counts a row that names a request, by the position of the request in the batch.
    pub(crate) fn note(&mut self, position: u32, verdict: Verdict) {
        self.named.set(position);
        if !matches!(verdict, Verdict::Expired | Verdict::Cancelled) {
            self.decided.set(position);
        }
        if matches!(verdict, Verdict::Errored | Verdict::ErroredRetryable) {
            self.errored.set(position);
        }
    }

    /// Returns the number of requests that ended according to the provider's counts but for which
    /// no row was read.
    pub(crate) fn short_of(&self, promised: &Promised) -> u64 {
        let named = promised.named.saturating_sub(self.named.count);
        let beside = self.errored.count.min(promised.errored);
        let decided = self.decided.count.saturating_sub(beside);
        named.max(promised.decided.saturating_sub(decided))
    }

    /// Compares the provider's counts of an ended batch with the rows that were read. `others` is
    /// the number of rows that name none of the caller's requests: the provider counts their
    /// requests as well.
    pub(crate) fn mismatch(&self, snapshot: &BatchSnapshot, others: u64) -> Option<CountMismatch> {
        let counts = &snapshot.counts;
        // If the counts say that nothing ended, the server does not maintain them.
        if counts.finished() == 0 {
            return None;
        }
        let counted = counts.succeeded.saturating_add(counts.errored);
        // Some servers count a failed request as answered as well.
        let counted = counted.min(counts.total.unwrap_or(u64::MAX));
        let read = self.decided.count;
        let short = self.short_of(&promised(snapshot, None));
        (short > others || read > counted).then_some(CountMismatch { counted, read })
    }

    /// Returns the number of different requests that rows have named.
    pub(crate) fn count(&self) -> u64 {
        self.named.count
    }

    /// Returns a copy of the sets, for [`restore`](Self::restore).
    pub(crate) fn so_far(&self) -> SoFar {
        [&self.named, &self.decided, &self.errored].map(RequestSet::clone)
    }

    /// Resets the sets to an earlier copy.
    pub(crate) fn restore(&mut self, so_far: SoFar) {
        [self.named, self.decided, self.errored] = so_far;
    }
}

/// Returns the requirements for the results of a batch, from its status: a row for each request
/// that was answered or failed. For a completed batch without counts, a row for each request that
/// was created, or at least one where that number is unknown too. Some providers write no rows for
/// requests that an expired or cancelled batch did not process, and some report those and the
/// failed ones in one count. Then each answered request must still have its row, in addition to as
/// many failure rows.
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
    // If every request has ended according to the counts, the unprocessed ones are among the
    // failed.
    let every = counts.total == Some(counts.finished());
    Promised {
        named: if every { succeeded } else { ended },
        decided: succeeded,
        errored,
    }
}

/// Returns whether a batch that ended early may count unprocessed requests as failed: its counts
/// have no expired or cancelled requests.
fn may_count_undone_as_failed(snapshot: &BatchSnapshot) -> bool {
    let counts = &snapshot.counts;
    let ended_early = matches!(
        snapshot.status,
        BatchStatus::Expired | BatchStatus::Cancelled
    );
    ended_early && counts.expired == 0 && counts.cancelled == 0
}

/// Returns whether the provider counts the requests of the batch. A completed batch whose counts
/// say that nothing ended is on a server that does not maintain them.
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
            // Two rows say that they failed; at most that many stand for requests that were not
            // answered.
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
    fn each_request_takes_three_bits() {
        let mut all = Delivered::default();
        (0..50_000).for_each(|position| all.note(position, Verdict::Errored));
        let named = [&all.named, &all.decided, &all.errored];
        let held: usize = named.iter().map(|named| size_of_val(&*named.bits)).sum();
        assert!(held <= 3 * (50_000 / 8 + 8), "{held} bytes");
    }

    #[test]
    fn the_required_rows_follow_from_the_counts() {
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
            // Expired requests may have a row or none; answered ones have one.
            (counts(Some(8), 3, 0, 5, 0), Expired, Some(8), (3, 3, 0)),
            (counts(Some(8), 3, 1, 0, 0), Expired, Some(8), (4, 3, 1)),
            // Expired requests that are counted apart are not among the failed: an error stands for
            // no lost answer.
            (counts(Some(8), 3, 1, 4, 0), Expired, Some(8), (4, 4, 0)),
            (counts(Some(8), 0, 0, 0, 8), Cancelled, Some(8), (0, 0, 0)),
            // Unprocessed requests may be among the failed.
            (counts(Some(8), 3, 5, 0, 0), Expired, Some(8), (3, 3, 5)),
            (counts(Some(8), 0, 8, 0, 0), Cancelled, Some(8), (0, 0, 8)),
            (counts(Some(8), 3, 5, 0, 0), Completed, Some(8), (8, 8, 0)),
            (counts(None, 3, 0, 0, 0), Completed, Some(8), (3, 3, 0)),
            // Servers that count a failure among the completed as well require no more rows than
            // were sent.
            (counts(Some(8), 8, 2, 0, 0), Completed, Some(8), (8, 8, 0)),
            (
                counts(Some(8), u64::MAX, 2, 0, 0),
                Completed,
                Some(8),
                (8, 8, 0),
            ),
            // Without counts only a completed batch says that requests were answered: all that were
            // created.
            (counts(None, 0, 0, 0, 0), Completed, Some(8), (8, 1, 0)),
            (counts(Some(8), 0, 0, 0, 0), Completed, Some(8), (8, 1, 0)),
            (counts(None, 0, 0, 0, 0), Completed, Some(0), (0, 0, 0)),
            (counts(None, 0, 0, 0, 0), Completed, None, (1, 1, 0)),
            (counts(None, 0, 0, 0, 0), Expired, Some(8), (0, 0, 0)),
            (counts(Some(8), 8, 0, 0, 0), Completed, None, (8, 8, 0)),
            // Without a handle the provider's own total is the maximum.
            (counts(Some(8), 8, 2, 0, 0), Completed, None, (8, 8, 0)),
            (counts(None, 8, 2, 0, 0), Completed, None, (10, 10, 0)),
        ] {
            let mut snapshot = BatchSnapshot::new("b".into(), status);
            snapshot.counts = counts;
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
        // Counts: total, answered, failed. Rows: answered, failed, expired. Then rows of other
        // requests.
        for (status, counts, rows, others, expected) in [
            (Completed, (Some(3), 2, 1), (2, 1, 0), 0, None),
            // An answer and a failure stand for each other.
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
            // The provider gives no counts.
            (Completed, (None, 0, 0), (3, 0, 0), 0, None),
            (Completed, (Some(3), 0, 0), (3, 0, 0), 0, None),
            (Expired, (None, 0, 0), (3, 0, 0), 0, None),
            // A failure that is counted as answered as well.
            (Completed, (Some(3), 3, 1), (2, 1, 0), 0, None),
            // Unprocessed requests are counted as failed, or not at all.
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
            let mut snapshot = BatchSnapshot::new("b".into(), status);
            snapshot.counts = counts;
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
