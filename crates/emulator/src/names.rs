//! Names of the providers in bill and faults.

/// Name of the OpenAI dialect.
pub(crate) const OPENAI: &str = "openai";
/// Name of the Anthropic dialect.
pub(crate) const ANTHROPIC: &str = "anthropic";
/// Name of the Gemini dialect.
pub(crate) const GOOGLE: &str = "google";
