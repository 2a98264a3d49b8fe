//! What a driver knows of its run and its shards: which of them are open, whether the run was cancelled, and when its
//! caller is not to wait any more.

use futures::StreamExt as _;
use futures::future::{Either, select};
use lmbatch_core::{CreateProof, Error, Result, RunRecord, ShardState};

use super::{Driver, HEED, NEVER};
use crate::event::Event;
use crate::run::poll::unfinished;
use crate::run::recover::not_found_yet;
use crate::run::step::Step;

impl Driver<'_> {
    /// Whether the create of a shard could be confused with one whose fate is open: where batches are known by
    /// their number of requests only, that of a shard of the same number.
    pub(super) fn is_contested(&self, at: usize) -> bool {
        let context = self.scope.context;
        if context.provider.codec().capabilities().create != CreateProof::CountAndTime {
            return false;
        }
        let is_open = |other: usize| match &self.slots[other] {
            Some(work) => matches!(
                work.record.state,
                ShardState::Posting(_) | ShardState::Doubt(_)
            ),
            None => !matches!(
                self.under_way[other],
                Some(Step::Stage | Step::Poll | Step::Fetch | Step::Cancel)
            ),
        };
        let count = self.counts[at];
        let others = (0..self.slots.len()).filter(|other| *other != at);
        let mut same = others.filter(|other| self.counts[*other] == count);
        same.any(is_open)
    }

    pub(super) fn is_creating(&self) -> bool {
        let creating = |step: &Option<Step>| matches!(step, Some(Step::Post | Step::Repeat));
        self.under_way.iter().any(creating)
    }

    /// Whether a batch goes on, which makes room when it ends.
    pub(super) fn is_going(&self) -> bool {
        let slots = self.slots.iter().zip(&self.under_way).zip(&self.stuck);
        slots.into_iter().any(|((slot, step), stuck)| match slot {
            Some(work) => !stuck && matches!(work.record.state, ShardState::Created { .. }),
            None => matches!(step, Some(Step::Poll | Step::Cancel | Step::Post)),
        })
    }

    /// Once the run is cancelled, what can be cancelled waits for no poll.
    pub(super) fn cancel_now(&mut self, at: usize) {
        let work = self.slots[at].as_ref().filter(|_| self.cancelled);
        let step = work.map(|work| work.next(self.scope.context, true));
        if !self.stuck[at]
            && (self.due_at[at].is_some() || self.listed.contains(&at))
            && matches!(step, Some(Step::CallOff | Step::Cancel))
        {
            self.unwatch(at);
            self.schedule(at, self.now());
        }
    }

    /// What is said to a caller who does not wait for batches that go on; first what no waiting cures.
    pub(super) fn leaves(&mut self) -> Option<Error> {
        let options = &self.options;
        if !options.once && options.max_polls.is_none() && options.deadline.is_none() {
            return None;
        }
        let (mut going, mut searched) = (Vec::new(), None);
        for &(_, at) in &self.due {
            let work = self.slots[at].as_ref()?;
            match &work.record.state {
                ShardState::Created { .. } => {
                    going.push(work.poll.as_ref().filter(|poll| poll.polls > 0)?);
                }
                ShardState::Doubt(intent) if self.options.once && work.has_looked() => {
                    searched = searched.or(Some(intent));
                }
                // Its create waits for the end of another batch: the next process makes it.
                _ if self.waiting.contains(&at) => {}
                _ => return None,
            }
        }
        let error = match self.options.once {
            true => match (going.first(), searched) {
                (_, Some(intent)) => Some(not_found_yet(intent)),
                (Some(poll), None) => Some(unfinished(&poll.batch, "it goes on")),
                (None, None) => None,
            },
            false => going
                .iter()
                .find_map(|poll| poll.impatience(self.start, &self.options)),
        }?;
        Some(self.failure.take().unwrap_or(error))
    }

    /// Sees whether the run was cancelled, from here or from another process: what exists is cancelled then,
    /// and what does not exist is not created.
    pub(super) async fn heed(&mut self, run: &mut RunRecord) -> Result<()> {
        let now = self.now();
        if self.cancelled || now < self.heed_at && !self.scope.is_cancelled() {
            return Ok(());
        }
        // Only a record that outlives the process is shared with another one.
        self.heed_at = match self.scope.context.is_durable() {
            true => now + HEED,
            false => NEVER,
        };
        let before = run.cancelled;
        run.cancelled = self.heeded().await?;
        if !run.cancelled {
            return Ok(());
        }
        (self.cancelled, self.heed_at) = (true, NEVER);
        let context = self.scope.context;
        if !before {
            let message = "the run was cancelled meanwhile; what was answered is fetched";
            context.tell(&Event::Warning { message });
        }
        for at in 0..self.slots.len() {
            let Some(work) = &self.slots[at] else {
                continue;
            };
            if work.is_presumed()
                && let ShardState::Created { batch, .. } = &work.record.state
            {
                let message =
                    format!("{batch} is not cancelled: it is not certain that it is ours");
                context.tell(&Event::Warning { message: &message });
            }
            self.cancel_now(at);
        }
        Ok(())
    }

    /// Asks the record whether the run is cancelled, while the steps under way go on: one of them may hold what the
    /// record needs to answer, such as its only connection.
    async fn heeded(&mut self) -> Result<bool> {
        let (scope, mut seen) = (self.scope, self.seen_revision);
        let mut asked = Box::pin(async move {
            let cancelled = scope.heed_changes(&mut seen).await?;
            Ok::<_, Error>((cancelled, seen))
        });
        loop {
            let ran = match self.running.is_empty() {
                true => Either::Left(asked.as_mut().await),
                false => match select(asked.as_mut(), self.running.next()).await {
                    Either::Left((answer, _)) => Either::Left(answer),
                    Either::Right((ran, _)) => Either::Right(ran),
                },
            };
            let ran = match ran {
                Either::Left(answer) => {
                    let (cancelled, seen) = answer?;
                    self.seen_revision = seen;
                    return Ok(cancelled);
                }
                Either::Right(ran) => ran,
            };
            if let Some(ran) = ran {
                self.take(ran);
            }
        }
    }
}
