//! Provider, model and defaults of an input, and the error of a line that cannot be read.

use std::path::PathBuf;

use lmbatch_core::{GenerateOptions, RequestError};

/// Provider, model and defaults with which every line of an input is read.
///
/// ```
/// use lmbatch_lines::InputContext;
/// let context = InputContext::new("openai", "gpt-x").with_raw_endpoints(&["/v1/responses"]);
/// assert!(!context.reads_files);
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct InputContext {
    /// Provider's name in error messages.
    pub provider: String,
    /// Model that answers every request.
    pub model: String,
    /// Default options of a request, which its line may override.
    pub options: GenerateOptions,
    /// Folder to which the paths of attachments are relative, and inside which they must stay.
    pub folder: PathBuf,
    /// True if attachments may have paths. An input without a folder, such as standard input, has none.
    pub reads_files: bool,
    /// Endpoints whose bodies are sent to the provider byte for byte, see
    /// [`Capabilities::raw_endpoints`](lmbatch_core::Capabilities::raw_endpoints).
    pub raw_endpoints: &'static [&'static str],
}

impl InputContext {
    /// Returns the context of a provider and a model, without default options, files or raw endpoints.
    pub fn new(provider: impl Into<String>, model: impl Into<String>) -> Self {
        Self {
            provider: provider.into(),
            model: model.into(),
            options: GenerateOptions::default(),
            folder: PathBuf::new(),
            reads_files: false,
            raw_endpoints: &[],
        }
    }

    /// Sets the default options of a request, which its line may override.
    pub fn with_options(mut self, options: GenerateOptions) -> Self {
        self.options = options;
        self
    }

    /// Allows attachments with paths, which are relative to the folder and must stay inside it.
    pub fn with_folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = folder.into();
        self.reads_files = true;
        self
    }

    /// Sets the endpoints whose bodies are sent to the provider byte for byte.
    pub fn with_raw_endpoints(mut self, endpoints: &'static [&'static str]) -> Self {
        self.raw_endpoints = endpoints;
        self
    }

    /// Returns the names of the default options that are set. A schema mode alone changes no request.
    pub(crate) fn option_names(&self) -> Vec<&str> {
        let GenerateOptions {
            system,
            tools,
            tool_choice,
            schema,
            schema_mode: _,
            thinking,
            hyperparameters: parameters,
        } = &self.options;
        let thinking = thinking.unwrap_or_default();
        let named = [
            (system.is_some(), "system"),
            (tools.is_some(), "tools"),
            (tool_choice.is_some(), "tool_choice"),
            (schema.is_some(), "schema"),
            (thinking.effort.is_some(), "effort"),
            (thinking.budget_tokens.is_some(), "budget_tokens"),
            (parameters.max_output_tokens.is_some(), "max_tokens"),
            (parameters.temperature.is_some(), "temperature"),
            (parameters.top_p.is_some(), "top_p"),
            (parameters.top_k.is_some(), "top_k"),
            (parameters.stop.is_some(), "stop"),
            (parameters.seed.is_some(), "seed"),
            (parameters.presence_penalty.is_some(), "presence_penalty"),
            (parameters.frequency_penalty.is_some(), "frequency_penalty"),
        ];
        let set = named.iter().filter(|(is_set, _)| *is_set);
        let extra = parameters.extra.keys().map(String::as_str);
        set.map(|(_, name)| *name).chain(extra).collect()
    }
}

/// Returns the error of a request that cannot be sent, with its reason.
pub(crate) fn bad(reason: impl Into<String>) -> RequestError {
    RequestError::invalid_input(reason)
}
