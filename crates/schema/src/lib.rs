//! Validators of answers against a JSON Schema.
//!
//! The validator's code is generic: each crate that calls it compiles it again, which takes longer than the rest of
//! that crate. The functions of this crate are not generic, so that it is compiled once.

use std::fmt;

use lmbatch_core::SchemaError;
use serde_json::Value;

/// Longest reason, in characters, that an error quotes.
const LONGEST_REASON: usize = 400;

/// Longest reason, in characters, that shows the value; a longer one shows its position alone.
const LONGEST_VALUE: usize = 160;

/// Compiled JSON Schema.
///
/// ```
/// use lmbatch_schema::Validator;
/// use serde_json::json;
/// let whole = Validator::compile(&json!({"properties": {"age": {"type": "integer"}}})).unwrap();
/// assert!(whole.mismatch(&json!({"age": 36})).is_none());
/// let error = whole.mismatch(&json!({"age": "36"})).unwrap();
/// assert_eq!(error.path, "/age");
/// ```
pub struct Validator(jsonschema::Validator);

impl fmt::Debug for Validator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Validator").finish_non_exhaustive()
    }
}

impl Validator {
    /// Compiles a schema of any draft. Known formats are checked; unknown ones accept anything.
    ///
    /// # Errors
    /// The position in the schema and the reason, such as a `pattern` that is no regular expression.
    pub fn compile(schema: &Value) -> Result<Self, String> {
        let built = jsonschema::options()
            .should_validate_formats(true)
            .should_ignore_unknown_formats(true)
            .build(schema);
        built.map(Self).map_err(|error| {
            let mut reason = error.to_string();
            if reason.chars().count() > LONGEST_VALUE {
                reason = error.masked().to_string();
            }
            let reason: String = reason.chars().take(LONGEST_REASON).collect();
            match error.instance_path().as_str() {
                "" => reason,
                place => format!("at #{place}: {reason}"),
            }
        })
    }

    /// Returns the first position at which a value does not match the schema, and the reason.
    pub fn mismatch(&self, value: &Value) -> Option<SchemaError> {
        let error = self.0.validate(value).err()?;
        let path = error.instance_path().as_str().to_owned();
        let reason = error.to_string();
        let mut short: String = reason.chars().take(LONGEST_REASON).collect();
        if short.len() < reason.len() {
            short.push('…');
        }
        Some(SchemaError::new(path, short))
    }
}
