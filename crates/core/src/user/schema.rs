//! Treatment of schemas that a provider supports in part, and errors of answers that do not fit a schema.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Treatment of a schema that a provider supports only in part.
///
/// ```
/// # use lmbatch_core as lmbatch;
/// use lmbatch::SchemaMode;
/// assert_eq!("lenient".parse(), Ok(SchemaMode::Lenient));
/// assert_eq!(SchemaMode::default(), SchemaMode::Strict);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum SchemaMode {
    /// Requests with such a schema are refused before anything is sent. The default.
    #[default]
    Strict,
    /// The part of the schema that the provider supports is sent, or no schema if it supports none of it.
    /// Answers are checked on this machine against the whole schema.
    Lenient,
}

impl SchemaMode {
    /// Both modes, the default first.
    pub const ALL: [Self; 2] = [Self::Strict, Self::Lenient];

    /// Returns the mode as one lowercase word, as JSON holds it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::Lenient => "lenient",
        }
    }

    /// Returns whether this is the default mode.
    pub fn is_strict(&self) -> bool {
        *self == Self::Strict
    }
}

impl fmt::Display for SchemaMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for SchemaMode {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|mode| mode.as_str() == word);
        found.ok_or_else(|| format!("{word:?} is not one of strict, lenient"))
    }
}

/// First place in an answer that does not fit its schema.
///
/// ```
/// # use lmbatch_core as lmbatch;
/// let error = lmbatch::SchemaError::new("/total", "\"5\" is not of type \"integer\"");
/// assert_eq!(error.to_string(), "at /total: \"5\" is not of type \"integer\"");
/// let json = serde_json::to_string(&lmbatch::SchemaError::new("/total", "too large"))?;
/// assert_eq!(json, r#"{"path":"/total","reason":"too large"}"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SchemaError {
    /// Place in the answer as a JSON pointer (RFC 6901); empty for the answer as a whole.
    pub path: String,
    /// Reason in one sentence, which may quote the answer.
    pub reason: String,
}

impl SchemaError {
    /// Creates an error for a place in an answer.
    pub fn new(path: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            reason: reason.into(),
        }
    }
}

impl fmt::Display for SchemaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => f.write_str(&self.reason),
            path => write!(f, "at {path}: {}", self.reason),
        }
    }
}

impl fmt::Debug for SchemaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Paths and reasons may quote the answer.
        f.debug_struct("SchemaError").finish_non_exhaustive()
    }
}
