//! Provider, model and defaults of an input, and the error of a line that cannot be read.

use std::path::PathBuf;

use lmbatch_core::{GenerateOptions, RequestError};

/// Provider, model and defaults that every line of an input is read against.
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
    /// Options of a request where its line does not set them.
    pub options: GenerateOptions,
    /// Folder in which the paths of attachments start, and which they may not leave.
    pub folder: PathBuf,
    /// True where attachments may have paths. Standard input has no folder of its own, for example.
    pub reads_files: bool,
    /// Endpoints whose bodies the provider takes byte for byte, see
    /// [`Capabilities::raw_endpoints`](lmbatch_core::Capabilities::raw_endpoints).
    pub raw_endpoints: &'static [&'static str],
}

impl InputContext {
    /// Returns the context of a provider and a model: without default options, files or raw endpoints.
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

    /// Sets the options of a request where its line does not set them.
    pub fn with_options(mut self, options: GenerateOptions) -> Self {
        self.options = options;
        self
    }

    /// Lets attachments have paths, which start in a folder and may not leave it.
    pub fn with_folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = folder.into();
        self.reads_files = true;
        self
    }

    /// Sets the endpoints whose bodies the provider takes byte for byte.
    pub fn with_raw_endpoints(mut self, endpoints: &'static [&'static str]) -> Self {
        self.raw_endpoints = endpoints;
        self
    }
}

/// A request that cannot be sent, and why.
pub(crate) fn bad(reason: impl Into<String>) -> RequestError {
    RequestError::invalid_input(reason)
}
