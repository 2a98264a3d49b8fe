//! Records of runs, and filters that select them in a ledger.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::{
    AccountId, BatchId, Cursor, Error, IdRule, KeyHint, Nonce, ProviderId, Result, ShardRecord,
};

/// Record of a run: any number of requests in any number of shards.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// Id of the run: `r-` followed by the nonce; in records of earlier versions, by its first six
    /// characters.
    pub id: Box<str>,
    /// Name that the caller gave the run; unique in a ledger, and fixed.
    pub name: Option<Box<str>>,
    /// Digest of everything that is sent and returned. Ids on the wire are not part of it.
    pub digest: Box<str>,
    /// Provider of the run's batches.
    pub provider: ProviderId,
    /// Account under which the run's batches are created.
    pub account: AccountId,
    /// Short digest of the key that was used last; `None` in records of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_hint: Option<KeyHint>,
    /// Rule that maps ids on the wire to the caller's request ids.
    pub ids: IdRule,
    /// Nonce that all labels and wire ids of the run begin with.
    pub nonce: Nonce,
    /// Number of requests in the run.
    pub requests: u32,
    /// Number of requests of the whole input, where the run is a pilot: it holds the first requests of the input,
    /// under the digest of all, until an update adds the others. `None` for a run of all its requests, and in records
    /// of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pilot_of: Option<u32>,
    /// Latest attempt, from 0. Each attempt after the first sends unanswered requests again.
    pub attempt: u32,
    /// Latest attempt that the caller asked for. Automatic attempts are counted from it.
    #[serde(default, rename = "asked")]
    pub requested_attempt: u32,
    /// Order of the output; `None` unless the input was changed after the run began.
    #[serde(default)]
    pub order: Option<Order>,
    /// Time at which the run began.
    #[serde(default, with = "crate::adapter::time::optional")]
    pub created_at: Option<SystemTime>,
    /// `true` where every request has its final outcome.
    pub finished: bool,
    /// `true` where cancellation was requested. No further batches are created; results of existing batches
    /// are still fetched.
    #[serde(default)]
    pub cancelled: bool,
    /// Inputs and batches of the run that were deleted at the provider; `None` where nothing was.
    #[serde(default)]
    pub cleaned: Option<Cleaned>,
    /// Time at which the prompts and answers of the run were deleted from this machine; `None` where they are
    /// stored.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "crate::adapter::time::optional"
    )]
    pub answers_deleted_at: Option<SystemTime>,
    /// CRC-32 of each spool file that belongs to the run as a whole, by file name without the stem.
    #[serde(default)]
    pub checksums: BTreeMap<Box<str>, u32>,
    /// Notes of the caller, such as the path of the output, by name.
    pub notes: BTreeMap<Box<str>, Box<str>>,
    /// Number of changes of the record, counted by the ledger. A change carries the epoch that was read, and
    /// is applied only where the ledger still has that epoch.
    #[serde(default)]
    pub epoch: u64,
}

impl RunRecord {
    /// Smallest number of characters that [`Ledger::find_run`](crate::Ledger::find_run) accepts as the prefix
    /// of an id.
    pub const MIN_PREFIX: usize = 4;
}

/// Parts of a run that were deleted at its provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cleaned {
    /// Latest attempt whose inputs were deleted.
    pub inputs: u32,
    /// Latest attempt whose batches were deleted; `None` where none were.
    pub batches: Option<u32>,
}

impl Cleaned {
    /// Returns whether the input of a shard was deleted.
    pub fn inputs(self, shard: &ShardRecord) -> bool {
        shard.attempt <= self.inputs
    }
    /// Returns whether the batch of a shard was deleted.
    pub fn batches(self, shard: &ShardRecord) -> bool {
        self.batches.is_some_and(|attempt| shard.attempt <= attempt)
    }
}

/// Output order of a run whose input was changed: some of the requests that were sent, in another order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Number of the spool table that holds the order.
    pub table: u32,
    /// Number of requests that were ever sent in the run.
    pub ordinals: u32,
}

/// Selection of runs, newest first, in pages. A run is selected if it matches every field that is set; the
/// default selects all runs.
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
    /// Selects only runs in which a request has no final outcome yet.
    pub unfinished: bool,
    /// Selects the run with this name.
    pub name: Option<Box<str>>,
    /// Selects runs with this digest.
    pub digest: Option<Box<str>>,
    /// Selects runs that are recorded under exactly this account id.
    pub account: Option<AccountId>,
    /// Selects runs with this text in the note `output`, the path of the file for their outcomes.
    pub output: Option<Box<str>>,
    /// Selects runs with this nonce.
    pub nonce: Option<Nonce>,
    /// Selects runs with a shard that has this batch, in its state or in a late acknowledgement.
    pub batch: Option<BatchId>,
    /// Selects runs whose ids begin with this text.
    pub id_prefix: Option<Box<str>>,
    /// Number of runs on a page, 1 to 1,000; 100 by default. A number out of range is clamped to it.
    pub limit: Option<u32>,
    /// Cursor from the page before. Later pages do not show runs that began in the meantime. No run is
    /// repeated or skipped, even where runs begin or are deleted between two pages.
    pub after: Option<Cursor>,
}

impl RunFilter {
    /// Returns the number of runs on a page: the limit, clamped to its range, or 100.
    pub fn page_size(&self) -> usize {
        self.limit.unwrap_or(100).clamp(1, 1_000) as usize
    }

    /// Returns the sequence number before which the page begins, for ledgers whose cursors are such numbers;
    /// `None` for the first page.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) where the cursor is not a number.
    pub fn before(&self) -> Result<Option<u64>> {
        let Some(cursor) = &self.after else {
            return Ok(None);
        };
        let read = cursor.as_str().parse().map_err(|_| {
            Error::invalid_input(format!("{cursor:?} is not a cursor from a page of runs"))
        })?;
        Ok(Some(read))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_record_names_the_deletion_of_answers_only_where_there_was_one() {
        let text = r#"{"id":"r-1","name":null,"digest":"d","provider":"p","account":"a","ids":"verbatim",
            "nonce":"abcdefghijkl","requests":3,"attempt":0,"finished":true,"notes":{}}"#;
        let earlier: RunRecord = serde_json::from_str(text).unwrap();
        assert_eq!(earlier.answers_deleted_at, None);
        let written = serde_json::to_string(&earlier).unwrap();
        assert!(!written.contains("answers_deleted_at"), "{written}");
        let deleted = RunRecord {
            answers_deleted_at: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(86_400)),
            ..earlier
        };
        let written = serde_json::to_string(&deleted).unwrap();
        assert!(
            written.contains(r#""answers_deleted_at":"1970-01-02T00:00:00Z""#),
            "{written}"
        );
        assert_eq!(
            serde_json::from_str::<RunRecord>(&written).unwrap(),
            deleted
        );
    }
}
