//! Waits for many batches in one loop, and the check of an invoker.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use lmbatch_core::{BatchHandle, BatchId, BatchStatus, Clock, Error, ErrorKind, LMOutput, Result};
use lmbatch_engine::{LMInvoker, Outcomes, StepLimits};
use lmbatch_testing::{
    FleetRules, Listing, MemoryFleet, MemoryProvider, Script, TestClock, TestRng,
};

use crate::paused::PausedClock;

const MINUTE: Duration = Duration::from_secs(60);

fn world(script: Script) -> (Arc<MemoryProvider>, LMInvoker) {
    let clock = Arc::new(TestClock::default());
    let provider = Arc::new(MemoryProvider::new(clock.clone(), script));
    let invoker = LMInvoker::shared(provider.clone(), "m")
        .clock(clock)
        .rng(Arc::new(TestRng::new(7)));
    (provider, invoker)
}

fn fleet() -> (Arc<MemoryFleet>, LMInvoker) {
    let clock: Arc<dyn Clock> = PausedClock::new();
    let fleet = Arc::new(MemoryFleet::new(clock.clone(), FleetRules::default()));
    let invoker = LMInvoker::shared(fleet.clone(), "m")
        .clock(clock)
        .rng(Arc::new(TestRng::new(7)));
    (fleet, invoker)
}

async fn create(invoker: &LMInvoker, count: usize) -> Vec<BatchHandle> {
    let mut handles = Vec::new();
    for number in 0..count {
        let create = invoker.batch().create([("a", format!("prompt {number}"))]);
        handles.push(create.await.unwrap());
    }
    handles
}

fn text(outcomes: &Result<Outcomes>) -> String {
    let outcome = &outcomes.as_ref().unwrap()["a"];
    outcome.as_result().map(LMOutput::text).unwrap()
}

#[tokio::test]
async fn outcomes_come_as_their_batches_end() {
    // The first status is that of the first batch; all others have ended.
    let (_, invoker) = world(Script {
        statuses: [Ok(BatchStatus::InProgress)].into(),
        ..Script::default()
    });
    let handles = create(&invoker, 3).await;
    let invoker = invoker.limits(StepLimits {
        polls: 1,
        fetches: 1,
        ..StepLimits::default()
    });
    let ended = invoker.batch().wait_all(handles.clone()).stream();
    let ended: Vec<_> = ended.collect().await;
    let order: Vec<_> = ended
        .iter()
        .map(|(handle, _)| handle.batch.as_str())
        .collect();
    assert_eq!(order, ["b2", "b3", "b1"]);
    for (handle, outcomes) in &ended {
        let number = handles.iter().position(|one| one == handle).unwrap();
        assert_eq!(text(outcomes), format!("prompt {number}"));
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_of_one_batch_does_not_end_the_wait_for_the_others() {
    let (_, invoker) = fleet();
    let mut handles = create(&invoker, 2).await;
    handles[0].batch = BatchId::new("gone");
    let ended: Vec<_> = invoker.batch().wait_all(handles).stream().collect().await;
    let [(gone, failed), (_, answered)] = &ended[..] else {
        panic!("{ended:?}");
    };
    assert_eq!(text(answered), "prompt 1");
    let error = failed.as_ref().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BatchNotFound, "{error}");
    assert_eq!(error.handle(), Some(gone));
}

#[tokio::test]
async fn every_batch_has_one_item_also_without_batches_and_with_the_same_one_twice() {
    let (_, invoker) = world(Script::default());
    let handles = create(&invoker, 1).await;
    for count in [0, 1, 2, 3] {
        let same = std::iter::repeat_n(handles[0].clone(), count);
        let ended: Vec<_> = invoker.batch().wait_all(same).stream().collect().await;
        assert_eq!(ended.len(), count);
        assert!(
            ended
                .iter()
                .all(|(_, outcomes)| text(outcomes) == "prompt 0")
        );
    }
}

#[tokio::test(start_paused = true)]
async fn the_timeout_ends_the_wait_for_each_batch_that_is_left() {
    let (_, invoker) = fleet();
    let mut handles = create(&invoker, 1).await;
    tokio::time::advance(5 * MINUTE).await;
    handles.extend(create(&invoker, 2).await);
    let wait = invoker.batch().wait_all(handles).timeout(7 * MINUTE);
    let ended: Vec<_> = wait.stream().collect().await;
    let kinds: Vec<_> = ended
        .iter()
        .map(|(_, outcomes)| outcomes.as_ref().err().map(Error::kind))
        .collect();
    let late = Some(ErrorKind::Timeout);
    assert_eq!(kinds, [None, late, late]);
    for (handle, outcomes) in &ended[1..] {
        let error = outcomes.as_ref().unwrap_err();
        assert_eq!(error.handle(), Some(handle));
    }
}

#[tokio::test]
async fn the_number_of_polls_is_that_of_each_batch() {
    let (provider, invoker) = world(Script {
        statuses: (0..9).map(|_| Ok(BatchStatus::InProgress)).collect(),
        ..Script::default()
    });
    let handles = create(&invoker, 2).await;
    let wait = invoker.batch().wait_all(handles).max_iterations(3);
    let ended: Vec<_> = wait.stream().collect().await;
    assert_eq!(ended.len(), 2);
    for (_, outcomes) in ended {
        assert_eq!(outcomes.unwrap_err().kind(), ErrorKind::Timeout);
    }
    assert_eq!(provider.times("status").len(), 6);
}

#[tokio::test(start_paused = true)]
async fn many_batches_are_polled_by_pages_of_the_list() {
    let (fleet, invoker) = fleet();
    let handles = create(&invoker, 150).await;
    // One batch is not in the list: only its status is read with a call of its own.
    fleet.list_otherwise("b7", Listing::Hidden);
    let wait = invoker
        .batch()
        .wait_all(handles)
        .status_check_interval(MINUTE);
    let mut ended = wait.stream();
    let mut count = 0;
    while let Some((_, outcomes)) = ended.next().await {
        assert!(outcomes.is_ok());
        count += 1;
    }
    assert_eq!(count, 150);
    // Eleven rounds of two or three pages; a status for each batch that has ended, and those of the hidden one.
    assert!(
        (22..=33).contains(&fleet.count("walk")),
        "{}",
        fleet.count("walk")
    );
    assert!(
        (160..=162).contains(&fleet.count("status")),
        "{}",
        fleet.count("status")
    );
    assert!(fleet.most_at_once("read") <= 4);
}

#[tokio::test(start_paused = true)]
async fn a_list_that_cannot_be_read_is_replaced_by_status_calls() {
    let (fleet, invoker) = fleet();
    let handles = create(&invoker, 10).await;
    let failures = (0..100).map(|_| Error::new(ErrorKind::Unsupported));
    fleet.fail("walk", failures);
    let wait = invoker
        .batch()
        .wait_all(handles)
        .status_check_interval(MINUTE);
    let ended: Vec<_> = wait.stream().collect().await;
    assert_eq!(
        ended
            .iter()
            .filter(|(_, outcomes)| outcomes.is_ok())
            .count(),
        10
    );
    assert!(fleet.count("status") > 100);
}
