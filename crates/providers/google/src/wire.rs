//! Wire types of the Gemini API. Null equals absent; unknown members are ignored.

use lmbatch_http::Path;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Paths of the results in a finished operation, which holds them twice.
pub(crate) const RESULTS: &[Path] = &[
    &["response", "inlinedResponses", "inlinedResponses"],
    &["metadata", "output", "inlinedResponses", "inlinedResponses"],
];

/// Paths of the results in a list of operations.
pub(crate) const LISTED_RESULTS: &[Path] = &[
    &[
        "operations",
        "*",
        "response",
        "inlinedResponses",
        "inlinedResponses",
    ],
    &[
        "operations",
        "*",
        "metadata",
        "output",
        "inlinedResponses",
        "inlinedResponses",
    ],
];

#[derive(Serialize)]
pub(crate) struct Create<'a> {
    pub(crate) batch: CreateBatch<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CreateBatch<'a> {
    pub(crate) display_name: &'a str,
    pub(crate) model: &'a str,
    pub(crate) input_config: InputConfig<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct InputConfig<'a> {
    pub(crate) file_name: &'a str,
}

/// Batch, in the envelope that every call returns. Its `done` adds nothing to the state.
#[derive(Deserialize)]
pub(crate) struct Operation {
    #[serde(default, deserialize_with = "lmbatch_http::text_or_empty")]
    pub(crate) name: String,
    #[serde(default, deserialize_with = "lmbatch_http::object")]
    pub(crate) metadata: Option<Metadata>,
    #[serde(default, deserialize_with = "lmbatch_http::object")]
    pub(crate) response: Option<Output>,
    #[serde(default, deserialize_with = "lmbatch_http::object")]
    pub(crate) error: Option<Status>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Metadata {
    #[serde(default, deserialize_with = "lmbatch_http::text")]
    pub(crate) model: Option<String>,
    #[serde(default, deserialize_with = "lmbatch_http::text")]
    pub(crate) display_name: Option<String>,
    #[serde(default, deserialize_with = "lmbatch_http::text")]
    pub(crate) create_time: Option<String>,
    #[serde(default, deserialize_with = "lmbatch_http::text")]
    pub(crate) end_time: Option<String>,
    #[serde(default, deserialize_with = "lmbatch_http::text")]
    pub(crate) state: Option<String>,
    pub(crate) batch_stats: Option<Value>,
    pub(crate) input_config: Option<Value>,
    #[serde(default, deserialize_with = "lmbatch_http::object")]
    pub(crate) output: Option<Output>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Output {
    #[serde(default, deserialize_with = "lmbatch_http::text")]
    pub(crate) responses_file: Option<String>,
    pub(crate) inlined_responses: Option<Value>,
}

/// Error as a `google.rpc.Status`.
#[derive(Deserialize)]
pub(crate) struct Status {
    #[serde(default, deserialize_with = "lmbatch_http::number")]
    pub(crate) code: Option<u16>,
    #[serde(default, deserialize_with = "lmbatch_http::text")]
    pub(crate) message: Option<String>,
}

#[derive(Deserialize)]
#[serde(try_from = "serde_json::Map<String, Value>")]
pub(crate) struct List {
    pub(crate) operations: Option<Vec<Operation>>,
    pub(crate) next_page_token: Option<String>,
    pub(crate) error: Option<IgnoredAny>,
    /// Returns true if the answer is a list. An empty one has no members at all; an object without batches but with
    /// other members comes from a proxy.
    pub(crate) is_list: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListMembers {
    #[serde(default, deserialize_with = "operations")]
    operations: Option<Vec<Operation>>,
    #[serde(default, deserialize_with = "lmbatch_http::page_cursor")]
    next_page_token: Option<String>,
    error: Option<IgnoredAny>,
}

impl TryFrom<serde_json::Map<String, Value>> for List {
    type Error = serde_json::Error;

    fn try_from(members: serde_json::Map<String, Value>) -> Result<Self, Self::Error> {
        let has_others = has_others(&members, "operations");
        let read = ListMembers::deserialize(Value::Object(members))?;
        Ok(Self {
            is_list: read.operations.is_some() || !has_others,
            operations: read.operations,
            next_page_token: read.next_page_token,
            error: read.error,
        })
    }
}

/// Operations of a list. An entry without a name makes the list unreadable, since it may be the batch of
/// the search.
fn operations<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<Operation>>, D::Error> {
    let operations = Option::<Vec<Operation>>::deserialize(deserializer)?;
    let mut all = operations.iter().flatten();
    if all.any(|operation| operation.name.is_empty()) {
        return Err(serde::de::Error::custom("a batch of the list has no name"));
    }
    Ok(operations)
}

/// A file at the provider; its sizes are strings.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct File {
    #[serde(default, deserialize_with = "lmbatch_http::text")]
    pub(crate) name: Option<String>,
    #[serde(default, deserialize_with = "lmbatch_http::text")]
    pub(crate) size_bytes: Option<String>,
    #[serde(default, deserialize_with = "lmbatch_http::text")]
    pub(crate) state: Option<String>,
    #[serde(default, deserialize_with = "lmbatch_http::text")]
    pub(crate) display_name: Option<String>,
    #[serde(default, deserialize_with = "lmbatch_http::text")]
    pub(crate) create_time: Option<String>,
}

#[derive(Deserialize)]
#[serde(try_from = "serde_json::Map<String, Value>")]
pub(crate) struct Files {
    pub(crate) files: Option<Vec<File>>,
    pub(crate) next_page_token: Option<String>,
    pub(crate) error: Option<IgnoredAny>,
    /// Returns true if the answer is a list, as for [`List`].
    pub(crate) is_list: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FilesMembers {
    files: Option<Vec<File>>,
    #[serde(default, deserialize_with = "lmbatch_http::page_cursor")]
    next_page_token: Option<String>,
    error: Option<IgnoredAny>,
}

impl TryFrom<serde_json::Map<String, Value>> for Files {
    type Error = serde_json::Error;

    fn try_from(members: serde_json::Map<String, Value>) -> Result<Self, Self::Error> {
        let has_others = has_others(&members, "files");
        let read = FilesMembers::deserialize(Value::Object(members))?;
        Ok(Self {
            is_list: read.files.is_some() || !has_others,
            files: read.files,
            next_page_token: read.next_page_token,
            error: read.error,
        })
    }
}

/// Returns true if a list has members that the API does not document. No list of the API is null: an empty one is
/// absent.
fn has_others(members: &serde_json::Map<String, Value>, items: &str) -> bool {
    let known = [items, "nextPageToken", "error"];
    let is_null = members.get(items).is_some_and(Value::is_null);
    is_null || members.keys().any(|name| !known.contains(&name.as_str()))
}

#[derive(Deserialize)]
pub(crate) struct Uploaded {
    pub(crate) file: Option<File>,
}

/// Body of an error, sometimes in a list of one.
#[derive(Deserialize)]
pub(crate) struct ErrorBody {
    pub(crate) error: Option<ErrorObject>,
}

#[derive(Deserialize, Default)]
pub(crate) struct ErrorObject {
    pub(crate) message: Option<String>,
    pub(crate) status: Option<String>,
    pub(crate) details: Option<Vec<Value>>,
}

lmbatch_core::members! {
    /// A row of either route.
    pub(crate) struct Row {
        /// Row of a result file.
        key: "key",
        /// Row of an inline batch.
        metadata: "metadata",
        response: "response",
        error: "error",
        /// Another name of the error (documentation of 2026-02-19: "a status object").
        status: "status",
    }

    pub(crate) struct RowMetadata {
        key: "key",
    }

    pub(crate) struct RowError {
        code: "code" | "error_code" | "errcode",
        status: "status",
        message: "message" | "msg" | "error_msg" | "error_message" | "errmsg" | "detail",
        error: "error" | "errors",
    }

    pub(crate) struct Response {
        candidates: "candidates",
        prompt_feedback: "promptFeedback" | "prompt_feedback",
        usage_metadata: "usageMetadata" | "usage_metadata",
        model_version: "modelVersion" | "model_version",
        response_id: "responseId" | "response_id",
        /// Member of an error object that stands in place of an answer.
        error: "error",
    }

    pub(crate) struct PromptFeedback {
        block_reason: "blockReason" | "block_reason",
    }

    pub(crate) struct Usage {
        prompt: "promptTokenCount" | "prompt_token_count",
        cached: "cachedContentTokenCount" | "cached_content_token_count",
        candidates: "candidatesTokenCount" | "candidates_token_count",
        thoughts: "thoughtsTokenCount" | "thoughts_token_count",
        tool_use_prompt: "toolUsePromptTokenCount" | "tool_use_prompt_token_count",
        prompt_details: "promptTokensDetails" | "prompt_tokens_details",
    }

    /// Tokens of one modality.
    pub(crate) struct ModalityTokens {
        modality: "modality",
        count: "tokenCount" | "token_count",
    }

    pub(crate) struct Candidate {
        index: "index",
        content: "content",
        finish_reason: "finishReason" | "finish_reason",
        finish_message: "finishMessage" | "finish_message",
        safety_ratings: "safetyRatings" | "safety_ratings",
        logprobs_result: "logprobsResult" | "logprobs_result",
        url_context_metadata: "urlContextMetadata" | "url_context_metadata",
        citation_metadata: "citationMetadata" | "citation_metadata",
        grounding_metadata: "groundingMetadata" | "grounding_metadata",
        grounding_attributions: "groundingAttributions" | "grounding_attributions",
        avg_logprobs: "avgLogprobs" | "avg_logprobs",
    }

    pub(crate) struct Content {
        parts: "parts",
    }

    pub(crate) struct Part {
        text: "text",
        thought: "thought",
        thought_signature: "thoughtSignature" | "thought_signature",
        function_call: "functionCall" | "function_call",
        inline_data: "inlineData" | "inline_data",
    }

    pub(crate) struct FunctionCall {
        id: "id",
        name: "name",
        args: "args",
    }

    pub(crate) struct FileData {
        uri: "fileUri" | "file_uri",
    }

    pub(crate) struct InlineData {
        mime_type: "mimeType" | "mime_type",
        data: "data",
    }
}
