//! News of batches for the drivers that wait for them.

use std::time::Duration;

use lmbatch_core::{BatchId, BatchSnapshot};

/// News of one batch for the driver that waits for it.
#[derive(Debug)]
pub(crate) struct Letter {
    /// Number of the shard.
    pub(crate) at: usize,
    pub(crate) batch: BatchId,
    pub(crate) news: News,
}

/// What a sweep says of a batch.
#[derive(Debug)]
pub(crate) enum News {
    /// A page of the list shows it. The next poll is counted from `since`, when the walk began.
    Listed {
        snapshot: Box<BatchSnapshot>,
        since: Duration,
    },
    /// It is to be asked for by a status call of its own.
    Alone,
    /// It became due behind the walk, which has ended: it is due still.
    Again,
}
