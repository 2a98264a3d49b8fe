//! Migration of ledgers of earlier versions, and refusal of ledgers of later ones.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod records;

use std::path::{Path, PathBuf};

use lmbatch_core::{
    BatchId, BatchSnapshot, BatchStatus, CreateToken, ErrorKind, IdRule, Intent,
    LateAcknowledgement, Ledger as _, Nonce, PartRole, ResultPart, RunFilter, RunRecord, Segment,
    ShardRecord, ShardState, Staged,
};
use lmbatch_ledger::SqliteLedger;
use records::{created, run, shard};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};

fn nonce(text: &str) -> Nonce {
    Nonce::parse(text).unwrap()
}

fn snapshot(batch: &str) -> BatchSnapshot {
    BatchSnapshot::new(BatchId::new(batch), BatchStatus::Completed)
}

fn intent(number: u32) -> Intent {
    Intent {
        label: shard("r-bcdefg", number).label,
        class: shard("x", 0).class,
        count: 2,
        bytes: 99,
        staged: Staged::default(),
        token: CreateToken::new("t"),
        posted_at: lmbatch_core::parse_time("2026-11-23T10:00:00Z"),
        watermark: Some("b0".into()),
        watermark_at: None,
        foreign_batches: vec!["b-other".into()],
    }
}

/// Returns a shard after some transitions.
fn moved(run: &str, number: u32, states: impl IntoIterator<Item = ShardState>) -> ShardRecord {
    let mut now = shard(run, number);
    for state in states {
        now = now.advanced(state);
        now.epoch += 1;
    }
    now
}

/// Returns the content of `fixtures/version-3.db`, newest run first. Version 3 wrote the file: the two runs,
/// each transition on its own, and a run between them that was deleted again.
fn third_version() -> Vec<(RunRecord, Vec<ShardRecord>)> {
    let open = RunRecord {
        id: "r-bcdefg".into(),
        nonce: nonce("abcdefghijkl"),
        key_hint: Some("k1".into()),
        notes: [("output".into(), "/out.jsonl".into())].into(),
        ..run("r-bcdefg")
    };
    let segment = Segment {
        part: ResultPart {
            batch: "b7".into(),
            name: "output".into(),
            role: PartRole::Output,
            shape: "x".into(),
            bytes: None,
        },
        name: "abcdefghijkl.seg-7".into(),
        bytes: 10,
        rows: 2,
        checksum: Some(1),
    };
    let sealed = |batch, segments, undelivered| ShardState::Sealed {
        snapshot: snapshot(batch),
        segments,
        locations: None,
        undelivered,
    };
    let states = [
        vec![],
        vec![ShardState::Staged(Staged::default())],
        vec![ShardState::Posting(intent(2))],
        vec![ShardState::Posting(intent(3)), ShardState::Doubt(intent(3))],
        vec![ShardState::Refused],
        vec![created()],
        vec![ShardState::Ended(snapshot("b6"))],
        vec![sealed("b7", vec![segment], 0)],
    ];
    let shards = (0..).zip(states);
    let shards = shards.map(|(number, states)| moved("r-bcdefg", number, states));
    let finished = RunRecord {
        name: None,
        digest: "d2".into(),
        account: "v2-a".into(),
        nonce: nonce("mnopqrstuvwx"),
        ids: IdRule::Ordinal(nonce("mnopqrstuvwx")),
        attempt: 1,
        finished: true,
        epoch: 1,
        ..run("r-nopqrs")
    };
    let its = vec![
        moved("r-nopqrs", 0, [sealed("b8", vec![], 2)]),
        shard("r-nopqrs", 1),
    ];
    vec![(finished, its), (open, shards.collect())]
}

async fn content(ledger: &SqliteLedger) -> Vec<(RunRecord, Vec<ShardRecord>)> {
    let mut all = Vec::new();
    for run in ledger.all_runs(RunFilter::default()).await.unwrap() {
        let shards = ledger.shards(&run.id).await.unwrap();
        all.push((run, shards));
    }
    all
}

/// Opens a ledger and reads every record of it.
async fn read(path: &Path) -> lmbatch_core::Result<()> {
    let ledger = SqliteLedger::open(path).await?;
    for run in ledger.all_runs(RunFilter::default()).await? {
        ledger.shards(&run.id).await?;
    }
    Ok(())
}

fn fixture(folder: &Path) -> PathBuf {
    let path = folder.join("ledger.db");
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/version-3.db");
    // The mode is not copied, because the fixture may be read-only.
    std::fs::write(&path, std::fs::read(kept).unwrap()).unwrap();
    path
}

#[tokio::test]
async fn a_version_3_ledger_is_read_unchanged_and_supports_every_lookup() {
    let folder = tempfile::tempdir().unwrap();
    let path = fixture(folder.path());
    let ledger = SqliteLedger::open(&path).await.unwrap();
    assert!(ledger.was_upgraded());
    assert!(!SqliteLedger::open(&path).await.unwrap().was_upgraded());
    assert_eq!(content(&ledger).await, third_version());
    let none = RunFilter::default;
    for (filter, id) in [
        (
            RunFilter {
                unfinished: true,
                ..none()
            },
            "r-bcdefg",
        ),
        (
            RunFilter {
                name: Some("mine".into()),
                ..none()
            },
            "r-bcdefg",
        ),
        (
            RunFilter {
                digest: Some("d2".into()),
                ..none()
            },
            "r-nopqrs",
        ),
        (
            RunFilter {
                account: Some("a".into()),
                ..none()
            },
            "r-bcdefg",
        ),
        (
            RunFilter {
                output: Some("/out.jsonl".into()),
                ..none()
            },
            "r-bcdefg",
        ),
        (
            RunFilter {
                nonce: Some(nonce("mnopqrstuvwx")),
                ..none()
            },
            "r-nopqrs",
        ),
        (
            RunFilter {
                batch: Some("b8".into()),
                ..none()
            },
            "r-nopqrs",
        ),
        (
            RunFilter {
                id_prefix: Some("r-no".into()),
                ..none()
            },
            "r-nopqrs",
        ),
    ] {
        let found = ledger.all_runs(filter.clone()).await.unwrap();
        let ids: Vec<&str> = found.iter().map(|run| &*run.id).collect();
        assert_eq!(ids, [id], "{filter:?}");
    }
    let asked = ["b0", "b1", "b6", "b7", "b8", "b-other"].map(BatchId::from);
    let known = ledger.known(&"v2-a".into(), &asked).await.unwrap();
    assert_eq!(known, asked[1..5].iter().cloned().collect());
    // The migrated ledger can be written, and is migrated only once.
    let (run, shards) = third_version().remove(1);
    ledger.change(&run, &[shard("r-bcdefg", 8)]).await.unwrap();
    let ended = shards[5]
        .clone()
        .advanced(ShardState::Ended(snapshot("b1")));
    ledger.advance(&ended).await.unwrap();
    let late = LateAcknowledgement {
        key: shards[3].key.clone(),
        batch: "late".into(),
        evidence: "its create was answered".into(),
        at: None,
    };
    ledger.acknowledge_late(&late).await.unwrap();
    let now = content(&ledger).await;
    ledger.close().await.unwrap();
    let again = SqliteLedger::open(&path).await.unwrap();
    assert_eq!(content(&again).await, now);
    let found = again.late_acknowledgements(&late.key).await.unwrap();
    assert_eq!(found, [late]);
}

#[tokio::test]
async fn migrating_a_damaged_version_3_ledger_is_an_error() {
    for (damage, says) in [
        (
            "UPDATE shard SET record = replace(record, 'b6', 'b9') WHERE number = 6",
            "the record of batch 7 of run r-bcdefg does not match its seal",
        ),
        (
            "UPDATE run SET record = '{' WHERE id = 'r-nopqrs'",
            "is damaged: 1 of its records are not JSON",
        ),
        (
            "DELETE FROM shard WHERE number = 6",
            "batches of the run r-bcdefg",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = fixture(folder.path());
        let pool = SqlitePool::connect_with(SqliteConnectOptions::new().filename(&path));
        let pool = pool.await.unwrap();
        sqlx::raw_sql(damage).execute(&pool).await.unwrap();
        pool.close().await;
        let error = read(&path).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Local, "{damage}");
        assert!(error.to_string().contains(says), "{damage}: {error}");
    }
}

#[tokio::test]
async fn a_version_1_ledger_is_migrated_and_a_later_version_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let options = SqliteConnectOptions::new()
        .filename(&path)
        .create_if_missing(true);
    let pool = SqlitePool::connect_with(options).await.unwrap();
    // Content as version 1 wrote it: several runs with one name, and deletions in the old format.
    let record = serde_json::to_string(&run("r-1")).unwrap();
    let cleaned = record.replace(
        "\"cleaned\":null",
        "\"cleaned\":{\"attempt\":0,\"batches\":false}",
    );
    assert_ne!(cleaned, record);
    let older = cleaned.replace("r-1", "r-0");
    sqlx::raw_sql(records::FIRST).execute(&pool).await.unwrap();
    let insert = sqlx::query("INSERT INTO run VALUES ('r-0', 1, ?), ('r-1', 2, ?)");
    let insert = insert.bind(older).bind(cleaned).execute(&pool);
    insert.await.unwrap();
    let ledger = SqliteLedger::open(&path).await.unwrap();
    let nameless = RunRecord {
        name: None,
        ..run("r-0")
    };
    assert_eq!(
        content(&ledger).await,
        [(run("r-1"), vec![]), (nameless, vec![])]
    );
    let taken = ledger.begin(&run("r-2"), &[]).await.unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::Conflict);
    let later = sqlx::raw_sql("PRAGMA user_version = 6");
    later.execute(&pool).await.unwrap();
    let error = SqliteLedger::open(&path).await.unwrap_err();
    assert!(error.to_string().contains("newer lmbatch"), "{error}");
}
