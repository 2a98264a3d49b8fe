//! Creates that are prepared in one process and sent in another: at once where they were never
//! sent, and after a search where they may have been.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::Arc;

use lmbatch_core::{BatchId, CreateToken, Delivery, Error, ErrorKind, Retry};
use lmbatch_engine::{LMInvoker, Prepared};
use lmbatch_testing::{MemoryProvider, Script, TestClock, TestRng};

const ASKED: [(&str, &str); 2] = [("a", "one"), ("b", "two")];

/// Returns a process: an invoker with a ledger of its own.
fn process(provider: &Arc<MemoryProvider>, clock: &Arc<TestClock>, seed: u64) -> LMInvoker {
    LMInvoker::shared(provider.clone(), "m")
        .clock(clock.clone())
        .rng(Arc::new(TestRng::new(seed)))
}

fn stored(prepared: &Prepared) -> Prepared {
    serde_json::from_str(&serde_json::to_string(prepared).unwrap()).unwrap()
}

fn lost() -> Error {
    Error::new(ErrorKind::ProviderInternal)
        .with_retry(Retry::Temporary)
        .with_delivery(Delivery::Unknown)
}

async fn send(invoker: &LMInvoker, prepared: Prepared) -> lmbatch_core::Result<BatchId> {
    let create = invoker.batch().create(ASKED).find_or_create(prepared);
    create.await.map(|handle| handle.batch)
}

#[tokio::test]
async fn a_create_that_was_never_sent_is_sent_at_once_in_any_process() {
    let clock = Arc::new(TestClock::default());
    let provider = Arc::new(MemoryProvider::new(clock.clone(), Script::default()));
    let handler = process(&provider, &clock, 1);
    let prepared = handler.batch().create(ASKED).prepare().await.unwrap();
    assert!(!prepared.may_have_been_sent());
    let worker = process(&provider, &clock, 2);
    let restored = stored(&prepared);
    assert!(!restored.may_have_been_sent());
    let sending = restored.sending();
    let kept = stored(&sending);
    assert!(sending.may_have_been_sent() && kept.may_have_been_sent());
    let batch = send(&worker, sending).await.unwrap();
    assert_eq!(provider.times("create"), [0]);
    // The worker died before it stored the batch: another one finds it.
    let other = process(&provider, &clock, 3);
    assert_eq!(send(&other, kept.sending()).await.unwrap(), batch);
    assert_eq!(provider.accepted(), 1);
    // A worker that did not store that the create was being sent makes one search, which is free.
    let careless = process(&provider, &clock, 4);
    assert_eq!(send(&careless, stored(&prepared)).await.unwrap(), batch);
    assert_eq!(provider.accepted(), 1);
}

#[tokio::test]
async fn a_create_that_may_have_been_sent_is_searched_for_and_not_repeated() {
    let clock = Arc::new(TestClock::default());
    let provider = Arc::new(MemoryProvider::new(
        clock.clone(),
        Script {
            accepted_unseen: [lost()].into(),
            // The list lags for the worker that sent the create.
            blind_looks: 9,
            ..Script::default()
        },
    ));
    let handler = process(&provider, &clock, 1);
    let prepared = handler.batch().create(ASKED).prepare().await.unwrap();
    let worker = process(&provider, &clock, 2);
    let sending = stored(&prepared).sending();
    let kept = stored(&sending);
    let error = send(&worker, sending).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Doubt);
    let other = process(&provider, &clock, 3);
    assert_eq!(send(&other, kept).await.unwrap(), BatchId::new("b1"));
    assert_eq!(provider.times("create").len(), 1);
}

#[tokio::test]
async fn serialized_data_of_an_earlier_version_may_have_been_sent() {
    let clock = Arc::new(TestClock::default());
    let provider = Arc::new(MemoryProvider::new(clock.clone(), Script::default()));
    let invoker = process(&provider, &clock, 1);
    let prepared = invoker.batch().create(ASKED).prepare().await.unwrap();
    let mut json = serde_json::to_value(&prepared).unwrap();
    assert_eq!(json["state"], "prepared");
    json.as_object_mut().unwrap().remove("state");
    let old: Prepared = serde_json::from_value(json).unwrap();
    assert!(old.may_have_been_sent());
    let other = process(&provider, &clock, 2);
    let error = send(&other, old).await.unwrap_err();
    assert_eq!((error.kind(), provider.accepted()), (ErrorKind::Doubt, 0));
    assert_eq!(error.label(), Some(&prepared.intent.label));
    assert_eq!(
        prepared.intent.token,
        CreateToken::new(prepared.intent.label.as_str())
    );
}

/// An old upload may be deleted before the worker uses it.
#[tokio::test]
async fn a_deleted_upload_is_repeated() {
    let clock = Arc::new(TestClock::default());
    let gone = Error::new(ErrorKind::FileNotFound)
        .with_http_status(404)
        .with_delivery(Delivery::Refused);
    let provider = Arc::new(MemoryProvider::new(
        clock.clone(),
        Script {
            creates: [Some(gone)].into(),
            uploads: true,
            ..Script::default()
        },
    ));
    let handler = process(&provider, &clock, 1);
    let prepared = handler.batch().create(ASKED).prepare().await.unwrap();
    let worker = process(&provider, &clock, 2);
    send(&worker, stored(&prepared).sending()).await.unwrap();
    assert_eq!(provider.times("stage").len(), 2);
    assert_eq!(provider.accepted(), 1);
}
