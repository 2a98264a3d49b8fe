//! Rotated keys and keys of other accounts: a run continues under the former, and not under the
//! latter.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::{TryStreamExt as _, stream};
use lmbatch_core::{
    AccountId, BatchClass, BatchCodec, BatchHandle, BatchId, BatchProvider, BatchSnapshot,
    BatchStatus, Certainty, Cursor, Delivery, Error, ErrorKind, Found, Intent, KeyHint,
    Ledger as _, ListOptions, Page, RemoteObject, Request, Result, ResultPart, ResultSet, Retry,
    RowStream, RunFilter, RunRecord, Shard, Staged,
};
use lmbatch_engine::{DoubtPolicy, Event, LMInvoker, MemoryLedger, RetryPolicy, RunOptions};
use lmbatch_testing::{MemoryProvider, MemorySpool, Script, TestClock, TestRng};

/// The provider as an account sees it under one key.
#[derive(Debug)]
struct Keyed {
    inner: Arc<MemoryProvider>,
    account: &'static str,
    key: Option<&'static str>,
    former: Option<&'static str>,
    /// True if the batches belong to another account, so that this one sees none of them.
    is_stranger: bool,
}

#[async_trait]
impl BatchProvider for Keyed {
    fn codec(&self) -> &dyn BatchCodec {
        self.inner.codec()
    }
    fn account(&self) -> AccountId {
        self.account.into()
    }
    fn key_hint(&self) -> Option<KeyHint> {
        self.key.map(KeyHint::from)
    }
    fn former_account(&self) -> Option<AccountId> {
        self.former.map(AccountId::from)
    }
    async fn stage(&self, shard: &Shard, prior: Option<Staged>) -> Result<Staged> {
        self.inner.stage(shard, prior).await
    }
    async fn create(&self, shard: &Shard, intent: &Intent) -> Result<BatchId> {
        self.inner.create(shard, intent).await
    }
    async fn find(&self, intent: &Intent, page: Option<Cursor>) -> Result<Found> {
        match self.is_stranger {
            true => Ok(Found::default()),
            false => self.inner.find(intent, page).await,
        }
    }
    async fn status(&self, batch: &BatchId) -> Result<BatchSnapshot> {
        match self.is_stranger {
            true => Err(Error::new(ErrorKind::BatchNotFound)),
            false => self.inner.status(batch).await,
        }
    }
    async fn results(&self, class: Option<&BatchClass>, batch: &BatchId) -> Result<ResultSet> {
        self.inner.results(class, batch).await
    }
    async fn read(&self, part: &ResultPart, from: u64) -> Result<RowStream> {
        self.inner.read(part, from).await
    }
    async fn list(&self, options: &ListOptions) -> Result<Page<BatchSnapshot>> {
        match self.is_stranger {
            true => Ok(Page {
                items: Vec::new(),
                next: None,
            }),
            false => self.inner.list(options).await,
        }
    }
    async fn discard(&self, remote_object: &RemoteObject) -> Result<()> {
        self.inner.discard(remote_object).await
    }
}

/// A ledger, and a provider that can be reached under several keys.
struct World {
    provider: Arc<MemoryProvider>,
    ledger: Arc<MemoryLedger>,
    spool: Arc<MemorySpool>,
    clock: Arc<TestClock>,
    warned: Arc<Mutex<Vec<String>>>,
    /// Number of processes so far: each draws other random numbers.
    processes: AtomicU64,
}

const ACCOUNT: &str = "v2-own";

impl World {
    fn new(script: Script) -> Self {
        let clock = Arc::new(TestClock::default());
        Self {
            provider: Arc::new(MemoryProvider::new(clock.clone(), script)),
            ledger: Arc::default(),
            spool: Arc::default(),
            clock,
            warned: Arc::default(),
            processes: AtomicU64::new(7),
        }
    }

    fn with(&self, account: &'static str, key: &'static str) -> LMInvoker {
        self.of(Keyed {
            inner: Arc::clone(&self.provider),
            account,
            key: Some(key),
            former: Some("f00d"),
            is_stranger: false,
        })
    }

    /// Returns an invoker of another account with the same base URL.
    fn stranger(&self) -> LMInvoker {
        self.of(Keyed {
            inner: Arc::clone(&self.provider),
            account: ACCOUNT,
            key: Some("theirs"),
            former: Some("5a5a"),
            is_stranger: true,
        })
    }

    fn of(&self, keyed: Keyed) -> LMInvoker {
        let warned = Arc::clone(&self.warned);
        LMInvoker::new(keyed, "m")
            .clock(self.clock.clone())
            .rng(Arc::new(TestRng::new(
                self.processes.fetch_add(1, Ordering::Relaxed),
            )))
            .retries(RetryPolicy {
                max_attempts: 1,
                ..RetryPolicy::default()
            })
            .doubt(DoubtPolicy {
                waits: vec![Duration::ZERO],
            })
            .observe(move |event: &Event<'_>| {
                if let Event::Warning { message } = event {
                    warned.lock().unwrap().push((*message).to_owned());
                }
            })
            .record(self.ledger.clone(), self.spool.clone())
    }

    async fn record(&self) -> RunRecord {
        self.ledger
            .all_runs(RunFilter::default())
            .await
            .unwrap()
            .remove(0)
    }

    /// Replaces account and key of the record, as an earlier version would have written them.
    async fn recorded_as(&self, account: &str, key: Option<&str>) {
        let run = RunRecord {
            account: account.into(),
            key_hint: key.map(KeyHint::from),
            ..self.record().await
        };
        self.ledger.change(&run, &[]).await.unwrap();
    }

    fn warnings(&self) -> usize {
        std::mem::take(&mut *self.warned.lock().unwrap()).len()
    }

    fn accepted(&self) -> usize {
        self.provider.accepted()
    }
}

async fn run(invoker: &LMInvoker) -> Result<Vec<String>> {
    let requests = [Request::new("a", "one"), Request::new("b", "two")];
    let requests = stream::iter(requests.map(Ok::<_, std::io::Error>));
    let run = invoker.batch().run("mine").requests(requests);
    let output = run.timeout(Duration::from_secs(3_600)).await?;
    let outcomes: Vec<_> = output.outcomes()?.try_collect().await?;
    let texts = outcomes.iter().map(|(_, outcome)| outcome.as_result());
    Ok(texts.map(|value| value.unwrap().text()).collect())
}

/// Returns a script whose batch runs longer than the first process waits.
fn slow() -> Script {
    Script {
        statuses: std::iter::repeat_with(|| Ok(BatchStatus::InProgress))
            .take(10)
            .collect(),
        ..Script::default()
    }
}

async fn cut(world: &World, invoker: &LMInvoker) {
    let requests = [Request::new("a", "one"), Request::new("b", "two")];
    let requests = stream::iter(requests.map(Ok::<_, std::io::Error>));
    let run = invoker.batch().run("mine").requests(requests);
    let cut = run.timeout(Duration::from_millis(1)).await.unwrap_err();
    assert_eq!(cut.kind(), ErrorKind::Timeout, "{cut}");
    assert_eq!(world.accepted(), 1);
}

#[tokio::test]
async fn a_run_continues_under_a_rotated_key() {
    let world = World::new(slow());
    cut(&world, &world.with(ACCOUNT, "first")).await;
    assert_eq!(world.record().await.key_hint, Some("first".into()));
    assert_eq!(world.warnings(), 0);
    let rotated = world.with(ACCOUNT, "second");
    assert_eq!(run(&rotated).await.unwrap().len(), 2);
    assert_eq!((world.accepted(), world.warnings()), (1, 1));
    // The key that was used last is recorded and causes no further warning.
    assert_eq!(world.record().await.key_hint, Some("second".into()));
    let chosen = [0].into();
    let record = world.record().await;
    rotated.engine().requeue(&record, &chosen).await.unwrap();
    assert_eq!(run(&rotated).await.unwrap().len(), 2);
    assert_eq!((world.accepted(), world.warnings()), (2, 0));
}

#[tokio::test]
async fn several_keys_of_one_account_are_used_in_turn() {
    let world = World::new(slow());
    cut(&world, &world.with(ACCOUNT, "first")).await;
    assert_eq!(run(&world.with(ACCOUNT, "second")).await.unwrap().len(), 2);
    for (accepted, (requeues, reads)) in (2..).zip([("first", "second"), ("third", "first")]) {
        let record = world.record().await;
        let requeuing = world.with(ACCOUNT, requeues);
        let sent = requeuing.engine().requeue(&record, &[0].into()).await;
        assert_eq!(sent.unwrap(), 1);
        assert_eq!(run(&world.with(ACCOUNT, reads)).await.unwrap().len(), 2);
        let record = world.record().await;
        assert_eq!(record.key_hint, Some(reads.into()));
        assert_eq!(record.account, ACCOUNT);
        assert_eq!(world.accepted(), accepted);
    }
}

/// At a provider without labels, a batch that matches may have been created by another key of
/// the account.
#[tokio::test]
async fn a_batch_created_under_one_key_is_not_taken_for_a_lost_create_under_another() {
    let lost = Error::new(ErrorKind::Connection)
        .with_retry(Retry::Temporary)
        .with_delivery(Delivery::Unknown);
    let looks = || DoubtPolicy {
        waits: vec![Duration::ZERO; 3],
    };
    for (account, ends) in [(ACCOUNT, true), ("v2-other", false)] {
        let world = World::new(Script {
            by_count: true,
            certainty: Some(Certainty::Presumed),
            accepted_unseen: [lost.clone(), lost.clone()].into(),
            ..Script::default()
        });
        let first = world.with(ACCOUNT, "first").doubt(looks());
        assert_eq!(run(&first).await.unwrap().len(), 2);
        let second = world.with(account, "second").doubt(looks());
        let requests = [Request::new("c", "three"), Request::new("d", "four")];
        let requests = stream::iter(requests.map(Ok::<_, std::io::Error>));
        let other = second.batch().run("other").requests(requests).await;
        assert_eq!(world.accepted(), 2, "{account}");
        match other {
            Ok(output) => assert_eq!((output.requests(), ends), (2, true)),
            // The record of another account does not tell which of the listed batches it created.
            Err(error) => assert_eq!((error.kind(), ends), (ErrorKind::Doubt, false)),
        }
    }
}

#[tokio::test]
async fn a_run_is_refused_under_another_account_and_stays_unchanged() {
    let world = World::new(slow());
    cut(&world, &world.with(ACCOUNT, "first")).await;
    let before = world.record().await;
    for (other, says) in [
        (world.stranger(), "its batch is unknown under this one"),
        (world.with("v2-other", "first"), "another base URL"),
    ] {
        let engine = other.engine();
        let everything = [0, 1].into();
        for refused in [
            run(&other).await.map(drop),
            engine
                .resume(&before, RunOptions::default())
                .await
                .map(drop),
            engine.requeue(&before, &everything).await.map(drop),
            engine.cancel_run(&before).await.map(drop),
            engine.clean(&before, true).await.map(drop),
        ] {
            let refused = refused.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::OtherAccount, "{refused}");
            assert!(refused.to_string().contains(says), "{refused}");
        }
    }
    assert_eq!(world.record().await, before);
    assert_eq!(run(&world.with(ACCOUNT, "first")).await.unwrap().len(), 2);
    assert_eq!(world.accepted(), 1);
}

/// Only the account of a create whose response was lost can tell whether the create was accepted.
#[tokio::test]
async fn a_doubtful_create_is_searched_for_under_a_rotated_key_and_not_repeated_under_another_account()
 {
    let lost = Error::new(ErrorKind::Connection)
        .with_retry(Retry::Temporary)
        .with_delivery(Delivery::Unknown);
    let world = World::new(Script {
        accepted_unseen: [lost].into(),
        blind_looks: 1,
        ..Script::default()
    });
    let doubt = run(&world.with(ACCOUNT, "first")).await.unwrap_err();
    assert_eq!((doubt.kind(), world.accepted()), (ErrorKind::Doubt, 1));
    let refused = run(&world.stranger()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::OtherAccount);
    assert!(
        refused.to_string().contains("use the earlier key"),
        "{refused}"
    );
    let mut rotated = run(&world.with(ACCOUNT, "second")).await;
    // The list may lag for one search.
    for _ in 0..3 {
        if rotated.is_err() {
            rotated = run(&world.with(ACCOUNT, "second")).await;
        }
    }
    assert_eq!(rotated.unwrap().len(), 2);
    assert_eq!(world.accepted(), 1);
}

#[tokio::test]
async fn a_run_without_an_accepted_create_begins_under_the_current_key() {
    let busy = Error::new(ErrorKind::ProviderRateLimit).with_delivery(Delivery::Refused);
    let world = World::new(Script {
        creates: [Some(busy)].into(),
        ..Script::default()
    });
    assert!(run(&world.with(ACCOUNT, "first")).await.is_err());
    assert_eq!(world.accepted(), 0);
    assert_eq!(run(&world.with(ACCOUNT, "second")).await.unwrap().len(), 2);
    assert_eq!((world.accepted(), world.warnings()), (1, 1));
}

#[tokio::test]
async fn a_record_of_an_earlier_version_is_accepted_where_its_account_can_be_confirmed() {
    for (recorded, rotated) in [("f00d", false), ("0bad", true)] {
        let world = World::new(slow());
        cut(&world, &world.with(ACCOUNT, "first")).await;
        world.recorded_as(recorded, None).await;
        assert_eq!(run(&world.with(ACCOUNT, "first")).await.unwrap().len(), 2);
        assert_eq!(world.warnings(), usize::from(rotated), "{recorded}");
        let record = world.record().await;
        let now = (record.account.as_str(), record.key_hint);
        assert_eq!(now, (ACCOUNT, Some("first".into())), "{recorded}");
        assert_eq!(world.accepted(), 1);
    }
}

#[tokio::test]
async fn a_record_of_an_earlier_version_is_refused_where_its_account_cannot_be_confirmed() {
    let busy = Error::new(ErrorKind::ProviderRateLimit).with_delivery(Delivery::Refused);
    let world = World::new(Script {
        creates: [Some(busy)].into(),
        ..Script::default()
    });
    assert!(run(&world.with(ACCOUNT, "first")).await.is_err());
    world.recorded_as("0bad", None).await;
    let refused = run(&world.with(ACCOUNT, "first")).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::OtherAccount);
    let says = "no batch by which the provider could confirm the account";
    assert!(refused.to_string().contains(says), "{refused}");
    assert_eq!(world.accepted(), 0);
}

#[tokio::test]
async fn a_handle_is_read_under_a_rotated_key_and_the_provider_refuses_another_account() {
    let world = World::new(Script::default());
    let first = world.with(ACCOUNT, "first");
    let handle = first.batch().create([("a", "one")]).await.unwrap();
    assert_eq!(handle.key_hint, Some("first".into()));
    let kept = serde_json::to_string(&handle).unwrap();
    let handle: BatchHandle = serde_json::from_str(&kept).unwrap();
    let mut old = handle.clone();
    (old.account, old.key_hint) = ("0bad".into(), None);
    for handle in [&handle, &old] {
        let rotated = world.with(ACCOUNT, "second");
        let outcomes = rotated.batch().retrieve(handle).await.unwrap();
        assert_eq!(outcomes["a"].as_result().unwrap().text(), "one");
        assert_eq!(world.warnings(), 1);
        let refused = world.stranger().batch().retrieve(handle).await;
        let refused = refused.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::BatchNotFound);
        assert!(refused.to_string().contains("another key"), "{refused}");
        world.warnings();
    }
    let other = world.with("v2-other", "first");
    let refused = other.batch().retrieve(&handle).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::OtherAccount);
    // Handles of earlier versions have no key hint.
    let without = kept.replace(",\"key_hint\":\"first\"", "");
    assert_ne!(without, kept);
    assert!(serde_json::from_str::<BatchHandle>(&without).is_ok());
}
