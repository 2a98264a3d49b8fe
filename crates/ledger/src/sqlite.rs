//! Runs and shards as rows; each row is one JSON record beside the columns that are searched.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lmbatch_core::{
    Error, ErrorKind, Ledger, Result, RunClaim, RunRecord, ShardKey, ShardRecord, ShardState,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow,
    SqliteSynchronous,
};
use sqlx::{ConnectOptions as _, FromRow, Row as _, Sqlite, SqliteConnection, Transaction};

use crate::lock::Locks;
use crate::owner;
use crate::seal::{damaged, is_damage, seal};

/// The steps from each version of a ledger to the next. A ledger of a later lmbatch has a version that is not
/// among them, and is not touched.
const MIGRATIONS: [&str; 3] = [
    "
CREATE TABLE run (
    id TEXT PRIMARY KEY,
    number INTEGER NOT NULL,
    record TEXT NOT NULL
) STRICT;
CREATE TABLE shard (
    run TEXT NOT NULL REFERENCES run(id) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    record TEXT NOT NULL,
    PRIMARY KEY (run, number)
) STRICT;
PRAGMA user_version = 1;
",
    // Of two who begin a run of one name, or change one run, one loses and learns it. Of several of one
    // name the newest keeps it. What was deleted at the provider is noted otherwise now.
    "
UPDATE run SET record = json_remove(record, '$.cleaned');
UPDATE run SET record = json_set(record, '$.name', NULL)
    WHERE number NOT IN (SELECT max(number) FROM run GROUP BY coalesce(json_extract(record, '$.name'), id));
ALTER TABLE run ADD COLUMN name TEXT;
ALTER TABLE run ADD COLUMN epoch INTEGER NOT NULL DEFAULT 0;
UPDATE run SET name = json_extract(record, '$.name');
CREATE UNIQUE INDEX run_name ON run (name);
PRAGMA user_version = 2;
",
    // A row that is damaged, or missing, is noticed: each has a seal, and rows are counted.
    "
ALTER TABLE run ADD COLUMN shards INTEGER NOT NULL DEFAULT 0;
ALTER TABLE run ADD COLUMN seal TEXT NOT NULL DEFAULT '';
ALTER TABLE shard ADD COLUMN seal TEXT NOT NULL DEFAULT '';
UPDATE run SET shards = (SELECT count(*) FROM shard WHERE shard.run = run.id);
CREATE TABLE total (runs INTEGER NOT NULL) STRICT;
INSERT INTO total SELECT count(*) FROM run;
PRAGMA user_version = 3;
",
];

/// Version from which rows have seals.
const SEALED: usize = 3;

/// Longest wait for a transaction of another process.
const BUSY: Duration = Duration::from_secs(60);

/// A ledger in a SQLite file. Every transition is on the disk before it returns.
///
/// The file is complete on its own after every transition: transactions go through a rollback journal, which
/// exists only while one is written. (A write-ahead log would hold acknowledged transitions beside the file,
/// and SQLite drops those behind a damaged frame of it in silence.) The structure of the file and the number
/// of its rows are checked when it is opened, and each record when it is read.
#[derive(Debug, Clone)]
pub struct SqliteLedger {
    pool: SqlitePool,
    path: Arc<Path>,
    locks: Locks,
}

/// A row of the table of runs.
#[derive(Debug)]
struct RunRow {
    id: String,
    name: Option<String>,
    number: i64,
    epoch: i64,
    shards: i64,
    seal: String,
    record: String,
}

/// A query of rows of the table of runs.
macro_rules! of_runs {
    ($rest:literal) => {
        concat!(
            "SELECT id, name, number, epoch, shards, seal, record FROM run ",
            $rest
        )
    };
}

impl<'r> FromRow<'r, SqliteRow> for RunRow {
    fn from_row(row: &'r SqliteRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.try_get(0)?,
            name: row.try_get(1)?,
            number: row.try_get(2)?,
            epoch: row.try_get(3)?,
            shards: row.try_get(4)?,
            seal: row.try_get(5)?,
            record: row.try_get(6)?,
        })
    }
}

impl RunRow {
    fn new(run: &RunRecord, number: i64, shards: i64) -> Result<Self> {
        let mut row = Self {
            id: run.id.to_string(),
            name: run.name.as_deref().map(str::to_owned),
            number,
            epoch: run.epoch as i64,
            shards,
            seal: String::new(),
            record: written(run)?,
        };
        row.seal = row.sealed();
        Ok(row)
    }

    fn sealed(&self) -> String {
        seal(&[
            self.id.as_bytes(),
            &[u8::from(self.name.is_some())],
            self.name.as_deref().unwrap_or_default().as_bytes(),
            &self.number.to_le_bytes(),
            &self.epoch.to_le_bytes(),
            &self.shards.to_le_bytes(),
            self.record.as_bytes(),
        ])
    }
}

/// A row of the table of shards.
#[derive(Debug)]
struct ShardRow {
    run: String,
    number: i64,
    epoch: i64,
    seal: String,
    record: String,
}

/// A query of rows of the table of shards.
macro_rules! of_shards {
    ($rest:literal) => {
        concat!("SELECT run, number, epoch, seal, record FROM shard ", $rest)
    };
}

impl<'r> FromRow<'r, SqliteRow> for ShardRow {
    fn from_row(row: &'r SqliteRow) -> sqlx::Result<Self> {
        Ok(Self {
            run: row.try_get(0)?,
            number: row.try_get(1)?,
            epoch: row.try_get(2)?,
            seal: row.try_get(3)?,
            record: row.try_get(4)?,
        })
    }
}

impl ShardRow {
    fn new(shard: &ShardRecord) -> Result<Self> {
        let mut row = Self {
            run: shard.key.run.to_string(),
            number: i64::from(shard.key.shard),
            epoch: shard.epoch as i64,
            seal: String::new(),
            record: written(shard)?,
        };
        row.seal = row.sealed();
        Ok(row)
    }

    fn sealed(&self) -> String {
        seal(&[
            self.run.as_bytes(),
            &self.number.to_le_bytes(),
            &self.epoch.to_le_bytes(),
            self.record.as_bytes(),
        ])
    }
}

impl SqliteLedger {
    /// Opens the file, and makes it where it is missing.
    ///
    /// # Errors
    /// [`ErrorKind::Local`] where it cannot be opened, is damaged, or was written by a newer lmbatch.
    pub async fn open(path: &Path) -> Result<Self> {
        let mut options = std::fs::OpenOptions::new();
        // Made before SQLite opens it: what SQLite makes beside it has the same permissions.
        let made = owner::private(options.append(true).create(true)).open(path);
        made.map_err(|error| Error::local(format!("making the ledger {}", path.display()), error))?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .foreign_keys(true)
            .busy_timeout(BUSY)
            .journal_mode(SqliteJournalMode::Delete)
            // A create whose note is lost is paid for twice: the note is on the disk before it is sent, and
            // with it that its journal is gone.
            .synchronous(SqliteSynchronous::Extra)
            .pragma("cell_size_check", "ON")
            .disable_statement_logging();
        let pool = SqlitePoolOptions::new().max_connections(1);
        let pool = pool.connect_with(options).await;
        let pool = pool.map_err(|error| failed(path, error))?;
        let state = path.parent().unwrap_or(Path::new("."));
        let ledger = Self {
            pool,
            path: path.into(),
            locks: Locks::new(state),
        };
        ledger.check_structure().await?;
        if ledger.version(&ledger.pool).await? != MIGRATIONS.len() {
            ledger.migrate().await?;
        }
        ledger.check_counts().await?;
        Ok(ledger)
    }

    fn failed(&self, error: sqlx::Error) -> Error {
        failed(&self.path, error)
    }

    fn damaged(&self, what: &str) -> Error {
        damaged(&self.path, what)
    }

    /// Checks pages and indexes: about a millisecond for each megabyte.
    async fn check_structure(&self) -> Result<()> {
        let found: String = sqlx::query_scalar("PRAGMA integrity_check(1)")
            .fetch_one(&self.pool)
            .await
            .map_err(|error| self.failed(error))?;
        match found.as_str() {
            "ok" => Ok(()),
            found => Err(self.damaged(found)),
        }
    }

    /// Checks that no row is missing, and that none belongs to a run that is not there.
    async fn check_counts(&self) -> Result<()> {
        let mut read = self.reading().await?;
        self.check_runs(&mut read).await?;
        let wrong: Option<(String, i64, i64)> = sqlx::query_as(
            "SELECT run.id, run.shards, count(shard.number) FROM run LEFT JOIN shard ON shard.run = run.id
             GROUP BY run.id HAVING run.shards <> count(shard.number) LIMIT 1",
        )
        .fetch_optional(&mut *read)
        .await
        .map_err(|error| self.failed(error))?;
        if let Some((run, noted, found)) = wrong {
            return Err(self.lacking(&run, noted, found));
        }
        let stray: Option<String> = sqlx::query_scalar(
            "SELECT run FROM shard WHERE run NOT IN (SELECT id FROM run) LIMIT 1",
        )
        .fetch_optional(&mut *read)
        .await
        .map_err(|error| self.failed(error))?;
        match stray {
            Some(run) => Err(self.damaged(&format!("the run {run} is missing"))),
            None => Ok(()),
        }
    }

    /// Checks that as many runs are there as were counted.
    async fn check_runs(&self, on: &mut SqliteConnection) -> Result<()> {
        let counts: Vec<(i64, i64)> =
            sqlx::query_as("SELECT runs, (SELECT count(*) FROM run) FROM total")
                .fetch_all(on)
                .await
                .map_err(|error| self.failed(error))?;
        match counts.as_slice() {
            [(noted, found)] if noted == found => Ok(()),
            [(noted, found)] => Err(self.damaged(&format!("{found} of {noted} runs are there"))),
            _ => Err(self.damaged("the number of its runs is missing")),
        }
    }

    fn lacking(&self, run: &str, noted: i64, found: i64) -> Error {
        self.damaged(&format!(
            "{found} of {noted} batches of the run {run} are there"
        ))
    }

    async fn version(&self, on: impl sqlx::SqliteExecutor<'_>) -> Result<usize> {
        let found: i64 = sqlx::query_scalar("PRAGMA user_version")
            .fetch_one(on)
            .await
            .map_err(|error| self.failed(error))?;
        Ok(usize::try_from(found).unwrap_or(usize::MAX))
    }

    /// Brings the ledger to what this lmbatch writes, all of it or nothing.
    async fn migrate(&self) -> Result<()> {
        // Others who open it now wait here, and find it done.
        let mut all = self.writing().await?;
        let found = self.version(&mut *all).await?;
        let Some(missing) = MIGRATIONS.get(found..) else {
            return Err(Error::new(ErrorKind::Local).with_message(format!(
                "the ledger {} was written by a newer lmbatch; use that one",
                self.path.display()
            )));
        };
        for step in missing {
            let done = sqlx::raw_sql(*step).execute(&mut *all).await;
            done.map_err(|error| self.failed(error))?;
        }
        if found < SEALED {
            self.seal_all(&mut all).await?;
        }
        all.commit().await.map_err(|error| self.failed(error))
    }

    /// Seals every row that is there.
    async fn seal_all(&self, all: &mut SqliteConnection) -> Result<()> {
        let runs: Vec<RunRow> = sqlx::query_as(of_runs!(""))
            .fetch_all(&mut *all)
            .await
            .map_err(|error| self.failed(error))?;
        for run in runs {
            sqlx::query("UPDATE run SET seal = ? WHERE id = ?")
                .bind(run.sealed())
                .bind(run.id)
                .execute(&mut *all)
                .await
                .map_err(|error| self.failed(error))?;
        }
        let shards: Vec<ShardRow> = sqlx::query_as(of_shards!(""))
            .fetch_all(&mut *all)
            .await
            .map_err(|error| self.failed(error))?;
        for shard in shards {
            sqlx::query("UPDATE shard SET seal = ? WHERE run = ? AND number = ?")
                .bind(shard.sealed())
                .bind(shard.run)
                .bind(shard.number)
                .execute(&mut *all)
                .await
                .map_err(|error| self.failed(error))?;
        }
        Ok(())
    }

    /// A transaction that is the only one that writes, from its beginning: one that finds out only when it
    /// writes that another process has, would fail and not wait.
    async fn writing(&self) -> Result<Transaction<'static, Sqlite>> {
        let begun = self.pool.begin_with("BEGIN IMMEDIATE").await;
        begun.map_err(|error| self.failed(error))
    }

    /// A transaction that reads one state of the ledger.
    async fn reading(&self) -> Result<Transaction<'static, Sqlite>> {
        let begun = self.pool.begin().await;
        begun.map_err(|error| self.failed(error))
    }

    fn read_run(&self, row: &RunRow) -> Result<RunRecord> {
        let what = || format!("run {}", row.id);
        self.read(row.sealed() == row.seal, &row.record, what)
    }

    fn read_shard(&self, row: &ShardRow) -> Result<ShardRecord> {
        let what = || format!("batch {} of run {}", row.number.saturating_add(1), row.run);
        self.read(row.sealed() == row.seal, &row.record, what)
    }

    fn read<T: DeserializeOwned>(
        &self,
        is_whole: bool,
        record: &str,
        what: impl Fn() -> String,
    ) -> Result<T> {
        if !is_whole {
            return Err(self.damaged(&format!("the record of {} is not what was written", what())));
        }
        serde_json::from_str(record).map_err(|error| {
            Error::new(ErrorKind::Local)
                .with_message(format!(
                    "the ledger {} holds a record of {} that this version cannot read",
                    self.path.display(),
                    what()
                ))
                .with_source(error)
        })
    }

    /// The error of a row that stands where another was to be.
    fn taken(&self, error: sqlx::Error, what: impl Fn() -> String) -> Error {
        match &error {
            sqlx::Error::Database(refusal) if refusal.is_unique_violation() => {
                Error::new(ErrorKind::Conflict).with_message(what())
            }
            _ => self.failed(error),
        }
    }

    /// Notes shards with the run that they belong to.
    async fn add(&self, all: &mut SqliteConnection, shards: &[ShardRecord]) -> Result<()> {
        for shard in shards {
            let key = &shard.key;
            let row = ShardRow::new(shard)?;
            let insert = sqlx::query(
                "INSERT INTO shard (run, number, epoch, seal, record) VALUES (?, ?, ?, ?, ?)",
            )
            .bind(row.run)
            .bind(row.number)
            .bind(row.epoch)
            .bind(row.seal)
            .bind(row.record)
            .execute(&mut *all)
            .await;
            insert.map_err(|error| {
                self.taken(error, || format!("shard {} of run {}", key.shard, key.run))
            })?;
        }
        Ok(())
    }

    /// Counts runs that came or went.
    async fn count(&self, all: &mut SqliteConnection, change: i64) -> Result<()> {
        sqlx::query("UPDATE total SET runs = runs + ?")
            .bind(change)
            .execute(all)
            .await
            .map(drop)
            .map_err(|error| self.failed(error))
    }
}

fn failed(path: &Path, error: sqlx::Error) -> Error {
    if is_damage(&error) {
        return damaged(path, &error.to_string()).with_source(error);
    }
    Error::new(ErrorKind::Local)
        .with_message(format!(
            "the ledger {} could not be used: {error}",
            path.display()
        ))
        .with_source(error)
}

fn written(record: &impl Serialize) -> Result<String> {
    serde_json::to_string(record)
        .map_err(|error| Error::new(ErrorKind::Internal).with_source(error))
}

#[async_trait]
impl Ledger for SqliteLedger {
    async fn begin(&self, run: &RunRecord, shards: &[ShardRecord]) -> Result<()> {
        let mut all = self.writing().await?;
        let number: i64 = sqlx::query_scalar("SELECT coalesce(max(number), 0) + 1 FROM run")
            .fetch_one(&mut *all)
            .await
            .map_err(|error| self.failed(error))?;
        let row = RunRow::new(run, number, shards.len() as i64)?;
        sqlx::query(
            "INSERT INTO run (id, name, number, epoch, shards, seal, record) VALUES (?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(row.id)
        .bind(row.name)
        .bind(row.number)
        .bind(row.epoch)
        .bind(row.shards)
        .bind(row.seal)
        .bind(row.record)
        .execute(&mut *all)
        .await
        .map_err(|error| self.taken(error, || format!("there is a run {} already", run.id)))?;
        self.count(&mut all, 1).await?;
        self.add(&mut all, shards).await?;
        all.commit().await.map_err(|error| self.failed(error))
    }

    async fn change(&self, run: &RunRecord, shards: &[ShardRecord]) -> Result<u64> {
        let mut all = self.writing().await?;
        let found: Option<RunRow> = sqlx::query_as(of_runs!("WHERE id = ? AND epoch = ?"))
            .bind(&*run.id)
            .bind(run.epoch as i64)
            .fetch_optional(&mut *all)
            .await
            .map_err(|error| self.failed(error))?;
        let Some(found) = found else {
            return Err(Error::new(ErrorKind::Conflict).with_message(format!("run {}", run.id)));
        };
        self.read_run(&found)?;
        let changed = RunRecord {
            epoch: run.epoch + 1,
            ..run.clone()
        };
        let mut row = RunRow::new(&changed, found.number, found.shards + shards.len() as i64)?;
        // A run keeps the name that it was begun with.
        row.name = found.name;
        row.seal = row.sealed();
        sqlx::query("UPDATE run SET epoch = ?, shards = ?, seal = ?, record = ? WHERE id = ?")
            .bind(row.epoch)
            .bind(row.shards)
            .bind(row.seal)
            .bind(row.record)
            .bind(row.id)
            .execute(&mut *all)
            .await
            .map_err(|error| self.failed(error))?;
        self.add(&mut all, shards).await?;
        all.commit().await.map_err(|error| self.failed(error))?;
        Ok(changed.epoch)
    }

    async fn run(&self, id: &str) -> Result<Option<RunRecord>> {
        let row: Option<RunRow> = sqlx::query_as(of_runs!("WHERE id = ?"))
            .bind(id)
            .fetch_optional(&self.pool)
            .await
            .map_err(|error| self.failed(error))?;
        row.map(|row| self.read_run(&row)).transpose()
    }

    async fn runs(&self) -> Result<Vec<RunRecord>> {
        let mut read = self.reading().await?;
        self.check_runs(&mut read).await?;
        let rows: Vec<RunRow> = sqlx::query_as(of_runs!("ORDER BY number DESC"))
            .fetch_all(&mut *read)
            .await
            .map_err(|error| self.failed(error))?;
        rows.iter().map(|row| self.read_run(row)).collect()
    }

    async fn shards(&self, run: &str) -> Result<Vec<ShardRecord>> {
        let mut read = self.reading().await?;
        let noted: Option<i64> = sqlx::query_scalar("SELECT shards FROM run WHERE id = ?")
            .bind(run)
            .fetch_optional(&mut *read)
            .await
            .map_err(|error| self.failed(error))?;
        let rows: Vec<ShardRow> = sqlx::query_as(of_shards!("WHERE run = ? ORDER BY number"))
            .bind(run)
            .fetch_all(&mut *read)
            .await
            .map_err(|error| self.failed(error))?;
        let (noted, found) = (noted.unwrap_or(0), rows.len() as i64);
        if noted != found {
            return Err(self.lacking(run, noted, found));
        }
        rows.iter().map(|row| self.read_shard(row)).collect()
    }

    async fn forget(&self, run: &str) -> Result<()> {
        let mut all = self.writing().await?;
        let gone = sqlx::query("DELETE FROM run WHERE id = ?")
            .bind(run)
            .execute(&mut *all)
            .await
            .map_err(|error| self.failed(error))?;
        self.count(&mut all, -(gone.rows_affected() as i64)).await?;
        all.commit().await.map_err(|error| self.failed(error))
    }

    async fn advance(&self, key: &ShardKey, epoch: u64, state: ShardState) -> Result<u64> {
        let mut all = self.writing().await?;
        let row: Option<ShardRow> =
            sqlx::query_as(of_shards!("WHERE run = ? AND number = ? AND epoch = ?"))
                .bind(&*key.run)
                .bind(i64::from(key.shard))
                .bind(epoch as i64)
                .fetch_optional(&mut *all)
                .await
                .map_err(|error| self.failed(error))?;
        let Some(row) = row else {
            let shard = format!("shard {} of run {}", key.shard, key.run);
            return Err(Error::new(ErrorKind::Conflict).with_message(shard));
        };
        let record = self.read_shard(&row)?.advanced(state);
        let row = ShardRow::new(&record)?;
        sqlx::query(
            "UPDATE shard SET epoch = ?, seal = ?, record = ? WHERE run = ? AND number = ?",
        )
        .bind(row.epoch)
        .bind(row.seal)
        .bind(row.record)
        .bind(row.run)
        .bind(row.number)
        .execute(&mut *all)
        .await
        .map_err(|error| self.failed(error))?;
        all.commit().await.map_err(|error| self.failed(error))?;
        Ok(record.epoch)
    }

    async fn claim(&self, run: &str) -> Result<RunClaim> {
        self.locks.claim(run)
    }

    async fn close(&self) -> Result<()> {
        self.pool.close().await;
        Ok(())
    }
}
