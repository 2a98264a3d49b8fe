//! The machine's clock, for the time limits of requests.

use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use lmbatch_core::Clock;

/// The machine's clock. Time during which the machine is suspended does not count.
#[derive(Debug)]
pub(crate) struct MachineClock {
    start: Instant,
}

impl MachineClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place of this crate that reads the machine's time"
    )]
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
        }
    }
}

#[async_trait]
impl Clock for MachineClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place of this crate that reads the machine's time"
    )]
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the one place of this crate that waits"
    )]
    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}
