//! Handles of drivers to the shared state: permits for steps, pauses, and polls.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lmbatch_core::{BatchId, BatchSnapshot, Cursor, Page, Result};
use tokio::sync::Notify;

use super::message::Message;
use super::polls::{Live, PAGE_PATIENCE, Polls, Verdict};
use crate::policy::StepLimits;
use crate::run::step::{KINDS, Kind};

/// State that the runs of one account share within a process.
#[derive(Debug, Default)]
pub(crate) struct AccountShare(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    drivers: BTreeMap<u64, Mailbox>,
    /// Number of drivers that were taken so far.
    taken: u64,
    /// Number of running steps, by kind.
    busy: [usize; 5],
    /// Seats that wait for a permit, by kind; the first in line is at the front.
    waiting: [VecDeque<u64>; 5],
    /// Time until which the provider accepts no calls.
    paused_until: Duration,
    polls: Polls,
}

#[derive(Debug)]
struct Mailbox {
    wake: Arc<Notify>,
    messages: Vec<Message>,
    /// Number of creates under way, whose batches will soon be due for the first time.
    coming: usize,
}

impl AccountShare {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Creates the handle of a driver.
    pub(crate) fn join(self: &Arc<Self>) -> DriverHandle {
        let wake = Arc::new(Notify::new());
        let mut state = self.lock();
        state.taken += 1;
        let mailbox = Mailbox {
            wake: Arc::clone(&wake),
            messages: Vec::new(),
            coming: 0,
        };
        let id = state.taken;
        state.drivers.insert(id, mailbox);
        DriverHandle {
            share: Arc::clone(self),
            id,
            wake,
        }
    }
}

impl State {
    fn wake(&self, driver: u64) {
        if let Some(mailbox) = self.drivers.get(&driver) {
            mailbox.wake.notify_one();
        }
    }

    /// Wakes the first driver that waits for a permit of a kind.
    fn wake_next(&mut self, kind: usize) {
        if let Some(driver) = self.waiting[kind].pop_front() {
            self.wake(driver);
        }
    }

    fn deliver(&mut self, messages: Vec<(u64, Message)>) {
        for (driver, message) in messages {
            if let Some(mailbox) = self.drivers.get_mut(&driver) {
                if mailbox.messages.is_empty() {
                    mailbox.wake.notify_one();
                }
                mailbox.messages.push(message);
            }
        }
    }
}

/// Access of a driver to the shared state. When it is dropped, everything it holds is given back,
/// and another driver takes over its sweep.
#[derive(Debug)]
pub(crate) struct DriverHandle {
    share: Arc<AccountShare>,
    id: u64,
    wake: Arc<Notify>,
}

impl DriverHandle {
    /// Ends when there are messages, or when a permit or a lease may be free.
    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Takes the messages that have arrived.
    pub(crate) fn messages(&self) -> Vec<Message> {
        let mut state = self.share.lock();
        let mailbox = state.drivers.get_mut(&self.id);
        mailbox.map_or_else(Vec::new, |mailbox| std::mem::take(&mut mailbox.messages))
    }

    /// Takes a permit for a step, where fewer than `most` of its kind are running.
    pub(crate) fn permit(&self, kind: Kind, most: usize) -> Option<Permit> {
        let mut state = self.share.lock();
        let busy = &mut state.busy[kind as usize];
        if *busy >= most {
            return None;
        }
        *busy += 1;
        Some(Permit {
            share: Arc::clone(&self.share),
            kind,
        })
    }

    /// Queues for permits of the kinds in `wanted`, and leaves the queues of all others. A free permit
    /// that is not wanted goes to the next driver in line. `coming` is the number of creates under
    /// way.
    pub(crate) fn wait_for(&self, wanted: [bool; 5], limits: StepLimits, coming: usize) {
        let mut state = self.share.lock();
        if let Some(mailbox) = state.drivers.get_mut(&self.id) {
            mailbox.coming = coming;
        }
        for kind in KINDS {
            let at = kind as usize;
            match wanted[at] {
                true if state.waiting[at].contains(&self.id) => {}
                true => state.waiting[at].push_back(self.id),
                false => {
                    state.waiting[at].retain(|driver| *driver != self.id);
                    if state.busy[at] < limits.of(kind) {
                        state.wake_next(at);
                    }
                }
            }
        }
    }

    /// Returns the time until which the provider accepts no calls.
    pub(crate) fn paused_until(&self) -> Duration {
        self.share.lock().paused_until
    }

    /// Records that the provider accepts no calls before `until`.
    pub(crate) fn pause(&self, until: Duration) {
        let mut state = self.share.lock();
        state.paused_until = state.paused_until.max(until);
    }

    /// Returns the time until which the provider accepts no polls.
    pub(crate) fn polls_paused_until(&self) -> Duration {
        let state = self.share.lock();
        state.polls.paused_until.max(state.paused_until)
    }

    /// Records that the provider accepts no polls before `until`.
    pub(crate) fn pause_polls(&self, until: Duration) {
        let mut state = self.share.lock();
        state.polls.paused_until = state.polls.paused_until.max(until);
    }

    /// Records when a batch is due.
    pub(crate) fn watch(&self, at: usize, batch: &BatchId, live: Live) {
        let mut state = self.share.lock();
        state.polls.watch((self.id, at), batch, live);
    }

    /// Removes a batch that is not polled any more.
    pub(crate) fn forget(&self, at: usize, batch: &BatchId) {
        let mut state = self.share.lock();
        state.polls.forget((self.id, at), batch);
    }

    /// Decides how due batches are polled. A page of the list shows `size` batches.
    pub(crate) fn due(
        &self,
        batches: &[(usize, BatchId)],
        now: Duration,
        size: u32,
    ) -> Vec<Verdict> {
        let mut state = self.share.lock();
        let coming = state.drivers.values().map(|mailbox| mailbox.coming).sum();
        let paused_until = state.polls.paused_until.max(state.paused_until);
        let polls = &mut state.polls;
        polls.due(self.id, batches, now, paused_until, size, coming)
    }

    /// Returns when this driver reads the next page: it owns the sweep, or the owner has been
    /// silent for too long.
    pub(crate) fn sweep_due(&self) -> Option<Duration> {
        let state = self.share.lock();
        let due = state.polls.sweep()?.due(self.id)?;
        Some(due.max(state.polls.paused_until).max(state.paused_until))
    }

    /// Takes the lease to read the next page, if this driver should read one now.
    pub(crate) fn lease(&self, now: Duration) -> Option<PageLease> {
        let mut state = self.share.lock();
        let is_paused = state.polls.paused_until.max(state.paused_until) > now;
        if is_paused {
            return None;
        }
        let (number, cursor) = state.polls.take_lease(self.id, now)?;
        let failures = state.polls.sweep().map_or(0, |sweep| sweep.failures);
        Some(PageLease {
            share: Arc::clone(&self.share),
            number,
            cursor,
            failures,
        })
    }

    /// Passes the batches of a page on to the drivers that wait for them.
    pub(crate) fn page(&self, lease: &PageLease, page: &Page<BatchSnapshot>, now: Duration) {
        let mut state = self.share.lock();
        if state.polls.ends_lease(lease.number) {
            let messages = state.polls.page(page, now);
            state.deliver(messages);
        }
    }

    /// Records a page that could not be read. It is read again after `again`, until which nothing
    /// is polled. After too many failures, due batches are polled by status calls, and the list is
    /// not used for `unused_for`. `asked` is the pause of polls that the provider asked for. Returns
    /// whether the page is read again.
    pub(crate) fn page_failed(
        &self,
        lease: &PageLease,
        now: Duration,
        again: Option<Duration>,
        asked: Option<Duration>,
        unused_for: Duration,
    ) -> bool {
        let mut state = self.share.lock();
        if !state.polls.ends_lease(lease.number) {
            return false;
        }
        // A longer pause concerns the list; a status call gets a pause of its own.
        if let Some(asked) = asked.filter(|asked| *asked <= PAGE_PATIENCE) {
            let until = now.saturating_add(asked);
            state.polls.paused_until = state.polls.paused_until.max(until);
        }
        let is_tried_again = again.is_some_and(|wait| state.polls.retry(now, wait));
        if !is_tried_again {
            let messages = state.polls.give_up(now, now.saturating_add(unused_for));
            state.deliver(messages);
        }
        is_tried_again
    }

    /// Removes all batches of this driver, which polls none of them any more.
    pub(crate) fn forget_all(&self) {
        let mut state = self.share.lock();
        state.polls.leave(self.id);
        if let Some(mailbox) = state.drivers.get_mut(&self.id) {
            mailbox.messages.clear();
        }
        if let Some(reading_driver) = state.polls.reading_driver() {
            state.wake(reading_driver);
        }
    }
}

impl Drop for DriverHandle {
    fn drop(&mut self) {
        self.forget_all();
        let mut state = self.share.lock();
        state.drivers.remove(&self.id);
        for kind in 0..KINDS.len() {
            state.waiting[kind].retain(|driver| *driver != self.id);
            // The driver may have been woken for a permit that it does not take any more.
            state.wake_next(kind);
        }
    }
}

/// Slot for one step.
#[derive(Debug)]
pub(crate) struct Permit {
    share: Arc<AccountShare>,
    kind: Kind,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.share.lock();
        state.busy[self.kind as usize] -= 1;
        state.wake_next(self.kind as usize);
    }
}

/// Right to read one page. Another driver may take it over when its driver is dropped.
#[derive(Debug)]
pub(crate) struct PageLease {
    share: Arc<AccountShare>,
    number: u64,
    /// Cursor of the page; `None` for the first.
    pub(crate) cursor: Option<Cursor>,
    /// Number of times that the page could not be read so far.
    pub(crate) failures: u32,
}

impl Drop for PageLease {
    fn drop(&mut self) {
        let mut state = self.share.lock();
        if state.polls.ends_lease(self.number)
            && let Some(reading_driver) = state.polls.reading_driver()
        {
            state.wake(reading_driver);
        }
    }
}

/// Result of reading a page of the list.
#[derive(Debug)]
pub(crate) struct PageRead {
    pub(crate) lease: PageLease,
    pub(crate) listed: Result<Page<BatchSnapshot>>,
    /// Slot that is given back when the page is recorded.
    pub(crate) permit: Permit,
}
