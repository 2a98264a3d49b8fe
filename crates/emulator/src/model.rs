//! The model that answers: the same words for the same request, whatever the dialect.

use serde_json::Value;

use crate::{magic, schema};

/// What a request asks, in no one's words.
pub(crate) struct Asked<'a> {
    /// The text of the last user message, with a mark for each part that is not text.
    pub(crate) text: String,
    /// Names and parameters of the tools.
    pub(crate) tools: Vec<(&'a str, &'a Value)>,
    /// The tool that must be called.
    pub(crate) forced: Option<&'a str>,
    /// Whether some tool must be.
    pub(crate) must_call: bool,
    /// What the answer must look like.
    pub(crate) schema: Option<&'a Value>,
}

/// What the model says.
pub(crate) enum Says {
    Text(String),
    Refusal,
    Tool { name: String, arguments: Value },
    Nothing,
}

/// An answer, in no one's words.
pub(crate) struct Answer {
    pub(crate) says: Says,
    pub(crate) truncated: bool,
    pub(crate) filtered: bool,
    pub(crate) failed: bool,
    pub(crate) unknown_item: bool,
    pub(crate) input_tokens: u64,
    pub(crate) output_tokens: u64,
    /// Of the output.
    pub(crate) thinking_tokens: u64,
}

pub(crate) fn answer(asked: &Asked<'_>) -> Answer {
    let text = asked.text.as_str();
    let says = says(asked);
    let words = match &says {
        Says::Text(text) => text.len(),
        Says::Tool { arguments, .. } => arguments.to_string().len(),
        Says::Refusal => 20,
        Says::Nothing => 0,
    };
    // Four bytes a token, as a rule of thumb.
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

fn says(asked: &Asked<'_>) -> Says {
    let text = asked.text.as_str();
    if text.contains(magic::REFUSE) {
        return Says::Refusal;
    }
    if text.contains(magic::EMPTY) {
        return Says::Nothing;
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
