//! Poll: the status of one batch, for minutes to a day, without jitter.

use std::time::{Duration, SystemTime};

use lmbatch_core::{BatchId, BatchSnapshot, BatchStatus, Error, ErrorKind, Result, Retry};

use crate::context::Context;
use crate::event::Event;
use crate::policy::{Decision, RunOptions, UNKNOWN_AT_FIRST};

/// Longest time for which polls may fail in a row before the run gives up. The batch continues at
/// the provider.
const PATIENCE: Duration = Duration::from_secs(3600);

/// Polls of one batch that has not ended.
#[derive(Debug)]
pub(crate) struct Poll {
    pub(crate) batch: BatchId,
    start: Duration,
    pub(crate) polls: u32,
    /// Interval to the next poll.
    pub(crate) wait: Duration,
    /// Time of the create according to the provider.
    pub(crate) created_at: Option<SystemTime>,
    /// Retry-after of the provider's last response.
    pub(crate) retry_after: Option<Duration>,
    failures: u32,
    failing_since: Option<Duration>,
    warned: bool,
    /// Time at which the batch is polled next.
    pub(crate) next: Duration,
}

impl Poll {
    pub(crate) fn new(context: &Context, batch: BatchId) -> Self {
        let now = context.clock.elapsed();
        Self {
            batch,
            start: now,
            polls: 0,
            wait: context.polling.wait(1, None),
            created_at: None,
            retry_after: None,
            failures: 0,
            failing_since: None,
            warned: false,
            next: now,
        }
    }

    /// Polls once. `None` means that the batch has not ended, and `next` says when to poll again.
    pub(crate) async fn ask(&mut self, context: &Context) -> Result<Option<BatchSnapshot>> {
        let status = context.provider.status(&self.batch).await;
        let now = context.clock.elapsed();
        self.take(
            context,
            status.and_then(|snapshot| self.of_this(snapshot)),
            now,
        )
    }

    /// Records the answer to a poll that was made at `asked`: a status call, or a page of the list.
    /// `None` means that the batch has not ended, and `next` says when to poll again.
    pub(crate) fn take(
        &mut self,
        context: &Context,
        answer: Result<BatchSnapshot>,
        asked: Duration,
    ) -> Result<Option<BatchSnapshot>> {
        self.polls += 1;
        self.retry_after = None;
        let wait = match answer {
            Ok(snapshot) if snapshot.status.is_terminal() => {
                context.report(&Event::Polled {
                    snapshot: &snapshot,
                    next: None,
                });
                return Ok(Some(snapshot));
            }
            Ok(snapshot) => {
                (self.failures, self.failing_since) = (0, None);
                self.created_at = snapshot.created_at.or(self.created_at);
                if let (BatchStatus::Unknown(word), false) = (&snapshot.status, self.warned) {
                    let message = format!(
                        "the provider reports the unknown batch status {word:?}; the batch is treated as running"
                    );
                    context.report(&Event::Warning { message: &message });
                    self.warned = true;
                }
                let wait = context.polling.wait(self.polls, snapshot.poll_after);
                context.report(&Event::Polled {
                    snapshot: &snapshot,
                    next: Some(wait),
                });
                wait
            }
            Err(error) => {
                self.failures += 1;
                let longest = context.retries.max_retry_after;
                self.retry_after = error.retry_after().map(|after| after.min(longest));
                let now = context.clock.elapsed();
                let failing = now - *self.failing_since.get_or_insert(now);
                // Waiting for a readable response counts as waiting for results, since the status
                // of some batches holds them.
                let patience = match is_unreadable(&error) {
                    true => context.doubt.total_wait(),
                    false => PATIENCE,
                };
                if is_unreadable(&error) && failing >= patience {
                    return Err(unreadable(&self.batch, error));
                }
                let new =
                    error.kind() == ErrorKind::BatchNotFound && now - self.start < UNKNOWN_AT_FIRST;
                if !(new || error.retry() == Retry::Temporary && failing < PATIENCE) {
                    return Err(error.with_batch(self.batch.clone()));
                }
                let wait = context
                    .wait_after_failure(&error, self.failures)
                    .max(context.polling.wait(self.polls, None))
                    .min(patience.saturating_sub(failing));
                context.report(&Event::Retrying {
                    error: &error,
                    wait,
                });
                wait
            }
        };
        self.wait = wait;
        // Even a sweep that takes longer than the interval leaves a pause between two polls.
        let soonest = context.clock.elapsed().saturating_add(wait / 2);
        self.next = asked.saturating_add(wait).max(soonest);
        Ok(None)
    }

    /// Refuses the status of another batch, which a cache or a proxy may have sent: results would
    /// be read from the wrong batch.
    fn of_this(&self, snapshot: BatchSnapshot) -> Result<BatchSnapshot> {
        if snapshot.id == self.batch {
            return Ok(snapshot);
        }
        let message = format!("the status is of the batch {}", snapshot.id);
        Err(Error::malformed(message)
            .with_operation("wait for the batch")
            .with_retry(Retry::Temporary))
    }

    /// Returns the error where the limit of polls or of time is reached.
    pub(crate) fn impatience(&self, start: Duration, options: &RunOptions) -> Option<Error> {
        if options.max_polls.is_some_and(|most| self.polls >= most) {
            let message = format!("the batch had not ended after {} polls", self.polls);
            return Some(unfinished(&self.batch, &message));
        }
        let deadline = options.deadline?;
        (self.next - start > deadline).then(|| {
            let message = format!("the batch had not ended after {} s", deadline.as_secs_f64());
            unfinished(&self.batch, &message)
        })
    }
}

impl Context {
    fn wait_after_failure(&self, error: &Error, failures: u32) -> Duration {
        match self.retries.decide(failures, error, self.rng.next_f64()) {
            Decision::RetryAfter(wait) => wait,
            _ => error.retry_after().unwrap_or(self.retries.cap),
        }
    }
}

/// Returns whether a response arrived but could not be read. Where the status of a batch holds its
/// results, those are incomplete.
pub(crate) fn is_unreadable(error: &Error) -> bool {
    let came = |status: u16| (200..300).contains(&status);
    error.retry() != Retry::Permanent
        && (error.kind() == ErrorKind::MalformedResponse || error.http_status().is_some_and(came))
}

/// Returns the error of a batch whose status could not be read for as long as results are awaited.
pub(crate) fn unreadable(batch: &BatchId, error: Error) -> Error {
    Error::new(ErrorKind::Timeout)
        .with_operation("read the batch")
        .with_retry(Retry::Temporary)
        .with_message(format!(
            "the status of the batch cannot be read: {error}; no request is sent again, and a later attempt reads the status again"
        ))
        .with_source(error)
        .with_batch(batch.clone())
}

pub(crate) fn unfinished(batch: &BatchId, message: &str) -> Error {
    Error::new(ErrorKind::Timeout)
        .with_operation("wait for the batch")
        .with_message(format!(
            "{message}; it continues at the provider, and its results can be retrieved later"
        ))
        .with_batch(batch.clone())
}
