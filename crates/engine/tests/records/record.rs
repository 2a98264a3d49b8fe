//! Runs in a ledger over a provider in memory: what is sent again, read back and left behind.

use std::collections::HashSet;

use futures::stream;
use lmbatch_core::{
    AccountId, BatchId, BatchProvider as _, BatchStatus, Delivery, Error, ErrorKind, Ledger as _,
    RemoteObject, Request, Retry, RunFilter, RunRecord,
};
use lmbatch_engine::{BatchLimit, DoubtPolicy, OnDoubt, RemainingData, RunOptions};
use lmbatch_testing::{Script, TestRequests};

use super::world::{ASKED, World, outcomes_of, read};

/// Earlier versions gave a run six characters of its nonce as its id.
#[tokio::test]
async fn a_run_keeps_the_shorter_id_of_an_earlier_version() {
    let world = World::new(Script::default());
    world.run(&ASKED).await.unwrap();
    let now = world.record().await;
    assert_eq!(*now.id, *format!("r-{}", now.nonce.as_str()));
    let former = RunRecord {
        id: lmbatch_engine::former_run_id(now.nonce.as_str()),
        ..now.clone()
    };
    assert_eq!(former.id.len(), 8);
    let shards = world.ledger.shards(&now.id).await.unwrap().into_iter();
    let shards: Vec<_> = shards
        .map(|shard| lmbatch_core::ShardRecord {
            key: lmbatch_core::ShardKey {
                run: former.id.clone(),
                ..shard.key
            },
            ..shard
        })
        .collect();
    world.ledger.delete(&now.id).await.unwrap();
    world.ledger.begin(&former, &shards).await.unwrap();
    let found = world.engine().run_of_nonce(&now.nonce).await.unwrap();
    assert_eq!(found, Some(former.clone()));
    let output = world.run(&ASKED).await.unwrap();
    assert_eq!(outcomes_of(&output).await, ["a: one", "b: two", "c: three"]);
    assert_eq!(output.id(), &*former.id);
    let chosen = [1].into();
    world.engine().requeue(&former, &chosen).await.unwrap();
    let output = world.run(&ASKED).await.unwrap();
    assert_eq!((output.id(), world.provider.accepted()), (&*former.id, 2));
}

#[tokio::test]
async fn chosen_requests_are_sent_again_and_the_last_answer_counts() {
    let world = World::new(Script::default());
    let output = world.run(&ASKED).await.unwrap();
    assert_eq!(outcomes_of(&output).await, ["a: one", "b: two", "c: three"]);
    let run = world.record().await;
    // Requests are chosen by their positions in the output.
    let again = world
        .engine()
        .requeue(&run, &HashSet::from([0, 2]))
        .await
        .unwrap();
    assert_eq!(again, 2);
    let run = world.record().await;
    assert_eq!((run.attempt, run.finished), (1, false));
    let finished = world
        .engine()
        .resume(&run, RunOptions::default())
        .await
        .unwrap();
    assert_eq!(finished.batches().len(), 2);
    assert_eq!((finished.rows(), finished.requests()), (5, 3));
    assert_eq!(
        String::from_utf8(world.provider.body(1))
            .unwrap()
            .lines()
            .count(),
        2
    );
}

#[tokio::test]
async fn a_run_is_resumed_from_its_record_and_not_from_the_callers_copy() {
    let world = World::new(Script::default());
    world.run(&ASKED).await.unwrap();
    let stale = world.record().await;
    let engine = world.engine();
    engine.requeue(&stale, &HashSet::from([1])).await.unwrap();
    let finished = engine.resume(&stale, RunOptions::default()).await.unwrap();
    assert_eq!(finished.batches().len(), 2);
    let run = world.record().await;
    assert_eq!((run.attempt, run.finished), (1, true));
    engine.requeue(&stale, &HashSet::from([2])).await.unwrap();
    assert_eq!(world.record().await.attempt, 2);
    world.ledger.delete(&run.id).await.unwrap();
    let error = engine.recorded_results(&run).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn unanswered_requests_are_sent_again_until_the_attempts_are_used_up() {
    for (attempts, creates) in [(1, 1), (2, 2), (3, 3)] {
        let world = World::new(Script {
            rows: Some(Vec::new()),
            end: Some(BatchStatus::Expired),
            ..Script::default()
        });
        let output = world.run(&ASKED).max_attempts(attempts).await.unwrap();
        assert_eq!(
            outcomes_of(&output).await,
            ["a: expired", "b: expired", "c: expired"]
        );
        assert_eq!(world.provider.accepted(), creates);
    }
}

#[tokio::test]
async fn a_changed_request_keeps_its_position() {
    let world = World::new(Script::default());
    world.run(&ASKED).await.unwrap();
    let output = world
        .run(&[("a", "one"), ("c", "3"), ("d", "four")])
        .update()
        .await
        .unwrap();
    assert_eq!(outcomes_of(&output).await, ["a: one", "c: 3", "d: four"]);
    let changes = output.changes().unwrap();
    assert_eq!(
        (
            changes.unchanged,
            changes.changed,
            changes.new,
            changes.gone
        ),
        (1, 1, 1, 1)
    );
    // And back to the former input: only what changed is paid for.
    let output = world.run(&ASKED).update().await.unwrap();
    assert_eq!(outcomes_of(&output).await, ["a: one", "b: two", "c: three"]);
    let sent = |batch| {
        String::from_utf8(world.provider.body(batch))
            .unwrap()
            .lines()
            .count()
    };
    assert_eq!([sent(0), sent(1), sent(2)], [3, 2, 2]);
    // Requests that only leave the input are not sent at all.
    let output = world.run(&ASKED[..2]).update().await.unwrap();
    assert_eq!(outcomes_of(&output).await, ["a: one", "b: two"]);
    assert_eq!(world.provider.accepted(), 3);
}

#[tokio::test]
async fn a_record_can_be_read_during_its_run_and_after_it() {
    let world = World::new(Script {
        statuses: [Ok(BatchStatus::Completed), Ok(BatchStatus::InProgress)].into(),
        ..Script::default()
    });
    let limited = world.invoker.clone().batch_limit(BatchLimit {
        max_requests: Some(2),
        ..BatchLimit::default()
    });
    let requests = ASKED.map(|(id, prompt)| Ok::<_, std::io::Error>(Request::new(id, prompt)));
    let run = limited.batch().run("mine").requests(stream::iter(requests));
    let cut = run
        .timeout(std::time::Duration::from_secs(1))
        .await
        .unwrap_err();
    assert_eq!(cut.kind(), ErrorKind::Timeout);
    let run = world.record().await;
    let refused = world.engine().recorded_results(&run).await.unwrap_err();
    assert!(refused.to_string().contains("has not ended"), "{refused}");
    let partial = world.engine().partial_results(&run).await.unwrap();
    assert!(!partial.is_complete());
    // Either batch may have been polled first.
    let so_far = read(world.engine(), &partial);
    assert!(
        so_far == ["a: one", "b: two"] || so_far == ["c: three"],
        "{so_far:?}"
    );
    let finished = world
        .engine()
        .resume(&run, RunOptions::default())
        .await
        .unwrap();
    assert!(finished.is_complete());
    // Either batch may have been created first.
    let mut batches: Vec<&str> = finished
        .batches()
        .iter()
        .map(|one| one.id.as_str())
        .collect();
    batches.sort_unstable();
    assert_eq!(batches, ["b1", "b2"]);
    let run = world.record().await;
    assert_eq!(
        world.engine().recorded_results(&run).await.unwrap().rows(),
        3
    );
}

#[tokio::test]
async fn a_cancelled_run_creates_nothing_more_and_keeps_what_was_answered() {
    let world = World::new(Script {
        statuses: [Ok(BatchStatus::InProgress)].into(),
        ..Script::default()
    });
    world
        .run(&ASKED)
        .timeout(std::time::Duration::from_secs(1))
        .await
        .unwrap_err();
    let run = world.record().await;
    assert_eq!(world.engine().cancel_run(&run).await.unwrap(), 1);
    let finished = world
        .engine()
        .resume(&run, RunOptions::default())
        .await
        .unwrap();
    assert_eq!(finished.requests(), 3);
    assert_eq!(world.provider.accepted(), 1);
    let update = world.run(&[("x", "y")]).update().await.unwrap_err();
    assert!(update.to_string().contains("is cancelled"), "{update}");
    // Cancelled at once, and again by the next process, which cannot know of the first time.
    assert_eq!(world.provider.times("cancel").len(), 2);
}

#[tokio::test]
async fn a_create_that_is_not_found_is_not_repeated_in_a_cancelled_run() {
    let lost = Error::new(ErrorKind::ProviderInternal).with_delivery(Delivery::Unknown);
    let world = World::new(Script {
        creates: [Some(lost)].into(),
        ..Script::default()
    });
    let held = world.run(&ASKED).await.unwrap_err();
    assert_eq!(held.kind(), ErrorKind::Doubt);
    assert_eq!(world.invoker.batch().cancel_run("mine").await.unwrap(), 0);
    let engine = world.engine().clone().with_on_doubt(OnDoubt::Resubmit);
    let run = world.record().await;
    let finished = engine.resume(&run, RunOptions::default()).await.unwrap();
    assert_eq!(finished.requests(), 3);
    assert_eq!(
        (
            world.provider.times("create").len(),
            world.provider.accepted()
        ),
        (1, 0)
    );
    assert_eq!(engine.recorded_results(&run).await.unwrap().requests(), 3);
}

#[tokio::test]
async fn a_batch_that_is_found_in_a_cancelled_run_is_cancelled() {
    let lost = Error::new(ErrorKind::ProviderInternal).with_delivery(Delivery::Unknown);
    let world = World::new(Script {
        accepted_unseen: [lost].into(),
        // As many as there are searches.
        blind_looks: DoubtPolicy::default().waits.len() as u32,
        ..Script::default()
    });
    let held = world.run(&ASKED).await.unwrap_err();
    assert_eq!(held.kind(), ErrorKind::Doubt);
    world.invoker.batch().cancel_run("mine").await.unwrap();
    let output = world.invoker.batch().run("mine").await.unwrap();
    assert_eq!(output.requests(), 3);
    assert_eq!(
        (
            world.provider.times("cancel").len(),
            world.provider.accepted()
        ),
        (1, 1)
    );
}

#[tokio::test]
async fn one_off_calls_leave_nothing_in_the_ledger() {
    let world = World::new(Script::default());
    let asked = || ASKED.map(|(id, prompt)| Request::new(id, prompt));
    world.invoker.batch().invoke(asked()).await.unwrap();
    world.invoker.batch().create(asked()).await.unwrap();
    let prepared = world
        .invoker
        .batch()
        .create(asked())
        .prepare()
        .await
        .unwrap();
    let create = world.invoker.batch().create(asked());
    create.find_or_create(prepared).await.unwrap();
    assert_eq!(world.provider.accepted(), 3);
    assert_eq!(
        world.ledger.all_runs(RunFilter::default()).await.unwrap(),
        []
    );
}

#[tokio::test]
async fn remaining_inputs_and_batches_are_counted_and_deleted_once() {
    let world = World::new(Script {
        uploads: true,
        ..Script::default()
    });
    world.run(&ASKED).await.unwrap();
    let left = |inputs, batches| {
        let mut left = RemainingData::default();
        (left.inputs, left.batches) = (inputs, batches);
        left
    };
    let engine = world.engine();
    assert_eq!(
        engine.remaining(&world.record().await).await.unwrap(),
        left(1, 1)
    );
    for _ in 0..2 {
        assert_eq!(
            engine.clean(&world.record().await, false).await.unwrap(),
            left(0, 1)
        );
    }
    for _ in 0..2 {
        assert_eq!(
            engine.clean(&world.record().await, true).await.unwrap(),
            left(0, 0)
        );
    }
    assert_eq!(
        engine.remaining(&world.record().await).await.unwrap(),
        left(0, 0)
    );
    let deleted = world.provider.deleted();
    assert!(
        matches!(&deleted[..], [RemoteObject::File(_), RemoteObject::Batch(batch)] if batch.as_str() == "b1"),
        "{deleted:?}"
    );
    // Requests that are sent later leave something behind again.
    let run = world.record().await;
    engine.requeue(&run, &HashSet::from([1])).await.unwrap();
    engine
        .resume(&world.record().await, RunOptions::default())
        .await
        .unwrap();
    assert_eq!(
        engine.remaining(&world.record().await).await.unwrap(),
        left(1, 1)
    );
    // The batches of a later attempt are not deleted with those of an earlier one.
    for (batches, stays) in [(false, 1), (true, 0)] {
        let cleaned = engine.clean(&world.record().await, batches).await;
        assert_eq!(cleaned.unwrap(), left(0, stays));
    }
    let deleted = world.provider.deleted();
    assert_eq!(
        deleted.last(),
        Some(&RemoteObject::Batch(BatchId::new("b2")))
    );
}

#[tokio::test]
async fn a_running_batch_keeps_its_input() {
    let world = World::new(Script {
        uploads: true,
        statuses: [Ok(BatchStatus::InProgress)].into(),
        ..Script::default()
    });
    let run = world.run(&ASKED).timeout(std::time::Duration::from_secs(1));
    run.await.unwrap_err();
    let left = world.engine().clean(&world.record().await, true).await;
    assert_eq!(left.unwrap().inputs, 1);
    assert_eq!(world.provider.deleted(), []);
}

#[tokio::test]
async fn cancelled_requests_are_sent_again_on_request() {
    let world = World::new(Script {
        statuses: [Ok(BatchStatus::InProgress)].into(),
        ..Script::default()
    });
    world.run(&ASKED).await.unwrap();
    let run = world.record().await;
    let engine = world.engine();
    engine.cancel_run(&run).await.unwrap();
    engine.requeue(&run, &HashSet::from([0, 1])).await.unwrap();
    let run = world.record().await;
    assert!(!run.cancelled);
    let finished = engine.resume(&run, RunOptions::default()).await.unwrap();
    assert_eq!((finished.requests(), world.provider.accepted()), (3, 2));
}

/// Of three batches one was created when the run was cancelled.
#[tokio::test]
async fn cancelled_shards_stay_cancelled_when_their_run_is_requeued() {
    let full = || {
        let full = Error::new(ErrorKind::Quota).with_delivery(Delivery::Refused);
        Some(full.with_retry(Retry::Temporary))
    };
    let refusals = std::iter::repeat_with(full).take(30);
    let world = World::new(Script {
        creates: std::iter::once(None).chain(refusals).collect(),
        statuses: (0..9).map(|_| Ok(BatchStatus::InProgress)).collect(),
        ..Script::default()
    });
    let one = BatchLimit {
        max_requests: Some(1),
        ..BatchLimit::default()
    };
    let engine = world.engine().clone().with_batch_limit(one);
    let invoker = world.invoker.clone().batch_limit(one);
    let requests = ASKED.map(|(id, prompt)| Ok::<_, std::io::Error>(Request::new(id, prompt)));
    let run = invoker.batch().run("mine").requests(stream::iter(requests));
    run.timeout(std::time::Duration::from_secs(1))
        .await
        .unwrap_err();
    let run = world.record().await;
    assert_eq!(engine.cancel_run(&run).await.unwrap(), 1);
    let early = engine.requeue(&run, &HashSet::from([1])).await.unwrap_err();
    assert!(early.to_string().contains("has not ended"), "{early}");
    let finished = engine.resume(&run, RunOptions::default()).await.unwrap();
    assert_eq!(finished.batches().len(), 1);
    // The run is read again, and only chosen requests are sent.
    assert_eq!(engine.recorded_results(&run).await.unwrap().requests(), 3);
    world.provider.accept_all();
    assert_eq!(engine.requeue(&run, &HashSet::from([1])).await.unwrap(), 1);
    engine.resume(&run, RunOptions::default()).await.unwrap();
    assert_eq!(world.provider.accepted(), 2);
    let run = world.record().await;
    assert_eq!(engine.cancel_run(&run).await.unwrap(), 0);
    assert!(!world.record().await.cancelled, "it had ended");
}

#[tokio::test]
async fn batches_that_cannot_be_deleted_are_reported_as_remaining() {
    let world = World::new(Script::default());
    world.run(&ASKED).await.unwrap();
    let left = world
        .engine()
        .clean(&world.record().await, true)
        .await
        .unwrap();
    assert_eq!((left.inputs, left.batches), (0, 1));
}

#[tokio::test]
async fn chosen_requests_are_sent_again_as_another_plan_has_them() {
    let world = World::new(Script::default());
    world.run(&ASKED).await.unwrap();
    let engine = world.engine();
    let plan = async |asked: Vec<(&'static str, &'static str)>| {
        engine
            .plan(Box::new(TestRequests::new(asked)))
            .await
            .unwrap()
    };
    let chosen = HashSet::from([1]);
    let lacking = plan(vec![("a", "eins")]).await;
    let refused = engine
        .requeue_as(&world.record().await, &chosen, &lacking)
        .await
        .unwrap_err();
    assert!(
        refused.to_string().contains("no longer in the input"),
        "{refused}"
    );
    let other = plan(vec![("a", "eins"), ("b", "zwei"), ("c", "drei")]).await;
    let run = world.record().await;
    assert_eq!(engine.requeue_as(&run, &chosen, &other).await.unwrap(), 1);
    let output = world.invoker.batch().run("mine").await.unwrap();
    assert_eq!(
        outcomes_of(&output).await,
        ["a: one", "b: zwei", "c: three"]
    );
    let stranger = RunRecord {
        account: AccountId::new("other"),
        ..world.record().await
    };
    for refused in [
        engine
            .resume(&stranger, RunOptions::default())
            .await
            .map(drop),
        engine
            .requeue_as(&stranger, &chosen, &other)
            .await
            .map(drop),
    ] {
        let refused = refused.unwrap_err();
        assert!(refused.to_string().contains("another account"), "{refused}");
    }
}

/// Returns the number of requests in each batch that the provider accepted.
fn sizes(world: &World) -> Vec<usize> {
    let body = |batch| world.provider.body(batch);
    let lines = |body: Vec<u8>| body.iter().filter(|byte| **byte == b'\n').count();
    (0..world.provider.accepted())
        .map(body)
        .map(lines)
        .collect()
}

/// Every batch expires without an answer.
#[tokio::test]
async fn later_attempts_send_only_the_requests_that_were_chosen_for_the_first() {
    let expires = || Script {
        end: Some(BatchStatus::Expired),
        rows: Some(Vec::new()),
        ..Script::default()
    };
    let thrice = RunOptions {
        max_attempts: Some(3),
        ..RunOptions::default()
    };
    let same = World::new(expires());
    same.run(&ASKED).max_attempts(1).await.unwrap();
    let run = same.record().await;
    let chosen = HashSet::from([1]);
    assert_eq!(same.engine().requeue(&run, &chosen).await.unwrap(), 1);
    same.engine().resume(&run, thrice).await.unwrap();
    assert_eq!(sizes(&same), [3, 1, 1, 1]);

    let other = World::new(expires());
    other.run(&ASKED).max_attempts(1).await.unwrap();
    let run = other.record().await;
    let changed = vec![("a", "one"), ("b", "zwei"), ("c", "three")];
    let plan = Box::new(TestRequests::new(changed.clone()));
    let plan = other.engine().plan(plan).await.unwrap();
    other
        .engine()
        .requeue_as(&run, &chosen, &plan)
        .await
        .unwrap();
    let run = other.record().await;
    other.engine().resume(&run, thrice).await.unwrap();
    assert_eq!(sizes(&other), [3, 1, 1, 1]);

    let updated = World::new(expires());
    updated.run(&ASKED).max_attempts(1).await.unwrap();
    let run = updated.record().await;
    let plan = Box::new(TestRequests::new(changed));
    let plan = updated.engine().plan(plan).await.unwrap();
    let (run, changes) = updated.engine().update(&run, &plan).await.unwrap();
    assert_eq!((changes.unchanged, changes.changed), (2, 1));
    updated.engine().resume(&run, thrice).await.unwrap();
    assert_eq!(sizes(&updated), [3, 1, 1, 1]);
}

#[tokio::test]
async fn the_error_of_a_run_says_what_an_invalid_request_lacks() {
    let world = World::new(Script::default());
    for (asked, why) in [
        (&[("", "x")][..], "the id is empty"),
        (&[("a", "x"), ("a", "y")], "a"),
        (&[], "no requests"),
    ] {
        let refused = world.run(asked).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput);
        assert!(refused.to_string().contains(why), "{refused}");
    }
    assert_eq!(world.provider.calls(), []);
}

#[tokio::test]
async fn an_input_can_be_checked_without_sending_anything() {
    let world = World::new(Script {
        max_requests: Some(2),
        ..Script::default()
    });
    let codec = world.provider.codec();
    let checked =
        lmbatch_engine::check(codec, Box::new(TestRequests::new(ASKED.to_vec()))).unwrap();
    assert_eq!((checked.requests, checked.batches), (3, 2));
    assert!(checked.bytes > 0);
    let bad = vec![("a", "x"), ("a", "y"), ("b", "z")];
    let refused = lmbatch_engine::check(codec, Box::new(TestRequests::new(bad))).unwrap_err();
    assert!(lmbatch_core::Error::from(refused).to_string().contains('a'));
    assert_eq!(world.provider.calls(), []);
}
