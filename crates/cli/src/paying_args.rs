//! Options about prices, and about what is asked before a run is paid for.

use std::path::PathBuf;

use lmbatch::Cost;
use lmbatch::prices::PriceTable;

use crate::exit::Failure;
use crate::text_file;

/// Table of prices of a command.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct PricesArgs {
    /// Table of prices, in place of the one that lmbatch was built with.
    #[arg(long, value_name = "FILE", env = "LMBATCH_PRICES")]
    pub(crate) prices: Option<PathBuf>,
}

impl PricesArgs {
    /// Returns the table in the file, or the built-in one.
    ///
    /// # Errors
    /// Usage, with the file and the position in it, for a file that cannot be read or that is no table.
    pub(crate) fn table(&self) -> Result<PriceTable, Failure> {
        let named = self.prices.as_ref();
        let Some(path) = named.filter(|path| !path.as_os_str().is_empty()) else {
            return Ok(PriceTable::bundled());
        };
        let text = text_file::of_option("--prices", path)?;
        PriceTable::from_json(&text).map_err(|error| {
            Failure::usage(format!("--prices: {}: {error}", path.display()))
                .hint("nothing was sent; fix the table, or leave it out to use the built-in one")
        })
    }
}

/// Questions before a run, and requests that a dry run shows.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct PayingArgs {
    #[command(flatten)]
    pub(crate) prices: PricesArgs,
    /// On a terminal, ask before sending requests that may cost more than this, in US dollars, or whose price is
    /// unknown.
    #[arg(long, value_name = "USD", default_value = "10")]
    pub(crate) confirm_above: Cost,
    /// Send without asking, above --confirm-above and after a pilot.
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// With --dry-run: print the first N requests as they would be sent.
    #[arg(long, value_name = "N", requires = "dry_run")]
    pub(crate) show: Option<u64>,
    /// With --dry-run: print the request with this id as it would be sent; may be repeated.
    #[arg(long, value_name = "ID", requires = "dry_run")]
    pub(crate) show_id: Vec<String>,
}
