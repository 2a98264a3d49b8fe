//! The seats of drivers at what they share: places for steps, pauses, and the polls.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lmbatch_core::{BatchId, BatchSnapshot, Cursor, Page, Result};
use tokio::sync::Notify;

use super::letter::Letter;
use super::polls::{Live, PAGE_PATIENCE, Polls, Verdict};
use crate::policy::StepLimits;
use crate::run::step::{KINDS, Kind};

/// What the runs of one account share within a process.
#[derive(Debug, Default)]
pub(crate) struct AccountShare(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    seats: BTreeMap<u64, Mailbox>,
    /// Number of seats that were taken so far.
    taken: u64,
    /// Steps under way, by kind.
    busy: [usize; 5],
    /// Seats that wait for a place, by kind, the first to be served in front.
    waiting: [VecDeque<u64>; 5],
    /// When the provider takes calls again.
    paused_until: Duration,
    polls: Polls,
}

#[derive(Debug)]
struct Mailbox {
    wake: Arc<Notify>,
    letters: Vec<Letter>,
    /// Creates under way, whose batches are due for the first time in a moment.
    coming: usize,
}

impl AccountShare {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a seat for a driver.
    pub(crate) fn join(self: &Arc<Self>) -> Seat {
        let wake = Arc::new(Notify::new());
        let mut state = self.lock();
        state.taken += 1;
        let mailbox = Mailbox {
            wake: Arc::clone(&wake),
            letters: Vec::new(),
            coming: 0,
        };
        let id = state.taken;
        state.seats.insert(id, mailbox);
        Seat {
            share: Arc::clone(self),
            id,
            wake,
        }
    }
}

impl State {
    fn wake(&self, seat: u64) {
        if let Some(mailbox) = self.seats.get(&seat) {
            mailbox.wake.notify_one();
        }
    }

    /// Wakes the first that waits for a place of a kind.
    fn wake_next(&mut self, kind: usize) {
        if let Some(seat) = self.waiting[kind].pop_front() {
            self.wake(seat);
        }
    }

    fn deliver(&mut self, letters: Vec<(u64, Letter)>) {
        for (seat, letter) in letters {
            if let Some(mailbox) = self.seats.get_mut(&seat) {
                if mailbox.letters.is_empty() {
                    mailbox.wake.notify_one();
                }
                mailbox.letters.push(letter);
            }
        }
    }
}

/// A driver's access to what it shares. What it holds is given back when it is dropped, and a walk that it makes is
/// taken over by another driver.
#[derive(Debug)]
pub(crate) struct Seat {
    share: Arc<AccountShare>,
    id: u64,
    wake: Arc<Notify>,
}

impl Seat {
    /// Ends when there are letters, or a place or a walk may be taken.
    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Takes the letters that have come.
    pub(crate) fn letters(&self) -> Vec<Letter> {
        let mut state = self.share.lock();
        let mailbox = state.seats.get_mut(&self.id);
        mailbox.map_or_else(Vec::new, |mailbox| std::mem::take(&mut mailbox.letters))
    }

    /// Takes a place for a step, where fewer than `most` of its kind are under way.
    pub(crate) fn place(&self, kind: Kind, most: usize) -> Option<Place> {
        let mut state = self.share.lock();
        let busy = &mut state.busy[kind as usize];
        if *busy >= most {
            return None;
        }
        *busy += 1;
        Some(Place {
            share: Arc::clone(&self.share),
            kind,
        })
    }

    /// Waits for places of the kinds in `wanted`, in turn with others, and for no others. A place that is free and
    /// not wanted goes to the next that waits. `coming` is the number of creates that are under way.
    pub(crate) fn wait_for(&self, wanted: [bool; 5], limits: StepLimits, coming: usize) {
        let mut state = self.share.lock();
        if let Some(mailbox) = state.seats.get_mut(&self.id) {
            mailbox.coming = coming;
        }
        for kind in KINDS {
            let at = kind as usize;
            match wanted[at] {
                true if state.waiting[at].contains(&self.id) => {}
                true => state.waiting[at].push_back(self.id),
                false => {
                    state.waiting[at].retain(|seat| *seat != self.id);
                    if state.busy[at] < limits.of(kind) {
                        state.wake_next(at);
                    }
                }
            }
        }
    }

    /// When the provider takes calls again.
    pub(crate) fn paused_until(&self) -> Duration {
        self.share.lock().paused_until
    }

    /// Notes that the provider wants no calls before `until`.
    pub(crate) fn pause(&self, until: Duration) {
        let mut state = self.share.lock();
        state.paused_until = state.paused_until.max(until);
    }

    /// When the provider takes polls again.
    pub(crate) fn polls_paused_until(&self) -> Duration {
        let state = self.share.lock();
        state.polls.paused_until.max(state.paused_until)
    }

    /// Notes that the provider wants no polls before `until`.
    pub(crate) fn pause_polls(&self, until: Duration) {
        let mut state = self.share.lock();
        state.polls.paused_until = state.polls.paused_until.max(until);
    }

    /// Notes when a batch is due.
    pub(crate) fn watch(&self, at: usize, batch: &BatchId, live: Live) {
        let mut state = self.share.lock();
        state.polls.watch((self.id, at), batch, live);
    }

    /// Forgets a batch that is polled no more.
    pub(crate) fn forget(&self, at: usize, batch: &BatchId) {
        let mut state = self.share.lock();
        state.polls.forget((self.id, at), batch);
    }

    /// Decides how batches that are due are polled. A page of the list shows `size` batches.
    pub(crate) fn due(
        &self,
        batches: &[(usize, BatchId)],
        now: Duration,
        size: u32,
    ) -> Vec<Verdict> {
        let mut state = self.share.lock();
        let coming = state.seats.values().map(|mailbox| mailbox.coming).sum();
        let paused_until = state.polls.paused_until.max(state.paused_until);
        let polls = &mut state.polls;
        polls.due(self.id, batches, now, paused_until, size, coming)
    }

    /// When this driver is to read a page: it makes the walk, or the driver that does has not been heard of for long.
    pub(crate) fn walk_due(&self) -> Option<Duration> {
        let state = self.share.lock();
        let due = state.polls.walk()?.due(self.id)?;
        Some(due.max(state.polls.paused_until).max(state.paused_until))
    }

    /// Takes the turn to read the next page, if one is to be read by this driver now.
    pub(crate) fn turn(&self, now: Duration) -> Option<Turn> {
        let mut state = self.share.lock();
        let is_paused = state.polls.paused_until.max(state.paused_until) > now;
        if is_paused {
            return None;
        }
        let (number, cursor) = state.polls.take_turn(self.id, now)?;
        let failures = state.polls.walk().map_or(0, |walk| walk.failures);
        Some(Turn {
            share: Arc::clone(&self.share),
            number,
            cursor,
            failures,
        })
    }

    /// Hands the batches of a page on to the drivers that wait for them.
    pub(crate) fn page(&self, turn: &Turn, page: &Page<BatchSnapshot>, now: Duration) {
        let mut state = self.share.lock();
        if state.polls.gives_back(turn.number) {
            let letters = state.polls.page(page, now);
            state.deliver(letters);
        }
    }

    /// A page could not be read. It is read again after `again`, in which nothing is polled, unless that was done too
    /// often: then what is due is asked for alone, and the list is left alone for `spare`. `wish` is the time that
    /// the provider wants no polls for. Returns whether the page is read again.
    pub(crate) fn page_failed(
        &self,
        turn: &Turn,
        now: Duration,
        again: Option<Duration>,
        wish: Option<Duration>,
        spare: Duration,
    ) -> bool {
        let mut state = self.share.lock();
        if !state.polls.gives_back(turn.number) {
            return false;
        }
        // A longer one is about the list; a status call learns for itself what the provider wants.
        if let Some(wish) = wish.filter(|wish| *wish <= PAGE_PATIENCE) {
            let until = now.saturating_add(wish);
            state.polls.paused_until = state.polls.paused_until.max(until);
        }
        let is_tried_again = again.is_some_and(|wait| state.polls.retry(now, wait));
        if !is_tried_again {
            let letters = state.polls.give_up(now, now.saturating_add(spare));
            state.deliver(letters);
        }
        is_tried_again
    }

    /// Forgets all batches of this driver, which polls none of them any more.
    pub(crate) fn forget_all(&self) {
        let mut state = self.share.lock();
        state.polls.leave(self.id);
        if let Some(mailbox) = state.seats.get_mut(&self.id) {
            mailbox.letters.clear();
        }
        if let Some(walker) = state.polls.walker() {
            state.wake(walker);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.forget_all();
        let mut state = self.share.lock();
        state.seats.remove(&self.id);
        for kind in 0..KINDS.len() {
            state.waiting[kind].retain(|seat| *seat != self.id);
            // It may have been woken for a place that it does not take any more.
            state.wake_next(kind);
        }
    }
}

/// A place for one step.
#[derive(Debug)]
pub(crate) struct Place {
    share: Arc<AccountShare>,
    kind: Kind,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.share.lock();
        state.busy[self.kind as usize] -= 1;
        state.wake_next(self.kind as usize);
    }
}

/// The turn to read one page. Another driver may take it over when this one is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    share: Arc<AccountShare>,
    number: u64,
    /// Where the page begins; `None` for the first.
    pub(crate) cursor: Option<Cursor>,
    /// Number of times that the page could not be read so far.
    pub(crate) failures: u32,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = self.share.lock();
        if state.polls.gives_back(self.number)
            && let Some(walker) = state.polls.walker()
        {
            state.wake(walker);
        }
    }
}

/// A page of the list that was read, or could not be.
#[derive(Debug)]
pub(crate) struct PageRead {
    pub(crate) turn: Turn,
    pub(crate) listed: Result<Page<BatchSnapshot>>,
    /// Given back when the page is taken.
    pub(crate) place: Place,
}
