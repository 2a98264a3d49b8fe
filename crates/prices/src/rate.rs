//! Rates: money for one token, as published for a million tokens.

use std::fmt;
use std::str::FromStr;

use lmbatch_core::Cost;

/// Tokens for which a rate is published.
const MILLION: u128 = 1_000_000;

/// Price of one token in pico-dollars, which is the published price of a million tokens in micro-dollars.
///
/// ```
/// use lmbatch_prices::Rate;
/// let rate: Rate = "0.375".parse()?;
/// assert_eq!(rate.picodollars(), 375_000);
/// assert_eq!(rate.to_string(), "$0.375");
/// assert_eq!(rate.cost(1_000).to_string(), "$0.000375");
/// # Ok::<(), lmbatch_prices::RateError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate(u64);

impl Rate {
    /// Creates a rate from pico-dollars (10⁻¹² US dollars) per token.
    pub const fn from_picodollars(picodollars: u64) -> Self {
        Self(picodollars)
    }

    /// Returns the price of one token in pico-dollars (10⁻¹² US dollars).
    pub const fn picodollars(self) -> u64 {
        self.0
    }

    /// Returns the price of a number of tokens.
    pub const fn cost(self, tokens: u64) -> Cost {
        Cost::from_picodollars(self.0 as u128).saturating_mul(tokens)
    }

    /// Returns the price of a million tokens.
    pub const fn per_million(self) -> Cost {
        self.cost(1_000_000)
    }

    /// Returns `self` × `to` ÷ `from`, rounded up; `None` where `from` is zero.
    pub(crate) fn scaled(self, from: Self, to: Self) -> Option<Self> {
        let product = u128::from(self.0) * u128::from(to.0);
        let scaled = product.div_ceil(Some(u128::from(from.0)).filter(|from| *from > 0)?);
        Some(Self(u64::try_from(scaled).unwrap_or(u64::MAX)))
    }
}

impl fmt::Display for Rate {
    /// Writes dollars per million tokens, with 2 to 6 decimals: `$0.375`, `$12.00`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.per_million().fmt(f)
    }
}

impl FromStr for Rate {
    type Err = RateError;

    /// Reads dollars per million tokens, with at most 6 decimals, such as `0.375`.
    ///
    /// # Errors
    /// [`RateError`] for anything else: a sign, an exponent, a seventh decimal.
    fn from_str(text: &str) -> Result<Self, RateError> {
        let read = || {
            let million: Cost = Some(text)
                .filter(|text| !text.starts_with('$'))?
                .parse()
                .ok()?;
            let million = million.picodollars();
            let one = million.checked_div(MILLION)?;
            (one * MILLION == million).then(|| u64::try_from(one).ok())?
        };
        read().map(Self).ok_or_else(|| RateError(text.into()))
    }
}

/// Error of a text that is no rate.
///
/// ```
/// let error = "1e3".parse::<lmbatch_prices::Rate>().unwrap_err();
/// assert!(error.to_string().contains("1e3"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a rate; write dollars per million tokens with at most 6 decimals, such as \"0.375\""
)]
pub struct RateError(Box<str>);

/// Lowest and highest rate; equal where the rate is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RateRange {
    /// Estimate of the rate.
    pub low: Rate,
    /// Upper bound of the rate.
    pub high: Rate,
}

impl RateRange {
    /// Creates the range of a rate that is published.
    pub const fn exact(rate: Rate) -> Self {
        Self {
            low: rate,
            high: rate,
        }
    }

    /// Creates a range from an estimate and a bound, which is never below the estimate.
    pub(crate) fn up_to(low: Rate, high: Rate) -> Self {
        Self {
            low,
            high: high.max(low),
        }
    }
}

impl fmt::Display for RateRange {
    /// Writes dollars per million tokens: one rate, or two where the ends differ.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.low == self.high {
            return self.low.fmt(f);
        }
        f.pad(&format!("{} to {}", self.low, self.high))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_whole_number_of_picodollars_per_token() {
        for (text, picodollars) in [
            ("0", 0),
            ("0.000001", 1),
            ("0.0133", 13_300),
            ("12.5", 12_500_000),
            ("30", 30_000_000),
            ("0.3750000", 375_000),
        ] {
            assert_eq!(
                text.parse::<Rate>().map(Rate::picodollars),
                Ok(picodollars),
                "{text}"
            );
        }
        for text in [
            "",
            "-1",
            "1e3",
            "$1",
            "0.0000001",
            "1.",
            "99999999999999999",
        ] {
            assert_eq!(text.parse::<Rate>(), Err(RateError(text.into())));
        }
    }

    #[test]
    fn a_scaled_rate_is_rounded_up() {
        let rate = Rate::from_picodollars;
        assert_eq!(rate(10).scaled(rate(3), rate(1)), Some(rate(4)));
        assert_eq!(rate(10).scaled(rate(5), rate(1)), Some(rate(2)));
        assert_eq!(rate(10).scaled(rate(0), rate(1)), None);
    }
}
