//! Values that are sent unchanged, and limits that may be set only once.

use lmbatch_core::{Json, RequestError};
use serde_json::Value;

use crate::context::bad;
use crate::spelling::UnknownField;

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

/// Refuses the member `at`, which has no translation.
pub(crate) fn untranslated(at: &str) -> RequestError {
    RequestError::unsupported(format!("{at} cannot be translated"))
}

/// Reads a member that is a list.
pub(crate) fn list<'a>(value: Json<'a>, at: &str) -> Result<Vec<Json<'a>>, RequestError> {
    let list = value.parse();
    list.map_err(|_| bad(format!("{at} is not a list")))
}

/// Names in which serde speaks of types, and their names for the author of a line.
const TYPES: [(&str, &str); 6] = [
    (
        "expected u32",
        "expected a whole number from 0 to 4294967295",
    ),
    ("expected u64", "expected a whole number from 0"),
    ("expected i64", "expected a whole number"),
    ("expected f32", "expected a number"),
    ("expected f64", "expected a number"),
    ("unknown variant", "unknown value"),
];

/// Returns the message of a parser in the words of JSON, without the position, which is relative to the value.
pub(crate) fn in_words(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let end = message.rfind(" at line ").unwrap_or(message.len());
    if let Some(unknown) = UnknownField::of(&message[..end]) {
        return unknown.reason();
    }
    let message = message[..end].to_owned();
    TYPES.iter().fold(message, |message, (written, words)| {
        message.replace(written, words)
    })
}

/// Reads a value that is sent unchanged.
pub(crate) fn exact(json: Json<'_>, at: &str) -> Result<Value, RequestError> {
    lmbatch_core::exact_value(json.as_str()).map_err(|error| bad(format!("{at}: {error}")))
}
