//! How schemas of answers are sent, and where an answer does not fit one.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Treatment of a schema that a provider cannot be told in full.
///
/// ```
/// use lmbatch_core::SchemaMode;
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
    /// As much of the schema is sent as the provider takes, if need be none of it. Answers are checked
    /// against the whole schema on this machine.
    Lenient,
}

impl SchemaMode {
    /// Both modes, the default first.
    pub const ALL: [Self; 2] = [Self::Strict, Self::Lenient];

    /// Returns the mode as one word.
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

/// First place at which an answer does not fit its schema.
///
/// ```
/// let error = lmbatch_core::SchemaError::new("/total", "\"5\" is not of type \"integer\"");
/// assert_eq!(error.to_string(), "at /total: \"5\" is not of type \"integer\"");
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
    /// Returns the error of a place in an answer.
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
        // Paths and reasons quote answers.
        f.debug_struct("SchemaError").finish_non_exhaustive()
    }
}
