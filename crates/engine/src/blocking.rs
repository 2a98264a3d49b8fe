//! Work that waits for a disk, off the async threads.

use std::sync::LazyLock;

use lmbatch_core::{Error, ErrorKind, Result};
use tokio::sync::Semaphore;

/// Least number of pieces of file work that run at once in the process; where there are more processors, one for
/// each. Each thread of the blocking pool keeps memory of its own in the allocator, 1 to 4 MiB, so that a thread for
/// each batch would make memory grow with the number of batches.
const AT_ONCE: usize = 4;

static TURNS: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(at_once()));

fn at_once() -> usize {
    let processors = std::thread::available_parallelism();
    processors.map_or(AT_ONCE, |count| count.get().max(AT_ONCE))
}

/// Runs file work off the async threads. A few pieces run at once in the process, the others wait for their turn: the
/// work must wait for nothing but files.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    // The semaphore is never closed.
    let turn = TURNS.acquire().await.ok();
    apart(move || {
        let done = work();
        drop(turn);
        done
    })
    .await
}

/// Runs work that may wait for something other than files, such as a slow source of requests, off the async threads.
/// It takes no turn from file work.
pub(crate) async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    // Without a runtime there is no other task to hold up.
    let Ok(runtime) = tokio::runtime::Handle::try_current() else {
        return Ok(work());
    };
    runtime.spawn_blocking(work).await.map_err(|error| {
        Error::new(ErrorKind::Internal)
            .with_message("a worker thread failed")
            .with_source(error)
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn a_few_pieces_of_file_work_run_at_once() {
        static RUNNING: AtomicUsize = AtomicUsize::new(0);
        let work = || {
            let running = RUNNING.fetch_add(1, Ordering::SeqCst) + 1;
            (0..1_000).for_each(|_| std::thread::yield_now());
            RUNNING.fetch_sub(1, Ordering::SeqCst);
            running
        };
        let most = futures::future::join_all((0..50).map(|_| blocking(work))).await;
        let most = most.into_iter().map(|running| running.unwrap()).max();
        assert!(most.unwrap() <= at_once(), "{most:?}");
    }
}
