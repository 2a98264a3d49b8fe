//! Virtual time: it runs with the machine's, and can be pushed on.

use std::sync::Mutex;
use std::time::{Duration, SystemTime};

/// How long a batch takes, in virtual time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Until the input is checked.
    pub validating: Duration,
    /// Until every request is answered.
    pub in_progress: Duration,
    /// Until the results are written.
    pub finalizing: Duration,
}

impl Pace {
    /// Ended as soon as it is asked for.
    pub const INSTANT: Self = Self {
        validating: Duration::ZERO,
        in_progress: Duration::ZERO,
        finalizing: Duration::ZERO,
    };

    /// Under a second, every status to be seen.
    pub const BRISK: Self = Self {
        validating: Duration::from_millis(150),
        in_progress: Duration::from_millis(400),
        finalizing: Duration::from_millis(100),
    };

    pub(crate) fn total(&self) -> Duration {
        self.validating + self.in_progress + self.finalizing
    }
}

#[derive(Debug, Default)]
pub(crate) struct VirtualTime {
    ahead: Mutex<Duration>,
}

impl VirtualTime {
    pub(crate) fn advance(&self, by: Duration) {
        *self
            .ahead
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner) += by;
    }

    /// Since the epoch.
    #[expect(clippy::disallowed_methods, reason = "the emulator's one clock")]
    pub(crate) fn now(&self) -> Duration {
        let ahead = *self
            .ahead
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default()
            + ahead
    }
}

/// Waits for real, for faults of latency.
#[expect(clippy::disallowed_methods, reason = "the emulator's one clock")]
pub(crate) async fn wait(duration: Duration) {
    tokio::time::sleep(duration).await;
}
