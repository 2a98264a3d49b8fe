//! Calls outside of steps: each waits for a permit and for the pauses of the account, and is repeated until it succeeds or
//! fails permanently.

use std::future::Future;
use std::time::Duration;

use lmbatch_core::{BatchId, BatchSnapshot, Error, ErrorKind, Result, Retry};

use crate::context::Context;
use crate::policy::{Decision, UNKNOWN_AT_FIRST};
use crate::results::finished::CountMismatch;
use crate::run::fetch::{Fetch, Fetched};
use crate::run::poll::{is_unreadable, unreadable};
use crate::run::step::Kind;
use crate::share::{DriverHandle, Permit};

impl Context {
    /// Reads the results of a batch until they are complete. Returns the number of requests that
    /// ended according to the provider's counts but that no row names, and the difference between
    /// those counts and the rows.
    pub(crate) async fn fetched(&self, fetch: &mut Fetch) -> Result<(u64, Option<CountMismatch>)> {
        loop {
            let permit = self.permit(Kind::Fetch).await;
            let stepped = fetch.step(self).await;
            drop(permit);
            match stepped? {
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
        let mut since = None;
        let mut waits = self.doubt.waits();
        loop {
            let asked = self
                .retrying_within(&mut since, || self.provider.status(batch))
                .await;
            let error = match asked {
                Err(error) if is_unreadable(&error) => error,
                other => return other.map_err(|error| error.with_batch(batch.clone())),
            };
            let left = self.left_since(&mut since);
            if left.is_zero() {
                return Err(unreadable(batch, error));
            }
            let wait = waits.next().unwrap_or(left).min(left);
            self.pause(&error, wait).await;
        }
    }

    /// Returns the rest of the time for which an unreadable response is requested again. It counts from the end of the
    /// first such response, which may take long to arrive.
    fn left_since(&self, since: &mut Option<Duration>) -> Duration {
        let now = self.clock.elapsed();
        let spent = now.saturating_sub(*since.get_or_insert(now));
        self.doubt.total_wait().saturating_sub(spent)
    }

    /// Waits until a call outside of steps may be made: the account has a permit for it, and the provider has not asked
    /// for a pause.
    pub(crate) async fn permit(&self, kind: Kind) -> Option<Permit> {
        let most = self.limits.of(kind);
        let mut seat = None;
        loop {
            let (until, now) = (self.share.paused_until(kind), self.clock.elapsed());
            if until > now {
                self.clock.sleep(until - now).await;
                continue;
            }
            if kind == Kind::Local {
                return None;
            }
            if let Some(permit) = self.share.permit(kind, most) {
                return Some(permit);
            }
            let seat: &mut DriverHandle = seat.get_or_insert_with(|| self.share.join());
            seat.queue_for(kind, most);
            seat.woken().await;
        }
    }

    /// Makes a call outside of steps once, with a permit of the account and after its pauses. A `Retry-After` pauses
    /// the calls of the kind for every run of the account.
    pub(crate) async fn exchange<T>(
        &self,
        kind: Kind,
        call: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let permit = self.permit(kind).await;
        let answer = call.await;
        drop(permit);
        if let Err(error) = &answer
            && let Some(until) = self.paused_by(error)
        {
            match kind {
                Kind::Poll => self.share.pause_polls(until),
                _ => self.share.pause(until),
            }
        }
        answer
    }

    /// Repeats a call outside of steps that is free to repeat until it succeeds or the retry policy stops. It counts as
    /// a poll.
    pub(crate) async fn retrying<T, F>(&self, call: impl Fn() -> F + Send) -> Result<T>
    where
        F: Future<Output = Result<T>> + Send,
    {
        self.retrying_as(Kind::Poll, call).await
    }

    /// Repeats a call as [`retrying`](Self::retrying) does. It counts as a step of a kind.
    pub(crate) async fn retrying_as<T, F>(
        &self,
        kind: Kind,
        call: impl Fn() -> F + Send,
    ) -> Result<T>
    where
        F: Future<Output = Result<T>> + Send,
    {
        let mut failures = 0;
        loop {
            let error = match self.exchange(kind, call()).await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            failures += 1;
            let wait = self.retry_wait(failures, error)?;
            self.clock.sleep(wait).await;
        }
    }

    /// Repeats a call as [`retrying`](Self::retrying) does, but repeats a response that cannot be
    /// read only as long as late results are awaited, counted from `since`.
    async fn retrying_within<T, F>(
        &self,
        since: &mut Option<Duration>,
        call: impl Fn() -> F + Send,
    ) -> Result<T>
    where
        F: Future<Output = Result<T>> + Send,
    {
        let mut failures = 0;
        loop {
            let error = match self.exchange(Kind::Poll, call()).await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            failures += 1;
            let left = match is_unreadable(&error) {
                true => self.left_since(since),
                false => Duration::MAX,
            };
            if left.is_zero() {
                return Err(error);
            }
            let wait = self.retry_wait(failures, error)?;
            self.clock.sleep(wait.min(left)).await;
        }
    }

    /// Returns the time until which a `Retry-After` of an error asks for no calls, at most as far away as one is
    /// honoured.
    fn paused_by(&self, error: &Error) -> Option<Duration> {
        let wait = error.retry_after()?.min(self.retries.max_retry_after);
        Some(self.clock.elapsed().saturating_add(wait))
    }

    /// Pauses the calls of the account where the error of a step carries a `Retry-After`.
    pub(crate) fn pause_account(&self, error: &Error) {
        if let Some(until) = self.paused_by(error) {
            self.share.pause(until);
        }
    }

    /// Returns the wait before the free call of a step is repeated after `failures` failures. A `Retry-After` pauses
    /// the account.
    ///
    /// # Errors
    /// The error of the call, where it is not repeated.
    pub(crate) fn again(&self, failures: u32, error: Error) -> Result<Duration> {
        self.pause_account(&error);
        self.retry_wait(failures, error)
    }

    fn retry_wait(&self, failures: u32, error: Error) -> Result<Duration> {
        match self.retries.decide(failures, &error, self.rng.next_f64()) {
            Decision::RetryAfter(wait) => {
                self.tell_retry(self.subject(), &error, wait);
                Ok(wait)
            }
            _ if failures > 1 => Err(error.with_retry(Retry::Exhausted)),
            _ => Err(error),
        }
    }

    /// Waits for something other than a step, such as another process.
    pub(crate) async fn sleep_outside_steps(&self, time: Duration) {
        self.clock.sleep(time).await;
    }

    async fn pause(&self, error: &Error, wait: Duration) {
        self.tell_retry(self.subject(), error, wait);
        self.clock.sleep(wait).await;
    }
}
