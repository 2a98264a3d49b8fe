//! Virtual time: it runs with the machine's clock, and can be advanced.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// Duration of a batch's phases, in virtual time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Time until the input is validated.
    pub validating: Duration,
    /// Time until every request is answered.
    pub in_progress: Duration,
    /// Time until the results are written.
    pub finalizing: Duration,
}

impl Pace {
    /// A batch has ended as soon as its status is read.
    pub const INSTANT: Self = Self {
        validating: Duration::ZERO,
        in_progress: Duration::ZERO,
        finalizing: Duration::ZERO,
    };

    /// A batch takes as long as OpenAI took for two requests to the Responses API: 63 s until its input was validated,
    /// 69 s until both were answered, and 1 s until the results were written (recorded by a third party, August 2026).
    /// Batches of other providers and of other sizes take minutes to hours.
    pub const REAL: Self = Self {
        validating: Duration::from_secs(63),
        in_progress: Duration::from_secs(69),
        finalizing: Duration::from_secs(1),
    };

    /// A batch takes less than a second and passes through every status.
    pub const FAST: Self = Self {
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
    /// Seconds by which the clock is ahead of the machine's; negative for behind.
    offset: AtomicI64,
}

impl VirtualTime {
    pub(crate) fn advance(&self, by: Duration) {
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        *ahead = ahead.saturating_add(by);
    }

    pub(crate) fn shift(&self, seconds: i64) {
        self.offset.store(seconds, Ordering::SeqCst);
    }

    /// Returns the time since the Unix epoch.
    #[expect(clippy::disallowed_methods, reason = "the emulator's one clock")]
    pub(crate) fn now(&self) -> Duration {
        let ahead = *self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        let machine = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default()
            .saturating_add(ahead);
        let offset = self.offset.load(Ordering::SeqCst);
        let shift = Duration::from_secs(offset.unsigned_abs());
        if offset < 0 {
            machine.saturating_sub(shift)
        } else {
            machine.saturating_add(shift)
        }
    }

    /// Returns the time in the format of HTTP's `Date` header.
    pub(crate) fn date(&self) -> String {
        let seconds = self.now().as_secs().min(LAST);
        httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
    }
}

/// The last second that the format can express: the end of the year 9999.
const LAST: u64 = 253_402_300_799;

/// Waits in real time, for faults of latency.
#[expect(clippy::disallowed_methods, reason = "the emulator's one clock")]
pub(crate) async fn wait(duration: Duration) {
    tokio::time::sleep(duration).await;
}
