//! A process that dies at any of its calls, before or after the call takes effect, and another that
//! resumes its run. Decorators make every call to ledger, spool and provider such a point, so that
//! a new call is one too.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use crate::dying::{Dying, Fuse, fuse};
use lmbatch_core::{Error, ErrorKind, Ledger as _, OutcomeView, Result, RunFilter};
use lmbatch_engine::{
    AnswerView, BatchLimit, Engine, FolderSpool, MemoryLedger, OnDoubt, OnKnownRun, RunOptions,
    RunQuery, RunResults, SameRun,
};
use lmbatch_testing::{MemoryProvider, Script, TestClock, TestRequests, TestRng};

const REQUESTS: usize = 5;

/// State that outlives a process.
struct World {
    provider: Arc<MemoryProvider>,
    clock: Arc<TestClock>,
    ledger: Arc<MemoryLedger>,
    spool: Arc<FolderSpool>,
    _folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let clock = Arc::new(TestClock::default());
        let folder = tempfile::tempdir().unwrap();
        Self {
            provider: Arc::new(MemoryProvider::new(clock.clone(), Script::default())),
            clock,
            ledger: Arc::new(MemoryLedger::default()),
            spool: Arc::new(FolderSpool::new(folder.path())),
            _folder: folder,
        }
    }

    /// Returns a process that dies after as many calls as the fuse allows.
    fn process(&self, fuse: &Arc<Fuse>, seed: u64) -> Engine {
        self.connected(fuse, fuse, seed)
    }

    /// Returns a process whose provider fails independently of its disk.
    fn connected(&self, fuse: &Arc<Fuse>, network: &Arc<Fuse>, seed: u64) -> Engine {
        let provider = Dying {
            fuse: Arc::clone(network),
            inner: Arc::clone(&self.provider),
        };
        let ledger = Dying {
            fuse: Arc::clone(fuse),
            inner: Arc::clone(&self.ledger),
        };
        let spool = Dying {
            fuse: Arc::clone(fuse),
            inner: Arc::clone(&self.spool),
        };
        Engine::new(Arc::new(provider))
            .with_record(Arc::new(ledger), Arc::new(spool))
            .with_clock(self.clock.clone())
            .with_rng(Arc::new(TestRng::new(seed)))
            .with_batch_limit(BatchLimit {
                max_tokens: None,
                max_requests: Some(2),
                max_bytes: None,
            })
    }
}

fn source() -> Box<TestRequests> {
    let requests = (1..=REQUESTS).map(|n| (format!("id/{n}"), format!("words {n}")));
    Box::new(TestRequests::new(requests))
}

async fn first_life(engine: &Engine) -> Result<()> {
    let plan = engine.plan(source()).await.map_err(Error::from)?;
    let run = engine.begin(&plan, None, BTreeMap::new()).await?;
    engine
        .start(run, plan, RunOptions::default())
        .await
        .map(drop)
}

/// Asserts that every request has an answer, in the order of the input.
fn expect_answers(engine: &Engine, finished: &RunResults) {
    let mut reader = engine.outcomes(finished).unwrap();
    let mut seen = 0;
    while let Some(answered) = reader.next().unwrap() {
        seen += 1;
        assert_eq!(answered.id.as_str(), format!("\"id/{seen}\""));
        let AnswerView::Row {
            outcome: OutcomeView::Succeeded(output),
            ..
        } = answered.answer
        else {
            panic!("{:?}", answered.answer);
        };
        assert_eq!(output.items.len(), 1);
    }
    assert_eq!(seen, REQUESTS);
}

#[tokio::test]
async fn a_process_that_dies_at_any_call_loses_nothing_and_pays_for_nothing_twice() {
    let (mut deaths, mut held) = (0, 0);
    for after in [false, true] {
        for calls in 0.. {
            let (world, fuse_1) = (World::new(), fuse(calls, after));
            let lived = first_life(&world.process(&fuse_1, 7)).await;
            if !fuse_1.is_blown() {
                lived.unwrap();
                break;
            }
            deaths += 1;
            // A second process finds what the first one left.
            let engine = world.process(&fuse(i64::MAX, false), 8);
            let runs = world.ledger.all_runs(RunFilter::default()).await.unwrap();
            let Some(run) = runs.first() else {
                assert_eq!(
                    world.provider.accepted(),
                    0,
                    "nothing is sent before it is recorded"
                );
                continue;
            };
            let mut finished = engine.resume(run, RunOptions::default()).await;
            if let Err(error) = &finished {
                // The create may never have been sent: only a search at the provider can tell.
                assert_eq!(error.kind(), ErrorKind::Doubt, "{error}");
                held += 1;
                let resubmitting = engine.with_on_doubt(OnDoubt::Resubmit);
                finished = resubmitting.resume(run, RunOptions::default()).await;
            }
            let finished = finished.unwrap();
            assert_eq!(
                world.provider.accepted(),
                3,
                "{calls} calls, after: {after}"
            );
            let engine = world.process(&fuse(i64::MAX, false), 9);
            expect_answers(&engine, &finished);
        }
    }
    assert!(deaths > 100, "{deaths}");
    // Only where the process died between the record in the ledger and the create: three batches,
    // two of which are created at once, before and after each of four calls.
    assert!((1..=72).contains(&held), "{held}");
}

#[tokio::test]
async fn a_run_that_dies_several_times_is_paid_for_once() {
    for first in (0..120).step_by(3) {
        let world = World::new();
        let _ = first_life(&world.process(&fuse(first, true), 7)).await;
        let Some(run) = world
            .ledger
            .all_runs(RunFilter::default())
            .await
            .unwrap()
            .first()
            .cloned()
        else {
            continue;
        };
        let mut done = false;
        for life in 0..400 {
            let engine = world
                .process(&fuse(5 + life, life % 2 == 0), 8)
                .with_on_doubt(OnDoubt::Hold);
            match engine.resume(&run, RunOptions::default()).await {
                Ok(_) => {
                    done = true;
                    break;
                }
                Err(error) if error.kind() == ErrorKind::Doubt => {
                    done = true;
                    break;
                }
                Err(_) => {}
            }
        }
        assert!(done, "{first}");
        assert!(world.provider.accepted() <= 3, "{first}");
    }
}

/// A disk that is full, or fails, once at any write, sync or record: the process reports it and
/// ends, and never creates what it could not record.
#[tokio::test]
async fn a_disk_that_fails_at_any_write_loses_nothing_and_pays_for_nothing_twice() {
    let mut failures = 0;
    for after in [false, true] {
        for calls in 0.. {
            let world = World::new();
            let disk = Arc::new(Fuse {
                left: AtomicI64::new(calls),
                after,
                lives: true,
            });
            let network = fuse(i64::MAX, false);
            let lived = first_life(&world.connected(&disk, &network, 7)).await;
            if !disk.is_blown() {
                lived.unwrap();
                break;
            }
            failures += 1;
            let noted = world.ledger.all_runs(RunFilter::default()).await.unwrap();
            let Some(run) = noted.first() else {
                assert!(lived.is_err());
                assert_eq!(world.provider.accepted(), 0);
                continue;
            };
            let engine = world.process(&fuse(i64::MAX, false), 8);
            let mut finished = engine.resume(run, RunOptions::default()).await;
            if finished.is_err() {
                let resubmitting = engine.with_on_doubt(OnDoubt::Resubmit);
                finished = resubmitting.resume(run, RunOptions::default()).await;
            }
            assert_eq!(finished.unwrap().requests(), REQUESTS as u64);
            assert_eq!(world.provider.accepted(), 3, "{calls} calls, {after}");
        }
    }
    assert!(failures > 80, "{failures}");
}

/// Number of requests of a pilot, which fit into one batch; the others need two.
const PILOT: u32 = 2;

/// Sends a pilot and then the other requests, continuing from what is recorded, as a command does that is repeated.
async fn piloted(engine: &Engine) -> Result<RunResults> {
    let plan = engine.plan(source()).await.map_err(Error::from)?;
    let query = RunQuery {
        name: None,
        digest: plan.digest(),
        files: None,
        notes: None,
        on_known: OnKnownRun::Continue,
    };
    let options = RunOptions::default();
    let run = match engine.same_run(&query).await? {
        SameRun::New { .. } => {
            let pilot = engine.pilot(&plan, PILOT).await?;
            let run = engine.begin(&pilot, None, BTreeMap::new()).await?;
            engine.start(run.clone(), pilot, options).await?;
            run
        }
        SameRun::Pilot(run) => {
            engine.resume(&run, options).await?;
            *run
        }
        SameRun::Same(run) => return engine.resume(&run, options).await,
        other => panic!("{other:?}"),
    };
    let (run, changes) = engine.update(&run, &plan).await?;
    assert_eq!(
        (changes.unchanged, changes.new),
        (u64::from(PILOT), REQUESTS as u64 - u64::from(PILOT))
    );
    engine.resume(&run, options).await
}

#[tokio::test]
async fn a_pilot_that_dies_at_any_call_is_continued_and_nothing_is_paid_for_twice() {
    let mut deaths = 0;
    for after in [false, true] {
        for calls in 0.. {
            let (world, fuse_1) = (World::new(), fuse(calls, after));
            let lived = piloted(&world.process(&fuse_1, 7)).await;
            let finished = match fuse_1.is_blown() {
                false => lived.unwrap(),
                true => {
                    deaths += 1;
                    let engine = world.process(&fuse(i64::MAX, false), 8);
                    match piloted(&engine).await {
                        Err(error) => {
                            assert_eq!(error.kind(), ErrorKind::Doubt, "{calls}: {error}");
                            let resubmitting = engine.with_on_doubt(OnDoubt::Resubmit);
                            piloted(&resubmitting).await.unwrap()
                        }
                        finished => finished.unwrap(),
                    }
                }
            };
            let runs = world.ledger.all_runs(RunFilter::default()).await.unwrap();
            assert_eq!(runs.len(), 1, "{calls} calls, after: {after}");
            assert_eq!(
                (runs[0].pilot_of, runs[0].requests),
                (None, REQUESTS as u32)
            );
            assert_eq!(
                world.provider.accepted(),
                3,
                "{calls} calls, after: {after}"
            );
            // The files of the first process have no call left.
            if !fuse_1.is_blown() {
                break;
            }
            let engine = world.process(&fuse(i64::MAX, false), 9);
            expect_answers(&engine, &finished);
        }
    }
    assert!(deaths > 200, "{deaths}");
}
