//! Poll: one batch, minutes to a day, no jitter.

use std::time::{Duration, SystemTime};

use lmbatch_core::{BatchId, BatchSnapshot, BatchStatus, Error, ErrorKind, Result, Retry};

use crate::context::Context;
use crate::event::Event;
use crate::policy::{Decision, RunOptions, UNKNOWN_AT_FIRST};

/// How long polls may fail in a row before the run gives up. The batch goes on without it.
const PATIENCE: Duration = Duration::from_secs(3600);

/// One batch that is being waited for.
#[derive(Debug)]
pub(crate) struct Poll {
    pub(crate) batch: BatchId,
    start: Duration,
    pub(crate) polls: u32,
    /// Interval to the next poll.
    pub(crate) wait: Duration,
    /// Time of its create, as the provider has said it.
    pub(crate) created_at: Option<SystemTime>,
    /// Time for which the provider wants no polls, as its last answer says.
    pub(crate) wish: Option<Duration>,
    failures: u32,
    failing_since: Option<Duration>,
    warned: bool,
    /// When it is to be asked again.
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
            wish: None,
            failures: 0,
            failing_since: None,
            warned: false,
            next: now,
        }
    }

    /// Asks once. `None`: it has not ended, and `next` says when to ask again.
    pub(crate) async fn ask(&mut self, context: &Context) -> Result<Option<BatchSnapshot>> {
        let status = context.provider.status(&self.batch).await;
        let now = context.clock.elapsed();
        self.take(
            context,
            status.and_then(|snapshot| self.of_this(snapshot)),
            now,
        )
    }

    /// Takes the answer to a poll that was made at `asked`: a status, or what a page of the list shows. `None`: the
    /// batch has not ended, and `next` says when it is polled again.
    pub(crate) fn take(
        &mut self,
        context: &Context,
        answer: Result<BatchSnapshot>,
        asked: Duration,
    ) -> Result<Option<BatchSnapshot>> {
        self.polls += 1;
        self.wish = None;
        let wait = match answer {
            Ok(snapshot) if snapshot.status.is_terminal() => {
                context.tell(&Event::Polled {
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
                        "the provider calls the batch {word:?}, which is not a word we know; waiting on"
                    );
                    context.tell(&Event::Warning { message: &message });
                    self.warned = true;
                }
                let wait = context.polling.wait(self.polls, snapshot.poll_after);
                context.tell(&Event::Polled {
                    snapshot: &snapshot,
                    next: Some(wait),
                });
                wait
            }
            Err(error) => {
                self.failures += 1;
                let longest = context.retries.longest_wish;
                self.wish = error.retry_after().map(|wish| wish.min(longest));
                let now = context.clock.elapsed();
                let failing = now - *self.failing_since.get_or_insert(now);
                // Waiting for an answer that can be read is waiting for results: some lie in the answer.
                let patience = match is_unreadable(&error) {
                    true => context.doubt.patience(),
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
                context.tell(&Event::Retrying {
                    error: &error,
                    wait,
                });
                wait
            }
        };
        self.wait = wait;
        // A walk that takes longer than the interval leaves a pause between two polls all the same.
        let soonest = context.clock.elapsed().saturating_add(wait / 2);
        self.next = asked.saturating_add(wait).max(soonest);
        Ok(None)
    }

    /// A snapshot of another batch says nothing of this one: a cache or a proxy may have sent it, and rows of
    /// this one would be looked for there.
    fn of_this(&self, snapshot: BatchSnapshot) -> Result<BatchSnapshot> {
        if snapshot.id == self.batch {
            return Ok(snapshot);
        }
        let message = format!("the status is of the batch {}", snapshot.id);
        Err(Error::malformed(message)
            .with_operation("wait for the batch")
            .with_retry(Retry::Temporary))
    }

    /// Whether patience is at its end, in words.
    pub(crate) fn impatience(&self, start: Duration, options: &RunOptions) -> Option<Error> {
        if options.max_polls.is_some_and(|most| self.polls >= most) {
            let message = format!("it had not ended after {} polls", self.polls);
            return Some(unfinished(&self.batch, &message));
        }
        let deadline = options.deadline?;
        (self.next - start > deadline).then(|| {
            let message = format!("it had not ended after {} s", deadline.as_secs_f64());
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

/// Whether an answer came and could not be read. Where results lie in the batch itself, it is
/// they that are cut.
pub(crate) fn is_unreadable(error: &Error) -> bool {
    let came = |status: u16| (200..300).contains(&status);
    error.retry() != Retry::Permanent
        && (error.kind() == ErrorKind::MalformedReply || error.http_status().is_some_and(came))
}

/// The error of a batch whose answers cannot be read for as long as results are waited for.
pub(crate) fn unreadable(batch: &BatchId, error: Error) -> Error {
    Error::new(ErrorKind::Timeout)
        .with_operation("read the batch")
        .with_retry(Retry::Temporary)
        .with_message(format!(
            "what the provider shows of the batch cannot be read: {error}; nothing is sent again, and a later attempt reads it again"
        ))
        .with_source(error)
        .with_batch(batch.clone())
}

pub(crate) fn unfinished(batch: &BatchId, message: &str) -> Error {
    Error::new(ErrorKind::Timeout)
        .with_operation("wait for the batch")
        .with_message(format!(
            "{message}; it goes on at the provider, and its results can be retrieved later"
        ))
        .with_batch(batch.clone())
}
