//! The record of runs, kept behind two traits: what happened ([`Ledger`]) and the bytes ([`Spool`]).

use std::fmt;
use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{BatchId, BatchSnapshot, Certainty, Intent, Label, Result, ResultPart, Staged};

/// One shard of one run.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ShardKey {
    /// The run.
    pub run: Box<str>,
    /// The shard's number in it, from 0.
    pub shard: u32,
}

/// Where a shard stands. It only moves forward, one record at a time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ShardState {
    /// Decided, nothing sent.
    Planned,
    /// What the create needs is at the provider.
    Staged(Staged),
    /// A create is about to be sent, or was: after a crash, as good as [`Doubt`](Self::Doubt).
    Posting(Intent),
    /// A create was sent, and its fate is unknown.
    Doubt(Intent),
    /// The provider refused the create for good.
    Refused,
    /// The batch exists.
    Created {
        /// The batch.
        batch: BatchId,
        /// How we know that it is ours.
        certainty: Certainty,
    },
    /// The batch has ended.
    Ended(BatchSnapshot),
    /// Its results are here, complete and synced.
    Sealed(Vec<Segment>),
}

/// One part of the results, as it lies in the spool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// The part.
    pub part: ResultPart,
    /// The spool's name for it.
    pub name: Box<str>,
    /// Its bytes.
    pub bytes: u64,
    /// Its rows.
    pub rows: u64,
}

/// A shard as the ledger has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShardRecord {
    /// Which.
    pub key: ShardKey,
    /// Our mark on its batch.
    pub label: Label,
    /// How many requests.
    pub count: u32,
    /// Counts the transitions.
    pub epoch: u64,
    /// Where it stands.
    pub state: ShardState,
}

/// The durable record of runs and batches. Transitions are compare-and-set: of two writers one loses, and learns it.
#[async_trait]
pub trait Ledger: fmt::Debug + Send + Sync + 'static {
    /// Notes all shards of a run at once, each planned at epoch 0.
    async fn begin(&self, shards: &[ShardRecord]) -> Result<()>;

    /// The shard as it stands.
    async fn shard(&self, key: &ShardKey) -> Result<ShardRecord>;

    /// Moves the shard from `epoch` to `state`, durably, and returns the new epoch.
    async fn advance(&self, key: &ShardKey, epoch: u64, state: ShardState) -> Result<u64>;
}

/// A place for the bytes of runs: bodies, index, results.
pub trait Spool: fmt::Debug + Send + Sync + 'static {
    /// Begins a file, in place of one of that name.
    fn create(&self, name: &str) -> io::Result<Box<dyn SpoolWriter>>;

    /// Opens a file to read and patch it.
    fn open(&self, name: &str) -> io::Result<Arc<dyn SpoolFile>>;

    /// Deletes a file; no error if it is gone.
    fn remove(&self, name: &str) -> io::Result<()>;
}

/// A file being written. Buffer what you write.
pub trait SpoolWriter: io::Write + Send {
    /// Makes what was written last through a power loss.
    fn sync(&mut self) -> io::Result<()>;
}

/// A file that is there.
pub trait SpoolFile: fmt::Debug + Send + Sync + 'static {
    /// Its bytes.
    fn size(&self) -> io::Result<u64>;

    /// Reads up to `buffer.len()` bytes from `offset`; fewer only at the end.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all of `bytes` at `offset`.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
}
