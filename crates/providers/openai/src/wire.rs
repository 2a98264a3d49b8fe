//! Wire types of OpenAI's batch API. Null equals absent; unknown members are ignored.

use std::collections::BTreeMap;

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
    pub(crate) usage: Option<Box<RawValue>>,
    pub(crate) metadata: Option<Value>,
    pub(crate) errors: Option<Value>,
    /// Error of a failed call; with servers that imitate OpenAI also of a failed batch.
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

/// Batches of a list. An entry without an id makes the list unreadable, since it may be the batch of the
/// search.
fn batches<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<Batch>, D::Error> {
    let batches: Vec<Batch> = lmbatch_http::required_list(deserializer)?;
    if batches.iter().any(|batch| batch.id.is_empty()) {
        return Err(serde::de::Error::custom("a batch of the list has no id"));
    }
    Ok(batches)
}

#[derive(Deserialize)]
pub(crate) struct Files {
    #[serde(deserialize_with = "lmbatch_http::required_list")]
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

lmbatch_core::members! {
    pub(crate) struct Row {
        custom_id: "custom_id",
        response: "response",
        error: "error",
    }

    /// Body of an error: `error` is an object or a bare string; some servers put its members into the body, or
    /// use another name.
    pub(crate) struct ErrorBody {
        error: "error",
        errors: "errors",
        /// FastAPI's `detail`: a string or a list of validation errors.
        detail: "detail",
    }

    pub(crate) struct ErrorObject {
        code: "code" | "error_code" | "errcode",
        status: "status",
        status_code: "status_code" | "http_status",
        r#type: "type",
        message: "message" | "msg" | "error_msg" | "error_message" | "errmsg" | "error_description",
    }

    pub(crate) struct Response {
        status_code: "status_code",
        body: "body",
    }

    /// Members of a body that decide whether it is an answer.
    pub(crate) struct BodyStatus {
        status: "status",
        error: "error",
        object: "object",
        errors: "errors",
        detail: "detail",
        message: "message",
        msg: "msg" | "error_msg" | "error_message" | "errmsg",
        code: "code",
        error_code: "error_code" | "errcode",
        output: "output",
        choices: "choices",
        data: "data",
        results: "results",
    }

    /// Body of any endpoint.
    pub(crate) struct Body {
        id: "id",
        model: "model",
        status: "status",
        incomplete_details: "incomplete_details",
        /// Member of responses bodies.
        output: "output",
        /// Member of chat completions and completions bodies.
        choices: "choices",
        /// Member of embeddings bodies.
        data: "data",
        /// Member of moderations bodies.
        results: "results",
        usage: "usage",
        /// Error beside an answer, of services that route requests to others.
        error: "error",
        /// Judgement of the prompt by a filter, of Azure.
        prompt_filter_results: "prompt_filter_results",
        /// Sources of the whole answer, of services that search.
        citations: "citations",
        search_results: "search_results",
    }

    pub(crate) struct Incomplete {
        reason: "reason",
    }

    pub(crate) struct Item {
        r#type: "type",
        id: "id",
        call_id: "call_id",
        name: "name",
        arguments: "arguments",
        content: "content",
        status: "status",
        result: "result",
        action: "action" | "actions" | "operation",
        summary: "summary",
        encrypted_content: "encrypted_content",
        phase: "phase",
    }

    pub(crate) struct Part {
        text: "text",
        refusal: "refusal",
        annotations: "annotations",
        logprobs: "logprobs",
        /// Thinking in chunks, of services that imitate OpenAI.
        thinking: "thinking",
        signature: "signature",
    }

    pub(crate) struct Choice {
        index: "index",
        finish_reason: "finish_reason",
        message: "message",
        logprobs: "logprobs",
        content_filter_results: "content_filter_results",
        /// Error in the place of a message, or beside it, of services that route requests to others.
        error: "error",
        /// Member of completions bodies.
        text: "text",
    }

    pub(crate) struct ChatMessage {
        /// A string, or, with some servers, a list of parts.
        content: "content",
        refusal: "refusal",
        reasoning_content: "reasoning_content",
        reasoning: "reasoning",
        tool_calls: "tool_calls",
        /// Call of a function, the predecessor of `tool_calls` until 2023-11.
        function_call: "function_call",
        annotations: "annotations",
        audio: "audio",
        /// Generated images, of OpenAI-compatible services.
        images: "images",
        /// Reasoning with its signatures, of services that route requests to others.
        reasoning_details: "reasoning_details",
        thinking_blocks: "thinking_blocks",
        /// Tools that the service ran.
        executed_tools: "executed_tools",
        provider_specific_fields: "provider_specific_fields",
    }

    pub(crate) struct ChatToolCall {
        id: "id",
        function: "function",
        /// Call of a tool without a schema.
        custom: "custom",
    }

    pub(crate) struct ChatFunction {
        name: "name",
        arguments: "arguments",
        /// Input of a custom tool, which need not be JSON.
        input: "input",
    }

    /// Spoken output of a model.
    pub(crate) struct Audio {
        data: "data",
        transcript: "transcript",
    }

    /// Tokens with the names of either endpoint.
    pub(crate) struct Usage {
        input: "input_tokens" | "prompt_tokens",
        output: "output_tokens" | "completion_tokens",
        input_details: "input_tokens_details" | "prompt_tokens_details",
        output_details: "output_tokens_details" | "completion_tokens_details",
    }

    pub(crate) struct UsageDetails {
        cached: "cached_tokens",
        written: "cache_write_tokens",
        audio: "audio_tokens",
        reasoning: "reasoning_tokens",
    }
}
