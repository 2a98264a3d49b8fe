//! Signals that end the command, and `SIGXFSZ`, which must not. Signal handlers belong to the process: their state
//! is process-wide, and is kept in this file alone.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use lmbatch::Clock as _;
use lmbatch::engine::SystemClock;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::exit::Exit;
use crate::terminal;

/// Number of parts of the command that handle a signal themselves and print how to continue.
static HANDLING: AtomicUsize = AtomicUsize::new(0);

/// Set once a part of the command has handled a signal. That part may be dropped before [`end_process`] receives the
/// same signal, which must not end the process then.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// Guard of a part of the command that handles signals itself, until it is dropped. It receives every signal that
/// arrives while it exists, even if nothing waits for one at that moment.
#[derive(Debug)]
pub(crate) struct Handling(Signals);

impl Handling {
    pub(crate) fn new() -> Self {
        let signals = Signals::new();
        HANDLING.fetch_add(1, Ordering::AcqRel);
        Self(signals)
    }

    /// Waits for the first signal that ends the command. Dropping the future loses no signal.
    pub(crate) async fn stopped(&mut self) -> (Exit, &'static str) {
        let signal = self.0.next().await;
        TAKEN.store(true, Ordering::Release);
        signal
    }
}

impl Drop for Handling {
    fn drop(&mut self) {
        HANDLING.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Signals that end the command. A signal that was ignored when the process started, as HUP is under `nohup`, stays
/// ignored.
#[derive(Debug)]
struct Signals {
    interrupt: Option<Signal>,
    terminate: Option<Signal>,
    hangup: Option<Signal>,
}

impl Signals {
    /// Installs the signal handlers.
    fn new() -> Self {
        let listen = |kind: SignalKind| match is_ignored(kind.as_raw_value()) {
            true => None,
            // Without a handler the signal ends the process by itself.
            false => signal(kind).ok(),
        };
        Self {
            interrupt: listen(SignalKind::interrupt()),
            terminate: listen(SignalKind::terminate()),
            hangup: listen(SignalKind::hangup()),
        }
    }

    /// Waits for the next signal.
    async fn next(&mut self) -> (Exit, &'static str) {
        tokio::select! {
            () = received(&mut self.interrupt) => (Exit::Interrupted, "INT"),
            () = received(&mut self.terminate) => (Exit::Terminated, "TERM"),
            () = received(&mut self.hangup) => (Exit::Hangup, "HUP"),
        }
    }
}

async fn received(signals: &mut Option<Signal>) {
    if let Some(signals) = signals
        && signals.recv().await.is_some()
    {
        return;
    }
    std::future::pending::<()>().await;
}

/// Time that a part of the command has for its message when a second signal arrives.
const GRACE: Duration = Duration::from_millis(300);

/// Ends the process on a signal that no part of the command handles, and on the second signal in any case. Clears
/// the progress line first.
pub(crate) async fn end_process() {
    let (mut signals, mut count) = (Signals::new(), 0);
    loop {
        let (exit, _) = signals.next().await;
        count += 1;
        let is_handled = HANDLING.load(Ordering::Acquire) > 0 || TAKEN.load(Ordering::Acquire);
        if !is_handled || count > 1 {
            if is_handled {
                // Both signals may have come at once: the part that handles the first prints how to continue.
                SystemClock::new().sleep(GRACE).await;
            }
            terminal::end_live();
            std::process::exit(exit as i32);
        }
    }
}

/// Turns a write beyond the file size limit (`ulimit -f`) into an ordinary write error; without a handler the signal
/// kills the process without a message.
pub(crate) fn survive_file_size_limit() {
    /// `SIGXFSZ` on Linux (other than MIPS), macOS and the BSDs.
    const FILE_SIZE: i32 = 25;
    if !cfg!(any(target_arch = "mips", target_arch = "mips64")) {
        // The handler stays installed when the stream is dropped.
        let _ = signal(SignalKind::from_raw(FILE_SIZE));
    }
}

/// Reports whether the process was started with a signal ignored. Only Linux provides this information.
fn is_ignored(signal: i32) -> bool {
    static MASK: std::sync::OnceLock<u64> = std::sync::OnceLock::new();
    let mask = MASK.get_or_init(|| {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        mask.unwrap_or(0)
    });
    mask & (1 << (signal - 1)) != 0
}
