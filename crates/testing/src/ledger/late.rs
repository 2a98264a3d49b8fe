//! Clauses about batches: late acknowledgements, and the lookup of known batches.
#![expect(clippy::unwrap_used, reason = "a clause fails by a panic")]

use std::collections::HashSet;

use lmbatch_core::{
    AccountId, BatchId, Certainty, LateAcknowledgement, Ledger, Proof, RunRecord, ShardKey,
    ShardState,
};

use super::Subject;
use super::records::{created, intent, run, shard, snapshot};

/// Returns the acknowledgement of a create whose shard another worker has advanced.
pub(super) fn acknowledged(run: &str, shard: u32, batch: &str) -> LateAcknowledgement {
    LateAcknowledgement {
        key: ShardKey {
            run: run.into(),
            shard,
        },
        batch: BatchId::new(batch),
        evidence: "its create was answered".into(),
        at: lmbatch_core::parse_time("2026-11-23T11:00:00.5Z"),
    }
}

fn own_account() -> AccountId {
    "v2-own".into()
}

/// Returns the batches that a ledger knows among the given ones, sorted.
async fn known(ledger: &dyn Ledger, account: &AccountId, batches: &[&str]) -> Vec<String> {
    let asked: Vec<BatchId> = batches.iter().map(|batch| BatchId::new(*batch)).collect();
    let known = ledger.known(account, &asked).await.unwrap();
    let mut known: Vec<String> = known.iter().map(ToString::to_string).collect();
    known.sort_unstable();
    known
}

pub(super) async fn a_late_acknowledgement_causes_no_conflict(subject: Subject) {
    let (ledger, other) = (&subject.ledger, subject.elsewhere().await);
    ledger
        .begin(&run("r-one"), &[shard("r-one", 0)])
        .await
        .unwrap();
    let mut now = shard("r-one", 0);
    let states = [
        ShardState::Posting(intent("w")),
        ShardState::Doubt(intent("w")),
        created("b"),
        ShardState::Ended(snapshot("b")),
    ];
    for (count, state) in (1..).zip(states) {
        // The worker that lost the shard records it between a read and a write of the worker that holds the shard.
        let late = acknowledged("r-one", 0, &format!("late-{count}"));
        other.acknowledge_late(&late).await.unwrap();
        now = now.advanced(state);
        now.epoch = ledger.advance(&now).await.unwrap();
        assert_eq!(now.epoch, count);
        assert_eq!(ledger.shards("r-one").await.unwrap(), [now.clone()]);
        let found = ledger.late_acknowledgements(&now.key).await.unwrap();
        assert_eq!(found.len() as u64, count);
        assert_eq!(found.last(), Some(&late));
    }
    assert_eq!(ledger.run("r-one").await.unwrap(), Some(run("r-one")));
    ledger.change(&run("r-one"), &[]).await.unwrap();
}

pub(super) async fn late_acknowledgements_of_a_shard_are_listed_oldest_first(subject: Subject) {
    let ledger = subject.ledger;
    for id in ["r-one", "r-two"] {
        let shards = [shard(id, 0), shard(id, 1)];
        ledger.begin(&run(id), &shards).await.unwrap();
    }
    // Neither in the order of their ids nor in that of their times.
    let second = LateAcknowledgement {
        at: lmbatch_core::parse_time("2020-01-01T00:00:00Z"),
        ..acknowledged("r-one", 0, "a")
    };
    let third = LateAcknowledgement {
        at: None,
        ..acknowledged("r-one", 0, "m")
    };
    let mine = [acknowledged("r-one", 0, "z"), second, third];
    for late in &mine {
        ledger.acknowledge_late(late).await.unwrap();
        // One batch may be acknowledged to several shards, each of which has to settle it.
        for (id, number) in [("r-one", 1), ("r-two", 0)] {
            let other = acknowledged(id, number, late.batch.as_str());
            ledger.acknowledge_late(&other).await.unwrap();
        }
    }
    let found = ledger.late_acknowledgements(&mine[0].key).await.unwrap();
    assert_eq!(found, mine);
    for (id, number, count) in [
        ("r-one", 1, 3),
        ("r-two", 0, 3),
        ("r-two", 1, 0),
        ("r-none", 0, 0),
    ] {
        let key = acknowledged(id, number, "").key;
        let found = ledger.late_acknowledgements(&key).await.unwrap();
        assert_eq!(found.len(), count, "{key}");
    }
}

pub(super) async fn a_batch_is_acknowledged_once(subject: Subject) {
    let ledger = subject.ledger;
    ledger
        .begin(&run("r-one"), &[shard("r-one", 0)])
        .await
        .unwrap();
    let first = acknowledged("r-one", 0, "b");
    let again = LateAcknowledgement {
        evidence: "it is listed".into(),
        at: None,
        ..first.clone()
    };
    for late in [&first, &first, &again] {
        ledger.acknowledge_late(late).await.unwrap();
    }
    let found = ledger.late_acknowledgements(&first.key).await.unwrap();
    assert_eq!(found, [first]);
}

pub(super) async fn an_acknowledgement_without_a_shard_is_an_error(subject: Subject) {
    let ledger = subject.ledger;
    ledger
        .begin(&run("r-one"), &[shard("r-one", 0)])
        .await
        .unwrap();
    for (id, number) in [("r-one", 1), ("r-none", 0)] {
        let late = acknowledged(id, number, "lost-batch");
        let error = ledger.acknowledge_late(&late).await;
        // Only the caller knows the batch now, so it must get an error.
        let error = error.expect_err("a batch without a shard is recorded nowhere");
        assert!(format!("{error:?}").contains("lost-batch"), "{error:?}");
        let found = ledger.late_acknowledgements(&late.key).await.unwrap();
        assert_eq!(found, []);
    }
    assert_eq!(
        known(&*ledger, &own_account(), &["lost-batch"]).await,
        [""; 0]
    );
}

pub(super) async fn late_acknowledgements_are_deleted_with_their_run(subject: Subject) {
    let ledger = subject.ledger;
    for id in ["r-one", "r-two"] {
        ledger.begin(&run(id), &[shard(id, 0)]).await.unwrap();
        let late = acknowledged(id, 0, &format!("of-{id}"));
        ledger.acknowledge_late(&late).await.unwrap();
    }
    ledger.delete("r-one").await.unwrap();
    let left = known(&*ledger, &own_account(), &["of-r-one", "of-r-two"]).await;
    assert_eq!(left, ["of-r-two"]);
    ledger
        .begin(&run("r-one"), &[shard("r-one", 0)])
        .await
        .unwrap();
    let key = shard("r-one", 0).key;
    assert_eq!(ledger.late_acknowledgements(&key).await.unwrap(), []);
    // A ledger that is opened again has all records.
    ledger
        .all_runs(lmbatch_core::RunFilter::default())
        .await
        .unwrap();
}

pub(super) async fn a_batch_is_known_once_it_is_created(subject: Subject) {
    let ledger = subject.ledger;
    let sealed = ShardState::Sealed {
        snapshot: snapshot("b"),
        segments: Vec::new(),
        locations: None,
        undelivered: 0,
    };
    for (number, (state, is_known)) in [
        (ShardState::Planned, false),
        (ShardState::Staged(intent("b").staged), false),
        (ShardState::Posting(intent("b")), false),
        (ShardState::Doubt(intent("b")), false),
        (ShardState::Refused, false),
        (created("b"), true),
        (ShardState::Ended(snapshot("b")), true),
        (sealed, true),
    ]
    .into_iter()
    .enumerate()
    {
        let id = format!("r-{number}");
        let moved = shard(&id, 0).advanced(state.clone());
        ledger.begin(&run(&id), &[shard(&id, 0)]).await.unwrap();
        ledger.advance(&moved).await.unwrap();
        let found = known(&*ledger, &own_account(), &["b"]).await;
        assert_eq!(!found.is_empty(), is_known, "{state:?}");
        ledger.delete(&id).await.unwrap();
        assert_eq!(
            known(&*ledger, &own_account(), &["b"]).await,
            [""; 0],
            "{state:?}"
        );
    }
}

pub(super) async fn a_batch_acknowledged_late_is_known(subject: Subject) {
    let ledger = subject.ledger;
    ledger
        .begin(&run("r-one"), &[shard("r-one", 0)])
        .await
        .unwrap();
    let late = acknowledged("r-one", 0, "late");
    ledger.acknowledge_late(&late).await.unwrap();
    assert_eq!(known(&*ledger, &own_account(), &["late"]).await, ["late"]);
}

pub(super) async fn an_abandoned_batch_is_not_known(subject: Subject) {
    let ledger = subject.ledger;
    let presumed = ShardState::Created {
        batch: "b".into(),
        proof: Proof {
            certainty: Certainty::Presumed,
            evidence: "it fits".into(),
        },
    };
    ledger
        .begin(&run("r-one"), &[shard("r-one", 0)])
        .await
        .unwrap();
    let mut now = shard("r-one", 0).advanced(presumed);
    now.epoch = ledger.advance(&now).await.unwrap();
    assert_eq!(known(&*ledger, &own_account(), &["b"]).await, ["b"]);
    let doubted = now.advanced(ShardState::Doubt(intent("b")));
    ledger.advance(&doubted).await.unwrap();
    assert_eq!(known(&*ledger, &own_account(), &["b"]).await, [""; 0]);
}

pub(super) async fn only_requested_batches_are_returned_as_known(subject: Subject) {
    let ledger = subject.ledger;
    let shards: Vec<_> = (0..300)
        .map(|number| shard("r-one", number).advanced(created(&format!("b-{number}"))))
        .collect();
    ledger.begin(&run("r-one"), &shards).await.unwrap();
    let late = acknowledged("r-one", 0, "late");
    ledger.acknowledge_late(&late).await.unwrap();
    assert_eq!(known(&*ledger, &own_account(), &[]).await, [""; 0]);
    // Ids are compared literally and completely.
    let asked = [
        "b-1",
        "b-1",
        "B-2",
        "b-30%",
        "b_3",
        "",
        "b-",
        "no'\"\\ne",
        "b-299",
    ];
    assert_eq!(
        known(&*ledger, &own_account(), &asked).await,
        ["b-1", "b-299"]
    );
    let many: Vec<BatchId> = (0..2_500).map(|n| BatchId::new(format!("b-{n}"))).collect();
    let found = ledger.known(&own_account(), &many).await.unwrap();
    let expected: HashSet<BatchId> = many.into_iter().take(300).collect();
    assert_eq!(found, expected);
}

/// Returns a run of the given account.
fn under(id: &str, account: &str) -> RunRecord {
    RunRecord {
        account: account.into(),
        ..run(id)
    }
}

pub(super) async fn a_batch_of_another_account_is_not_known(subject: Subject) {
    let ledger = subject.ledger;
    for (id, account) in [("r-one", "v2-own"), ("r-two", "v2-theirs")] {
        let shards = [shard(id, 0).advanced(created(&format!("of-{account}")))];
        ledger.begin(&under(id, account), &shards).await.unwrap();
        let late = acknowledged(id, 0, &format!("late-of-{account}"));
        ledger.acknowledge_late(&late).await.unwrap();
    }
    let asked = [
        "of-v2-own",
        "of-v2-theirs",
        "late-of-v2-own",
        "late-of-v2-theirs",
    ];
    let found = known(&*ledger, &own_account(), &asked).await;
    assert_eq!(found, ["late-of-v2-own", "of-v2-own"]);
    // The account of a run is the one in its current record.
    ledger.change(&under("r-two", "v2-own"), &[]).await.unwrap();
    assert_eq!(known(&*ledger, &own_account(), &asked).await.len(), 4);
    assert_eq!(known(&*ledger, &"v2-theirs".into(), &asked).await, [""; 0]);
}

pub(super) async fn a_batch_of_an_ambiguous_account_is_known(subject: Subject) {
    let ledger = subject.ledger;
    // The account id of an earlier version is a digest that includes the key.
    let shards = [shard("r-one", 0).advanced(created("b"))];
    ledger
        .begin(&under("r-one", "f00d"), &shards)
        .await
        .unwrap();
    ledger
        .acknowledge_late(&acknowledged("r-one", 0, "late"))
        .await
        .unwrap();
    for account in ["v2-own", "f00d", "beef"] {
        let found = known(&*ledger, &account.into(), &["b", "late"]).await;
        assert_eq!(found, ["b", "late"], "{account}");
    }
}
