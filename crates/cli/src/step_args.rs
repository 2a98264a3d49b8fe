//! Options that limit how many calls are made at once.

use lmbatch::{Engine, StepLimits};

/// Maximum number of calls at once, by kind. All runs of the command are counted together.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub(crate) struct StepArgs {
    /// Maximum number of inputs that are uploaded at once [default: 4].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) uploads_at_once: Option<u16>,
    /// Maximum number of creates that are sent at once [default: 4].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) creates_at_once: Option<u16>,
    /// Maximum number of polls and searches that are made at once [default: 8].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) polls_at_once: Option<u16>,
    /// Maximum number of results that are downloaded at once [default: 4].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) downloads_at_once: Option<u16>,
}

impl StepArgs {
    /// Sets the limits of an engine.
    pub(crate) fn limiting(self, engine: Engine) -> Engine {
        let usual = StepLimits::default();
        let or = |limit: Option<u16>, usual| limit.map_or(usual, usize::from);
        engine.with_limits(StepLimits {
            uploads: or(self.uploads_at_once, usual.uploads),
            creates: or(self.creates_at_once, usual.creates),
            polls: or(self.polls_at_once, usual.polls),
            fetches: or(self.downloads_at_once, usual.fetches),
        })
    }
}
