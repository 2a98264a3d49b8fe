//! The error of a text that is none of a set of words.

/// Error of a text that is not one of the words that a type is written as.
///
/// ```
/// # use lmbatch_core as lmbatch;
/// use lmbatch::Problem;
/// let error = "nice".parse::<Problem>().unwrap_err();
/// assert_eq!(error.word(), "nice");
/// assert!(error.known().contains(&"truncated"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{word:?} is not one of {}", .known.join(", "))]
pub struct UnknownWord {
    word: Box<str>,
    known: Vec<&'static str>,
}

impl UnknownWord {
    pub(crate) fn new(word: &str, known: impl IntoIterator<Item = &'static str>) -> Self {
        Self {
            word: word.into(),
            known: known.into_iter().collect(),
        }
    }

    /// The text that was read.
    pub fn word(&self) -> &str {
        &self.word
    }

    /// The words that the type is written as.
    pub fn known(&self) -> &[&'static str] {
        &self.known
    }
}
