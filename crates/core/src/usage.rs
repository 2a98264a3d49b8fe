//! Tokens, counted the same way for every provider.

use std::iter::Sum;
use std::ops::{Add, AddAssign};

use serde::{Deserialize, Serialize};

/// Tokens of one answer, or of many. Input and output are totals; the others are parts of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TokenUsage {
    /// All tokens read, from a cache or not.
    pub input_tokens: u64,
    /// Those of the input that came from a cache.
    pub cached_input_tokens: u64,
    /// Those of the input that were written to a cache.
    pub cache_write_tokens: u64,
    /// All tokens written, thinking included.
    pub output_tokens: u64,
    /// Those of the output that were thinking.
    pub thinking_tokens: u64,
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
        self.input_tokens += other.input_tokens;
        self.cached_input_tokens += other.cached_input_tokens;
        self.cache_write_tokens += other.cache_write_tokens;
        self.output_tokens += other.output_tokens;
        self.thinking_tokens += other.thinking_tokens;
    }
}

impl Sum for TokenUsage {
    fn sum<I: Iterator<Item = Self>>(usages: I) -> Self {
        usages.fold(Self::default(), Add::add)
    }
}
