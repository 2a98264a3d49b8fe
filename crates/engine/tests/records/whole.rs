//! Incomplete results and damaged files: what is read again, held, and never paid for again.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::sync::Arc;

use lmbatch_core::{
    BatchId, BatchStatus, Delivery, Error, ErrorKind, Ledger as _, RequestCounts, Retry,
    ShardState, Spool as _,
};
use lmbatch_engine::{FolderSpool, OnDoubt, RunOptions};
use lmbatch_testing::Script;

use super::world::{ASKED, World, on_the_wire, outcomes_of, read};

#[tokio::test]
async fn requests_that_may_have_been_answered_are_never_sent_again() {
    let counts = |total, succeeded, errored| {
        Some(RequestCounts {
            total,
            succeeded,
            errored,
            ..RequestCounts::default()
        })
    };
    for (end, counts) in [
        (BatchStatus::Completed, counts(Some(3), 3, 0)),
        (BatchStatus::Completed, counts(Some(3), 1, 1)),
        (BatchStatus::Completed, counts(None, 0, 0)),
        (BatchStatus::Completed, counts(Some(3), 0, 0)),
        (BatchStatus::Expired, counts(Some(3), 1, 0)),
        (BatchStatus::Cancelled, counts(Some(3), 1, 0)),
    ] {
        let what = format!("{end:?} {counts:?}");
        let world = World::new(Script {
            rows: Some(Vec::new()),
            end: Some(end),
            counts,
            ..Script::default()
        });
        let error = world.run(&ASKED).max_attempts(3).await.unwrap_err();
        let held = (error.kind(), error.retry(), error.batch());
        let batch = BatchId::new("b1");
        let expected = (ErrorKind::Timeout, Retry::Temporary, Some(&batch));
        assert_eq!(held, expected, "{what}");
        // Read at once and then at the intervals of a search, for a quarter of an hour.
        assert_eq!(
            world.provider.times("read"),
            [0, 5, 15, 30, 60, 120, 300, 600, 900],
            "{what}"
        );
        let run = world.record().await;
        let again = world.engine().resume(&run, RunOptions::default()).await;
        assert_eq!(again.unwrap_err().kind(), ErrorKind::Timeout, "{what}");
        let giving_up = world.engine().clone().with_on_doubt(OnDoubt::Abandon);
        let options = RunOptions {
            max_attempts: Some(3),
            ..RunOptions::default()
        };
        let finished = giving_up.resume(&run, options).await.unwrap();
        let given_up = ["a", "b", "c"].map(|id| format!("{id}: missing"));
        assert_eq!(read(&giving_up, &finished), given_up, "{what}");
        assert_eq!(world.provider.accepted(), 1, "{what}");
    }
}

#[tokio::test]
async fn results_that_are_incomplete_once_are_read_again() {
    for (rows, what) in [
        (&b""[..], "empty"),
        (b"\n", "a blank line"),
        (b"<html>busy</html>", "a web page"),
        (b"plain words", "words"),
        (b"{\"detail\":\"busy\"}", "an error"),
        (b"null\n[]\n", "JSON that is no row"),
        (
            b"{\"id\":\"stranger\",\"text\":\"x\"}\n",
            "rows of another batch",
        ),
    ] {
        let world = World::new(Script {
            first_rows: Some(rows.to_vec()),
            ..Script::default()
        });
        let output = world.run(&ASKED).max_attempts(3).await.unwrap();
        assert_eq!(
            outcomes_of(&output).await,
            ["a: one", "b: two", "c: three"],
            "{what}"
        );
        assert_eq!(world.provider.accepted(), 1, "{what}");
        assert_eq!(world.provider.times("read"), [0, 5], "{what}");
    }
}

/// One answer is lost in transfer, one request failed and one expired: the failed one stands for no
/// answer.
#[tokio::test]
async fn a_lost_answer_of_an_expired_batch_is_not_covered_by_a_failed_one() {
    let failed = b"{\"id\":\"a\",\"error\":\"boom\"}\n";
    let expired = b"{\"id\":\"c\",\"error\":\"expired\"}\n";
    for (end, total, expired_count) in [
        (BatchStatus::Expired, Some(3), 1),
        (BatchStatus::Expired, Some(3), 0),
        (BatchStatus::Expired, None, 0),
        (BatchStatus::Completed, Some(3), 1),
    ] {
        let world = World::new(Script {
            end: Some(end.clone()),
            rows: Some(on_the_wire(&[failed, expired]).await),
            counts: Some(RequestCounts {
                total,
                succeeded: 1,
                errored: 1,
                expired: expired_count,
                ..RequestCounts::default()
            }),
            ..Script::default()
        });
        let held = world.run(&ASKED).max_attempts(3).await.unwrap_err();
        assert_eq!(
            held.kind(),
            ErrorKind::Timeout,
            "{end:?} {expired_count}: {held}"
        );
        assert_eq!(world.provider.accepted(), 1, "{end:?} {expired_count}");
    }
}

/// Ids on the wire are unique in a run: rows of another batch answer nothing in this one.
#[tokio::test]
async fn rows_of_another_batch_of_the_run_do_not_complete_a_batch() {
    let world = World::new(Script {
        max_requests: Some(2),
        ..Script::default()
    });
    world.run(&ASKED).await.unwrap();
    let other = world.provider.body(0);
    let world = World::new(Script {
        max_requests: Some(2),
        rows_of: Some((BatchId::new("b2"), other)),
        counts: Some(RequestCounts {
            total: Some(2),
            succeeded: 2,
            ..RequestCounts::default()
        }),
        ..Script::default()
    });
    let error = world.run(&ASKED).await.unwrap_err();
    assert_eq!(error.batch(), Some(&BatchId::new("b2")), "{error}");
    assert_eq!(world.provider.accepted(), 2);
}

#[tokio::test]
async fn a_damaged_file_of_results_is_read_again_and_nothing_is_paid_again() {
    let world = World::new(Script::default());
    world.run(&ASKED).await.unwrap();
    let run = world.record().await;
    for at in [0, 7, 100] {
        let shard = world.ledger.shards(&run.id).await.unwrap().remove(0);
        let ShardState::Sealed { segments, .. } = &shard.state else {
            panic!("{shard:?}");
        };
        let (name, damage) = (&segments[0].name, at);
        let file = world.spool.open(name).unwrap();
        let mut byte = [0];
        file.read_at(&mut byte, damage).unwrap();
        file.write_at(&[byte[0] ^ 4], damage).unwrap();
        let error = world.engine().recorded_results(&run).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Local, "{error}");
        assert!(error.to_string().contains(&**name), "{error}");
        let options = RunOptions::default();
        let finished = world.engine().results(&run, options).await.unwrap();
        let said = read(world.engine(), &finished);
        assert_eq!(said, ["a: one", "b: two", "c: three"]);
        assert_eq!(world.provider.accepted(), 1);
    }
}

#[tokio::test]
async fn a_damaged_file_that_cannot_be_restored_is_named_and_nothing_is_sent() {
    for what in ["echo-0", "rows-0", "body-0"] {
        let world = World::new(Script {
            creates: [Some(
                Error::new(ErrorKind::Billing).with_delivery(Delivery::Refused),
            )]
            .into(),
            ..Script::default()
        });
        world.run(&ASKED).await.unwrap_err();
        let run = world.record().await;
        let name = format!("{}.{what}", run.nonce.as_str());
        let file = world.spool.open(&name).unwrap();
        file.write_at(b"\x01", 3).unwrap();
        let resumed = world.engine().resume(&run, RunOptions::default()).await;
        let error = resumed.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Local, "{error}");
        assert!(error.to_string().contains(&name), "{error}");
        assert_eq!(world.provider.accepted(), 0);
    }
}

/// A cache returns the status of another batch, in which nothing was answered.
#[tokio::test]
async fn the_status_of_another_batch_is_ignored() {
    let world = World::new(Script {
        first_status_of: Some(BatchId::new("b9")),
        ..Script::default()
    });
    let output = world.run(&ASKED).max_attempts(3).await.unwrap();
    assert_eq!(outcomes_of(&output).await, ["a: one", "b: two", "c: three"]);
    assert_eq!(world.provider.accepted(), 1);
    assert_eq!(world.provider.times("status").len(), 2);
}

/// Some providers have one count for failed requests and for those that an expired or cancelled
/// batch did not process, and write no rows for the latter.
#[tokio::test]
async fn rows_of_unprocessed_requests_are_not_awaited_but_answers_are() {
    for end in [BatchStatus::Expired, BatchStatus::Cancelled] {
        for (succeeded, errored, is_held) in [(0, 3, false), (1, 2, true)] {
            let what = format!("{end:?} {succeeded}");
            let world = World::new(Script {
                rows: Some(Vec::new()),
                end: Some(end.clone()),
                counts: Some(RequestCounts {
                    total: Some(3),
                    succeeded,
                    errored,
                    ..RequestCounts::default()
                }),
                ..Script::default()
            });
            let ended = world.run(&ASKED).await;
            if is_held {
                assert_eq!(ended.unwrap_err().kind(), ErrorKind::Timeout, "{what}");
                continue;
            }
            let expected = ["a", "b", "c"].map(|id| format!("{id}: {end}"));
            assert_eq!(outcomes_of(&ended.unwrap()).await, expected, "{what}");
            assert_eq!(world.provider.times("read").len(), 1, "{what}");
        }
    }
}

/// Each reader makes its own index of the rows, in a file that no other reader can open.
#[tokio::test]
async fn two_readers_of_one_run_do_not_disturb_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::new(Script::default());
    let spool = Arc::new(FolderSpool::new(folder.path()));
    world.invoker = world.invoker.clone().record(world.ledger.clone(), spool);
    world.run(&ASKED).await.unwrap();
    let files = || -> BTreeMap<OsString, Vec<u8>> {
        let entries = fs::read_dir(folder.path()).unwrap();
        let entries = entries.map(|entry| entry.unwrap());
        entries
            .map(|entry| (entry.file_name(), fs::read(entry.path()).unwrap()))
            .collect()
    };
    let before = files();
    let run = world.record().await;
    let first = world.engine().recorded_results(&run).await.unwrap();
    let second = world.engine().partial_results(&run).await.unwrap();
    let third = world.engine().recorded_results(&run).await.unwrap();
    assert_eq!(files(), before, "a reader writes no named file");
    for finished in [&second, &third, &first] {
        let said = read(world.engine(), finished);
        assert_eq!(said, ["a: one", "b: two", "c: three"]);
    }
}
