//! One suite for every ledger: in memory, and on SQLite.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod records;

use std::sync::Arc;

use lmbatch_core::{
    BatchId, BatchSnapshot, BatchStatus, ErrorKind, Ledger, RunFilter, RunRecord, ShardRecord,
    ShardState, Staged,
};
use lmbatch_engine::MemoryLedger;
use lmbatch_ledger::SqliteLedger;
use records::{created, run, shard};

async fn each(test: impl AsyncFn(Arc<dyn Ledger>)) {
    test(Arc::new(MemoryLedger::default())).await;
    let folder = tempfile::tempdir().unwrap();
    let ledger = SqliteLedger::open(&folder.path().join("ledger.db"))
        .await
        .unwrap();
    test(Arc::new(ledger)).await;
}

#[tokio::test]
async fn what_is_noted_is_read_back_newest_first() {
    each(async |ledger| {
        ledger
            .begin(&run("r-1"), &[shard("r-1", 0), shard("r-1", 1)])
            .await
            .unwrap();
        let other = RunRecord {
            name: Some("other".into()),
            ..run("r-2")
        };
        ledger.begin(&other, &[shard("r-2", 0)]).await.unwrap();
        assert_eq!(
            ledger.all_runs(RunFilter::default()).await.unwrap(),
            [other.clone(), run("r-1")]
        );
        assert_eq!(ledger.run("r-2").await.unwrap(), Some(other));
        assert_eq!(ledger.run("r-3").await.unwrap(), None);
        assert_eq!(
            ledger.shards("r-1").await.unwrap(),
            [shard("r-1", 0), shard("r-1", 1)]
        );
    })
    .await;
}

#[tokio::test]
async fn a_run_that_is_known_gets_more_shards_and_keeps_those_it_has() {
    each(async |ledger| {
        ledger.begin(&run("r-1"), &[shard("r-1", 0)]).await.unwrap();
        let moved = shard("r-1", 0).advanced(created());
        ledger.advance(&moved).await.unwrap();
        let again = RunRecord {
            attempt: 1,
            ..run("r-1")
        };
        assert_eq!(ledger.change(&again, &[shard("r-1", 1)]).await.unwrap(), 1);
        let changed = RunRecord { epoch: 1, ..again };
        assert_eq!(
            ledger.all_runs(RunFilter::default()).await.unwrap(),
            [changed]
        );
        let shards = ledger.shards("r-1").await.unwrap();
        assert_eq!(
            (shards[0].state.clone(), shards[1].state.clone()),
            (created(), ShardState::Planned)
        );
    })
    .await;
}

#[tokio::test]
async fn of_two_writers_one_loses_and_learns_it() {
    each(async |ledger| {
        ledger.begin(&run("r-1"), &[shard("r-1", 0)]).await.unwrap();
        let staged = ShardState::Staged(Staged::default());
        let moved = shard("r-1", 0).advanced(staged.clone());
        assert_eq!(ledger.advance(&moved).await.unwrap(), 1);
        let refused = shard("r-1", 0).advanced(ShardState::Refused);
        let late = ledger.advance(&refused).await.unwrap_err();
        assert_eq!(late.kind(), ErrorKind::Conflict);
        assert!(late.to_string().contains("shard 0 of run r-1"), "{late}");
        let found = ledger.shards("r-1").await.unwrap().remove(0);
        assert_eq!((found.epoch, found.state), (1, staged));
    })
    .await;
}

#[tokio::test]
async fn of_two_who_change_a_run_one_loses_and_changes_nothing() {
    each(async |ledger| {
        ledger.begin(&run("r-1"), &[shard("r-1", 0)]).await.unwrap();
        let cancelled = RunRecord {
            cancelled: true,
            ..run("r-1")
        };
        assert_eq!(ledger.change(&cancelled, &[]).await.unwrap(), 1);
        let late = ledger.change(&run("r-1"), &[shard("r-1", 1)]).await;
        assert_eq!(late.unwrap_err().kind(), ErrorKind::Conflict);
        // A shard that is there is not written over either.
        let now = RunRecord {
            epoch: 1,
            ..run("r-1")
        };
        let twice = ledger
            .change(&now, &[shard("r-1", 1), shard("r-1", 0)])
            .await;
        assert_eq!(twice.unwrap_err().kind(), ErrorKind::Conflict);
        let found = ledger.run("r-1").await.unwrap().unwrap();
        assert_eq!((found.epoch, found.cancelled), (1, true));
        assert_eq!(ledger.shards("r-1").await.unwrap(), [shard("r-1", 0)]);
    })
    .await;
}

#[tokio::test]
async fn a_name_and_an_id_are_one_runs() {
    each(async |ledger| {
        let named = |id: &str, name: Option<&str>| RunRecord {
            name: name.map(Into::into),
            ..run(id)
        };
        ledger.begin(&named("r-1", Some("a")), &[]).await.unwrap();
        for taken in [
            named("r-2", Some("a")),
            named("r-1", Some("b")),
            named("r-1", None),
        ] {
            let error = ledger.begin(&taken, &[shard("r-2", 0)]).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
        }
        ledger.begin(&named("r-3", None), &[]).await.unwrap();
        ledger.begin(&named("r-4", None), &[]).await.unwrap();
        assert_eq!(
            ledger.all_runs(RunFilter::default()).await.unwrap().len(),
            3
        );
    })
    .await;
}

#[tokio::test]
async fn two_processes_wait_for_one_another_and_both_write() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let one = SqliteLedger::open(&path).await.unwrap();
    one.begin(&run("r-1"), &[shard("r-1", 0)]).await.unwrap();
    let two = SqliteLedger::open(&path).await.unwrap();
    let shards = async {
        for epoch in 0..100 {
            let now = ShardRecord {
                epoch,
                ..shard("r-1", 0)
            };
            one.advance(&now).await.unwrap();
        }
    };
    let runs = async {
        for epoch in 0..100 {
            let now = RunRecord {
                epoch,
                ..run("r-1")
            };
            two.change(&now, &[]).await.unwrap();
        }
    };
    tokio::join!(shards, runs);
}

#[tokio::test]
async fn a_ledger_of_the_first_version_is_brought_up_to_date_and_of_a_later_one_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(&path)
        .create_if_missing(true);
    let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
    // As it was then: several of one name, and what was deleted in other words.
    let record = serde_json::to_string(&run("r-1")).unwrap();
    let cleaned = record.replace(
        "\"cleaned\":null",
        "\"cleaned\":{\"attempt\":0,\"batches\":false}",
    );
    assert_ne!(cleaned, record);
    let older = cleaned.replace("r-1", "r-0");
    let first = "CREATE TABLE run (id TEXT PRIMARY KEY, number INTEGER NOT NULL, record TEXT NOT NULL) STRICT;
        CREATE TABLE shard (run TEXT NOT NULL REFERENCES run(id) ON DELETE CASCADE, number INTEGER NOT NULL,
            epoch INTEGER NOT NULL, record TEXT NOT NULL, PRIMARY KEY (run, number)) STRICT;
        PRAGMA user_version = 1;";
    sqlx::raw_sql(first).execute(&pool).await.unwrap();
    let insert = sqlx::query("INSERT INTO run VALUES ('r-0', 1, ?), ('r-1', 2, ?)");
    let insert = insert.bind(older).bind(cleaned).execute(&pool);
    insert.await.unwrap();
    let ledger = SqliteLedger::open(&path).await.unwrap();
    let nameless = RunRecord {
        name: None,
        ..run("r-0")
    };
    assert_eq!(
        ledger.all_runs(RunFilter::default()).await.unwrap(),
        [run("r-1"), nameless]
    );
    let taken = ledger.begin(&run("r-2"), &[]).await.unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::Conflict);
    let later = sqlx::raw_sql("PRAGMA user_version = 5");
    later.execute(&pool).await.unwrap();
    let error = SqliteLedger::open(&path).await.unwrap_err();
    assert!(error.to_string().contains("newer lmbatch"), "{error}");
}

#[tokio::test]
async fn a_run_that_is_forgotten_leaves_nothing() {
    each(async |ledger| {
        ledger.begin(&run("r-1"), &[shard("r-1", 0)]).await.unwrap();
        ledger.forget("r-1").await.unwrap();
        ledger.forget("r-1").await.unwrap();
        assert_eq!(ledger.all_runs(RunFilter::default()).await.unwrap(), []);
        assert!(ledger.advance(&shard("r-1", 0)).await.is_err());
    })
    .await;
}

#[tokio::test]
async fn every_state_survives_a_new_process() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let snapshot = BatchSnapshot::new(BatchId::new("b1"), BatchStatus::Expired);
    let states = [
        ShardState::Staged(Staged::default()),
        created(),
        ShardState::Ended(snapshot.clone()),
        ShardState::Sealed {
            snapshot,
            segments: Vec::new(),
            undelivered: 3,
        },
    ];
    SqliteLedger::open(&path)
        .await
        .unwrap()
        .begin(&run("r-1"), &[shard("r-1", 0)])
        .await
        .unwrap();
    for (epoch, state) in (0..).zip(states) {
        let ledger = SqliteLedger::open(&path).await.unwrap();
        let now = ledger.shards("r-1").await.unwrap().remove(0);
        assert_eq!(now.epoch, epoch);
        let moved = now.advanced(state.clone());
        ledger.advance(&moved).await.unwrap();
        let again = SqliteLedger::open(&path).await.unwrap();
        assert_eq!(again.shards("r-1").await.unwrap()[0].state, state);
    }
}
