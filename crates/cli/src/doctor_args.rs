//! Arguments of `doctor`.

use std::time::Duration;

use crate::connection_args::{ConnectionArgs, StateArgs};

/// Provider that is searched, and the files that are deleted.
#[derive(Debug, clap::Args)]
pub(crate) struct DoctorArgs {
    /// Provider to search, such as openai.
    #[arg(short, long)]
    pub(crate) provider: String,
    /// Delete files that no batch needs, on this machine and at the provider; batches are never deleted.
    #[arg(long)]
    pub(crate) clean: bool,
    /// Delete only uploads of at least this age; a younger one may be in use on another machine.
    #[arg(long, value_name = "DUR", default_value = "2d", value_parser = humantime::parse_duration)]
    pub(crate) older_than: Duration,
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
    #[command(flatten)]
    pub(crate) state: StateArgs,
}
