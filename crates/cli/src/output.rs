//! Outcomes of a run, as they are counted and written.

use lmbatch_core::{AnswerView, OutcomeStatus, TokenUsage};

pub(crate) use lmbatch_lines::LineOrigin as Origin;

pub(crate) use crate::target::check;

/// Returns the status of an answer.
pub(crate) fn status(answer: &AnswerView<'_>) -> OutcomeStatus {
    answer.status()
}

/// Returns the tokens that an answer used.
pub(crate) fn usage(answer: &AnswerView<'_>) -> TokenUsage {
    answer.usage()
}
