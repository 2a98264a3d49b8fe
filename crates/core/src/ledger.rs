//! The record of runs, kept behind two traits: what happened ([`Ledger`]) and the bytes ([`Spool`]).

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{
    AccountId, BatchClass, BatchId, BatchSnapshot, Certainty, IdRule, Intent, KeyHint, Label,
    Nonce, Proof, ProviderId, Remnant, Result, ResultPart, Staged,
};

/// A run: any number of requests over any number of shards.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// Its id.
    pub id: Box<str>,
    /// Its key, where the caller gave one.
    pub name: Option<Box<str>>,
    /// A digest of everything that is sent and given back, whatever ids travel.
    pub digest: Box<str>,
    /// Whose service answers.
    pub provider: ProviderId,
    /// Account under which its batches are created.
    pub account: AccountId,
    /// Digest of the key that was used last; `None` in records of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_hint: Option<KeyHint>,
    /// How ids on the wire lead back to requests.
    pub ids: IdRule,
    /// What our marks have in common.
    pub nonce: Nonce,
    /// Requests in all.
    pub requests: u32,
    /// How often requests have been sent again, from 0.
    pub attempt: u32,
    /// The try that its caller asked for last: automatic ones are counted from there.
    #[serde(default)]
    pub asked: u32,
    /// Which requests the output holds, where the input was changed.
    #[serde(default)]
    pub order: Option<Order>,
    /// When it began.
    #[serde(default, with = "crate::time::optional")]
    pub created_at: Option<SystemTime>,
    /// Whether every request has its last outcome.
    pub finished: bool,
    /// Whether its caller has had enough: nothing more is created, and what exists is fetched.
    #[serde(default)]
    pub cancelled: bool,
    /// What of it was deleted at the provider.
    #[serde(default)]
    pub cleaned: Option<Cleaned>,
    /// CRC-32 of each file of the spool that belongs to the run as a whole, by its name without the stem.
    #[serde(default)]
    pub checksums: BTreeMap<Box<str>, u32>,
    /// What its caller keeps with it, such as where the output goes.
    pub notes: BTreeMap<Box<str>, Box<str>>,
    /// Counts the changes of this record.
    #[serde(default)]
    pub epoch: u64,
}

/// What of a run was deleted at its provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cleaned {
    /// The last try whose inputs were.
    pub inputs: u32,
    /// The last try whose batches were.
    pub batches: Option<u32>,
}

impl Cleaned {
    /// Whether the inputs of a shard are gone.
    pub fn inputs(self, shard: &ShardRecord) -> bool {
        shard.attempt <= self.inputs
    }
    /// Whether its batch is.
    pub fn batches(self, shard: &ShardRecord) -> bool {
        self.batches.is_some_and(|attempt| shard.attempt <= attempt)
    }
}

/// The output of a run whose input was changed: some of the requests that were sent, in another order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The number of the table in the spool that says which.
    pub table: u32,
    /// Requests that were ever sent.
    pub ordinals: u32,
}

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
        proof: Proof,
    },
    /// The batch has ended.
    Ended(BatchSnapshot),
    /// There is no batch of it, and none will be created.
    Closed(Closed),
    /// Its results are here, complete and synced.
    Sealed {
        /// How the batch ended.
        snapshot: BatchSnapshot,
        /// Where its rows lie.
        segments: Vec<Segment>,
        /// Table of the place of each request's row, made from the segments; `None` in records of earlier
        /// versions.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        locations: Option<Locations>,
        /// Number of requests that ended by the provider's counts and that no row names. They may have been
        /// paid for, and are never sent again.
        #[serde(default)]
        undelivered: u64,
    },
}

/// Why a shard has no batch, and gets none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Closed {
    /// The run was cancelled before its create.
    Cancelled,
    /// The fate of its create stayed unknown, and the caller gave it up. There may be a batch after all.
    Abandoned {
        /// Error of the create, in one line.
        message: Box<str>,
    },
}

impl ShardState {
    /// Returns the batch of the shard, where it is known.
    pub fn batch(&self) -> Option<&BatchId> {
        match self {
            Self::Created { batch, .. } => Some(batch),
            Self::Ended(snapshot) | Self::Sealed { snapshot, .. } => Some(&snapshot.id),
            _ => None,
        }
    }

    /// Returns whether nothing more is to be done for the shard.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Sealed { .. } | Self::Closed(_))
    }
}

/// What a step has to remember until it is called again. It survives the process and a change of worker.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Search for the batch of a create whose fate is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<Search>,
    /// Times that the results of an ended batch were asked for and were not whole.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub late_results: u32,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Progress {
    /// Returns whether there is nothing to remember.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Search for the batch of a create whose fate is unknown.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Search {
    /// Phase of the search.
    pub phase: SearchPhase,
    /// Looks that were made.
    pub looks: u32,
    /// Time of the last look.
    #[serde(with = "crate::time::optional")]
    pub looked_at: Option<SystemTime>,
    /// Batch that fitted in the last look, and was the only one: twice in a row, it is taken.
    pub presumed: Option<BatchId>,
    /// Why the last look did not tell, in words; `None` where it saw that there is nothing.
    pub unclear: Option<Box<str>>,
    /// Whether the provider says that the batch exists already.
    pub exists: bool,
    /// Whether the create was sent after another one of the shard whose fate stayed unknown: a provider that
    /// takes creates and loses every answer would be paid for ever.
    pub again: bool,
}

/// Phase of a [`Search`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SearchPhase {
    /// The provider is looked through, at growing intervals.
    #[default]
    Looking,
    /// Nothing was seen: the input is to be deleted, so that a create that is still under way fails.
    Fencing,
    /// The input is deleted: one more look.
    Fenced,
    /// There is no batch, and there cannot be one any more: the shard may be created.
    Absent,
    /// It is not known, and nothing more is done until the run is resumed.
    Held,
}

/// Table of the places of a shard's rows, by the place of each request in the shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Locations {
    /// The spool's name for it.
    pub name: Box<str>,
    /// CRC-32 of its bytes.
    pub checksum: u32,
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
    /// CRC-32 of its bytes.
    #[serde(default)]
    pub checksum: Option<u32>,
}

/// A shard as the ledger has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShardRecord {
    /// Which.
    pub key: ShardKey,
    /// Our mark on its batch.
    pub label: Label,
    /// What its requests share.
    pub class: BatchClass,
    /// How many requests.
    pub count: u32,
    /// Bytes of their rows.
    pub bytes: u64,
    /// CRC-32 of their rows.
    #[serde(default)]
    pub checksum: Option<u32>,
    /// Which try of its requests it is, from 0.
    pub attempt: u32,
    /// Counts the transitions.
    pub epoch: u64,
    /// Where it stands.
    pub state: ShardState,
    /// What a step remembers until it is called again.
    #[serde(default, skip_serializing_if = "Progress::is_empty")]
    pub progress: Progress,
    /// How we know that its batch is ours, once there is one.
    #[serde(default)]
    pub proof: Option<Proof>,
    /// The create that is not known to have made its batch, as long as it is not.
    #[serde(default)]
    pub doubted: Option<Intent>,
    /// What was uploaded for it, and stays at the provider until it is discarded.
    #[serde(default)]
    pub remnants: Vec<Remnant>,
    /// Whether its create was sent again after one whose fate stayed unknown: there may be two batches.
    #[serde(default)]
    pub sent_twice: bool,
}

impl ShardRecord {
    /// Rows that were sealed are ours.
    fn prove(&mut self, segments: &[Segment]) {
        let presumed = |proof: &Proof| proof.certainty == Certainty::Presumed;
        if self.proof.as_ref().is_some_and(presumed)
            && segments.iter().any(|segment| segment.rows > 0)
        {
            self.proof = Some(Proof::proved("its results carry our ids"));
        }
    }

    /// Returns the record as this version writes it: earlier ones noted a shard without a batch as sealed under
    /// a batch that is called "none".
    pub fn of_earlier_version(mut self) -> Self {
        if let ShardState::Sealed { snapshot, .. } = &self.state
            && snapshot.id.as_str() == "none"
        {
            let told = snapshot.problems.first();
            let message = told.and_then(|problem| problem.error.message());
            self.state = ShardState::Closed(match snapshot.status {
                crate::BatchStatus::Cancelled => Closed::Cancelled,
                _ => Closed::Abandoned {
                    message: message.unwrap_or("abandoned").into(),
                },
            });
        }
        self
    }

    /// Returns the record in another state, still at its epoch.
    pub fn advanced(mut self, state: ShardState) -> Self {
        if let ShardState::Staged(staged) = &state {
            let new = staged.remnants.iter();
            let new: Vec<Remnant> = new
                .filter(|remnant| !self.remnants.contains(remnant))
                .cloned()
                .collect();
            self.remnants.extend(new);
        }
        self.sent_twice |= matches!(
            (&self.state, &state),
            (ShardState::Doubt(_), ShardState::Staged(_))
        );
        match &state {
            ShardState::Posting(intent) | ShardState::Doubt(intent) => {
                (self.proof, self.doubted) = (None, Some(intent.clone()));
            }
            ShardState::Created { proof, .. } => {
                self.proof = Some(proof.clone());
                // What is presumed may turn out to be someone else's.
                self.doubted = self
                    .doubted
                    .filter(|_| proof.certainty == Certainty::Presumed);
            }
            // A create that was given up may have made a batch after all.
            ShardState::Ended(_) | ShardState::Closed(Closed::Abandoned { .. }) => {}
            ShardState::Sealed { segments, .. } => {
                self.prove(segments);
                self.doubted = None;
            }
            _ => (self.proof, self.doubted) = (None, None),
        }
        self.progress = Progress::default();
        self.state = state;
        self
    }
}

/// The exclusive right to advance one run. It is given up when the last clone is dropped, or when the
/// process ends.
#[derive(Debug, Clone)]
pub struct RunClaim {
    run: Box<str>,
    _held: Option<Arc<dyn fmt::Debug + Send + Sync>>,
}

impl RunClaim {
    /// Returns a claim on `run` that lasts as long as `held` exists.
    pub fn new(run: &str, held: Arc<dyn fmt::Debug + Send + Sync>) -> Self {
        Self {
            run: run.into(),
            _held: Some(held),
        }
    }

    /// Returns a claim that excludes no other process, for ledgers that only one process can see.
    pub fn unshared(run: &str) -> Self {
        Self {
            run: run.into(),
            _held: None,
        }
    }

    /// Returns the id of the claimed run.
    pub fn run(&self) -> &str {
        &self.run
    }
}

/// The durable record of runs and batches. Transitions are compare-and-set: of two writers one loses, and learns it.
#[async_trait]
pub trait Ledger: fmt::Debug + Send + Sync + 'static {
    /// Notes a new run and its shards at once, each at epoch 0.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`](crate::ErrorKind::Conflict) where another run has its id or its name.
    async fn begin(&self, run: &RunRecord, shards: &[ShardRecord]) -> Result<()>;

    /// Replaces the record of a run that is at the epoch of `run`, and adds shards to it at once. Gives the
    /// new epoch.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`](crate::ErrorKind::Conflict) where the run, or one of the shards, is already
    /// otherwise; nothing is changed then.
    async fn change(&self, run: &RunRecord, shards: &[ShardRecord]) -> Result<u64>;

    /// The run of an id.
    async fn run(&self, id: &str) -> Result<Option<RunRecord>>;

    /// Every run, newest first.
    async fn runs(&self) -> Result<Vec<RunRecord>>;

    /// The shards of a run, by number.
    async fn shards(&self, run: &str) -> Result<Vec<ShardRecord>>;

    /// Deletes a run with its shards. No error if it is gone.
    async fn forget(&self, run: &str) -> Result<()>;

    /// Replaces the record of a shard that is at the epoch of `shard`, durably, and returns the new epoch.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`](crate::ErrorKind::Conflict) where it is not at that epoch any more.
    async fn advance(&self, shard: &ShardRecord) -> Result<u64>;

    /// Claims a run, whether or not it is recorded yet, so that no other process advances it. Readers and a
    /// cancellation need no claim. A ledger that several processes share implements it.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`](crate::ErrorKind::Conflict), naming the process that holds the claim.
    async fn claim(&self, run: &str) -> Result<RunClaim> {
        Ok(RunClaim::unshared(run))
    }

    /// Releases what the ledger holds open, so that its file is complete on its own. Later calls may fail.
    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

/// A place for the bytes of runs: bodies, index, results.
pub trait Spool: fmt::Debug + Send + Sync + 'static {
    /// Begins a file, in place of one of that name.
    fn create(&self, name: &str) -> io::Result<Box<dyn SpoolWriter>>;

    /// Opens a file to read and patch it.
    fn open(&self, name: &str) -> io::Result<Arc<dyn SpoolFile>>;

    /// Deletes a file; no error if it is gone.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// A new file without a name, to read and patch: it goes with its last user, even one that is killed.
    fn scratch(&self) -> io::Result<Arc<dyn SpoolFile>>;
}

/// A file being written. Buffer what you write.
pub trait SpoolWriter: io::Write + Send + Sync {
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
