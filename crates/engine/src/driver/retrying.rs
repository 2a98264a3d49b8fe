//! Calls outside of steps, repeated until they succeed or fail permanently.

use std::future::Future;
use std::time::Duration;

use lmbatch_core::{BatchId, BatchSnapshot, Error, ErrorKind, Result, Retry};

use crate::context::Context;
use crate::event::Event;
use crate::policy::{Decision, UNKNOWN_AT_FIRST};
use crate::results::finished::CountMismatch;
use crate::run::fetch::{Fetch, Fetched};
use crate::run::poll::{is_unreadable, unreadable};

impl Context {
    /// Reads the results of a batch until they are complete. Returns the number of requests that
    /// ended according to the provider's counts but that no row names, and the difference between
    /// those counts and the rows.
    pub(crate) async fn fetched(&self, fetch: &mut Fetch) -> Result<(u64, Option<CountMismatch>)> {
        loop {
            match fetch.step(self).await? {
                Fetched::Again(wait) => self.clock.sleep(wait).await,
                Fetched::Whole {
                    undelivered,
                    mismatch,
                    ..
                } => return Ok((undelivered, mismatch)),
                Fetched::Foreign => return Ok((0, None)),
            }
        }
    }

    /// Returns the status of a batch that is known to exist, even if some of the provider's
    /// machines do not know the batch yet.
    pub(crate) async fn known(&self, batch: &BatchId) -> Result<BatchSnapshot> {
        let start = self.clock.elapsed();
        let mut asked = 0;
        loop {
            asked += 1;
            match self.readable(batch).await {
                Err(error)
                    if error.kind() == ErrorKind::BatchNotFound
                        && self.clock.elapsed() - start < UNKNOWN_AT_FIRST =>
                {
                    self.pause(&error, self.polling.wait(asked, None)).await;
                }
                other => return other,
            }
        }
    }

    /// Returns the status of a batch whose results are wanted. A response that cannot be read is
    /// requested again for as long as late results are awaited.
    pub(crate) async fn readable(&self, batch: &BatchId) -> Result<BatchSnapshot> {
        let start = self.clock.elapsed();
        let mut waits = self.doubt.waits();
        loop {
            let left = || {
                let spent = self.clock.elapsed() - start;
                self.doubt.total_wait().saturating_sub(spent)
            };
            let asked = self
                .retrying_within(left(), || self.provider.status(batch))
                .await;
            let error = match asked {
                Err(error) if is_unreadable(&error) => error,
                other => return other.map_err(|error| error.with_batch(batch.clone())),
            };
            let left = left();
            if left.is_zero() {
                return Err(unreadable(batch, error));
            }
            let wait = waits.next().unwrap_or(left).min(left);
            self.pause(&error, wait).await;
        }
    }

    /// Repeats a call that is free to repeat until it succeeds or the retry policy stops.
    pub(crate) async fn retrying<T, F>(&self, call: impl Fn() -> F + Send) -> Result<T>
    where
        F: Future<Output = Result<T>> + Send,
    {
        self.retrying_within(Duration::MAX, call).await
    }

    /// Repeats a call as [`retrying`](Self::retrying) does, but repeats a response that cannot be
    /// read only within `time`.
    pub(crate) async fn retrying_within<T, F>(
        &self,
        time: Duration,
        call: impl Fn() -> F + Send,
    ) -> Result<T>
    where
        F: Future<Output = Result<T>> + Send,
    {
        let start = self.clock.elapsed();
        let mut failures = 0;
        loop {
            let error = match call().await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            failures += 1;
            let left = match is_unreadable(&error) {
                true => time.saturating_sub(self.clock.elapsed() - start),
                false => Duration::MAX,
            };
            if left.is_zero() {
                return Err(error);
            }
            let wait = self.again(failures, error)?;
            self.clock.sleep(wait.min(left)).await;
        }
    }

    /// Returns the wait before a free call is repeated after `failures` failures.
    ///
    /// # Errors
    /// The error of the call, where it is not repeated.
    pub(crate) fn again(&self, failures: u32, error: Error) -> Result<Duration> {
        match self.retries.decide(failures, &error, self.rng.next_f64()) {
            Decision::RetryAfter(wait) => {
                self.report(&Event::Retrying {
                    error: &error,
                    wait,
                });
                Ok(wait)
            }
            _ if failures > 1 => Err(error.with_retry(Retry::Exhausted)),
            _ => Err(error),
        }
    }

    /// Waits for something other than a step, such as another process.
    pub(crate) async fn wait(&self, time: Duration) {
        self.clock.sleep(time).await;
    }

    async fn pause(&self, error: &Error, wait: Duration) {
        self.report(&Event::Retrying { error, wait });
        self.clock.sleep(wait).await;
    }
}
