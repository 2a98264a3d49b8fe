//! Rules that every provider sets for the tools of a request, and its rules for their names.

use lmbatch_core::{GenerateOptions, RequestError, ToolChoice};

use crate::context::bad;

/// Names that a provider accepts for tools, as its reference of 2026 describes them.
struct Names {
    provider: &'static str,
    most: usize,
    also: &'static str,
    is_identifier: bool,
    words: &'static str,
}

const NAMES: [Names; 3] = [
    Names {
        provider: "openai",
        most: 64,
        also: "_-",
        is_identifier: false,
        words: "1 to 64 of a-z, A-Z, 0-9, _ and -",
    },
    Names {
        provider: "anthropic",
        most: 128,
        also: "_-",
        is_identifier: false,
        words: "1 to 128 of a-z, A-Z, 0-9, _ and -",
    },
    Names {
        provider: "google",
        most: 128,
        also: "_-.:",
        is_identifier: true,
        words: "a letter or _, then up to 127 of a-z, A-Z, 0-9, _, -, . and :",
    },
];

impl Names {
    fn accept(&self, name: &str) -> bool {
        let is_start = |c: char| c.is_ascii_alphabetic() || c == '_';
        (1..=self.most).contains(&name.len())
            && name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || self.also.contains(c))
            && (!self.is_identifier || name.starts_with(is_start))
    }
}

/// Checks the tools of a request and the choice among them.
///
/// # Errors
/// A name that the provider refuses, or a call demanded of a tool that is not there.
pub(crate) fn check_tools(options: &GenerateOptions, provider: &str) -> Result<(), RequestError> {
    let tools = options.tools.as_deref().unwrap_or_default();
    if let Some(names) = NAMES.iter().find(|names| names.provider == provider)
        && let Some(tool) = tools.iter().find(|tool| !names.accept(&tool.name))
    {
        return Err(bad(format!(
            "the tool {:?}: {provider} accepts names of {}",
            tool.name, names.words
        )));
    }
    match &options.tool_choice {
        Some(ToolChoice::Tool(name)) if tools.iter().all(|tool| tool.name != *name) => {
            Err(bad(format!("tool_choice: there is no tool {name:?}")))
        }
        Some(ToolChoice::Required) if tools.is_empty() => {
            Err(bad("tool_choice: there are no tools"))
        }
        _ => Ok(()),
    }
}
