//! Answers of models.

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Attachment, CostRange, Message, MessageContent, SchemaError, Thinking, TokenUsage, ToolCall,
};

/// One answer of a model.
///
/// ```no_run
/// # fn show(output: &lmbatch_core::LMOutput) -> Result<(), lmbatch_core::StructuredError> {
/// println!("{} ({} tokens)", output.text(), output.usage.unwrap_or_default().output_tokens);
/// let numbers: Vec<u8> = output.structured()?;
/// for call in output.tool_calls() {
///     println!("{} with {}", call.name, call.arguments.as_str());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LMOutput {
    /// Items of the answer, in the provider's order.
    pub items: Vec<OutputItem>,
    /// Reason why the answer ended.
    pub finish_reason: FinishReason,
    /// Tokens used by the request; `None` where the provider does not report them.
    pub usage: Option<TokenUsage>,
    /// Model that answered, as the provider names it.
    pub model: Option<String>,
    /// The provider's id of the answer.
    pub response_id: Option<String>,
    /// Cost of the answer; `None` without a table of prices, and where the price or the usage is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<CostRange>,
}

impl LMOutput {
    /// Creates a complete answer ([`FinishReason::Stop`]) without token usage.
    pub fn new(items: Vec<OutputItem>) -> Self {
        Self {
            items,
            finish_reason: FinishReason::Stop,
            usage: None,
            model: None,
            response_id: None,
            cost: None,
        }
    }

    /// Creates an answer of one text, such as for a test of code that takes answers.
    ///
    /// ```
    /// assert_eq!(lmbatch_core::LMOutput::from_text("4").text(), "4");
    /// ```
    pub fn from_text(text: impl Into<String>) -> Self {
        Self::new(vec![OutputItem::Text(text.into())])
    }

    /// Returns the answer as a message of the assistant, for the next turn of the conversation. Text, refusals,
    /// thinking with its signatures, tool calls and attachments are taken over in their order; a structured
    /// value without a text becomes its JSON text. Commentary, citations and what else the provider says are left out.
    ///
    /// ```
    /// use lmbatch_core::{LMOutput, Message};
    /// let answer = LMOutput::from_text("4");
    /// let conversation = [Message::user("What is 2 + 2?"), answer.to_message(), Message::user("And times 3?")];
    /// assert_eq!(conversation[1], Message::assistant("4"));
    /// ```
    pub fn to_message(&self) -> Message {
        // A structured value stands beside the text that it was read from.
        let has_text = self
            .items
            .iter()
            .any(|item| matches!(item, OutputItem::Text(_)));
        let contents = self.items.iter().filter_map(|item| match item {
            OutputItem::Text(text) | OutputItem::Refusal(text) => {
                Some(MessageContent::Text(text.clone()))
            }
            OutputItem::Structured(value) => {
                (!has_text).then(|| MessageContent::Text(value.to_string()))
            }
            OutputItem::ToolCall(call) => Some(MessageContent::ToolCall(call.clone())),
            OutputItem::Thinking(thinking) => Some(MessageContent::Thinking(thinking.clone())),
            OutputItem::Attachment(attachment) => {
                Some(MessageContent::Attachment(attachment.clone()))
            }
            OutputItem::SchemaError(_)
            | OutputItem::Commentary(_)
            | OutputItem::Citation(_)
            | OutputItem::Detail { .. }
            | OutputItem::Other(_) => None,
        });
        Message::assistant(contents.collect::<Vec<_>>())
    }

    /// Returns the text items, joined without a separator; empty if there are none.
    pub fn text(&self) -> String {
        let texts = self.items.iter().filter_map(|item| match item {
            OutputItem::Text(text) => Some(text.as_str()),
            _ => None,
        });
        texts.collect()
    }

    /// Deserializes the structured answer into a type; without a structured item, parses the text as JSON.
    ///
    /// # Errors
    /// [`StructuredError`] where the answer is not JSON, or does not fit the type.
    pub fn structured<T: DeserializeOwned>(&self) -> Result<T, StructuredError> {
        let value = self.items.iter().find_map(|item| match item {
            OutputItem::Structured(value) => Some(value.clone()),
            _ => None,
        });
        let parsed = match value {
            Some(value) => serde_json::from_value(value),
            None => serde_json::from_str(&self.text()),
        };
        parsed.map_err(StructuredError)
    }

    /// Returns the tool calls of the answer, in order.
    pub fn tool_calls(&self) -> impl Iterator<Item = &ToolCall> {
        self.items.iter().filter_map(|item| match item {
            OutputItem::ToolCall(call) => Some(call),
            _ => None,
        })
    }

    /// Returns the reasoning items of the answer, in order.
    pub fn thinking(&self) -> impl Iterator<Item = &Thinking> {
        self.items.iter().filter_map(|item| match item {
            OutputItem::Thinking(thinking) => Some(thinking),
            _ => None,
        })
    }

    /// Returns the place and reason of a schema mismatch, for an answer with the problem
    /// [`InvalidStructured`](crate::Problem::InvalidStructured).
    pub fn schema_error(&self) -> Option<&SchemaError> {
        self.items.iter().find_map(|item| match item {
            OutputItem::SchemaError(error) => Some(error),
            _ => None,
        })
    }

    /// Returns the text of the model's refusal.
    pub fn refusal(&self) -> Option<&str> {
        self.items.iter().find_map(|item| match item {
            OutputItem::Refusal(text) => Some(text.as_str()),
            _ => None,
        })
    }
}

/// Error for an answer that does not deserialize into the expected type.
///
/// ```no_run
/// # fn read(output: &lmbatch_core::LMOutput) {
/// match output.structured::<Vec<u8>>() {
///     Ok(numbers) => println!("{numbers:?}"),
///     Err(error) => println!("{error}"),
/// }
/// # }
/// ```
#[derive(Debug, thiserror::Error)]
#[error("the answer is not the structured value that was expected")]
pub struct StructuredError(#[source] serde_json::Error);

/// One item of an answer.
///
/// ```
/// # use lmbatch_core as lmbatch;
/// let item = lmbatch::OutputItem::Text("four".into());
/// assert_eq!(serde_json::to_string(&item)?, r#"{"type":"text","value":"four"}"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
///
/// ```no_run
/// # use lmbatch_core as lmbatch;
/// # fn words(output: &lmbatch::LMOutput) -> usize {
/// use lmbatch::OutputItem;
/// output.items.iter().filter(|item| matches!(item, OutputItem::Text(_))).count()
/// # }
/// ```
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "value", rename_all = "snake_case")]
#[non_exhaustive]
pub enum OutputItem {
    /// Plain text of the answer.
    Text(String),
    /// Value of a structured answer, which fits its schema.
    Structured(Value),
    /// Place and reason of a schema mismatch, in place of the structured value.
    SchemaError(SchemaError),
    /// A tool call that the model made.
    ToolCall(ToolCall),
    /// The model's reasoning (thinking).
    Thinking(Thinking),
    /// Text of the model's refusal.
    Refusal(String),
    /// A file that the model made, such as an image or audio.
    Attachment(Attachment),
    /// Intermediate text that the model marks as not part of the answer.
    Commentary(String),
    /// A citation of a source, as the provider's JSON.
    Citation(Value),
    /// Further data about the answer, such as log probabilities or safety ratings.
    Detail {
        /// The provider's name of the data.
        name: String,
        /// The provider's JSON, unchanged.
        value: Value,
    },
    /// Any other item, as the provider's JSON.
    Other(Value),
}

impl fmt::Debug for OutputItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "Text({} B)", text.len()),
            Self::Refusal(text) => write!(f, "Refusal({} B)", text.len()),
            Self::Structured(_) => f.write_str("Structured"),
            Self::SchemaError(error) => error.fmt(f),
            Self::ToolCall(call) => call.fmt(f),
            Self::Thinking(thinking) => thinking.fmt(f),
            Self::Attachment(attachment) => attachment.fmt(f),
            Self::Commentary(text) => write!(f, "Commentary({} B)", text.len()),
            Self::Citation(_) => f.write_str("Citation"),
            Self::Detail { name, .. } => write!(f, "Detail({name})"),
            Self::Other(_) => f.write_str("Other"),
        }
    }
}

/// Reason why an answer ended.
///
/// ```
/// use lmbatch_core::FinishReason;
/// assert_eq!(FinishReason::from("tool_use".to_owned()), FinishReason::ToolUse);
/// assert_eq!(FinishReason::from("sleepy".to_owned()).as_str(), "sleepy");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
#[non_exhaustive]
pub enum FinishReason {
    /// The answer is complete.
    Stop,
    /// The answer reached the largest allowed number of tokens.
    Length,
    /// The model called a tool and waits for the result.
    ToolUse,
    /// The model refused to answer.
    Refusal,
    /// The provider's content filter stopped the answer.
    ContentFilter,
    /// The provider paused a long answer; a new request that includes it continues it.
    Paused,
    /// Another reason, as the provider's own word.
    Other(String),
}

impl FinishReason {
    /// Returns the reason as one word in snake case, as JSON holds it.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::ToolUse => "tool_use",
            Self::Refusal => "refusal",
            Self::ContentFilter => "content_filter",
            Self::Paused => "paused",
            Self::Other(word) => word,
        }
    }
}

impl From<String> for FinishReason {
    fn from(word: String) -> Self {
        match word.as_str() {
            "stop" => Self::Stop,
            "length" => Self::Length,
            "tool_use" => Self::ToolUse,
            "refusal" => Self::Refusal,
            "content_filter" => Self::ContentFilter,
            "paused" => Self::Paused,
            _ => Self::Other(word),
        }
    }
}

impl From<FinishReason> for String {
    fn from(reason: FinishReason) -> Self {
        reason.as_str().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn output(items: Vec<OutputItem>) -> LMOutput {
        LMOutput::new(items)
    }

    #[test]
    fn a_structured_answer_comes_from_its_item_or_from_the_text() {
        let item = output(vec![
            OutputItem::Text("{".into()),
            OutputItem::Structured(json!([1])),
        ]);
        assert_eq!(item.structured::<Vec<u8>>().unwrap(), [1]);
        let text = output(vec![
            OutputItem::Text("[1,".into()),
            OutputItem::Text("2]".into()),
        ]);
        assert_eq!(text.structured::<Vec<u8>>().unwrap(), [1, 2]);
        assert!(text.structured::<String>().is_err());
    }

    #[test]
    fn an_answer_becomes_a_message_with_its_thinking_and_tool_calls() {
        let thinking = Thinking {
            signature: Some("s".into()),
            ..Thinking::default()
        };
        let call = ToolCall {
            id: "1".into(),
            name: "add".into(),
            arguments: crate::JsonBuf::from_text("[2,2]").unwrap(),
        };
        let whole = output(vec![
            OutputItem::Thinking(thinking.clone()),
            OutputItem::Text("4".into()),
            OutputItem::Structured(json!(4)),
            OutputItem::ToolCall(call.clone()),
            OutputItem::Other(json!({})),
        ]);
        let contents: [MessageContent; 3] = [thinking.into(), "4".into(), call.into()];
        assert_eq!(whole.to_message(), Message::assistant(contents));
        let value = output(vec![OutputItem::Structured(json!([1]))]);
        assert_eq!(value.to_message(), Message::assistant("[1]"));
    }

    #[test]
    fn an_answer_round_trips_as_json_and_its_debug_shows_no_content() {
        let whole = output(vec![
            OutputItem::Text("canary".into()),
            OutputItem::Other(json!({"x": "canary"})),
        ]);
        assert_eq!(
            serde_json::from_str::<LMOutput>(&serde_json::to_string(&whole).unwrap()).unwrap(),
            whole
        );
        assert!(!format!("{whole:?}").contains("canary"));
    }
}
