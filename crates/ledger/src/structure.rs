//! Checks of the structure and of the number of rows of the ledger's file.

use lmbatch_core::{Error, Result};
use sqlx::SqliteConnection;

use crate::sqlite::SqliteLedger;

impl SqliteLedger {
    /// Checks pages and indexes, in about a millisecond per megabyte.
    pub(crate) async fn check_structure(&self) -> Result<()> {
        let found: String = sqlx::query_scalar("PRAGMA integrity_check(1)")
            .fetch_one(self.pool()?)
            .await
            .map_err(|error| match &error {
                // The statement is valid, so an error means that a column computed from a record could not be
                // computed.
                sqlx::Error::Database(refusal) if refusal.code().as_deref() == Some("1") => {
                    self.damaged(&refusal.to_string()).with_source(error)
                }
                _ => self.failed(error),
            })?;
        match found.as_str() {
            "ok" => Ok(()),
            found => Err(self.damaged(found)),
        }
    }

    /// Checks that no row is missing, and that no shard belongs to a missing run.
    pub(crate) async fn check_counts(&self) -> Result<()> {
        let mut read = self.begin_read().await?;
        self.check_runs(&mut read).await?;
        self.check_late(&mut read).await?;
        let wrong: Option<(String, i64, i64)> = sqlx::query_as(
            "SELECT run.id, run.shards, count(shard.number) FROM run LEFT JOIN shard ON shard.run = run.id
             GROUP BY run.id HAVING run.shards <> count(shard.number) LIMIT 1",
        )
        .fetch_optional(&mut *read)
        .await
        .map_err(|error| self.failed(error))?;
        if let Some((run, recorded, found)) = wrong {
            return Err(self.missing_batches(&run, recorded, found));
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

    /// Checks that the number of runs equals the recorded number.
    pub(crate) async fn check_runs(&self, on: &mut SqliteConnection) -> Result<()> {
        let counts: Vec<(i64, i64)> =
            sqlx::query_as("SELECT runs, (SELECT count(*) FROM run) FROM total")
                .fetch_all(on)
                .await
                .map_err(|error| self.failed(error))?;
        match counts.as_slice() {
            [(recorded, found)] if recorded == found => Ok(()),
            [(recorded, found)] => {
                Err(self.damaged(&format!("{found} of {recorded} runs are present")))
            }
            _ => Err(self.damaged("the number of its runs is missing")),
        }
    }

    /// Checks that the number of late acknowledgements equals the recorded number.
    pub(crate) async fn check_late(&self, on: &mut SqliteConnection) -> Result<()> {
        let (recorded, found): (i64, i64) = sqlx::query_as(
            "SELECT late_acknowledgements, (SELECT count(*) FROM late_acknowledgement) FROM total",
        )
        .fetch_one(on)
        .await
        .map_err(|error| self.failed(error))?;
        match recorded == found {
            true => Ok(()),
            false => Err(self.damaged(&format!(
                "{found} of {recorded} late acknowledgements are present"
            ))),
        }
    }

    pub(crate) fn missing_batches(&self, run: &str, recorded: i64, found: i64) -> Error {
        self.damaged(&format!(
            "{found} of {recorded} batches of the run {run} are present"
        ))
    }
}
