//! Values that are sent unchanged, and limits that may be set only once.

use std::collections::BTreeMap;
use std::fmt;

use lmbatch_core::{Json, RequestError};
use serde_json::Value;
use serde_json::value::RawValue;

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
pub(crate) fn in_words(error: &impl fmt::Display) -> String {
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

/// Returns the one member of a message that holds its content.
pub(crate) fn one_content<'a>(
    content: Option<&'a RawValue>,
    contents: Option<&'a RawValue>,
    message: usize,
) -> Result<&'a RawValue, RequestError> {
    match (content, contents) {
        (Some(one), None) | (None, Some(one)) => Ok(one),
        (None, None) => Err(bad(format!("messages[{message}].content is missing"))),
        _ => Err(bad(format!(
            "messages[{message}] has both content and contents; keep one of them"
        ))),
    }
}

/// Returns the error for a line without messages. It names a member that is null.
pub(crate) fn without_messages(line: &str) -> RequestError {
    let members: BTreeMap<String, &RawValue> = serde_json::from_str(line).unwrap_or_default();
    let is_null = |name: &&str| members.get(*name).is_some_and(|raw| raw.get() == "null");
    let null = ["prompt", "contents", "messages"].into_iter().find(is_null);
    bad(match null {
        Some(name) => format!("\"{name}\" is null"),
        None => "missing \"prompt\", \"contents\" or \"messages\"".to_owned(),
    })
}

/// Reads a value that is sent unchanged.
pub(crate) fn exact(json: Json<'_>, at: &str) -> Result<Value, RequestError> {
    lmbatch_core::exact_value(json.as_str()).map_err(|error| bad(format!("{at}: {error}")))
}

#[cfg(test)]
mod tests {
    use lmbatch_core::Hyperparameters;

    use super::*;

    #[test]
    fn errors_name_the_member_and_the_expected_value() {
        let raw = || Some(serde_json::from_str::<&RawValue>("\"x\"").unwrap());
        let content = |one, other| one_content(one, other, 3).map(RawValue::get);
        let message = |error: RequestError| error.message().unwrap_or_default().to_owned();
        let refused = |found: Result<&str, RequestError>| message(found.unwrap_err());
        assert_eq!(content(raw(), None).unwrap(), "\"x\"");
        for (found, expected) in [
            (
                refused(content(None, None)),
                "messages[3].content is missing",
            ),
            (
                refused(content(raw(), raw())),
                "messages[3] has both content and contents; keep one of them",
            ),
            (
                message(without_messages(r#"{"id":1,"contents":null}"#)),
                "\"contents\" is null",
            ),
            (
                message(without_messages(r#"{"id":1}"#)),
                "missing \"prompt\", \"contents\" or \"messages\"",
            ),
            (
                in_words(
                    &Hyperparameters::default()
                        .set("top_k", "x".into())
                        .unwrap_err(),
                ),
                "top_k: invalid type: string \"x\", expected a whole number from 0 to 4294967295",
            ),
        ] {
            assert!(found.contains(expected), "{found}");
        }
    }
}
