//! What OpenAI's batch API says, as it spells it. Absent and null are the same; unknown is ignored.

use std::collections::BTreeMap;

use lmbatch_core::{Member, Text};
use serde::{Deserialize, Serialize};
use serde_json::Value;

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
    pub(crate) endpoint: Option<String>,
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
    /// Of an answer that says that the call failed; of a failed batch with servers that imitate OpenAI.
    pub(crate) error: Option<Value>,
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

/// An error's body: `error` is an object or a bare string; some servers put its members into the body, or
/// call it otherwise.
#[derive(Deserialize)]
pub(crate) struct ErrorBody<'a> {
    #[serde(borrow, default)]
    pub(crate) error: Member<'a>,
    #[serde(borrow, default)]
    pub(crate) errors: Member<'a>,
    /// Of FastAPI: a text, or a list of what is wrong.
    #[serde(borrow, default)]
    pub(crate) detail: Member<'a>,
}

#[derive(Deserialize, Default)]
pub(crate) struct ErrorObject<'a> {
    #[serde(borrow, default)]
    pub(crate) code: Member<'a>,
    #[serde(borrow, default)]
    pub(crate) status: Member<'a>,
    #[serde(borrow, default)]
    pub(crate) status_code: Member<'a>,
    #[serde(borrow, default)]
    pub(crate) r#type: Member<'a>,
    #[serde(borrow, default)]
    pub(crate) message: Member<'a>,
    #[serde(borrow, default)]
    pub(crate) msg: Member<'a>,
}

#[derive(Deserialize)]
pub(crate) struct Row<'a> {
    #[serde(borrow)]
    pub(crate) custom_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) response: Member<'a>,
    #[serde(borrow, default)]
    pub(crate) error: Member<'a>,
}

#[derive(Deserialize)]
pub(crate) struct Response<'a> {
    #[serde(borrow, default)]
    pub(crate) status_code: Member<'a>,
    #[serde(borrow, default)]
    pub(crate) body: Member<'a>,
}

/// The little of a body that decides the verdict.
#[derive(Deserialize)]
pub(crate) struct BodyStatus<'a> {
    #[serde(borrow, default)]
    pub(crate) status: Member<'a>,
    #[serde(borrow, default)]
    pub(crate) error: Member<'a>,
    #[serde(borrow, default)]
    pub(crate) object: Member<'a>,
    #[serde(borrow, default)]
    pub(crate) detail: Member<'a>,
    #[serde(borrow, default)]
    pub(crate) message: Member<'a>,
    #[serde(borrow, default)]
    pub(crate) output: Member<'a>,
    #[serde(borrow, default)]
    pub(crate) choices: Member<'a>,
    #[serde(borrow, default)]
    pub(crate) data: Member<'a>,
    #[serde(borrow, default)]
    pub(crate) results: Member<'a>,
}

/// A body of any endpoint.
#[derive(Deserialize)]
pub(crate) struct Body<'a> {
    #[serde(borrow, default)]
    pub(crate) id: Member<'a>,
    #[serde(borrow, default)]
    pub(crate) model: Member<'a>,
    #[serde(borrow, default)]
    pub(crate) status: Member<'a>,
    #[serde(borrow, default)]
    pub(crate) incomplete_details: Member<'a>,
    /// Of responses.
    #[serde(borrow, default)]
    pub(crate) output: Member<'a>,
    /// Of chat completions, and of completions.
    #[serde(borrow, default)]
    pub(crate) choices: Member<'a>,
    /// Of embeddings.
    #[serde(borrow, default)]
    pub(crate) data: Member<'a>,
    /// Of moderations.
    #[serde(borrow, default)]
    pub(crate) results: Member<'a>,
    #[serde(borrow, default)]
    pub(crate) usage: Member<'a>,
}

#[derive(Deserialize)]
pub(crate) struct Incomplete<'a> {
    #[serde(borrow, default)]
    pub(crate) reason: Member<'a>,
}

#[derive(Deserialize)]
pub(crate) struct Item<'a> {
    #[serde(borrow, default)]
    pub(crate) r#type: Member<'a>,
    #[serde(borrow, default)]
    pub(crate) id: Member<'a>,
    #[serde(borrow, default)]
    pub(crate) call_id: Member<'a>,
    #[serde(borrow, default)]
    pub(crate) name: Member<'a>,
    #[serde(borrow, default)]
    pub(crate) arguments: Member<'a>,
    #[serde(borrow, default)]
    pub(crate) content: Member<'a>,
    #[serde(borrow, default)]
    pub(crate) summary: Member<'a>,
    #[serde(borrow, default)]
    pub(crate) encrypted_content: Member<'a>,
    #[serde(borrow, default)]
    pub(crate) phase: Member<'a>,
}

#[derive(Deserialize)]
pub(crate) struct Part<'a> {
    #[serde(borrow, default)]
    pub(crate) text: Member<'a>,
    #[serde(borrow, default)]
    pub(crate) refusal: Member<'a>,
    #[serde(borrow, default)]
    pub(crate) annotations: Member<'a>,
    #[serde(borrow, default)]
    pub(crate) logprobs: Member<'a>,
    /// Thoughts in chunks, of services that imitate OpenAI.
    #[serde(borrow, default)]
    pub(crate) thinking: Member<'a>,
    #[serde(borrow, default)]
    pub(crate) signature: Member<'a>,
}

#[derive(Deserialize)]
pub(crate) struct Choice<'a> {
    #[serde(borrow, default)]
    pub(crate) index: Member<'a>,
    #[serde(borrow, default)]
    pub(crate) finish_reason: Member<'a>,
    #[serde(borrow, default)]
    pub(crate) message: Member<'a>,
    #[serde(borrow, default)]
    pub(crate) logprobs: Member<'a>,
    #[serde(borrow, default)]
    pub(crate) content_filter_results: Member<'a>,
    /// Of completions.
    #[serde(borrow, default)]
    pub(crate) text: Member<'a>,
}

#[derive(Deserialize)]
pub(crate) struct ChatMessage<'a> {
    /// A string, or, with some servers, a list of parts.
    #[serde(borrow, default)]
    pub(crate) content: Member<'a>,
    #[serde(borrow, default)]
    pub(crate) refusal: Member<'a>,
    #[serde(borrow, default)]
    pub(crate) reasoning_content: Member<'a>,
    #[serde(borrow, default)]
    pub(crate) reasoning: Member<'a>,
    #[serde(borrow, default)]
    pub(crate) tool_calls: Member<'a>,
    /// What `tool_calls` was before 2023-11.
    #[serde(borrow, default)]
    pub(crate) function_call: Member<'a>,
    #[serde(borrow, default)]
    pub(crate) annotations: Member<'a>,
    #[serde(borrow, default)]
    pub(crate) audio: Member<'a>,
}

#[derive(Deserialize)]
pub(crate) struct ChatToolCall<'a> {
    #[serde(borrow, default)]
    pub(crate) id: Member<'a>,
    /// Also under the name that a tool without a schema has.
    #[serde(borrow, alias = "custom")]
    pub(crate) function: ChatFunction<'a>,
}

#[derive(Deserialize)]
pub(crate) struct ChatFunction<'a> {
    #[serde(borrow)]
    pub(crate) name: Text<'a>,
    #[serde(borrow, default)]
    pub(crate) arguments: Member<'a>,
    /// Words for a custom tool, which need not be JSON.
    #[serde(borrow, default)]
    pub(crate) input: Member<'a>,
}

/// What a model said aloud.
#[derive(Deserialize)]
pub(crate) struct Audio<'a> {
    #[serde(borrow)]
    pub(crate) data: Text<'a>,
    #[serde(borrow, default)]
    pub(crate) transcript: Member<'a>,
}
