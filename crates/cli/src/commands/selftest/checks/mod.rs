//! Checks of a self-test, in the order in which they are made.

mod cancelling;
mod creating;
mod listing;
mod refusing;
mod results;
mod rows;
#[cfg(test)]
mod tests;

use std::time::Duration;

use lmbatch::BatchId;
use lmbatch::adapter::{CreateProof, Intent};

use super::batch::{TinyBatch, Writer};
use super::tester::{Halt, Tester};
use crate::exit::Failure;

/// Batches that a self-test may create.
#[derive(Debug)]
pub(super) struct Plan {
    /// Batch that is completed.
    completed: TinyBatch,
    /// Batch that is cancelled; `None` where the provider cannot cancel.
    cancelled: Option<TinyBatch>,
    /// Batch whose input is deleted before its create; `None` where the provider has no fence.
    fenced: Option<TinyBatch>,
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
struct Batch<'p> {
    tiny: &'p TinyBatch,
    id: BatchId,
    intent: Intent,
    /// Time at which the create was answered, by the clock of the self-test.
    created: Duration,
}

/// Makes every check.
///
/// # Errors
/// A signal, or the failure of a call that the remaining checks need.
pub(super) async fn all(tester: &mut Tester, plan: &Plan, model: &str) -> Result<(), Halt> {
    creating::accepted(tester, model).await?;
    let first = creating::created(tester, &plan.completed).await?;
    let snapshot = creating::readable(tester, &first).await?;
    creating::time(tester, &first, &snapshot);
    listing::listed(tester, &first, &snapshot).await?;
    listing::uploads(tester, &first).await?;
    refusing::unknown(tester, &first.id).await?;
    refusing::token(tester, &first).await?;
    let second = cancelling::cancelled(tester, plan.cancelled.as_ref()).await?;
    listing::ordered(tester, &first, second.as_ref()).await?;
    refusing::fence(tester, plan.fenced.as_ref()).await?;
    cancelling::ended(tester, second.as_ref()).await?;
    results::completed(tester, &first).await
}
