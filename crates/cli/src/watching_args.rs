//! Arguments of the commands that show and watch runs, and of the hook at the end of a run.

use std::path::PathBuf;
use std::time::Duration;

use crate::byte_size::ByteSize;
use crate::connection_args::{ConnectionArgs, StateArgs};

#[derive(Debug, clap::Args)]
pub(crate) struct StatusArgs {
    /// Run, by its id, its name or the beginning of its id; with -p, the id of a batch [default: every unfinished
    /// run].
    #[arg(value_name = "RUN|BATCH")]
    pub(crate) batch: Option<String>,
    /// Provider of the batch; not needed for a run.
    #[arg(short, long, requires = "batch")]
    pub(crate) provider: Option<String>,
    /// Handle file of the batch, which `create` wrote, in place of the batch and its provider.
    #[arg(long, value_name = "FILE", conflicts_with = "watch")]
    pub(crate) handle: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
    #[command(flatten)]
    pub(crate) state: StateArgs,
    /// Show the status of runs again every 2 seconds until they have ended; in a pipe, and with --json, print a line at each
    /// change.
    #[arg(long, conflicts_with = "provider")]
    pub(crate) watch: bool,
    /// Print one JSON object, or one for each run.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct WaitArgs {
    /// Id or name of the run, or at least the first 4 characters of its id.
    pub(crate) run: String,
    /// Longest time to wait, such as 2h; the exit code is 4 if the run has not ended by then [default: no limit].
    #[arg(long, value_name = "DUR", value_parser = humantime::parse_duration)]
    pub(crate) timeout: Option<Duration>,
    /// Print the run as one JSON object at the end, as `status --json` does, with the number of usable outputs.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) state: StateArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RunsArgs {
    /// Maximum number of runs to list, newest first; 0 for all.
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) limit: usize,
    /// List emulated runs, which are recorded apart from paid ones.
    #[arg(long)]
    pub(crate) emulated: bool,
    /// List every run.
    #[arg(long, conflicts_with = "limit")]
    pub(crate) all: bool,
    /// Show the bytes that each run has on this disk, and warn above --size-limit.
    #[arg(long)]
    pub(crate) size: bool,
    /// Size of the state folder above which --size prints a warning, such as 10GB or a number of bytes.
    #[arg(
        long,
        value_name = "SIZE",
        requires = "size",
        env = "LMBATCH_WARN_ABOVE",
        default_value = "10GB"
    )]
    pub(crate) size_limit: ByteSize,
    /// Print one JSON object per run.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) state: StateArgs,
}

/// Hook at the end of a run.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct OnFinishArgs {
    /// Shell command to run once the run has ended or failed, with LMBATCH_RUN, LMBATCH_EXIT, LMBATCH_OUTPUT and
    /// LMBATCH_SUMMARY (JSON) in its environment. Its output goes to stderr; its failure is a warning.
    #[arg(long, value_name = "CMD")]
    pub(crate) on_finish: Option<String>,
}
