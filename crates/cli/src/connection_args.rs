//! Arguments that name the provider's API and the state folder.

use std::path::PathBuf;

/// State folder in which runs are recorded.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct StateArgs {
    /// State folder, in which runs are recorded [default: `state` of the nearest lmbatch.toml; else the nearest
    /// .lmbatch made by `lmbatch init`, in this folder or above it; else `state` of the user's own lmbatch.toml; else
    /// the user's own].
    #[arg(long, value_name = "FOLDER", env = "LMBATCH_STATE_DIR")]
    pub(crate) state_dir: Option<PathBuf>,
}

/// Address of a provider's API, and the variable with its key.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ConnectionArgs {
    /// Base URL of the provider's API [default: the provider's own].
    #[arg(long, value_name = "URL")]
    pub(crate) base_url: Option<String>,
    /// Environment variable that holds the API key [default: the provider's own].
    #[arg(long, value_name = "NAME")]
    pub(crate) key_env: Option<String>,
}
