//! Time and chance come through these seams, so that a test can hold both still.

use std::fmt;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;

use crate::Error;

/// The source of time. Nobody else sleeps or reads the time.
#[async_trait]
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The calendar time, for records and for a server's dates.
    fn now(&self) -> SystemTime;

    /// Time since an arbitrary start; never goes back.
    fn elapsed(&self) -> Duration;

    /// Checks that the clock can wait here, such as inside the runtime that it needs.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported), saying what the clock needs.
    fn check(&self) -> Result<(), Error> {
        Ok(())
    }

    /// Waits.
    async fn sleep(&self, duration: Duration);

    /// Waits until [`elapsed`](Self::elapsed) is at least `at`, for a bound on other work that may sleep
    /// itself. A clock of tests that is moved on by sleeps is not moved on by this.
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

/// The source of chance, for nonces and jitter.
pub trait Rng: fmt::Debug + Send + Sync + 'static {
    /// 64 random bits.
    fn next_u64(&self) -> u64;

    /// A number from 0 up to, not including, 1.
    fn next_f64(&self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }
}
