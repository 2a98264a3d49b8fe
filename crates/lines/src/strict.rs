//! Options of an input line, in which a misspelt member is an error. The types of lmbatch-core ignore members that
//! they do not know, so that they read what a later version has stored.

use lmbatch_core::{Effort, JsonBuf, ThinkingOptions, Tool};
use serde::Deserialize;

/// Tool of an input line.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StrictTool {
    name: String,
    description: Option<String>,
    parameters: JsonBuf,
    strict: Option<bool>,
}

impl From<StrictTool> for Tool {
    fn from(tool: StrictTool) -> Self {
        Self {
            name: tool.name,
            description: tool.description,
            parameters: tool.parameters,
            strict: tool.strict,
        }
    }
}

/// Thinking options of an input line.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StrictThinking {
    effort: Option<Effort>,
    budget_tokens: Option<u32>,
}

impl From<StrictThinking> for ThinkingOptions {
    fn from(thinking: StrictThinking) -> Self {
        Self {
            effort: thinking.effort,
            budget_tokens: thinking.budget_tokens,
        }
    }
}
