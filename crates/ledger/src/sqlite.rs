//! Runs and shards as rows; each row is one JSON record beside the columns that are searched.

use std::path::Path;

use async_trait::async_trait;
use lmbatch_core::{
    Error, ErrorKind, Ledger, Result, RunRecord, ShardKey, ShardRecord, ShardState,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::ConnectOptions as _;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};

/// What this lmbatch writes. A folder of a later one is not touched.
const VERSION: i64 = 1;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS run (
    id TEXT PRIMARY KEY,
    number INTEGER NOT NULL,
    record TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS shard (
    run TEXT NOT NULL REFERENCES run(id) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    record TEXT NOT NULL,
    PRIMARY KEY (run, number)
) STRICT;
";

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
        let found: i64 = sqlx::query_scalar("PRAGMA user_version")
            .fetch_one(&pool)
            .await
            .map_err(failed)?;
        if found > VERSION {
            return Err(Error::new(ErrorKind::Local).with_message(format!(
                "the ledger {} was written by a newer lmbatch; use that one",
                path.display()
            )));
        }
        sqlx::raw_sql(SCHEMA).execute(&pool).await.map_err(failed)?;
        sqlx::query("PRAGMA user_version = 1")
            .execute(&pool)
            .await
            .map_err(failed)?;
        Ok(Self { pool })
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
        let mut all = self.pool.begin().await.map_err(failed)?;
        sqlx::query(
            "INSERT INTO run (id, number, record)
             VALUES (?1, (SELECT coalesce(max(number), 0) + 1 FROM run), ?2)
             ON CONFLICT (id) DO UPDATE SET record = ?2",
        )
        .bind(&*run.id)
        .bind(written(run)?)
        .execute(&mut *all)
        .await
        .map_err(failed)?;
        for shard in shards {
            sqlx::query("INSERT INTO shard (run, number, epoch, record) VALUES (?, ?, ?, ?)")
                .bind(&*shard.key.run)
                .bind(i64::from(shard.key.shard))
                .bind(shard.epoch as i64)
                .bind(written(shard)?)
                .execute(&mut *all)
                .await
                .map_err(failed)?;
        }
        all.commit().await.map_err(failed)
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
        let mut all = self.pool.begin().await.map_err(failed)?;
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
            return Err(Error::new(ErrorKind::Internal).with_message(format!(
                "shard {} of run {} was moved on by someone else",
                key.shard, key.run
            )));
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
