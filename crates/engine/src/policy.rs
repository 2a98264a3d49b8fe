//! Pure decisions: state in, answer out. Nothing here waits.

use std::time::Duration;

use lmbatch_core::{Delivery, Error, Retry};

/// The first interval between two polls of a batch, unless the caller or the server says otherwise.
///
/// ```
/// assert_eq!(lmbatch_engine::DEFAULT_STATUS_CHECK_INTERVAL.as_secs(), 2);
/// ```
pub const DEFAULT_STATUS_CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// The interval to which polling slows down by itself.
pub const MAX_STATUS_CHECK_INTERVAL: Duration = Duration::from_secs(60);

/// How often a batch is asked for its status. No jitter: a timeline can be read off.
///
/// ```
/// use std::time::Duration;
/// use lmbatch_engine::PollingPolicy;
/// assert_eq!(PollingPolicy::GROWING.wait(1, None), Duration::from_secs(2));
/// assert_eq!(PollingPolicy::every(Duration::from_secs(30)).wait(9, None), Duration::from_secs(30));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PollingPolicy {
    interval: Option<Duration>,
}

impl PollingPolicy {
    /// From [`DEFAULT_STATUS_CHECK_INTERVAL`], half as long again each time, up to
    /// [`MAX_STATUS_CHECK_INTERVAL`].
    pub const GROWING: Self = Self { interval: None };

    /// Always the same interval.
    pub const fn every(interval: Duration) -> Self {
        Self {
            interval: Some(interval),
        }
    }

    /// How long to wait after poll number `polls` (from 1). The server's wish wins.
    pub fn wait(&self, polls: u32, wish: Option<Duration>) -> Duration {
        if let Some(wish) = wish {
            return wish;
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

/// What to do with a call that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Make it again after a wait.
    RetryAfter(Duration),
    /// Give up.
    Stop,
    /// A create whose fate is unknown: look for it, never repeat it.
    Find,
}

/// How a failed call is made again: seconds, full jitter, the server's wish first.
///
/// ```
/// use lmbatch_engine::RetryPolicy;
/// let hasty = RetryPolicy { max_attempts: 2, ..Default::default() };
/// assert!(hasty.cap >= hasty.base);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RetryPolicy {
    /// Calls in all, the first included.
    pub max_attempts: u32,
    /// The longest first wait.
    pub base: Duration,
    /// The longest wait of our own.
    pub cap: Duration,
    /// The longest wish of a server that is obeyed by waiting; beyond it we stop.
    pub longest_wish: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_attempts: 8,
            base: Duration::from_millis(500),
            cap: Duration::from_secs(30),
            longest_wish: Duration::from_secs(600),
        }
    }
}

impl RetryPolicy {
    /// After attempt `attempt` (from 1) of a call that can be repeated freely. `chance` is from 0 up to 1.
    pub fn decide(&self, attempt: u32, error: &Error, chance: f64) -> Decision {
        if error.retry() != Retry::Temporary || attempt >= self.max_attempts {
            return Decision::Stop;
        }
        match error.retry_after() {
            Some(wish) if wish > self.longest_wish => Decision::Stop,
            Some(wish) => Decision::RetryAfter(wish),
            None => Decision::RetryAfter(self.backoff(attempt, chance)),
        }
    }

    /// The same for a create: repeated only where the provider cannot have acted.
    pub fn decide_create(&self, attempt: u32, error: &Error, chance: f64) -> Decision {
        match error.delivery() {
            Delivery::Unknown => Decision::Find,
            Delivery::NotSent | Delivery::Refused => self.decide(attempt, error, chance),
        }
    }

    fn backoff(&self, attempt: u32, chance: f64) -> Duration {
        let longest = self
            .base
            .saturating_mul(1 << attempt.saturating_sub(1).min(16))
            .min(self.cap);
        longest.mul_f64(chance)
    }
}

/// When to look for a create whose fate is unknown, and for results that are not whole.
///
/// ```
/// use std::time::Duration;
/// use lmbatch_engine::DoubtPolicy;
/// let impatient = DoubtPolicy { looks: vec![Duration::ZERO, Duration::from_secs(30)] };
/// assert!(impatient.looks.len() < DoubtPolicy::default().looks.len());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DoubtPolicy {
    /// The waits before each look.
    pub looks: Vec<Duration>,
}

impl DoubtPolicy {
    /// The usual looks, spread over another time in all.
    pub fn within(time: Duration) -> Self {
        let usual = Self::default().looks;
        let whole: Duration = usual.iter().sum();
        let part = time.as_secs_f64() / whole.as_secs_f64();
        Self {
            looks: usual.into_iter().map(|wait| wait.mul_f64(part)).collect(),
        }
    }

    /// Time in all over which something is looked for.
    pub fn patience(&self) -> Duration {
        self.looks.iter().sum()
    }

    /// The waits between looks, without the first where that is at once.
    pub(crate) fn waits(&self) -> impl Iterator<Item = Duration> + Send + use<> {
        let waits = self.looks.clone().into_iter();
        waits.skip_while(Duration::is_zero)
    }
}

/// What is done about a create whose fate stays unknown.
///
/// ```
/// assert_eq!(lmbatch_engine::OnDoubt::default(), lmbatch_engine::OnDoubt::Hold);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnDoubt {
    /// Nothing: someone looks at the provider and decides.
    #[default]
    Hold,
    /// It is sent again. If the first was accepted after all, both are paid for.
    Resubmit,
    /// Its requests are given up, as errors that say so; everything else goes on.
    Abandon,
}

/// The most of one batch, below what its provider takes.
///
/// ```
/// let small = lmbatch_engine::BatchLimit { max_requests: Some(1000), ..Default::default() };
/// assert_eq!(small.max_bytes, None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BatchLimit {
    /// Requests.
    pub max_requests: Option<u32>,
    /// Bytes as sent.
    pub max_bytes: Option<u64>,
    /// Tokens of the requests, estimated from their bytes: one for three, which leaves a margin.
    pub max_tokens: Option<u64>,
}

impl BatchLimit {
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
                (Some(ours), Some(theirs)) => Some(ours.min(theirs)),
                (ours, theirs) => ours.or(theirs),
            },
            ..limits
        }
    }
}

impl Default for DoubtPolicy {
    /// At 0, 5, 15, 30 and 60 s, then at 2, 5, 10 and 15 minutes: lists may lag behind creates.
    fn default() -> Self {
        Self {
            looks: [0, 5, 10, 15, 30, 60, 180, 300, 300]
                .map(Duration::from_secs)
                .to_vec(),
        }
    }
}

/// Bounds of one run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RunOptions {
    /// Time of the run in all: creates, searches for lost creates, polls and reading results. What is under
    /// way when it is over is dropped where it stands: the record has it as after a crash, and batches go on.
    pub deadline: Option<Duration>,
    /// How often to ask for its status.
    pub max_polls: Option<u32>,
    /// How often a request that was not answered, and may be if it is asked again, is sent in all. One
    /// where nothing is said.
    pub max_attempts: Option<u32>,
    /// Create what can be created, ask once, fetch what has ended, and wait for nothing.
    pub once: bool,
}

/// Steps that run at once on one account, by kind. The runs of all clones of one engine are counted together.
///
/// ```
/// let careful = lmbatch_engine::StepLimits { fetches: 1, ..Default::default() };
/// assert_eq!(careful.creates, 4);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepLimits {
    /// Uploads of inputs; 4 unless said otherwise.
    pub uploads: usize,
    /// Creates; 4 unless said otherwise.
    pub creates: usize,
    /// Status calls and looks for lost creates; 8 unless said otherwise.
    pub polls: usize,
    /// Downloads of results; 4 unless said otherwise.
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

/// A batch that was just created may be unknown to some of the provider's machines for so long.
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
    fn a_given_interval_is_kept_and_the_servers_wish_wins() {
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
    fn a_retry_waits_as_the_server_wishes_or_stops() {
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
