//! Structured answers as values of a type.

use lmbatch_core::{ErrorKind, Outcome, Problem, RequestError};
use serde::de::DeserializeOwned;

use crate::client::outcomes::Outcomes;

/// Converts answers into values of a type.
pub(crate) fn typed<T: DeserializeOwned>(outcomes: Outcomes) -> Outcomes<T> {
    outcomes.typed(value)
}

/// Returns the structured value of an answer. An answer without one is an error that keeps its problem: only a
/// complete answer that does not fit the schema may succeed when the request is sent again.
fn value<T: DeserializeOwned>(outcome: &Outcome) -> Outcome<T> {
    match outcome.clone() {
        Outcome::Succeeded { value, problem } => match value.structured() {
            Ok(value) => Outcome::Succeeded { value, problem },
            Err(error) => {
                let problem = problem.unwrap_or(Problem::InvalidStructured);
                let (kind, retryable) = match problem {
                    Problem::InvalidStructured => (ErrorKind::InvalidStructured, true),
                    Problem::Empty => (ErrorKind::GenerationFailed, true),
                    _ => (ErrorKind::GenerationFailed, false),
                };
                let reason = match (value.schema_error(), problem) {
                    (Some(error), _) => error.to_string(),
                    (None, Problem::InvalidStructured) => std::error::Error::source(&error)
                        .map_or_else(|| error.to_string(), ToString::to_string),
                    (None, problem) => match value.refusal() {
                        Some(words) => words.to_owned(),
                        None => format!("the answer is unusable: {problem}"),
                    },
                };
                Outcome::Errored(
                    RequestError::new(kind)
                        .with_code(problem.as_str())
                        .with_problem(problem)
                        .with_message(reason)
                        .retryable(retryable),
                )
            }
        },
        Outcome::Errored(error) => Outcome::Errored(error),
        Outcome::Expired => Outcome::Expired,
        Outcome::Cancelled => Outcome::Cancelled,
        Outcome::Missing => Outcome::Missing,
    }
}
