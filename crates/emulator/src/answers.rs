//! Answers that a program gives in place of the emulated model.

use std::fmt;
use std::sync::Arc;

/// Request whose answer a program may give, see [`EmulatorBuilder::answers`](crate::EmulatorBuilder::answers).
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Prompt<'a> {
    /// Text of the last user message, with a placeholder such as `[image]` for each part that is not text.
    pub text: &'a str,
    /// True if the request asks for an answer that fits a JSON Schema.
    pub is_structured: bool,
}

type Function = dyn Fn(Prompt<'_>) -> Option<String> + Send + Sync;

/// Function that gives answers, if the program has set one.
#[derive(Clone, Default)]
pub(crate) struct Answers(Option<Arc<Function>>);

impl Answers {
    pub(crate) fn new(
        function: impl Fn(Prompt<'_>) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        Self(Some(Arc::new(function)))
    }

    /// Returns the program's answer; `None` where the emulated model answers.
    pub(crate) fn text(&self, prompt: Prompt<'_>) -> Option<String> {
        self.0.as_ref().and_then(|function| function(prompt))
    }
}

impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answers")
    }
}
