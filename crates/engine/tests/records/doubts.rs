//! Creates whose outcome stays unknown: what a run says of them when it ends.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt as _;
use lmbatch_core::{
    AccountId, BatchId, Change, Clock as _, Closed, CreateProof, Delivery, Error, ErrorKind,
    LateAcknowledgement, Ledger, Page, Proof, Result, Retry, RunFilter, RunRecord, ShardKey,
    ShardRecord, ShardState, Spool as _,
};
use lmbatch_engine::{
    DoubtPolicy, Engine, Event, MemoryLedger, Observer, OnDoubt, OutcomeKind, RequestFilter,
    RunOptions, ShardPhase,
};
use lmbatch_testing::{
    AccountRules, MemoryAccount, MemoryProvider, MemorySpool, Script, TestClock, TestRequests,
    TestRng,
};

const REQUESTS: u32 = 3;

/// Action at an event of a run. Returns whether it is done.
type Hook = Box<dyn Fn(&Event<'_>) -> bool + Send>;

/// Keeps the warnings of a run, and acts once at an event.
#[derive(Default)]
struct Watch {
    warnings: Mutex<Vec<String>>,
    hook: Mutex<Option<Hook>>,
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}

impl Observer for Watch {
    fn observe(&self, event: &Event<'_>) {
        if let Event::Warning { message, .. } = event {
            self.warnings.lock().unwrap().push((*message).to_owned());
        }
        let mut hook = self.hook.lock().unwrap();
        if hook.as_ref().is_some_and(|hook| hook(event)) {
            *hook = None;
        }
    }
}

/// Ledger whose late acknowledgements fail at first.
#[derive(Debug, Default)]
struct Flaky {
    inner: MemoryLedger,
    late_failures: AtomicU32,
    /// Record that another worker writes after the next lookup of batches.
    stealing: Mutex<Option<ShardRecord>>,
}

#[async_trait]
impl Ledger for Flaky {
    async fn begin(&self, run: &RunRecord, shards: &[ShardRecord]) -> Result<()> {
        self.inner.begin(run, shards).await
    }
    async fn apply(&self, change: &Change<'_>) -> Result<()> {
        self.inner.apply(change).await
    }
    async fn run(&self, id: &str) -> Result<Option<RunRecord>> {
        self.inner.run(id).await
    }
    async fn runs(&self, filter: &RunFilter) -> Result<Page<RunRecord>> {
        self.inner.runs(filter).await
    }
    async fn shards(&self, run: &str) -> Result<Vec<ShardRecord>> {
        self.inner.shards(run).await
    }
    async fn known(&self, account: &AccountId, batches: &[BatchId]) -> Result<HashSet<BatchId>> {
        let known = self.inner.known(account, batches).await?;
        let stealing = self.stealing.lock().unwrap().take();
        if let Some(stolen) = stealing {
            self.inner.advance(&stolen).await?;
        }
        Ok(known)
    }
    async fn acknowledge_late(&self, late: &LateAcknowledgement) -> Result<()> {
        let left = self.late_failures.load(Ordering::Relaxed);
        if left > 0 {
            self.late_failures.store(left - 1, Ordering::Relaxed);
            return Err(Error::new(ErrorKind::Local).with_message("the disk is full"));
        }
        self.inner.acknowledge_late(late).await
    }
    async fn late_acknowledgements(&self, key: &ShardKey) -> Result<Vec<LateAcknowledgement>> {
        self.inner.late_acknowledgements(key).await
    }
    async fn delete(&self, run: &str) -> Result<()> {
        self.inner.delete(run).await
    }
}

/// Account without answers to its creates, and a record of one run.
struct World {
    account: Arc<MemoryAccount>,
    clock: Arc<TestClock>,
    ledger: Arc<Flaky>,
    spool: Arc<MemorySpool>,
    watch: Arc<Watch>,
    run: RunRecord,
}

fn rules(create: CreateProof) -> AccountRules {
    AccountRules {
        create,
        uploads: false,
        checks_uploads: true,
        checks_later: None,
        // No search finds the batch.
        list_lag: Duration::from_secs(1_000_000),
        max_requests: REQUESTS,
    }
}

impl World {
    async fn new(rules: AccountRules) -> Self {
        let clock = Arc::new(TestClock::default());
        let account = Arc::new(MemoryAccount::new(clock.clone(), rules));
        let (ledger, spool) = (Arc::default(), Arc::default());
        let mut world = Self {
            account,
            clock,
            ledger,
            spool,
            watch: Arc::default(),
            run: lmbatch_testing::ledger::run("none"),
        };
        world.run = world.begin().await;
        world
    }

    fn engine(&self, name: &str) -> Engine {
        Engine::new(Arc::new(self.account.connect(name)))
            .with_record(self.ledger.clone(), self.spool.clone())
            .with_clock(self.clock.clone())
            .with_rng(Arc::new(TestRng::new(3)))
            .with_observer(self.watch.clone())
            .with_doubt(DoubtPolicy {
                waits: [0, 30, 300].map(Duration::from_secs).to_vec(),
            })
    }

    /// Begins a run with as many requests.
    async fn begin(&self) -> RunRecord {
        // Runs have different nonces.
        let runs = self.ledger.all_runs(RunFilter::default()).await.unwrap();
        let rng = TestRng::new(runs.len() as u64);
        let engine = self.engine("planner").with_rng(Arc::new(rng));
        let asked = (1..=REQUESTS).map(|n| (format!("id/{n}"), format!("words {n}")));
        let plan = engine.plan(Box::new(TestRequests::new(asked))).await;
        engine
            .begin(&plan.unwrap(), None, BTreeMap::new())
            .await
            .unwrap()
    }

    /// Acts once, at the first event that is meant.
    fn at(
        &self,
        is_meant: impl Fn(&Event<'_>) -> bool + Send + 'static,
        act: impl Fn() + Send + 'static,
    ) {
        let hook = move |event: &Event<'_>| {
            let is_it = is_meant(event);
            if is_it {
                act();
            }
            is_it
        };
        *self.watch.hook.lock().unwrap() = Some(Box::new(hook));
    }

    async fn shard(&self, run: &RunRecord) -> ShardRecord {
        let shards = self.ledger.shards(&run.id).await.unwrap();
        shards.into_iter().next().unwrap()
    }

    async fn state(&self) -> ShardState {
        self.shard(&self.run).await.state
    }

    /// Lets another worker take the shard: it searches for the batch of the create.
    fn take_over(&self, at: impl Fn(&Event<'_>) -> bool + Send + 'static) {
        let (ledger, id) = (self.ledger.clone(), self.run.id.clone());
        self.at(at, move || {
            let take = async {
                let shard = ledger.shards(&id).await.unwrap().remove(0);
                let ShardState::Posting(intent) = shard.state.clone() else {
                    panic!("{:?}", shard.state);
                };
                let doubt = shard.advanced(ShardState::Doubt(intent));
                ledger.advance(&doubt).await.unwrap();
            };
            take.now_or_never().unwrap();
        });
    }

    fn times(&self, method: &str) -> usize {
        let calls = self.account.calls();
        calls.iter().filter(|call| call.method == method).count()
    }

    fn has_warned(&self, text: &str) -> bool {
        let warnings = self.watch.warnings.lock().unwrap();
        warnings.iter().any(|warning| warning.contains(text))
    }
}

#[tokio::test]
async fn a_cancelled_run_says_that_its_doubtful_create_may_be_billed_and_requeue_leaves_it_out() {
    let unlabelled = rules(CreateProof::CountAndTime);
    let fenced = AccountRules {
        uploads: true,
        // Neither is the fence certain.
        checks_uploads: false,
        ..rules(CreateProof::Labelled)
    };
    for (rules, on_doubt) in [
        (unlabelled, OnDoubt::Resubmit),
        (unlabelled, OnDoubt::Hold),
        (fenced, OnDoubt::Hold),
        (fenced, OnDoubt::Resubmit),
    ] {
        let world = World::new(rules).await;
        let engine = world.engine("W").with_on_doubt(on_doubt);
        world.account.lose_answer("W", true);
        // The run is cancelled during the search.
        let (ledger, id) = (world.ledger.clone(), world.run.id.clone());
        world.at(
            |event| matches!(event, Event::Doubt { .. }),
            move || {
                let cancel = async {
                    let mut run = ledger.run(&id).await.unwrap().unwrap();
                    run.cancelled = true;
                    ledger.change(&run, &[]).await.unwrap();
                };
                cancel.now_or_never().unwrap();
            },
        );
        let finished = engine.resume(&world.run, RunOptions::default()).await;
        let finished = finished.unwrap();
        let shown = format!("{on_doubt:?} {rules:?}");
        assert_eq!(world.account.accepted().len(), 1, "{shown}");
        assert!(finished.is_complete(), "{shown}");
        let state = world.state().await;
        let ShardState::Closed(Closed::Abandoned { message }) = &state else {
            panic!("{shown}: {state:?}");
        };
        assert!(
            message.contains("may still be accepted and billed"),
            "{message}"
        );
        assert!(
            world.has_warned("3 requests may have been billed"),
            "{shown}"
        );
        let shards = world.ledger.shards(&world.run.id).await.unwrap();
        assert_eq!(ShardPhase::of(&shards[0]), ShardPhase::Abandoned);
        let run = world.ledger.run(&world.run.id).await.unwrap().unwrap();
        assert!(run.finished && run.cancelled, "{shown}");
        // Each outcome says it, and none is selected unless its kind is named.
        let mut reader = engine.outcomes(&finished).unwrap();
        let mut doubtful = 0;
        while let Some(answered) = reader.next().unwrap() {
            assert_eq!(OutcomeKind::of(&answered.answer), Some(OutcomeKind::Doubt));
            doubtful += 1;
        }
        assert_eq!(doubtful, REQUESTS, "{shown}");
        let filter = RequestFilter {
            kinds: Some(OutcomeKind::UNANSWERED.into()),
            ..RequestFilter::default()
        };
        let selected = engine.select(&run, &filter).await.unwrap();
        assert!(selected.ordinals.is_empty(), "{shown}: {selected:?}");
        assert_eq!(
            selected.left_out,
            BTreeMap::from([(OutcomeKind::Doubt, u64::from(REQUESTS))])
        );
        assert_eq!(world.times("create"), 1, "{shown}");
        let again = engine.resume(&run, RunOptions::default()).await.unwrap();
        assert!(again.is_complete(), "{shown}");
        assert_eq!(world.times("create"), 1, "{shown}");
    }
}

#[tokio::test]
async fn a_cancelled_run_without_a_create_in_doubt_ends_as_cancelled() {
    let world = World::new(rules(CreateProof::CountAndTime)).await;
    let engine = world.engine("W");
    engine.cancel_run(&world.run).await.unwrap();
    let finished = engine.resume(&world.run, RunOptions::default()).await;
    assert!(finished.unwrap().is_complete());
    assert_eq!(world.state().await, ShardState::Closed(Closed::Cancelled));
    assert!(!world.has_warned("may have been billed"));
    assert_eq!(world.account.accepted().len(), 0);
}

/// Records that the create of `batch` was answered to a worker that had lost the shard.
fn acknowledge(world: &World, batch: &'static str) -> impl Fn() + Send + 'static {
    let (ledger, run) = (world.ledger.clone(), world.run.id.clone());
    move || {
        let late = LateAcknowledgement {
            key: ShardKey {
                run: run.clone(),
                shard: 0,
            },
            batch: batch.into(),
            evidence: "its create was answered".into(),
            at: None,
        };
        let recorded = ledger.acknowledge_late(&late).now_or_never();
        recorded.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_late_acknowledgement_is_adopted_before_a_second_create_and_reported_after_it() {
    let unlabelled = rules(CreateProof::CountAndTime);
    type IsMeant = fn(&Event<'_>) -> bool;
    let staging: IsMeant = |event| matches!(event, Event::Staging { .. });
    let creating: IsMeant = |event| matches!(event, Event::Creating { .. });
    for (at, batches, duplicates) in [(staging, 1, vec![]), (creating, 2, vec![("b2", "b1")])] {
        let world = World::new(unlabelled).await;
        let engine = world.engine("W").with_on_doubt(OnDoubt::Resubmit);
        world.account.lose_answer("W", true);
        let acknowledges = acknowledge(&world, "b1");
        let watch = Arc::clone(&world.watch);
        // The second time: the first create is in doubt by then.
        let seen = AtomicU32::new(0);
        let is_second =
            move |event: &Event<'_>| at(event) && seen.fetch_add(1, Ordering::Relaxed) == 1;
        world.at(is_second, acknowledges);
        let finished = engine.resume(&world.run, RunOptions::default()).await;
        let finished = finished.unwrap();
        assert!(watch.hook.lock().unwrap().is_none());
        assert_eq!(world.account.accepted().len(), batches);
        let twins = finished.duplicate_batches().iter();
        let twins: Vec<_> = twins
            .map(|twin| {
                (
                    twin.batch.as_ref().unwrap().as_str(),
                    twin.duplicate.as_str(),
                )
            })
            .collect();
        assert_eq!(twins, duplicates);
        let is_reported = world.has_warned("both may be paid for");
        assert_eq!(is_reported, batches == 2);
        let owned = world.state().await.batch().cloned();
        let expected = if batches == 1 { "b1" } else { "b2" };
        assert_eq!(owned, Some(BatchId::new(expected)));
    }
}

#[tokio::test]
async fn an_acknowledgement_is_recorded_although_the_ledger_fails_and_its_batch_is_always_named() {
    for (failures, is_recorded) in [(0, true), (3, true), (u32::MAX, false)] {
        let world = World::new(rules(CreateProof::Labelled)).await;
        world
            .ledger
            .late_failures
            .store(failures, Ordering::Relaxed);
        world.take_over(|event| matches!(event, Event::Creating { .. }));
        let engine = world.engine("W");
        let error = engine.resume(&world.run, RunOptions::default()).await;
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict, "{failures}: {error}");
        assert_eq!(
            error.batch(),
            Some(&BatchId::new("b1")),
            "{failures}: {error:?}"
        );
        let key = world.shard(&world.run).await.key;
        let late = world.ledger.late_acknowledgements(&key).await.unwrap();
        assert_eq!(late.len(), usize::from(is_recorded), "{failures}");
        assert_eq!(world.has_warned("b1 was created for"), failures > 0);
        // Attempts are minutes apart, not in a loop.
        let took = world.clock.elapsed();
        assert_eq!(took > Duration::from_secs(5), failures > 0, "{took:?}");
    }
}

#[tokio::test]
async fn a_batch_that_another_run_takes_meanwhile_is_searched_for_again() {
    let seen = AccountRules {
        list_lag: Duration::ZERO,
        ..rules(CreateProof::CountAndTime)
    };
    let world = World::new(seen).await;
    let other = world.begin().await;
    world.account.lose_answer("W", true);
    let stolen = world.shard(&other).await.advanced(ShardState::Created {
        batch: "b1".into(),
        proof: Proof::proved("its rows"),
    });
    let ledger = world.ledger.clone();
    let seen = AtomicU32::new(0);
    let is_search = move |event: &Event<'_>| {
        matches!(event, Event::Doubt { .. }) && seen.fetch_add(1, Ordering::Relaxed) == 0
    };
    world.at(is_search, move || {
        *ledger.stealing.lock().unwrap() = Some(stolen.clone());
    });
    let engine = world.engine("W");
    let held = engine.resume(&world.run, RunOptions::default()).await;
    let held = held.unwrap_err();
    assert_eq!(held.kind(), ErrorKind::Doubt, "{held}");
    assert_eq!(world.state().await.batch(), None);
    // Once the other run has given the batch back, it is found.
    let shard = world.shard(&other).await;
    let ShardState::Doubt(intent) = world.state().await else {
        panic!("not in doubt");
    };
    let back = shard.advanced(ShardState::Doubt(intent));
    world.ledger.advance(&back).await.unwrap();
    let closed = world
        .shard(&other)
        .await
        .advanced(ShardState::Closed(Closed::Cancelled));
    world.ledger.advance(&closed).await.unwrap();
    let finished = engine.resume(&world.run, RunOptions::default()).await;
    assert!(finished.unwrap().is_complete());
    assert_eq!(world.account.accepted().len(), 1);
}

#[tokio::test]
async fn a_batch_that_may_be_that_of_another_run_in_doubt_is_not_taken() {
    let listed = AccountRules {
        list_lag: Duration::ZERO,
        ..rules(CreateProof::CountAndTime)
    };
    for on_doubt in [OnDoubt::Hold, OnDoubt::Resubmit] {
        let world = World::new(listed).await;
        let other = world.begin().await;
        // The create of this run is not accepted, the later one of the other run is; neither is
        // answered.
        world.account.lose_answer("W", false);
        world.account.lose_answer("V", true);
        let once = RunOptions {
            once: true,
            ..RunOptions::default()
        };
        let engine = world.engine("W").with_on_doubt(on_doubt);
        let owner = world.engine("V");
        for (engine, run) in [(&engine, &world.run), (&owner, &other)] {
            assert!(engine.resume(run, once).await.is_err());
            let state = world.shard(run).await.state;
            assert!(matches!(state, ShardState::Doubt(_)), "{state:?}");
        }
        let error = engine.resume(&world.run, RunOptions::default()).await;
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Doubt);
        assert!(error.to_string().contains("b1"), "{error}");
        assert_eq!(world.account.accepted().len(), 1, "{on_doubt:?}");
        // Without the other create the batch is clear, and its rows decide.
        let closed = ShardState::Closed(Closed::Abandoned {
            message: "given up".into(),
        });
        let closed = world.shard(&other).await.advanced(closed);
        world.ledger.advance(&closed).await.unwrap();
        let again = engine.resume(&world.run, RunOptions::default()).await;
        assert_eq!(world.state().await.batch().is_some(), again.is_ok());
    }
}

#[tokio::test]
async fn a_held_search_continues_with_one_search_before_another_policy_is_carried_out() {
    let world = World::new(rules(CreateProof::CountAndTime)).await;
    world.account.lose_answer("W", true);
    let engine = world.engine("W");
    let options = RunOptions::default();
    assert!(engine.resume(&world.run, options).await.is_err());
    assert_eq!((world.times("find"), world.times("create")), (3, 1));
    let held_at = world.clock.elapsed();
    // The same policy searches once and holds again.
    let held = engine.resume(&world.run, options).await.unwrap_err();
    assert_eq!(held.kind(), ErrorKind::Doubt);
    assert_eq!((world.times("find"), world.times("create")), (4, 1));
    let engine = engine.with_on_doubt(OnDoubt::Resubmit);
    let finished = engine.resume(&world.run, options).await.unwrap();
    assert_eq!((world.times("find"), world.times("create")), (5, 2));
    assert!(finished.is_complete());
    assert!(world.clock.elapsed() - held_at < Duration::from_secs(60));
}

#[tokio::test]
async fn a_worker_that_has_lost_a_shard_leaves_the_entry_beside_the_ledger() {
    let world = World::new(rules(CreateProof::Labelled)).await;
    // The create is refused for now, which leads back to the uploaded state.
    let busy = Error::new(ErrorKind::ProviderRateLimit)
        .with_retry(Retry::Temporary)
        .with_delivery(Delivery::Refused);
    let script = Script {
        creates: [Some(busy)].into(),
        ..Script::default()
    };
    let provider = MemoryProvider::new(world.clock.clone(), script);
    let engine = Engine::new(Arc::new(provider))
        .with_record(world.ledger.clone(), world.spool.clone())
        .with_clock(world.clock.clone())
        .with_rng(Arc::new(TestRng::new(3)))
        .with_observer(world.watch.clone());
    world.take_over(|event| matches!(event, Event::Creating { .. }));
    let lost = engine.resume(&world.run, RunOptions::default()).await;
    assert_eq!(lost.unwrap_err().kind(), ErrorKind::Conflict);
    let entry = format!("{}.posting-0", world.run.nonce.as_str());
    assert!(world.spool.open(&entry).is_ok(), "{entry}");
}
