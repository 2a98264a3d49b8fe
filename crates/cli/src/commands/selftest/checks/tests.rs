//! Checks against providers in memory, for capabilities that no emulated provider has.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lmbatch::adapter::{
    BatchCodec, BatchProvider, Certainty, Intent, RemoteObject, ResultPart, ResultSet, RowStream,
    Shard,
};
use lmbatch::engine::SystemRng;
use lmbatch::prices::PriceTable;
use lmbatch::{
    AccountId, BatchClass, BatchId, BatchSnapshot, Clock, CreateToken, Delivery, Error, ErrorKind,
};
use lmbatch_testing::{MemoryProvider, Script, TestClock};

use super::super::batch::Writer;
use super::super::budget::Budget;
use super::super::label::nonce;
use super::super::left::Left;
use super::super::names;
use super::super::plan::Plan;
use super::super::report::{About, Report};
use super::super::stop::Stop;
use super::super::tester::{Halt, Tester, Waits};
use super::all;
use crate::exit::Exit;

/// Provider that declares idempotency tokens and ignores them.
#[derive(Debug)]
struct Forgetful(MemoryProvider);

#[async_trait]
impl BatchProvider for Forgetful {
    fn codec(&self) -> &dyn BatchCodec {
        self.0.codec()
    }
    fn account(&self) -> AccountId {
        self.0.account()
    }
    async fn create(&self, shard: &Shard, intent: &Intent) -> lmbatch::Result<BatchId> {
        let mut other = intent.clone();
        other.token = CreateToken::new(self.0.accepted().to_string());
        self.0.create(shard, &other).await
    }
    async fn status(&self, batch: &BatchId) -> lmbatch::Result<BatchSnapshot> {
        self.0.status(batch).await
    }
    async fn results(
        &self,
        class: Option<&BatchClass>,
        batch: &BatchId,
    ) -> lmbatch::Result<ResultSet> {
        self.0.results(class, batch).await
    }
    async fn read(&self, part: &ResultPart, from: u64) -> lmbatch::Result<RowStream> {
        self.0.read(part, from).await
    }
    async fn cancel(&self, batch: &BatchId) -> lmbatch::Result<()> {
        self.0.cancel(batch).await
    }
}

/// Makes every check, and returns the results by the names of the checks.
async fn tested(provider: Arc<dyn BatchProvider>, clock: Arc<TestClock>) -> (Tester, Option<Halt>) {
    let nonce = nonce(&SystemRng);
    let plan = Plan::new(Writer {
        codec: provider.codec(),
        model: "m",
        max_tokens: 16,
        nonce: &nonce,
    });
    let plan = plan.unwrap();
    let mut tester = Tester {
        provider,
        clock,
        report: Report::default(),
        budget: Budget::new(PriceTable::bundled(), "memory", None),
        left: Left::default(),
        waits: Waits {
            timeout: Duration::from_secs(60),
            interval: None,
        },
        stop: Stop::never(),
        is_unfinished: false,
    };
    let ended = all(&mut tester, &plan, "m").await;
    (tester, ended.err())
}

fn result_of(tester: &Tester, name: &str) -> String {
    let about = About {
        date: String::new(),
        provider: "memory",
        route: "inline",
        endpoint: String::new(),
        model: String::new(),
        is_cheapest: false,
        emulated: false,
        base_url: None,
    };
    let report = tester.report.json(&about, &tester.budget, &[]);
    let checks = report["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["check"] == name);
    let result = check.and_then(|check| check["result"].as_str());
    result.unwrap_or("absent").to_owned()
}

#[tokio::test]
async fn a_second_create_with_a_token_must_return_the_first_batch() {
    for exists in [None, Some(true), Some(false)] {
        let clock = Arc::new(TestClock::default());
        let script = Script {
            tokens: Some(None),
            exists,
            ..Script::default()
        };
        let provider = Arc::new(MemoryProvider::new(clock.clone(), script));
        let (tester, halt) = tested(provider.clone(), clock).await;
        assert!(halt.is_none(), "{halt:?}");
        assert_eq!(result_of(&tester, names::TOKEN), "holds", "{exists:?}");
        assert_eq!(provider.accepted(), 2, "the second is the cancelled one");
    }
}

#[tokio::test]
async fn a_provider_that_ignores_tokens_differs_and_its_second_batch_is_named() {
    let clock = Arc::new(TestClock::default());
    let script = Script {
        tokens: Some(None),
        ..Script::default()
    };
    let provider = Arc::new(Forgetful(MemoryProvider::new(clock.clone(), script)));
    let (tester, _) = tested(provider, clock).await;
    assert_eq!(result_of(&tester, names::TOKEN), "differs");
    let made = tester.left.made();
    let batches = made.iter().filter(|one| one.object.starts_with("batch "));
    assert_eq!(batches.count(), 3);
}

#[tokio::test]
async fn a_create_without_a_response_is_searched_for_and_never_sent_again() {
    let lost = || Error::new(ErrorKind::Connection).with_delivery(Delivery::Unknown);
    for (is_listed, result) in [(true, "differs"), (false, "absent")] {
        let clock = Arc::new(TestClock::default());
        let script = Script {
            accepted_unseen: [lost()].into(),
            blind_looks: if is_listed { 2 } else { u32::MAX },
            ..Script::default()
        };
        let provider = Arc::new(MemoryProvider::new(clock.clone(), script));
        let (tester, halt) = tested(provider.clone(), clock).await;
        assert_eq!(result_of(&tester, names::CREATED), result);
        match halt {
            None => assert!(is_listed),
            Some(Halt::Failed(failure)) => {
                assert_eq!(failure.exit, Exit::Held);
                assert_eq!(provider.accepted(), 1);
                let made = tester.left.made();
                assert!(
                    made.iter().any(|one| one.object == "unknown batch"),
                    "{made:?}"
                );
            }
            Some(halt) => panic!("{halt:?}"),
        }
    }
}

/// Another program may have made the batch that fits.
#[tokio::test]
async fn a_batch_that_only_fits_a_lost_create_is_neither_cancelled_nor_deleted() {
    let clock = Arc::new(TestClock::default());
    let lost = Error::new(ErrorKind::Connection).with_delivery(Delivery::Unknown);
    let script = Script {
        accepted_unseen: [lost].into(),
        unlabelled: true,
        certainty: Some(Certainty::Presumed),
        uploads: true,
        ..Script::default()
    };
    let provider = Arc::new(MemoryProvider::new(clock.clone(), script));
    let (mut tester, halt) = tested(provider.clone(), clock.clone()).await;
    assert!(matches!(halt, Some(Halt::Failed(failure)) if failure.exit == Exit::Held));
    tester.left.clean(&*provider, &*clock).await;
    assert_eq!(provider.times("cancel"), [0; 0]);
    let is_file = |remote_object: &RemoteObject| matches!(remote_object, RemoteObject::File(_));
    assert!(provider.deleted().iter().all(is_file));
}

#[tokio::test]
async fn a_batch_that_does_not_end_is_waited_for_and_then_reported_as_not_tested() {
    let clock = Arc::new(TestClock::default());
    let script = Script {
        statuses: vec![Ok(lmbatch::BatchStatus::InProgress); 500].into(),
        ..Script::default()
    };
    let provider = Arc::new(MemoryProvider::new(clock.clone(), script));
    let (tester, halt) = tested(provider, clock.clone()).await;
    assert!(halt.is_none() && tester.is_unfinished);
    assert_eq!(result_of(&tester, names::ENDED), "not_tested");
    assert!(clock.elapsed() < Duration::from_secs(600));
}
