//! Calls of a self-test to its provider: retries, waits, signals, and creates.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use lmbatch::adapter::{BatchProvider, Candidate, Certainty, Intent, ListOptions, Staged};
use lmbatch::engine::SystemRng;
use lmbatch::{
    BatchId, BatchSnapshot, Clock, Decision, DoubtPolicy, Error, ErrorKind, PollingPolicy,
    RetryPolicy, Rng as _,
};

use super::batch::TinyBatch;
use super::budget::Budget;
use super::left::Left;
use super::report::{Finding, Report, seconds};
use super::stop::Stop;
use crate::exit::{Exit, Failure};
use crate::terminal;

/// Number of pages on which a batch is searched.
const MAX_PAGES: usize = 20;

/// Reason why a self-test ends before its last check.
#[derive(Debug)]
pub(super) enum Halt {
    /// A signal has arrived.
    Stopped(Exit, &'static str),
    /// A call that the remaining checks need has failed.
    Failed(Box<Failure>),
}

impl From<Failure> for Halt {
    fn from(failure: Failure) -> Self {
        Self::Failed(Box::new(failure))
    }
}

impl From<Error> for Halt {
    fn from(error: Error) -> Self {
        Failure::from(error).into()
    }
}

/// Result of a create.
#[derive(Debug)]
pub(super) enum Created {
    /// The provider answered with the batch.
    Batch(BatchId),
    /// The response was lost, and a search found the batch.
    Found(BatchId),
    /// The provider refused the create, and there is no batch.
    Refused(Error),
}

/// Limits of the waits of a self-test.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waits {
    /// Longest wait for an event at the provider.
    pub(super) timeout: Duration,
    /// Time between two polls, where the arguments set one.
    pub(super) interval: Option<Duration>,
}

/// Self-test that is under way.
#[derive(Debug)]
pub(super) struct Tester {
    pub(super) provider: Arc<dyn BatchProvider>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) report: Report,
    pub(super) budget: Budget,
    pub(super) left: Left,
    pub(super) waits: Waits,
    pub(super) stop: Stop,
    /// `true` where a wait ended before its event.
    pub(super) is_unfinished: bool,
}

impl Tester {
    /// Adds a check that began at `start`, by the clock of the self-test.
    pub(super) fn note(&mut self, name: &'static str, start: Duration, finding: Finding) {
        let took = self.clock.elapsed().saturating_sub(start);
        self.report.add(name, finding, took);
    }

    /// Adds a check that was not made.
    pub(super) fn skip(&mut self, name: &'static str, reason: &str) {
        let finding = Finding::NotTested(reason.to_owned());
        self.report.add(name, finding, Duration::ZERO);
    }

    /// Awaits a call, unless a signal arrives first.
    pub(super) async fn once<T>(&self, call: impl Future<Output = T>) -> Result<T, Halt> {
        tokio::select! {
            answer = call => Ok(answer),
            (exit, name) = self.stop.signal() => Err(Halt::Stopped(exit, name)),
        }
    }

    /// Makes a call that is free to repeat, and repeats it after a temporary failure.
    pub(super) async fn call<T, F>(
        &self,
        mut call: impl FnMut() -> F,
    ) -> Result<lmbatch::Result<T>, Halt>
    where
        F: Future<Output = lmbatch::Result<T>>,
    {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let answer = self.once(call()).await?;
            let Err(error) = &answer else {
                return Ok(answer);
            };
            match RETRIES.decide(attempt, error, SystemRng.next_f64()) {
                Decision::RetryAfter(wait) => self.pause(wait).await?,
                _ => return Ok(answer),
            }
        }
    }

    pub(super) async fn pause(&self, wait: Duration) -> Result<(), Halt> {
        self.once(self.clock.sleep(wait)).await
    }

    /// Waits before poll number `polls` of a list, from 1.
    pub(super) async fn pause_list(&self, polls: u32) -> Result<(), Halt> {
        let growing = Duration::from_millis(500)
            .saturating_mul(polls)
            .min(LIST_INTERVAL);
        self.pause(self.waits.interval.unwrap_or(growing)).await
    }

    /// Waits before poll number `polls` of a batch, from 1.
    pub(super) async fn pause_status(
        &self,
        polls: u32,
        snapshot: &BatchSnapshot,
    ) -> Result<(), Halt> {
        let growing = || PollingPolicy::GROWING.wait(polls, snapshot.poll_after);
        self.pause(self.waits.interval.unwrap_or_else(growing))
            .await
    }

    /// Returns the longest wait for a list to show a batch: that of a run after a lost create.
    pub(super) fn list_wait(&self) -> Duration {
        DoubtPolicy::default().total_wait().min(self.waits.timeout)
    }

    /// Searches the list for batches, on a bounded number of pages of `size`. Returns the batches of the pages up to the
    /// last one that was found.
    pub(super) async fn pages(
        &self,
        wanted: &[&BatchId],
        size: u32,
    ) -> Result<lmbatch::Result<Vec<BatchSnapshot>>, Halt> {
        let (mut all, mut page) = (Vec::<BatchSnapshot>::new(), None);
        for _ in 0..MAX_PAGES {
            let options = ListOptions {
                limit: Some(size),
                page,
            };
            let listed = match self.call(|| self.provider.list(&options)).await? {
                Ok(listed) => listed,
                Err(error) => return Ok(Err(error)),
            };
            all.extend(listed.items);
            let is_found = |id: &&BatchId| all.iter().any(|batch| batch.id == **id);
            page = listed.next;
            if page.is_none() || wanted.iter().all(is_found) {
                break;
            }
        }
        Ok(Ok(all))
    }

    /// Uploads what a create needs.
    pub(super) async fn stage(
        &mut self,
        batch: &TinyBatch,
    ) -> Result<lmbatch::Result<Staged>, Halt> {
        let start = self.clock.elapsed();
        let mut staged = None;
        loop {
            let step = self.call(|| self.provider.stage(&batch.shard, staged.clone()));
            let next = match step.await? {
                Ok(next) => next,
                Err(error) => return Ok(Err(error)),
            };
            self.left.uploaded(&batch.shard.label, &next.remote_objects);
            if next.ready {
                return Ok(Ok(next));
            }
            staged = Some(next);
            if self.clock.elapsed().saturating_sub(start) > self.waits.timeout {
                let error = Error::new(ErrorKind::Timeout).with_message("the upload is not ready");
                return Ok(Err(error));
            }
            self.pause_list(1).await?;
        }
    }

    /// Returns the intent of a create, with the newest batch before it.
    pub(super) async fn intent(&self, batch: &TinyBatch, staged: Staged) -> Result<Intent, Halt> {
        let mut intent = batch.intent(staged);
        if self.provider.codec().capabilities().list {
            let options = ListOptions {
                limit: Some(1),
                page: None,
            };
            let listed = self.call(|| self.provider.list(&options)).await?;
            let newest = listed.ok().and_then(|page| page.items.into_iter().next());
            intent.watermark_at = newest.as_ref().and_then(|newest| newest.created_at);
            intent.watermark = newest.map(|newest| newest.id);
        }
        intent.posted_at = Some(self.clock.now());
        Ok(intent)
    }

    /// Creates a batch, after its cost is reserved and its label is printed. A signal does not interrupt the create:
    /// its batch would be unknown. Only a create that the provider cannot have acted on is repeated.
    pub(super) async fn create(
        &mut self,
        batch: &TinyBatch,
        intent: &Intent,
    ) -> Result<Created, Halt> {
        let now = self.clock.now();
        self.budget.reserve(batch, now)?;
        let most = self.budget.bound(batch, now);
        let most = most.map_or("an unknown amount".to_owned(), lmbatch::Cost::rounded);
        terminal::message(&format!(
            "creating batch {} for at most {most}",
            intent.label
        ));
        let mut attempt = 0;
        loop {
            attempt += 1;
            let error = match self.provider.create(&batch.shard, intent).await {
                Ok(id) => {
                    self.acknowledged(&id, intent);
                    return Ok(Created::Batch(id));
                }
                Err(error) => error,
            };
            if let (ErrorKind::AlreadyExists, Some(id)) = (error.kind(), error.batch()) {
                self.acknowledged(id, intent);
                return Ok(Created::Batch(id.clone()));
            }
            match RETRIES.decide_create(attempt, &error, SystemRng.next_f64()) {
                Decision::RetryAfter(wait) => self.pause(wait).await?,
                Decision::Stop => {
                    self.budget.release(batch, self.clock.now());
                    return Ok(Created::Refused(error));
                }
                Decision::Find => return self.search(intent, error).await,
            }
        }
    }

    fn acknowledged(&mut self, id: &BatchId, intent: &Intent) {
        terminal::message(&format!("created batch {id}"));
        self.left.created(&intent.label, id);
    }

    /// Searches for the batch of a create whose response was lost, as a run does. No create is sent again. A batch that
    /// may be of another program is not taken, because the self-test cancels and deletes its batches.
    async fn search(&mut self, intent: &Intent, error: Error) -> Result<Created, Halt> {
        self.left.doubted(&intent.label);
        terminal::warn(&format!("the response to the create was lost: {error}"));
        let is_own = |found: &Candidate| found.certainty <= Certainty::Proved;
        let (start, mut polls) = (self.clock.elapsed(), 0);
        loop {
            let found = self.candidate(intent, is_own).await?;
            if let Ok((Some(found), _)) = &found {
                self.acknowledged(&found.batch, intent);
                return Ok(Created::Found(found.batch.clone()));
            }
            let searched = self.clock.elapsed().saturating_sub(start);
            if searched > self.list_wait() {
                let others = found.map_or(0, |(_, others)| others);
                terminal::warn(&format!(
                    "no batch with the label {} is found after {}; it may exist, and is billed then; {}",
                    intent.label,
                    seconds(searched),
                    crate::format::count(
                        others as u64,
                        "listed batch may be it",
                        "listed batches may be it"
                    )
                ));
                let doubt = Error::new(ErrorKind::Doubt)
                    .with_label(intent.label.clone())
                    .with_source(error);
                return Err(doubt.into());
            }
            polls += 1;
            self.pause_list(polls).await?;
        }
    }

    /// Searches the list for a batch that an intent may have made and that `accepts` is true of. Returns it with the
    /// number of other candidates.
    pub(super) async fn candidate(
        &self,
        intent: &Intent,
        accepts: impl Fn(&Candidate) -> bool,
    ) -> Result<lmbatch::Result<(Option<Candidate>, usize)>, Halt> {
        let (mut page, mut others, mut is_last) = (None, 0, false);
        for _ in 0..MAX_PAGES {
            let find = || self.provider.find(intent, page.clone());
            let found = match self.call(find).await? {
                Ok(found) => found,
                Err(error) => return Ok(Err(error)),
            };
            for candidate in found.candidates {
                if accepts(&candidate) {
                    return Ok(Ok((Some(candidate), others)));
                }
                others += 1;
            }
            page = found.next;
            if page.is_none() || is_last {
                break;
            }
            // Lists promise no order within a second: one page more is read, as a run does.
            is_last = found.reached_watermark;
        }
        Ok(Ok((None, others)))
    }

    /// Polls a batch until its status is terminal or `until` is true of it. Returns its last state, and `false` where
    /// the wait is over before.
    pub(super) async fn wait(
        &mut self,
        batch: &BatchId,
        until: impl Fn(&BatchSnapshot) -> bool,
    ) -> Result<lmbatch::Result<(BatchSnapshot, bool)>, Halt> {
        let (start, mut polls, mut shown) = (self.clock.elapsed(), 0, None);
        loop {
            let snapshot = match self.call(|| self.provider.status(batch)).await? {
                Ok(snapshot) => snapshot,
                Err(error) => return Ok(Err(error)),
            };
            if snapshot.status.is_terminal() {
                self.left.ended(batch);
            }
            if snapshot.status.is_terminal() || until(&snapshot) {
                return Ok(Ok((snapshot, true)));
            }
            let waited = self.clock.elapsed().saturating_sub(start);
            if waited >= self.waits.timeout {
                self.is_unfinished = true;
                return Ok(Ok((snapshot, false)));
            }
            if shown.as_ref() != Some(&snapshot.status) {
                let left = self.waits.timeout.saturating_sub(waited);
                terminal::message(&format!(
                    "waiting for the end of batch {batch}, which is {}, for at most {}",
                    snapshot.status,
                    crate::format::wait(left)
                ));
                shown = Some(snapshot.status.clone());
            }
            polls += 1;
            self.pause_status(polls, &snapshot).await?;
        }
    }
}

/// Retries of calls: fewer than a run makes, because a failure is a finding.
const RETRIES: RetryPolicy = RetryPolicy {
    max_attempts: 4,
    base: Duration::from_millis(500),
    cap: Duration::from_secs(10),
    max_retry_after: Duration::from_secs(120),
};

/// Longest time between two polls of a list.
const LIST_INTERVAL: Duration = Duration::from_secs(2);
