//! Options about answers that do not fit their schemas.

/// Repairs of a run.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub(crate) struct RepairArgs {
    /// Send each answer that does not fit its schema back to be corrected, with the position and the reason, up to N times
    /// beyond --max-attempts; each repair is billed [default: 0]. Kept with the run.
    #[arg(long = "repair", value_name = "N")]
    pub(crate) repairs: Option<u32>,
}

/// Repairs of a run that is continued.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub(crate) struct ContinuingRepairArgs {
    /// Send each answer that does not fit its schema back to be corrected, with the position and the reason, up to N times
    /// beyond --max-attempts; each repair is billed [default: the run's own setting, or 0].
    #[arg(long = "repair", value_name = "N")]
    pub(crate) repairs: Option<u32>,
}
