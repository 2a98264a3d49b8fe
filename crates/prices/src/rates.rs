//! Rates of one request, and the cost of its tokens.

use lmbatch_core::{Cost, CostRange, TokenUsage};

use crate::period::{Kind, Lists};
use crate::rate::RateRange;

/// Rates of one request of a model, on one day, from one price list.
///
/// ```
/// use lmbatch_core::{Pricing, TokenUsage, parse_time};
/// use lmbatch_prices::PriceTable;
///
/// let table = PriceTable::bundled();
/// let model = table.find("openai", "gpt-5.4-mini").unwrap();
/// let day = parse_time("2026-11-27T09:00:00Z").unwrap();
/// let rates = model.rates(Pricing::Batch, day, 1_000).unwrap();
/// assert_eq!(rates.input.to_string(), "$0.375");
/// assert_eq!(rates.output.unwrap().to_string(), "$2.25");
/// let usage = TokenUsage { input_tokens: 1_000, output_tokens: 100, ..Default::default() };
/// assert_eq!(rates.cost(&usage).unwrap().to_string(), "$0.0006");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rates<'a> {
    /// Rate of input tokens that are in none of the other groups.
    pub input: RateRange,
    /// Rate of input tokens that are read from a cache.
    pub cached: RateRange,
    /// Rate of input tokens that are written to a cache for the usual time.
    pub cache_write: RateRange,
    /// Rate of input tokens that are written to a cache for one hour; `None` where it is unknown.
    pub cache_write_1h: Option<RateRange>,
    /// Rate of input tokens of audio.
    pub audio_input: RateRange,
    /// Rate of output tokens, thinking included; `None` where it is unknown, as for embeddings.
    pub output: Option<RateRange>,
    /// Number of input tokens above which these rates count for all tokens of a request; `None` for the usual rates.
    pub above_input_tokens: Option<u64>,
    /// First day of these rates, such as 2026-10-14; `None` for rates that have always counted.
    pub from: Option<&'a str>,
    /// `true` where the request is from a day before `from`, whose rates are not recorded: the first recorded ones
    /// are used in their place.
    pub is_before_from: bool,
}

impl<'a> Rates<'a> {
    pub(crate) fn new(lists: Lists<'a>, is_before_from: bool) -> Self {
        let or_input = |kind| lists.rate(kind).or_else(|| lists.rate(Kind::Input));
        let exact = RateRange::exact(lists.asked.rates.input);
        let rate = |kind| or_input(kind).unwrap_or(exact);
        let own = lists.asked.step(lists.input_tokens);
        let step = own.or_else(|| lists.real_time?.step(lists.input_tokens));
        Self {
            input: rate(Kind::Input),
            cached: rate(Kind::Cached),
            cache_write: rate(Kind::CacheWrite),
            cache_write_1h: lists.rate(Kind::CacheWrite1h),
            audio_input: rate(Kind::AudioInput),
            output: lists.rate(Kind::Output),
            above_input_tokens: step.map(|step| step.above),
            from: lists.asked.from.as_ref().map(|day| &*day.text),
            is_before_from,
        }
    }

    /// Returns the cost of the tokens of a request; `None` where it has tokens whose rate is unknown. Cached tokens,
    /// cache writes and audio are parts of the input; audio is taken from the part that is neither cached nor
    /// written. Thinking is a part of the output.
    pub fn cost(&self, usage: &TokenUsage) -> Option<CostRange> {
        let written = usage.cache_write_tokens;
        let one_hour = usage.cache_write_1h_tokens.min(written);
        let rest = usage.input_tokens.saturating_sub(usage.cached_input_tokens);
        let rest = rest.saturating_sub(written);
        let audio = usage.audio_input_tokens.min(rest);
        let parts = [
            (Some(self.input), rest - audio),
            (Some(self.audio_input), audio),
            (Some(self.cached), usage.cached_input_tokens),
            (Some(self.cache_write), written - one_hour),
            (self.cache_write_1h, one_hour),
            (self.output, usage.output_tokens),
        ];
        let counted = parts.into_iter().filter(|(_, tokens)| *tokens > 0);
        let costs = counted.map(|(rate, tokens)| {
            let rate = rate?;
            Some(CostRange {
                low: rate.low.cost(tokens),
                high: rate.high.cost(tokens),
            })
        });
        let nothing = CostRange::exact(Cost::ZERO);
        costs
            .into_iter()
            .try_fold(nothing, |sum, cost| Some(sum + cost?))
    }
}
