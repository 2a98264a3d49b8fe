//! Records of runs, and the filters by which a ledger finds them.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::{
    AccountId, BatchId, Cursor, Error, IdRule, KeyHint, Nonce, ProviderId, Result, ShardRecord,
};

/// A run: any number of requests over any number of shards.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// Id of the run: `r-` and the nonce; in records of earlier versions the first six characters of the
    /// nonce.
    pub id: Box<str>,
    /// Name that the caller gave the run; unique in a ledger, and never changed.
    pub name: Option<Box<str>>,
    /// Digest of everything that is sent and given back, whatever ids travel.
    pub digest: Box<str>,
    /// Provider of its batches.
    pub provider: ProviderId,
    /// Account under which its batches are created.
    pub account: AccountId,
    /// Digest of the key that was used last; `None` in records of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_hint: Option<KeyHint>,
    /// Rule by which ids on the wire lead back to requests.
    pub ids: IdRule,
    /// Nonce that all labels and ids of the run share.
    pub nonce: Nonce,
    /// Number of requests.
    pub requests: u32,
    /// Number of times that requests have been sent again, from 0.
    pub attempt: u32,
    /// Attempt that its caller asked for last: automatic ones are counted from there.
    #[serde(default)]
    pub asked: u32,
    /// Order of the output, where the input was changed.
    #[serde(default)]
    pub order: Option<Order>,
    /// Time at which the run began.
    #[serde(default, with = "crate::adapter::time::optional")]
    pub created_at: Option<SystemTime>,
    /// Whether every request has its last outcome.
    pub finished: bool,
    /// Whether cancellation was requested. No further batches are created; results of existing batches are
    /// still fetched.
    #[serde(default)]
    pub cancelled: bool,
    /// Inputs and batches of the run that were deleted at the provider.
    #[serde(default)]
    pub cleaned: Option<Cleaned>,
    /// CRC-32 of each file of the spool that belongs to the run as a whole, by its name without the stem.
    #[serde(default)]
    pub checksums: BTreeMap<Box<str>, u32>,
    /// Notes of the caller, such as the path of the output.
    pub notes: BTreeMap<Box<str>, Box<str>>,
    /// Number of changes of this record, counted by the ledger. A change bears the epoch that was read, and
    /// is applied only where the ledger still has it.
    #[serde(default)]
    pub epoch: u64,
}

impl RunRecord {
    /// Least number of characters of an id that [`Ledger::find_run`](crate::Ledger::find_run) takes for a
    /// prefix.
    pub const MIN_PREFIX: usize = 4;
}

/// What of a run was deleted at its provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cleaned {
    /// Last attempt whose inputs were deleted.
    pub inputs: u32,
    /// Last attempt whose batches were deleted.
    pub batches: Option<u32>,
}

impl Cleaned {
    /// Returns whether the inputs of a shard were deleted.
    pub fn inputs(self, shard: &ShardRecord) -> bool {
        shard.attempt <= self.inputs
    }
    /// Returns whether the batch of a shard was deleted.
    pub fn batches(self, shard: &ShardRecord) -> bool {
        self.batches.is_some_and(|attempt| shard.attempt <= attempt)
    }
}

/// Output of a run whose input was changed: some of the requests that were sent, in another order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Number of the table in the spool that holds the order.
    pub table: u32,
    /// Number of requests that were ever sent.
    pub ordinals: u32,
}

/// Selection of runs, newest first, a page at a time. A run is selected if it fits every field that is set;
/// the default selects all.
///
/// ```
/// use lmbatch_core::RunFilter;
/// let unfinished = RunFilter { unfinished: true, ..RunFilter::default() };
/// assert_eq!(unfinished.page_size(), 100);
/// let mine = RunFilter { name: Some("nightly".into()), limit: Some(1), ..RunFilter::default() };
/// assert_eq!(mine.page_size(), 1);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunFilter {
    /// Selects only runs of which a request has no last outcome yet.
    pub unfinished: bool,
    /// Selects the run of this name.
    pub name: Option<Box<str>>,
    /// Selects runs of this digest.
    pub digest: Option<Box<str>>,
    /// Selects runs recorded under exactly this account id.
    pub account: Option<AccountId>,
    /// Selects runs whose note `output`, the file that their outcomes are written to, is this text.
    pub output: Option<Box<str>>,
    /// Selects runs of this nonce.
    pub nonce: Option<Nonce>,
    /// Selects runs of which a shard has this batch, in its state or in a late acknowledgement.
    pub batch: Option<BatchId>,
    /// Selects runs whose ids begin with this text.
    pub id_prefix: Option<Box<str>>,
    /// Number of runs on a page, 1 to 1,000; 100 by default.
    pub limit: Option<u32>,
    /// Cursor of the page before. Runs that were begun since are not on the pages after it, and no run is on
    /// two pages or on none, whatever is begun and deleted in between.
    pub after: Option<Cursor>,
}

impl RunFilter {
    /// Returns the number of runs on a page: the limit within its range, or 100.
    pub fn page_size(&self) -> usize {
        self.limit.unwrap_or(100).clamp(1, 1_000) as usize
    }

    /// Returns the sequence number before which the page begins, of a cursor that is the text of one.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) where the cursor is anything else.
    pub fn before(&self) -> Result<Option<u64>> {
        let Some(cursor) = &self.after else {
            return Ok(None);
        };
        let read = cursor.as_str().parse().map_err(|_| {
            Error::invalid_input(format!("{cursor:?} is not the cursor of a page of runs"))
        })?;
        Ok(Some(read))
    }
}
