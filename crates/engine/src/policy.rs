//! Pure decisions about polls, retries and doubtful creates. Nothing in this module waits.

use std::time::Duration;

use lmbatch_core::{Delivery, Error, Retry};

/// Interval before the second poll of a batch, unless the caller or the server sets another.
///
/// ```
/// # use lmbatch_engine as lmbatch;
/// assert_eq!(lmbatch::DEFAULT_STATUS_CHECK_INTERVAL.as_secs(), 2);
/// ```
pub const DEFAULT_STATUS_CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// Longest interval to which polling slows down by itself.
///
/// ```
/// # use lmbatch_engine as lmbatch;
/// use lmbatch::{MAX_STATUS_CHECK_INTERVAL, PollingPolicy};
/// let late = PollingPolicy::GROWING.wait(1000, None);
/// assert_eq!(late, MAX_STATUS_CHECK_INTERVAL);
/// ```
pub const MAX_STATUS_CHECK_INTERVAL: Duration = Duration::from_secs(60);

/// Intervals between status calls for a batch. They have no jitter, so that logs and tests are
/// predictable.
///
/// ```
/// # use lmbatch_engine as lmbatch;
/// use std::time::Duration;
/// use lmbatch::PollingPolicy;
/// assert_eq!(PollingPolicy::GROWING.wait(1, None), Duration::from_secs(2));
/// assert_eq!(PollingPolicy::every(Duration::from_secs(30)).wait(9, None), Duration::from_secs(30));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PollingPolicy {
    interval: Option<Duration>,
}

impl PollingPolicy {
    /// Intervals that start at [`DEFAULT_STATUS_CHECK_INTERVAL`] and grow by half each time, up to
    /// [`MAX_STATUS_CHECK_INTERVAL`].
    pub const GROWING: Self = Self { interval: None };

    /// Returns a policy with a fixed interval.
    pub const fn every(interval: Duration) -> Self {
        Self {
            interval: Some(interval),
        }
    }

    /// Returns the wait after poll number `polls`, counted from 1. An interval that the server asks
    /// for takes precedence.
    pub fn wait(&self, polls: u32, asked: Option<Duration>) -> Duration {
        if let Some(asked) = asked {
            return asked;
        }
        if let Some(interval) = self.interval {
            return interval;
        }
        let growth = 1.5_f64.powi(polls.saturating_sub(1).min(64) as i32);
        DEFAULT_STATUS_CHECK_INTERVAL
            .mul_f64(growth)
            .min(MAX_STATUS_CHECK_INTERVAL)
    }
}

/// Decision about a call that failed.
///
/// ```
/// # mod lmbatch { pub use lmbatch_core::*; pub use lmbatch_engine::{Decision, RetryPolicy}; }
/// use lmbatch::{Decision, Error, ErrorKind, RetryPolicy};
/// let invalid = Error::invalid_input("no model");
/// assert_eq!(RetryPolicy::default().decide(1, &invalid, 0.5), Decision::Stop);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Repeat the call after a wait.
    RetryAfter(Duration),
    /// Return the error.
    Stop,
    /// Search for the batch of a create whose outcome is unknown, and do not repeat the create.
    Find,
}

/// Repetition of failed calls: exponential back-off with full jitter, unless the server sends a
/// retry-after.
///
/// ```
/// # use lmbatch_engine as lmbatch;
/// use lmbatch::RetryPolicy;
/// let hasty = RetryPolicy { max_attempts: 2, ..Default::default() };
/// assert!(hasty.cap >= hasty.base);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RetryPolicy {
    /// Maximum number of calls, the first included; 8 by default.
    pub max_attempts: u32,
    /// Longest wait before the second call, 0.5 s by default; it doubles with each failure.
    pub base: Duration,
    /// Longest wait that the back-off chooses; 30 s by default.
    pub cap: Duration,
    /// Longest retry-after of a server that is honoured, 600 s by default; a longer one fails the
    /// call.
    pub max_retry_after: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_attempts: 8,
            base: Duration::from_millis(500),
            cap: Duration::from_secs(30),
            max_retry_after: Duration::from_secs(600),
        }
    }
}

impl RetryPolicy {
    /// Decides about a call that is free to repeat, after `attempt` attempts (from 1). `random` is
    /// a random number from 0 up to 1.
    pub fn decide(&self, attempt: u32, error: &Error, random: f64) -> Decision {
        if error.retry() != Retry::Temporary || attempt >= self.max_attempts {
            return Decision::Stop;
        }
        match error.retry_after() {
            Some(after) if after > self.max_retry_after => Decision::Stop,
            Some(after) => Decision::RetryAfter(after),
            None => Decision::RetryAfter(self.backoff(attempt, random)),
        }
    }

    /// Decides about a create after `attempt` attempts (from 1): it is repeated only where the
    /// provider cannot have acted on it. `random` is a random number from 0 up to 1.
    pub fn decide_create(&self, attempt: u32, error: &Error, random: f64) -> Decision {
        match error.delivery() {
            Delivery::Unknown => Decision::Find,
            Delivery::NotSent | Delivery::Refused => self.decide(attempt, error, random),
        }
    }

    fn backoff(&self, attempt: u32, random: f64) -> Duration {
        let longest = self
            .base
            .saturating_mul(1 << attempt.saturating_sub(1).min(16))
            .min(self.cap);
        longest.mul_f64(random)
    }
}

/// Times at which to search for the batch of a create whose outcome is unknown, and to read results
/// that are not complete.
///
/// ```
/// # use lmbatch_engine as lmbatch;
/// use std::time::Duration;
/// use lmbatch::DoubtPolicy;
/// let impatient = DoubtPolicy { waits: vec![Duration::ZERO, Duration::from_secs(30)] };
/// assert!(impatient.waits.len() < DoubtPolicy::default().waits.len());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DoubtPolicy {
    /// Waits before each search.
    pub waits: Vec<Duration>,
}

impl DoubtPolicy {
    /// Returns the default searches, spread over `time` in all.
    pub fn within(time: Duration) -> Self {
        let usual = Self::default().waits;
        let whole: Duration = usual.iter().sum();
        let part = time.as_secs_f64() / whole.as_secs_f64();
        Self {
            waits: usual.into_iter().map(|wait| wait.mul_f64(part)).collect(),
        }
    }

    /// Returns the total time over which a batch is searched for.
    pub fn total_wait(&self) -> Duration {
        self.waits.iter().sum()
    }

    /// Returns the waits between searches, without a first wait of zero.
    pub(crate) fn waits(&self) -> impl Iterator<Item = Duration> + Send + use<> {
        let waits = self.waits.clone().into_iter();
        waits.skip_while(Duration::is_zero)
    }
}

/// Treatment of a create whose outcome stays unknown.
///
/// ```
/// # use lmbatch_engine as lmbatch;
/// assert_eq!(lmbatch::OnDoubt::default(), lmbatch::OnDoubt::Hold);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnDoubt {
    /// Do nothing further: an operator looks at the provider and decides.
    #[default]
    Hold,
    /// Send the create again. If the first was accepted after all, both are paid for.
    Resubmit,
    /// Give up the requests of the batch, as errors that say so; the rest of the run continues.
    Abandon,
}

/// Maximum size of one batch, below the limits of its provider.
///
/// ```
/// # use lmbatch_engine as lmbatch;
/// let small = lmbatch::BatchLimit { max_requests: Some(1000), ..Default::default() };
/// assert_eq!(small.max_bytes, None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BatchLimit {
    /// Maximum number of requests.
    pub max_requests: Option<u32>,
    /// Maximum number of bytes as sent.
    pub max_bytes: Option<u64>,
    /// Maximum number of tokens, estimated conservatively as one for three bytes of a request.
    pub max_tokens: Option<u64>,
}

impl BatchLimit {
    /// Checks that a batch may hold anything.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](lmbatch_core::ErrorKind::InvalidInput) with the name of a limit of zero.
    pub(crate) fn check(self) -> lmbatch_core::Result<()> {
        for (name, is_zero) in [
            ("max_requests", self.max_requests == Some(0)),
            ("max_bytes", self.max_bytes == Some(0)),
            ("max_tokens", self.max_tokens == Some(0)),
        ] {
            if is_zero {
                return Err(lmbatch_core::Error::invalid_input(format!(
                    "the batch limit {name} must be at least 1; nothing was sent"
                )));
            }
        }
        Ok(())
    }

    pub(crate) fn apply(self, limits: lmbatch_core::Limits) -> lmbatch_core::Limits {
        lmbatch_core::Limits {
            max_requests: self
                .max_requests
                .unwrap_or(u32::MAX)
                .clamp(1, limits.max_requests),
            max_bytes: self
                .max_bytes
                .unwrap_or(u64::MAX)
                .clamp(1, limits.max_bytes),
            enqueued_tokens: match (self.max_tokens, limits.enqueued_tokens) {
                (Some(own), Some(providers)) => Some(own.min(providers)),
                (own, providers) => own.or(providers),
            },
            ..limits
        }
    }
}

impl Default for DoubtPolicy {
    /// Searches at 0, 5, 15, 30 and 60 s, then at 2, 5, 10 and 15 minutes: lists may lag behind
    /// creates.
    fn default() -> Self {
        Self {
            waits: [0, 5, 10, 15, 30, 60, 180, 300, 300]
                .map(Duration::from_secs)
                .to_vec(),
        }
    }
}

/// Bounds of one run, built by a literal that ends in `..RunOptions::default()`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RunOptions {
    /// Time limit of the whole run: creates, searches for lost creates, polls and reading results.
    /// At the limit, running calls are dropped; the record is as after a crash, and batches
    /// continue at the provider.
    pub deadline: Option<Duration>,
    /// Maximum number of polls of a batch.
    pub max_polls: Option<u32>,
    /// Maximum number of times that an unanswered request is sent in all, where sending it again
    /// may help. One by default.
    pub max_attempts: Option<u32>,
    /// Maximum number of times that an answer which does not fit its schema is sent back to be
    /// corrected, beyond [`max_attempts`](Self::max_attempts). Zero by default.
    pub repairs: u32,
    /// Create what can be created, poll each batch once, fetch the results of ended batches, and
    /// wait for nothing.
    pub once: bool,
}

/// Number of steps that run at once on one account, by kind. The runs of all clones of one engine
/// are counted together.
///
/// ```
/// # use lmbatch_engine as lmbatch;
/// let careful = lmbatch::StepLimits { fetches: 1, ..Default::default() };
/// assert_eq!(careful.creates, 4);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepLimits {
    /// Uploads of inputs; 4 by default.
    pub uploads: usize,
    /// Creates; 4 by default.
    pub creates: usize,
    /// Status calls and searches for lost creates; 8 by default.
    pub polls: usize,
    /// Downloads of results; 4 by default.
    pub fetches: usize,
}

impl Default for StepLimits {
    fn default() -> Self {
        Self {
            uploads: 4,
            creates: 4,
            polls: 8,
            fetches: 4,
        }
    }
}

/// Longest time for which a batch that was just created may be unknown to some of the provider's
/// machines.
pub(crate) const UNKNOWN_AT_FIRST: Duration = Duration::from_secs(120);

#[cfg(test)]
mod tests {
    use lmbatch_core::ErrorKind;

    use super::*;

    #[test]
    fn polling_grows_from_two_seconds_to_a_minute() {
        let waits: Vec<u128> = (1..=11)
            .map(|polls| PollingPolicy::GROWING.wait(polls, None).as_millis())
            .collect();
        assert_eq!(
            waits,
            [
                2000, 3000, 4500, 6750, 10125, 15187, 22781, 34171, 51257, 60000, 60000
            ]
        );
    }

    #[test]
    fn a_given_interval_is_kept_and_the_servers_interval_wins() {
        let policy = PollingPolicy::every(Duration::from_secs(30));
        assert_eq!(policy.wait(1, None), policy.wait(100, None));
        assert_eq!(
            policy.wait(5, Some(Duration::from_secs(10))),
            Duration::from_secs(10)
        );
    }

    #[test]
    fn a_create_is_repeated_only_where_the_provider_cannot_have_acted() {
        let error = |retry, delivery| {
            Error::new(ErrorKind::ProviderOverloaded)
                .with_retry(retry)
                .with_delivery(delivery)
        };
        let policy = RetryPolicy::default();
        for (retry, delivery, expected) in [
            (
                Retry::Temporary,
                Delivery::NotSent,
                Decision::RetryAfter(Duration::from_millis(250)),
            ),
            (
                Retry::Temporary,
                Delivery::Refused,
                Decision::RetryAfter(Duration::from_millis(250)),
            ),
            (Retry::Permanent, Delivery::Refused, Decision::Stop),
            (Retry::Exhausted, Delivery::NotSent, Decision::Stop),
            (Retry::Temporary, Delivery::Unknown, Decision::Find),
            (Retry::Permanent, Delivery::Unknown, Decision::Find),
        ] {
            assert_eq!(
                policy.decide_create(1, &error(retry, delivery), 0.5),
                expected,
                "{retry:?} {delivery:?}"
            );
        }
    }

    #[test]
    fn a_retry_waits_for_the_retry_after_or_stops() {
        let busy = Error::new(ErrorKind::ProviderRateLimit).with_retry(Retry::Temporary);
        let policy = RetryPolicy::default();
        let after = |secs| {
            Error::new(ErrorKind::ProviderRateLimit)
                .with_retry(Retry::Temporary)
                .with_retry_after(Duration::from_secs(secs))
        };
        assert_eq!(
            policy.decide(1, &after(3), 0.1),
            Decision::RetryAfter(Duration::from_secs(3))
        );
        assert_eq!(policy.decide(1, &after(601), 0.1), Decision::Stop);
        assert_eq!(policy.decide(8, &busy, 0.1), Decision::Stop);
        let waits: Vec<u64> = (1..8)
            .map(|attempt| match policy.decide(attempt, &busy, 1.0) {
                Decision::RetryAfter(wait) => wait.as_millis() as u64,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(waits, [500, 1000, 2000, 4000, 8000, 16000, 30000]);
    }
}
