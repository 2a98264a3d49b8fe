//! Migration of an older ledger to the version that this lmbatch writes.

use lmbatch_core::{Error, ErrorKind, Result};
use sqlx::SqliteConnection;

use crate::rows::{RunRow, ShardRow, of_runs, of_shards};
use crate::schema::MIGRATIONS;
use crate::sqlite::SqliteLedger;

/// First version whose rows have seals.
const SEALED: usize = 3;

impl SqliteLedger {
    pub(crate) async fn version(&self, on: impl sqlx::SqliteExecutor<'_>) -> Result<usize> {
        let found: i64 = sqlx::query_scalar("PRAGMA user_version")
            .fetch_one(on)
            .await
            .map_err(|error| self.failed(error))?;
        Ok(usize::try_from(found).unwrap_or(usize::MAX))
    }

    /// Migrates the ledger to the version that this lmbatch writes: completely or not at all.
    pub(crate) async fn migrate(&self) -> Result<()> {
        // Other processes that open the ledger wait here, and then find it migrated.
        let mut all = self.begin_write().await?;
        let found = self.version(&mut *all).await?;
        let Some(missing) = MIGRATIONS.get(found..) else {
            return Err(Error::new(ErrorKind::Local).with_message(format!(
                "the ledger {} was written by a newer lmbatch; use that version",
                self.path().display()
            )));
        };
        if found > 0 {
            self.check_json(&mut all).await?;
        }
        for step in missing {
            let done = sqlx::raw_sql(*step).execute(&mut *all).await;
            done.map_err(|error| self.failed(error))?;
        }
        if found < SEALED {
            self.seal_all(&mut all).await?;
        }
        all.commit().await.map_err(|error| self.failed(error))
    }

    /// Checks that every record is JSON, because generated columns are computed from it.
    async fn check_json(&self, all: &mut SqliteConnection) -> Result<()> {
        for query in [
            "SELECT count(*) FROM run WHERE NOT json_valid(record)",
            "SELECT count(*) FROM shard WHERE NOT json_valid(record)",
        ] {
            let found: i64 = sqlx::query_scalar(query)
                .fetch_one(&mut *all)
                .await
                .map_err(|error| self.failed(error))?;
            if found > 0 {
                return Err(self.damaged(&format!("{found} of its records are not JSON")));
            }
        }
        Ok(())
    }

    /// Seals every existing row.
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
}
