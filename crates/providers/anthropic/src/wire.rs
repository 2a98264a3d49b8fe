//! Wire types of Anthropic's batch API. Null equals absent; unknown members are ignored.

use std::time::Duration;

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
    /// Delay from the `Retry-After` header of the response.
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

/// Batches of a list. An entry without an id makes the list unreadable, since it may be the batch of the
/// search.
fn batches<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<Batch>, D::Error> {
    let batches: Vec<Batch> = lmbatch_http::required_list(deserializer)?;
    if batches.iter().any(|batch| batch.id.is_empty()) {
        return Err(serde::de::Error::custom("a batch of the list has no id"));
    }
    Ok(batches)
}

/// Members of a raw body that decide its batch.
#[derive(Deserialize)]
pub(crate) struct RawSampling<'a> {
    #[serde(borrow)]
    pub(crate) temperature: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) top_p: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) top_k: Option<&'a RawValue>,
}

lmbatch_core::members! {
    pub(crate) struct Row {
        custom_id: "custom_id",
        result: "result",
        /// Of a row without a result, of servers that imitate Anthropic.
        error: "error",
    }

    /// Object around an error, in the body of a response and in an errored row.
    pub(crate) struct ErrorBody {
        error: "error",
        errors: "errors",
        /// Of FastAPI: a text, or a list of what is wrong.
        detail: "detail",
    }

    pub(crate) struct ErrorObject {
        r#type: "type",
        code: "code" | "error_code" | "errcode",
        status: "status" | "status_code" | "http_status",
        message: "message" | "msg" | "error_msg" | "error_message" | "errmsg" | "error_description",
        details: "details",
    }

    pub(crate) struct ErrorDetails {
        error_code: "error_code",
    }

    pub(crate) struct RowResult {
        r#type: "type",
        message: "message",
        error: "error",
    }

    pub(crate) struct Message {
        id: "id",
        model: "model",
        content: "content",
        stop_reason: "stop_reason",
        stop_details: "stop_details",
        usage: "usage",
        /// Member of a message that is an error object.
        error: "error",
    }

    pub(crate) struct StopDetails {
        explanation: "explanation",
        category: "category",
    }

    pub(crate) struct Usage {
        input: "input_tokens",
        output: "output_tokens",
        cached: "cache_read_input_tokens",
        written: "cache_creation_input_tokens",
        written_by_lifetime: "cache_creation",
        output_details: "output_tokens_details",
    }

    pub(crate) struct OutputDetails {
        thinking: "thinking_tokens",
    }

    pub(crate) struct CacheCreation {
        one_hour: "ephemeral_1h_input_tokens",
    }

    /// A block of any type.
    pub(crate) struct Block {
        r#type: "type",
        text: "text",
        citations: "citations",
        thinking: "thinking",
        signature: "signature",
        data: "data",
        id: "id",
        name: "name",
        input: "input",
        content: "content",
        file_id: "file_id",
    }

    /// Content of the result of a provider-hosted tool.
    pub(crate) struct BlockContent {
        r#type: "type",
    }
}
