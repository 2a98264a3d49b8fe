//! What can be set of the emulated providers.

use std::time::Duration;

/// What an emulated provider allows, and its habits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Tokens that may wait in OpenAI batches at once, at four bytes a token; a batch beyond them fails
    /// its validation with `token_limit_exceeded`.
    pub enqueued_tokens: Option<u64>,
    /// Creates an hour. "2,000 batches per hour" (OpenAI batch guide, 2026).
    pub creates_per_hour: u32,
    /// Requests of Anthropic batches that may be in the processing queue at once. "200,000 to 500,000, by
    /// tier" (rate limits page, 2026-08).
    pub queued_requests: Option<u64>,
    /// Gemini batches that may go on at once. "100 concurrent batch requests" (rate limits page, 2026).
    pub concurrent_batches: Option<u64>,
    /// Whether results can be read from the middle, which is not established of any provider.
    pub ranges: bool,
    /// The `Retry-After` of an Anthropic batch that has not ended. The provider says 10 s.
    pub retry_after: Option<Duration>,
    /// How long a batch is missing from the lists, which may lag behind creates.
    pub list_lag: Duration,
    /// How long a Gemini batch has succeeded before its results show.
    pub late_results: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            enqueued_tokens: None,
            creates_per_hour: 2000,
            queued_requests: None,
            concurrent_batches: None,
            ranges: false,
            retry_after: None,
            list_lag: Duration::ZERO,
            late_results: Duration::ZERO,
        }
    }
}
