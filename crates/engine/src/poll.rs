//! Poll: one batch, minutes to a day, no jitter.

use std::time::Duration;

use lmbatch_core::{BatchId, BatchSnapshot, BatchStatus, Error, ErrorKind, Result, Retry};

use crate::engine::{Engine, RunOptions};
use crate::event::Event;
use crate::policy::Decision;

/// A batch that was just created may be unknown to some of the provider's machines for so long.
pub(crate) const UNKNOWN_AT_FIRST: Duration = Duration::from_secs(120);

/// How long polls may fail in a row before the run gives up. The batch goes on without it.
const PATIENCE: Duration = Duration::from_secs(3600);

impl Engine {
    /// Waits until the batch has ended.
    pub(crate) async fn wait(&self, batch: &BatchId, options: RunOptions) -> Result<BatchSnapshot> {
        let start = self.clock.elapsed();
        let mut polls = 0;
        let mut failures = 0;
        let mut failing_since = None;
        let mut warned = false;
        loop {
            polls += 1;
            let wait = match self.provider.status(batch).await {
                Ok(snapshot) if snapshot.status.is_terminal() => {
                    self.tell(&Event::Polled {
                        snapshot: &snapshot,
                        next: None,
                    });
                    return Ok(snapshot);
                }
                Ok(snapshot) => {
                    (failures, failing_since) = (0, None);
                    if let (BatchStatus::Unknown(word), false) = (&snapshot.status, warned) {
                        let message = format!(
                            "the provider calls the batch {word:?}, which is not a word we know; waiting on"
                        );
                        self.tell(&Event::Warning { message: &message });
                        warned = true;
                    }
                    let wait = self.polling.wait(polls, snapshot.poll_after);
                    self.tell(&Event::Polled {
                        snapshot: &snapshot,
                        next: Some(wait),
                    });
                    wait
                }
                Err(error) => {
                    failures += 1;
                    let now = self.clock.elapsed();
                    let failing = now - *failing_since.get_or_insert(now);
                    let new =
                        error.kind() == ErrorKind::BatchNotFound && now - start < UNKNOWN_AT_FIRST;
                    if !(new || error.retry() == Retry::Temporary && failing < PATIENCE) {
                        return Err(error.with_batch(batch.clone()));
                    }
                    let wait = self
                        .wait_after_failure(&error, failures)
                        .max(self.polling.wait(polls, None));
                    self.tell(&Event::Retrying {
                        error: &error,
                        wait,
                    });
                    wait
                }
            };
            if options.max_polls.is_some_and(|most| polls >= most) {
                return Err(unfinished(
                    batch,
                    &format!("it had not ended after {polls} polls"),
                ));
            }
            if let Some(deadline) = options.deadline
                && self.clock.elapsed() - start + wait > deadline
            {
                return Err(unfinished(
                    batch,
                    &format!("it had not ended after {} s", deadline.as_secs_f64()),
                ));
            }
            self.clock.sleep(wait).await;
        }
    }

    fn wait_after_failure(&self, error: &Error, failures: u32) -> Duration {
        match self.retries.decide(failures, error, self.rng.next_f64()) {
            Decision::RetryAfter(wait) => wait,
            _ => error.retry_after().unwrap_or(self.retries.cap),
        }
    }
}

fn unfinished(batch: &BatchId, message: &str) -> Error {
    Error::new(ErrorKind::Timeout)
        .with_operation("wait for the batch")
        .with_message(format!(
            "{message}; it goes on at the provider, and its results can be retrieved later"
        ))
        .with_batch(batch.clone())
}
