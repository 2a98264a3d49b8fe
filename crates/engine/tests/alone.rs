//! One slow, doubtful or late batch delays no other: each of the others takes as long as it takes
//! alone.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::paused::PausedClock;
use async_trait::async_trait;
use lmbatch_core::{
    AccountId, BatchClass, BatchCodec, BatchId, BatchProvider, BatchSnapshot, BatchStatus, Clock,
    Cursor, Delivery, Error, ErrorKind, Found, Intent, ListOptions, Page, Request, Result,
    ResultPart, ResultSet, Retry, RowStream, Shard, Staged,
};
use lmbatch_engine::{BatchLimit, LMInvoker};
use lmbatch_testing::{MemoryProvider, Script, TestRng};

/// Calls for each batch, by its number: name and second.
type Timelines = BTreeMap<u32, Vec<(&'static str, u64)>>;

/// Provider with some batches that behave unusually.
#[derive(Debug)]
struct Odd {
    inner: MemoryProvider,
    clock: Arc<dyn Clock>,
    /// Batch whose create is accepted without a response, and that is not listed for 20 minutes.
    doubtful: Option<u32>,
    /// Batch whose results appear after 10 minutes.
    late: Option<u32>,
    /// Batch whose input takes 30 minutes to upload.
    slow_upload: Option<u32>,
    /// Batch whose results take 30 minutes to download.
    slow: Option<u32>,
    numbers: Mutex<BTreeMap<BatchId, u32>>,
    timelines: Mutex<Timelines>,
}

/// Seconds until a batch has ended.
const TAKES: u64 = 100;

impl Odd {
    fn note(&self, number: u32, what: &'static str) {
        let at = self.clock.elapsed().as_secs();
        let mut timelines = self.timelines.lock().unwrap();
        timelines.entry(number).or_default().push((what, at));
    }

    fn number(&self, batch: &BatchId) -> u32 {
        self.numbers.lock().unwrap()[batch]
    }
}

#[async_trait]
impl BatchProvider for Odd {
    fn codec(&self) -> &dyn BatchCodec {
        self.inner.codec()
    }
    fn account(&self) -> AccountId {
        self.inner.account()
    }
    async fn stage(&self, shard: &Shard, prior: Option<Staged>) -> Result<Staged> {
        if self.slow_upload == Some(number_of(shard)) {
            self.clock.sleep(Duration::from_secs(1800)).await;
        }
        self.note(number_of(shard), "stage");
        self.inner.stage(shard, prior).await
    }
    async fn create(&self, shard: &Shard, intent: &Intent) -> Result<BatchId> {
        let number = number_of(shard);
        self.note(number, "create");
        let batch = self.inner.create(shard, intent).await?;
        self.numbers.lock().unwrap().insert(batch.clone(), number);
        match self.doubtful == Some(number) {
            true => Err(Error::new(ErrorKind::Connection)
                .with_retry(Retry::Temporary)
                .with_delivery(Delivery::Unknown)),
            false => Ok(batch),
        }
    }
    async fn find(&self, intent: &Intent, page: Option<Cursor>) -> Result<Found> {
        if self.clock.elapsed() < Duration::from_secs(600) {
            return Ok(Found {
                reached_watermark: true,
                ..Found::default()
            });
        }
        self.inner.find(intent, page).await
    }
    async fn status(&self, batch: &BatchId) -> Result<BatchSnapshot> {
        self.note(self.number(batch), "status");
        let snapshot = self.inner.status(batch).await?;
        Ok(match self.clock.elapsed().as_secs() < TAKES {
            true => BatchSnapshot::new(batch.clone(), BatchStatus::InProgress),
            false => snapshot,
        })
    }
    async fn results(&self, class: Option<&BatchClass>, batch: &BatchId) -> Result<ResultSet> {
        self.note(self.number(batch), "results");
        let is_late = self.late == Some(self.number(batch));
        if is_late && self.clock.elapsed() < Duration::from_secs(700) {
            return Ok(ResultSet::default());
        }
        self.inner.results(class, batch).await
    }
    async fn read(&self, part: &ResultPart, from: u64) -> Result<RowStream> {
        if self.slow == Some(self.number(&part.batch)) {
            self.clock.sleep(Duration::from_secs(1800)).await;
        }
        self.note(self.number(&part.batch), "read");
        self.inner.read(part, from).await
    }
    async fn list(&self, options: &ListOptions) -> Result<Page<BatchSnapshot>> {
        self.inner.list(options).await
    }
}

fn number_of(shard: &Shard) -> u32 {
    shard.label.parts().unwrap().1
}

const BATCHES: u32 = 40;

async fn timelines(odd: impl FnOnce(&mut Odd)) -> Timelines {
    let clock: Arc<dyn Clock> = PausedClock::new();
    let script = Script {
        uploads: true,
        ..Script::default()
    };
    let mut provider = Odd {
        inner: MemoryProvider::new(clock.clone(), script),
        clock: clock.clone(),
        doubtful: None,
        late: None,
        slow_upload: None,
        slow: None,
        numbers: Mutex::default(),
        timelines: Mutex::default(),
    };
    odd(&mut provider);
    let provider = Arc::new(provider);
    let invoker = LMInvoker::shared(provider.clone(), "m")
        .clock(clock)
        .rng(Arc::new(TestRng::new(7)))
        .batch_limit(BatchLimit {
            max_requests: Some(1),
            ..BatchLimit::default()
        });
    let requests = (0..BATCHES).map(|number| Request::new(format!("{number}"), "x"));
    let outcomes = invoker.batch().invoke(requests).await.unwrap();
    assert!(outcomes.iter().all(|(_, outcome)| outcome.is_usable()));
    assert_eq!(provider.inner.accepted(), BATCHES as usize);
    std::mem::take(&mut *provider.timelines.lock().unwrap())
}

#[tokio::test(start_paused = true)]
async fn one_doubtful_late_or_slow_batch_delays_no_other() {
    let alone = timelines(|_| {}).await;
    assert_eq!(alone.len(), BATCHES as usize);
    // Polls grow from two seconds by half each time: 2, 5, 9.5, …; the batch has ended at the
    // tenth.
    let steps: Vec<&str> = alone[&9].iter().map(|(what, _)| *what).collect();
    assert_eq!(steps[..3], ["stage", "create", "status"]);
    assert_eq!(steps[steps.len() - 2..], ["results", "read"]);
    let with_odd = timelines(|odd| {
        odd.doubtful = Some(3);
        odd.late = Some(7);
        odd.slow = Some(11);
        odd.slow_upload = Some(15);
    })
    .await;
    for (number, timeline) in &alone {
        if ![3, 7, 11, 15].contains(number) {
            assert_eq!(with_odd[number], *timeline, "batch {number}");
        }
    }
    let last = |number| with_odd[&number].last().unwrap().1;
    // The unusual batches end when they can: the search at 15 minutes, the results after 10, the
    // transfers after 30.
    assert!((600..1300).contains(&last(3)), "{:?}", with_odd[&3]);
    assert!((700..800).contains(&last(7)), "{:?}", with_odd[&7]);
    assert!((1900..2000).contains(&last(11)), "{:?}", with_odd[&11]);
    assert!((1800..1950).contains(&last(15)), "{:?}", with_odd[&15]);
}
