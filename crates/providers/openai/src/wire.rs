//! What OpenAI's batch API says, as it spells it. Absent and null are the same; unknown is ignored.

use std::borrow::Cow;
use std::collections::BTreeMap;

use lmbatch_core::{Json, Text};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Deserialize)]
pub(crate) struct File {
    pub(crate) id: String,
}

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

#[derive(Deserialize)]
pub(crate) struct Batch {
    pub(crate) id: String,
    pub(crate) status: Option<String>,
    pub(crate) model: Option<String>,
    pub(crate) input_file_id: Option<String>,
    pub(crate) output_file_id: Option<String>,
    pub(crate) error_file_id: Option<String>,
    pub(crate) created_at: Option<Value>,
    pub(crate) expires_at: Option<Value>,
    pub(crate) completed_at: Option<Value>,
    pub(crate) failed_at: Option<Value>,
    pub(crate) expired_at: Option<Value>,
    pub(crate) cancelled_at: Option<Value>,
    pub(crate) request_counts: Option<Counts>,
    pub(crate) usage: Option<Usage>,
    pub(crate) metadata: Option<BTreeMap<String, Value>>,
    pub(crate) errors: Option<Errors>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(crate) struct Counts {
    pub(crate) total: u64,
    pub(crate) completed: u64,
    pub(crate) failed: u64,
}

#[derive(Deserialize)]
pub(crate) struct Errors {
    pub(crate) data: Option<Vec<BatchError>>,
}

#[derive(Deserialize)]
pub(crate) struct BatchError {
    pub(crate) code: Option<String>,
    pub(crate) message: Option<String>,
    pub(crate) param: Option<String>,
    pub(crate) line: Option<u64>,
}

#[derive(Deserialize)]
pub(crate) struct List {
    #[serde(default)]
    pub(crate) data: Vec<Batch>,
    pub(crate) last_id: Option<String>,
    #[serde(default)]
    pub(crate) has_more: bool,
}

/// An error's body: an object, or a bare string.
#[derive(Deserialize)]
pub(crate) struct ErrorBody<'a> {
    #[serde(borrow)]
    pub(crate) error: Option<&'a serde_json::value::RawValue>,
}

#[derive(Deserialize)]
pub(crate) struct ErrorObject<'a> {
    #[serde(borrow)]
    pub(crate) code: Option<&'a serde_json::value::RawValue>,
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
    pub(crate) error: Option<&'a serde_json::value::RawValue>,
}

#[derive(Deserialize)]
pub(crate) struct Response<'a> {
    pub(crate) status_code: Option<u16>,
    #[serde(borrow)]
    pub(crate) body: Option<&'a serde_json::value::RawValue>,
}

/// The little of a body that decides the verdict.
#[derive(Deserialize)]
pub(crate) struct BodyStatus<'a> {
    #[serde(borrow)]
    pub(crate) status: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(crate) error: Option<&'a serde_json::value::RawValue>,
}

/// A body of either endpoint.
#[derive(Deserialize)]
pub(crate) struct Body<'a> {
    #[serde(borrow)]
    pub(crate) id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) model: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) status: Option<Cow<'a, str>>,
    pub(crate) incomplete_details: Option<Incomplete>,
    #[serde(borrow)]
    pub(crate) output: Option<Vec<Json<'a>>>,
    #[serde(borrow)]
    pub(crate) choices: Option<Vec<Choice<'a>>>,
    pub(crate) usage: Option<Usage>,
    #[serde(borrow)]
    pub(crate) data: Option<Json<'a>>,
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
    pub(crate) content: Option<Vec<Part<'a>>>,
    #[serde(borrow)]
    pub(crate) summary: Option<Vec<Part<'a>>>,
    #[serde(borrow)]
    pub(crate) encrypted_content: Option<Text<'a>>,
}

#[derive(Deserialize)]
pub(crate) struct Part<'a> {
    #[serde(borrow)]
    pub(crate) r#type: Option<Cow<'a, str>>,
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
}

#[derive(Deserialize)]
pub(crate) struct ChatMessage<'a> {
    #[serde(borrow)]
    pub(crate) content: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) refusal: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) reasoning_content: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) tool_calls: Option<Vec<ChatToolCall<'a>>>,
    #[serde(borrow)]
    pub(crate) annotations: Option<Vec<Json<'a>>>,
}

#[derive(Deserialize)]
pub(crate) struct ChatToolCall<'a> {
    #[serde(borrow)]
    pub(crate) id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) function: Option<ChatFunction<'a>>,
}

#[derive(Deserialize)]
pub(crate) struct ChatFunction<'a> {
    #[serde(borrow)]
    pub(crate) name: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) arguments: Option<Text<'a>>,
}

/// Tokens, in the words of either endpoint; every part may be missing.
#[derive(Deserialize, Default, Clone)]
#[serde(default)]
pub(crate) struct Usage {
    #[serde(alias = "prompt_tokens")]
    pub(crate) input_tokens: Option<u64>,
    #[serde(alias = "completion_tokens")]
    pub(crate) output_tokens: Option<u64>,
    #[serde(alias = "prompt_tokens_details")]
    pub(crate) input_tokens_details: Option<InputDetails>,
    #[serde(alias = "completion_tokens_details")]
    pub(crate) output_tokens_details: Option<OutputDetails>,
}

#[derive(Deserialize, Default, Clone)]
#[serde(default)]
pub(crate) struct InputDetails {
    pub(crate) cached_tokens: Option<u64>,
    pub(crate) cache_write_tokens: Option<u64>,
}

#[derive(Deserialize, Default, Clone)]
#[serde(default)]
pub(crate) struct OutputDetails {
    pub(crate) reasoning_tokens: Option<u64>,
}

/// The little of a raw body that a batch depends on.
#[derive(Deserialize)]
pub(crate) struct RawBody {
    pub(crate) stream: Option<Value>,
    #[serde(default)]
    pub(crate) model: Option<IgnoredAny>,
}
