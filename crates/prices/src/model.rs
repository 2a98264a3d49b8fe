//! Prices of one model.

use std::time::SystemTime;

use lmbatch_core::Pricing;

use crate::names::Names;
use crate::period::{Day, Lists, Period, current};
use crate::rates::Rates;

/// Prices of one model.
#[derive(Debug)]
pub struct ModelPrices {
    pub(crate) provider: Box<str>,
    pub(crate) model: Box<str>,
    pub(crate) names: Names,
    pub(crate) context: Option<u64>,
    pub(crate) retires: Option<Day>,
    pub(crate) real_time: Vec<Period>,
    pub(crate) batch: Vec<Period>,
}

impl ModelPrices {
    /// Returns the id of the provider, such as `openai`.
    pub fn provider(&self) -> &str {
        &self.provider
    }

    /// Returns the name of the model in the table. Dated versions of the model may have longer names.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// Returns the largest number of tokens of input and output together, where it is known.
    pub fn context(&self) -> Option<u64> {
        self.context
    }

    /// Returns the day from which the provider no longer serves the model, such as 2026-12-11, where it is known.
    pub fn retires(&self) -> Option<&str> {
        self.retires.as_ref().map(|day| &*day.text)
    }

    /// Returns the rates of a request with a number of input tokens; `None` where the list has no price for the
    /// model. On a day before the first batch price, that first price is used, and the result says so.
    pub fn rates(&self, pricing: Pricing, at: SystemTime, input_tokens: u64) -> Option<Rates<'_>> {
        let now = current(&self.real_time, at);
        let (asked, real_time, is_before_from) = match pricing {
            Pricing::Batch => {
                let period = current(&self.batch, at);
                let bound = now.or(self.real_time.first());
                (period.or(self.batch.first())?, bound, period.is_none())
            }
            Pricing::RealTime => (now?, None, false),
            _ => return None,
        };
        let lists = Lists {
            asked,
            real_time,
            input_tokens,
        };
        Some(Rates::new(lists, is_before_from))
    }
}
