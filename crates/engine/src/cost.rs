//! Cost: the limit of a run, the cost of answers, and the largest cost of a request that is not answered yet.

use std::ops::AddAssign;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lmbatch_core::{
    AnswerCost, Cost, CostRange, OutputView, Prices, Pricing, ProviderId, TokenBounds, TokenUsage,
};
use serde::Serialize;

/// Longest time from a create to the end of its batch. Prices may change in it, and the higher one is reserved.
const WINDOW: Duration = Duration::from_secs(24 * 3600);

/// Words in the error of a [cost limit](crate::Engine::with_cost_limit) about a request whose output is not limited, by
/// which a program recognises that error.
pub const NO_OUTPUT_MAXIMUM: &str = "sets no maximum number of output tokens";

/// Limit on the cost of a run.
///
/// Before each create, the largest cost of the batch is reserved: at most one input token for each byte of a request,
/// and the largest number of output tokens that the request asks for, thinking included. A batch that does not fit is
/// not created. Once results are fetched, the reservation is replaced by the cost of the answers.
///
/// ```
/// use lmbatch_engine::CostLimit;
/// let limit = CostLimit::new("12.50".parse()?).with_expected_output(400);
/// assert_eq!(limit.expected_output, Some(400));
/// # Ok::<(), lmbatch_core::CostError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CostLimit {
    /// Largest cost of the run, answers that were replaced by later ones included.
    pub max: Cost,
    /// Number of output tokens that is reserved for a request that limits them by itself in no way. It is an
    /// estimate: answers may be longer, and the run may then cost more than the limit. `None`, the default, refuses
    /// such requests.
    pub expected_output: Option<u64>,
}

impl CostLimit {
    /// Creates a limit for requests that each set a maximum number of output tokens.
    pub fn new(max: Cost) -> Self {
        Self {
            max,
            expected_output: None,
        }
    }

    /// Sets the expected number of output tokens of a request that sets no maximum: an estimate, not a bound.
    pub fn with_expected_output(mut self, tokens: u64) -> Self {
        self.expected_output = Some(tokens);
        self
    }
}

impl From<Cost> for CostLimit {
    fn from(max: Cost) -> Self {
        Self::new(max)
    }
}

/// Cost of several answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Costs {
    /// Cost of the answers whose cost is known.
    pub charged: CostRange,
    /// Smallest amount that these answers saved against the real-time API.
    pub saved: Cost,
    /// Number of answers whose cost is unknown.
    pub unknown: u64,
}

impl Costs {
    /// Adds an answer, whose cost may be unknown.
    pub fn add(&mut self, cost: Option<AnswerCost>) {
        match cost {
            Some(cost) => {
                self.charged += cost.charged;
                self.saved = self.saved.saturating_add(cost.saved());
            }
            None => self.unknown += 1,
        }
    }
}

impl AddAssign for Costs {
    fn add_assign(&mut self, other: Self) {
        self.charged += other.charged;
        self.saved = self.saved.saturating_add(other.saved);
        self.unknown = self.unknown.saturating_add(other.unknown);
    }
}

/// Prices of one provider.
#[derive(Debug, Clone)]
pub(crate) struct Pricer {
    prices: Arc<dyn Prices>,
    provider: ProviderId,
}

impl Pricer {
    pub(crate) fn new(prices: Arc<dyn Prices>, provider: ProviderId) -> Self {
        Self { prices, provider }
    }

    pub(crate) fn as_of(&self) -> &str {
        self.prices.as_of()
    }

    fn cost(
        &self,
        model: &str,
        pricing: Pricing,
        at: SystemTime,
        usage: &TokenUsage,
    ) -> Option<CostRange> {
        self.prices
            .cost(self.provider.as_str(), model, pricing, at, usage)
    }

    /// Returns the cost of an answer. The model that answered has a price, or else the requested one.
    pub(crate) fn answer(
        &self,
        output: &OutputView<'_>,
        requested: Option<&str>,
        at: SystemTime,
    ) -> Option<AnswerCost> {
        let usage = output.usage.as_ref()?;
        let priced = |model: &str| {
            Some(AnswerCost {
                charged: self.cost(model, Pricing::Batch, at, usage)?,
                real_time: self.cost(model, Pricing::RealTime, at, usage),
            })
        };
        let answered = output.model.map(|model| model.decode());
        let cost = answered.and_then(|model| priced(&model));
        cost.or_else(|| requested.and_then(priced))
    }

    /// Returns the largest cost of a request, or the reason why there is none, as a phrase after "request 5".
    pub(crate) fn largest(
        &self,
        bounds: &TokenBounds,
        of_batch: Option<&str>,
        now: SystemTime,
        expected_output: Option<u64>,
    ) -> Result<Cost, String> {
        let Some(input) = bounds.input else {
            return Err("has content whose tokens cannot be bounded, such as a document, a file or a tool at the provider; leave out the cost limit, or the content".to_owned());
        };
        let Some(each) = bounds.output.or(expected_output) else {
            return Err(format!(
                "{NO_OUTPUT_MAXIMUM}; set one, or an expected number of output tokens"
            ));
        };
        let Some(model) = bounds.model.as_deref().or(of_batch) else {
            return Err("names no model".to_owned());
        };
        let plain = TokenUsage {
            input_tokens: input,
            output_tokens: each.saturating_mul(bounds.answers),
            ..TokenUsage::default()
        };
        let written = TokenUsage {
            cache_write_tokens: input,
            ..plain
        };
        let for_long = TokenUsage {
            cache_write_1h_tokens: input,
            ..written
        };
        let usages = match bounds.writes_cache {
            true => &[plain, written, for_long][..],
            false => &[plain],
        };
        let mut largest = None;
        for usage in usages {
            // Some prices of thinking differ from those of other output.
            let thinking = TokenUsage {
                thinking_tokens: usage.output_tokens,
                ..*usage
            };
            for usage in [usage, &thinking] {
                for at in [now, now + WINDOW] {
                    let cost = self.cost(model, Pricing::Batch, at, usage);
                    let cost = cost.ok_or_else(|| {
                        format!("has no known price: the table of {} lists no batch price of {}/{model}", self.as_of(), self.provider)
                    })?;
                    largest = largest.max(Some(cost.high));
                }
            }
        }
        Ok(largest.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use lmbatch_core::{FinishReason, Text};

    use super::*;

    /// One pico-dollar for each input token, ten for output, twenty for a cache write of one hour; twice as much
    /// from the day 1 on, and in real time.
    #[derive(Debug)]
    struct Table;

    impl Prices for Table {
        fn cost(
            &self,
            provider: &str,
            model: &str,
            pricing: Pricing,
            at: SystemTime,
            usage: &TokenUsage,
        ) -> Option<CostRange> {
            let later = at >= SystemTime::UNIX_EPOCH + WINDOW;
            let factor = 1 + u64::from(later) + u64::from(pricing == Pricing::RealTime);
            let tokens =
                usage.input_tokens + 10 * usage.output_tokens + 20 * usage.cache_write_1h_tokens;
            let low = Cost::from_picodollars(u128::from(factor * tokens));
            let high =
                low.saturating_add(Cost::from_picodollars(u128::from(usage.thinking_tokens)));
            (provider == "p" && model == "m").then_some(CostRange { low, high })
        }

        fn as_of(&self) -> &str {
            "2026-11-26"
        }
    }

    fn pricer() -> Pricer {
        Pricer::new(Arc::new(Table), ProviderId::new("p"))
    }

    fn bounds() -> TokenBounds {
        let mut bounds = TokenBounds::of_text(100);
        bounds.output = Some(3);
        bounds
    }

    #[test]
    fn the_largest_cost_is_that_of_the_dearest_day_and_kind_of_tokens() {
        let cached = |mut bounds: TokenBounds| {
            bounds.writes_cache = true;
            bounds
        };
        let answers = |mut bounds: TokenBounds| {
            bounds.answers = 2;
            bounds
        };
        let open = |mut bounds: TokenBounds| {
            bounds.output = None;
            bounds
        };
        for (bounds, expected_output, most) in [
            // 2 * (100 + 30) + 3 of thinking.
            (bounds(), None, 263),
            (bounds(), Some(50), 263),
            (answers(bounds()), None, 326),
            (cached(bounds()), None, 4_263),
            (open(bounds()), Some(5), 305),
        ] {
            let found =
                pricer().largest(&bounds, Some("m"), SystemTime::UNIX_EPOCH, expected_output);
            assert_eq!(found, Ok(Cost::from_picodollars(most)), "{bounds:?}");
        }
    }

    #[test]
    fn a_request_without_a_bound_is_refused_with_the_reason() {
        let change = |change: fn(&mut TokenBounds)| {
            let mut bounds = bounds();
            change(&mut bounds);
            bounds
        };
        for (bounds, of_batch, reason) in [
            (
                change(|bounds| bounds.output = None),
                Some("m"),
                "sets no maximum number of output tokens",
            ),
            (
                change(|bounds| bounds.input = None),
                Some("m"),
                "has content whose tokens cannot be bounded",
            ),
            (bounds(), None, "names no model"),
            (
                bounds(),
                Some("new"),
                "has no known price: the table of 2026-11-26 lists no batch price of p/new",
            ),
            (
                change(|bounds| bounds.model = Some("new".into())),
                Some("m"),
                "has no known price",
            ),
        ] {
            let found = pricer().largest(&bounds, of_batch, SystemTime::UNIX_EPOCH, None);
            let found = found.unwrap_err();
            assert!(found.starts_with(reason), "{found}");
        }
    }

    #[test]
    fn an_answer_costs_what_its_model_or_else_the_requested_one_costs() {
        let answer = |model: Option<&'static str>, usage| {
            let mut output = OutputView::text(Text::Plain("x"), FinishReason::Stop);
            (output.model, output.usage) = (model.map(Text::Plain), usage);
            output
        };
        let usage = TokenUsage {
            input_tokens: 7,
            output_tokens: 1,
            thinking_tokens: 1,
            ..TokenUsage::default()
        };
        let picodollars = Cost::from_picodollars;
        let cost = AnswerCost {
            charged: CostRange {
                low: picodollars(17),
                high: picodollars(18),
            },
            real_time: Some(CostRange {
                low: picodollars(34),
                high: picodollars(35),
            }),
        };
        let mut sum = Costs::default();
        for (model, requested, usage, expected) in [
            (Some("m"), None, Some(usage), Some(cost)),
            (Some("m"), Some("new"), Some(usage), Some(cost)),
            (Some("new"), Some("m"), Some(usage), Some(cost)),
            (None, Some("m"), Some(usage), Some(cost)),
            (None, None, Some(usage), None),
            (Some("new"), None, Some(usage), None),
            (Some("m"), None, None, None),
        ] {
            let found = pricer().answer(&answer(model, usage), requested, SystemTime::UNIX_EPOCH);
            assert_eq!(found, expected, "{model:?} {requested:?}");
            sum.add(found);
        }
        let expected = Costs {
            charged: CostRange {
                low: picodollars(68),
                high: picodollars(72),
            },
            saved: picodollars(64),
            unknown: 3,
        };
        assert_eq!(sum, expected);
    }
}
