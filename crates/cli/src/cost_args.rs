//! Options that limit the cost of a run, and prices for commands that continue one.

use std::path::PathBuf;
use std::sync::Arc;

use lmbatch::prices::PriceTable;
use lmbatch::{Cost, CostLimit, Engine};

use crate::exit::Failure;
use crate::format;
use crate::paying_args::PricesArgs;
use crate::session::Session;

/// Limit on the cost of a run.
#[derive(Debug, Clone, Default, PartialEq, clap::Args)]
pub(crate) struct CostArgs {
    /// Largest cost of the run in US dollars, such as 5.00. A batch that may cost more than what is left is not created;
    /// the command then ends with exit code 5, and `lmbatch resume` continues with a higher limit. Kept with the run.
    #[arg(long, value_name = "USD")]
    pub(crate) max_cost: Option<Cost>,
    /// Expected number of output tokens of a request that sets no maximum; with --max-cost, such a request needs this
    /// option or --pilot. It is an estimate: longer answers may cost more than the limit. Kept with the run.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) expect_output: Option<u32>,
    /// Number of output tokens that a pilot of the run has shown for a request that sets no maximum: that of its longest
    /// answer, and an assumption until the pilot has ended.
    #[arg(skip)]
    pub(crate) pilot_output: Option<u32>,
    /// Day of the table of prices by which the limit was set.
    #[arg(skip)]
    pub(crate) prices_as_of: Option<String>,
}

impl CostArgs {
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Returns the options with the day of the table of prices, where they limit the cost.
    pub(crate) fn priced_by(self, engine: &Engine) -> Self {
        let as_of = engine.prices().map(|prices| prices.as_of().to_owned());
        Self {
            prices_as_of: as_of.filter(|_| self.max_cost.is_some()),
            ..self
        }
    }

    /// Returns the options with the number of output tokens that a pilot has shown.
    pub(crate) fn expecting_of_pilot(self, tokens: Option<u32>) -> Self {
        Self {
            pilot_output: tokens,
            ..self
        }
    }

    /// Returns the warning that a limit rests on what a pilot has shown.
    pub(crate) fn estimated_by_pilot(&self) -> Option<String> {
        let (limit, tokens) = (self.max_cost?, self.pilot_output?);
        self.expect_output.is_none().then(|| {
            format!(
                "the cost limit of {limit} expects at most {} for a request without a limit of its own, as in the pilot: longer answers can exceed it. --max-tokens makes it exact",
                format::count(u64::from(tokens), "output token", "output tokens")
            )
        })
    }

    /// Returns the options, with unset ones taken from an earlier command.
    pub(crate) fn or(self, earlier: &Self) -> Self {
        let is_new = self.max_cost.is_some();
        Self {
            max_cost: self.max_cost.or(earlier.max_cost),
            expect_output: self.expect_output.or(earlier.expect_output),
            pilot_output: earlier.pilot_output,
            prices_as_of: match is_new {
                true => self.prices_as_of,
                false => earlier.prices_as_of.clone(),
            },
        }
    }

    /// Returns an engine with the limit, if there is one.
    pub(crate) fn limiting(&self, engine: Engine) -> Engine {
        let Some(max) = self.max_cost else {
            return engine;
        };
        let mut limit = CostLimit::new(max);
        let expected = self.expect_output.or(self.pilot_output);
        limit.expected_output = expected.map(u64::from);
        let prices = engine.prices().cloned();
        let prices = prices.unwrap_or_else(|| Arc::new(PriceTable::bundled()));
        engine.with_cost_limit(limit, prices)
    }
}

/// Limit and prices for a command that continues a run.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct ContinuingCostArgs {
    #[command(flatten)]
    pub(crate) cost: CostArgs,
    #[command(flatten)]
    pub(crate) prices: PricesArgs,
}

/// Returns the table of prices for commands without an option that names one: that of the environment, of the
/// configuration, or the built-in one.
pub(crate) fn usual_table(session: &Session) -> Result<PriceTable, Failure> {
    let prices = std::env::var_os("LMBATCH_PRICES").map(PathBuf::from);
    let prices = prices.or_else(|| session.prices().map(PathBuf::from));
    PricesArgs { prices }.table()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_rests_on_a_pilot_is_said() {
        let cost = |max: Option<&str>, expected, shown| CostArgs {
            max_cost: max.and_then(|max| max.parse().ok()),
            expect_output: expected,
            pilot_output: shown,
            prices_as_of: None,
        };
        for (options, is_said) in [
            (cost(Some("1"), None, Some(70)), true),
            (cost(Some("1"), Some(90), Some(70)), false),
            (cost(Some("1"), None, None), false),
            (cost(None, None, Some(70)), false),
        ] {
            assert_eq!(
                options.estimated_by_pilot().is_some(),
                is_said,
                "{options:?}"
            );
        }
    }

    #[test]
    fn a_limit_stays_with_the_run_until_a_command_sets_another() {
        let cost = |text: &str| text.parse::<Cost>().ok();
        let run = CostArgs {
            max_cost: cost("1"),
            expect_output: Some(9),
            pilot_output: Some(70),
            prices_as_of: Some("2026-11-26".to_owned()),
        };
        assert_eq!(CostArgs::default().or(&run), run);
        let raised = CostArgs {
            max_cost: cost("2.50"),
            prices_as_of: Some("2026-12-01".to_owned()),
            ..CostArgs::default()
        };
        let both = CostArgs {
            expect_output: Some(9),
            pilot_output: Some(70),
            ..raised.clone()
        };
        assert_eq!(raised.or(&run), both);
    }
}
