//! Clauses about writes: runs, shards, and changes of both.
#![expect(clippy::unwrap_used, reason = "a clause fails by a panic")]

use lmbatch_core::{
    Change, Error, ErrorKind, Ledger, RunFilter, RunRecord, ShardRecord, ShardState,
};

use super::Subject;
use super::late::acknowledged;
use super::records::{created, intent, run, shard, snapshot};

/// Returns a run with the given name.
fn named(id: &str, name: &str) -> RunRecord {
    RunRecord {
        name: Some(name.into()),
        ..run(id)
    }
}

fn conflict<T: std::fmt::Debug>(outcome: Result<T, Error>, what: &str) -> Error {
    let error = outcome.expect_err(what);
    assert_eq!(error.kind(), ErrorKind::Conflict, "{what}: {error}");
    error
}

/// Returns everything that a ledger holds about some runs, for comparison.
async fn content(ledger: &dyn Ledger, ids: &[&str]) -> Vec<(Option<RunRecord>, Vec<ShardRecord>)> {
    let mut all = Vec::new();
    for id in ids {
        let found = ledger.run(id).await.unwrap();
        all.push((found, ledger.shards(id).await.unwrap()));
    }
    all
}

pub(super) async fn a_run_is_read_back_with_its_shards_by_number(subject: Subject) {
    let ledger = subject.ledger;
    // Some runs begin with shards in a later state.
    let third = ShardRecord {
        epoch: 4,
        ..shard("r-one", 2).advanced(created("b"))
    };
    let given = [third.clone(), shard("r-one", 0), shard("r-one", 1)];
    ledger
        .begin(&named("r-one", "first"), &given)
        .await
        .unwrap();
    ledger.begin(&run("r-two"), &[]).await.unwrap();
    let first = ledger.run("r-one").await.unwrap();
    assert_eq!(first, Some(named("r-one", "first")));
    let shards = ledger.shards("r-one").await.unwrap();
    assert_eq!(shards, [shard("r-one", 0), shard("r-one", 1), third]);
    assert_eq!(ledger.run("r-two").await.unwrap(), Some(run("r-two")));
    assert_eq!(ledger.shards("r-two").await.unwrap(), []);
    assert_eq!(ledger.run("r-none").await.unwrap(), None);
    assert_eq!(ledger.shards("r-none").await.unwrap(), []);
}

pub(super) async fn an_id_and_a_name_belong_to_one_run(subject: Subject) {
    let ledger = subject.ledger;
    ledger.begin(&named("r-one", "mine"), &[]).await.unwrap();
    for taken in [
        named("r-two", "mine"),
        named("r-one", "yours"),
        run("r-one"),
    ] {
        conflict(
            ledger.begin(&taken, &[]).await,
            "an id or a name that is taken",
        );
    }
    let one = ledger.run("r-one").await.unwrap();
    assert_eq!(one, Some(named("r-one", "mine")));
    for id in ["r-three", "r-four"] {
        ledger.begin(&run(id), &[]).await.unwrap();
    }
    let all = ledger.all_runs(RunFilter::default()).await.unwrap();
    assert_eq!(all.len(), 3);
}

pub(super) async fn a_failed_begin_leaves_nothing(subject: Subject) {
    let ledger = subject.ledger;
    let twice = [shard("r-one", 0), shard("r-one", 1), shard("r-one", 0)];
    conflict(
        ledger.begin(&run("r-one"), &twice).await,
        "a shard given twice",
    );
    ledger.begin(&named("r-two", "mine"), &[]).await.unwrap();
    let taken = ledger
        .begin(&named("r-three", "mine"), &[shard("r-three", 0)])
        .await;
    conflict(taken, "a name that is taken");
    for id in ["r-one", "r-three"] {
        assert_eq!(ledger.run(id).await.unwrap(), None, "{id}");
        assert_eq!(ledger.shards(id).await.unwrap(), [], "{id}");
        ledger.begin(&run(id), &[shard(id, 0)]).await.unwrap();
    }
}

pub(super) async fn shards_of_another_run_are_refused(subject: Subject) {
    let ledger = subject.ledger;
    let strange = [shard("r-two", 5)];
    let begun = ledger.begin(&run("r-one"), &strange).await;
    assert!(begun.is_err(), "a run begins with another's shard");
    for id in ["r-one", "r-two"] {
        ledger.begin(&run(id), &[shard(id, 0)]).await.unwrap();
    }
    let changed = ledger.change(&run("r-one"), &strange).await;
    assert!(changed.is_err(), "a change adds another run's shard");
    let without = Change {
        new_shards: &strange,
        ..Change::default()
    };
    let applied = ledger.apply(&without).await;
    assert!(applied.is_err(), "a shard is added without its run");
    assert_eq!(ledger.shards("r-two").await.unwrap(), [shard("r-two", 0)]);
    assert_eq!(ledger.run("r-one").await.unwrap(), Some(run("r-one")));
}

pub(super) async fn a_new_record_is_kept_as_given_at_the_next_epoch(subject: Subject) {
    let ledger = subject.ledger;
    ledger
        .begin(&run("r-one"), &[shard("r-one", 0)])
        .await
        .unwrap();
    // Other fields than the state may change as well.
    let mut now = shard("r-one", 0).advanced(ShardState::Doubt(intent("w")));
    for epoch in 1..4 {
        now.bytes += 1;
        assert_eq!(ledger.advance(&now).await.unwrap(), epoch);
        now.epoch = epoch;
        assert_eq!(ledger.shards("r-one").await.unwrap(), [now.clone()]);
    }
    let mut now = RunRecord {
        attempt: 1,
        account: "v2-other".into(),
        cancelled: true,
        ..run("r-one")
    };
    for epoch in 1..4 {
        let new = shard("r-one", epoch);
        now.requested_attempt += 1;
        let changed = ledger.change(&now, std::slice::from_ref(&new)).await;
        assert_eq!(changed.unwrap(), u64::from(epoch));
        now.epoch = u64::from(epoch);
        assert_eq!(ledger.run("r-one").await.unwrap(), Some(now.clone()));
        assert_eq!(ledger.shards("r-one").await.unwrap()[epoch as usize], new);
    }
    ledger.apply(&Change::default()).await.unwrap();
    assert_eq!(ledger.run("r-one").await.unwrap(), Some(now));
}

pub(super) async fn the_second_writer_of_a_shard_gets_a_conflict(subject: Subject) {
    let (ledger, other) = (&subject.ledger, subject.elsewhere().await);
    ledger
        .begin(&run("r-one"), &[shard("r-one", 0)])
        .await
        .unwrap();
    let read = other.shards("r-one").await.unwrap().remove(0);
    let posting = read.clone().advanced(ShardState::Posting(intent("w")));
    ledger.advance(&posting).await.unwrap();
    let late = other
        .advance(&read.clone().advanced(ShardState::Refused))
        .await;
    conflict(late, "a shard that has moved on");
    let early = ShardRecord { epoch: 2, ..read };
    conflict(ledger.advance(&early).await, "an epoch that is yet to come");
    let expected = ShardRecord {
        epoch: 1,
        ..posting
    };
    assert_eq!(other.shards("r-one").await.unwrap(), [expected]);
}

pub(super) async fn the_second_writer_of_a_run_gets_a_conflict(subject: Subject) {
    let (ledger, other) = (&subject.ledger, subject.elsewhere().await);
    ledger.begin(&run("r-one"), &[]).await.unwrap();
    let cancelled = RunRecord {
        cancelled: true,
        ..run("r-one")
    };
    ledger.change(&cancelled, &[]).await.unwrap();
    let late = other.change(&run("r-one"), &[shard("r-one", 0)]).await;
    conflict(late, "a run that has changed");
    let early = RunRecord {
        epoch: 2,
        ..run("r-one")
    };
    conflict(
        ledger.change(&early, &[]).await,
        "an epoch that is yet to come",
    );
    let expected = RunRecord {
        epoch: 1,
        ..cancelled
    };
    assert_eq!(other.run("r-one").await.unwrap(), Some(expected));
    assert_eq!(other.shards("r-one").await.unwrap(), []);
}

pub(super) async fn a_change_is_atomic(subject: Subject) {
    let ledger = subject.ledger;
    let shards: Vec<ShardRecord> = (0..3).map(|number| shard("r-one", number)).collect();
    ledger.begin(&run("r-one"), &shards).await.unwrap();
    let (stale_run, stale_shard) = (
        RunRecord {
            epoch: 9,
            ..run("r-one")
        },
        ShardRecord {
            epoch: 9,
            ..shard("r-one", 2)
        },
    );
    let moved = |number| shard("r-one", number).advanced(ShardState::Refused);
    let before = content(&*ledger, &["r-one"]).await;
    for (what, shards, run, new_shards) in [
        ("the run", vec![moved(0)], stale_run, vec![]),
        (
            "the last shard",
            vec![moved(0), moved(1), stale_shard],
            run("r-one"),
            vec![],
        ),
        (
            "a new shard",
            vec![moved(0)],
            run("r-one"),
            vec![shard("r-one", 3), shard("r-one", 1)],
        ),
        (
            "a new shard given twice",
            vec![],
            run("r-one"),
            vec![shard("r-one", 3), shard("r-one", 3)],
        ),
    ] {
        let change = Change {
            shards: &shards,
            run: Some(&run),
            new_shards: &new_shards,
        };
        conflict(ledger.apply(&change).await, what);
        let after = content(&*ledger, &["r-one"]).await;
        assert_eq!(
            after, before,
            "something was applied although {what} conflicts"
        );
    }
    let change = Change {
        shards: &[moved(0), moved(1)],
        run: Some(&run("r-one")),
        new_shards: &[shard("r-one", 3)],
    };
    ledger.apply(&change).await.unwrap();
    let after = ledger.shards("r-one").await.unwrap();
    let epochs: Vec<u64> = after.iter().map(|shard| shard.epoch).collect();
    assert_eq!(epochs, [1, 1, 0, 0]);
    assert_eq!(ledger.run("r-one").await.unwrap().unwrap().epoch, 1);
}

pub(super) async fn a_change_advances_shards_of_several_runs(subject: Subject) {
    let ledger = subject.ledger;
    for id in ["r-one", "r-two"] {
        ledger.begin(&run(id), &[shard(id, 0)]).await.unwrap();
    }
    let moved = |id| shard(id, 0).advanced(ShardState::Refused);
    let both = [moved("r-one"), moved("r-two")];
    let change = Change {
        shards: &both,
        ..Change::default()
    };
    ledger.apply(&change).await.unwrap();
    for id in ["r-one", "r-two"] {
        let found = ledger.shards(id).await.unwrap().remove(0);
        assert_eq!((found.state, found.epoch), (ShardState::Refused, 1), "{id}");
    }
}

pub(super) async fn a_change_advances_a_shard_at_most_once(subject: Subject) {
    let ledger = subject.ledger;
    ledger
        .begin(&run("r-one"), &[shard("r-one", 0)])
        .await
        .unwrap();
    let twice = [
        shard("r-one", 0).advanced(ShardState::Refused),
        shard("r-one", 0).advanced(created("b")),
    ];
    let change = Change {
        shards: &twice,
        ..Change::default()
    };
    conflict(ledger.apply(&change).await, "a shard moved twice");
    assert_eq!(ledger.shards("r-one").await.unwrap(), [shard("r-one", 0)]);
}

pub(super) async fn a_run_keeps_its_name_and_its_position(subject: Subject) {
    let ledger = subject.ledger;
    ledger.begin(&named("r-one", "mine"), &[]).await.unwrap();
    ledger.begin(&run("r-two"), &[]).await.unwrap();
    ledger.change(&named("r-one", "yours"), &[]).await.unwrap();
    let expected = RunRecord {
        epoch: 1,
        ..named("r-one", "mine")
    };
    assert_eq!(ledger.run("r-one").await.unwrap(), Some(expected.clone()));
    assert_eq!(ledger.run_named("mine").await.unwrap(), Some(expected));
    assert_eq!(ledger.run_named("yours").await.unwrap(), None);
    let all = ledger.all_runs(RunFilter::default()).await.unwrap();
    let ids: Vec<&str> = all.iter().map(|run| &*run.id).collect();
    assert_eq!(ids, ["r-two", "r-one"]);
}

pub(super) async fn writing_a_deleted_record_is_a_conflict(subject: Subject) {
    let ledger = subject.ledger;
    ledger
        .begin(&run("r-one"), &[shard("r-one", 0)])
        .await
        .unwrap();
    let unplanned = ledger.advance(&shard("r-one", 1)).await;
    conflict(unplanned, "a shard that never was");
    ledger.delete("r-one").await.unwrap();
    let moved = ledger.advance(&shard("r-one", 0)).await;
    conflict(moved, "a shard of a run that is gone");
    let changed = ledger.change(&run("r-one"), &[shard("r-one", 1)]).await;
    conflict(changed, "a run that is gone");
    assert_eq!(ledger.run("r-one").await.unwrap(), None);
    assert_eq!(ledger.shards("r-one").await.unwrap(), []);
}

pub(super) async fn a_conflict_names_its_record(subject: Subject) {
    let ledger = subject.ledger;
    let both = [shard("r-one", 0), shard("r-one", 1)];
    ledger.begin(&run("r-one"), &both).await.unwrap();
    ledger.advance(&shard("r-one", 1)).await.unwrap();
    let change = Change {
        shards: &both,
        ..Change::default()
    };
    let error = conflict(ledger.apply(&change).await, "a shard").to_string();
    assert!(error.contains("shard 1 of run r-one"), "{error}");
    let added = ledger.change(&run("r-one"), &[shard("r-one", 0)]).await;
    let error = conflict(added, "a shard that exists").to_string();
    assert!(error.contains("shard 0 of run r-one"), "{error}");
    let stale = RunRecord {
        epoch: 1,
        ..run("r-one")
    };
    let error = conflict(ledger.change(&stale, &[]).await, "a run").to_string();
    assert!(error.contains("run r-one"), "{error}");
    let error = conflict(ledger.begin(&run("r-one"), &[]).await, "an id").to_string();
    assert!(error.contains("r-one"), "{error}");
}

pub(super) async fn a_forgotten_run_leaves_nothing(subject: Subject) {
    let ledger = subject.ledger;
    for id in ["r-one", "r-two"] {
        let shards = [shard(id, 0), shard(id, 1)];
        ledger.begin(&named(id, id), &shards).await.unwrap();
    }
    let before = content(&*ledger, &["r-two"]).await;
    ledger.delete("r-one").await.unwrap();
    ledger.delete("r-one").await.unwrap();
    ledger.delete("r-none").await.unwrap();
    assert_eq!(ledger.run("r-one").await.unwrap(), None);
    assert_eq!(ledger.run_named("r-one").await.unwrap(), None);
    assert_eq!(ledger.shards("r-one").await.unwrap(), []);
    assert_eq!(content(&*ledger, &["r-two"]).await, before);
    let all = ledger.all_runs(RunFilter::default()).await.unwrap();
    assert_eq!(all.len(), 1);
    // The id, the name and the shard numbers can be used again.
    let again = [shard("r-one", 1)];
    ledger
        .begin(&named("r-one", "r-one"), &again)
        .await
        .unwrap();
    assert_eq!(ledger.shards("r-one").await.unwrap(), again);
}

pub(super) async fn records_survive_the_process(subject: Subject) {
    let ledger = &subject.ledger;
    let states = [
        ShardState::Planned,
        ShardState::Staged(intent("w").staged),
        ShardState::Posting(intent("w")),
        ShardState::Doubt(intent("w")),
        ShardState::Refused,
        created("b5"),
        ShardState::Ended(snapshot("b6")),
        ShardState::Sealed {
            snapshot: snapshot("b7"),
            segments: Vec::new(),
            locations: None,
            undelivered: 3,
        },
    ];
    let numbers = 0..states.len() as u32;
    let shards: Vec<ShardRecord> = numbers.map(|number| shard("r-one", number)).collect();
    ledger
        .begin(&named("r-one", "mine"), &shards)
        .await
        .unwrap();
    ledger.begin(&run("r-two"), &[]).await.unwrap();
    let late = acknowledged("r-one", 3, "late");
    ledger.acknowledge_late(&late).await.unwrap();
    let mut expected = Vec::new();
    for (shard, state) in shards.into_iter().zip(states) {
        let moved = shard.advanced(state);
        let epoch = ledger.advance(&moved).await.unwrap();
        expected.push(ShardRecord { epoch, ..moved });
        let other = subject.elsewhere().await;
        let found = other.shards("r-one").await.unwrap();
        assert_eq!(found[..expected.len()], expected);
    }
    let other = subject.elsewhere().await;
    let all = other.all_runs(RunFilter::default()).await.unwrap();
    assert_eq!(all, [run("r-two"), named("r-one", "mine")]);
    let found = other.late_acknowledgements(&late.key).await.unwrap();
    assert_eq!(found, [late]);
    let asked = ["b6".into(), "late".into()];
    let known = other.known(&"v2-own".into(), &asked).await.unwrap();
    assert_eq!(known.len(), 2);
}

pub(super) async fn two_processes_can_write_alternately(subject: Subject) {
    let (one, two) = (&subject.ledger, subject.elsewhere().await);
    one.begin(&run("r-one"), &[shard("r-one", 0)])
        .await
        .unwrap();
    let shards = async {
        for epoch in 0..50 {
            let now = ShardRecord {
                epoch,
                ..shard("r-one", 0)
            };
            one.advance(&now).await.unwrap();
        }
    };
    let runs = async {
        for epoch in 0..50 {
            let now = RunRecord {
                epoch,
                ..run("r-one")
            };
            two.change(&now, &[]).await.unwrap();
        }
    };
    futures::join!(shards, runs);
    let (found, shards) = content(&**one, &["r-one"]).await.remove(0);
    assert_eq!((found.unwrap().epoch, shards[0].epoch), (50, 50));
}

pub(super) async fn a_revision_differs_once_a_run_was_changed_anywhere(subject: Subject) {
    let ledger = &subject.ledger;
    ledger.begin(&run("r-one"), &[]).await.unwrap();
    let Some(mut before) = ledger.revision().await.unwrap() else {
        return;
    };
    let unchanged = ledger.revision().await.unwrap();
    assert_eq!(unchanged, Some(before), "nothing was changed");
    let elsewhere = subject.elsewhere().await;
    let opened = ledger.revision().await.unwrap();
    assert_eq!(
        opened,
        Some(before),
        "another process has opened the ledger"
    );
    for (epoch, writer) in [ledger, &elsewhere].into_iter().enumerate() {
        let cancelled = RunRecord {
            epoch: epoch as u64,
            cancelled: true,
            ..run("r-one")
        };
        writer.change(&cancelled, &[]).await.unwrap();
        let after = ledger.revision().await.unwrap();
        assert_ne!(after, Some(before), "change {epoch}");
        before = after.unwrap();
    }
    elsewhere.delete("r-one").await.unwrap();
    let after = ledger.revision().await.unwrap();
    assert_ne!(after, Some(before), "the run was deleted");
}
