//! State of a run and its shards in a driver: which shards are open, whether the run was cancelled,
//! and when its caller does not wait any longer.

use futures::StreamExt as _;
use futures::future::{Either, select};
use lmbatch_core::{CreateProof, Error, Result, RunRecord, ShardState};

use super::{CANCEL_CHECK, Driver, NEVER};
use crate::event::Event;
use crate::run::poll::unfinished;
use crate::run::recover::not_found_yet;
use crate::run::step::Step;

impl Driver<'_> {
    /// Returns whether the create of a shard could be confused with one whose outcome is unknown:
    /// where batches are recognised by their number of requests alone, that of a shard with the
    /// same number.
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

    /// Returns whether a batch is running, which frees quota when it ends.
    pub(super) fn has_running_batch(&self) -> bool {
        let slots = self.slots.iter().zip(&self.under_way).zip(&self.stuck);
        slots.into_iter().any(|((slot, step), stuck)| match slot {
            Some(work) => !stuck && matches!(work.record.state, ShardState::Created { .. }),
            None => matches!(step, Some(Step::Poll | Step::Cancel | Step::Post)),
        })
    }

    /// Returns whether another shard has a reservation that its end may lower.
    pub(super) fn may_free_budget(&self, at: usize) -> bool {
        let slots = self.slots.iter().zip(&self.under_way).zip(&self.stuck);
        let others = slots.enumerate().filter(|(other, _)| *other != at);
        let mut others = others.map(|(_, other)| other);
        others.any(|((slot, step), stuck)| match slot {
            Some(work) => {
                let state = &work.record.state;
                let is_created = matches!(state, ShardState::Created { .. } | ShardState::Ended(_));
                let is_open = matches!(state, ShardState::Posting(_) | ShardState::Doubt(_));
                !stuck && (is_created || is_open)
            }
            None => !matches!(step, Some(Step::Stage | Step::Watermark) | None),
        })
    }

    /// Reports once that creates wait for the cost limit.
    pub(super) fn report_budget(&mut self, error: &Error) {
        if !std::mem::replace(&mut self.has_reported_budget, true) {
            let message = format!(
                "{}; it is created once other batches have ended and cost less than was reserved",
                error.message().unwrap_or_default()
            );
            let context = self.scope.context;
            context.report(&Event::Warning { message: &message });
        }
    }

    /// Schedules the cancellation of a shard at once when the run is cancelled, without waiting for
    /// its next poll.
    pub(super) fn cancel_now(&mut self, at: usize) {
        let work = self.slots[at].as_ref().filter(|_| self.cancelled);
        let step = work.map(|work| work.next(self.scope.context, true));
        if !self.stuck[at]
            && (self.due_at[at].is_some() || self.listed.contains(&at))
            && matches!(step, Some(Step::CancelUncreated | Step::Cancel))
        {
            self.unwatch(at);
            self.schedule(at, self.now());
        }
    }

    /// Returns the error for a caller that does not wait for running batches; a permanent failure
    /// takes precedence over the timeout.
    pub(super) fn early_exit(&mut self) -> Option<Error> {
        let options = &self.options;
        if !options.once && options.max_polls.is_none() && options.deadline.is_none() {
            return None;
        }
        let (mut running, mut searched) = (Vec::new(), None);
        for &(_, at) in &self.due {
            let work = self.slots[at].as_ref()?;
            match &work.record.state {
                ShardState::Created { .. } => {
                    running.push(work.poll.as_ref().filter(|poll| poll.polls > 0)?);
                }
                ShardState::Doubt(intent) if self.options.once && work.has_looked() => {
                    searched = searched.or(Some(intent));
                }
                // The create waits for the end of another batch: a later process makes it.
                _ if self.waiting.contains(&at) => {}
                _ => return None,
            }
        }
        let error = match self.options.once {
            true => match (running.first(), searched) {
                (_, Some(intent)) => Some(not_found_yet(intent)),
                (Some(poll), None) => Some(unfinished(&poll.batch, "it has not ended")),
                (None, None) => None,
            },
            false => running
                .iter()
                .find_map(|poll| poll.impatience(self.start, &self.options)),
        }?;
        Some(self.failure.take().unwrap_or(error))
    }

    /// Checks whether this or another process cancelled the run. Then existing batches are
    /// cancelled, and no others are created.
    pub(super) async fn apply_cancellation(&mut self, run: &mut RunRecord) -> Result<()> {
        let now = self.now();
        if self.cancelled || now < self.check_cancel_at && !self.scope.is_cancelled() {
            return Ok(());
        }
        // Only a durable record is shared with another process.
        self.check_cancel_at = match self.scope.context.is_durable() {
            true => now + CANCEL_CHECK,
            false => NEVER,
        };
        let before = run.cancelled;
        run.cancelled = self.read_cancellation().await?;
        if !run.cancelled {
            return Ok(());
        }
        (self.cancelled, self.check_cancel_at) = (true, NEVER);
        let context = self.scope.context;
        if !before {
            let message = "the run was cancelled; the results of its existing batches are fetched";
            context.report(&Event::Warning { message });
        }
        for at in 0..self.slots.len() {
            let Some(work) = &self.slots[at] else {
                continue;
            };
            if work.is_presumed()
                && let ShardState::Created { batch, .. } = &work.record.state
            {
                let message = format!(
                    "{batch} is not cancelled: it is not certain that it belongs to this run"
                );
                context.report(&Event::Warning { message: &message });
            }
            self.cancel_now(at);
        }
        Ok(())
    }

    /// Reads from the record whether the run is cancelled, while running steps continue: one of
    /// them may hold a resource that the ledger needs to answer, such as its only connection.
    async fn read_cancellation(&mut self) -> Result<bool> {
        let (scope, mut seen) = (self.scope, self.seen_revision);
        let mut asked = Box::pin(async move {
            let cancelled = scope.check_changes(&mut seen).await?;
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
