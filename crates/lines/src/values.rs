//! Values that are sent unchanged, and limits that may be set only once.

use lmbatch_core::{Json, RequestError};
use serde_json::Value;

use crate::context::bad;

/// Names of the maximum number of output tokens in hyperparameters and bodies.
pub(crate) const MOST_TOKENS: [&str; 3] =
    ["max_output_tokens", "max_tokens", "max_completion_tokens"];

/// Refuses two different names of the maximum number of output tokens.
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

/// Reads a value that is sent unchanged.
pub(crate) fn exact(json: Json<'_>, at: &str) -> Result<Value, RequestError> {
    lmbatch_core::exact_value(json.as_str()).map_err(|error| bad(format!("{at}: {error}")))
}
