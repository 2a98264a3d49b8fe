//! Cost of a self-test: the bound that is reserved before each create, and the cost of the answers.

use std::time::{Duration, SystemTime};

use lmbatch::adapter::TokenBounds;
use lmbatch::prices::PriceTable;
use lmbatch::{Cost, CostRange, Prices as _, Pricing, TokenUsage};

use super::batch::TinyBatch;
use crate::exit::{Exit, Failure};

/// Longest time from a create to the end of its batch. Prices may change in it, and the higher one is reserved.
const WINDOW: Duration = Duration::from_secs(24 * 3600);

/// Cost limit of a self-test, with the amounts that count against it.
#[derive(Debug)]
pub(super) struct Budget {
    table: PriceTable,
    provider: &'static str,
    /// Largest cost; `None` without a limit.
    pub(super) max: Option<Cost>,
    /// Largest cost of batches whose answers are not read.
    pub(super) reserved: Cost,
    /// Cost of answers that are read.
    pub(super) charged: CostRange,
    /// `true` where a batch has no bound or an answer has no price.
    pub(super) has_unknown: bool,
}

impl Budget {
    pub(super) fn new(table: PriceTable, provider: &'static str, max: Option<Cost>) -> Self {
        Self {
            table,
            provider,
            max,
            reserved: Cost::ZERO,
            charged: CostRange::ZERO,
            has_unknown: false,
        }
    }

    /// Returns the day of the table of prices.
    pub(super) fn as_of(&self) -> &str {
        self.table.as_of()
    }

    /// Returns the largest cost of a batch; `None` where its tokens have no bound or its model has no price.
    pub(super) fn bound(&self, batch: &TinyBatch, now: SystemTime) -> Option<Cost> {
        let each = batch.bounds.iter().map(|bounds| self.largest(bounds, now));
        each.sum()
    }

    fn largest(&self, bounds: &TokenBounds, now: SystemTime) -> Option<Cost> {
        let output_tokens = bounds.output?.saturating_mul(bounds.answers);
        let input_tokens = bounds.input?;
        let plain = TokenUsage {
            input_tokens,
            output_tokens,
            ..TokenUsage::default()
        };
        let thinking = TokenUsage {
            thinking_tokens: output_tokens,
            ..plain
        };
        let model = bounds.model.as_deref()?;
        let mut largest = Cost::ZERO;
        for usage in [plain, thinking] {
            for at in [now, now + WINDOW] {
                let cost = self
                    .table
                    .cost(self.provider, model, Pricing::Batch, at, &usage)?;
                largest = largest.max(cost.high);
            }
        }
        Some(largest)
    }

    /// Checks that all batches of the self-test fit into the limit together.
    ///
    /// # Errors
    /// Usage for an unknown price; the cost limit where they do not fit. Nothing was sent.
    pub(super) fn check(
        &self,
        batches: &[(&TinyBatch, u64)],
        now: SystemTime,
    ) -> Result<Option<Cost>, Failure> {
        let each = batches.iter().map(|(batch, times)| {
            let bound = self.bound(batch, now)?;
            Some(bound.saturating_mul(*times))
        });
        let total: Option<Cost> = each.sum();
        match (self.max, total) {
            (Some(max), Some(total)) if total > max => Err(no_room(total, max)
                .hint("nothing was sent; raise --max-cost, or name a cheaper model with -m")),
            (Some(_), None) => Err(self.unknown_price()),
            (_, total) => Ok(total),
        }
    }

    fn unknown_price(&self) -> Failure {
        let as_of = self.as_of();
        Failure::usage(format!(
            "the price of the model is unknown: the table of {as_of} lists no batch price of it"
        ))
        .hint("nothing was sent; name another model with -m, or test without a limit with --no-max-cost")
    }

    /// Reserves the largest cost of a batch, before its create is sent.
    ///
    /// # Errors
    /// The cost limit, where the batch does not fit; it must not be created.
    pub(super) fn reserve(&mut self, batch: &TinyBatch, now: SystemTime) -> Result<(), Failure> {
        let bound = self.bound(batch, now);
        let Some(bound) = bound else {
            self.has_unknown = true;
            return match self.max {
                Some(_) => Err(self.unknown_price()),
                None => Ok(()),
            };
        };
        let after = self.reserved.saturating_add(bound);
        let whole = after.saturating_add(self.charged.high);
        if let Some(max) = self.max.filter(|max| whole > *max) {
            return Err(no_room(whole, max));
        }
        self.reserved = after;
        Ok(())
    }

    /// Replaces the bound of a batch by the cost of its answers. A batch with an answer of unknown cost keeps its
    /// bound.
    pub(super) fn settle(&mut self, batch: &TinyBatch, usages: &[Used], now: SystemTime) {
        let cost = |used: &Used| {
            let usage = used.usage.as_ref()?;
            let price = |model: &str| {
                let provider = self.provider;
                self.table.cost(provider, model, Pricing::Batch, now, usage)
            };
            let answered = used.model.as_deref().and_then(price);
            answered.or_else(|| price(batch.bounds.first()?.model.as_deref()?))
        };
        let nothing = Some(CostRange::ZERO);
        let costs = usages.iter().map(cost);
        let sum = costs.fold(nothing, |sum, cost| Some(sum? + cost?));
        match (sum, self.bound(batch, now)) {
            (Some(cost), bound) => {
                self.charged += cost;
                self.reserved = self.reserved.saturating_sub(bound.unwrap_or_default());
            }
            (None, _) => self.has_unknown = true,
        }
    }

    /// Releases the bound of a batch that the provider refused.
    pub(super) fn release(&mut self, batch: &TinyBatch, now: SystemTime) {
        let bound = self.bound(batch, now).unwrap_or_default();
        self.reserved = self.reserved.saturating_sub(bound);
    }
}

/// Tokens of one answer, and the model that the provider names.
#[derive(Debug, Clone)]
pub(super) struct Used {
    pub(super) usage: Option<TokenUsage>,
    pub(super) model: Option<String>,
}

fn no_room(cost: Cost, max: Cost) -> Failure {
    Failure::new(
        Exit::CostLimit,
        lmbatch::ErrorKind::CostLimit.as_str(),
        format!(
            "the batches of the self-test may cost {}, and the limit is {}",
            cost.rounded(),
            max.rounded()
        ),
    )
}

#[cfg(test)]
mod tests {
    use lmbatch::adapter::parse_time;
    use lmbatch::engine::SystemRng;

    use super::super::batch::Writer;
    use super::super::label::nonce;
    use super::*;

    /// The price rises on the day after the test.
    const TABLE: &str = r#"{"schema": "lmbatch-prices/1", "as_of": "2026-11-27", "models": [
        {"provider": "openai", "model": "m", "batch": [{"in": "1", "out": "10"}, {"from": "2026-11-28", "in": "2", "out": "20"}]}
    ]}"#;

    /// Two requests of at most 100 tokens of input and 16 of output.
    fn batch(model: &str) -> TinyBatch {
        let nonce = nonce(&SystemRng);
        let provider = crate::model::find("openai").unwrap();
        let codec = provider.codec(provider.routes()[0]);
        let writer = Writer {
            codec: &*codec,
            model,
            max_tokens: 16,
            nonce: &nonce,
        };
        let mut batch = writer.batch(0, 2).unwrap();
        for bounds in &mut batch.bounds {
            bounds.input = Some(100);
        }
        batch
    }

    fn budget(max: Option<&str>) -> (Budget, SystemTime) {
        let table = PriceTable::from_json(TABLE).unwrap();
        let max = max.map(|max| max.parse().unwrap());
        let now = parse_time("2026-11-27T12:00:00Z").unwrap();
        (Budget::new(table, "openai", max), now)
    }

    fn cost(text: &str) -> Cost {
        text.parse().unwrap()
    }

    #[test]
    fn the_higher_price_of_the_next_day_is_reserved_and_replaced_by_that_of_the_answers() {
        let (mut budget, now) = budget(Some("0.00104"));
        let (first, second) = (batch("m"), batch("m"));
        let bound = cost("0.00104");
        assert_eq!(budget.bound(&first, now), Some(bound));
        budget.reserve(&first, now).unwrap();
        let failure = budget.reserve(&second, now).unwrap_err();
        assert_eq!(failure.exit, Exit::CostLimit);
        assert_eq!(budget.reserved, bound, "the refused batch reserves nothing");
        let used = |input_tokens| Used {
            usage: Some(TokenUsage {
                input_tokens,
                output_tokens: 1,
                ..TokenUsage::default()
            }),
            model: None,
        };
        budget.settle(&first, &[used(10), used(20)], now);
        assert_eq!(budget.charged.high, cost("0.00005"));
        assert_eq!(budget.reserved, Cost::ZERO);
        budget.reserve(&second, now).unwrap_err();
        budget.max = Some(cost("0.0011"));
        budget.reserve(&second, now).unwrap();
        budget.release(&second, now);
        assert_eq!(budget.reserved, Cost::ZERO);
    }

    #[test]
    fn an_answer_without_tokens_keeps_the_bound_and_is_reported_as_unknown() {
        let (mut budget, now) = budget(Some("1"));
        let batch = batch("m");
        budget.reserve(&batch, now).unwrap();
        let unknown = Used {
            usage: None,
            model: None,
        };
        budget.settle(&batch, &[unknown], now);
        assert_eq!(budget.reserved, cost("0.00104"));
        assert!(budget.has_unknown && budget.charged.high == Cost::ZERO);
    }

    #[test]
    fn an_unknown_price_needs_a_self_test_without_a_limit() {
        let unpriced = batch("other");
        for (max, is_refused) in [(Some("1"), true), (None, false)] {
            let (mut budget, now) = budget(max);
            let checked = budget.check(&[(&unpriced, 1)], now);
            assert_eq!(checked.is_err(), is_refused);
            assert_eq!(budget.reserve(&unpriced, now).is_err(), is_refused);
            assert!(budget.has_unknown);
        }
        let (budget, now) = budget(Some("0.00104"));
        let priced = batch("m");
        assert_eq!(
            budget.check(&[(&priced, 1)], now).unwrap(),
            Some(cost("0.00104"))
        );
        let failure = budget.check(&[(&priced, 2)], now).unwrap_err();
        assert_eq!(failure.exit, Exit::CostLimit);
    }
}
