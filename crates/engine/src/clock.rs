//! The machine's own time and chance.

use std::future::poll_fn;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use futures::future::{Either, select};
use lmbatch_core::{Clock, Error, ErrorKind, Result, Rng};
use tokio::time::Instant;

/// The longest sleep in one go: a machine that was suspended notices it so soon after it wakes.
const SLICE: Duration = Duration::from_secs(15);

/// How far the two clocks of a machine may drift apart before it counts as a suspend.
const DRIFT: Duration = Duration::from_secs(5);

/// The machine's clock. The time that a machine is suspended counts, though its own counter stands still
/// then: what was due in the meantime is done at once.
#[derive(Debug, Clone)]
pub struct SystemClock {
    start: Instant,
    started_at: SystemTime,
    /// Milliseconds that the machine was suspended for.
    suspended: Arc<AtomicU64>,
}

impl SystemClock {
    /// Starts counting.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the machine's time"
    )]
    pub fn new() -> Self {
        Self {
            start: Instant::now(),
            started_at: SystemTime::now(),
            suspended: Arc::default(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

/// How long a machine was suspended for, from what was known, what its counter and what its calendar say.
fn suspended(known: Duration, counted: Duration, passed: Duration) -> Duration {
    let gap = passed.saturating_sub(counted);
    if gap > known + DRIFT { gap } else { known }
}

#[async_trait]
impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the machine's time"
    )]
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    fn elapsed(&self) -> Duration {
        let counted = self.start.elapsed();
        // A calendar that was set back says nothing.
        let passed = self.now().duration_since(self.started_at);
        let known = Duration::from_millis(self.suspended.load(Ordering::Relaxed));
        let suspended = suspended(known, counted, passed.unwrap_or_default());
        let millis = u64::try_from(suspended.as_millis()).unwrap_or(u64::MAX);
        let before = self.suspended.fetch_max(millis, Ordering::Relaxed);
        counted + Duration::from_millis(millis.max(before))
    }

    fn check(&self) -> Result<()> {
        match tokio::runtime::Handle::try_current() {
            Ok(_) => Ok(()),
            Err(error) => Err(Error::new(ErrorKind::Unsupported)
                .with_message(
                    "calls outside of a Tokio runtime; await the call inside of one, such as in a function under \
                     #[tokio::main]; nothing was sent",
                )
                .with_source(error)),
        }
    }

    #[expect(clippy::disallowed_methods, reason = "the one place that waits")]
    async fn sleep(&self, duration: Duration) {
        let until = self.elapsed().saturating_add(duration);
        loop {
            let left = until.saturating_sub(self.elapsed());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(SLICE)).await;
        }
    }
}

/// The machine's chance: each number is a hash under keys that the operating system drew.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRng;

impl Rng for SystemRng {
    fn next_u64(&self) -> u64 {
        RandomState::new().build_hasher().finish()
    }
}

/// Does the work, unless the clock reaches `at` first: then it is dropped where it stands.
pub(crate) async fn within<T>(
    clock: &dyn Clock,
    at: Duration,
    work: impl Future<Output = T>,
) -> Option<T> {
    let mut late = clock.reached(at);
    // The bound is known before the work begins: a clock of tests moves on with the work.
    let is_late = poll_fn(|task| Poll::Ready(late.as_mut().poll(task).is_ready()));
    if is_late.await {
        return None;
    }
    match select(pin!(work), late).await {
        Either::Left((done, _)) => Some(done),
        Either::Right(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_machine_was_suspended_for_counts_once_and_drift_does_not() {
        let seconds = Duration::from_secs;
        for (known, counted, passed, wanted) in [
            (0, 60, 60, 0),
            // The calendar was set right by a little, or set back.
            (0, 60, 63, 0),
            (0, 60, 0, 0),
            // A night in a bag.
            (0, 60, 28_860, 28_800),
            (28_800, 3_660, 32_460, 28_800),
            (28_800, 3_660, 32_463, 28_800),
            // And another.
            (28_800, 3_660, 61_260, 57_600),
        ] {
            let suspended = suspended(seconds(known), seconds(counted), seconds(passed));
            assert_eq!(suspended, seconds(wanted), "{known} {counted} {passed}");
        }
    }

    #[tokio::test]
    async fn a_sleep_takes_as_long_as_it_is_asked_to() {
        let clock = SystemClock::new();
        let wait = Duration::from_millis(30);
        clock.sleep(wait).await;
        let took = clock.elapsed();
        assert!(took >= wait && took < wait + DRIFT, "{took:?}");
    }

    #[tokio::test]
    async fn a_sleep_without_an_end_is_one_that_waits() {
        let clock = SystemClock::new();
        let sleep = clock.sleep(Duration::MAX);
        #[expect(clippy::disallowed_methods, reason = "a bound on the clock itself")]
        let short = tokio::time::timeout(Duration::from_millis(10), sleep).await;
        assert!(short.is_err());
    }
}
