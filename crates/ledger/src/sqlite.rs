//! Runs and shards as rows; each row is one JSON record beside the columns that are searched.

use std::path::Path;

use async_trait::async_trait;
use lmbatch_core::{
    Error, ErrorKind, Ledger, Result, RunRecord, ShardKey, ShardRecord, ShardState,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions as _, Sqlite, SqliteConnection, Transaction};

/// How a ledger came to be what it is: what leads from each version to the next. A ledger of a later
/// lmbatch has a version that is not here, and is not touched.
const MIGRATIONS: [&str; 2] = [
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
];

/// A ledger in a SQLite file. Every transition is synced before it returns.
#[derive(Debug, Clone)]
pub struct SqliteLedger {
    pool: SqlitePool,
}

impl SqliteLedger {
    /// Opens the file, and makes it where it is not there.
    ///
    /// # Errors
    /// [`ErrorKind::Local`] where it cannot be opened, or was written by a newer lmbatch.
    pub async fn open(path: &Path) -> Result<Self> {
        only_ours(path).map_err(|e| Error::local("making the ledger", e))?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .foreign_keys(true)
            .journal_mode(SqliteJournalMode::Wal)
            // A create whose note is lost is paid for twice: the note is on the disk before it is sent.
            .synchronous(SqliteSynchronous::Full)
            .disable_statement_logging();
        let pool = SqlitePoolOptions::new().max_connections(1);
        let pool = pool.connect_with(options).await.map_err(failed)?;
        let ledger = Self { pool };
        if ledger.version(&ledger.pool).await? != MIGRATIONS.len() {
            ledger.migrate(path).await?;
        }
        Ok(ledger)
    }

    async fn version(&self, on: impl sqlx::SqliteExecutor<'_>) -> Result<usize> {
        let found: i64 = sqlx::query_scalar("PRAGMA user_version")
            .fetch_one(on)
            .await
            .map_err(failed)?;
        Ok(usize::try_from(found).unwrap_or(usize::MAX))
    }

    /// Brings the ledger to what this lmbatch writes, all of it or nothing.
    async fn migrate(&self, path: &Path) -> Result<()> {
        // Others who open it now wait here, and find it done.
        let mut all = self.writing().await?;
        let found = self.version(&mut *all).await?;
        let Some(missing) = MIGRATIONS.get(found..) else {
            return Err(Error::new(ErrorKind::Local).with_message(format!(
                "the ledger {} was written by a newer lmbatch; use that one",
                path.display()
            )));
        };
        for step in missing {
            let done = sqlx::raw_sql(*step).execute(&mut *all).await;
            done.map_err(failed)?;
        }
        all.commit().await.map_err(failed)
    }

    /// A transaction that is the only one that writes, from its beginning: one that finds out only when it
    /// writes that another process has, would fail and not wait.
    async fn writing(&self) -> Result<Transaction<'static, Sqlite>> {
        let begun = self.pool.begin_with("BEGIN IMMEDIATE").await;
        begun.map_err(failed)
    }

    async fn records<T: DeserializeOwned>(&self, texts: Vec<String>) -> Result<Vec<T>> {
        texts.iter().map(|text| parse(text)).collect()
    }
}

/// The file is made before SQLite opens it: what SQLite makes beside it has the same permissions.
fn only_ours(path: &Path) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options.open(path).map(drop)
}

fn failed(error: sqlx::Error) -> Error {
    Error::new(ErrorKind::Local)
        .with_message(format!("the ledger could not be used: {error}"))
        .with_source(error)
}

/// Someone else's row stands where this one was to be.
fn taken(error: sqlx::Error, what: impl Fn() -> String) -> Error {
    match &error {
        sqlx::Error::Database(refusal) if refusal.is_unique_violation() => {
            Error::new(ErrorKind::Conflict).with_message(what())
        }
        _ => failed(error),
    }
}

/// Notes shards with the run that they belong to.
async fn add(all: &mut SqliteConnection, shards: &[ShardRecord]) -> Result<()> {
    for shard in shards {
        let key = &shard.key;
        sqlx::query("INSERT INTO shard (run, number, epoch, record) VALUES (?, ?, ?, ?)")
            .bind(&*key.run)
            .bind(i64::from(key.shard))
            .bind(shard.epoch as i64)
            .bind(written(shard)?)
            .execute(&mut *all)
            .await
            .map_err(|error| taken(error, || format!("shard {} of run {}", key.shard, key.run)))?;
    }
    Ok(())
}

fn parse<T: DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| {
        Error::new(ErrorKind::Local)
            .with_message("a record of the ledger cannot be read")
            .with_source(error)
    })
}

fn written(record: &impl Serialize) -> Result<String> {
    serde_json::to_string(record)
        .map_err(|error| Error::new(ErrorKind::Internal).with_source(error))
}

#[async_trait]
impl Ledger for SqliteLedger {
    async fn begin(&self, run: &RunRecord, shards: &[ShardRecord]) -> Result<()> {
        let mut all = self.writing().await?;
        sqlx::query(
            "INSERT INTO run (id, name, number, epoch, record)
             VALUES (?, ?, (SELECT coalesce(max(number), 0) + 1 FROM run), ?, ?)",
        )
        .bind(&*run.id)
        .bind(run.name.as_deref())
        .bind(run.epoch as i64)
        .bind(written(run)?)
        .execute(&mut *all)
        .await
        .map_err(|error| taken(error, || format!("there is a run {} already", run.id)))?;
        add(&mut all, shards).await?;
        all.commit().await.map_err(failed)
    }

    async fn change(&self, run: &RunRecord, shards: &[ShardRecord]) -> Result<u64> {
        let mut all = self.writing().await?;
        let changed = RunRecord {
            epoch: run.epoch + 1,
            ..run.clone()
        };
        let done = sqlx::query("UPDATE run SET epoch = ?, record = ? WHERE id = ? AND epoch = ?")
            .bind(changed.epoch as i64)
            .bind(written(&changed)?)
            .bind(&*run.id)
            .bind(run.epoch as i64)
            .execute(&mut *all)
            .await
            .map_err(failed)?;
        if done.rows_affected() != 1 {
            return Err(Error::new(ErrorKind::Conflict).with_message(format!("run {}", run.id)));
        }
        add(&mut all, shards).await?;
        all.commit().await.map_err(failed)?;
        Ok(changed.epoch)
    }

    async fn run(&self, id: &str) -> Result<Option<RunRecord>> {
        let text: Option<String> = sqlx::query_scalar("SELECT record FROM run WHERE id = ?")
            .bind(id)
            .fetch_optional(&self.pool)
            .await
            .map_err(failed)?;
        text.map(|text| parse(&text)).transpose()
    }

    async fn runs(&self) -> Result<Vec<RunRecord>> {
        let texts = sqlx::query_scalar("SELECT record FROM run ORDER BY number DESC")
            .fetch_all(&self.pool)
            .await
            .map_err(failed)?;
        self.records(texts).await
    }

    async fn shards(&self, run: &str) -> Result<Vec<ShardRecord>> {
        let texts = sqlx::query_scalar("SELECT record FROM shard WHERE run = ? ORDER BY number")
            .bind(run)
            .fetch_all(&self.pool)
            .await
            .map_err(failed)?;
        self.records(texts).await
    }

    async fn forget(&self, run: &str) -> Result<()> {
        sqlx::query("DELETE FROM run WHERE id = ?")
            .bind(run)
            .execute(&self.pool)
            .await
            .map(drop)
            .map_err(failed)
    }

    async fn advance(&self, key: &ShardKey, epoch: u64, state: ShardState) -> Result<u64> {
        let mut all = self.writing().await?;
        let text: Option<String> = sqlx::query_scalar(
            "SELECT record FROM shard WHERE run = ? AND number = ? AND epoch = ?",
        )
        .bind(&*key.run)
        .bind(i64::from(key.shard))
        .bind(epoch as i64)
        .fetch_optional(&mut *all)
        .await
        .map_err(failed)?;
        let Some(text) = text else {
            let shard = format!("shard {} of run {}", key.shard, key.run);
            return Err(Error::new(ErrorKind::Conflict).with_message(shard));
        };
        let record = parse::<ShardRecord>(&text)?.advanced(state);
        let next = record.epoch;
        sqlx::query(
            "UPDATE shard SET epoch = ?, record = ? WHERE run = ? AND number = ? AND epoch = ?",
        )
        .bind(next as i64)
        .bind(written(&record)?)
        .bind(&*key.run)
        .bind(i64::from(key.shard))
        .bind(epoch as i64)
        .execute(&mut *all)
        .await
        .map_err(failed)?;
        all.commit().await.map_err(failed)?;
        Ok(next)
    }
}
