//! Ledgers that were rolled back, copies of ledgers, and creates that were sent twice: what the
//! engine finds again, and what it reports.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use futures::stream;
use lmbatch_core::{
    Delivery, Error, ErrorKind, Ledger as _, Request, Retry, RunFilter, RunRecord, ShardRecord,
};
use lmbatch_engine::{
    BatchLimit, DoubtPolicy, Engine, Event, FolderSpool, LMInvoker, MemoryLedger, OnDoubt,
    RunOptions,
};
use lmbatch_testing::{MemoryProvider, Script, TestClock, TestRng};

use super::world::read;

/// Provider, with the state that any number of its ledgers share.
struct World {
    provider: Arc<MemoryProvider>,
    clock: Arc<TestClock>,
    warnings: Arc<Mutex<Vec<String>>>,
}

impl World {
    fn new(script: Script) -> Self {
        let clock = Arc::new(TestClock::default());
        Self {
            provider: Arc::new(MemoryProvider::new(clock.clone(), script)),
            clock,
            warnings: Arc::default(),
        }
    }

    fn invoker(&self, ledger: &Arc<MemoryLedger>, spool: &Path) -> LMInvoker {
        let warnings = Arc::clone(&self.warnings);
        LMInvoker::shared(self.provider.clone(), "m")
            .clock(self.clock.clone())
            .rng(Arc::new(TestRng::new(7)))
            .record(ledger.clone(), Arc::new(FolderSpool::new(spool)))
            .batch_limit(BatchLimit {
                max_requests: Some(2),
                ..BatchLimit::default()
            })
            .observe(move |event: &Event<'_>| {
                if let Event::Warning { message } = event {
                    warnings.lock().unwrap().push((*message).to_owned());
                }
            })
    }

    fn has_warned(&self, words: &str) -> bool {
        let warnings = self.warnings.lock().unwrap();
        warnings.iter().any(|warning| warning.contains(words))
    }
}

async fn run(invoker: &LMInvoker) -> lmbatch_core::Result<()> {
    let requests = ["a", "b", "c"].map(|id| Ok::<_, std::io::Error>(Request::new(id, id)));
    let run = invoker.batch().run("mine");
    run.requests(stream::iter(requests)).await.map(drop)
}

/// Returns a ledger as it was when the run began, before anything was sent.
async fn rolled_back(ledger: &MemoryLedger) -> (Arc<MemoryLedger>, RunRecord) {
    let run = ledger
        .all_runs(RunFilter::default())
        .await
        .unwrap()
        .remove(0);
    let run = RunRecord {
        finished: false,
        epoch: 0,
        ..run
    };
    let shards = ledger.shards(&run.id).await.unwrap().into_iter();
    let shards: Vec<ShardRecord> = shards
        .map(|shard| ShardRecord {
            state: lmbatch_core::ShardState::Planned,
            epoch: 0,
            proof: None,
            doubted: None,
            remote_objects: Vec::new(),
            ..shard
        })
        .collect();
    let old = Arc::new(MemoryLedger::default());
    old.begin(&run, &shards).await.unwrap();
    (old, run)
}

fn lost() -> Error {
    Error::new(ErrorKind::Connection)
        .with_retry(Retry::Temporary)
        .with_delivery(Delivery::Unknown)
}

/// Resumes a run and returns its outcomes. Each prompt is its id.
async fn resumed(engine: &Engine, run: &RunRecord) -> Vec<String> {
    let finished = engine.resume(run, RunOptions::default()).await.unwrap();
    read(engine, &finished)
}

const ANSWERED: [&str; 3] = ["a: a", "b: b", "c: c"];

/// Neither the list nor a search shows the batches: only the files beside the ledger name them.
#[tokio::test]
async fn batches_of_a_rolled_back_ledger_are_found_beside_it() {
    let world = World::new(Script {
        blind_looks: u32::MAX,
        blind_lists: u32::MAX,
        ..Script::default()
    });
    let spool = tempfile::tempdir().unwrap();
    let ledger = Arc::new(MemoryLedger::default());
    run(&world.invoker(&ledger, spool.path())).await.unwrap();
    assert_eq!(world.provider.accepted(), 2);
    let (old, run) = rolled_back(&ledger).await;
    let invoker = world.invoker(&old, spool.path());
    assert_eq!(resumed(invoker.engine(), &run).await, ANSWERED);
    assert_eq!(world.provider.accepted(), 2);
    assert!(world.has_warned("the ledger has lost the record of a create"));
}

#[tokio::test]
async fn a_lost_create_of_a_rolled_back_ledger_is_searched_for_before_another_is_sent() {
    let world = World::new(Script {
        accepted_unseen: [lost()].into(),
        blind_looks: 1,
        blind_lists: u32::MAX,
        ..Script::default()
    });
    let spool = tempfile::tempdir().unwrap();
    let ledger = Arc::new(MemoryLedger::default());
    let hasty = |invoker: LMInvoker| {
        invoker.doubt(DoubtPolicy {
            waits: vec![std::time::Duration::ZERO],
        })
    };
    let first = hasty(world.invoker(&ledger, spool.path()));
    assert_eq!(run(&first).await.unwrap_err().kind(), ErrorKind::Doubt);
    // The other shard does not wait for the search, and is not created after it.
    assert!((1..=2).contains(&world.provider.accepted()));
    let (old, run) = rolled_back(&ledger).await;
    let again = hasty(world.invoker(&old, spool.path()));
    assert_eq!(resumed(again.engine(), &run).await, ANSWERED);
    assert_eq!(world.provider.accepted(), 2, "one for each shard");
}

#[tokio::test]
async fn a_create_that_cannot_be_found_again_after_a_rollback_is_held() {
    let world = World::new(Script {
        creates: [Some(lost())].into(),
        ..Script::default()
    });
    let spool = tempfile::tempdir().unwrap();
    let ledger = Arc::new(MemoryLedger::default());
    let error = run(&world.invoker(&ledger, spool.path()))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Doubt);
    let (old, run) = rolled_back(&ledger).await;
    // A damaged entry still shows that a create was sent.
    for damage in [false, true] {
        if damage {
            let name = format!("{}.posting-0", run.nonce.as_str());
            std::fs::write(spool.path().join(name), b"\0\0\0\0").unwrap();
        }
        let (old, run) = rolled_back(&old).await;
        let invoker = world.invoker(&old, spool.path());
        let again = invoker.engine().resume(&run, RunOptions::default()).await;
        let error = again.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Doubt, "{error}");
        assert!(error.label().is_some(), "{error}");
    }
    // One create was sent for each shard in all.
    assert_eq!(world.provider.times("create").len(), 2);
    let resubmit = world
        .invoker(&old, spool.path())
        .on_doubt(OnDoubt::Resubmit);
    assert_eq!(resumed(resubmit.engine(), &run).await, ANSWERED);
}

#[tokio::test]
async fn a_refused_create_leaves_no_entry_beside_the_ledger() {
    let refused = Error::new(ErrorKind::Billing).with_delivery(Delivery::Refused);
    let world = World::new(Script {
        creates: [Some(refused)].into(),
        ..Script::default()
    });
    let spool = tempfile::tempdir().unwrap();
    let ledger = Arc::new(MemoryLedger::default());
    let invoker = world.invoker(&ledger, spool.path());
    run(&invoker).await.unwrap_err();
    let names = std::fs::read_dir(spool.path()).unwrap();
    let names: Vec<String> = names
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    assert!(
        !names.iter().any(|name| name.contains("posting")),
        "{names:?}"
    );
    run(&invoker).await.unwrap();
    assert!(!world.has_warned("the ledger has lost"));
    assert_eq!(world.provider.accepted(), 2);
}

/// A copy of ledger and spool from before the creates, in another folder.
#[tokio::test]
async fn a_copy_of_a_ledger_adopts_the_batches_of_the_original() {
    let world = World::new(Script::default());
    let (original, copied) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let ledger = Arc::new(MemoryLedger::default());
    run(&world.invoker(&ledger, original.path())).await.unwrap();
    for entry in std::fs::read_dir(original.path()).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.contains("posting") && !name.contains("created") && !name.contains("segment") {
            std::fs::copy(entry.path(), copied.path().join(name)).unwrap();
        }
    }
    let (old, run) = rolled_back(&ledger).await;
    let invoker = world.invoker(&old, copied.path());
    assert_eq!(resumed(invoker.engine(), &run).await, ANSWERED);
    assert_eq!(world.provider.accepted(), 2);
    assert!(world.has_warned("already carries the label of this shard"));
}

#[tokio::test]
async fn a_create_that_was_sent_twice_is_reported_with_both_batches() {
    let world = World::new(Script {
        accepted_unseen: [lost()].into(),
        blind_looks: 10,
        // The lists before each create.
        blind_lists: 3,
        fences: true,
        ..Script::default()
    });
    let spool = tempfile::tempdir().unwrap();
    let ledger = Arc::new(MemoryLedger::default());
    let invoker = world.invoker(&ledger, spool.path());
    let engine = invoker.engine();
    let plan = plan(engine).await;
    let run = engine.begin(&plan, None, BTreeMap::new()).await.unwrap();
    let finished = engine
        .start(run, plan, RunOptions::default())
        .await
        .unwrap();
    assert_eq!(world.provider.accepted(), 3);
    let duplicate_batches = finished.duplicate_batches();
    let ids: Vec<(&str, &str)> = duplicate_batches
        .iter()
        .map(|duplicate_batch| {
            let batch = duplicate_batch.batch.as_ref().unwrap();
            (batch.as_str(), duplicate_batch.duplicate.as_str())
        })
        .collect();
    // The other shard was created during the search for the first.
    assert_eq!(ids, [("b3", "b1")]);
    assert!(world.has_warned("b1 carries the same label as b3"));
}

async fn plan(engine: &Engine) -> lmbatch_engine::Plan {
    struct Three(u64);
    impl lmbatch_engine::RequestSource for Three {
        fn next(
            &mut self,
            visit: &mut dyn FnMut(lmbatch_engine::SourcedRequest<'_>),
        ) -> lmbatch_core::Result<bool> {
            use lmbatch_core::{ContentView, GenerateView, MessageView, RequestView, Role, Text};
            if self.0 == 3 {
                return Ok(false);
            }
            self.0 += 1;
            let id = self.0.to_string();
            let view = GenerateView {
                model: "m".into(),
                system: None,
                messages: vec![MessageView {
                    role: Role::User,
                    contents: vec![ContentView::Text(Text::Plain(&id))],
                }],
                tools: &[],
                tool_choice: None,
                schema: None,
                thinking: None,
                hyperparameters: std::borrow::Cow::Owned(lmbatch_core::Hyperparameters::default()),
            };
            visit(lmbatch_engine::SourcedRequest {
                position: self.0,
                entry: Ok(lmbatch_engine::RequestEntry {
                    id: lmbatch_engine::IdView::Text(Text::Plain(&id)),
                    request: RequestView::Generate(view),
                    metadata: None,
                    schema: None,
                    folder: None,
                }),
            });
            Ok(true)
        }
    }
    engine.plan(Box::new(Three(0))).await.unwrap()
}
