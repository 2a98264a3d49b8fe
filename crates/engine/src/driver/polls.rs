//! Polls of a driver: by sweeps of the list that it shares with the other runs of its account, or
//! batch by batch.

use std::time::Duration;

use futures::FutureExt as _;
use lmbatch_core::{BatchId, BatchSnapshot, ErrorKind, ListOptions};

use super::{Driver, NEVER, place};
use crate::event::Event;
use crate::policy::Decision;
use crate::run::step::{Kind, Step};
use crate::share::{Live, News, PageRead, Verdict};

/// Time for which a list that could not be read is not read again.
const LIST_PAUSE: Duration = Duration::from_secs(600);

impl Driver<'_> {
    /// Returns the batch of a shard whose next step is a poll.
    fn polled(&self, at: usize) -> Option<&BatchId> {
        let work = self.slots[at].as_ref()?;
        let step = work.next(self.scope.context, self.cancelled);
        work.record.state.batch().filter(|_| step == Step::Poll)
    }

    pub(super) fn is_poll(&self, at: usize) -> bool {
        self.polled(at).is_some()
    }

    /// Returns whether a page of the list may answer the poll of a shard.
    pub(super) fn may_be_listed(&self, at: usize) -> bool {
        let is_shown = |work: &crate::run::work::Work| work.listed.is_some();
        self.page_size.is_some()
            && !self.alone.contains(&at)
            && !self.slots[at].as_ref().is_some_and(is_shown)
    }

    /// Announces when the batch of a shard is due, for the sweeps of the account.
    pub(super) fn watch(&self, at: usize, due: Duration) {
        if self.page_size.is_none() || self.stuck[at] || self.fatal.is_some() {
            return;
        }
        let (Some(batch), Some(work)) = (self.polled(at), &self.slots[at]) else {
            return;
        };
        let live = Live {
            due,
            wait: match &work.poll {
                Some(poll) => poll.wait,
                None => self.scope.context.polling.wait(1, None),
            },
            created_at: work.poll.as_ref().and_then(|poll| poll.created_at),
        };
        self.shared.watch(at, batch, live);
    }

    /// Removes a shard from the sweeps of the account.
    pub(super) fn unwatch(&mut self, at: usize) {
        self.listed.remove(&at);
        self.alone.remove(&at);
        let work = self.slots[at].as_ref().filter(|_| self.page_size.is_some());
        if let Some(batch) = work.and_then(|work| work.record.state.batch()) {
            self.shared.forget(at, batch);
        }
    }

    /// Stops polling for this driver.
    pub(super) fn leave_polls(&mut self) {
        self.page = None;
        self.listed.clear();
        self.shared.forget_all();
    }

    /// Decides how due shards are polled: by the list or by status calls.
    pub(super) fn admit_polls(&mut self, due: &[usize], now: Duration) {
        let Some(size) = self.page_size else {
            return;
        };
        let batches = due
            .iter()
            .filter_map(|at| Some((*at, self.polled(*at)?.clone())));
        let batches: Vec<(usize, BatchId)> = batches.collect();
        let verdicts = self.shared.due(&batches, now, size);
        for ((at, _), verdict) in batches.into_iter().zip(verdicts) {
            match verdict {
                Verdict::Alone => self.poll_alone(at),
                Verdict::Later(until) => self.postpone(at, until),
                Verdict::Listed => {
                    self.listed.insert(at);
                }
            }
        }
    }

    fn poll_alone(&mut self, at: usize) {
        self.alone.insert(at);
        self.ready[place(Kind::Poll)].push_back(at);
    }

    /// Records what sweeps of the list report about the batches.
    pub(super) fn read_messages(&mut self) {
        for message in self.shared.messages() {
            let at = message.at;
            let was_listed = self.listed.remove(&at);
            let now = self.now();
            // The shard was cancelled in the meantime, or is polled already.
            if self.polled(at) != Some(&message.batch) {
                if was_listed && self.slots[at].is_some() {
                    self.schedule(at, now);
                }
                continue;
            }
            match message.news {
                News::Again => self.schedule(at, now),
                News::Alone => {
                    if let Some(due) = self.due_at[at].take() {
                        self.due.remove(&(due, at));
                    }
                    self.poll_alone(at);
                }
                News::Listed { snapshot, since } => self.take_listed(at, *snapshot, since),
            }
        }
    }

    fn take_listed(&mut self, at: usize, snapshot: BatchSnapshot, since: Duration) {
        let context = self.scope.context;
        let Some(work) = &mut self.slots[at] else {
            return;
        };
        match work.take_listed(context, snapshot, since) {
            Some(next) => self.schedule(at, next),
            None => self.postpone(at, self.now()),
        }
    }

    /// Begins to read the next page of a sweep, if it is this driver's lease. Returns whether there
    /// was a permit for it.
    pub(super) fn begin_page(&mut self, now: Duration) -> bool {
        let context = self.scope.context;
        let is_due = self.shared.sweep_due().is_some_and(|due| due <= now);
        if self.page.is_some() || !is_due {
            return true;
        }
        let limit = context.limits.of(Kind::Poll);
        let Some(free) = self.shared.permit(Kind::Poll, limit) else {
            return false;
        };
        let Some(lease) = self.shared.lease(now) else {
            return true;
        };
        let options = ListOptions {
            limit: self.page_size,
            page: lease.cursor.clone(),
        };
        let read = async move {
            let listed = context.provider.list(&options).await;
            PageRead {
                lease,
                listed,
                permit: free,
            }
        };
        self.page = Some(read.boxed());
        true
    }

    /// Records a page of the list. A page that cannot be read delays the sweep but fails no run.
    pub(super) fn take_page(&mut self, read: PageRead) {
        let (context, now) = (self.scope.context, self.now());
        drop(read.permit);
        let error = match read.listed {
            Ok(page) => return self.shared.page(&read.lease, &page, now),
            Err(error) => error,
        };
        let random = context.rng.next_f64();
        let tried = read.lease.failures + 1;
        let again = match context.retries.decide(tried, &error, random) {
            Decision::RetryAfter(wait) => Some(wait),
            _ => None,
        };
        let asked = error.retry_after();
        let is_unsupported = error.kind() == ErrorKind::Unsupported;
        let unused_for = match is_unsupported {
            true => NEVER,
            false => LIST_PAUSE.max(asked.unwrap_or_default()),
        };
        let is_tried_again = self
            .shared
            .page_failed(&read.lease, now, again, asked, unused_for);
        match again.filter(|_| is_tried_again) {
            Some(wait) => context.report(&Event::Retrying {
                error: &error,
                wait,
            }),
            None if is_unsupported => {}
            None => {
                let message = format!(
                    "the list of batches cannot be read: {error}; batches are polled one by one instead"
                );
                context.report(&Event::Warning { message: &message });
            }
        }
    }
}
