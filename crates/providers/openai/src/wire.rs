//! What OpenAI's batch API says, as it spells it. Absent and null are the same; unknown is ignored.

use std::borrow::Cow;
use std::collections::BTreeMap;

use lmbatch_core::{Json, Text};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

#[derive(Serialize)]
pub(crate) struct CreateBatch<'a> {
    pub(crate) input_file_id: &'a str,
    pub(crate) endpoint: &'a str,
    pub(crate) completion_window: &'static str,
    pub(crate) metadata: BTreeMap<&'static str, &'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) output_expires_after: Option<ExpiresAfter>,
}

#[derive(Serialize)]
pub(crate) struct ExpiresAfter {
    pub(crate) anchor: &'static str,
    pub(crate) seconds: u64,
}

/// Members whose shape differs between servers stay values.
#[derive(Deserialize)]
pub(crate) struct Batch {
    #[serde(default, deserialize_with = "lmbatch_http::text_or_empty")]
    pub(crate) id: String,
    #[serde(default, deserialize_with = "lmbatch_http::text")]
    pub(crate) status: Option<String>,
    #[serde(default, deserialize_with = "lmbatch_http::text")]
    pub(crate) model: Option<String>,
    #[serde(default, deserialize_with = "lmbatch_http::text")]
    pub(crate) input_file_id: Option<String>,
    #[serde(default, deserialize_with = "lmbatch_http::text")]
    pub(crate) output_file_id: Option<String>,
    #[serde(default, deserialize_with = "lmbatch_http::text")]
    pub(crate) error_file_id: Option<String>,
    pub(crate) created_at: Option<Value>,
    pub(crate) expires_at: Option<Value>,
    pub(crate) completed_at: Option<Value>,
    pub(crate) failed_at: Option<Value>,
    pub(crate) expired_at: Option<Value>,
    pub(crate) cancelled_at: Option<Value>,
    pub(crate) request_counts: Option<Value>,
    pub(crate) usage: Option<Value>,
    pub(crate) metadata: Option<Value>,
    pub(crate) errors: Option<Value>,
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

#[derive(Deserialize)]
pub(crate) struct Files {
    #[serde(deserialize_with = "lmbatch_http::listed")]
    pub(crate) data: Vec<File>,
    #[serde(default, deserialize_with = "lmbatch_http::page_cursor")]
    pub(crate) last_id: Option<String>,
    #[serde(default, deserialize_with = "lmbatch_http::paging_flag")]
    pub(crate) has_more: Option<bool>,
    #[serde(default, rename = "error", deserialize_with = "lmbatch_http::no_error")]
    pub(crate) _error: (),
}

#[derive(Deserialize)]
pub(crate) struct File {
    #[serde(default, deserialize_with = "lmbatch_http::text_or_empty")]
    pub(crate) id: String,
    #[serde(default, deserialize_with = "lmbatch_http::text")]
    pub(crate) filename: Option<String>,
    #[serde(default, deserialize_with = "lmbatch_http::number")]
    pub(crate) bytes: Option<u64>,
    pub(crate) created_at: Option<Value>,
}

/// An error's body: `error` is an object, or a bare string; some servers put its members into the body.
#[derive(Deserialize)]
pub(crate) struct ErrorBody<'a> {
    #[serde(borrow)]
    pub(crate) object: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(crate) error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
pub(crate) struct ErrorObject<'a> {
    #[serde(borrow)]
    pub(crate) code: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) r#type: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(crate) message: Option<Text<'a>>,
}

#[derive(Deserialize)]
pub(crate) struct Row<'a> {
    #[serde(borrow)]
    pub(crate) custom_id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) response: Option<Response<'a>>,
    #[serde(borrow)]
    pub(crate) error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
pub(crate) struct Response<'a> {
    pub(crate) status_code: Option<u16>,
    #[serde(borrow)]
    pub(crate) body: Option<&'a RawValue>,
}

/// The little of a body that decides the verdict.
#[derive(Deserialize)]
pub(crate) struct BodyStatus<'a> {
    #[serde(borrow)]
    pub(crate) status: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(crate) error: Option<&'a RawValue>,
}

/// A body of any endpoint.
#[derive(Deserialize)]
pub(crate) struct Body<'a> {
    #[serde(borrow)]
    pub(crate) id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) model: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) status: Option<Cow<'a, str>>,
    pub(crate) incomplete_details: Option<Incomplete>,
    /// Of responses.
    #[serde(borrow)]
    pub(crate) output: Option<Vec<Json<'a>>>,
    /// Of chat completions, and of completions.
    #[serde(borrow)]
    pub(crate) choices: Option<Vec<Json<'a>>>,
    /// Of embeddings.
    #[serde(borrow)]
    pub(crate) data: Option<Json<'a>>,
    /// Of moderations.
    #[serde(borrow)]
    pub(crate) results: Option<Json<'a>>,
    pub(crate) usage: Option<Value>,
}

#[derive(Deserialize)]
pub(crate) struct Incomplete {
    pub(crate) reason: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct Item<'a> {
    #[serde(borrow)]
    pub(crate) r#type: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(crate) id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) call_id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) name: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) arguments: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) content: Option<Vec<Json<'a>>>,
    #[serde(borrow)]
    pub(crate) summary: Option<Vec<Json<'a>>>,
    #[serde(borrow)]
    pub(crate) encrypted_content: Option<Text<'a>>,
}

#[derive(Deserialize)]
pub(crate) struct Part<'a> {
    #[serde(borrow)]
    pub(crate) text: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) refusal: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) annotations: Option<Vec<Json<'a>>>,
}

#[derive(Deserialize)]
pub(crate) struct Choice<'a> {
    #[serde(borrow)]
    pub(crate) finish_reason: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(crate) message: Option<ChatMessage<'a>>,
    /// Of completions.
    #[serde(borrow)]
    pub(crate) text: Option<Text<'a>>,
}

#[derive(Deserialize)]
pub(crate) struct ChatMessage<'a> {
    /// A string, or, with some servers, a list of parts.
    #[serde(borrow)]
    pub(crate) content: Option<Json<'a>>,
    #[serde(borrow)]
    pub(crate) refusal: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) reasoning_content: Option<Json<'a>>,
    #[serde(borrow)]
    pub(crate) reasoning: Option<Json<'a>>,
    #[serde(borrow)]
    pub(crate) tool_calls: Option<Vec<Json<'a>>>,
    #[serde(borrow)]
    pub(crate) annotations: Option<Vec<Json<'a>>>,
    #[serde(borrow)]
    pub(crate) audio: Option<Json<'a>>,
}

#[derive(Deserialize)]
pub(crate) struct ChatToolCall<'a> {
    #[serde(borrow)]
    pub(crate) id: Text<'a>,
    #[serde(borrow)]
    pub(crate) function: ChatFunction<'a>,
}

#[derive(Deserialize)]
pub(crate) struct ChatFunction<'a> {
    #[serde(borrow)]
    pub(crate) name: Text<'a>,
    #[serde(borrow)]
    pub(crate) arguments: Option<Text<'a>>,
}
