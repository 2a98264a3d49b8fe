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
use lmbatch_engine::{BatchLimit, LMInvoker, StepLimits};
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
    /// True if the unusual create is never listed, and the late results never appear.
    permanent: bool,
    /// Maximum number of batches that run at once. Each then takes [`EACH`] seconds from its create.
    quota: Option<usize>,
    created_at: Mutex<BTreeMap<u32, u64>>,
    numbers: Mutex<BTreeMap<BatchId, u32>>,
    timelines: Mutex<Timelines>,
}

/// Seconds until a batch has ended.
const TAKES: u64 = 100;

/// Seconds that a batch takes where the account has a quota.
const EACH: u64 = 600;

impl Odd {
    fn note(&self, number: u32, what: &'static str) {
        let at = self.clock.elapsed().as_secs();
        let mut timelines = self.timelines.lock().unwrap();
        timelines.entry(number).or_default().push((what, at));
    }

    fn number(&self, batch: &BatchId) -> u32 {
        self.numbers.lock().unwrap()[batch]
    }

    /// Returns the second at which a batch ends.
    fn ends_at(&self, number: u32) -> u64 {
        match self.quota {
            Some(_) => self.created_at.lock().unwrap()[&number] + EACH,
            None => TAKES,
        }
    }

    fn has_room(&self) -> bool {
        let now = self.clock.elapsed().as_secs();
        let created_at = self.created_at.lock().unwrap();
        let running = created_at.values().filter(|at| *at + EACH > now);
        self.quota.is_none_or(|most| running.count() < most)
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
        if !self.has_room() {
            return Err(Error::new(ErrorKind::Quota)
                .with_retry(Retry::Temporary)
                .with_delivery(Delivery::Refused));
        }
        self.note(number, "create");
        let now = self.clock.elapsed().as_secs();
        self.created_at.lock().unwrap().insert(number, now);
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
        if self.permanent || self.clock.elapsed() < Duration::from_secs(600) {
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
        let ends_at = self.ends_at(self.number(batch));
        Ok(match self.clock.elapsed().as_secs() < ends_at {
            true => BatchSnapshot::new(batch.clone(), BatchStatus::InProgress),
            false => snapshot,
        })
    }
    async fn results(&self, class: Option<&BatchClass>, batch: &BatchId) -> Result<ResultSet> {
        self.note(self.number(batch), "results");
        let is_late = self.late == Some(self.number(batch));
        if is_late && (self.permanent || self.clock.elapsed() < Duration::from_secs(700)) {
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
    let (timelines, failed) = run(StepLimits::default(), odd).await;
    assert!(failed.is_none(), "{failed:?}");
    timelines
}

/// Drives one run. Returns the calls for each batch, and the error of the run.
async fn run(limits: StepLimits, odd: impl FnOnce(&mut Odd)) -> (Timelines, Option<Error>) {
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
        permanent: false,
        quota: None,
        created_at: Mutex::default(),
        numbers: Mutex::default(),
        timelines: Mutex::default(),
    };
    odd(&mut provider);
    let provider = Arc::new(provider);
    let invoker = LMInvoker::shared(provider.clone(), "m")
        .clock(clock)
        .rng(Arc::new(TestRng::new(7)))
        .limits(limits)
        .batch_limit(BatchLimit {
            max_requests: Some(1),
            ..BatchLimit::default()
        });
    let requests = (0..BATCHES).map(|number| Request::new(format!("{number}"), "x"));
    let outcomes = invoker.batch().invoke(requests).await;
    if let Ok(outcomes) = &outcomes {
        assert!(outcomes.iter().all(|(_, outcome)| outcome.is_usable()));
    }
    assert_eq!(provider.inner.accepted(), BATCHES as usize);
    let timelines = std::mem::take(&mut *provider.timelines.lock().unwrap());
    (timelines, outcomes.err())
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

#[tokio::test(start_paused = true)]
async fn a_batch_that_fails_permanently_stops_no_create_of_the_others() {
    let one_create = StepLimits {
        creates: 1,
        ..StepLimits::default()
    };
    let one_upload = StepLimits {
        uploads: 1,
        ..StepLimits::default()
    };
    let quota = Some(10);
    for (limits, quota) in [
        (one_create, None),
        (one_create, quota),
        (StepLimits::default(), quota),
        (one_upload, None),
    ] {
        let (alone, failed) = run(limits, |odd| odd.quota = quota).await;
        assert!(failed.is_none(), "{failed:?}");
        for (doubtful, late, slow_upload, kind) in [
            (Some(3), None, None, ErrorKind::Doubt),
            (None, Some(7), None, ErrorKind::Timeout),
            (Some(3), Some(7), None, ErrorKind::Doubt),
            // The uploads after the slow one begin after the create was held.
            (Some(3), Some(7), Some(15), ErrorKind::Doubt),
        ] {
            let (with_odd, failed) = run(limits, |odd| {
                odd.quota = quota;
                odd.permanent = true;
                (odd.doubtful, odd.late, odd.slow_upload) = (doubtful, late, slow_upload);
            })
            .await;
            let failed = failed.unwrap();
            assert_eq!(failed.kind(), kind, "{failed}");
            let odd = [doubtful, late, slow_upload].map(|one| one.unwrap_or(BATCHES));
            for number in (0..BATCHES).filter(|number| !odd.contains(number)) {
                let steps = with_odd[&number].iter().map(|(what, _)| *what);
                let steps: Vec<&str> = steps.collect();
                let case = format!("batch {number} of {limits:?} {quota:?} {odd:?}");
                assert_eq!(steps.last(), Some(&"read"), "{case}: {steps:?}");
                // A quota and one upload at a time let one batch wait for another.
                if quota.is_none() && (slow_upload.is_none() || limits.uploads > 1) {
                    assert_eq!(with_odd[&number], alone[&number], "{case}");
                }
            }
        }
    }
}

/// After a held create, a create of the same number of requests stays unsent at a provider that keeps no labels.
#[tokio::test(start_paused = true)]
async fn a_create_that_could_be_confused_with_a_held_one_is_not_sent() {
    let clock: Arc<dyn Clock> = PausedClock::new();
    let lost = Error::new(ErrorKind::Connection)
        .with_retry(Retry::Temporary)
        .with_delivery(Delivery::Unknown);
    let provider = Arc::new(MemoryProvider::new(
        clock.clone(),
        Script {
            unlabelled: true,
            by_count: true,
            blind_looks: u32::MAX,
            accepted_unseen: [lost].into(),
            ..Script::default()
        },
    ));
    let invoker = LMInvoker::shared(provider.clone(), "m")
        .clock(clock)
        .rng(Arc::new(TestRng::new(7)))
        .batch_limit(BatchLimit {
            max_requests: Some(1),
            ..BatchLimit::default()
        });
    let requests = (0..3).map(|number| Request::new(format!("{number}"), "x"));
    let error = invoker.batch().invoke(requests).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Doubt, "{error}");
    assert_eq!(provider.times("create").len(), 1);
}
