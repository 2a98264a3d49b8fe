//! Selection of requests to send again, by their outcomes and ids.

use std::collections::{BTreeMap, HashSet};

use lmbatch_core::{
    AnswerView, AnsweredRequest, Error, ErrorKind, OutcomeView, Problem, Result, Retry, RunRecord,
    Verdict,
};

use crate::context::Context;
use crate::results::reader::OutcomeReader;

/// Kind of an outcome whose request may be sent again: its status, or the problem of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum OutcomeKind {
    /// The provider answered with an error that a repetition does not cure.
    Errored,
    /// The provider answered with an error, and the same request may succeed when it is sent again.
    ErroredRetryable,
    /// The row of the request cannot be read. Its answer was paid for.
    MalformedAnswer,
    /// The request was given up while the result of its create was unknown. If the batch exists, it is paid for.
    Doubt,
    /// The batch expired before the request was answered.
    Expired,
    /// The batch was cancelled before the request was answered.
    Cancelled,
    /// The results do not name the request.
    Missing,
    /// The answer was truncated.
    Truncated,
    /// The model refused to answer.
    Refused,
    /// A content filter withheld the answer.
    ContentFilter,
    /// The structured answer does not fit its schema.
    InvalidStructured,
    /// The answer calls a tool with arguments that are not a JSON object.
    InvalidArguments,
    /// The answer is empty.
    Empty,
    /// The answer has another problem.
    Unrecognized,
}

impl OutcomeKind {
    /// Kinds of requests without an answer. They are the default selection. [`MalformedAnswer`](Self::MalformedAnswer)
    /// and [`Doubt`](Self::Doubt) are not among them, since such a request was or may have been paid for.
    pub const UNANSWERED: [Self; 5] = [
        Self::Errored,
        Self::ErroredRetryable,
        Self::Expired,
        Self::Cancelled,
        Self::Missing,
    ];

    /// Kinds of requests without an answer that may have one when they are sent again unchanged, and that were not paid
    /// for.
    pub const RETRYABLE: [Self; 2] = [Self::ErroredRetryable, Self::Expired];

    /// Returns the kind of an outcome; `None` for an answer without a problem.
    pub fn of(answer: &AnswerView<'_>) -> Option<Self> {
        match answer {
            AnswerView::Missing => return Some(Self::Missing),
            AnswerView::Malformed => return Some(Self::MalformedAnswer),
            AnswerView::Row {
                outcome: OutcomeView::Errored(failure),
                ..
            } => {
                return Some(match failure.kind {
                    ErrorKind::MalformedAnswer => Self::MalformedAnswer,
                    ErrorKind::Doubt => Self::Doubt,
                    _ if failure.retryable => Self::ErroredRetryable,
                    _ => Self::Errored,
                });
            }
            AnswerView::Row { outcome, .. } => match outcome.verdict() {
                Verdict::Succeeded => {}
                Verdict::Errored => return Some(Self::Errored),
                Verdict::ErroredRetryable => return Some(Self::ErroredRetryable),
                Verdict::Expired => return Some(Self::Expired),
                Verdict::Cancelled => return Some(Self::Cancelled),
            },
        }
        Some(match answer.problem()? {
            Problem::Truncated => Self::Truncated,
            Problem::Refused => Self::Refused,
            Problem::ContentFilter => Self::ContentFilter,
            Problem::InvalidStructured => Self::InvalidStructured,
            Problem::InvalidArguments => Self::InvalidArguments,
            Problem::Empty => Self::Empty,
            _ => Self::Unrecognized,
        })
    }
}

/// Filter of a run's requests; every field that is set must match.
#[derive(Debug, Clone, Default)]
pub struct RequestFilter {
    /// Kinds of outcomes to select.
    pub kinds: Option<HashSet<OutcomeKind>>,
    /// Ids of requests to select: text without quotes, other JSON unchanged.
    pub ids: Option<HashSet<String>>,
}

/// Selected requests of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SelectedRequests {
    /// Positions of the requests in the run, from 0.
    pub ordinals: HashSet<u32>,
    /// Ids of the filter that no request of the run has, sorted.
    pub unknown_ids: Vec<String>,
    /// Number of requests of each kind that the ids of the filter select and its kinds do not. Answers without a
    /// problem are not counted.
    pub left_out: BTreeMap<OutcomeKind, u64>,
}

/// State of a selection while outcomes are read.
struct Selecting<'a> {
    filter: &'a RequestFilter,
    ordinals: HashSet<u32>,
    unknown: HashSet<String>,
    left_out: BTreeMap<OutcomeKind, u64>,
}

impl<'a> Selecting<'a> {
    fn new(filter: &'a RequestFilter) -> Self {
        Self {
            filter,
            ordinals: HashSet::new(),
            unknown: filter.ids.clone().unwrap_or_default(),
            left_out: BTreeMap::new(),
        }
    }

    /// Adds the outcome of one request, with its id as JSON.
    fn take(&mut self, ordinal: u32, id: &str, kind: Option<OutcomeKind>) {
        let text = serde_json::from_str::<String>(id);
        let id = text.as_deref().unwrap_or(id);
        self.unknown.remove(id);
        let (ids, kinds) = (&self.filter.ids, &self.filter.kinds);
        let is_named = ids.as_ref().is_none_or(|ids| ids.contains(id));
        let has_kind = |kinds: &HashSet<_>| kind.is_some_and(|kind| kinds.contains(&kind));
        if !is_named {
            return;
        }
        if kinds.as_ref().is_none_or(has_kind) {
            self.ordinals.insert(ordinal);
        } else if let Some(kind) = kind {
            *self.left_out.entry(kind).or_default() += 1;
        }
    }

    fn finish(self) -> SelectedRequests {
        let mut unknown_ids: Vec<String> = self.unknown.into_iter().collect();
        unknown_ids.sort_unstable();
        SelectedRequests {
            ordinals: self.ordinals,
            unknown_ids,
            left_out: self.left_out,
        }
    }
}

/// Selects requests by the remaining outcomes of `reader`.
fn select(reader: &mut OutcomeReader, filter: &RequestFilter) -> Result<SelectedRequests> {
    let mut selecting = Selecting::new(filter);
    while let Some(answered) = reader.next()? {
        let AnsweredRequest {
            ordinal,
            id,
            answer,
            ..
        } = &answered;
        selecting.take(*ordinal, id.as_str(), OutcomeKind::of(answer));
    }
    Ok(selecting.finish())
}

impl Context {
    pub(crate) async fn select(
        &self,
        run: &RunRecord,
        filter: &RequestFilter,
    ) -> Result<SelectedRequests> {
        let finished = self.partial_results(run).await?;
        if !finished.is_complete() {
            return Err(Error::new(ErrorKind::NotEnded)
                .with_retry(Retry::Temporary)
                .with_message(format!("the run {} has not ended", run.id)));
        }
        select(&mut self.outcomes(&finished)?, filter)
    }
}

#[cfg(test)]
mod tests {
    use lmbatch_core::{FailureView, Retry, Structured};

    use super::*;

    #[test]
    fn requests_are_selected_by_kind_and_id_together() {
        use OutcomeKind::{Errored, Missing, Truncated};
        let outcomes = [
            (0, "\"a\"", None),
            (1, "\"b\"", Some(Errored)),
            (2, "7", Some(Truncated)),
            (3, "\"7\"", Some(Missing)),
        ];
        let kinds = |kinds: &[OutcomeKind]| Some(kinds.iter().copied().collect::<HashSet<_>>());
        let ids = |ids: &[&str]| Some(ids.iter().map(|id| (*id).to_owned()).collect());
        let unanswered = &OutcomeKind::UNANSWERED[..];
        for (kinds, ids, selected, unknown) in [
            (None, None, &[0, 1, 2, 3][..], &[][..]),
            (kinds(unanswered), None, &[1, 3], &[]),
            (kinds(&[Truncated]), None, &[2], &[]),
            (None, ids(&["a", "7"]), &[0, 2, 3], &[]),
            (kinds(&[Missing]), ids(&["7", "a"]), &[3], &[]),
            (None, ids(&["z", "b", "y"]), &[1], &["y", "z"]),
        ] {
            let filter = RequestFilter { kinds, ids };
            let mut selecting = Selecting::new(&filter);
            for (ordinal, id, kind) in outcomes {
                selecting.take(ordinal, id, kind);
            }
            let found = selecting.finish();
            let selected: HashSet<u32> = selected.iter().copied().collect();
            assert_eq!(found.ordinals, selected, "{filter:?}");
            assert_eq!(found.unknown_ids, unknown, "{filter:?}");
            let with_kind = outcomes.iter().filter(|(_, id, kind)| {
                let id = id.trim_matches('"');
                let is_named = |ids: &HashSet<String>| ids.contains(id);
                kind.is_some() && filter.ids.as_ref().is_none_or(is_named)
            });
            let ordinals = with_kind.filter(|(ordinal, ..)| !found.ordinals.contains(ordinal));
            let left_out: BTreeMap<OutcomeKind, u64> =
                ordinals.map(|(_, _, kind)| (kind.unwrap(), 1)).collect();
            assert_eq!(found.left_out, left_out, "{filter:?}");
        }
    }

    #[test]
    fn a_request_without_a_readable_row_has_a_kind() {
        let kind = OutcomeKind::of(&AnswerView::Missing);
        assert_eq!(kind, Some(OutcomeKind::Missing));
    }

    #[test]
    fn requests_that_may_have_been_paid_for_are_not_among_the_unanswered() {
        let doubtful = AnswerView::Row {
            outcome: OutcomeView::Errored(FailureView::new(ErrorKind::Doubt, Retry::Permanent)),
            structured: Structured::NotRequested,
        };
        let unreadable = AnswerView::Row {
            outcome: OutcomeView::Errored(FailureView::malformed()),
            structured: Structured::NotRequested,
        };
        let refused = AnswerView::Row {
            outcome: OutcomeView::Errored(FailureView::new(
                ErrorKind::InvalidInput,
                Retry::Permanent,
            )),
            structured: Structured::NotRequested,
        };
        let limited = AnswerView::Row {
            outcome: OutcomeView::Errored(FailureView::new(
                ErrorKind::ProviderRateLimit,
                Retry::Temporary,
            )),
            structured: Structured::NotRequested,
        };
        for (answer, kind, is_unanswered) in [
            (limited, OutcomeKind::ErroredRetryable, true),
            (AnswerView::Malformed, OutcomeKind::MalformedAnswer, false),
            (unreadable, OutcomeKind::MalformedAnswer, false),
            (doubtful, OutcomeKind::Doubt, false),
            (refused, OutcomeKind::Errored, true),
        ] {
            assert_eq!(OutcomeKind::of(&answer), Some(kind));
            assert_eq!(OutcomeKind::UNANSWERED.contains(&kind), is_unanswered);
        }
    }
}
