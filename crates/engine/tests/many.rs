//! One engine drives any number of runs of an account.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::paused::PausedClock;
use lmbatch_core::{BatchStatus, Clock as _, ErrorKind, RunFilter, RunRecord};
use lmbatch_engine::{Engine, FolderSpool, MemoryLedger, PollingPolicy, RunOptions};
use lmbatch_testing::{MemoryProvider, Script, TestRequests, TestRng};
use tokio::task::JoinSet;

const REQUESTS: usize = 3;

struct World {
    clock: Arc<PausedClock>,
    provider: Arc<MemoryProvider>,
    engine: Engine,
    _folder: tempfile::TempDir,
}

impl World {
    fn new(script: Script) -> Self {
        let clock = PausedClock::new();
        let provider = Arc::new(MemoryProvider::new(clock.clone(), script));
        let folder = tempfile::tempdir().unwrap();
        let engine = Engine::new(provider.clone())
            .with_clock(clock.clone())
            .with_rng(Arc::new(TestRng::new(7)))
            .with_polling(PollingPolicy::every(Duration::from_secs(60)))
            .with_record(
                Arc::new(MemoryLedger::default()),
                Arc::new(FolderSpool::new(folder.path())),
            );
        Self {
            clock,
            provider,
            engine,
            _folder: folder,
        }
    }

    async fn begin(&self, run: usize) -> RunRecord {
        let words = (1..=REQUESTS).map(move |number| format!("{number} of {run}"));
        let source = TestRequests::new(words.map(|words| (words.clone(), words)));
        let plan = self.engine.plan(Box::new(source)).await.unwrap();
        let begun = self.engine.begin(&plan, None, BTreeMap::new());
        begun.await.unwrap()
    }

    /// Returns the ids of a run's answers.
    async fn texts(&self, run: &RunRecord) -> Vec<String> {
        let run = self.engine.ledger().run(&run.id).await.unwrap().unwrap();
        let finished = self.engine.recorded_results(&run).await.unwrap();
        let mut outcomes = self.engine.outcomes(&finished).unwrap();
        let mut texts = Vec::new();
        while let Some(answered) = outcomes.next().unwrap() {
            texts.push(answered.id.as_str().to_owned());
            assert!(answered.answer.problem().is_none());
        }
        texts
    }
}

#[tokio::test(start_paused = true)]
async fn five_hundred_runs_of_one_engine_all_end_in_one_process() {
    const RUNS: usize = 500;
    // Each batch runs for a while.
    let world = World::new(Script {
        statuses: (0..2 * RUNS).map(|_| Ok(BatchStatus::InProgress)).collect(),
        ..Script::default()
    });
    let mut runs = Vec::new();
    for run in 0..RUNS {
        runs.push(world.begin(run).await);
    }
    let mut tasks = JoinSet::new();
    for run in runs.clone() {
        let engine = world.engine.clone();
        tasks.spawn(async move { engine.resume(&run, RunOptions::default()).await });
    }
    while let Some(ended) = tasks.join_next().await {
        assert!(ended.unwrap().unwrap().is_complete());
    }
    assert_eq!(world.provider.accepted(), RUNS);
    for (number, run) in runs.iter().enumerate() {
        let expected: Vec<String> = (1..=REQUESTS)
            .map(|n| format!("\"{n} of {number}\""))
            .collect();
        assert_eq!(world.texts(run).await, expected);
    }
    // The runs wait together: one after the other they would take more than eight hours.
    let took = world.clock.elapsed();
    assert!(took < Duration::from_secs(3600), "{took:?}");
    let unfinished = RunFilter {
        unfinished: true,
        ..RunFilter::default()
    };
    let open = world.engine.ledger().all_runs(unfinished).await.unwrap();
    assert_eq!(open, []);
}

#[tokio::test(start_paused = true)]
async fn a_failed_or_dropped_run_does_not_affect_the_others() {
    let refused = lmbatch_core::Error::new(ErrorKind::ProviderInvalidArgs)
        .with_delivery(lmbatch_core::Delivery::Refused);
    let world = World::new(Script {
        creates: [Some(refused)].into(),
        statuses: (0..40).map(|_| Ok(BatchStatus::InProgress)).collect(),
        ..Script::default()
    });
    let mut tasks = JoinSet::new();
    let mut runs = Vec::new();
    for number in 0..10 {
        let run = world.begin(number).await;
        runs.push(run.clone());
        let engine = world.engine.clone();
        tasks.spawn(async move { engine.resume(&run, RunOptions::default()).await.map(drop) });
    }
    let dropped = world.begin(10).await;
    let engine = world.engine.clone();
    let task = {
        let run = dropped.clone();
        tokio::spawn(async move { engine.resume(&run, RunOptions::default()).await })
    };
    world.clock.sleep(Duration::from_secs(30)).await;
    task.abort();
    let mut failed = 0;
    while let Some(ended) = tasks.join_next().await {
        failed += usize::from(ended.unwrap().is_err());
    }
    assert_eq!(failed, 1);
    // The dropped run is resumed from its recorded state.
    let resumed = world.engine.resume(&dropped, RunOptions::default()).await;
    assert!(resumed.unwrap().is_complete());
    assert_eq!(world.provider.accepted(), 10);
}
