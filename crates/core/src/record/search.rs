//! What a step of a shard remembers until it is called again.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::BatchId;

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
    #[serde(with = "crate::adapter::time::optional")]
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
