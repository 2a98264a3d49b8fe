//! Limits and behaviour of the emulated providers.

use std::time::Duration;

/// Limits and behaviour of the emulated providers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Maximum number of tokens enqueued in OpenAI batches, at four bytes a token; a batch that exceeds it fails its
    /// validation with `token_limit_exceeded`. `None` for no limit.
    pub enqueued_tokens: Option<u64>,
    /// Maximum number of creates an hour. "2,000 batches per hour" (OpenAI batch guide, 2026).
    pub creates_per_hour: u32,
    /// Maximum number of requests of Anthropic batches in the processing queue. "200,000 to 500,000, by tier" (rate
    /// limits page, 2026-08). `None` for no limit.
    pub queued_requests: Option<u64>,
    /// Maximum number of running Gemini batches. "100 concurrent batch requests" (rate limits page, 2026). `None` for
    /// no limit.
    pub concurrent_batches: Option<u64>,
    /// True if downloads of results can start at an offset, which is not documented for any provider.
    pub ranges: bool,
    /// The `Retry-After` of an Anthropic batch that has not ended. The provider sends 10 s. `None` for no header.
    pub retry_after: Option<Duration>,
    /// Time for which a new batch is absent from lists, which may lag behind creates.
    pub list_lag: Duration,
    /// Time between the success of a Gemini batch and the appearance of its results.
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
