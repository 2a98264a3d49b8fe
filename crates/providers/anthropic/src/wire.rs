//! What Anthropic's batch API says, as it spells it. Absent and null are the same; unknown is ignored.

use std::time::Duration;

use lmbatch_core::{Member, Text};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

#[derive(Deserialize)]
pub(crate) struct Batch {
    #[serde(default, deserialize_with = "lmbatch_http::text_or_empty")]
    pub(crate) id: String,
    #[serde(default, deserialize_with = "lmbatch_http::text")]
    pub(crate) processing_status: Option<String>,
    pub(crate) request_counts: Option<Value>,
    #[serde(default, deserialize_with = "lmbatch_http::text")]
    pub(crate) created_at: Option<String>,
    #[serde(default, deserialize_with = "lmbatch_http::text")]
    pub(crate) expires_at: Option<String>,
    #[serde(default, deserialize_with = "lmbatch_http::text")]
    pub(crate) ended_at: Option<String>,
    #[serde(default, deserialize_with = "lmbatch_http::text")]
    pub(crate) archived_at: Option<String>,
    #[serde(default, deserialize_with = "lmbatch_http::text")]
    pub(crate) cancel_initiated_at: Option<String>,
    #[serde(default, deserialize_with = "lmbatch_http::text")]
    pub(crate) results_url: Option<String>,
    /// From the header of the answer.
    #[serde(skip)]
    pub(crate) poll_after: Option<Duration>,
}

#[derive(Deserialize)]
pub(crate) struct List {
    #[serde(deserialize_with = "batches")]
    pub(crate) data: Vec<Batch>,
    #[serde(default, deserialize_with = "lmbatch_http::page_cursor")]
    pub(crate) last_id: Option<String>,
    #[serde(default, deserialize_with = "lmbatch_http::paging_flag")]
    pub(crate) has_more: Option<bool>,
    #[serde(default, rename = "error", deserialize_with = "lmbatch_http::no_error")]
    pub(crate) _error: (),
}

/// Batches of a list. One without an id cannot be told from the one that is looked for: the list is not
/// readable then.
fn batches<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<Batch>, D::Error> {
    let batches: Vec<Batch> = lmbatch_http::listed(deserializer)?;
    if batches.iter().any(|batch| batch.id.is_empty()) {
        return Err(serde::de::Error::custom("a batch of the list has no id"));
    }
    Ok(batches)
}

/// An error's body, around the error itself: also what an errored row holds.
#[derive(Deserialize)]
pub(crate) struct ErrorBody<'a> {
    #[serde(borrow, default)]
    pub(crate) error: Member<'a>,
}

#[derive(Deserialize, Default)]
pub(crate) struct ErrorObject<'a> {
    #[serde(borrow, default)]
    pub(crate) r#type: Member<'a>,
    #[serde(borrow, default)]
    pub(crate) code: Member<'a>,
    #[serde(borrow, default)]
    pub(crate) message: Member<'a>,
    #[serde(borrow, default)]
    pub(crate) detail: Member<'a>,
    #[serde(borrow, default)]
    pub(crate) details: Member<'a>,
}

#[derive(Deserialize)]
pub(crate) struct ErrorDetails<'a> {
    #[serde(borrow, default)]
    pub(crate) error_code: Member<'a>,
}

#[derive(Deserialize)]
pub(crate) struct Row<'a> {
    #[serde(borrow)]
    pub(crate) custom_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) result: Member<'a>,
}

#[derive(Deserialize)]
pub(crate) struct RowResult<'a> {
    #[serde(borrow, default)]
    pub(crate) r#type: Member<'a>,
    #[serde(borrow, default)]
    pub(crate) message: Member<'a>,
    #[serde(borrow, default)]
    pub(crate) error: Member<'a>,
}

#[derive(Deserialize)]
pub(crate) struct Message<'a> {
    #[serde(borrow, default)]
    pub(crate) id: Member<'a>,
    #[serde(borrow, default)]
    pub(crate) model: Member<'a>,
    #[serde(borrow, default)]
    pub(crate) content: Member<'a>,
    #[serde(borrow, default)]
    pub(crate) stop_reason: Member<'a>,
    #[serde(borrow, default)]
    pub(crate) stop_details: Member<'a>,
    #[serde(borrow, default)]
    pub(crate) usage: Member<'a>,
    /// Of a message that is an error in disguise.
    #[serde(borrow, default)]
    pub(crate) error: Member<'a>,
}

#[derive(Deserialize)]
pub(crate) struct StopDetails<'a> {
    #[serde(borrow, default)]
    pub(crate) explanation: Member<'a>,
    #[serde(borrow, default)]
    pub(crate) category: Member<'a>,
}

/// A block of any type.
#[derive(Deserialize)]
pub(crate) struct Block<'a> {
    #[serde(borrow, default)]
    pub(crate) r#type: Member<'a>,
    #[serde(borrow, default)]
    pub(crate) text: Member<'a>,
    #[serde(borrow, default)]
    pub(crate) citations: Member<'a>,
    #[serde(borrow, default)]
    pub(crate) thinking: Member<'a>,
    #[serde(borrow, default)]
    pub(crate) signature: Member<'a>,
    #[serde(borrow, default)]
    pub(crate) data: Member<'a>,
    #[serde(borrow, default)]
    pub(crate) id: Member<'a>,
    #[serde(borrow, default)]
    pub(crate) name: Member<'a>,
    #[serde(borrow, default)]
    pub(crate) input: Member<'a>,
}

/// Of a raw body, what decides its batch.
#[derive(Deserialize)]
pub(crate) struct RawSampling<'a> {
    #[serde(borrow)]
    pub(crate) temperature: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) top_p: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) top_k: Option<&'a RawValue>,
}
