//! A run whose prompts and answers were deleted from this machine: each call that needs them says so, and nothing is
//! sent.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::HashSet;
use std::sync::Arc;

use lmbatch_core::{BatchId, Clock as _, Error, ErrorKind, Ledger as _, RunFilter, RunRecord};
use lmbatch_engine::{
    Engine, FolderSpool, LMInvoker, MemoryLedger, OnKnownRun, RequestFilter, RunOptions, RunQuery,
    SameRun, SpooledFile, delete_answers, files_of_run,
};
use lmbatch_testing::{MemoryProvider, Script, TestClock, TestRng};

const ASKED: [(&str, &str); 2] = [("a", "one"), ("b", "two")];

struct World {
    provider: Arc<MemoryProvider>,
    clock: Arc<TestClock>,
    ledger: Arc<MemoryLedger>,
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let clock = Arc::new(TestClock::default());
        Self {
            provider: Arc::new(MemoryProvider::new(clock.clone(), Script::default())),
            clock,
            ledger: Arc::new(MemoryLedger::default()),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn invoker(&self) -> LMInvoker {
        let spool = Arc::new(FolderSpool::new(self.folder.path()));
        LMInvoker::shared(self.provider.clone(), "m")
            .clock(self.clock.clone())
            .rng(Arc::new(TestRng::new(7)))
            .record(self.ledger.clone(), spool)
    }

    fn engine(&self) -> Engine {
        let spool = Arc::new(FolderSpool::new(self.folder.path()));
        Engine::new(self.provider.clone())
            .with_clock(self.clock.clone())
            .with_record(self.ledger.clone(), spool)
    }

    async fn run(&self) -> RunRecord {
        let runs = self.ledger.all_runs(RunFilter::default()).await.unwrap();
        runs.into_iter().next().expect("a run")
    }

    async fn delete(&self, run: &RunRecord) {
        let files = files_of_run(self.folder.path(), run).unwrap();
        let deleted = delete_answers(&*self.ledger, run, &files, self.clock.now()).await;
        let deleted = deleted.unwrap();
        // A body, a segment and its locations.
        assert_eq!(deleted.files, 3);
        assert!(deleted.bytes > 0);
    }
}

/// Checks the error of a call that needs the answers.
fn is_deleted<T>(called: Result<T, Error>, what: &str) {
    let error = called.err().expect(what);
    assert_eq!(error.kind(), ErrorKind::Local, "{what}: {error}");
    let message = error.message().unwrap_or_default();
    assert!(
        message.contains("were deleted from this machine at"),
        "{what}: {message}"
    );
}

#[tokio::test]
async fn a_run_without_its_answers_is_known_and_sends_nothing() {
    let world = World::new();
    let named = || world.invoker().batch().run("mine").requests(ASKED);
    named().await.unwrap();
    let before = world.run().await;
    world.delete(&before).await;
    let calls = world.provider.calls().len();
    let run = world.run().await;
    assert_eq!(run.answers_deleted_at, Some(world.clock.now()));
    let engine = world.engine();
    // The same requests are still those of the run.
    let query = RunQuery {
        name: Some("mine"),
        digest: &run.digest,
        files: None,
        notes: None,
        on_known: OnKnownRun::Continue,
    };
    let same = engine.same_run(&query).await.unwrap();
    assert_eq!(same, SameRun::Same(run.clone().into()));
    is_deleted(named().await, "the same call");
    is_deleted(engine.resume(&run, RunOptions::default()).await, "resume");
    is_deleted(
        engine.results(&run, RunOptions::default()).await,
        "answered",
    );
    is_deleted(engine.recorded_results(&run).await, "sealed");
    is_deleted(engine.partial_results(&run).await, "partial results");
    is_deleted(engine.audit(&run).await, "audit");
    is_deleted(engine.batch_totals(&run).await, "accounts");
    is_deleted(
        engine.select(&run, &RequestFilter::default()).await,
        "select",
    );
    is_deleted(engine.requeue(&run, &HashSet::from([0])).await, "requeue");
    // A record that was read before the deletion.
    is_deleted(
        engine.requeue(&before, &HashSet::from([0])).await,
        "requeue",
    );
    assert_eq!(world.provider.calls().len(), calls, "nothing was asked");
    assert_eq!(world.provider.accepted(), 1);
    assert_eq!(world.run().await, run);
}

#[tokio::test]
async fn the_record_still_says_what_is_left_at_the_provider() {
    let world = World::new();
    world
        .invoker()
        .batch()
        .run("mine")
        .requests(ASKED)
        .await
        .unwrap();
    let run = world.run().await;
    world.delete(&run).await;
    let run = world.run().await;
    let engine = world.engine();
    assert_eq!(engine.remaining(&run).await.unwrap().batches, 1);
    engine.clean(&run, true).await.unwrap();
    let cleaned = world.run().await;
    assert!(cleaned.cleaned.is_some());
    assert_eq!(cleaned.answers_deleted_at, run.answers_deleted_at);
}

#[tokio::test]
async fn the_record_names_the_requests_of_a_batch_without_its_answers() {
    let world = World::new();
    let named = world.invoker().batch().run("mine").requests(ASKED);
    named.await.unwrap();
    let run = world.run().await;
    world.delete(&run).await;
    let shards = world.ledger.shards(&run.id).await.unwrap();
    let batch = shards[0].state.batch().unwrap().clone();
    let engine = world.engine();
    let handle = engine.recorded_handle(&batch).await.unwrap().unwrap();
    assert_eq!((&handle.batch, &handle.account), (&batch, &run.account));
    let finished = engine.retrieve(&handle).await.unwrap();
    let mut outcomes = engine.outcomes(&finished).unwrap();
    for (id, _) in ASKED {
        let found = outcomes.next().unwrap().unwrap();
        assert_eq!(found.id.as_str(), format!("\"{id}\""));
    }
    assert!(outcomes.next().unwrap().is_none());
    assert_eq!(world.provider.accepted(), 1, "nothing is sent again");
    // The results are read into files of their own, and the record is as it was.
    let deleted = world.run().await;
    assert!(deleted.answers_deleted_at.is_some());
    let left = files_of_run(world.folder.path(), &deleted).unwrap();
    assert!(!left.iter().any(SpooledFile::holds_content));
    let unknown = BatchId::new("batch-of-another");
    assert_eq!(engine.recorded_handle(&unknown).await.unwrap(), None);
    // Without its table of ids, the batch cannot be named.
    for file in left
        .iter()
        .filter(|file| file.path.to_string_lossy().contains(".echo-"))
    {
        file.delete().unwrap();
    }
    let missing = engine.recorded_handle(&batch).await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::Local, "{missing}");
}
