//! Token counts with one meaning for all providers.

use std::iter::Sum;
use std::ops::{Add, AddAssign};

use serde::{Deserialize, Serialize};

/// Token usage of one answer, or of many. Input and output are totals; the other counts are parts of them.
///
/// Sums saturate at the largest number, because a provider may report any count. The fields are exhaustive: adapters
/// set each of them, and a further kind of token would have to reach every adapter and every rendering.
///
/// ```
/// # use lmbatch_core as lmbatch;
/// use lmbatch::TokenUsage;
/// let one = TokenUsage { input_tokens: 10, output_tokens: 5, ..Default::default() };
/// assert_eq!([one, one].into_iter().sum::<TokenUsage>().input_tokens, 20);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TokenUsage {
    /// All input tokens, cached ones included.
    pub input_tokens: u64,
    /// Input tokens that were read from a cache.
    pub cached_input_tokens: u64,
    /// Input tokens that were written to a cache.
    pub cache_write_tokens: u64,
    /// Input tokens that were written to a cache for one hour, a part of `cache_write_tokens`.
    #[serde(skip_serializing_if = "is_zero")]
    pub cache_write_1h_tokens: u64,
    /// Input tokens of audio, where the provider reports them.
    #[serde(skip_serializing_if = "is_zero")]
    pub audio_input_tokens: u64,
    /// All output tokens, reasoning included.
    pub output_tokens: u64,
    /// Output tokens that were reasoning (thinking).
    pub thinking_tokens: u64,
}

/// Returns whether a count is left out of JSON: those that few providers report are, where they are 0.
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Add for TokenUsage {
    type Output = Self;
    fn add(mut self, other: Self) -> Self {
        self += other;
        self
    }
}

impl AddAssign for TokenUsage {
    fn add_assign(&mut self, other: Self) {
        self.input_tokens = self.input_tokens.saturating_add(other.input_tokens);
        self.cached_input_tokens = self
            .cached_input_tokens
            .saturating_add(other.cached_input_tokens);
        self.cache_write_tokens = self
            .cache_write_tokens
            .saturating_add(other.cache_write_tokens);
        self.cache_write_1h_tokens = self
            .cache_write_1h_tokens
            .saturating_add(other.cache_write_1h_tokens);
        self.audio_input_tokens = self
            .audio_input_tokens
            .saturating_add(other.audio_input_tokens);
        self.output_tokens = self.output_tokens.saturating_add(other.output_tokens);
        self.thinking_tokens = self.thinking_tokens.saturating_add(other.thinking_tokens);
    }
}

impl Sum for TokenUsage {
    fn sum<I: Iterator<Item = Self>>(usages: I) -> Self {
        usages.fold(Self::default(), Add::add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_add_every_count_and_stop_at_the_largest_number() {
        let one = TokenUsage {
            input_tokens: 1,
            cached_input_tokens: 2,
            cache_write_tokens: 3,
            cache_write_1h_tokens: 6,
            audio_input_tokens: 7,
            output_tokens: 4,
            thinking_tokens: 5,
        };
        let twice = TokenUsage {
            input_tokens: 2,
            cached_input_tokens: 4,
            cache_write_tokens: 6,
            cache_write_1h_tokens: 12,
            audio_input_tokens: 14,
            output_tokens: 8,
            thinking_tokens: 10,
        };
        assert_eq!([one, one].into_iter().sum::<TokenUsage>(), twice);
        let most = TokenUsage {
            input_tokens: u64::MAX,
            ..one
        };
        assert_eq!((most + one).input_tokens, u64::MAX);
    }

    #[test]
    fn counts_that_few_providers_report_are_left_out_of_json_where_they_are_zero() {
        let plain = TokenUsage {
            input_tokens: 3,
            ..Default::default()
        };
        let json = serde_json::to_string(&plain).unwrap();
        assert!(!json.contains("1h") && !json.contains("audio"), "{json}");
        let audio = TokenUsage {
            audio_input_tokens: 2,
            cache_write_1h_tokens: 1,
            ..plain
        };
        let json = serde_json::to_string(&audio).unwrap();
        assert_eq!(serde_json::from_str::<TokenUsage>(&json).unwrap(), audio);
    }
}
