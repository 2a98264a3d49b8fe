//! All clauses of ledgers, checked for the ledger in memory and for the ledger in SQLite.

use std::sync::Arc;

use lmbatch_core::Ledger;
use lmbatch_engine::MemoryLedger;
use lmbatch_ledger::SqliteLedger;
use lmbatch_testing::ledger::{Subject, clauses};

#[tokio::test]
async fn the_ledger_in_memory_keeps_every_clause() {
    for clause in clauses() {
        let subject = Subject::new(Arc::new(MemoryLedger::default()));
        let kept = clause.hold(subject).await;
        assert_eq!(kept, Ok(()), "{clause}");
    }
}

#[tokio::test]
async fn the_ledger_on_sqlite_keeps_every_clause() {
    for clause in clauses() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        let opened = SqliteLedger::open(&path).await.unwrap();
        let again = path.clone();
        let subject = Subject::new(Arc::new(opened)).with_reopen(move || {
            let path = again.clone();
            Box::pin(async move {
                let ledger = SqliteLedger::open(&path).await.unwrap();
                Arc::new(ledger) as Arc<dyn Ledger>
            })
        });
        let kept = clause.hold(subject).await;
        assert_eq!(kept, Ok(()), "{clause}");
        // A clause must leave an intact ledger.
        SqliteLedger::open(&path).await.unwrap();
    }
}
