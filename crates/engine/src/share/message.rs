//! Messages about batches to the drivers that wait for them.

use std::time::Duration;

use lmbatch_core::{BatchId, BatchSnapshot};

/// Message about one batch to the driver that waits for it.
#[derive(Debug)]
pub(crate) struct Message {
    /// Number of the shard.
    pub(crate) at: usize,
    pub(crate) batch: BatchId,
    pub(crate) news: News,
}

/// Content of a message about a batch.
#[derive(Debug)]
pub(crate) enum News {
    /// A page of the list shows the batch. The next poll is counted from `since`, when the sweep
    /// began.
    Listed {
        snapshot: Box<BatchSnapshot>,
        since: Duration,
    },
    /// The batch needs a status call of its own.
    Alone,
    /// The batch became due behind the sweep, which has ended, and is still due.
    Again,
}
