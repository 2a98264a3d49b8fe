//! Check that a call runs in a Tokio runtime with timers and I/O. HTTP exchanges, ledgers and clocks need both, and
//! Tokio panics where one of them is missing.

use std::cell::Cell;
use std::panic::catch_unwind;
use std::time::Duration;

use lmbatch_core::{Error, ErrorKind, Result};
use tokio::runtime::{Handle, Id};

thread_local! {
    /// Runtime that passed the check on this thread last.
    static PASSED: Cell<Option<Id>> = const { Cell::new(None) };
}

/// Checks that the calling thread is in a Tokio runtime with timers and I/O.
///
/// Tokio tells that a runtime was built without timers or I/O by a panic alone. The panic is caught; the panic hook of
/// the program may print it.
///
/// ```
/// let error = lmbatch_runtime::check().unwrap_err();
/// assert!(error.to_string().contains("outside of a Tokio runtime"));
///
/// let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
/// runtime.block_on(async { lmbatch_runtime::check().unwrap() });
/// ```
///
/// # Errors
/// [`ErrorKind::Unsupported`], saying what is missing. Nothing was sent.
pub fn check() -> Result<()> {
    let handle = Handle::try_current().map_err(|error| {
        unsupported(
            "calls outside of a Tokio runtime; await the call inside of one, such as in a function under \
             #[tokio::main]; nothing was sent",
        )
        .with_source(error)
    })?;
    let id = handle.id();
    if PASSED.get() == Some(id) {
        return Ok(());
    }
    if catch_unwind(start_timer).is_err() {
        return Err(unsupported(
            "a Tokio runtime without timers; build it with enable_all, or with enable_time and enable_io; nothing was \
             sent",
        ));
    }
    if catch_unwind(register_socket).is_err() {
        return Err(unsupported(
            "a Tokio runtime without I/O; build it with enable_all, or with enable_time and enable_io; nothing was sent",
        ));
    }
    PASSED.set(Some(id));
    Ok(())
}

fn unsupported(what: &str) -> Error {
    Error::new(ErrorKind::Unsupported).with_message(what)
}

/// Makes a timer, which panics in a runtime without timers.
#[expect(clippy::disallowed_methods, reason = "nothing waits for the timer")]
fn start_timer() {
    drop(tokio::time::sleep(Duration::ZERO));
}

/// Registers a socket that is connected to nothing, which panics in a runtime without I/O.
fn register_socket() {
    // A process at its limit of open files gets an error here, which says nothing about the runtime.
    #[cfg(unix)]
    drop(tokio::net::UnixDatagram::unbound());
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;
    use tokio::runtime::Builder;

    use super::*;

    fn current_thread(build: fn(&mut Builder) -> &mut Builder) -> tokio::runtime::Runtime {
        build(&mut Builder::new_current_thread()).build().unwrap()
    }

    #[test]
    fn an_error_says_what_the_runtime_lacks() {
        let outside = block_on(async { check() });
        let bare = current_thread(|builder| builder).block_on(async { check() });
        let io = current_thread(Builder::enable_io).block_on(async { check() });
        let time = current_thread(Builder::enable_time).block_on(async { check() });
        for (found, words) in [
            (outside, "outside of a Tokio runtime"),
            (bare, "without timers"),
            (io, "without timers"),
            (time, "without I/O"),
        ] {
            let error = found.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(error.message().unwrap().contains(words), "{error}");
        }
    }

    #[test]
    fn both_flavours_of_a_whole_runtime_pass_again_and_again() {
        let many = Builder::new_multi_thread().enable_all().build().unwrap();
        for runtime in [current_thread(Builder::enable_all), many] {
            runtime.block_on(async {
                check().unwrap();
                check().unwrap();
            });
        }
        // A runtime that passed says nothing about the next one of the thread.
        let bare = current_thread(|builder| builder);
        assert!(bare.block_on(async { check() }).is_err());
        assert!(check().is_err());
    }
}
