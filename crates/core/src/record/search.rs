//! State that a step of a shard keeps until it is called again.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::BatchId;

/// State that a step keeps until it is called again. It is recorded, so that it survives a restart and a
/// change of worker.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Search for the batch of a create whose outcome is unknown; `None` where there is no search.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<Search>,
    /// Number of times that the results of an ended batch were requested and were incomplete.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub late_results: u32,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Progress {
    /// Returns whether there is no state to keep.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Search for the batch of a create whose outcome is unknown.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Search {
    /// Phase of the search.
    pub phase: SearchPhase,
    /// Number of times that the provider's batches were searched.
    #[serde(rename = "looks")]
    pub searches: u32,
    /// Time of the latest search of the provider's batches.
    #[serde(rename = "looked_at", with = "crate::adapter::time::optional")]
    pub searched_at: Option<SystemTime>,
    /// Only batch that matched in the latest search. It is accepted once it is the only match in two searches in a
    /// row.
    pub presumed: Option<BatchId>,
    /// Reason, as a short phrase, why the latest search was inconclusive; `None` where it showed that no batch
    /// matches.
    pub unclear: Option<Box<str>>,
    /// `true` where the provider reported that the batch exists already.
    pub exists: bool,
    /// `true` where an earlier create of the shard also had an unknown outcome. Where this search finds
    /// nothing, the create is not repeated once more: a provider that accepts creates and loses every answer
    /// would be paid without limit.
    pub again: bool,
}

/// Phase of a [`Search`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SearchPhase {
    /// The provider's batches are searched, at growing intervals.
    #[default]
    Searching,
    /// No batch was found. The input is to be deleted, so that a create that is still under way fails.
    Fencing,
    /// The input is deleted, and one more look follows.
    Fenced,
    /// No batch exists, and none can be created by the earlier create: the shard may be created again.
    Absent,
    /// The outcome is still unknown. Nothing more is done until the run is resumed.
    Held,
}
