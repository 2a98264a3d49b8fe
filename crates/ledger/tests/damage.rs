//! A damaged ledger is reported as an error, and never returns fewer or other records. An intact file is
//! complete on its own.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod records;

use std::fs;
use std::path::Path;

use lmbatch_core::{
    BatchId, ErrorKind, LateAcknowledgement, Ledger as _, Proof, Result, RunFilter, RunRecord,
    ShardRecord, ShardState,
};
use lmbatch_ledger::SqliteLedger;
use records::{created, run, shard};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions};

type Content = Vec<(RunRecord, Vec<ShardRecord>)>;

/// Returns a late acknowledgement for a shard of the run with 30 shards.
fn late() -> LateAcknowledgement {
    LateAcknowledgement {
        key: shard("r-1", 3).key,
        batch: "late".into(),
        evidence: "id returned by the create".into(),
        at: None,
    }
}

async fn content(path: &Path) -> Result<Content> {
    let ledger = SqliteLedger::open(path).await?;
    let mut all = Vec::new();
    for run in ledger.all_runs(RunFilter::default()).await? {
        let found = ledger.run(&run.id).await?;
        assert_eq!(found.as_ref(), Some(&run));
        let shards = ledger.shards(&run.id).await?;
        if shards.len() == 30 {
            let late = ledger.late_acknowledgements(&late().key).await?;
            assert_eq!(late, [self::late()]);
        }
        all.push((run, shards));
    }
    ledger.close().await?;
    Ok(all)
}

/// Writes several runs with several batches in several states, over several pages, some of them free.
async fn populate(path: &Path) -> Content {
    let ledger = SqliteLedger::open(path).await.unwrap();
    for (id, count) in [("r-1", 30), ("r-2", 3), ("r-gone", 20), ("r-3", 1)] {
        let run = RunRecord {
            name: (id == "r-2").then(|| "mine".into()),
            ..run(id)
        };
        let shards: Vec<ShardRecord> = (0..count).map(|number| shard(id, number)).collect();
        ledger.begin(&run, &shards).await.unwrap();
    }
    for number in 0..10 {
        let state = ShardState::Created {
            batch: BatchId::new(format!("b{}", number + 1)),
            proof: Proof::proved("its create was answered"),
        };
        let moved = shard("r-1", number).advanced(state);
        ledger.advance(&moved).await.unwrap();
    }
    ledger.acknowledge_late(&late()).await.unwrap();
    ledger.delete("r-gone").await.unwrap();
    let more = [shard("r-3", 1), shard("r-3", 2)];
    let third = RunRecord {
        name: None,
        ..run("r-3")
    };
    ledger.change(&third, &more).await.unwrap();
    ledger.close().await.unwrap();
    let all = content(path).await.unwrap();
    assert_eq!(
        all.iter()
            .map(|(_, shards)| shards.len())
            .collect::<Vec<_>>(),
        [3, 3, 30]
    );
    all
}

/// Reproducible pseudo-random numbers, so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % limit
    }
}

/// Opens `bytes` as a ledger, with a journal next to it. Returns the content, or `None` where opening fails
/// with an error of the right kind.
async fn opened(bytes: &[u8], journal: Option<&[u8]>, what: &str) -> Option<Content> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    fs::write(&path, bytes).unwrap();
    if let Some(journal) = journal {
        fs::write(folder.path().join("ledger.db-journal"), journal).unwrap();
    }
    match content(&path).await {
        Ok(content) => Some(content),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Local, "{what}: {error}");
            assert!(error.to_string().contains("ledger.db"), "{what}: {error}");
            None
        }
    }
}

#[tokio::test]
async fn a_flipped_bit_is_an_error_or_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let whole = populate(&path).await;
    let bytes = fs::read(&path).unwrap();
    let (mut chance, mut noticed) = (Random(2_026), 0);
    for round in 0..400 {
        // Every fourth bit is in the header of the file, which controls how everything else is read.
        let at = chance.below(if round % 4 == 0 { 100 } else { bytes.len() });
        let bit = chance.below(8);
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << bit;
        let what = format!("bit {bit} of byte {at}");
        match opened(&flipped, None, &what).await {
            Some(content) => assert_eq!(content, whole, "{what}"),
            None => noticed += 1,
        }
    }
    // The other bits are in free pages, or in bytes that are never read.
    assert!(noticed > 100, "{noticed} of 400 were noticed");
}

#[tokio::test]
async fn a_truncated_file_or_one_with_holes_is_an_error_or_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let whole = populate(&path).await;
    let bytes = fs::read(&path).unwrap();
    let mut chance = Random(1_999);
    for _ in 0..60 {
        let cut = 1 + chance.below(bytes.len() - 1);
        let what = format!("cut at {cut}");
        // The end of the file may be a free page.
        if let Some(content) = opened(&bytes[..cut], None, &what).await {
            assert_eq!(content, whole, "{what}");
        }
        let sector = chance.below(bytes.len() / 512) * 512;
        let what = format!("the sector at {sector} is zero");
        let mut holed = bytes.clone();
        holed[sector..sector + 512].fill(0);
        if let Some(content) = opened(&holed, None, &what).await {
            assert_eq!(content, whole, "{what}");
        }
    }
}

#[tokio::test]
async fn missing_and_changed_rows_are_named_in_the_error() {
    for (damage, says) in [
        (
            "DELETE FROM shard WHERE run = 'r-1' AND number = 7",
            "29 of 30 batches of the run r-1 are present",
        ),
        (
            "PRAGMA foreign_keys = OFF; DELETE FROM run WHERE id = 'r-2'",
            "2 of 3 runs are present",
        ),
        (
            "UPDATE shard SET record = replace(record, 'b8', 'b2') WHERE run = 'r-1' AND number = 7",
            "the record of batch 8 of run r-1 does not match its seal",
        ),
        (
            "UPDATE run SET record = replace(record, '\"finished\":false', '\"finished\":true') WHERE id = 'r-2'",
            "the record of run r-2 does not match its seal",
        ),
        ("UPDATE shard SET epoch = 0 WHERE run = 'r-1'", "of run r-1"),
        (
            "UPDATE run SET name = 'other' WHERE id = 'r-2'",
            "of run r-2",
        ),
        ("DELETE FROM total", "the number of its runs is missing"),
        (
            "DELETE FROM late_acknowledgement",
            "0 of 1 late acknowledgements are present",
        ),
        (
            "UPDATE late_acknowledgement SET batch = 'other'",
            "a late acknowledgement of run r-1 does not match its seal",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        populate(&path).await;
        let options = SqliteConnectOptions::new().filename(&path);
        let pool = SqlitePool::connect_with(options).await.unwrap();
        sqlx::raw_sql(damage).execute(&pool).await.unwrap();
        pool.close().await;
        let error = content(&path).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Local);
        assert!(error.to_string().contains(says), "{damage}: {error}");
        assert!(error.to_string().contains("restore"), "{damage}: {error}");
    }
}

#[tokio::test]
async fn the_error_for_an_unreadable_record_names_its_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let options = SqliteConnectOptions::new()
        .filename(&path)
        .create_if_missing(true);
    let pool = SqlitePool::connect_with(options).await.unwrap();
    // The ledger as version 1 left it, without seals, with a record that no version writes.
    sqlx::raw_sql(records::FIRST).execute(&pool).await.unwrap();
    let insert = "INSERT INTO run VALUES ('r-1', 1, ?);
        INSERT INTO shard VALUES ('r-1', 4, 0, '{\"state\": \"odd\"}')";
    let record = serde_json::to_string(&run("r-1")).unwrap();
    let insert = sqlx::query(insert).bind(record);
    insert.execute(&pool).await.unwrap();
    pool.close().await;
    let error = content(&path).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Local);
    assert!(
        error.to_string().contains("a record of batch 5 of run r-1"),
        "{error}"
    );
}

#[tokio::test]
async fn a_damaged_record_does_not_hide_other_unfinished_runs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let ledger = SqliteLedger::open(&path).await.unwrap();
    for id in ["r-1", "r-2", "r-3"] {
        let run = RunRecord {
            name: None,
            finished: id == "r-1",
            ..run(id)
        };
        ledger.begin(&run, &[shard(id, 0)]).await.unwrap();
    }
    ledger.close().await.unwrap();
    let options = SqliteConnectOptions::new().filename(&path);
    let raw = SqlitePool::connect_with(options).await.unwrap();
    sqlx::query("UPDATE run SET seal = 'x' WHERE id = 'r-2'")
        .execute(&raw)
        .await
        .unwrap();
    raw.close().await;
    let ledger = SqliteLedger::open(&path).await.unwrap();
    let unfinished = ledger.unfinished_runs().await.unwrap();
    assert_eq!(unfinished, ["r-2".into(), "r-3".into()] as [Box<str>; 2]);
    assert!(ledger.run("r-2").await.is_err());
    assert!(ledger.run("r-3").await.unwrap().is_some());
    assert_eq!(ledger.count_runs().await.unwrap(), 3);
}

#[tokio::test]
async fn the_file_is_complete_without_its_journal_after_every_transition() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    // The ledger is not closed, as when a process is killed.
    let ledger = SqliteLedger::open(&path).await.unwrap();
    let copied = async |expected: Content| {
        // No file next to the ledger holds any data.
        let files = fs::read_dir(folder.path()).unwrap();
        let files = files.map(|entry| entry.unwrap());
        let full = files.filter(|entry| entry.metadata().unwrap().len() > 0);
        let full = full.map(|entry| entry.file_name());
        assert_eq!(full.collect::<Vec<_>>(), ["ledger.db"]);
        let bytes = fs::read(&path).unwrap();
        assert_eq!(opened(&bytes, None, "a copy").await, Some(expected));
    };
    ledger.begin(&run("r-1"), &[shard("r-1", 0)]).await.unwrap();
    copied(vec![(run("r-1"), vec![shard("r-1", 0)])]).await;
    for state in [ShardState::Planned, created(), ShardState::Refused] {
        let now = ledger.shards("r-1").await.unwrap().remove(0);
        ledger.advance(&now.advanced(state)).await.unwrap();
        let shards = ledger.shards("r-1").await.unwrap();
        copied(vec![(run("r-1"), shards)]).await;
    }
    ledger.delete("r-1").await.unwrap();
    copied(Vec::new()).await;
}

/// Returns the file and its journal in the middle of a transaction: the journal is synced, and some pages are
/// written.
async fn torn(path: &Path) -> (Vec<u8>, Vec<u8>) {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Delete)
        .pragma("cache_size", "2")
        .pragma("cache_spill", "2");
    let pool = SqlitePoolOptions::new().max_connections(1);
    let pool = pool.connect_with(options).await.unwrap();
    let before = fs::read(path).unwrap();
    let mut all = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let change = "UPDATE shard SET record = record || ' '; UPDATE run SET record = record || ' ';
        INSERT INTO shard SELECT run, number + 1000, epoch, record, seal FROM shard;";
    sqlx::raw_sql(change).execute(&mut *all).await.unwrap();
    let after = fs::read(path).unwrap();
    assert_ne!(before, after, "pages were written");
    let journal = fs::read(path.with_extension("db-journal")).unwrap();
    all.rollback().await.unwrap();
    pool.close().await;
    (after, journal)
}

#[tokio::test]
async fn a_transaction_torn_by_a_power_loss_is_rolled_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let whole = populate(&path).await;
    let (bytes, journal) = torn(&path).await;
    let rolled_back = opened(&bytes, Some(&journal), "torn").await;
    assert_eq!(rolled_back.as_ref(), Some(&whole));
    // A damaged or missing journal does no harm either: the ledger has the content before, or opening fails.
    let mut chance = Random(7);
    for round in 0..150 {
        let (mut damaged, at) = (journal.clone(), chance.below(journal.len()));
        match round % 3 {
            0 => damaged.truncate(at),
            1 => damaged[at] ^= 1 << chance.below(8),
            _ => damaged[chance.below(28)] ^= 1 << chance.below(8),
        }
        let what = format!("round {round} at {at}");
        if let Some(content) = opened(&bytes, Some(&damaged), &what).await {
            assert_eq!(content, whole, "{what}");
        }
    }
    assert_eq!(opened(&bytes, None, "no journal").await, None);
}

#[tokio::test]
async fn a_write_ahead_log_of_an_earlier_version_is_merged_into_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (
        folder.path().join("old.db"),
        folder.path().join("ledger.db"),
    );
    let options = SqliteConnectOptions::new()
        .filename(&path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal);
    let pool = SqlitePool::connect_with(options).await.unwrap();
    sqlx::raw_sql(records::FIRST).execute(&pool).await.unwrap();
    let insert = sqlx::query("INSERT INTO run VALUES ('r-1', 1, ?)");
    let record = serde_json::to_string(&run("r-1")).unwrap();
    insert.bind(record).execute(&pool).await.unwrap();
    let insert = sqlx::query("INSERT INTO shard VALUES ('r-1', 0, 0, ?)");
    let record = serde_json::to_string(&shard("r-1", 0)).unwrap();
    insert.bind(record).execute(&pool).await.unwrap();
    // The state after a process was killed: all content is in the log.
    fs::copy(&path, &copy).unwrap();
    fs::copy(
        folder.path().join("old.db-wal"),
        folder.path().join("ledger.db-wal"),
    )
    .unwrap();
    let found = content(&copy).await.unwrap();
    assert_eq!(found, [(run("r-1"), vec![shard("r-1", 0)])]);
    assert!(!folder.path().join("ledger.db-wal").exists());
    let bytes = fs::read(&copy).unwrap();
    assert_eq!(opened(&bytes, None, "the file alone").await, Some(found));
}
