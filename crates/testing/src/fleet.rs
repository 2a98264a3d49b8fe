//! An in-memory account with many batches that take time, and a list that replaces status calls.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use lmbatch_core::{
    AccountId, BatchClass, BatchCodec, BatchId, BatchProvider, BatchSnapshot, BatchStatus,
    Capabilities, Chunk, Clock, Cursor, Delivery, Error, ErrorKind, Found, Intent, Label,
    ListOptions, Page, RequestCounts, Result, ResultPart, ResultSet, Retry, RowStream, Shard,
};

use crate::provider::{Call, MemoryCodec, capabilities};

/// Durations of an account's batches and calls, and the properties of its list.
#[derive(Debug, Clone)]
pub struct FleetRules {
    /// Time from the create of a batch to its end.
    pub takes: Duration,
    /// Duration of each call.
    pub latency: Duration,
    /// Number of batches on a page of the list; `None` if the list does not replace status calls.
    pub page: Option<u32>,
    /// Delay until the next poll that the account asks for, in lists and status calls.
    pub poll_after: Option<Duration>,
    /// Maximum number of requests in one batch.
    pub max_requests: u32,
    /// Maximum number of batches that run at once; a further create is refused for want of quota.
    pub quota: Option<usize>,
}

impl Default for FleetRules {
    /// Returns batches of one request that take 10 minutes, on pages of 100; calls take no time.
    fn default() -> Self {
        Self {
            takes: Duration::from_secs(600),
            latency: Duration::ZERO,
            page: Some(100),
            poll_after: None,
            max_requests: 1,
            quota: None,
        }
    }
}

/// Difference between a batch in the list and in its status call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listing {
    /// The list omits the batch.
    Hidden,
    /// The list has an unknown word for the status.
    UnknownWord,
    /// The list omits the counts.
    WithoutCounts,
}

/// A batch of a fleet.
#[derive(Debug)]
struct Ship {
    batch: BatchId,
    label: Label,
    created_at: SystemTime,
    cancelled: bool,
    rows: Bytes,
}

#[derive(Debug, Default)]
struct State {
    calls: Vec<Call>,
    /// Batches, oldest first.
    ships: Vec<Ship>,
    places: BTreeMap<BatchId, usize>,
    /// Batches whose status was read with a status call, in order.
    asked: Vec<BatchId>,
    listings: BTreeMap<BatchId, Listing>,
    /// Errors of the next calls, by method.
    faults: BTreeMap<&'static str, VecDeque<Error>>,
    /// Number of calls in progress and its maximum, by method.
    under_way: BTreeMap<&'static str, (usize, usize)>,
}

/// An in-memory account whose batches take time. Batches are named `b1`, `b2` and so on, in the order of their
/// creates. A call of `list` for a page of the maximum size is recorded as `walk`, any other as `list`.
#[derive(Debug)]
pub struct MemoryFleet {
    codec: MemoryCodec,
    rules: FleetRules,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

impl MemoryFleet {
    /// Creates an account without batches.
    pub fn new(clock: Arc<dyn Clock>, rules: FleetRules) -> Self {
        let capabilities = Capabilities {
            status_page: rules.page,
            ..capabilities()
        };
        Self {
            codec: MemoryCodec::new(capabilities, rules.max_requests),
            rules,
            clock,
            state: Mutex::default(),
        }
    }

    /// Adds batches of another program, which are the newest.
    pub fn add_foreign(&self, count: usize) {
        let mut state = self.state();
        for _ in 0..count {
            self.accept(&mut state, &Label::new("foreign"), Bytes::new());
        }
    }

    /// Sets the difference between a batch in the list and in its status call.
    pub fn list_otherwise(&self, batch: &str, listing: Listing) {
        self.state().listings.insert(batch.into(), listing);
    }

    /// Fails the next calls of a method, one for each error.
    pub fn fail(&self, method: &'static str, errors: impl IntoIterator<Item = Error>) {
        let mut state = self.state();
        state.faults.entry(method).or_default().extend(errors);
    }

    /// Returns the calls to the account, in order.
    pub fn calls(&self) -> Vec<Call> {
        self.state().calls.clone()
    }

    /// Returns the number of calls of a method.
    pub fn count(&self, method: &str) -> usize {
        let state = self.state();
        state
            .calls
            .iter()
            .filter(|call| call.method == method)
            .count()
    }

    /// Returns the batches whose status was read with a status call, in order.
    pub fn asked(&self) -> Vec<BatchId> {
        self.state().asked.clone()
    }

    /// Returns the maximum number of simultaneous calls of a method.
    pub fn most_at_once(&self, method: &str) -> usize {
        let state = self.state();
        state.under_way.get(method).map_or(0, |(_, most)| *most)
    }

    /// Returns the number of created batches, including those of other programs.
    pub fn accepted(&self) -> usize {
        self.state().ships.len()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a call, waits for its duration, and fails it if an error is set.
    async fn call(&self, method: &'static str) -> Result<()> {
        let at = self.clock.elapsed().as_secs();
        let fault = {
            let mut state = self.state();
            state.calls.push(Call { method, at });
            let (now, most) = state.under_way.entry(method).or_default();
            *now += 1;
            *most = (*most).max(*now);
            let faults = state.faults.get_mut(method);
            faults.and_then(VecDeque::pop_front)
        };
        let _under_way = UnderWay(self, method);
        if !self.rules.latency.is_zero() {
            self.clock.sleep(self.rules.latency).await;
        }
        fault.map_or(Ok(()), Err)
    }

    fn accept(&self, state: &mut State, label: &Label, rows: Bytes) -> BatchId {
        let batch = BatchId::new(format!("b{}", state.ships.len() + 1));
        state.places.insert(batch.clone(), state.ships.len());
        state.ships.push(Ship {
            batch: batch.clone(),
            label: label.clone(),
            created_at: self.clock.now(),
            cancelled: false,
            rows,
        });
        batch
    }

    fn snapshot(&self, ship: &Ship) -> BatchSnapshot {
        let age = self.clock.now().duration_since(ship.created_at);
        let has_ended = age.is_ok_and(|age| age >= self.rules.takes);
        let status = match (ship.cancelled, has_ended) {
            (true, _) => BatchStatus::Cancelled,
            (false, true) => BatchStatus::Completed,
            (false, false) => BatchStatus::InProgress,
        };
        let total = ship.rows.iter().filter(|byte| **byte == b'\n').count() as u64;
        let answered = if status == BatchStatus::Completed {
            total
        } else {
            0
        };
        let cancelled = if ship.cancelled { total } else { 0 };
        let mut snapshot = BatchSnapshot::new(ship.batch.clone(), status);
        snapshot.label = Some(ship.label.clone());
        snapshot.created_at = Some(ship.created_at);
        snapshot.counts = RequestCounts {
            total: Some(total),
            succeeded: answered,
            cancelled,
            ..RequestCounts::default()
        };
        snapshot.poll_after = self.rules.poll_after;
        snapshot
    }

    fn listed(&self, state: &State, ship: &Ship) -> Option<BatchSnapshot> {
        let mut shown = self.snapshot(ship);
        match state.listings.get(&ship.batch) {
            Some(Listing::Hidden) => return None,
            Some(Listing::UnknownWord) => shown.status = BatchStatus::Unknown("napping".to_owned()),
            Some(Listing::WithoutCounts) => shown.counts = RequestCounts::default(),
            None => {}
        }
        Some(shown)
    }
}

/// A call in progress.
struct UnderWay<'f>(&'f MemoryFleet, &'static str);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if let Some((now, _)) = self.0.state().under_way.get_mut(self.1) {
            *now -= 1;
        }
    }
}

fn not_found(batch: &BatchId) -> Error {
    let error = Error::new(ErrorKind::BatchNotFound).with_delivery(Delivery::Refused);
    error.with_batch(batch.clone())
}

#[async_trait]
impl BatchProvider for MemoryFleet {
    fn codec(&self) -> &dyn BatchCodec {
        &self.codec
    }

    fn account(&self) -> AccountId {
        AccountId::new("memory")
    }

    async fn create(&self, shard: &Shard, _: &Intent) -> Result<BatchId> {
        let pieces: Vec<Bytes> = shard.open(0..shard.len()).try_collect().await?;
        self.call("create").await?;
        let rows = Bytes::from(pieces.concat());
        let mut state = self.state();
        let running = state.ships.iter();
        let running = running.filter(|ship| !self.snapshot(ship).status.is_terminal());
        if self.rules.quota.is_some_and(|most| running.count() >= most) {
            return Err(Error::new(ErrorKind::Quota)
                .with_retry(Retry::Temporary)
                .with_delivery(Delivery::Refused));
        }
        Ok(self.accept(&mut state, &shard.label, rows))
    }

    async fn find(&self, intent: &Intent, page: Option<Cursor>) -> Result<Found> {
        self.call("find").await?;
        let options = ListOptions { limit: None, page };
        let page = self.page(&options);
        Ok(Found::by_label(page, intent))
    }

    async fn status(&self, batch: &BatchId) -> Result<BatchSnapshot> {
        self.call("status").await?;
        let mut state = self.state();
        state.asked.push(batch.clone());
        let ship = state.places.get(batch).map(|place| &state.ships[*place]);
        let ship = ship.ok_or_else(|| not_found(batch))?;
        Ok(self.snapshot(ship))
    }

    async fn results(&self, _: Option<&BatchClass>, batch: &BatchId) -> Result<ResultSet> {
        self.call("results").await?;
        Ok(ResultSet {
            parts: vec![ResultPart::mixed(batch, "all", "memory")],
            complete: true,
        })
    }

    async fn read(&self, part: &ResultPart, from: u64) -> Result<RowStream> {
        if from > 0 {
            return Err(Error::unsupported("reading results from the middle"));
        }
        self.call("read").await?;
        let state = self.state();
        let ship = state
            .places
            .get(&part.batch)
            .map(|place| &state.ships[*place]);
        let rows = ship
            .filter(|ship| !ship.cancelled)
            .map(|ship| ship.rows.clone());
        Ok(stream::iter([Ok(Chunk::Bytes(rows.unwrap_or_default()))]).boxed())
    }

    async fn list(&self, options: &ListOptions) -> Result<Page<BatchSnapshot>> {
        // Only a walk through the list asks for the maximum page size.
        let is_walk = options.limit.is_some() && options.limit == self.rules.page;
        self.call(if is_walk { "walk" } else { "list" }).await?;
        Ok(self.page(options))
    }

    async fn cancel(&self, batch: &BatchId) -> Result<()> {
        self.call("cancel").await?;
        let mut state = self.state();
        let place = state.places.get(batch).copied();
        let place = place.ok_or_else(|| not_found(batch))?;
        state.ships[place].cancelled = true;
        Ok(())
    }
}

impl MemoryFleet {
    /// Returns the page of the list at a cursor, newest first.
    fn page(&self, options: &ListOptions) -> Page<BatchSnapshot> {
        let state = self.state();
        let size = self.rules.page.unwrap_or(100);
        let size = options.limit.map_or(size, |limit| limit.min(size)) as usize;
        let from = options.page.as_ref();
        let from = from.and_then(|page| state.places.get(&BatchId::from(page.as_str())));
        // The cursor names the last batch of the page before, so that new batches shift no page.
        let rest = &state.ships[..from.copied().unwrap_or(state.ships.len())];
        let newest = rest.iter().rev().take(size);
        let items = newest
            .filter_map(|ship| self.listed(&state, ship))
            .collect();
        let last = rest.len().checked_sub(size).filter(|last| *last > 0);
        Page {
            items,
            next: last.map(|last| Cursor::new(rest[last].batch.as_str())),
        }
    }
}
