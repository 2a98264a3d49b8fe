//! Ledger in a SQLite file.

use std::collections::{BTreeSet, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lmbatch_core::{
    AccountId, BatchId, Change, Cursor, Error, ErrorKind, LateAcknowledgement, Ledger, Page,
    Result, RunClaim, RunFilter, RunRecord, ShardKey, ShardRecord,
};
use serde::de::DeserializeOwned;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow,
    SqliteSynchronous,
};
use sqlx::{ConnectOptions as _, FromRow as _, Row as _, Sqlite, SqliteConnection, Transaction};

use crate::lock::Locks;
use crate::owner;
use crate::query::{
    DOUBTFUL, LATE_OF_BATCHES, OTHERS_OF_BATCH, SHARDS_OF_BATCHES, UNFINISHED, UNKNOWN_NONCE,
    page_of_runs,
};
use crate::reserve::Reserve;
use crate::rows::{LateRow, RunRow, ShardRow, of_late, of_runs, of_shards};
use crate::schema::MIGRATIONS;
use crate::seal::{damaged, is_damage};

/// Longest wait for a transaction of another process.
const TRANSACTION_WAIT: Duration = Duration::from_secs(60);

/// Longest wait for the connection, which all runs of a process share: each of a thousand transitions may
/// take tens of milliseconds on a slow disk.
const CONNECTION_WAIT: Duration = Duration::from_secs(600);

/// Ledger in a SQLite file. Every transition is durable before it returns.
///
/// The file is complete on its own after every transition: transactions use a rollback journal, which is
/// empty between transactions. (A write-ahead log would hold acknowledged transitions outside of the file,
/// and SQLite silently drops transitions after a damaged frame of the log.) The structure of the file and the
/// number of rows are checked when the file is opened, and each record when it is read.
#[derive(Debug, Clone)]
pub struct SqliteLedger {
    pool: SqlitePool,
    path: Arc<Path>,
    locks: Locks,
    /// `true` where an earlier version had written the file.
    upgraded: bool,
    reserve: Arc<Reserve>,
}

impl SqliteLedger {
    /// Opens the file, and creates it where it does not exist.
    ///
    /// # Errors
    /// [`ErrorKind::Local`] where the file cannot be opened, is damaged, or was written by a newer lmbatch;
    /// [`ErrorKind::Unsupported`] outside of a Tokio runtime with timers and I/O, as for every call of the ledger.
    pub async fn open(path: &Path) -> Result<Self> {
        lmbatch_runtime::check()?;
        let mut options = std::fs::OpenOptions::new();
        // Created before SQLite opens it, because files that SQLite creates next to it get the same
        // permissions.
        let made = owner::private(options.append(true).create(true)).open(path);
        made.map_err(|error| {
            let doing = match path.exists() {
                true => "cannot be written",
                false => "cannot be created",
            };
            Error::local(format!("the ledger {} {doing}", path.display()), error)
        })?;
        let options = options_of(path)
            // The journal is truncated and synced; deleting it would sync the folder two more times.
            .journal_mode(SqliteJournalMode::Truncate)
            // A create whose record is lost would be paid for twice. The record must be durable before the
            // create is sent, and so must the truncation of its journal, which would otherwise roll it back.
            .synchronous(SqliteSynchronous::Extra);
        let mut ledger = Self::connected(path, options).await?;
        let version = ledger.version(ledger.pool()?).await?;
        if version != MIGRATIONS.len() {
            ledger.migrate().await?;
            // A file with version 0 is new.
            ledger.upgraded = version > 0;
        }
        ledger.check_counts().await?;
        Ok(ledger)
    }

    /// Connects to the file, and checks its structure.
    pub(crate) async fn connected(path: &Path, options: SqliteConnectOptions) -> Result<Self> {
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            .acquire_timeout(CONNECTION_WAIT);
        let pool = pool.connect_with(options).await;
        let pool = pool.map_err(|error| failed(path, error))?;
        let state = path.parent().unwrap_or(Path::new("."));
        let ledger = Self {
            pool,
            path: path.into(),
            locks: Locks::new(state),
            upgraded: false,
            reserve: Arc::new(Reserve::new(state)),
        };
        ledger.check_structure().await?;
        Ok(ledger)
    }

    /// Returns whether opening the ledger upgraded a file of an earlier version. That version
    /// cannot use the file any more.
    pub fn was_upgraded(&self) -> bool {
        self.upgraded
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the connection, for a statement.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] outside of a Tokio runtime with timers and I/O.
    pub(crate) fn pool(&self) -> Result<&SqlitePool> {
        lmbatch_runtime::check()?;
        Ok(&self.pool)
    }

    pub(crate) fn failed(&self, error: sqlx::Error) -> Error {
        failed(&self.path, error)
    }

    pub(crate) fn damaged(&self, what: &str) -> Error {
        damaged(&self.path, what)
    }

    /// Begins a transaction that is the only writer from its start. A transaction that becomes a writer later
    /// fails, without waiting, if another process has written in between.
    pub(crate) async fn begin_write(&self) -> Result<Transaction<'static, Sqlite>> {
        let begun = self.pool()?.begin_with("BEGIN IMMEDIATE").await;
        begun.map_err(|error| self.failed(error))
    }

    /// Begins a transaction that reads one state of the ledger.
    pub(crate) async fn begin_read(&self) -> Result<Transaction<'static, Sqlite>> {
        let begun = self.pool()?.begin().await;
        begun.map_err(|error| self.failed(error))
    }

    fn read_run(&self, row: &RunRow) -> Result<RunRecord> {
        let what = || format!("run {}", row.id);
        self.read(row.sealed() == row.seal, &row.record, what)
    }

    fn read_shard(&self, row: &ShardRow) -> Result<ShardRecord> {
        let what = || format!("batch {} of run {}", row.number.saturating_add(1), row.run);
        let record: ShardRecord = self.read(row.sealed() == row.seal, &row.record, what)?;
        Ok(record.of_earlier_version())
    }

    fn read_late(&self, row: &LateRow) -> Result<LateAcknowledgement> {
        let what = || format!("a late acknowledgement of run {}", row.run);
        self.read(row.sealed() == row.seal, &row.record, what)
    }

    fn read<T: DeserializeOwned>(
        &self,
        is_whole: bool,
        record: &str,
        what: impl Fn() -> String,
    ) -> Result<T> {
        if !is_whole {
            return Err(self.damaged(&format!("the record of {} does not match its seal", what())));
        }
        serde_json::from_str(record).map_err(|error| {
            Error::new(ErrorKind::Local)
                .with_message(format!(
                    "the ledger {} contains a record of {} that this version cannot read",
                    self.path.display(),
                    what()
                ))
                .with_source(error)
        })
    }

    /// Returns a conflict for a row that exists already, and otherwise the error of the ledger.
    fn conflict_or(&self, error: sqlx::Error, what: impl Fn() -> String) -> Error {
        match &error {
            sqlx::Error::Database(refusal) if refusal.is_unique_violation() => {
                Error::new(ErrorKind::Conflict).with_message(what())
            }
            _ => self.failed(error),
        }
    }
}

/// Returns the options of every connection.
pub(crate) fn options_of(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .foreign_keys(true)
        .busy_timeout(TRANSACTION_WAIT)
        .pragma("cell_size_check", "ON")
        .disable_statement_logging()
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

impl SqliteLedger {
    /// Returns the ids of the unfinished runs, oldest first. Their records are not read, so that a damaged
    /// record does not hide other runs.
    ///
    /// # Errors
    /// [`ErrorKind::Local`] where the ledger cannot be read.
    pub async fn unfinished_runs(&self) -> Result<Vec<Box<str>>> {
        let ids: Vec<String> = sqlx::query_scalar(UNFINISHED)
            .fetch_all(self.pool()?)
            .await
            .map_err(|error| self.failed(error))?;
        Ok(ids.into_iter().map(Into::into).collect())
    }

    /// Returns the number of recorded runs.
    ///
    /// # Errors
    /// [`ErrorKind::Local`] where the ledger cannot be read.
    pub async fn count_runs(&self) -> Result<u64> {
        let count: i64 = sqlx::query_scalar("SELECT runs FROM total")
            .fetch_one(self.pool()?)
            .await
            .map_err(|error| self.failed(error))?;
        Ok(count.unsigned_abs())
    }

    /// Returns the first of the given nonces for which no run is recorded.
    pub(crate) async fn first_unknown(&self, nonces: &BTreeSet<String>) -> Result<Option<String>> {
        let asked = serde_json::to_string(nonces)
            .map_err(|error| Error::new(ErrorKind::Internal).with_source(error))?;
        sqlx::query_scalar(UNKNOWN_NONCE)
            .bind(asked)
            .fetch_optional(self.pool()?)
            .await
            .map_err(|error| self.failed(error))
    }
}

/// Changes of rows within a transaction.
impl SqliteLedger {
    /// Replaces the row of a run that still has the epoch of `run`, and counts the shards that are added to
    /// it.
    async fn replace_run(
        &self,
        all: &mut SqliteConnection,
        run: &RunRecord,
        new_shards: usize,
    ) -> Result<()> {
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
            name: found.name.map(Into::into),
            ..run.clone()
        };
        let row = RunRow::new(&changed, found.number, found.shards + new_shards as i64)?;
        sqlx::query("UPDATE run SET epoch = ?, shards = ?, seal = ?, record = ? WHERE id = ?")
            .bind(row.epoch)
            .bind(row.shards)
            .bind(row.seal)
            .bind(row.record)
            .bind(row.id)
            .execute(all)
            .await
            .map(drop)
            .map_err(|error| self.failed(error))
    }

    /// Replaces the row of a shard that still has the epoch of `shard`.
    /// Replaces the record of a shard. Returns whether the shard takes a batch that it did not have.
    async fn replace_shard(&self, all: &mut SqliteConnection, shard: &ShardRecord) -> Result<bool> {
        let key = &shard.key;
        let found: Option<ShardRow> =
            sqlx::query_as(of_shards!("WHERE run = ? AND number = ? AND epoch = ?"))
                .bind(&*key.run)
                .bind(i64::from(key.shard))
                .bind(shard.epoch as i64)
                .fetch_optional(&mut *all)
                .await
                .map_err(|error| self.failed(error))?;
        let Some(found) = found else {
            return Err(Error::new(ErrorKind::Conflict).with_message(key.to_string()));
        };
        let before = self.read_shard(&found)?;
        let batch = shard.state.batch();
        let takes = batch.is_some() && batch != before.state.batch();
        let changed = ShardRecord {
            epoch: shard.epoch + 1,
            ..shard.clone()
        };
        let row = ShardRow::new(&changed)?;
        sqlx::query("UPDATE shard SET epoch = ?, seal = ?, record = ? WHERE run = ? AND number = ?")
            .bind(row.epoch)
            .bind(row.seal)
            .bind(row.record)
            .bind(row.run)
            .bind(row.number)
            .execute(all)
            .await
            .map(|_| takes)
            .map_err(|error| self.failed(error))
    }

    /// Refuses a batch that another shard of the account has as well. The index of batches is not unique:
    /// accounts may use equal ids, and earlier versions recorded a batch for two shards.
    async fn check_batch(&self, all: &mut SqliteConnection, shard: &ShardRecord) -> Result<()> {
        let Some(batch) = shard.presumed_batch() else {
            return Ok(());
        };
        let others: Vec<(String, i64, String)> = sqlx::query_as(OTHERS_OF_BATCH)
            .bind(batch.as_str())
            .bind(&*shard.key.run)
            .bind(i64::from(shard.key.shard))
            .fetch_all(&mut *all)
            .await
            .map_err(|error| self.failed(error))?;
        if others.is_empty() {
            return Ok(());
        }
        let own: String = sqlx::query_scalar("SELECT account FROM run WHERE id = ?")
            .bind(&*shard.key.run)
            .fetch_one(all)
            .await
            .map_err(|error| self.failed(error))?;
        let own = AccountId::new(own);
        for (run, number, account) in others {
            if AccountId::new(account).may_equal(&own) {
                let message = format!(
                    "shard {number} of run {run} has the batch {batch} of {}",
                    shard.key
                );
                return Err(Error::new(ErrorKind::Conflict)
                    .with_batch(batch.clone())
                    .with_message(message));
            }
        }
        Ok(())
    }

    /// Adds shards to the runs that they belong to.
    async fn add(&self, all: &mut SqliteConnection, shards: &[ShardRecord]) -> Result<()> {
        for shard in shards {
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
            insert.map_err(|error| self.conflict_or(error, || shard.key.to_string()))?;
        }
        Ok(())
    }

    /// Adds `change` to the recorded number of runs.
    async fn count(&self, all: &mut SqliteConnection, change: i64) -> Result<()> {
        sqlx::query("UPDATE total SET runs = runs + ?")
            .bind(change)
            .execute(all)
            .await
            .map(drop)
            .map_err(|error| self.failed(error))
    }

    /// Adds `change` to the recorded number of late acknowledgements.
    async fn count_late(&self, all: &mut SqliteConnection, change: i64) -> Result<()> {
        sqlx::query("UPDATE total SET late_acknowledgements = late_acknowledgements + ?")
            .bind(change)
            .execute(all)
            .await
            .map(drop)
            .map_err(|error| self.failed(error))
    }
}

/// Transactions that write to the ledger.
impl SqliteLedger {
    async fn begin_once(&self, run: &RunRecord, shards: &[ShardRecord]) -> Result<()> {
        let as_change = Change {
            run: Some(run),
            new_shards: shards,
            ..Change::default()
        };
        as_change.check()?;
        let mut all = self.begin_write().await?;
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
        .map_err(|error| self.conflict_or(error, || format!("there is a run {} already", run.id)))?;
        self.count(&mut all, 1).await?;
        self.add(&mut all, shards).await?;
        all.commit().await.map_err(|error| self.failed(error))
    }

    async fn apply_once(&self, change: &Change<'_>) -> Result<()> {
        change.check()?;
        let mut all = self.begin_write().await?;
        if let Some(run) = change.run {
            self.replace_run(&mut all, run, change.new_shards.len())
                .await?;
        }
        let mut taking: Vec<&ShardRecord> = change.new_shards.iter().collect();
        for shard in change.shards {
            if self.replace_shard(&mut all, shard).await? {
                taking.push(shard);
            }
        }
        self.add(&mut all, change.new_shards).await?;
        for shard in taking {
            self.check_batch(&mut all, shard).await?;
        }
        all.commit().await.map_err(|error| self.failed(error))
    }

    async fn acknowledge_late_once(&self, late: &LateAcknowledgement) -> Result<()> {
        let mut all = self.begin_write().await?;
        let row = LateRow::new(late)?;
        let insert = sqlx::query(
            "INSERT INTO late_acknowledgement (run, shard, batch, seal, record) VALUES (?, ?, ?, ?, ?)
             ON CONFLICT (run, shard, batch) DO NOTHING",
        )
        .bind(row.run)
        .bind(row.shard)
        .bind(row.batch)
        .bind(row.seal)
        .bind(row.record)
        .execute(&mut *all)
        .await;
        let inserted = insert.map_err(|error| match &error {
            sqlx::Error::Database(refusal) if refusal.is_foreign_key_violation() => {
                late.without_shard()
            }
            _ => self.failed(error),
        })?;
        self.count_late(&mut all, inserted.rows_affected() as i64)
            .await?;
        all.commit().await.map_err(|error| self.failed(error))
    }

    async fn forget_once(&self, run: &str) -> Result<()> {
        let mut all = self.begin_write().await?;
        let late = sqlx::query("DELETE FROM late_acknowledgement WHERE run = ?")
            .bind(run)
            .execute(&mut *all)
            .await
            .map_err(|error| self.failed(error))?;
        self.count_late(&mut all, -(late.rows_affected() as i64))
            .await?;
        let gone = sqlx::query("DELETE FROM run WHERE id = ?")
            .bind(run)
            .execute(&mut *all)
            .await
            .map_err(|error| self.failed(error))?;
        self.count(&mut all, -(gone.rows_affected() as i64)).await?;
        all.commit().await.map_err(|error| self.failed(error))
    }
}

#[async_trait]
impl Ledger for SqliteLedger {
    async fn begin(&self, run: &RunRecord, shards: &[ShardRecord]) -> Result<()> {
        let begin = || self.begin_once(run, shards);
        self.reserve.with(begin).await
    }

    async fn apply(&self, change: &Change<'_>) -> Result<()> {
        let apply = || self.apply_once(change);
        self.reserve.with(apply).await
    }

    async fn run(&self, id: &str) -> Result<Option<RunRecord>> {
        let row: Option<RunRow> = sqlx::query_as(of_runs!("WHERE id = ?"))
            .bind(id)
            .fetch_optional(self.pool()?)
            .await
            .map_err(|error| self.failed(error))?;
        row.map(|row| self.read_run(&row)).transpose()
    }

    async fn revision(&self) -> Result<Option<u64>> {
        // There is one connection: SQLite counts what it has changed itself apart from what others have changed.
        let (own, others): (i64, i64) =
            sqlx::query_as("SELECT total_changes(), data_version FROM pragma_data_version")
                .fetch_one(self.pool()?)
                .await
                .map_err(|error| self.failed(error))?;
        Ok(Some(((others as u64) << 32) ^ own as u64))
    }

    async fn runs(&self, filter: &RunFilter) -> Result<Page<RunRecord>> {
        let before = filter.before()?;
        let mut read = self.begin_read().await?;
        let whole = RunFilter {
            limit: filter.limit,
            ..RunFilter::default()
        };
        if *filter == whole {
            self.check_runs(&mut read).await?;
        }
        let mut query = page_of_runs(filter, before);
        let mut rows: Vec<RunRow> = query
            .build_query_as()
            .fetch_all(&mut *read)
            .await
            .map_err(|error| self.failed(error))?;
        let is_last = rows.len() <= filter.page_size();
        rows.truncate(filter.page_size());
        let last = rows.last().filter(|_| !is_last);
        let next = last.map(|row| Cursor::new(row.number.to_string()));
        let items: Result<_> = rows.iter().map(|row| self.read_run(row)).collect();
        Ok(Page {
            items: items?,
            next,
        })
    }

    async fn shards(&self, run: &str) -> Result<Vec<ShardRecord>> {
        let mut read = self.begin_read().await?;
        let recorded: Option<i64> = sqlx::query_scalar("SELECT shards FROM run WHERE id = ?")
            .bind(run)
            .fetch_optional(&mut *read)
            .await
            .map_err(|error| self.failed(error))?;
        let rows: Vec<ShardRow> = sqlx::query_as(of_shards!("WHERE run = ? ORDER BY number"))
            .bind(run)
            .fetch_all(&mut *read)
            .await
            .map_err(|error| self.failed(error))?;
        let (recorded, found) = (recorded.unwrap_or(0), rows.len() as i64);
        if recorded != found {
            return Err(self.missing_batches(run, recorded, found));
        }
        rows.iter().map(|row| self.read_shard(row)).collect()
    }

    async fn known(&self, account: &AccountId, batches: &[BatchId]) -> Result<HashSet<BatchId>> {
        let asked = serde_json::to_string(batches)
            .map_err(|error| Error::new(ErrorKind::Internal).with_source(error))?;
        let may_be = |row: &SqliteRow| -> sqlx::Result<bool> {
            let recorded: String = row.try_get(5)?;
            Ok(AccountId::new(recorded).may_equal(account))
        };
        let mut read = self.begin_read().await?;
        let mut known = HashSet::new();
        for query in [SHARDS_OF_BATCHES, LATE_OF_BATCHES] {
            let rows = sqlx::query(query).bind(&asked).fetch_all(&mut *read).await;
            for row in rows.map_err(|error| self.failed(error))? {
                if !may_be(&row).map_err(|error| self.failed(error))? {
                    continue;
                }
                if query == LATE_OF_BATCHES {
                    let row = LateRow::from_row(&row).map_err(|error| self.failed(error))?;
                    known.insert(self.read_late(&row)?.batch);
                } else {
                    let row = ShardRow::from_row(&row).map_err(|error| self.failed(error))?;
                    known.extend(self.read_shard(&row)?.state.batch().cloned());
                }
            }
        }
        Ok(known)
    }

    async fn doubtful(&self, account: &AccountId, requests: u32) -> Result<Vec<ShardRecord>> {
        let rows = sqlx::query(DOUBTFUL)
            .bind(i64::from(requests))
            .fetch_all(self.pool()?)
            .await
            .map_err(|error| self.failed(error))?;
        let mut doubtful = Vec::new();
        for row in rows {
            let recorded: String = row.try_get(5).map_err(|error| self.failed(error))?;
            if AccountId::new(recorded).may_equal(account) {
                let row = ShardRow::from_row(&row).map_err(|error| self.failed(error))?;
                let shard = self.read_shard(&row)?;
                doubtful.extend(Some(shard).filter(|shard| shard.is_doubtful(requests)));
            }
        }
        Ok(doubtful)
    }

    async fn acknowledge_late(&self, late: &LateAcknowledgement) -> Result<()> {
        let acknowledge = || self.acknowledge_late_once(late);
        self.reserve.with(acknowledge).await
    }

    async fn late_acknowledgements(&self, key: &ShardKey) -> Result<Vec<LateAcknowledgement>> {
        let rows: Vec<LateRow> =
            sqlx::query_as(of_late!("WHERE run = ? AND shard = ? ORDER BY sequence"))
                .bind(&*key.run)
                .bind(i64::from(key.shard))
                .fetch_all(self.pool()?)
                .await
                .map_err(|error| self.failed(error))?;
        rows.iter().map(|row| self.read_late(row)).collect()
    }

    async fn delete(&self, run: &str) -> Result<()> {
        let forget = || self.forget_once(run);
        self.reserve.with(forget).await
    }

    async fn claim(&self, run: &str) -> Result<RunClaim> {
        self.locks.claim(run)
    }

    async fn close(&self) -> Result<()> {
        self.pool()?.close().await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_file_uses_a_synced_rollback_journal() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = SqliteLedger::open(&folder.path().join("ledger.db")).await;
        let ledger = ledger.unwrap();
        for (pragma, expected) in [
            ("PRAGMA journal_mode", "truncate"),
            // EXTRA
            ("PRAGMA synchronous", "3"),
            ("PRAGMA foreign_keys", "1"),
        ] {
            let row = sqlx::query(pragma)
                .fetch_one(ledger.pool().unwrap())
                .await
                .unwrap();
            let found = match row.try_get::<String, _>(0) {
                Ok(text) => text,
                Err(_) => row.get::<i64, _>(0).to_string(),
            };
            assert_eq!(found, expected, "{pragma}");
        }
    }
}
