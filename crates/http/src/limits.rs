//! Time and size limits of requests and answers.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{Either, select};
use lmbatch_core::{Clock, Delivery, Error, ErrorKind, ProviderId, Retry};

use crate::secrets::Secrets;

/// Bytes per second that extend the time of a document with results beyond `response_timeout`.
const DOCUMENT_SPEED: u64 = 64 << 10;

/// Largest delay of a timer that is not attributed to a pause of this process.
const STALL: Duration = Duration::from_secs(1);

/// Limits, time and secrets that all exchanges of one client share.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) limits: Limits,
    pub(crate) secrets: Secrets,
    pub(crate) clock: Arc<dyn Clock>,
    /// Name of the member that holds an answer's error.
    pub(crate) error_member: &'static str,
}

/// The limits of [`HttpOptions`](crate::HttpOptions).
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    pub(crate) silence: Duration,
    pub(crate) answer: Duration,
    pub(crate) min_speed: u64,
    pub(crate) window: Duration,
    pub(crate) document_bytes: u64,
}

impl Limits {
    /// Returns the fewest bytes that a transfer must move within `window`.
    pub(crate) fn least_bytes(&self, window: Duration) -> u64 {
        let bytes = u128::from(self.min_speed).saturating_mul(window.as_millis()) / 1000;
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }

    /// Returns the longest time for a document of which `bytes` have arrived.
    pub(crate) fn document(&self, bytes: u64) -> Duration {
        let extra = Duration::from_secs(bytes / DOCUMENT_SPEED);
        self.answer.saturating_add(extra)
    }

    /// Returns the time over which the least speed is measured; `None` if there is no least speed. A window of zero
    /// would end as soon as it begins, in an endless loop.
    fn speed_window(&self) -> Option<Duration> {
        Some(self.window).filter(|window| self.min_speed > 0 && window.as_millis() > 0)
    }

    /// Returns the time over which the speed of an upload is measured: at least the longest silence, since the
    /// system's send buffers take bytes in bursts.
    pub(crate) fn upload_window(&self) -> Option<Duration> {
        Some(self.speed_window()?.max(self.silence))
    }
}

impl Rules {
    /// Runs `work` for at most `limit`; `None` if it has not ended by then. A result that is ready is returned even
    /// after the limit.
    pub(crate) async fn within<T>(
        &self,
        limit: Duration,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        match select(pin!(work), self.clock.sleep(limit)).await {
            Either::Left((done, _)) => Some(done),
            Either::Right(_) => None,
        }
    }
}

/// Measures the speed of a download. Only the time spent waiting for the server counts, so that a slow reader is not
/// mistaken for a slow server.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    waited: Duration,
    silent: Duration,
    bytes: u64,
}

impl Pace {
    /// Returns the longest time to wait for the next piece.
    pub(crate) fn patience(&self, limits: &Limits, speed: bool) -> Duration {
        let silence = limits.silence.saturating_sub(self.silent);
        match limits.speed_window().filter(|_| speed) {
            Some(window) => silence.min(window.saturating_sub(self.waited)),
            None => silence,
        }
    }

    /// Records a piece that arrived after `waited`. If that exceeds `patience` by more than [`STALL`], this process
    /// was paused, and the time is not counted against the server. The window is checked at the next wait.
    pub(crate) fn moved(&mut self, patience: Duration, waited: Duration, bytes: u64) {
        self.silent = Duration::ZERO;
        self.bytes = self.bytes.saturating_add(bytes);
        if waited <= patience.saturating_add(STALL) {
            self.waited = self.waited.saturating_add(waited);
        }
    }

    /// Records that nothing arrived within `waited`. Returns the reason if the transfer must fail.
    pub(crate) fn stood(
        &mut self,
        limits: &Limits,
        waited: Duration,
        speed: bool,
    ) -> Option<String> {
        self.silent = self.silent.saturating_add(waited);
        self.waited = self.waited.saturating_add(waited);
        if self.silent >= limits.silence {
            return Some(format!("nothing arrived for {:?}", limits.silence));
        }
        if let Some(window) = limits.speed_window().filter(|_| speed)
            && self.waited >= window
        {
            if self.bytes < limits.least_bytes(window) {
                return Some(too_slow("arrived", limits, window));
            }
            (self.waited, self.bytes) = (Duration::ZERO, 0);
        }
        None
    }
}

/// Returns the message about a transfer below the least speed.
pub(crate) fn too_slow(moved: &str, limits: &Limits, window: Duration) -> String {
    format!(
        "less than {} bytes a second {moved} for {window:?}",
        limits.min_speed
    )
}

/// Creates the error of an answer that did not arrive in time. The provider may have accepted the call.
pub(crate) fn timed_out(
    operation: &'static str,
    provider: &ProviderId,
    message: impl Into<Box<str>>,
) -> Error {
    Error::new(ErrorKind::Timeout)
        .with_operation(operation)
        .with_provider(provider.clone())
        .with_message(message)
        .with_retry(Retry::Temporary)
        .with_delivery(Delivery::Unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn limits() -> Limits {
        Limits {
            silence: 120 * SECOND,
            answer: 120 * SECOND,
            min_speed: 1024,
            window: 60 * SECOND,
            document_bytes: 1 << 30,
        }
    }

    /// A transfer of `bytes` each `every`: after how many seconds it is given up.
    fn given_up(limits: &Limits, bytes: u64, every: Duration) -> Option<u64> {
        let (mut pace, mut passed) = (Pace::default(), Duration::ZERO);
        let mut next = every;
        for _ in 0..1_000_000 {
            if passed >= 3600 * SECOND {
                return None;
            }
            let patience = pace.patience(limits, true);
            if next <= patience {
                pace.moved(patience, next, bytes);
                (passed, next) = (passed + next, every);
            } else {
                (passed, next) = (passed + patience, next - patience);
                if pace.stood(limits, patience, true).is_some() {
                    return Some(passed.as_secs());
                }
            }
        }
        panic!("it is waited for no time, again and again");
    }

    #[test]
    fn without_window_or_speed_only_the_silence_limit_applies() {
        let none = Duration::ZERO;
        for (min_speed, window) in [
            (1024, none),
            (1024, Duration::from_micros(999)),
            (0, none),
            (0, 60 * SECOND),
        ] {
            let limits = Limits {
                min_speed,
                window,
                ..limits()
            };
            let what = format!("{min_speed} bytes a second over {window:?}");
            assert_eq!(given_up(&limits, 1, 119 * SECOND), None, "{what}");
            assert_eq!(given_up(&limits, 1, 121 * SECOND), Some(120), "{what}");
            assert_eq!(limits.upload_window(), None, "{what}");
        }
        assert_eq!(limits().upload_window(), Some(120 * SECOND));
    }

    #[test]
    fn a_slow_or_silent_transfer_fails() {
        for (bytes, every, expected) in [
            (1, 500, Some(60)),
            (1000, 999, Some(60)),
            (1100, 999, None),
            // In bursts.
            (65_000, 59_000, None),
            (400_000, 119_000, Some(240)),
            (64 << 10, 7, None),
        ] {
            let found = given_up(&limits(), bytes, Duration::from_millis(every));
            match expected {
                None => assert_eq!(found, None, "{bytes} bytes each {every} ms"),
                Some(most) => assert!(
                    found.is_some_and(|found| found <= most),
                    "{bytes} bytes each {every} ms: {found:?}"
                ),
            }
        }
    }

    #[test]
    fn a_pause_of_the_process_does_not_count_against_the_server() {
        let (limits, mut pace) = (limits(), Pace::default());
        let patience = pace.patience(&limits, true);
        pace.moved(patience, 3600 * SECOND, 1);
        assert_eq!(pace.patience(&limits, true), 60 * SECOND);
    }

    #[test]
    fn limits_of_any_size_do_not_overflow() {
        let huge = Limits {
            silence: Duration::MAX,
            answer: Duration::MAX,
            min_speed: u64::MAX,
            window: Duration::MAX,
            document_bytes: u64::MAX,
        };
        assert_eq!(huge.least_bytes(Duration::MAX), u64::MAX);
        assert_eq!(huge.document(u64::MAX), Duration::MAX);
        let mut pace = Pace::default();
        pace.moved(Duration::MAX, Duration::MAX, u64::MAX);
        pace.moved(Duration::MAX, Duration::MAX, u64::MAX);
        assert!(pace.stood(&huge, Duration::MAX, true).is_some());
        assert_eq!(limits().document(640 << 20), 120 * SECOND + 10_240 * SECOND);
    }
}
