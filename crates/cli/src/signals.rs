//! Signals that end the command, and the one that must not.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::signal::unix::{SignalKind, signal};

use crate::exit::Exit;
use crate::terminal;

/// Parts of the command that end themselves on a signal, and print how to continue.
static HANDLING: AtomicUsize = AtomicUsize::new(0);

/// Proof that a part of the command ends itself on a signal, until it is dropped.
#[derive(Debug)]
pub(crate) struct Handling(());

impl Handling {
    pub(crate) fn new() -> Self {
        HANDLING.fetch_add(1, Ordering::Relaxed);
        Self(())
    }
}

impl Drop for Handling {
    fn drop(&mut self) {
        HANDLING.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Waits for the first signal that ends the command. One that was ignored when the process began, as
/// `nohup` does with HUP, is ignored.
pub(crate) async fn stopped() -> (Exit, &'static str) {
    let wait = |kind: SignalKind| async move {
        if is_ignored(kind.as_raw_value()) {
            return std::future::pending().await;
        }
        match signal(kind) {
            Ok(mut signals) => {
                signals.recv().await;
            }
            // Without a handler the signal ends the process by itself.
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = wait(SignalKind::interrupt()) => (Exit::Interrupted, "INT"),
        () = wait(SignalKind::terminate()) => (Exit::Terminated, "TERM"),
        () = wait(SignalKind::hangup()) => (Exit::Hangup, "HUP"),
    }
}

/// Ends the process on a signal that no part of the command handles, and on the second one in any case.
/// Nothing stays on the screen.
pub(crate) async fn end_process() {
    let mut signals = 0;
    loop {
        let (exit, _) = stopped().await;
        signals += 1;
        if HANDLING.load(Ordering::Relaxed) == 0 || signals > 1 {
            terminal::end_live();
            std::process::exit(exit as i32);
        }
    }
}

/// Makes a write beyond the limit of the size of files (`ulimit -f`) an error, as any other failed write;
/// without a handler the signal kills the process without a word.
pub(crate) fn survive_file_size_limit() {
    /// `SIGXFSZ` on Linux (other than MIPS), macOS and the BSDs.
    const FILE_SIZE: i32 = 25;
    if !cfg!(any(target_arch = "mips", target_arch = "mips64")) {
        // The handler stays when the stream is dropped.
        let _ = signal(SignalKind::from_raw(FILE_SIZE));
    }
}

/// Reports whether the process was started with a signal ignored. Only Linux says so.
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
