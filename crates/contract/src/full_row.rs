//! Rows of results with more content than a text or a failure.

use serde_json::Value;

/// A row of the results in full. Each clause asks for a row with one feature more than a plain answer.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum FullRow {
    /// The model answered.
    Answer(FullAnswer),
    /// The provider rejected the request itself, with this message: it is rejected again on every attempt.
    Rejected(String),
    /// The request failed, with this message, for a reason that the provider's documentation does not name: a word or
    /// a number of a later version. The row carries no HTTP status.
    Unknown(String),
}

/// An answer in full. Empty and `None` fields are left out of the row.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct FullAnswer {
    /// Pieces of the answer, in order.
    pub pieces: Vec<Piece>,
    /// Reason why the answer ended.
    pub end: End,
    /// Token usage of the answer.
    pub usage: Option<Tokens>,
    /// Name of the model that answered.
    pub model: Option<String>,
    /// Id of the answer itself, which differs from the id of the request.
    pub id: Option<String>,
    /// Texts of further answers to the same request, where a provider can return several.
    pub others: Vec<String>,
}

/// A piece of an answer.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Piece {
    /// Text of the answer.
    Text(String),
    /// Thoughts of the model before it answered.
    Thinking(String),
    /// Explanation with which the model refused.
    Refusal(String),
    /// Call to a tool.
    ToolCall {
        /// Id of the call, which its result names.
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
    /// The answer is complete.
    #[default]
    Complete,
    /// The answer reached the token limit.
    CutOff,
    /// The answer calls a tool.
    ToolUse,
    /// The model refused to answer.
    Refused,
}

/// Tokens of one answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tokens {
    /// Total number of input tokens.
    pub input: u64,
    /// Total number of output tokens.
    pub output: u64,
}
