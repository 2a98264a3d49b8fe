//! Arguments of `selftest`.

use std::time::Duration;

use lmbatch::Cost;

use crate::connection_args::ConnectionArgs;
use crate::emulator_args::EmulatorArgs;
use crate::exit::Failure;
use crate::paying_args::PricesArgs;

/// Subject of a self-test, its limits, and its report.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("subject").required(true).multiple(true).args(["provider", "model"]))]
pub(crate) struct SelftestArgs {
    /// Provider to test, such as openai; not needed with -m.
    #[arg(short, long)]
    pub(crate) provider: Option<String>,
    /// Model that answers the requests, such as openai/gpt-5.4-mini [default: the provider's cheapest model that has a
    /// known batch price and has not retired].
    #[arg(short, long, value_name = "PROVIDER/MODEL")]
    pub(crate) model: Option<String>,
    /// Endpoint or upload method, one of those that `providers` lists for the provider [default: the first].
    #[arg(long, value_name = "ROUTE")]
    pub(crate) route: Option<String>,
    /// Largest cost of the self-test in US dollars. Nothing is sent if the batches may cost more, or if the price of
    /// the model is unknown.
    #[arg(long, value_name = "USD", default_value = "0.05")]
    pub(crate) max_cost: Cost,
    /// Test without a cost limit, also a model whose price is unknown.
    #[arg(long, conflicts_with = "max_cost")]
    pub(crate) no_max_cost: bool,
    /// Maximum number of output tokens per answer.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_tokens: u32,
    #[command(flatten)]
    pub(crate) prices: PricesArgs,
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
    /// Test against an emulator on this machine, without a key or a bill.
    #[arg(long)]
    pub(crate) emulate: bool,
    #[command(flatten)]
    pub(crate) emulator: EmulatorArgs,
    /// Keep the batches and files of the self-test at the provider.
    #[arg(long)]
    pub(crate) keep: bool,
    /// Longest wait for each event at the provider, such as the end of a batch.
    #[arg(long, value_name = "DUR", default_value = "30min", value_parser = humantime::parse_duration)]
    pub(crate) timeout: Duration,
    /// Time between two polls, such as 30s [default: from 0.5s growing to 2s for lists, and from 2s growing to 60s for
    /// batches].
    #[arg(long, value_name = "DUR", value_parser = humantime::parse_duration)]
    pub(crate) poll_interval: Option<Duration>,
    /// Print the report as one JSON object instead of Markdown.
    #[arg(long)]
    pub(crate) json: bool,
}

impl SelftestArgs {
    /// Refuses options that exclude each other.
    ///
    /// # Errors
    /// Usage, with the names of the options.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        if !self.emulate {
            return self.emulator.refuse();
        }
        match self.connection.base_url {
            Some(_) => Err(Failure::usage(
                "--base-url and --emulate exclude each other",
            )),
            None => Ok(()),
        }
    }

    /// Returns the largest cost of the self-test; `None` without a limit. An emulated one costs nothing.
    pub(crate) fn limit(&self) -> Option<Cost> {
        (!self.no_max_cost && !self.emulate).then_some(self.max_cost)
    }
}
