//! Batches that the ledger records.

use lmbatch_core::{BatchHandle, BatchId, Result};

use super::Engine;

impl Engine {
    /// Returns the handle of a batch from the record of its run, so that its results can be
    /// [retrieved](Self::retrieve) under the ids of the caller. `None` where the ledger knows no such batch of the
    /// provider, where the batch is only presumed to be of the run, and in records of earlier versions. Needs no
    /// answers: those of the run may have been [deleted](crate::delete_answers). Sends nothing; time and memory grow
    /// with the size of the batch.
    ///
    /// ```no_run
    /// # use lmbatch_core::{BatchId, Result};
    /// # use lmbatch_engine as lmbatch;
    /// use lmbatch::Engine;
    ///
    /// # async fn example(engine: &Engine, batch: BatchId) -> Result<()> {
    /// if let Some(handle) = engine.recorded_handle(&batch).await? {
    ///     let finished = engine.retrieve(&handle).await?;
    ///     assert_eq!(finished.rows(), handle.requests.len() as u64);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of the ledger, and [`ErrorKind::Local`](lmbatch_core::ErrorKind::Local) where a table of ids is missing or
    /// damaged.
    pub async fn recorded_handle(&self, batch: &BatchId) -> Result<Option<BatchHandle>> {
        self.ready()?.recorded_handle(batch).await
    }
}
