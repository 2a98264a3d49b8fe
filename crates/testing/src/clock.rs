//! Time and chance that a test holds in its hand.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use lmbatch_core::{Clock, Rng};

/// A clock that moves only when somebody sleeps. Starts at the epoch.
#[derive(Debug, Default)]
pub struct TestClock {
    elapsed: Mutex<Duration>,
}

impl TestClock {
    /// Moves it on.
    pub fn advance(&self, by: Duration) {
        *self.lock() += by;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Duration> {
        self.elapsed
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[async_trait]
impl Clock for TestClock {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + *self.lock()
    }

    fn elapsed(&self) -> Duration {
        *self.lock()
    }

    async fn sleep(&self, duration: Duration) {
        self.advance(duration);
    }
}

/// Numbers that look random and are the same each time.
#[derive(Debug)]
pub struct TestRng(AtomicU64);

impl TestRng {
    /// The numbers of a seed.
    pub fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }
}

impl Rng for TestRng {
    /// SplitMix64.
    fn next_u64(&self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut z = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
