//! Outcomes of requests.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{ErrorKind, LMOutput, RequestError, UnknownWord};

/// Outcome of one request. Every request has exactly one.
///
/// ```
/// # use lmbatch_core as lmbatch;
/// use lmbatch::{Outcome, Problem};
/// let cut: Outcome<&str> = Outcome::Succeeded { value: "half an ans", problem: Some(Problem::Truncated) };
/// assert!(cut.as_result().is_ok() && !cut.is_usable());
/// assert!(Outcome::<&str>::Missing.as_result().is_err());
/// assert_eq!(
///     serde_json::to_string(&cut)?,
///     r#"{"status":"succeeded","value":"half an ans","problem":"truncated"}"#
/// );
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Outcome<T = LMOutput> {
    /// The model answered.
    Succeeded {
        /// The answer, of the type that was asked for.
        value: T,
        /// Reason why the answer may be unusable; `None` for a usable one.
        problem: Option<Problem>,
    },
    /// The request failed, and the error says why.
    Errored(RequestError),
    /// The batch expired before the provider answered the request.
    Expired,
    /// The batch was cancelled before the provider answered the request.
    Cancelled,
    /// The batch ended, and its results do not contain the request.
    Missing,
}

/// Returns the error of a request that the provider never answered.
fn unanswered(kind: ErrorKind) -> RequestError {
    RequestError::new(kind).retryable(true)
}

impl<T> Outcome<T> {
    /// Returns the answer, or a copy of the error where there is none.
    ///
    /// The error outlives the outcome, so that `outcome.as_result()?` works in functions that return
    /// `lmbatch::Result`, `anyhow::Result` or `Result<_, Box<dyn std::error::Error>>`.
    ///
    /// # Errors
    /// The error of an [`Errored`](Self::Errored) outcome; of the others one of the kind
    /// [`Expired`](ErrorKind::Expired), [`Cancelled`](ErrorKind::Cancelled) or
    /// [`Missing`](ErrorKind::Missing), for which asking again may succeed.
    ///
    /// ```
    /// use lmbatch_core::Outcome;
    /// fn answer(outcomes: Vec<Outcome<String>>) -> Result<usize, Box<dyn std::error::Error>> {
    ///     let first = outcomes[0].as_result()?;
    ///     Ok(first.len())
    /// }
    /// assert!(answer(vec![Outcome::Expired]).is_err());
    /// ```
    pub fn as_result(&self) -> Result<&T, RequestError> {
        match self {
            Self::Succeeded { value, .. } => Ok(value),
            Self::Errored(error) => Err(error.clone()),
            Self::Expired => Err(unanswered(ErrorKind::Expired)),
            Self::Cancelled => Err(unanswered(ErrorKind::Cancelled)),
            Self::Missing => Err(unanswered(ErrorKind::Missing)),
        }
    }

    /// Returns the answer by value, or the error where there is none.
    ///
    /// # Errors
    /// As for [`as_result`](Self::as_result).
    pub fn into_result(self) -> Result<T, RequestError> {
        match self {
            Self::Succeeded { value, .. } => Ok(value),
            Self::Errored(error) => Err(error),
            Self::Expired => Err(unanswered(ErrorKind::Expired)),
            Self::Cancelled => Err(unanswered(ErrorKind::Cancelled)),
            Self::Missing => Err(unanswered(ErrorKind::Missing)),
        }
    }

    /// Converts the answer of a succeeded outcome and keeps its problem; other outcomes stay as they are.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Outcome<U> {
        match self {
            Self::Succeeded { value, problem } => Outcome::Succeeded {
                value: change(value),
                problem,
            },
            Self::Errored(error) => Outcome::Errored(error),
            Self::Expired => Outcome::Expired,
            Self::Cancelled => Outcome::Cancelled,
            Self::Missing => Outcome::Missing,
        }
    }

    /// Returns the reason why a succeeded answer may be unusable.
    pub fn problem(&self) -> Option<Problem> {
        match self {
            Self::Succeeded { problem, .. } => *problem,
            _ => None,
        }
    }

    /// Returns whether the request succeeded without a problem.
    pub fn is_usable(&self) -> bool {
        matches!(self, Self::Succeeded { problem: None, .. })
    }

    /// Returns the status, which names the outcome in one word.
    pub fn status(&self) -> OutcomeStatus {
        match self {
            Self::Succeeded { .. } => OutcomeStatus::Succeeded,
            Self::Errored(_) => OutcomeStatus::Errored,
            Self::Expired => OutcomeStatus::Expired,
            Self::Cancelled => OutcomeStatus::Cancelled,
            Self::Missing => OutcomeStatus::Missing,
        }
    }
}

impl From<LMOutput> for Outcome {
    fn from(output: LMOutput) -> Self {
        Self::Succeeded {
            value: output,
            problem: None,
        }
    }
}

impl<T> From<RequestError> for Outcome<T> {
    fn from(error: RequestError) -> Self {
        Self::Errored(error)
    }
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$each:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        #[non_exhaustive]
        pub enum $name { $($(#[$each])* $variant),+ }

        impl $name {
            /// All values, in the order in which they are documented.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Returns the value as one word in snake case, as JSON and output lines hold it.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = UnknownWord;

            fn from_str(word: &str) -> Result<Self, UnknownWord> {
                let found = Self::ALL.iter().copied().find(|one| one.as_str() == word);
                found.ok_or_else(|| UnknownWord::new(word, [$($word),+]))
            }
        }
    };
}

words! {
    /// Status of a request, which names its [`Outcome`] in one word.
    ///
    /// ```
    /// use lmbatch_core::{Outcome, OutcomeStatus};
    /// assert_eq!(Outcome::<()>::Expired.status(), OutcomeStatus::Expired);
    /// assert_eq!("missing".parse(), Ok(OutcomeStatus::Missing));
    /// ```
    OutcomeStatus {
        /// The model answered the request.
        Succeeded = "succeeded",
        /// The request failed.
        Errored = "errored",
        /// The batch expired before the provider answered the request.
        Expired = "expired",
        /// The batch was cancelled before the provider answered the request.
        Cancelled = "cancelled",
        /// The batch ended, and its results do not contain the request.
        Missing = "missing",
    }
}

words! {
    /// Reason why an answer that arrived may be unusable.
    ///
    /// ```
    /// use lmbatch_core::Problem;
    /// assert_eq!("truncated".parse(), Ok(Problem::Truncated));
    /// ```
    Problem {
        /// The answer was cut off at the largest allowed number of tokens.
        Truncated = "truncated",
        /// The model refused to answer.
        Refused = "refused",
        /// The provider's content filter stopped the answer.
        ContentFilter = "content_filter",
        /// The answer does not fit the requested schema.
        InvalidStructured = "invalid_structured",
        /// The answer has no content.
        Empty = "empty",
        /// The arguments of a tool call are not a JSON object. They are kept as the model wrote them.
        InvalidArguments = "invalid_arguments",
        /// No part of the answer has a known shape, a tool call of it cannot be read, or it ended for an unknown
        /// reason. The provider's JSON is kept in the answer's items.
        Unrecognized = "unrecognized",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_has_an_answer_or_an_error() {
        let error = RequestError::new(ErrorKind::ProviderInternal);
        for (outcome, kind, status) in [
            (
                Outcome::Succeeded {
                    value: 1,
                    problem: None,
                },
                None,
                "succeeded",
            ),
            (
                Outcome::Errored(error),
                Some(ErrorKind::ProviderInternal),
                "errored",
            ),
            (Outcome::Expired, Some(ErrorKind::Expired), "expired"),
            (Outcome::Cancelled, Some(ErrorKind::Cancelled), "cancelled"),
            (Outcome::Missing, Some(ErrorKind::Missing), "missing"),
        ] {
            assert_eq!(outcome.as_result().err().map(|error| error.kind()), kind);
            assert_eq!(outcome.status().as_str(), status);
            assert_eq!(outcome.is_usable(), kind.is_none());
            assert_eq!(outcome.clone().map(|value| value), outcome);
            let json = serde_json::to_string(&outcome).unwrap();
            assert_eq!(
                serde_json::from_str::<Outcome<i32>>(&json).unwrap(),
                outcome
            );
            assert_eq!(outcome.into_result().err().map(|error| error.kind()), kind);
        }
        let truncated = Outcome::Succeeded {
            value: 1,
            problem: Some(Problem::Truncated),
        };
        assert!(!truncated.is_usable() && truncated.as_result().is_ok());
        assert_eq!(
            truncated.map(|value| value + 1),
            Outcome::Succeeded {
                value: 2,
                problem: Some(Problem::Truncated),
            }
        );
    }

    #[test]
    fn every_problem_parses_from_its_printed_form() {
        for problem in Problem::ALL {
            assert_eq!(problem.as_str().parse(), Ok(*problem));
        }
        let error = "nice".parse::<Problem>().unwrap_err();
        assert!(error.to_string().contains("truncated"), "{error}");
    }
}
