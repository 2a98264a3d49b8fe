//! Lookups in the ledger: runs by their nonces, and batches of any shard.

use std::collections::HashSet;

use lmbatch_core::{BatchId, Nonce, Result, RunFilter, RunRecord};

use crate::context::Context;
use crate::plan::ids::run_id;

impl Context {
    pub(crate) async fn run_of_nonce(&self, nonce: &Nonce) -> Result<Option<RunRecord>> {
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

    pub(crate) async fn known_batches(&self, batches: &[BatchId]) -> Result<HashSet<BatchId>> {
        if batches.is_empty() {
            return Ok(HashSet::new());
        }
        let account = self.account().id;
        let mut known = self.ledger.known(&account, batches).await?;
        known.extend(self.ephemeral_ledger.known(&account, batches).await?);
        Ok(known)
    }
}
