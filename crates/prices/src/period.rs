//! Periods of a price list: the rates that count from a day on, with their steps for long requests.

use std::time::SystemTime;

use crate::rate::{Rate, RateRange};

/// Kinds of tokens that may have a rate of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Input,
    Cached,
    CacheWrite,
    CacheWrite1h,
    AudioInput,
    Output,
}

/// Published rates. Input always has one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Published {
    pub(crate) input: Rate,
    pub(crate) cached: Option<Rate>,
    pub(crate) cache_write: Option<Rate>,
    pub(crate) cache_write_1h: Option<Rate>,
    pub(crate) audio_input: Option<Rate>,
    pub(crate) output: Option<Rate>,
}

impl Published {
    fn of(&self, kind: Kind) -> Option<Rate> {
        match kind {
            Kind::Input => Some(self.input),
            Kind::Cached => self.cached,
            Kind::CacheWrite => self.cache_write,
            Kind::CacheWrite1h => self.cache_write_1h,
            Kind::AudioInput => self.audio_input,
            Kind::Output => self.output,
        }
    }
}

/// First day on which something counts, as text and as its midnight in UTC.
#[derive(Debug, Clone)]
pub(crate) struct Day {
    pub(crate) text: Box<str>,
    pub(crate) starts: SystemTime,
}

/// Rates of all tokens of a request whose input is above a threshold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    pub(crate) above: u64,
    pub(crate) rates: Published,
}

/// Rates that count from a day on.
#[derive(Debug, Clone)]
pub(crate) struct Period {
    /// First day of the period; `None` for rates that have always counted.
    pub(crate) from: Option<Day>,
    pub(crate) rates: Published,
    /// Steps for long requests, by ascending threshold.
    pub(crate) long: Vec<Step>,
}

impl Period {
    /// Returns the step that counts for a request, if its input is above a threshold.
    pub(crate) fn step(&self, input_tokens: u64) -> Option<&Step> {
        let mut steps = self.long.iter().rev();
        steps.find(|step| input_tokens > step.above)
    }

    /// Returns the rate of a kind of tokens for a request; `None` where the period does not name one. A step that
    /// lacks a rate of its period costs between that rate and the same multiple of it as of input.
    fn named(&self, kind: Kind, input_tokens: u64) -> Option<RateRange> {
        let base = self.rates.of(kind);
        let Some(step) = self.step(input_tokens) else {
            return base.map(RateRange::exact);
        };
        if let Some(rate) = step.rates.of(kind) {
            return Some(RateRange::exact(rate));
        }
        let base = base?;
        let scaled = base.scaled(self.rates.input, step.rates.input);
        Some(RateRange::up_to(base, scaled.unwrap_or(base)))
    }
}

/// Returns the period that counts at a time: the last one that has begun.
pub(crate) fn current(periods: &[Period], at: SystemTime) -> Option<&Period> {
    let has_begun = |period: &&Period| period.from.as_ref().is_none_or(|day| day.starts <= at);
    periods.iter().rev().find(has_begun)
}

/// Rates of one request, from the price list that is asked for and the lists that bound what that list leaves out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lists<'a> {
    /// Period of the list that is asked for.
    pub(crate) asked: &'a Period,
    /// Period of the real-time list, where batch prices are asked for.
    pub(crate) real_time: Option<&'a Period>,
    pub(crate) input_tokens: u64,
}

impl Lists<'_> {
    /// Returns the rate of a kind of tokens; `None` where it is unknown.
    pub(crate) fn rate(&self, kind: Kind) -> Option<RateRange> {
        if let Some(rate) = self.listed(kind) {
            return Some(rate);
        }
        match kind {
            // A model without a price for cached tokens or for audio bills them as other input.
            Kind::Input | Kind::Cached | Kind::CacheWrite | Kind::AudioInput => Some(self.input()),
            // One hour in a cache costs more than five minutes; how much more is not known.
            Kind::CacheWrite1h => match self.listed(Kind::CacheWrite) {
                Some(_) => None,
                None => Some(self.input()),
            },
            Kind::Output => None,
        }
    }

    /// Returns the rate of a kind that one of the lists names.
    fn listed(&self, kind: Kind) -> Option<RateRange> {
        self.own(kind).or_else(|| self.unpublished(kind))
    }

    /// Returns the rate that the list that is asked for names.
    fn own(&self, kind: Kind) -> Option<RateRange> {
        let real_time = self.real_time.filter(|_| self.asked.long.is_empty());
        let step = real_time.and_then(|period| Some((period, period.step(self.input_tokens)?)));
        match step {
            // Only the real-time list has a step: the batch rate grows by the same factor, and at most to the
            // real-time rate of the step.
            Some((period, step)) => {
                let base = self.asked.rates.of(kind)?;
                let same = period.rates.of(kind).zip(step.rates.of(kind));
                let (from, to) = same.unwrap_or((period.rates.input, step.rates.input));
                let low = base.scaled(from, to).unwrap_or(to);
                Some(RateRange::up_to(low, to))
            }
            None => self.asked.named(kind, self.input_tokens),
        }
    }

    /// Returns the rate of a kind that the real-time list names and the batch list does not: the estimate is the
    /// real-time rate, and the bound is the larger of it and the batch rate of input.
    fn unpublished(&self, kind: Kind) -> Option<RateRange> {
        let real_time = self.real_time?.named(kind, self.input_tokens)?;
        let bound = real_time.high.max(self.input().high);
        Some(RateRange::up_to(real_time.low, bound))
    }

    fn input(&self) -> RateRange {
        let own = self.own(Kind::Input);
        own.unwrap_or(RateRange::exact(self.asked.rates.input))
    }
}
