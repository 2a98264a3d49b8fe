//! What Acme says, as Acme spells it. Absent and null are the same; unknown members mean nothing.

use lmbatch_core::{BatchId, Cursor, Label, Text};
use lmbatch_http::Path;
use serde::Deserialize;
use serde_json::Value;

/// Where a batch, and a list of batches, hold results by the inline route. They may be long.
pub(crate) const RESULTS: &[Path] = &[&["results"]];
pub(crate) const LISTED_RESULTS: &[Path] = &[&["batches", "*", "results"]];

#[derive(Deserialize)]
pub(crate) struct Batch {
    pub(crate) id: BatchId,
    pub(crate) state: String,
    pub(crate) label: Option<Label>,
    pub(crate) created: Option<String>,
    pub(crate) counts: Option<Value>,
    /// The file with the results, by the file route.
    pub(crate) output: Option<String>,
    /// Whether there are results, by the inline route.
    pub(crate) results: Option<Value>,
}

/// `batches` must be there: an answer without it is no empty list.
#[derive(Deserialize)]
pub(crate) struct List {
    pub(crate) batches: Vec<Batch>,
    pub(crate) next: Option<Cursor>,
}

/// A row of the results. An answer that says no has the same `error`.
#[derive(Deserialize, Default)]
pub(crate) struct Row<'a> {
    #[serde(borrow)]
    pub(crate) id: Option<Text<'a>>,
    pub(crate) answer: Option<Text<'a>>,
    /// Why the answer ended.
    pub(crate) end: Option<String>,
    pub(crate) error: Option<Failure<'a>>,
}

#[derive(Deserialize, Default)]
pub(crate) struct Failure<'a> {
    pub(crate) code: Option<String>,
    #[serde(borrow)]
    pub(crate) message: Option<Text<'a>>,
}
