//! Batches of a self-test: those that its checks need, and those that exist.

use std::time::Duration;

use lmbatch::BatchId;
use lmbatch::adapter::{CreateProof, Intent};

use super::batch::{TinyBatch, Writer};
use crate::exit::Failure;

/// Batches that a self-test may create.
#[derive(Debug)]
pub(super) struct Plan {
    /// Batch that is completed.
    pub(super) completed: TinyBatch,
    /// Batch that is cancelled; `None` where the provider cannot cancel.
    pub(super) cancelled: Option<TinyBatch>,
    /// Batch whose input is deleted before its create; `None` where the provider has no fence.
    pub(super) fenced: Option<TinyBatch>,
    /// Number of creates of the first batch: two where the provider has idempotency tokens.
    creates: u64,
}

impl Plan {
    /// Plans the batches that the capabilities of the provider need.
    ///
    /// # Errors
    /// Usage, where the adapter refuses a request.
    pub(super) fn new(writer: Writer<'_>) -> Result<Self, Failure> {
        let can = writer.codec.capabilities();
        let batch =
            |number, is_needed: bool| is_needed.then(|| writer.batch(number, 2)).transpose();
        Ok(Self {
            completed: writer.batch(0, 3)?,
            cancelled: batch(1, can.cancel)?,
            fenced: batch(2, can.fence)?,
            creates: if can.create == CreateProof::Token {
                2
            } else {
                1
            },
        })
    }

    /// Returns each batch with the number of its creates.
    pub(super) fn batches(&self) -> Vec<(&TinyBatch, u64)> {
        let others = self.cancelled.iter().chain(&self.fenced);
        let others = others.map(|batch| (batch, 1));
        [(&self.completed, self.creates)]
            .into_iter()
            .chain(others)
            .collect()
    }

    /// Returns the endpoint of the requests.
    pub(super) fn endpoint(&self) -> &str {
        &self.completed.shard.class.endpoint
    }
}

/// Batch that exists at the provider.
#[derive(Debug)]
pub(super) struct Batch<'p> {
    pub(super) tiny: &'p TinyBatch,
    pub(super) id: BatchId,
    pub(super) intent: Intent,
    /// Time at which the create was answered, by the clock of the self-test.
    pub(super) created: Duration,
}
