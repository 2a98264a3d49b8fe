//! Estimated tokens and cost of the requests of an input, from a table of prices.

use std::collections::BTreeSet;
use std::time::SystemTime;

use lmbatch::engine::PlannedRequest;
use lmbatch::prices::PriceTable;
use lmbatch::{CostRange, Prices as _, Pricing, TokenUsage};

/// Number of output tokens that is assumed for a request without a limit.
pub(crate) const ASSUMED_OUTPUT: u32 = 1_000;

/// Adds up requests as they are planned.
#[derive(Debug)]
pub(crate) struct Estimator {
    table: PriceTable,
    provider: &'static str,
    at: SystemTime,
    /// Output tokens of each request, as the user expects them.
    expected: Option<u32>,
    estimate: Estimate,
}

/// Estimated tokens and cost of the requests of an input.
#[derive(Debug, Clone)]
pub(crate) struct Estimate {
    pub(crate) input_tokens: u64,
    pub(crate) output_tokens: u64,
    /// Cost of the input; `None` where the price of a request is unknown.
    pub(crate) input: Option<CostRange>,
    /// Cost of the output; `None` where the price of a request is unknown.
    pub(crate) output: Option<CostRange>,
    /// Number of requests whose output has no limit, and is assumed to be [`ASSUMED_OUTPUT`].
    pub(crate) unlimited: u64,
    /// Number of requests with attachments, whose tokens are estimated from their bytes.
    pub(crate) attached: u64,
    /// Output tokens of each request, as the user expects them.
    pub(crate) expected: Option<u32>,
    pub(crate) models: BTreeSet<String>,
    pub(crate) endpoints: BTreeSet<String>,
}

impl Estimator {
    pub(crate) fn new(
        table: PriceTable,
        provider: &'static str,
        at: SystemTime,
        expected: Option<u32>,
    ) -> Self {
        Self {
            table,
            provider,
            at,
            expected,
            estimate: Estimate {
                input_tokens: 0,
                output_tokens: 0,
                input: Some(CostRange::ZERO),
                output: Some(CostRange::ZERO),
                unlimited: 0,
                attached: 0,
                expected,
                models: BTreeSet::new(),
                endpoints: BTreeSet::new(),
            },
        }
    }

    /// Adds a request.
    pub(crate) fn add(&mut self, request: &PlannedRequest<'_>) {
        let estimate = &mut self.estimate;
        let limit = request.max_output_tokens();
        if self.expected.is_none() && limit.is_none() {
            estimate.unlimited += 1;
        }
        let output = self.expected.or(limit).unwrap_or(ASSUMED_OUTPUT);
        let input = request.estimated_input_tokens();
        estimate.input_tokens += input;
        estimate.output_tokens += u64::from(output);
        estimate.attached += u64::from(request.has_attachments());
        if !estimate.endpoints.contains(request.endpoint()) {
            estimate.endpoints.insert(request.endpoint().to_owned());
        }
        let model = request.model().unwrap_or_default();
        if !estimate.models.contains(&*model) {
            estimate.models.insert(model.clone().into_owned());
        }
        let prices = self.table.find(self.provider, &model);
        let rates = prices.and_then(|prices| prices.rates(Pricing::Batch, self.at, input));
        let cost = |input_tokens, output_tokens| {
            rates?.cost(&TokenUsage {
                input_tokens,
                output_tokens,
                ..TokenUsage::default()
            })
        };
        let sum = |sum: Option<CostRange>, cost: Option<CostRange>| Some(sum? + cost?);
        estimate.input = sum(estimate.input, cost(input, 0));
        estimate.output = sum(estimate.output, cost(0, u64::from(output)));
    }

    /// Returns the estimate so far.
    pub(crate) fn estimate(&self) -> &Estimate {
        &self.estimate
    }

    /// Returns the day of the table, such as 2026-11-26.
    pub(crate) fn as_of(&self) -> &str {
        self.table.as_of()
    }

    /// Returns the models that retire within a time, each with its day, and whether that day has come.
    pub(crate) fn retiring(&self, within: std::time::Duration) -> Vec<(String, String, bool)> {
        let models = self.estimate.models.iter();
        let retiring = models.filter_map(|model| {
            let retires = self.table.retires(self.provider, model)?;
            let day = self.table.find(self.provider, model)?.retires()?;
            let has_retired = retires <= self.at;
            (retires <= self.at + within).then(|| (model.clone(), day.to_owned(), has_retired))
        });
        retiring.collect()
    }

    /// Returns the day on which a model retires, where it is known.
    pub(crate) fn retires(&self, model: &str) -> Option<&str> {
        self.table.find(self.provider, model)?.retires()
    }
}

impl Estimate {
    /// Returns the cost of input and output; `None` where a price is unknown.
    pub(crate) fn total(&self) -> Option<CostRange> {
        Some(self.input? + self.output?)
    }
}

#[cfg(test)]
mod tests {
    use lmbatch::BatchLimit;
    use lmbatch::adapter::parse_time;
    use lmbatch::engine::check_each;

    use clap::Parser as _;

    use super::*;
    use crate::args::SettingsArgs;
    use crate::{input, model};

    #[derive(clap::Parser)]
    struct OneModel {
        #[command(flatten)]
        settings: SettingsArgs,
    }

    /// Returns the estimate of an input for a model, on the day after that of the built-in table.
    fn estimate(model: &str, lines: &str, expected: Option<u32>) -> Estimator {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("in.jsonl");
        std::fs::write(&path, lines).unwrap();
        let settings = OneModel::parse_from(["estimate", "-m", model]).settings;
        let model = model::parse(model).unwrap();
        let codec = model.provider.codec(model.provider.routes()[0]);
        let (options, stop) = (Default::default(), Default::default());
        let source = input::open(&path, &settings, &model, options, &[], &stop).unwrap();
        let at = parse_time("2026-11-27T12:00:00Z").unwrap();
        let table = PriceTable::bundled();
        let mut estimator = Estimator::new(table, model.provider.id(), at, expected);
        check_each(
            &*codec,
            Box::new(source),
            BatchLimit::default(),
            &mut |request| estimator.add(request),
        )
        .unwrap();
        estimator
    }

    #[test]
    fn input_is_counted_from_bytes_and_output_from_the_limit_or_an_assumption() {
        let lines = "{\"id\": 1, \"prompt\": \"Hi\"}\n{\"id\": 2, \"prompt\": \"Hello\", \"hyperparameters\": {\"max_tokens\": 50}}\n";
        let estimator = estimate("openai/gpt-5.4-mini", lines, None);
        let found = estimator.estimate();
        assert_eq!((found.output_tokens, found.unlimited), (1_050, 1));
        // 2.25 micro-dollars a token.
        assert_eq!(found.output.unwrap().to_string(), "$0.0023625");
        let input = found.input.unwrap();
        assert_eq!(
            input.low.picodollars(),
            u128::from(found.input_tokens) * 375_000
        );
        assert!(input.is_exact() && found.input_tokens > 40, "{found:?}");
        assert_eq!(found.total().unwrap(), input + found.output.unwrap());
        let expecting = estimate("openai/gpt-5.4-mini", lines, Some(10));
        let found = expecting.estimate();
        assert_eq!((found.output_tokens, found.unlimited), (20, 0));
    }

    #[test]
    fn a_model_without_a_price_has_tokens_and_no_cost() {
        let found = estimate("openai/my-model", "{\"id\": 1, \"prompt\": \"Hi\"}\n", None);
        let found = found.estimate();
        assert!(found.input_tokens > 0);
        assert_eq!(
            (found.input, found.output, found.total()),
            (None, None, None)
        );
    }

    #[test]
    fn a_model_that_retires_within_a_day_is_found() {
        let line = "{\"id\": 1, \"prompt\": \"Hi\"}\n";
        let day = std::time::Duration::from_secs(24 * 3600);
        let soon = estimate("anthropic/claude-sonnet-4-5", line, None);
        assert_eq!(soon.retiring(day), []);
        let sooner = soon.retiring(4 * day);
        let expected = (
            "claude-sonnet-4-5".to_owned(),
            "2026-11-30".to_owned(),
            false,
        );
        assert_eq!(sooner, [expected]);
    }
}
