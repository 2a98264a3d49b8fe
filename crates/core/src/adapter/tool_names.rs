//! Check of the tools of a request: their names, and the choice among them.

use crate::{GenerateView, RequestError, ToolChoice};

/// Rule of a provider for the names of tools: ASCII letters and digits, and some punctuation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ToolNames {
    /// Largest length of a name in bytes.
    pub max_len: usize,
    /// Punctuation that is allowed in a name, such as `_-`.
    pub punctuation: &'static str,
    /// `true` if a name must begin with a letter or an underscore.
    pub begins_with_letter: bool,
}

impl ToolNames {
    fn allows(&self, name: &str) -> bool {
        let is_first = |c: char| !self.begins_with_letter || c.is_ascii_alphabetic() || c == '_';
        name.len() <= self.max_len
            && name.starts_with(is_first)
            && name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || self.punctuation.contains(c))
    }

    fn described(&self) -> String {
        let punctuation: String = self.punctuation.chars().flat_map(|c| [' ', c]).collect();
        let first = match self.begins_with_letter {
            true => ", the first a letter or _",
            false => "",
        };
        format!(
            "1 to {} characters of a-z A-Z 0-9{punctuation}{first}",
            self.max_len
        )
    }

    /// Checks the tools of a request and the choice among them.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a name that the provider refuses, and for a
    /// choice of a tool that the request does not have.
    pub fn check(&self, provider: &str, view: &GenerateView<'_>) -> Result<(), RequestError> {
        let mut names = view.tools.iter().map(|tool| tool.name.as_str());
        if let Some(name) = names.find(|name| !self.allows(name)) {
            return Err(RequestError::invalid_input(format!(
                "the tool {name:?}: {provider} accepts names of {}",
                self.described()
            )));
        }
        check_tool_choice(view)
    }
}

/// Checks that a request has the tool that its choice demands.
///
/// # Errors
/// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput), naming the missing tool.
pub fn check_tool_choice(view: &GenerateView<'_>) -> Result<(), RequestError> {
    let message = match view.tool_choice {
        Some(ToolChoice::Tool(name)) if view.tools.iter().all(|tool| tool.name != *name) => {
            format!("tool_choice: there is no tool {name:?}")
        }
        Some(ToolChoice::Required) if view.tools.is_empty() => {
            "tool_choice: there are no tools".to_owned()
        }
        _ => return Ok(()),
    };
    Err(RequestError::invalid_input(message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_by_length_characters_and_first_character() {
        let plain = ToolNames {
            max_len: 64,
            punctuation: "_-",
            begins_with_letter: false,
        };
        let identifier = ToolNames {
            max_len: 128,
            punctuation: "_-.:",
            begins_with_letter: true,
        };
        let long = |len: usize| "f".repeat(len);
        for (rule, name, allowed) in [
            (plain, "get_weather-2".to_owned(), true),
            (plain, "2f".to_owned(), true),
            (plain, "-f".to_owned(), true),
            (plain, long(64), true),
            (plain, long(65), false),
            (plain, String::new(), false),
            (plain, "ns.f".to_owned(), false),
            (plain, "a b".to_owned(), false),
            (plain, "имя".to_owned(), false),
            (identifier, "ns.f:g-h".to_owned(), true),
            (identifier, "_f".to_owned(), true),
            (identifier, "2f".to_owned(), false),
            (identifier, "-f".to_owned(), false),
            (identifier, long(128), true),
            (identifier, long(129), false),
            (identifier, String::new(), false),
        ] {
            assert_eq!(rule.allows(&name), allowed, "{name:?}");
        }
        let words = "1 to 128 characters of a-z A-Z 0-9 _ - . :, the first a letter or _";
        assert_eq!(identifier.described(), words);
        assert_eq!(plain.described(), "1 to 64 characters of a-z A-Z 0-9 _ -");
    }
}
