//! A process that dies at any call it makes, before or after the call took effect, and another that goes on:
//! every call to ledger, spool and provider is such a point, by decorators, so that a new call is one too.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use async_trait::async_trait;
use lmbatch_core::{
    AccountId, BatchClass, BatchCodec, BatchId, BatchProvider, BatchSnapshot, Change, ContentView,
    Cursor, Error, ErrorKind, Found, GenerateView, Hyperparameters, Intent, LateAcknowledgement,
    Ledger, ListOptions, MessageView, OutcomeView, Page, RequestView, Result, ResultPart,
    ResultSet, Role, RowStream, RunFilter, RunRecord, Shard, ShardKey, ShardRecord, Spool,
    SpoolFile, SpoolWriter, Staged, Text,
};
use lmbatch_engine::{
    AnswerView, BatchLimit, Engine, Entry, FolderSpool, IdView, MemoryLedger, OnDoubt,
    RequestSource, RunOptions, Sourced,
};
use lmbatch_testing::{MemoryProvider, Script, TestClock, TestRng};

/// Calls that are left before the process dies.
#[derive(Debug)]
struct Fuse {
    left: AtomicI64,
    /// Whether the last call still takes effect.
    after: bool,
    /// Whether the process lives on after a call that failed, as one does whose disk is full for a moment.
    lives: bool,
}

impl Fuse {
    fn is_blown(&self) -> bool {
        self.left.load(Ordering::SeqCst) < 0
    }
    /// Whether the call takes effect, and whether its caller learns of it.
    fn burn(&self) -> (bool, bool) {
        match self.left.fetch_sub(1, Ordering::SeqCst) {
            1.. => (true, true),
            0 => (self.after, false),
            _ => (self.lives, self.lives),
        }
    }

    async fn run<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        let (acts, answers) = self.burn();
        let died = || Error::new(ErrorKind::Internal).with_message("the process died");
        if !acts {
            return Err(died());
        }
        let answer = call.await;
        if answers { answer } else { Err(died()) }
    }

    fn io<T>(&self, call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let (acts, answers) = self.burn();
        if !acts {
            return Err(io::Error::other("the process died"));
        }
        let answer = call()?;
        if answers {
            Ok(answer)
        } else {
            Err(io::Error::other("the process died"))
        }
    }
}

#[derive(Debug)]
struct Dying<T: ?Sized> {
    fuse: Arc<Fuse>,
    inner: Arc<T>,
}

#[async_trait]
impl Ledger for Dying<MemoryLedger> {
    async fn begin(&self, run: &RunRecord, shards: &[ShardRecord]) -> Result<()> {
        self.fuse.run(self.inner.begin(run, shards)).await
    }
    async fn apply(&self, change: &Change<'_>) -> Result<()> {
        self.fuse.run(self.inner.apply(change)).await
    }
    async fn run(&self, id: &str) -> Result<Option<RunRecord>> {
        self.fuse.run(self.inner.run(id)).await
    }
    async fn runs(&self, filter: &RunFilter) -> Result<Page<RunRecord>> {
        self.fuse.run(self.inner.runs(filter)).await
    }
    async fn shards(&self, run: &str) -> Result<Vec<ShardRecord>> {
        self.fuse.run(self.inner.shards(run)).await
    }
    async fn known(&self, account: &AccountId, batches: &[BatchId]) -> Result<HashSet<BatchId>> {
        self.fuse.run(self.inner.known(account, batches)).await
    }
    async fn acknowledge_late(&self, late: &LateAcknowledgement) -> Result<()> {
        self.fuse.run(self.inner.acknowledge_late(late)).await
    }
    async fn late_acknowledgements(&self, key: &ShardKey) -> Result<Vec<LateAcknowledgement>> {
        self.fuse.run(self.inner.late_acknowledgements(key)).await
    }
    async fn forget(&self, run: &str) -> Result<()> {
        self.fuse.run(self.inner.forget(run)).await
    }
}

#[async_trait]
impl BatchProvider for Dying<MemoryProvider> {
    fn codec(&self) -> &dyn BatchCodec {
        self.inner.codec()
    }
    fn account(&self) -> AccountId {
        self.inner.account()
    }
    async fn stage(&self, shard: &Shard, prior: Option<Staged>) -> Result<Staged> {
        self.fuse.run(self.inner.stage(shard, prior)).await
    }
    async fn create(&self, shard: &Shard, intent: &Intent) -> Result<BatchId> {
        self.fuse.run(self.inner.create(shard, intent)).await
    }
    async fn find(&self, intent: &Intent, page: Option<Cursor>) -> Result<Found> {
        self.fuse.run(self.inner.find(intent, page)).await
    }
    async fn status(&self, batch: &BatchId) -> Result<BatchSnapshot> {
        self.fuse.run(self.inner.status(batch)).await
    }
    async fn results(&self, class: Option<&BatchClass>, batch: &BatchId) -> Result<ResultSet> {
        self.fuse.run(self.inner.results(class, batch)).await
    }
    async fn read(&self, part: &ResultPart, from: u64) -> Result<RowStream> {
        self.fuse.run(self.inner.read(part, from)).await
    }
    async fn list(&self, options: &ListOptions) -> Result<Page<BatchSnapshot>> {
        self.fuse.run(self.inner.list(options)).await
    }
}

impl Spool for Dying<FolderSpool> {
    fn create(&self, name: &str) -> io::Result<Box<dyn SpoolWriter>> {
        let inner = self.fuse.io(|| self.inner.create(name))?;
        Ok(Box::new(DyingWriter {
            fuse: Arc::clone(&self.fuse),
            inner,
        }))
    }
    fn open(&self, name: &str) -> io::Result<Arc<dyn SpoolFile>> {
        self.fuse.io(|| self.inner.open(name))
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.fuse.io(|| self.inner.remove(name))
    }
    fn scratch(&self) -> io::Result<Arc<dyn SpoolFile>> {
        self.fuse.io(|| self.inner.scratch())
    }
}

struct DyingWriter {
    fuse: Arc<Fuse>,
    inner: Box<dyn SpoolWriter>,
}

impl io::Write for DyingWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.fuse.io(|| self.inner.write(bytes))
    }
    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl SpoolWriter for DyingWriter {
    fn sync(&mut self) -> io::Result<()> {
        self.fuse.io(|| self.inner.sync())
    }
}

const REQUESTS: usize = 5;

struct Source(usize);

impl RequestSource for Source {
    fn next(&mut self, visit: &mut dyn FnMut(Sourced<'_>)) -> Result<bool> {
        if self.0 == REQUESTS {
            return Ok(false);
        }
        self.0 += 1;
        let id = format!("id/{}", self.0);
        let words = format!("words {}", self.0);
        let contents = vec![ContentView::Text(Text::Plain(&words))];
        let view = GenerateView {
            model: "m".into(),
            system: None,
            messages: vec![MessageView {
                role: Role::User,
                contents,
            }],
            tools: &[],
            tool_choice: None,
            schema: None,
            thinking: None,
            hyperparameters: Cow::Owned(Hyperparameters::default()),
        };
        let entry = Entry {
            id: IdView::Text(Text::Plain(&id)),
            request: RequestView::Generate(view),
            metadata: None,
            schema: None,
            folder: None,
        };
        visit(Sourced {
            place: self.0 as u64,
            entry: Ok(entry),
        });
        Ok(true)
    }
}

/// What outlives a process.
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

    /// A process that lives so many calls.
    fn process(&self, fuse: &Arc<Fuse>, seed: u64) -> Engine {
        self.connected(fuse, fuse, seed)
    }

    /// The same with a provider that fails apart from the disk.
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

fn fuse(calls: i64, after: bool) -> Arc<Fuse> {
    Arc::new(Fuse {
        left: AtomicI64::new(calls),
        after,
        lives: false,
    })
}

async fn first_life(engine: &Engine) -> Result<()> {
    let plan = engine
        .plan(Box::new(Source(0)))
        .await
        .map_err(Error::from)?;
    let run = engine.begin(&plan, None, BTreeMap::new()).await?;
    engine
        .start(run, plan, RunOptions::default())
        .await
        .map(drop)
}

#[tokio::test]
async fn a_process_may_die_at_any_call_and_nothing_is_lost_or_paid_twice() {
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
            // A second process finds what the first left.
            let engine = world.process(&fuse(i64::MAX, false), 8);
            let runs = world.ledger.all_runs(RunFilter::default()).await.unwrap();
            let Some(run) = runs.first() else {
                assert_eq!(
                    world.provider.accepted(),
                    0,
                    "what is not noted is not sent"
                );
                continue;
            };
            let mut finished = engine.resume(run, RunOptions::default()).await;
            if let Err(error) = &finished {
                // The create may never have left: nobody can know but by looking.
                assert_eq!(error.kind(), ErrorKind::Doubt, "{error}");
                held += 1;
                let told = engine.with_on_doubt(OnDoubt::Resubmit);
                finished = told.resume(run, RunOptions::default()).await;
            }
            let finished = finished.unwrap();
            assert_eq!(
                world.provider.accepted(),
                3,
                "{calls} calls, after: {after}"
            );
            let engine = world.process(&fuse(i64::MAX, false), 9);
            let mut reader = engine.outcomes(&finished).unwrap();
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
    }
    assert!(deaths > 100, "{deaths}");
    // Only where it died between the first note, in the ledger, and the create: three batches, of which two
    // are created at once, before and after each of four calls.
    assert!((1..=72).contains(&held), "{held}");
}

#[tokio::test]
async fn a_run_that_died_twice_and_more_is_still_paid_for_once() {
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

/// A disk that is full, or fails, once at any write, sync or note: the process says so and ends, and never
/// creates what it could not note.
#[tokio::test]
async fn a_disk_may_fail_at_any_write_and_nothing_is_lost_or_paid_twice() {
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
                let told = engine.with_on_doubt(OnDoubt::Resubmit);
                finished = told.resume(run, RunOptions::default()).await;
            }
            assert_eq!(finished.unwrap().requests(), REQUESTS as u64);
            assert_eq!(world.provider.accepted(), 3, "{calls} calls, {after}");
        }
    }
    assert!(failures > 80, "{failures}");
}
