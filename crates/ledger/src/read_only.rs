//! Ledgers that this process may only read.

use std::path::Path;

use lmbatch_core::{Error, ErrorKind, Result};

use crate::schema::MIGRATIONS;
use crate::sqlite::{SqliteLedger, options_of};

impl SqliteLedger {
    /// Opens an existing file that this process may only read, such as one on a file system that is mounted read-only.
    /// Every change of the record fails.
    ///
    /// # Errors
    /// [`ErrorKind::Local`] where the file cannot be opened, is damaged, or was written by another version of lmbatch,
    /// which cannot upgrade it; where a process that ended has left a journal, which must be rolled back first.
    pub(crate) async fn open_read_only(path: &Path) -> Result<Self> {
        lmbatch_runtime::check()?;
        let ledger = Self::connected(path, options_of(path).read_only(true)).await?;
        let version = ledger.version(ledger.pool()?).await?;
        if version != MIGRATIONS.len() {
            return Err(Error::new(ErrorKind::Local).with_message(format!(
                "the ledger {} is read-only and was written by another version of lmbatch; copy the state folder to where it can be written, or use that version",
                path.display()
            )));
        }
        ledger.check_counts().await?;
        Ok(ledger)
    }
}

#[cfg(test)]
mod tests {
    use lmbatch_core::Ledger as _;
    use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};

    use super::*;

    #[tokio::test]
    async fn a_ledger_that_is_opened_for_reading_is_not_changed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        let ledger = SqliteLedger::open(&path).await.unwrap();
        ledger.close().await.unwrap();
        let before = std::fs::read(&path).unwrap();
        let reading = SqliteLedger::open_read_only(&path).await.unwrap();
        assert_eq!(reading.count_runs().await.unwrap(), 0);
        let refused = sqlx::query("DELETE FROM total")
            .execute(reading.pool().unwrap())
            .await
            .unwrap_err()
            .to_string();
        assert!(refused.contains("readonly"), "{refused}");
        reading.close().await.unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), before);
        // A file of another version cannot be upgraded.
        let options = SqliteConnectOptions::new().filename(&path);
        let pool = SqlitePool::connect_with(options).await.unwrap();
        sqlx::query("PRAGMA user_version = 3")
            .execute(&pool)
            .await
            .unwrap();
        pool.close().await;
        let error = SqliteLedger::open_read_only(&path).await.unwrap_err();
        let message = error.message().unwrap_or_default();
        assert!(message.contains("another version"), "{message}");
        assert!(
            SqliteLedger::open_read_only(&folder.path().join("none"))
                .await
                .is_err()
        );
    }
}
