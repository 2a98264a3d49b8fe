//! The clock and the random numbers of the machine.

use std::future::poll_fn;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use futures::future::{Either, select};
use lmbatch_core::{Clock, Result, Rng};
use tokio::time::Instant;

/// Longest single sleep. A machine that was suspended notices it at most this long after it wakes.
const SLICE: Duration = Duration::from_secs(15);

/// Difference between the two clocks of a machine above which the machine counts as suspended.
const DRIFT: Duration = Duration::from_secs(5);

/// Clock of the machine. Time during which the machine is suspended counts as elapsed, although the
/// monotonic counter stands still then: work that became due in the meantime is due at once.
#[derive(Debug, Clone)]
pub struct SystemClock {
    start: Instant,
    started_at: SystemTime,
    /// Milliseconds during which the machine was suspended.
    suspended: Arc<AtomicU64>,
}

impl SystemClock {
    /// Returns a clock that counts from now.
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

/// Returns how long a machine was suspended: `known` from earlier calls, `counted` by the monotonic
/// counter, `passed` by the calendar.
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
        // A calendar that was set back gives no information.
        let passed = self.now().duration_since(self.started_at);
        let known = Duration::from_millis(self.suspended.load(Ordering::Relaxed));
        let suspended = suspended(known, counted, passed.unwrap_or_default());
        let millis = u64::try_from(suspended.as_millis()).unwrap_or(u64::MAX);
        let before = self.suspended.fetch_max(millis, Ordering::Relaxed);
        counted + Duration::from_millis(millis.max(before))
    }

    fn check(&self) -> Result<()> {
        lmbatch_runtime::check()
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

/// Random numbers of the machine: each is a hash under keys that the operating system drew.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRng;

impl Rng for SystemRng {
    fn next_u64(&self) -> u64 {
        RandomState::new().build_hasher().finish()
    }
}

/// Does the work, unless the clock reaches `at` first; the work is then dropped unfinished.
pub(crate) async fn within<T>(
    clock: &dyn Clock,
    at: Duration,
    work: impl Future<Output = T>,
) -> Option<T> {
    let mut late = clock.reached(at);
    // The bound is checked before the work begins: a test clock advances while the work runs.
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
    fn a_suspension_counts_once_and_clock_drift_does_not_count() {
        let seconds = Duration::from_secs;
        for (known, counted, passed, wanted) in [
            (0, 60, 60, 0),
            // The calendar was corrected by a little, or set back.
            (0, 60, 63, 0),
            (0, 60, 0, 0),
            // The machine was suspended for eight hours.
            (0, 60, 28_860, 28_800),
            (28_800, 3_660, 32_460, 28_800),
            (28_800, 3_660, 32_463, 28_800),
            // The machine was suspended for another eight hours.
            (28_800, 3_660, 61_260, 57_600),
        ] {
            let suspended = suspended(seconds(known), seconds(counted), seconds(passed));
            assert_eq!(suspended, seconds(wanted), "{known} {counted} {passed}");
        }
    }

    #[tokio::test]
    async fn a_sleep_takes_the_requested_time() {
        let clock = SystemClock::new();
        let wait = Duration::from_millis(30);
        clock.sleep(wait).await;
        let took = clock.elapsed();
        assert!(took >= wait && took < wait + DRIFT, "{took:?}");
    }

    #[tokio::test]
    async fn a_sleep_of_the_longest_duration_does_not_return() {
        let clock = SystemClock::new();
        let sleep = clock.sleep(Duration::MAX);
        #[expect(clippy::disallowed_methods, reason = "a bound on the clock itself")]
        let short = tokio::time::timeout(Duration::from_millis(10), sleep).await;
        assert!(short.is_err());
    }
}
