//! Runs file work off the async threads.

use lmbatch_core::{Error, ErrorKind, Result};

/// Runs blocking file work on a thread of the runtime's blocking pool.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    // Without a runtime there is no other task that the work could delay.
    let Ok(runtime) = tokio::runtime::Handle::try_current() else {
        return Ok(work());
    };
    runtime.spawn_blocking(work).await.map_err(|error| {
        Error::new(ErrorKind::Internal)
            .with_message("a worker thread failed")
            .with_source(error)
    })
}
