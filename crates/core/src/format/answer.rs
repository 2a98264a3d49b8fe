//! Outcomes as they are read back, in the order of the requests.

use std::borrow::Cow;

use crate::{
    BatchId, ErrorKind, ItemView, Json, OutcomeStatus, OutcomeView, OutputView, Problem, RawRow,
    SchemaError, TokenUsage, Verdict,
};

/// One request with what came of it.
#[derive(Debug)]
pub struct Answered<'a> {
    /// Where the request stands, from 0.
    pub ordinal: u32,
    /// Its id, as JSON, in the type it came in.
    pub id: Json<'a>,
    /// The caller's notes.
    pub metadata: Option<Json<'a>>,
    /// The batch that it went out in last; none where none was made.
    pub batch: Option<&'a BatchId>,
    /// Whether a structured answer was asked for.
    pub schema_asked: bool,
    /// The provider's row as it came, where there is one.
    pub raw: Option<RawRow<'a>>,
    /// Number of half characters (lone surrogate escapes) of the row that were replaced by U+FFFD.
    pub replaced: u32,
    /// What came of it.
    pub answer: AnswerView<'a>,
}

/// What came of a request.
#[derive(Debug)]
pub enum AnswerView<'a> {
    /// The provider said so. A succeeded row has its structured value checked, see [`Structured`].
    Row {
        /// Its words.
        outcome: OutcomeView<'a>,
        /// The value of a structured answer.
        structured: Structured<'a>,
    },
    /// The provider's results do not name it.
    Missing,
    /// The provider named it, and the row could not be read.
    Malformed,
}

/// The value of a structured answer.
#[derive(Debug, Clone)]
pub enum Structured<'a> {
    /// No schema was asked for.
    NotAsked,
    /// There is no answer.
    Absent,
    /// The answer is not JSON, or does not fit the schema.
    Invalid(SchemaError),
    /// It fits the schema. One line of JSON.
    Value(Cow<'a, str>),
}

impl AnswerView<'_> {
    /// Returns the status of the request. A row that cannot be read is an error.
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

    /// Returns the tokens that the answer used; zero where there is no answer or the provider reports none.
    pub fn usage(&self) -> TokenUsage {
        match self {
            Self::Row {
                outcome: OutcomeView::Succeeded(output),
                ..
            } => output.usage.unwrap_or_default(),
            _ => TokenUsage::default(),
        }
    }

    /// Reports whether the provider's row is there and holds no answer that can be read. Such a row is paid for.
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

    /// Why a succeeded answer may be unusable.
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

    /// Returns where and why the answer does not fit its schema, of an answer with the problem
    /// [`InvalidStructured`](Problem::InvalidStructured). A refusal or an answer that was cut off has a problem
    /// of its own, and none here.
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
