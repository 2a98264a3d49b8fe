//! Values that are sent as they are written, and limits that are said once.

use lmbatch_core::{Json, RequestError};
use serde_json::Value;

use crate::context::bad;

/// Names under which callers say how many tokens an answer has at most.
pub(crate) const MOST_TOKENS: [&str; 3] =
    ["max_output_tokens", "max_tokens", "max_completion_tokens"];

/// Refuses two words for the most tokens of an answer.
pub(crate) fn one_limit<'n>(
    at: &str,
    mut names: impl Iterator<Item = &'n &'n str>,
) -> Result<(), RequestError> {
    match (names.next(), names.next()) {
        (Some(one), Some(other)) => Err(bad(format!(
            "{at} has both {one} and {other}; keep one of them"
        ))),
        _ => Ok(()),
    }
}

/// Reads a value that is sent as it is written.
pub(crate) fn exact(json: Json<'_>, at: &str) -> Result<Value, RequestError> {
    lmbatch_core::exact_value(json.as_str()).map_err(|error| bad(format!("{at}: {error}")))
}
