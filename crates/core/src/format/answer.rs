//! Outcomes read back from stored results, in the order of the requests.

use std::borrow::Cow;

use crate::{
    BatchId, Cost, CostRange, ErrorKind, ItemView, Json, OutcomeStatus, OutcomeView, OutputView,
    Problem, RawRow, SchemaError, TokenUsage, Verdict,
};

/// Request together with its outcome.
#[derive(Debug)]
pub struct AnsweredRequest<'a> {
    /// Position of the request in the output, from 0.
    pub ordinal: u32,
    /// Caller's id as JSON, in its original type.
    pub id: Json<'a>,
    /// Caller's metadata of the request.
    pub metadata: Option<Json<'a>>,
    /// Batch that holds the outcome or, without a row, in which the request was sent last; `None` if no batch was
    /// created.
    pub batch: Option<&'a BatchId>,
    /// True if a structured answer was requested.
    pub schema_requested: bool,
    /// Provider's row as it was received; `None` without a row.
    pub raw: Option<RawRow<'a>>,
    /// Number of lone surrogate escapes in the row that were replaced by U+FFFD.
    pub replaced: u32,
    /// Outcome of the request.
    pub answer: AnswerView<'a>,
    /// Cost of the answer; `None` where it is unknown, or where there is no answer.
    pub cost: Option<AnswerCost>,
}

/// Cost of one answer, from its token usage and a table of prices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnswerCost {
    /// Cost at the prices that the provider charged; a range where a rate is not published.
    pub charged: CostRange,
    /// Cost of the same tokens through the provider's real-time API; `None` where that is unknown.
    pub real_time: Option<CostRange>,
}

impl AnswerCost {
    /// Returns the smallest amount that was saved against the real-time API; zero where that is unknown.
    pub fn saved(&self) -> Cost {
        let real_time = self.real_time.map(|cost| cost.low).unwrap_or_default();
        real_time.saturating_sub(self.charged.high)
    }
}

/// Outcome of a request, read back from stored results.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "one answer is read at a time, and a box would cost an allocation for each"
)]
pub enum AnswerView<'a> {
    /// Outcome of the provider's row. The structured value of a succeeded row is validated, see
    /// [`Structured`].
    Row {
        /// Outcome as the row states it.
        outcome: OutcomeView<'a>,
        /// Value of a structured answer.
        structured: Structured<'a>,
    },
    /// No row of the provider's results names the request.
    Missing,
    /// A row of the results names the request but cannot be read.
    Malformed,
}

/// Value of a structured answer.
#[derive(Debug, Clone)]
pub enum Structured<'a> {
    /// No schema was requested.
    NotRequested,
    /// The request has no answer.
    Absent,
    /// The answer is not JSON, or does not match the schema.
    Invalid(SchemaError),
    /// Valid answer, as one line of JSON.
    Value(Cow<'a, str>),
}

impl AnswerView<'_> {
    /// Returns the status of the request. A row that cannot be read counts as errored.
    pub fn status(&self) -> OutcomeStatus {
        match self {
            Self::Missing => OutcomeStatus::Missing,
            Self::Malformed => OutcomeStatus::Errored,
            Self::Row { outcome, .. } => match outcome.verdict() {
                Verdict::Succeeded => OutcomeStatus::Succeeded,
                Verdict::Errored | Verdict::ErroredRetryable => OutcomeStatus::Errored,
                Verdict::Expired => OutcomeStatus::Expired,
                Verdict::Cancelled => OutcomeStatus::Cancelled,
            },
        }
    }

    /// Returns the tokens that the answer used; zero if there is no answer or the provider reports none.
    pub fn usage(&self) -> TokenUsage {
        match self {
            Self::Row {
                outcome: OutcomeView::Succeeded(output),
                ..
            } => output.usage.unwrap_or_default(),
            _ => TokenUsage::default(),
        }
    }

    /// Reports whether the provider delivered a row without a readable answer. Such a row is billed.
    pub fn is_malformed(&self) -> bool {
        match self {
            Self::Malformed => true,
            Self::Row {
                outcome: OutcomeView::Errored(failure),
                ..
            } => failure.kind == ErrorKind::MalformedAnswer,
            _ => false,
        }
    }

    /// Returns the reason why a succeeded answer may be unusable.
    pub fn problem(&self) -> Option<Problem> {
        let Self::Row {
            outcome: OutcomeView::Succeeded(output),
            structured,
        } = self
        else {
            return None;
        };
        problem(output, structured)
    }

    /// Returns the position and the reason at which the answer does not match its schema, for an
    /// answer with the problem [`InvalidStructured`](Problem::InvalidStructured). A refused or
    /// truncated answer has another problem, and `None` here.
    pub fn schema_error(&self) -> Option<&SchemaError> {
        match self {
            Self::Row {
                structured: Structured::Invalid(error),
                ..
            } if self.problem() == Some(Problem::InvalidStructured) => Some(error),
            _ => None,
        }
    }
}

fn problem(output: &OutputView<'_>, structured: &Structured<'_>) -> Option<Problem> {
    if output.problem.is_some() {
        return output.problem;
    }
    let calls_tool = output
        .items
        .iter()
        .any(|item| matches!(item, ItemView::ToolCall(_)));
    (matches!(structured, Structured::Invalid(_)) && !calls_tool)
        .then_some(Problem::InvalidStructured)
}
