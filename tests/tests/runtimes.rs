//! The library in runtimes of every kind: a call outside of a Tokio runtime, or in one without timers or I/O, is an
//! error that says what is missing, and never a panic.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::{BTreeMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::Duration;

use futures::executor::block_on;
use futures::future::{BoxFuture, FutureExt as _};
use futures::{StreamExt as _, TryStreamExt as _};
use lmbatch::durable::{Durable as _, SqliteLedger, StateFolder};
use lmbatch::engine::{
    OnKnownRun, OrphanSearch, Plan, RequestFilter, RunOptions, RunQuery, delete_run, ended_before,
    unowned_files,
};
use lmbatch::record::{RunFilter, RunRecord};
use lmbatch::{BatchHandle, BatchOperations, Engine, ErrorKind, LMInvoker, Prepared, Progress};
use lmbatch_emulator::{Emulator, Pace};
use lmbatch_testing::TestRequests;
use lmbatch_tests::SUBJECTS;
use tokio::runtime::{Builder, Runtime};

const ASKED: [(&str, &str); 2] = [("a", "one"), ("b", "two")];

/// A state folder with a run that has ended, and a batch that has ended, at an emulator.
#[derive(Clone)]
struct World {
    folder: PathBuf,
    invoker: LMInvoker,
    engine: Engine,
    batch: BatchOperations,
    handle: BatchHandle,
    prepared: Prepared,
    run: RunRecord,
}

impl World {
    async fn new(emulator: &Emulator, folder: PathBuf) -> Self {
        let invoker = SUBJECTS[0]
            .invoker(emulator)
            .durable(&folder)
            .await
            .unwrap();
        let batch = invoker.batch();
        let engine = invoker.engine().clone();
        batch.run("known").requests(ASKED).await.unwrap();
        let run = engine.ledger().run_named("known").await.unwrap().unwrap();
        Self {
            handle: batch.create(ASKED).await.unwrap(),
            prepared: batch.create(ASKED).prepare().await.unwrap(),
            folder,
            invoker,
            engine,
            batch,
            run,
        }
    }

    async fn plan(&self) -> lmbatch::Result<Plan> {
        let requests = TestRequests::new(ASKED).model("gpt-5-mini");
        Ok(self.engine.plan(Box::new(requests)).await?)
    }

    fn state(&self) -> StateFolder {
        StateFolder::write(&self.folder).unwrap()
    }
}

type Call = fn(World) -> BoxFuture<'static, lmbatch::Result<()>>;

/// Makes a table of calls, each with its name.
macro_rules! calls {
    ($($name:literal: |$world:ident| $call:expr,)*) => {
        vec![$(($name, (|$world: World| async move { $call.await.map(drop) }.boxed()) as Call)),*]
    };
}

/// Public methods that are awaited, from the facade down to the provider.
fn calls() -> Vec<(&'static str, Call)> {
    calls! {
        "LMInvoker::durable": |w| w.invoker.durable(w.folder),
        "Engine::durable": |w| w.engine.durable(w.folder),
        "StateFolder::ledger": |w| w.state().ledger(),
        "StateFolder::rebuilt_ledger": |w| w.state().rebuilt_ledger(),
        "SqliteLedger::open": |w| SqliteLedger::open(&w.folder.join("ledger.db")),
        "create": |w| w.batch.create(ASKED),
        "create_as": |w| w.batch.create_as::<String>(ASKED),
        "prepare": |w| w.batch.create(ASKED).prepare(),
        "find_or_create": |w| w.batch.create(ASKED).find_or_create(w.prepared),
        "status": |w| w.batch.status(&w.handle),
        "wait": |w| w.batch.wait(&w.handle),
        "wait_as": |w| w.batch.wait_as::<String>(&w.handle),
        "retrieve": |w| w.batch.retrieve(&w.handle),
        "retrieve_as": |w| w.batch.retrieve_as::<String>(&w.handle),
        "retrieve_stream": |w| w.batch.retrieve_stream(&w.handle),
        "retrieve_rows": |w| w.batch.retrieve_rows(&w.handle),
        "retrieve_rows_as": |w| w.batch.retrieve_rows_as(&w.handle, ["x"]),
        "list": |w| w.batch.list(),
        "list as a stream": |w| w.batch.list().stream().try_collect::<Vec<_>>(),
        "cancel": |w| w.batch.cancel(&w.handle),
        "cancel_run": |w| w.batch.cancel_run("known"),
        "invoke": |w| w.batch.invoke(ASKED).timeout(Duration::from_secs(60)),
        "invoke under a name": |w| w.batch.invoke(ASKED).named("known"),
        "invoke_as": |w| w.batch.invoke_as::<String>(ASKED),
        "run": |w| w.batch.run("known").requests(ASKED),
        "run of a stream": |w| w.batch.run("known").requests(futures::stream::iter(ASKED)),
        "run without requests": |w| w.batch.run("known"),
        "progress": |w| {
            let progress = w.batch.invoke(ASKED).progress();
            progress.try_filter(|item| std::future::ready(matches!(item, Progress::Finished(_)))).try_collect::<Vec<_>>()
        },
        "Engine::run": |w| async { w.engine.run(w.plan().await?, RunOptions::default()).await },
        "Engine::begin": |w| async { w.engine.begin(&w.plan().await?, None, BTreeMap::new()).await },
        "Engine::start": |w| async { w.engine.start(w.run.clone(), w.plan().await?, RunOptions::default()).await },
        "Engine::resume": |w| w.engine.resume(&w.run, RunOptions::default()),
        "Engine::recorded_results": |w| w.engine.recorded_results(&w.run),
        "Engine::results": |w| w.engine.results(&w.run, RunOptions::default()),
        "Engine::partial_results": |w| w.engine.partial_results(&w.run),
        "Engine::requeue": |w| async { w.engine.requeue(&w.run, &HashSet::new()).await },
        "Engine::requeue_as": |w| async { w.engine.requeue_as(&w.run, &HashSet::new(), &w.plan().await?).await },
        "Engine::repair": |w| async { w.engine.repair(&w.run, &HashSet::new()).await },
        "Engine::update": |w| async { w.engine.update(&w.run, &w.plan().await?).await },
        "Engine::changes": |w| async { w.engine.changes(&w.run, &w.plan().await?).await },
        "Engine::annotate": |w| w.engine.annotate(&w.run, BTreeMap::new()),
        "Engine::cancel_run": |w| w.engine.cancel_run(&w.run),
        "Engine::claim": |w| w.engine.claim(&w.run.id),
        "Engine::claim_begin": |w| w.engine.claim_begin(),
        "Engine::follow": |w| w.engine.follow(&w.run.id, None),
        "Engine::status": |w| w.engine.status(&w.handle.batch),
        "Engine::retrieve": |w| w.engine.retrieve(&w.handle),
        "Engine::retrieve_rows": |w| w.engine.retrieve_rows(&w.handle.batch, Vec::new()),
        "Engine::list": |w| w.engine.list(None).try_collect::<Vec<_>>(),
        "Engine::cancel": |w| w.engine.cancel(&w.handle.batch),
        "Engine::create_batch": |w| async { w.engine.create_batch(w.plan().await?).await },
        "Engine::remaining": |w| w.engine.remaining(&w.run),
        "Engine::clean": |w| w.engine.clean(&w.run, false),
        "Engine::same_run": |w| async {
            let query = RunQuery {
                name: Some("known"),
                digest: "0",
                files: None,
                notes: None,
                on_known: OnKnownRun::Continue,
            };
            w.engine.same_run(&query).await
        },
        "Engine::select": |w| async { w.engine.select(&w.run, &RequestFilter::default()).await },
        "Engine::orphans": |w| w.engine.orphans(OrphanSearch { min_upload_age: Duration::ZERO, max_rows_read: 1 }),
        "Engine::end_refused": |w| w.engine.end_refused(&w.run.id),
        "Engine::batch_totals": |w| w.engine.batch_totals(&w.run),
        "Engine::audit": |w| w.engine.audit(&w.run),
        "Engine::run_of_nonce": |w| w.engine.run_of_nonce(&w.run.nonce),
        "Engine::known_batches": |w| async { w.engine.known_batches(std::slice::from_ref(&w.handle.batch)).await },
        "Engine::origin": |w| w.engine.origin(&w.handle.batch),
        "Engine::inventory": |w| w.engine.inventory(),
        "Engine::labelled": |w| w.engine.labelled(),
        "Engine::uploaded": |w| w.engine.uploaded(),
        "Engine::adopt": |w| async { w.engine.adopt(&w.plan().await?, BTreeMap::new(), false).await },
        "Engine::adopt_batches": |w| async {
            let batches = [w.handle.batch.clone()];
            w.engine.adopt_batches(&w.plan().await?, &batches, None, BTreeMap::new(), false).await
        },
        "Ledger::all_runs": |w| w.engine.ledger().all_runs(RunFilter::default()),
        "Ledger::run": |w| w.engine.ledger().run(&w.run.id),
        "Ledger::shards": |w| w.engine.ledger().shards(&w.run.id),
        "Ledger::revision": |w| w.engine.ledger().revision(),
        "Ledger::change": |w| w.engine.ledger().change(&w.run, &[]),
        "Ledger::begin": |w| w.engine.ledger().begin(&w.run, &[]),
        "Ledger::delete": |w| w.engine.ledger().delete("r-unknown"),
        "ended_before": |w| async { ended_before(&**w.engine.ledger(), None).await },
        "unowned_files": |w| async { unowned_files(&**w.engine.ledger(), &w.state().spool(), &Default::default()).await },
        "delete_run": |w| async {
            let mut unknown = w.run.clone();
            unknown.id = "r-unknown".into();
            delete_run(&**w.engine.ledger(), &unknown, &[]).await
        },
        "BatchProvider::probe": |w| w.engine.provider().probe("gpt-5-mini"),
        "BatchProvider::status": |w| w.engine.provider().status(&w.handle.batch),
        "BatchProvider::list": |w| async { w.engine.provider().list(&Default::default()).await },
        "BatchProvider::cancel": |w| w.engine.provider().cancel(&w.handle.batch),
        "BatchProvider::results": |w| w.engine.provider().results(None, &w.handle.batch),
        "BatchProvider::uploads": |w| w.engine.provider().uploads(None),
    }
}

/// Runs a future to its end, in a runtime or without one.
type Setting<'a> = &'a dyn Fn(BoxFuture<'static, lmbatch::Result<()>>) -> lmbatch::Result<()>;

fn current_thread(build: fn(&mut Builder) -> &mut Builder) -> Runtime {
    build(&mut Builder::new_current_thread()).build().unwrap()
}

#[test]
fn a_call_without_a_whole_runtime_is_an_error_that_says_what_is_missing() {
    let outer = Runtime::new().unwrap();
    let emulator = Emulator::builder().pace(Pace::INSTANT).seed(7).start();
    let emulator = outer.block_on(emulator).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let world = outer.block_on(World::new(&emulator, folder.path().join("state")));
    let (bare, timeless, whole) = (
        current_thread(|builder| builder),
        current_thread(Builder::enable_io),
        current_thread(Builder::enable_all),
    );
    let silent = current_thread(Builder::enable_time);
    let settings: [(&str, Setting<'_>, Option<&str>); 5] = [
        (
            "no runtime",
            &|call| block_on(call),
            Some("outside of a Tokio runtime"),
        ),
        (
            "nothing",
            &|call| bare.block_on(call),
            Some("runtime without timers"),
        ),
        (
            "no timers",
            &|call| timeless.block_on(call),
            Some("runtime without timers"),
        ),
        (
            "no I/O",
            &|call| silent.block_on(call),
            Some("runtime without I/O"),
        ),
        ("everything", &|call| whole.block_on(call), None),
    ];
    let before = emulator.bill().creates;
    for (setting, run, missing) in settings {
        for (name, call) in calls() {
            let call = call(world.clone());
            let ended = catch_unwind(AssertUnwindSafe(|| run(call)));
            let ended = ended.unwrap_or_else(|_| panic!("{name} panics with {setting}"));
            let message = ended.as_ref().err().map(ToString::to_string);
            match missing {
                Some(words) => {
                    let error = ended.unwrap_err();
                    assert_eq!(
                        error.kind(),
                        ErrorKind::Unsupported,
                        "{name} with {setting}: {error}"
                    );
                    assert!(
                        error.to_string().contains(words),
                        "{name} with {setting}: {error}"
                    );
                }
                None => {
                    let message = message.unwrap_or_default();
                    assert!(
                        !message.contains("Tokio"),
                        "{name} with {setting}: {message}"
                    );
                }
            }
        }
        if missing.is_some() {
            assert_eq!(emulator.bill().creates, before, "with {setting}");
        }
    }
    assert!(emulator.bill().creates > before);
}

/// Outcomes that were fetched are read without a runtime, since only files are needed.
#[test]
fn outcomes_are_read_without_a_runtime() {
    let outer = Runtime::new().unwrap();
    let emulator = Emulator::builder().pace(Pace::INSTANT).seed(7).start();
    let emulator = outer.block_on(emulator).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let world = outer.block_on(World::new(&emulator, folder.path().join("state")));
    let output = outer
        .block_on(world.batch.run("known").into_future())
        .unwrap();
    let outcomes = block_on(output.outcomes().unwrap().collect::<Vec<_>>());
    assert_eq!(outcomes.len(), ASKED.len());
}

/// A call of the engine that does not check its runtime would panic somewhere below.
#[test]
fn every_call_of_the_engine_checks_its_runtime() {
    let source = include_str!("../../crates/engine/src/engine.rs");
    let methods = source.split("    pub async fn ").skip(1);
    let unchecked: Vec<&str> = methods
        .filter(|method| {
            !method
                .split("\n    }\n")
                .next()
                .unwrap()
                .contains("self.ready()?")
        })
        .map(|method| method.split(['(', '<']).next().unwrap())
        .collect();
    // Planning calls the ledger, which checks, and `recognise` reports the errors of the provider.
    assert_eq!(
        unchecked,
        ["plan", "plan_each", "plan_with_nonce", "recognise"]
    );
}
