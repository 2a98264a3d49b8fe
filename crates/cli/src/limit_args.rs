//! Options that limit the size of a batch.

use lmbatch::BatchLimit;

/// Limits on the size of one batch.
#[derive(Debug, Clone, Default, PartialEq, clap::Args)]
pub(crate) struct LimitArgs {
    /// Maximum number of requests per batch; the provider's own limit holds as well.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_batch_requests: Option<u32>,
    /// Maximum size of a batch in bytes; the provider's own limit holds as well.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) max_batch_bytes: Option<u64>,
    /// Maximum number of tokens per batch, estimated from its bytes with a margin; for accounts with a limit on
    /// enqueued tokens.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) max_batch_tokens: Option<u64>,
}

impl LimitArgs {
    pub(crate) fn is_unlimited(&self) -> bool {
        *self == Self::default()
    }

    pub(crate) fn or(&self, other: &Self) -> Self {
        Self {
            max_batch_requests: self.max_batch_requests.or(other.max_batch_requests),
            max_batch_bytes: self.max_batch_bytes.or(other.max_batch_bytes),
            max_batch_tokens: self.max_batch_tokens.or(other.max_batch_tokens),
        }
    }

    pub(crate) fn limit(&self) -> BatchLimit {
        BatchLimit {
            max_requests: self.max_batch_requests,
            max_bytes: self.max_batch_bytes,
            max_tokens: self.max_batch_tokens,
        }
    }
}
