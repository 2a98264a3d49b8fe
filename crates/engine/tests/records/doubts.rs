//! Creates whose outcome stays unknown: what a run says of them when it ends.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt as _;
use lmbatch_core::{Closed, CreateProof, Ledger as _, RunRecord, ShardState};
use lmbatch_engine::{
    DoubtPolicy, Engine, Event, MemoryLedger, Observer, OnDoubt, OutcomeKind, RequestFilter,
    RunOptions, ShardPhase,
};
use lmbatch_testing::{AccountRules, MemoryAccount, MemorySpool, TestClock, TestRequests, TestRng};

const REQUESTS: u32 = 3;

/// Keeps the warnings of a run, and cancels the run once its create is in doubt.
#[derive(Debug, Default)]
struct Watch {
    warnings: Mutex<Vec<String>>,
    cancels: Mutex<Option<(Arc<MemoryLedger>, Box<str>)>>,
}

impl Observer for Watch {
    fn observe(&self, event: &Event<'_>) {
        match event {
            Event::Warning { message } => {
                self.warnings.lock().unwrap().push((*message).to_owned());
            }
            Event::Doubt { .. } => {
                let cancels = self.cancels.lock().unwrap().take();
                if let Some((ledger, run)) = cancels {
                    let cancel = async {
                        let mut run = ledger.run(&run).await.unwrap().unwrap();
                        run.cancelled = true;
                        ledger.change(&run, &[]).await.unwrap();
                    };
                    cancel.now_or_never().unwrap();
                }
            }
            _ => {}
        }
    }
}

/// Account without answers to its creates, and a record of one run.
struct World {
    account: Arc<MemoryAccount>,
    clock: Arc<TestClock>,
    ledger: Arc<MemoryLedger>,
    spool: Arc<MemorySpool>,
    watch: Arc<Watch>,
    run: RunRecord,
}

fn rules(create: CreateProof) -> AccountRules {
    AccountRules {
        create,
        uploads: false,
        checks_uploads: true,
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
        let engine = world.engine("planner");
        let asked = (1..=REQUESTS).map(|n| (format!("id/{n}"), format!("words {n}")));
        let plan = engine.plan(Box::new(TestRequests::new(asked))).await;
        let plan = plan.unwrap();
        world.run = engine.begin(&plan, None, BTreeMap::new()).await.unwrap();
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

    async fn state(&self) -> ShardState {
        let shards = self.ledger.shards(&self.run.id).await.unwrap();
        shards.into_iter().next().unwrap().state
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
        let cancels = (world.ledger.clone(), world.run.id.clone());
        *world.watch.cancels.lock().unwrap() = Some(cancels);
        let finished = engine.resume(&world.run, RunOptions::default()).await;
        let finished = finished.unwrap();
        let shown = format!("{on_doubt:?} {rules:?}");
        assert_eq!(world.account.accepted().len(), 1, "{shown}");
        assert!(finished.is_whole(), "{shown}");
        let state = world.state().await;
        let ShardState::Closed(Closed::Abandoned { message }) = &state else {
            panic!("{shown}: {state:?}");
        };
        assert!(message.contains("may still be accepted and billed"), "{message}");
        assert!(world.has_warned("3 requests may have been billed"), "{shown}");
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
        assert!(again.is_whole(), "{shown}");
        assert_eq!(world.times("create"), 1, "{shown}");
    }
}

#[tokio::test]
async fn a_cancelled_run_without_a_create_in_doubt_ends_as_cancelled() {
    let world = World::new(rules(CreateProof::CountAndTime)).await;
    let engine = world.engine("W");
    engine.cancel_run(&world.run).await.unwrap();
    let finished = engine.resume(&world.run, RunOptions::default()).await;
    assert!(finished.unwrap().is_whole());
    assert_eq!(
        world.state().await,
        ShardState::Closed(Closed::Cancelled)
    );
    assert!(!world.has_warned("may have been billed"));
    assert_eq!(world.account.accepted().len(), 0);
}
