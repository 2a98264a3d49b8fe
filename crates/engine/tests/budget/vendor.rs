//! Provider that answers, fails and loses responses at random, and keeps a bill by token usage.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use lmbatch_core::{
    AccountId, BatchClass, BatchCodec, BatchId, BatchProvider, BatchSnapshot, BatchStatus,
    Candidate, Certainty, Chunk, Cost, CostRange, Cursor, Delivery, Error, ErrorKind, Found,
    Intent, Label, ListOptions, Page, PartRole, Prices, Pricing, RequestCounts, Result, ResultPart,
    ResultSet, Retry, Rng as _, RowStream, Shard, Staged, TokenUsage,
};
use lmbatch_testing::{MemoryProvider, Script, TestClock, TestRng};

/// Chances of a provider, each from 0.0 to 1.0.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Chances {
    /// A create is accepted, and its response is lost.
    pub(crate) lost_response: f64,
    /// A create is lost before it arrives, and the caller cannot tell.
    pub(crate) lost_create: f64,
    /// A create is refused for now.
    pub(crate) refused: f64,
    /// A search finds nothing, since the list lags.
    pub(crate) blind: f64,
    /// A request fails, and is not billed.
    pub(crate) failed: f64,
    /// The row of an answered request cannot be read.
    pub(crate) unreadable: f64,
    /// The answer is a JSON string, and not an echo of the prompt.
    pub(crate) fitting: f64,
}

/// End of one request in a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Answered,
    Fitting,
    Failed,
    Unreadable,
}

/// Request of a batch as the provider holds it.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) row: serde_json::Value,
    pub(crate) fate: Fate,
}

impl Held {
    /// Returns the cost on the bill.
    pub(crate) fn cost(&self) -> Cost {
        match self.fate {
            Fate::Failed => Cost::ZERO,
            _ => bill_of(self.row["text"].as_str().unwrap()),
        }
    }
}

/// Returns the cost of a prompt `usage IN OUT MAX`, or of a conversation that begins with it, computed apart from the table that the engine reads.
fn bill_of(text: &str) -> Cost {
    let numbers: Vec<u128> = text
        .split(' ')
        .skip(1)
        .map_while(|word| word.parse().ok())
        .collect();
    let (input, output) = (numbers[0], numbers[1]);
    let factor = if input > LONG.into() { 2 } else { 1 };
    Cost::from_picodollars(factor * (input * INPUT + output * OUTPUT))
}

/// Pico-dollars for an input token.
pub(crate) const INPUT: u128 = 100_000_007;
/// Pico-dollars for an output token.
pub(crate) const OUTPUT: u128 = 3_000_000_003;
/// Number of input tokens above which every token of a request costs twice as much.
const LONG: u64 = 60;

/// Prices of the provider; those of the real-time API are twice as high.
#[derive(Debug)]
pub(crate) struct Table;

impl Prices for Table {
    fn cost(
        &self,
        provider: &str,
        model: &str,
        pricing: Pricing,
        _: SystemTime,
        usage: &TokenUsage,
    ) -> Option<CostRange> {
        if (provider, model) != ("memory", "m") {
            return None;
        }
        let input = Cost::from_picodollars(INPUT).saturating_mul(usage.input_tokens);
        let output = Cost::from_picodollars(OUTPUT).saturating_mul(usage.output_tokens);
        let factor = 1 + u64::from(usage.input_tokens > LONG);
        let factor = factor * (1 + u64::from(pricing == Pricing::RealTime));
        let cost = input.saturating_add(output).saturating_mul(factor);
        Some(CostRange::exact(cost))
    }

    fn as_of(&self) -> &str {
        "2026-11-26"
    }
}

#[derive(Debug)]
struct Made {
    id: BatchId,
    label: Label,
    held: Vec<Held>,
}

#[derive(Debug, Default)]
struct State {
    made: Vec<Made>,
    creates: u64,
}

/// Provider in memory that keeps a bill.
#[derive(Debug)]
pub(crate) struct Vendor {
    /// Codec, of a provider that is not called.
    codec: MemoryProvider,
    rng: TestRng,
    chances: Mutex<Chances>,
    state: Mutex<State>,
}

impl Vendor {
    pub(crate) fn new(seed: u64, chances: Chances) -> Self {
        Self {
            codec: MemoryProvider::new(Arc::new(TestClock::default()), Script::default()),
            rng: TestRng::new(seed),
            chances: Mutex::new(chances),
            state: Mutex::default(),
        }
    }

    pub(crate) fn set(&self, chances: Chances) {
        *self.chances.lock().unwrap() = chances;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn chances(&self) -> Chances {
        *self.chances.lock().unwrap()
    }

    fn is(&self, chance: f64) -> bool {
        self.rng.next_f64() < chance
    }

    /// Returns the bill of every batch that exists, known to lmbatch or not.
    pub(crate) fn bill(&self) -> Cost {
        let state = self.state();
        let held = state.made.iter().flat_map(|made| &made.held);
        held.map(Held::cost).sum()
    }

    /// Returns the requests of some batches.
    pub(crate) fn held(&self, batches: &HashSet<BatchId>) -> Vec<Held> {
        let state = self.state();
        let made = state.made.iter().filter(|made| batches.contains(&made.id));
        made.flat_map(|made| made.held.clone()).collect()
    }

    /// Returns the number of batches that exist.
    pub(crate) fn batches(&self) -> usize {
        self.state().made.len()
    }

    /// Returns the number of batches whose label another one has.
    pub(crate) fn duplicate_batches(&self) -> usize {
        let state = self.state();
        let labels: HashSet<&Label> = state.made.iter().map(|made| &made.label).collect();
        state.made.len() - labels.len()
    }

    /// Returns the number of creates that were sent.
    pub(crate) fn creates(&self) -> u64 {
        self.state().creates
    }

    fn accept(&self, label: Label, body: &[u8]) -> BatchId {
        let chances = self.chances();
        let rows = body
            .split(|byte| *byte == b'\n')
            .filter(|row| !row.is_empty());
        let held = rows.map(|row| Held {
            row: serde_json::from_slice(row).unwrap(),
            fate: match self.rng.next_f64() {
                chance if chance < chances.failed => Fate::Failed,
                chance if chance < chances.failed + chances.unreadable => Fate::Unreadable,
                _ if self.is(chances.fitting) => Fate::Fitting,
                _ => Fate::Answered,
            },
        });
        let held = held.collect();
        let mut state = self.state();
        let id = BatchId::new(format!("b{}", state.made.len() + 1));
        state.made.push(Made {
            id: id.clone(),
            label,
            held,
        });
        id
    }

    fn counts(&self, batch: &BatchId) -> RequestCounts {
        let held = self.held(&HashSet::from([batch.clone()]));
        let failed = held.iter().filter(|held| held.fate == Fate::Failed).count() as u64;
        RequestCounts {
            total: Some(held.len() as u64),
            succeeded: held.len() as u64 - failed,
            errored: failed,
            ..RequestCounts::default()
        }
    }
}

fn failure(kind: ErrorKind, delivery: Delivery) -> Error {
    Error::new(kind)
        .with_retry(Retry::Temporary)
        .with_delivery(delivery)
}

#[async_trait]
impl BatchProvider for Vendor {
    fn codec(&self) -> &dyn BatchCodec {
        BatchProvider::codec(&self.codec)
    }

    fn account(&self) -> AccountId {
        AccountId::new("memory")
    }

    async fn stage(&self, _: &Shard, _: Option<Staged>) -> Result<Staged> {
        Ok(Staged::ready())
    }

    async fn create(&self, shard: &Shard, intent: &Intent) -> Result<BatchId> {
        let pieces: Vec<Bytes> = shard.open(0..shard.len()).try_collect().await?;
        self.state().creates += 1;
        let chances = self.chances();
        if self.is(chances.refused) {
            let delivery = match self.is(0.5) {
                true => Delivery::Refused,
                false => Delivery::NotSent,
            };
            return Err(failure(ErrorKind::ProviderOverloaded, delivery));
        }
        if self.is(chances.lost_create) {
            return Err(failure(ErrorKind::Connection, Delivery::Unknown));
        }
        let id = self.accept(intent.label.clone(), &pieces.concat());
        match self.is(chances.lost_response) {
            true => Err(failure(ErrorKind::Connection, Delivery::Unknown)),
            false => Ok(id),
        }
    }

    async fn find(&self, intent: &Intent, _: Option<Cursor>) -> Result<Found> {
        let is_blind = self.is(self.chances().blind);
        let state = self.state();
        let same = state.made.iter().rev();
        let same = same.filter(|made| !is_blind && made.label == intent.label);
        let candidates = same.map(|made| Candidate {
            batch: made.id.clone(),
            certainty: Certainty::Proved,
            evidence: "label".into(),
        });
        Ok(Found {
            candidates: candidates.collect(),
            next: None,
            reached_watermark: true,
        })
    }

    async fn status(&self, batch: &BatchId) -> Result<BatchSnapshot> {
        Ok({
            let mut snapshot = BatchSnapshot::new(batch.clone(), BatchStatus::Completed);
            snapshot.counts = self.counts(batch);
            snapshot
        })
    }

    async fn results(&self, _: Option<&BatchClass>, batch: &BatchId) -> Result<ResultSet> {
        let part = ResultPart {
            batch: batch.clone(),
            name: "all".into(),
            role: PartRole::Mixed,
            shape: "memory".into(),
            bytes: None,
        };
        Ok(ResultSet {
            parts: vec![part],
            complete: true,
        })
    }

    async fn read(&self, part: &ResultPart, from: u64) -> Result<RowStream> {
        if from > 0 {
            return Err(Error::unsupported("reading results from the middle"));
        }
        let held = self.held(&HashSet::from([part.batch.clone()])).into_iter();
        let rows: String = held
            .map(|held| {
                let mut row = held.row;
                match held.fate {
                    Fate::Answered => {}
                    Fate::Fitting => {
                        let text = row["text"].as_str().unwrap_or_default().to_owned();
                        let words: Vec<&str> = text.split(' ').take(3).collect();
                        row["text"] = format!("\"{} \"", words.join(" ")).into();
                    }
                    Fate::Failed => row["error"] = "failed".into(),
                    Fate::Unreadable => row["text"] = serde_json::json!({}),
                }
                format!("{row}\n")
            })
            .collect();
        Ok(stream::iter(vec![Ok(Chunk::Bytes(Bytes::from(rows)))]).boxed())
    }

    async fn list(&self, _: &ListOptions) -> Result<Page<BatchSnapshot>> {
        let is_blind = self.is(self.chances().blind);
        let state = self.state();
        let newest = state.made.iter().rev().filter(|_| !is_blind).take(20);
        let items = newest.map(|made| {
            let mut snapshot = BatchSnapshot::new(made.id.clone(), BatchStatus::Completed);
            snapshot.label = Some(made.label.clone());
            snapshot
        });
        Ok(Page {
            items: items.collect(),
            next: None,
        })
    }
}
