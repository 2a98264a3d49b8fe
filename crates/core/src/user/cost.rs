//! Amounts of money, and the trait through which the engine asks for prices.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign};
use std::str::FromStr;
use std::time::SystemTime;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::TokenUsage;

/// Decimals of an amount in dollars: one pico-dollar is 10⁻¹² US dollars.
const DECIMALS: usize = 12;

/// Pico-dollars of one US dollar.
const DOLLAR: u128 = 1_000_000_000_000;

/// Amount of money in pico-dollars (10⁻¹² US dollars). Exact; never a float.
///
/// Serialized as a string of decimal dollars without an exponent, such as `"0.0123"`.
///
/// ```
/// use lmbatch_core::Cost;
/// let cost: Cost = "$0.0123".parse()?;
/// assert_eq!(cost.picodollars(), 12_300_000_000);
/// assert_eq!(cost.to_string(), "$0.0123");
/// assert_eq!(cost.saturating_mul(1_000).to_string(), "$12.30");
/// # Ok::<(), lmbatch_core::CostError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Cost(u128);

impl Cost {
    /// No money at all. An unknown cost is `None`, never zero.
    pub const ZERO: Self = Self(0);

    /// Creates an amount from pico-dollars (10⁻¹² US dollars).
    pub const fn from_picodollars(picodollars: u128) -> Self {
        Self(picodollars)
    }

    /// Returns the amount in pico-dollars (10⁻¹² US dollars).
    pub const fn picodollars(self) -> u128 {
        self.0
    }

    /// Adds two amounts; `None` where the sum does not fit into 128 bits.
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }

    /// Adds two amounts, and stops at the largest one.
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// Subtracts an amount, and stops at zero.
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// Multiplies the amount by a count, such as of tokens or of requests, and stops at the largest amount.
    pub const fn saturating_mul(self, count: u64) -> Self {
        Self(self.0.saturating_mul(count as u128))
    }

    /// Returns the exact amount in dollars without the dollar sign, with 2 to 12 decimals: `0.0123`, `12.00`.
    pub fn dollars(self) -> String {
        let (whole, fraction) = (self.0 / DOLLAR, self.0 % DOLLAR);
        let digits = format!("{fraction:0DECIMALS$}");
        let shown = digits.trim_end_matches('0').len().max(2);
        format!("{whole}.{}", &digits[..shown])
    }

    /// Appends the exact amount in dollars as a JSON number without an exponent.
    ///
    /// ```
    /// # use lmbatch_core::Cost;
    /// let mut line = b"\"cost_usd\":".to_vec();
    /// Cost::from_picodollars(12_300_000_000).write_dollars(&mut line);
    /// assert_eq!(line, b"\"cost_usd\":0.0123");
    /// ```
    pub fn write_dollars(self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.dollars().as_bytes());
    }

    /// Returns the amount for people, rounded to the nearest: 2 decimals from $1, and 4 significant digits
    /// below, of which trailing zeros are cut.
    ///
    /// ```
    /// # use lmbatch_core::Cost;
    /// let rounded = |text: &str| text.parse::<Cost>().map(Cost::rounded);
    /// assert_eq!(rounded("12.3456")?, "$12.35");
    /// assert_eq!(rounded("0.0123456")?, "$0.01235");
    /// assert_eq!(rounded("0.5")?, "$0.50");
    /// # Ok::<(), lmbatch_core::CostError>(())
    /// ```
    pub fn rounded(self) -> String {
        let unit = if self.0 >= DOLLAR {
            DOLLAR / 100
        } else {
            // Below a dollar the amount has at most 12 digits; all but the first four are rounded away.
            let digits = self.0.checked_ilog10().map_or(0, |log| log + 1);
            10_u128.pow(digits.saturating_sub(4))
        };
        let up = self.0.saturating_add(unit / 2);
        Self(up - up % unit).to_string()
    }
}

impl Sum for Cost {
    /// Adds all amounts, and stops at the largest one.
    fn sum<I: Iterator<Item = Self>>(costs: I) -> Self {
        costs.fold(Self::ZERO, Self::saturating_add)
    }
}

impl fmt::Display for Cost {
    /// Writes the exact amount with the dollar sign and 2 to 12 decimals: `$0.0123`, `$12.00`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("${}", self.dollars()))
    }
}

impl FromStr for Cost {
    type Err = CostError;

    /// Reads dollars with at most 12 decimals: `1`, `1.00` or `$1.00`.
    ///
    /// # Errors
    /// [`CostError`] for a negative amount, an exponent, more than 12 decimals, an amount that does not fit,
    /// and anything else that is no decimal number.
    fn from_str(text: &str) -> Result<Self, CostError> {
        let read = || {
            let number = text.strip_prefix('$').unwrap_or(text);
            let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
            let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
            if !digits(whole) || !digits(fraction) || fraction.len() > DECIMALS {
                return None;
            }
            let whole: u128 = whole.parse().ok()?;
            let fraction: u128 = format!("{fraction:0<DECIMALS$}").parse().ok()?;
            whole.checked_mul(DOLLAR)?.checked_add(fraction)
        };
        read().map(Self).ok_or_else(|| CostError(text.into()))
    }
}

impl Serialize for Cost {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.dollars())
    }
}

impl<'de> Deserialize<'de> for Cost {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Error of a text that is no amount of dollars.
///
/// ```
/// use lmbatch_core::Cost;
/// let error = "1e3".parse::<Cost>().unwrap_err();
/// assert!(error.to_string().contains("1e3"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an amount of dollars; write digits with at most 12 decimals, such as 1.00")]
pub struct CostError(Box<str>);

/// Lowest and highest cost; equal where every rate is published.
///
/// `low` is the estimate, and `high` is the upper bound.
///
/// ```
/// use lmbatch_core::{Cost, CostRange};
/// let exact = CostRange::exact(Cost::from_picodollars(5_000_000_000));
/// let range = CostRange { high: Cost::from_picodollars(7_000_000_000), ..exact };
/// assert_eq!((exact + range).to_string(), "$0.01 to $0.012");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct CostRange {
    /// Estimate of the cost.
    pub low: Cost,
    /// Upper bound of the cost.
    pub high: Cost,
}

impl CostRange {
    /// No cost at all, the start of a sum.
    pub const ZERO: Self = Self::exact(Cost::ZERO);

    /// Creates the range of a cost that is known exactly.
    pub const fn exact(cost: Cost) -> Self {
        Self {
            low: cost,
            high: cost,
        }
    }

    /// Returns whether both ends are equal.
    pub fn is_exact(self) -> bool {
        self.low == self.high
    }

    /// Multiplies both ends by a count, such as of requests, and stops at the largest amount.
    pub const fn saturating_mul(self, count: u64) -> Self {
        Self {
            low: self.low.saturating_mul(count),
            high: self.high.saturating_mul(count),
        }
    }

    /// Returns the range for people: one rounded amount, or two where the ends differ.
    pub fn rounded(self) -> String {
        let (low, high) = (self.low.rounded(), self.high.rounded());
        if low == high {
            low
        } else {
            format!("{low} to {high}")
        }
    }
}

impl Add for CostRange {
    type Output = Self;

    /// Adds both ends, and stops at the largest amount.
    fn add(self, other: Self) -> Self {
        Self {
            low: self.low.saturating_add(other.low),
            high: self.high.saturating_add(other.high),
        }
    }
}

impl AddAssign for CostRange {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for CostRange {
    fn sum<I: Iterator<Item = Self>>(ranges: I) -> Self {
        ranges.fold(Self::ZERO, Add::add)
    }
}

impl fmt::Display for CostRange {
    /// Writes one exact amount, or two where the ends differ: `$0.01 to $0.012`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_exact() {
            return self.low.fmt(f);
        }
        f.pad(&format!("{} to {}", self.low, self.high))
    }
}

/// Price list of a provider.
///
/// ```
/// # use lmbatch_core as lmbatch;
/// use lmbatch::Pricing;
///
/// let json = serde_json::to_string(&Pricing::RealTime).unwrap();
/// assert_eq!(json, "\"real_time\"");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Pricing {
    /// Prices of the batch API, usually half of the others.
    Batch,
    /// Prices of the real-time API.
    RealTime,
}

/// Rates by provider, model and time.
///
/// ```
/// use std::time::SystemTime;
/// use lmbatch_core::{Cost, CostRange, Prices, Pricing, TokenUsage};
///
/// /// One cent for each request of a local server.
/// #[derive(Debug)]
/// struct Electricity;
///
/// impl Prices for Electricity {
///     fn cost(
///         &self,
///         provider: &str,
///         _model: &str,
///         _pricing: Pricing,
///         _at: SystemTime,
///         _usage: &TokenUsage,
///     ) -> Option<CostRange> {
///         (provider == "local").then(|| CostRange::exact(Cost::from_picodollars(10_000_000_000)))
///     }
///
///     fn as_of(&self) -> &str {
///         "2026-11-26"
///     }
/// }
///
/// let usage = TokenUsage::default();
/// let cost = Electricity.cost("local", "qwen", Pricing::RealTime, SystemTime::UNIX_EPOCH, &usage);
/// assert_eq!(cost.unwrap().to_string(), "$0.01");
/// ```
pub trait Prices: fmt::Debug + Send + Sync {
    /// Returns the cost of the tokens of ONE request, or `None` where a price is unknown. Never call it with the
    /// tokens of several requests: above a threshold of input tokens, all tokens of a request cost more.
    fn cost(
        &self,
        provider: &str,
        model: &str,
        pricing: Pricing,
        at: SystemTime,
        usage: &TokenUsage,
    ) -> Option<CostRange>;

    /// Returns the day of the table, such as 2026-11-26.
    fn as_of(&self) -> &str;

    /// Returns the day from which the provider no longer serves the model, where it is known.
    fn retires(&self, provider: &str, model: &str) -> Option<SystemTime> {
        let _ = (provider, model);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(text: &str) -> Cost {
        text.parse().unwrap()
    }

    #[test]
    fn amounts_are_read_and_written_exactly() {
        for (text, picodollars, written) in [
            ("0", 0, "$0.00"),
            ("1", 1_000_000_000_000, "$1.00"),
            ("1.00", 1_000_000_000_000, "$1.00"),
            ("$1.00", 1_000_000_000_000, "$1.00"),
            ("0.0123", 12_300_000_000, "$0.0123"),
            ("007.5", 7_500_000_000_000, "$7.50"),
            ("0.000000000001", 1, "$0.000000000001"),
            ("12.000000", 12_000_000_000_000, "$12.00"),
            (
                "340282366920938463463374607.431768211455",
                u128::MAX,
                "$340282366920938463463374607.431768211455",
            ),
        ] {
            assert_eq!(cost(text), Cost::from_picodollars(picodollars), "{text}");
            assert_eq!(cost(text).to_string(), written, "{text}");
            assert_eq!(cost(written), cost(text), "{text}");
        }
    }

    #[test]
    fn a_text_that_is_no_amount_is_refused_with_the_text() {
        for text in [
            "",
            "$",
            "-1",
            "+1",
            "1e3",
            "1.",
            ".5",
            "1,000",
            " 1",
            "1 ",
            "$$1",
            "1$",
            "1.2.3",
            "0.0000000000001",
            "NaN",
            "inf",
            "١",
            "340282366920938463463374607.431768211456",
            "99999999999999999999999999999999999999999",
        ] {
            let error = text.parse::<Cost>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("{text:?} is not")), "{error}");
        }
    }

    #[test]
    fn people_read_two_decimals_from_a_dollar_and_four_digits_below() {
        for (text, rounded) in [
            ("0", "$0.00"),
            ("1234.5678", "$1234.57"),
            ("1.005", "$1.01"),
            ("0.99995", "$1.00"),
            ("0.99994", "$0.9999"),
            ("0.1", "$0.10"),
            ("0.012345", "$0.01235"),
            ("0.000001234449", "$0.000001234"),
            ("0.000000001234", "$0.000000001234"),
            ("0.000000000001", "$0.000000000001"),
        ] {
            assert_eq!(cost(text).rounded(), rounded, "{text}");
        }
        assert_eq!(
            Cost::from_picodollars(u128::MAX).rounded(),
            "$340282366920938463463374607.43"
        );
    }

    #[test]
    fn arithmetic_stops_at_the_ends() {
        let most = Cost::from_picodollars(u128::MAX);
        assert_eq!(most.checked_add(cost("1")), None);
        assert_eq!(cost("1").checked_add(cost("2")), Some(cost("3")));
        assert_eq!(most.saturating_add(cost("1")), most);
        assert_eq!(cost("1").saturating_sub(cost("2")), Cost::ZERO);
        assert_eq!(cost("3").saturating_sub(cost("2")), cost("1"));
        assert_eq!(most.saturating_mul(2), most);
        assert_eq!(cost("0.5").saturating_mul(3), cost("1.5"));
        assert_eq!([cost("1"), most].into_iter().sum::<Cost>(), most);
    }

    #[test]
    fn json_holds_a_string_and_output_lines_hold_a_number() {
        let json = serde_json::to_string(&cost("0.0123")).unwrap();
        assert_eq!(json, r#""0.0123""#);
        assert_eq!(serde_json::from_str::<Cost>(&json).unwrap(), cost("0.0123"));
        assert!(serde_json::from_str::<Cost>("0.0123").is_err());
        let mut out = Vec::new();
        cost("12").write_dollars(&mut out);
        assert_eq!(out, b"12.00");
    }

    #[test]
    fn ranges_add_and_multiply_both_ends() {
        let exact = CostRange::exact(cost("0.01"));
        let range = CostRange {
            low: cost("0.01"),
            high: cost("0.02"),
        };
        assert!(exact.is_exact() && !range.is_exact());
        assert_eq!(exact.to_string(), "$0.01");
        assert_eq!(range.saturating_mul(2).to_string(), "$0.02 to $0.04");
        assert_eq!(
            [exact, range].into_iter().sum::<CostRange>().to_string(),
            "$0.02 to $0.03"
        );
        let close = CostRange {
            low: cost("2"),
            high: cost("2.000001"),
        };
        assert_eq!(close.rounded(), "$2.00");
        assert_eq!(range.rounded(), "$0.01 to $0.02");
    }

    #[test]
    fn amounts_are_padded_to_a_width() {
        assert_eq!(format!("{:>8}|", cost("1")), "   $1.00|");
        let range = CostRange {
            low: cost("1"),
            high: cost("2"),
        };
        assert_eq!(format!("{range:16}|"), "$1.00 to $2.00  |");
    }
}
