//! The emulated model, which answers the same request with the same text in every dialect.

use serde_json::Value;

use crate::answers::{Answers, Prompt};
use crate::{magic, schema};

/// Content of a request, independent of the dialect.
pub(crate) struct Asked<'a> {
    /// Text of the last user message, with a placeholder for each part that is not text.
    pub(crate) text: String,
    /// Names and parameter schemas of the tools.
    pub(crate) tools: Vec<(&'a str, &'a Value)>,
    /// Name of the tool that must be called.
    pub(crate) forced: Option<&'a str>,
    /// True if the model must call a tool.
    pub(crate) must_call: bool,
    /// Schema of the answer.
    pub(crate) schema: Option<&'a Value>,
}

/// Content of an answer.
pub(crate) enum Says {
    Text(String),
    Refusal,
    Tool { name: String, arguments: Value },
    Nothing,
}

/// An answer, independent of the dialect.
pub(crate) struct Answer {
    pub(crate) says: Says,
    pub(crate) truncated: bool,
    pub(crate) filtered: bool,
    pub(crate) failed: bool,
    pub(crate) unknown_item: bool,
    pub(crate) input_tokens: u64,
    pub(crate) output_tokens: u64,
    /// Number of output tokens that are thoughts.
    pub(crate) thinking_tokens: u64,
}

/// Returns the answer to a request: the program's, where it gives one, else the emulated model's. Words of [`magic`]
/// hold for both.
pub(crate) fn answer(asked: &Asked<'_>, answers: &Answers) -> Answer {
    let text = asked.text.as_str();
    let says = says(asked, answers);
    let words = match &says {
        Says::Text(text) => text.len(),
        Says::Tool { arguments, .. } => arguments.to_string().len(),
        Says::Refusal => 20,
        Says::Nothing => 0,
    };
    // Four bytes a token is a common estimate.
    let tokens = |bytes: usize| bytes.div_ceil(4).max(1) as u64;
    let thinking_tokens = if text.contains(magic::THINK) { 7 } else { 0 };
    Answer {
        says,
        truncated: text.contains(magic::TRUNCATE),
        filtered: text.contains(magic::FILTER),
        failed: text.contains(magic::FAILED),
        unknown_item: text.contains(magic::UNKNOWN_ITEM),
        input_tokens: tokens(text.len()),
        output_tokens: tokens(words) + thinking_tokens,
        thinking_tokens,
    }
}

fn says(asked: &Asked<'_>, answers: &Answers) -> Says {
    let text = asked.text.as_str();
    if text.contains(magic::REFUSE) {
        return Says::Refusal;
    }
    if text.contains(magic::EMPTY) {
        return Says::Nothing;
    }
    let prompt = Prompt {
        text,
        is_structured: asked.schema.is_some(),
    };
    if let Some(text) = answers.text(prompt) {
        return Says::Text(text);
    }
    if asked.forced.is_some() || asked.must_call || text.contains(magic::TOOL) {
        let tool = asked
            .tools
            .iter()
            .find(|(name, _)| asked.forced.is_none_or(|forced| forced == *name));
        if let Some((name, parameters)) = tool {
            return Says::Tool {
                name: (*name).to_owned(),
                arguments: schema::instance(parameters, parameters, 4),
            };
        }
    }
    match asked.schema {
        Some(_) if text.contains(magic::INVALID_JSON) => Says::Text("{\"not\": json".to_owned()),
        Some(_) if text.contains(magic::SCHEMA_MISS) => {
            Says::Text("[\"not what was asked\"]".to_owned())
        }
        Some(wanted) => Says::Text(schema::instance(wanted, wanted, 4).to_string()),
        None => Says::Text(format!("echo: {text}")),
    }
}
