//! One sweep of the list of an account: page by page, newest first, as long as it is cheaper than a
//! status call for each batch.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, SystemTime};

use lmbatch_core::{BatchId, BatchSnapshot, Cursor, Page};

/// Numbers of a driver and of one of its shards.
pub(super) type Owner = (u64, usize);

/// Time without a page after which another driver takes over the sweep.
const SILENT: Duration = Duration::from_secs(120);

/// Maximum number of pages of one sweep.
const MOST_PAGES: u32 = 10_000;

/// Sweep under way.
#[derive(Debug)]
pub(super) struct Sweep {
    pub(super) since: Duration,
    /// Driver that reads the pages.
    pub(super) reading_driver: u64,
    cursor: Option<Cursor>,
    seen: HashSet<Cursor>,
    pub(super) pages: u32,
    /// Number of pages in a row without an awaited batch.
    pages_without_match: u32,
    /// Awaited batches, the oldest first; those without a known creation time come before them.
    rest: BTreeMap<(Option<SystemTime>, Owner), BatchId>,
    /// Number of awaited batches, by driver.
    of_drivers: BTreeMap<u64, usize>,
    /// Number of failed reads in a row.
    pub(super) failures: u32,
    failing_since: Option<Duration>,
    next_at: Duration,
    /// Number of the current lease.
    lease: Option<u64>,
    leases: u64,
    heard_at: Duration,
}

impl Sweep {
    /// Begins a sweep without a page. `leases` is the number of leases of earlier sweeps.
    pub(super) fn new(reading_driver: u64, now: Duration, leases: u64) -> Self {
        Self {
            since: now,
            reading_driver,
            cursor: None,
            seen: HashSet::new(),
            pages: 0,
            pages_without_match: 0,
            rest: BTreeMap::new(),
            of_drivers: BTreeMap::new(),
            failures: 0,
            failing_since: None,
            next_at: now,
            lease: None,
            leases,
            heard_at: now,
        }
    }

    /// Returns when a driver reads the next page.
    pub(super) fn due(&self, driver: u64) -> Option<Duration> {
        let silent = self.heard_at.max(self.next_at) + SILENT;
        match (self.reading_driver == driver, self.lease) {
            (true, None) => Some(self.next_at),
            (true, Some(_)) => None,
            (false, _) => self.of_drivers.contains_key(&driver).then_some(silent),
        }
    }

    /// Adds an awaited batch that was created at `made`, where that is known.
    pub(super) fn wait(&mut self, made: Option<SystemTime>, owner: Owner, batch: &BatchId) {
        if self.rest.insert((made, owner), batch.clone()).is_none() {
            *self.of_drivers.entry(owner.0).or_default() += 1;
        }
    }

    /// Removes an awaited batch.
    pub(super) fn remove(&mut self, made: Option<SystemTime>, owner: Owner) {
        if self.rest.remove(&(made, owner)).is_some()
            && let Some(count) = self.of_drivers.get_mut(&owner.0)
        {
            *count -= 1;
            if *count == 0 {
                self.of_drivers.remove(&owner.0);
            }
        }
    }

    /// Returns the batches that are still awaited, with their drivers and shards.
    pub(super) fn into_rest(self) -> impl Iterator<Item = (Owner, BatchId)> {
        let rest = self.rest.into_iter();
        rest.map(|((_, owner), batch)| (owner, batch))
    }

    pub(super) fn take_lease(
        &mut self,
        driver: u64,
        now: Duration,
    ) -> Option<(u64, Option<Cursor>)> {
        self.due(driver).filter(|due| *due <= now)?;
        self.reading_driver = driver;
        self.heard_at = now;
        self.leases += 1;
        self.lease = Some(self.leases);
        Some((self.leases, self.cursor.clone()))
    }

    /// Ends the lease of a number. Returns whether that lease was taken.
    pub(super) fn ends_lease(&mut self, number: u64) -> bool {
        let is_taken = self.lease == Some(number);
        if is_taken {
            self.lease = None;
        }
        is_taken
    }

    pub(super) fn leases(&self) -> u64 {
        self.leases
    }

    /// Records a page that shows `met` awaited batches. Returns whether the sweep is over.
    pub(super) fn record_page(
        &mut self,
        page: &Page<BatchSnapshot>,
        met: usize,
        now: Duration,
    ) -> bool {
        self.pages += 1;
        self.pages_without_match = if met > 0 {
            0
        } else {
            self.pages_without_match + 1
        };
        (self.failures, self.failing_since) = (0, None);
        (self.next_at, self.heard_at) = (now, now);
        self.cursor.clone_from(&page.next);
        let Some(cursor) = &page.next else {
            return true;
        };
        // A page that leads back to an earlier one would be read for ever.
        let is_new = self.seen.insert(cursor.clone());
        let oldest = page.items.iter().filter_map(|batch| batch.created_at).min();
        let is_past = match (oldest, self.rest.first_key_value()) {
            // Batches of one second come in any order.
            (Some(page), Some(((Some(left), _), _))) => page < *left,
            _ => false,
        };
        // The sweep now costs as much as a status call for each batch that is left.
        let is_costly = self.pages_without_match as usize >= self.rest.len();
        !is_new || is_past || is_costly || self.pages >= MOST_PAGES
    }

    /// Records a page that could not be read.
    pub(super) fn fail(&mut self, now: Duration, wait: Duration) {
        self.failures += 1;
        self.failing_since.get_or_insert(now);
        self.next_at = now.saturating_add(wait);
        self.heard_at = now;
    }

    /// Returns the time since which pages could not be read.
    pub(super) fn failing(&self, now: Duration) -> Duration {
        let since = self.failing_since.unwrap_or(now);
        now.saturating_sub(since)
    }

    /// Removes a driver. Another driver with an awaited batch then reads the pages.
    pub(super) fn leave(&mut self, driver: u64) {
        if self.of_drivers.remove(&driver).is_some() {
            self.rest.retain(|(_, (of, _)), _| *of != driver);
        }
        if self.reading_driver == driver {
            self.lease = None;
            if let Some((other, _)) = self.of_drivers.first_key_value() {
                self.reading_driver = *other;
            }
        }
    }

    /// Returns whether no batch is awaited.
    pub(super) fn is_over(&self) -> bool {
        self.rest.is_empty()
    }
}
