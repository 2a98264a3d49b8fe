//! Sources of time and randomness, which tests replace by ones that they control.

use std::fmt;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;

use crate::Error;

/// Source of time and of sleep: no other code of lmbatch reads the time or sleeps.
///
/// ```
/// # use lmbatch_core as lmbatch;
/// use std::time::Duration;
/// use lmbatch::Clock;
///
/// async fn wait_and_measure(clock: &dyn Clock) -> Duration {
///     let start = clock.elapsed();
///     clock.sleep(Duration::from_secs(1)).await;
///     clock.elapsed() - start
/// }
/// ```
#[async_trait]
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// Returns the calendar time, for records and for comparison with dates of a server.
    fn now(&self) -> SystemTime;

    /// Returns the time since an arbitrary start; never decreases.
    fn elapsed(&self) -> Duration;

    /// Checks that the clock can wait here, such as inside the runtime that it needs.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported), saying what the clock needs.
    fn check(&self) -> Result<(), Error> {
        Ok(())
    }

    /// Sleeps for the given duration.
    async fn sleep(&self, duration: Duration);

    /// Waits until [`elapsed`](Self::elapsed) is at least `at`. For a deadline of other work that may itself
    /// sleep: a test clock that advances when code sleeps does not advance because of this wait.
    async fn reached(&self, at: Duration) {
        loop {
            let left = at.saturating_sub(self.elapsed());
            if left.is_zero() {
                return;
            }
            self.sleep(left).await;
        }
    }
}

/// Source of random numbers, for nonces and for the jitter of back-off.
///
/// ```
/// # use lmbatch_core as lmbatch;
/// /// Numbers that repeat, for a test.
/// #[derive(Debug)]
/// struct Constant;
///
/// impl lmbatch::Rng for Constant {
///     fn next_u64(&self) -> u64 {
///         1 << 63
///     }
/// }
///
/// # use lmbatch::Rng as _;
/// assert_eq!(Constant.next_f64(), 0.5);
/// ```
pub trait Rng: fmt::Debug + Send + Sync + 'static {
    /// Returns 64 random bits.
    fn next_u64(&self) -> u64;

    /// Returns a random number in the range 0.0 to 1.0, excluding 1.0.
    fn next_f64(&self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }
}
