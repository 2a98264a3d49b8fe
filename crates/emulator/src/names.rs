//! Names of the providers, as bill and faults have them.

/// OpenAI.
pub(crate) const OPENAI: &str = "openai";
/// Anthropic.
pub(crate) const ANTHROPIC: &str = "anthropic";
/// Google.
pub(crate) const GOOGLE: &str = "google";
