//! What every line is read against, and the error of one that cannot be read.

use std::path::PathBuf;

use lmbatch_core::{GenerateOptions, RequestError};

/// What every line is read against.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) provider: &'static str,
    pub(crate) model: String,
    pub(crate) options: GenerateOptions,
    /// Folder that paths of attachments start from and may not leave.
    pub(crate) folder: PathBuf,
    /// Whether attachments may have paths: standard input has no folder of its own.
    pub(crate) reads_files: bool,
    pub(crate) raw_endpoints: &'static [&'static str],
}

/// A request that cannot be sent, and why.
pub(super) fn bad(reason: impl Into<String>) -> RequestError {
    RequestError::invalid_input(reason)
}
