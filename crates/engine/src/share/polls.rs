//! Polls of the batches of an account in this process: by a sweep of the list, or by status calls.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, SystemTime};

use lmbatch_core::{BatchId, BatchSnapshot, BatchStatus, Cursor, Page};

use super::message::{Message, News};
use super::sweep::{Owner, Sweep};

/// Time for which the cost of a sweep is used to estimate that of the next.
const KNOWN_FOR: Duration = Duration::from_secs(600);

/// Attempts at one page of the list; after that its batches are polled by status calls.
const PAGE_TRIES: u32 = 3;

/// Longest time for which polls wait for one page of the list.
pub(super) const PAGE_PATIENCE: Duration = Duration::from_secs(120);

/// Longest time for which a poll waits for batches whose creates are under way.
const CREATES: Duration = Duration::from_secs(1);

/// Divisor of a poll's interval: a poll waits for others for at most that part of it.
const PATIENCE: u32 = 8;

/// Poll schedule of one batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Live {
    /// Time at which the batch is due.
    pub(crate) due: Duration,
    /// Interval between polls of the batch.
    pub(crate) wait: Duration,
    /// Time of the create according to the provider.
    pub(crate) created_at: Option<SystemTime>,
}

/// Way in which a due batch is polled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The batch is polled by a status call of its own.
    Alone,
    /// The batch is due a little later, together with others.
    Later(Duration),
    /// The batch is polled by a sweep of the list; a message reports the result.
    Listed,
}

/// Position of a batch on its way to an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PollPhase {
    /// The batch is in the schedule.
    Scheduled,
    /// The batch is in a sweep: from its begin, or since it became due.
    Swept { from_begin: bool },
    /// The batch is with its driver.
    WithDriver,
}

#[derive(Debug)]
struct Entry {
    owner: Owner,
    live: Live,
    phase: PollPhase,
}

/// Polls of one account.
#[derive(Debug, Default)]
pub(super) struct Polls {
    /// Entries of every batch: one for each run that polls it.
    entries: HashMap<BatchId, Vec<Entry>>,
    schedule: BTreeMap<(Duration, Owner), BatchId>,
    /// Time until which the provider accepts no polls.
    pub(super) paused_until: Duration,
    /// Time until which the list is not used.
    unused_until: Duration,
    /// Number of pages of the last sweep, and the time at which it ended.
    pages: Option<(u32, Duration)>,
    sweep: Option<Sweep>,
    /// Number of leases that were taken in ended sweeps.
    leases: u64,
}

impl Polls {
    pub(super) fn watch(&mut self, owner: Owner, batch: &BatchId, live: Live) {
        self.forget(owner, batch);
        self.schedule.insert((live.due, owner), batch.clone());
        let entries = self
            .entries
            .entry(batch.clone())
            .or_insert_with(|| Vec::with_capacity(1));
        entries.push(Entry {
            owner,
            live,
            phase: PollPhase::Scheduled,
        });
    }

    pub(super) fn forget(&mut self, owner: Owner, batch: &BatchId) {
        let Some(entries) = self.entries.get_mut(batch) else {
            return;
        };
        let found = entries.iter().position(|entry| entry.owner == owner);
        let Some(entry) = found.map(|found| entries.swap_remove(found)) else {
            return;
        };
        if entries.is_empty() {
            self.entries.remove(batch);
        }
        self.schedule.remove(&(entry.live.due, owner));
        if let Some(sweep) = &mut self.sweep {
            sweep.remove(entry.live.created_at, owner);
        }
        self.end_if_over();
    }

    /// Removes the batches of a driver.
    pub(super) fn leave(&mut self, driver: u64) {
        self.schedule.retain(|(_, owner), _| owner.0 != driver);
        self.entries.retain(|_, entries| {
            entries.retain(|entry| entry.owner.0 != driver);
            !entries.is_empty()
        });
        if let Some(sweep) = &mut self.sweep {
            sweep.leave(driver);
        }
        self.end_if_over();
    }

    /// Ends a sweep if no driver waits for one of its batches any more.
    fn end_if_over(&mut self) {
        if let Some(sweep) = self.sweep.take_if(|sweep| sweep.is_over()) {
            self.leases = sweep.leases();
        }
    }

    pub(super) fn sweep(&self) -> Option<&Sweep> {
        self.sweep.as_ref()
    }

    /// Returns the driver that reads the pages of the current sweep.
    pub(super) fn reading_driver(&self) -> Option<u64> {
        self.sweep.as_ref().map(|sweep| sweep.reading_driver)
    }

    pub(super) fn take_lease(
        &mut self,
        driver: u64,
        now: Duration,
    ) -> Option<(u64, Option<Cursor>)> {
        self.sweep.as_mut()?.take_lease(driver, now)
    }

    /// Returns the number of pages that a sweep for `due` batches takes.
    fn pages_for(&self, due: usize, now: Duration, size: u32) -> usize {
        match self.pages {
            Some((pages, at)) if now.saturating_sub(at) < KNOWN_FOR => pages as usize,
            _ => due.div_ceil(size.max(1) as usize) * 2,
        }
    }

    /// Returns whether a sweep is cheaper than a status call for each batch.
    fn pays(&self, due: usize, now: Duration, size: u32) -> bool {
        due > 2 * self.pages_for(due, now, size)
    }

    pub(super) fn due(
        &mut self,
        driver: u64,
        batches: &[(usize, BatchId)],
        now: Duration,
        paused_until: Duration,
        size: u32,
        coming: usize,
    ) -> Vec<Verdict> {
        if paused_until > now {
            return vec![Verdict::Later(paused_until); batches.len()];
        }
        if let Some(later) = self.begin_sweep(driver, now, size, coming) {
            return vec![Verdict::Later(later); batches.len()];
        }
        let owners = batches.iter().map(|(at, batch)| ((driver, *at), batch));
        owners
            .map(|(owner, batch)| self.verdict(owner, batch))
            .collect()
    }

    /// Begins a sweep where it is cheaper. Returns a time to wait for if it will be cheaper only a
    /// little later.
    fn begin_sweep(
        &mut self,
        driver: u64,
        now: Duration,
        size: u32,
        coming: usize,
    ) -> Option<Duration> {
        if self.sweep.is_some() || self.unused_until > now {
            return None;
        }
        // The batch with the shortest patience decides how long others are awaited.
        let due = self.schedule.range(..=(now, (u64::MAX, usize::MAX)));
        let patience = due.map(|((due, owner), batch)| {
            let entries = self.entries.get(batch).into_iter().flatten();
            let mut own = entries.filter(|entry| entry.owner == *owner);
            let wait = own.next().map_or(Duration::ZERO, |entry| entry.live.wait);
            due.saturating_add(wait / PATIENCE)
        });
        let until = patience.min()?.max(now);
        let soon = self.schedule.range(..=(until, (u64::MAX, usize::MAX)));
        let (last, count) = (soon.clone().next_back(), soon.count());
        let last = last.map_or(now, |((due, _), _)| (*due).max(now));
        let first = self.schedule.first_key_value().map(|((due, _), _)| *due);
        let made_by = until.min(first?.saturating_add(CREATES));
        if now < made_by && coming > 0 && self.pays(count + coming, now, size) {
            return Some(made_by);
        }
        if !self.pays(count, now, size) {
            return None;
        }
        if last > now {
            return Some(last);
        }
        self.start(driver, now);
        None
    }

    /// Begins a sweep for all due batches.
    fn start(&mut self, driver: u64, now: Duration) {
        let later = self
            .schedule
            .split_off(&(now + Duration::from_nanos(1), (0, 0)));
        let due = std::mem::replace(&mut self.schedule, later);
        let mut sweep = Sweep::new(driver, now, self.leases);
        for ((_, owner), batch) in due {
            if let Some(entry) = entry(&mut self.entries, owner, &batch) {
                entry.phase = PollPhase::Swept { from_begin: true };
                sweep.wait(entry.live.created_at, owner, &batch);
            }
        }
        self.sweep = Some(sweep);
    }

    fn verdict(&mut self, owner: Owner, batch: &BatchId) -> Verdict {
        let Some(entry) = entry(&mut self.entries, owner, batch) else {
            return Verdict::Alone;
        };
        let phase = match (entry.phase, &mut self.sweep) {
            (PollPhase::Swept { from_begin }, Some(_)) => PollPhase::Swept { from_begin },
            (PollPhase::Scheduled, Some(sweep)) => {
                sweep.wait(entry.live.created_at, owner, batch);
                PollPhase::Swept { from_begin: false }
            }
            _ => PollPhase::WithDriver,
        };
        self.schedule.remove(&(entry.live.due, owner));
        entry.phase = phase;
        match phase {
            PollPhase::Swept { .. } => Verdict::Listed,
            _ => Verdict::Alone,
        }
    }

    /// Ends the lease of a number. Returns whether that lease was taken.
    pub(super) fn ends_lease(&mut self, lease: u64) -> bool {
        let sweep = self.sweep.as_mut();
        sweep.is_some_and(|sweep| sweep.ends_lease(lease))
    }

    /// Records a page of the list. Returns the messages that it makes for drivers.
    pub(super) fn page(
        &mut self,
        page: &Page<BatchSnapshot>,
        now: Duration,
    ) -> Vec<(u64, Message)> {
        let Some(mut sweep) = self.sweep.take() else {
            return Vec::new();
        };
        let (mut messages, mut met) = (Vec::new(), 0);
        for shown in &page.items {
            let entries = self.entries.get_mut(&shown.id);
            for entry in entries.into_iter().flatten() {
                let is_due = match entry.phase {
                    PollPhase::Swept { .. } => true,
                    PollPhase::Scheduled => entry.live.due <= now,
                    PollPhase::WithDriver => continue,
                };
                let is_believed = is_believed(shown, &entry.live);
                // The end of a batch is reported even before its poll is due.
                if !(is_due || is_believed && shown.status.is_terminal()) {
                    continue;
                }
                met += usize::from(is_due);
                sweep.remove(entry.live.created_at, entry.owner);
                self.schedule.remove(&(entry.live.due, entry.owner));
                let since = match entry.phase {
                    PollPhase::Swept { from_begin: true } => sweep.since,
                    _ => now,
                };
                entry.phase = PollPhase::WithDriver;
                let news = match is_believed {
                    true => News::Listed {
                        snapshot: Box::new(shown.clone()),
                        since,
                    },
                    false => News::Alone,
                };
                messages.push(message(entry.owner, &shown.id, news));
            }
        }
        match sweep.record_page(page, met, now) || sweep.is_over() {
            true => messages.extend(self.end(sweep, now)),
            false => self.sweep = Some(sweep),
        }
        messages
    }

    /// Records a page that could not be read. Returns whether it is read again after `wait`; until
    /// then nothing is polled.
    pub(super) fn retry(&mut self, now: Duration, wait: Duration) -> bool {
        let Some(sweep) = &mut self.sweep else {
            return false;
        };
        sweep.fail(now, wait);
        let is_tried = sweep.failures < PAGE_TRIES && sweep.failing(now) + wait <= PAGE_PATIENCE;
        if is_tried {
            self.paused_until = self.paused_until.max(now.saturating_add(wait));
        }
        is_tried
    }

    /// Ends the sweep, and does not use the list before `until`.
    pub(super) fn give_up(&mut self, now: Duration, until: Duration) -> Vec<(u64, Message)> {
        self.unused_until = self.unused_until.max(until);
        let sweep = self.sweep.take();
        sweep.map_or_else(Vec::new, |sweep| self.end(sweep, now))
    }

    /// Ends a sweep. Batches that it has not met are polled by status calls.
    fn end(&mut self, sweep: Sweep, now: Duration) -> Vec<(u64, Message)> {
        let pages = sweep.pages;
        self.leases = sweep.leases();
        let mut messages = Vec::new();
        for (owner, batch) in sweep.into_rest() {
            let Some(entry) = entry(&mut self.entries, owner, &batch) else {
                continue;
            };
            let news = match entry.phase {
                PollPhase::Swept { from_begin: false } => News::Again,
                _ => News::Alone,
            };
            entry.phase = PollPhase::WithDriver;
            messages.push(message(owner, &batch, news));
        }
        let alone = messages
            .iter()
            .filter(|(_, message)| matches!(message.news, News::Alone));
        let cost = pages.saturating_add(u32::try_from(alone.count()).unwrap_or(u32::MAX));
        self.pages = Some((cost, now));
        messages
    }
}

fn entry<'e>(
    entries: &'e mut HashMap<BatchId, Vec<Entry>>,
    owner: Owner,
    batch: &BatchId,
) -> Option<&'e mut Entry> {
    let mut entries = entries.get_mut(batch)?.iter_mut();
    entries.find(|entry| entry.owner == owner)
}

fn message(owner: Owner, batch: &BatchId, news: News) -> (u64, Message) {
    let message = Message {
        at: owner.1,
        batch: batch.clone(),
        news,
    };
    (owner.0, message)
}

/// Returns whether a snapshot in a list replaces that of a status call. The end of a batch is kept
/// in the record: it is accepted only with everything that the record needs, and without
/// contradicting facts.
pub(super) fn is_believed(shown: &BatchSnapshot, live: &Live) -> bool {
    let counts = &shown.counts;
    let is_other = |known: SystemTime| shown.created_at.is_some_and(|shown| shown != known);
    if live.created_at.is_some_and(is_other) {
        return false;
    }
    match &shown.status {
        BatchStatus::Unknown(_) => false,
        BatchStatus::Failed => !shown.problems.is_empty(),
        status if status.is_terminal() => {
            counts.total.is_some_and(|total| total <= counts.finished())
        }
        _ => true,
    }
}
