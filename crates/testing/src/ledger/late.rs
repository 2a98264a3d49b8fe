//! Clauses about batches: late acknowledgements, and the lookup of known batches.
#![expect(clippy::unwrap_used, reason = "a clause fails by a panic")]

use std::collections::HashSet;

use lmbatch_core::{
    AccountId, BatchId, Certainty, Change, Closed, ErrorKind, LateAcknowledgement, Ledger, Proof,
    RunRecord, ShardKey, ShardRecord, ShardState,
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
        evidence: "id returned by the create".into(),
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

/// Runs of one account and of others, each with one shard that has `state`.
async fn runs_with(ledger: &dyn Ledger, runs: &[(&str, &str)], state: &ShardState) {
    for (id, account) in runs {
        let run = RunRecord {
            account: AccountId::new(*account),
            ..run(id)
        };
        let moved = shard(id, 0).advanced(state.clone());
        ledger.begin(&run, &[moved]).await.unwrap();
    }
}

pub(super) async fn a_batch_belongs_to_one_shard_of_its_account(subject: Subject) {
    let (ledger, other) = (&subject.ledger, subject.elsewhere().await);
    let runs = [
        ("r-one", "v2-own"),
        ("r-two", "v2-own"),
        ("r-far", "v2-far"),
    ];
    runs_with(&**ledger, &runs, &ShardState::Doubt(intent("w"))).await;
    ledger
        .change(&run("r-one"), &[shard("r-one", 1)])
        .await
        .unwrap();
    let taking = |id: &str, number| ShardRecord {
        epoch: 0,
        ..shard(id, number).advanced(presumed("b"))
    };
    ledger.advance(&taking("r-one", 0)).await.unwrap();
    // Neither a shard of the same run nor one of another run takes it as well, in this process or in another.
    for (id, number) in [("r-one", 1), ("r-two", 0)] {
        let error = other.advance(&taking(id, number)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict, "{id}: {error}");
        assert_eq!(error.batch(), Some(&BatchId::new("b")), "{id}");
        let kept = ledger.shards(id).await.unwrap();
        assert_eq!(kept[number as usize].state.batch(), None, "{id}");
        assert_eq!(kept[number as usize].epoch, 0, "{id}");
    }
    // A conflict about an epoch names no batch.
    let stale = ledger.advance(&taking("r-one", 0)).await.unwrap_err();
    assert_eq!((stale.kind(), stale.batch()), (ErrorKind::Conflict, None));
    // Another account may have a batch with the same id.
    ledger.advance(&taking("r-far", 0)).await.unwrap();
    // The owner continues, and a batch that it gives back can be taken.
    let mut owner = ShardRecord {
        epoch: 1,
        ..taking("r-one", 0)
    };
    owner = owner.advanced(ShardState::Ended(snapshot("b")));
    owner.epoch = ledger.advance(&owner).await.unwrap();
    let owner = owner.advanced(ShardState::Doubt(intent("w")));
    ledger.advance(&owner).await.unwrap();
    other.advance(&taking("r-two", 0)).await.unwrap();
    // A batch whose id the create returned is recorded in any case: some servers use an id twice.
    let certain = ShardRecord {
        epoch: 0,
        ..shard("r-one", 1).advanced(created("b"))
    };
    ledger.advance(&certain).await.unwrap();
}

/// Returns the state of a shard that was found to have created `batch` by its number of requests and its time.
fn presumed(batch: &str) -> ShardState {
    ShardState::Created {
        batch: BatchId::new(batch),
        proof: Proof {
            certainty: Certainty::Presumed,
            evidence: "by its number of requests".into(),
        },
    }
}

pub(super) async fn one_change_gives_a_batch_to_one_shard(subject: Subject) {
    let ledger = subject.ledger;
    let shards = [shard("r-one", 0), shard("r-one", 1)];
    ledger.begin(&run("r-one"), &shards).await.unwrap();
    let both = shards.clone().map(|shard| shard.advanced(presumed("b")));
    let twice = Change {
        shards: &both,
        ..Change::default()
    };
    let error = ledger.apply(&twice).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(ledger.shards("r-one").await.unwrap(), shards);
    ledger.advance(&both[0]).await.unwrap();
    // A new shard does not take it either, but a change may hand it over.
    let new = [shard("r-one", 2).advanced(presumed("b"))];
    let added = ledger.change(&run("r-one"), &new).await.unwrap_err();
    assert_eq!(added.batch(), Some(&BatchId::new("b")));
    let first = ShardRecord {
        epoch: 1,
        ..both[0].clone().advanced(ShardState::Doubt(intent("w")))
    };
    let handed = [both[1].clone(), first];
    let change = Change {
        shards: &handed,
        ..Change::default()
    };
    ledger.apply(&change).await.unwrap();
}

pub(super) async fn shards_that_share_a_batch_already_keep_it(subject: Subject) {
    let ledger = &subject.ledger;
    // As an earlier version recorded them.
    let runs = [("r-one", "v2-own"), ("r-two", "v2-own")];
    runs_with(&**ledger, &runs, &created("b")).await;
    let other = subject.elsewhere().await;
    for id in ["r-one", "r-two"] {
        let mut now = shard(id, 0).advanced(created("b"));
        now.bytes += 1;
        now.epoch = other.advance(&now).await.unwrap();
        let ended = now.advanced(ShardState::Ended(snapshot("b")));
        ledger.advance(&ended).await.unwrap();
    }
}

pub(super) async fn doubtful_shards_are_found_by_their_number_of_requests(subject: Subject) {
    let (ledger, other) = (&subject.ledger, subject.elsewhere().await);
    let states = [
        (ShardState::Planned, false),
        (ShardState::Staged(intent("w").staged), false),
        (ShardState::Posting(intent("w")), true),
        (ShardState::Doubt(intent("w")), true),
        (ShardState::Refused, false),
        (created("b"), false),
        (ShardState::Ended(snapshot("b-2")), false),
        (
            ShardState::Closed(Closed::Abandoned {
                message: "m".into(),
            }),
            false,
        ),
    ];
    let shards: Vec<ShardRecord> = (0..)
        .zip(&states)
        .map(|(number, (state, _))| shard("r-one", number).advanced(state.clone()))
        .collect();
    ledger.begin(&run("r-one"), &shards).await.unwrap();
    let runs = [("r-two", "v2-own"), ("r-far", "v2-far")];
    runs_with(&**ledger, &runs, &ShardState::Posting(intent("w"))).await;
    let finished = RunRecord {
        finished: true,
        ..run("r-old")
    };
    let old = shard("r-old", 0).advanced(ShardState::Doubt(intent("w")));
    ledger.begin(&finished, &[old]).await.unwrap();
    let mut found = other.doubtful(&own_account(), 2).await.unwrap();
    found.sort_by_key(|shard| (shard.key.run.clone(), shard.key.shard));
    let of_one = shards
        .iter()
        .zip(&states)
        .filter(|(_, (_, is_open))| *is_open);
    let mut expected: Vec<ShardRecord> = of_one.map(|(shard, _)| shard.clone()).collect();
    expected.push(shard("r-two", 0).advanced(ShardState::Posting(intent("w"))));
    assert_eq!(found, expected);
    assert_eq!(other.doubtful(&own_account(), 3).await.unwrap(), []);
    // One that is found meanwhile is not doubtful any more.
    let known = shards[3].clone().advanced(created("b-3"));
    ledger.advance(&known).await.unwrap();
    let found = other.doubtful(&own_account(), 2).await.unwrap();
    assert_eq!(found.len(), 2, "{found:?}");
}
