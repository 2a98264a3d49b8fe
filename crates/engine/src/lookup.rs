//! Lookups in the ledger: runs by their nonces, and batches that are some shard's.

use std::collections::HashSet;

use lmbatch_core::{BatchId, Nonce, Result, RunFilter, RunRecord};

use crate::engine::Engine;
use crate::plan::run_id;

impl Engine {
    /// Returns the run of a nonce, whichever version recorded it.
    pub async fn run_of_nonce(&self, nonce: &Nonce) -> Result<Option<RunRecord>> {
        let filter = RunFilter {
            nonce: Some(nonce.clone()),
            ..RunFilter::default()
        };
        self.ledger.newest_run(filter).await
    }

    /// Returns the id under which the run of a nonce is recorded, or would be.
    pub(crate) async fn id_of_nonce(&self, nonce: &Nonce) -> Result<Box<str>> {
        let recorded = self.run_of_nonce(nonce).await?.map(|run| run.id);
        Ok(recorded.unwrap_or_else(|| run_id(nonce.as_str())))
    }

    /// Returns those of the batches that the ledger knows as some shard's, created or acknowledged late, of
    /// this account or of one that may be it.
    pub async fn known_batches(&self, batches: &[BatchId]) -> Result<HashSet<BatchId>> {
        if batches.is_empty() {
            return Ok(HashSet::new());
        }
        let account = self.provider.account();
        let mut known = self.ledger.known(&account, batches).await?;
        known.extend(self.beside.known(&account, batches).await?);
        Ok(known)
    }
}
