//! Rows of results that say more than a text or a failure.

use serde_json::Value;

/// A row of the results in full. Each clause asks for a row that says one thing more than a plain answer.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum FullRow {
    /// The model answered.
    Answer(FullAnswer),
    /// The provider refused the request itself, with these words: it fails again however often it is sent.
    Rejected(String),
    /// The request failed, with these words, for a reason that the provider's documentation does not name: a word or
    /// a number of a later version. No HTTP status stands beside it.
    Unknown(String),
}

/// An answer in full. What is empty or `None` is not said.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct FullAnswer {
    /// Pieces of the answer, in order.
    pub pieces: Vec<Piece>,
    /// Reason why it ended.
    pub end: End,
    /// Tokens that it used.
    pub usage: Option<Tokens>,
    /// Model that answered.
    pub model: Option<String>,
    /// Id of the answer itself, which is not that of the request.
    pub id: Option<String>,
    /// Texts of further answers to the same request, as providers give where several were asked for.
    pub others: Vec<String>,
}

/// A piece of an answer.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Piece {
    /// Words of the answer.
    Text(String),
    /// Words that the model thought before it answered.
    Thinking(String),
    /// Words by which the model refused.
    Refusal(String),
    /// A call to a tool.
    ToolCall {
        /// Id of the call, which its result will name.
        id: String,
        /// Name of the tool.
        name: String,
        /// Arguments: a JSON object.
        arguments: Value,
    },
}

/// Reason why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum End {
    /// It was complete.
    #[default]
    Complete,
    /// It reached the most tokens.
    CutOff,
    /// It calls a tool.
    ToolUse,
    /// The model refused.
    Refused,
}

/// Tokens of one answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tokens {
    /// All tokens that were read.
    pub input: u64,
    /// All tokens that were written.
    pub output: u64,
}
