//! Progress of a call as a stream of snapshots that ends with the call's result.

use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures::Stream;
use futures::future::BoxFuture;
use futures::task::AtomicWaker;
use lmbatch_core::{BatchId, BatchSnapshot, RequestCounts, Result};

use crate::event::{Event, Observer};

/// Progress of a run at one moment.
///
/// ```
/// # use lmbatch_engine as lmbatch;
/// let snapshot = lmbatch::RunSnapshot::default();
/// assert_eq!((snapshot.batches, snapshot.counts.finished()), (0, 0));
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct RunSnapshot {
    /// Number of requests that were read and encoded.
    pub requests: u64,
    /// Size of the encoded requests in bytes.
    pub bytes: u64,
    /// Number of batches that exist.
    pub batches: u64,
    /// Number of batches that have ended.
    pub ended: u64,
    /// Requests by status, summed over the batches, as the provider counts them.
    pub counts: RequestCounts,
    /// Number of result rows that were read.
    pub rows: u64,
    /// Number of the current attempt: 1 at first, 2 or more when requests are sent again.
    pub attempt: u32,
    /// Number of calls that failed and were, or will be, repeated.
    pub retries: u64,
    /// Status of the batch that was polled last.
    pub last: Option<BatchSnapshot>,
}

/// Item of a [`ProgressStream`].
///
/// ```no_run
/// # mod lmbatch { pub use lmbatch_core::Result; pub use lmbatch_engine::{LMInvoker, Progress}; }
/// # async fn example(invoker: lmbatch::LMInvoker) -> lmbatch::Result<()> {
/// use futures::TryStreamExt as _;
/// use lmbatch::Progress;
///
/// let mut progress = invoker.batch().invoke([("a", "Hello!")]).progress();
/// while let Some(item) = progress.try_next().await? {
///     match item {
///         Progress::Snapshot(run) => println!("{} of {} batches", run.ended, run.batches),
///         Progress::Finished(outcomes) => println!("{} outcomes", outcomes.len()),
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "a snapshot is moved once, from the stream to its reader"
)]
pub enum Progress<O> {
    /// The run advanced. Snapshots that nothing has read are replaced by the latest.
    Snapshot(RunSnapshot),
    /// The call succeeded. This is the last item.
    Finished(O),
}

/// Stream of the progress of a call. The last item is the result of the call: [`Progress::Finished`], or an error.
///
/// The call advances only while the stream is polled. Dropping the stream is dropping the call: batches continue at
/// the provider, and a named run can be resumed.
///
/// ```no_run
/// # use lmbatch_engine as lmbatch;
/// # async fn example(invoker: lmbatch::LMInvoker) -> lmbatch_core::Result<()> {
/// use futures::TryStreamExt as _;
/// use lmbatch::Progress;
///
/// let mut progress = invoker.batch().invoke([("a", "Hello!")]).progress();
/// while let Some(item) = progress.try_next().await? {
///     if let Progress::Snapshot(run) = item {
///         println!("{} of {} batches", run.ended, run.batches);
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is sent until it is polled"]
pub struct ProgressStream<O> {
    call: Option<BoxFuture<'static, Result<O>>>,
    watch: Arc<Watch>,
}

impl<O> fmt::Debug for ProgressStream<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProgressStream").finish_non_exhaustive()
    }
}

impl<O> ProgressStream<O> {
    /// Returns the progress of the call that `start` makes with an observer, which passes every event on to
    /// `outer_observer`.
    pub(crate) fn new(
        outer_observer: Arc<dyn Observer>,
        start: impl FnOnce(Arc<dyn Observer>) -> BoxFuture<'static, Result<O>>,
    ) -> Self {
        let watch = Arc::new(Watch {
            outer_observer,
            state: Mutex::default(),
            waker: AtomicWaker::new(),
        });
        Self {
            call: Some(start(Arc::clone(&watch) as Arc<dyn Observer>)),
            watch,
        }
    }
}

impl<O> Stream for ProgressStream<O> {
    type Item = Result<Progress<O>>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let stream = self.get_mut();
        let Some(call) = &mut stream.call else {
            return Poll::Ready(None);
        };
        // Events also arrive from threads that read files.
        stream.watch.waker.register(context.waker());
        if let Poll::Ready(result) = call.as_mut().poll(context) {
            stream.call = None;
            return Poll::Ready(Some(result.map(Progress::Finished)));
        }
        match stream.watch.state().take() {
            Some(snapshot) => Poll::Ready(Some(Ok(Progress::Snapshot(snapshot)))),
            None => Poll::Pending,
        }
    }
}

/// Observer that keeps the latest snapshot.
struct Watch {
    outer_observer: Arc<dyn Observer>,
    state: Mutex<State>,
    waker: AtomicWaker,
}

impl Watch {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Watch {
    fn observe(&self, event: &Event<'_>) {
        self.outer_observer.observe(event);
        if self.state().note(event) {
            self.waker.wake();
        }
    }
}

#[derive(Default)]
struct State {
    run: RunSnapshot,
    /// Batches that were created or polled: whether each has ended, and its counts.
    batches: HashMap<BatchId, (bool, RequestCounts)>,
    is_new: bool,
}

impl State {
    fn take(&mut self) -> Option<RunSnapshot> {
        std::mem::take(&mut self.is_new).then(|| self.run.clone())
    }

    /// Returns whether the event changed the snapshot.
    fn note(&mut self, event: &Event<'_>) -> bool {
        let run = &mut self.run;
        run.attempt = run.attempt.max(1);
        match event {
            Event::Planned {
                requests, bytes, ..
            } => {
                (run.requests, run.bytes) = (*requests, *bytes);
            }
            Event::Created { batch, .. } => self.replace(batch, None),
            Event::Polled { snapshot, .. } => {
                run.last = Some((*snapshot).clone());
                self.replace(&snapshot.id, Some(snapshot));
            }
            Event::Retrying { .. } => run.retries += 1,
            Event::Requeued { attempt, .. } | Event::Repairing { attempt, .. } => {
                run.attempt = *attempt
            }
            Event::Fetched { rows, .. } => run.rows += rows,
            Event::Following { ended, batches, .. } => {
                (run.ended, run.batches) = (*ended, *batches);
            }
            _ => return false,
        }
        self.is_new = true;
        true
    }

    /// Replaces the counts of a batch, and corrects the sums by the difference, since a run may have thousands of
    /// batches.
    fn replace(&mut self, batch: &BatchId, snapshot: Option<&BatchSnapshot>) {
        let known = self.batches.entry(batch.clone()).or_default();
        if let Some(snapshot) = snapshot {
            let (had_ended, before) = *known;
            let (has_ended, after) = (snapshot.status.is_terminal(), snapshot.counts);
            *known = (has_ended, after);
            let run = &mut self.run;
            run.ended = changed(run.ended, had_ended.into(), has_ended.into());
            let sums = &mut run.counts;
            if let Some(total) = after.total.or(before.total) {
                let sum = sums.total.unwrap_or(0);
                sums.total = Some(changed(sum, before.total.unwrap_or(0), total));
                known.1.total = Some(total);
            }
            sums.succeeded = changed(sums.succeeded, before.succeeded, after.succeeded);
            sums.errored = changed(sums.errored, before.errored, after.errored);
            sums.expired = changed(sums.expired, before.expired, after.expired);
            sums.cancelled = changed(sums.cancelled, before.cancelled, after.cancelled);
        }
        self.run.batches = self.batches.len() as u64;
    }
}

/// Returns a sum after one of its parts has changed.
fn changed(sum: u64, before: u64, after: u64) -> u64 {
    sum.saturating_sub(before).saturating_add(after)
}
