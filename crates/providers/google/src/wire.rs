//! What the Gemini API says, as it spells it. Absent and null are the same; unknown is ignored.

use std::borrow::Cow;
use std::collections::BTreeMap;

use lmbatch_core::{Json, Text};
use lmbatch_http::Path;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

/// Where a finished operation holds its results: twice.
pub(crate) const RESULTS: &[Path] = &[
    &["response", "inlinedResponses", "inlinedResponses"],
    &["metadata", "output", "inlinedResponses", "inlinedResponses"],
];

/// The same in a list of operations.
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

/// A batch, in the envelope that every call returns. `done` says no more than the state.
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

/// `google.rpc.Status`.
#[derive(Deserialize)]
pub(crate) struct Status {
    #[serde(default, deserialize_with = "lmbatch_http::number")]
    pub(crate) code: Option<u16>,
    #[serde(default, deserialize_with = "lmbatch_http::text")]
    pub(crate) message: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct List {
    #[serde(default, deserialize_with = "operations")]
    pub(crate) operations: Option<Vec<Operation>>,
    #[serde(default, deserialize_with = "lmbatch_http::page_cursor")]
    pub(crate) next_page_token: Option<String>,
    pub(crate) error: Option<IgnoredAny>,
    /// Members that the API does not document.
    #[serde(flatten)]
    pub(crate) others: BTreeMap<String, IgnoredAny>,
}

impl List {
    /// Whether the answer is a list. An empty one has no members at all; an object without batches but with
    /// other members comes from a proxy.
    pub(crate) fn is_list(&self) -> bool {
        self.operations.is_some() || self.others.is_empty()
    }
}

/// Operations of a list. One without a name cannot be told from the one that is looked for: the list is
/// not readable then.
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
#[serde(rename_all = "camelCase")]
pub(crate) struct Files {
    pub(crate) files: Option<Vec<File>>,
    #[serde(default, deserialize_with = "lmbatch_http::page_cursor")]
    pub(crate) next_page_token: Option<String>,
    pub(crate) error: Option<IgnoredAny>,
    /// Members that the API does not document.
    #[serde(flatten)]
    pub(crate) others: BTreeMap<String, IgnoredAny>,
}

impl Files {
    /// Whether the answer is a list, as for [`List`].
    pub(crate) fn is_list(&self) -> bool {
        self.files.is_some() || self.others.is_empty()
    }
}

#[derive(Deserialize)]
pub(crate) struct Uploaded {
    pub(crate) file: Option<File>,
}

/// An error's body; some come in a list of one.
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

/// A row of either route.
#[derive(Deserialize)]
pub(crate) struct Row<'a> {
    /// Of files.
    #[serde(borrow)]
    pub(crate) key: Option<&'a RawValue>,
    /// Of inline batches.
    #[serde(borrow)]
    pub(crate) metadata: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) response: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) error: Option<&'a RawValue>,
    /// Another name of the error (documentation of 2026-02-19: "a status object").
    #[serde(borrow)]
    pub(crate) status: Option<&'a RawValue>,
}

#[derive(Deserialize)]
pub(crate) struct RowMetadata<'a> {
    #[serde(borrow)]
    pub(crate) key: Option<Text<'a>>,
}

#[derive(Deserialize)]
pub(crate) struct RowError<'a> {
    pub(crate) code: Option<u16>,
    #[serde(borrow)]
    pub(crate) message: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Response<'a> {
    #[serde(borrow)]
    pub(crate) candidates: Option<Vec<Json<'a>>>,
    pub(crate) prompt_feedback: Option<PromptFeedback>,
    pub(crate) usage_metadata: Option<Value>,
    #[serde(borrow)]
    pub(crate) model_version: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) response_id: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PromptFeedback {
    pub(crate) block_reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Candidate<'a> {
    #[serde(borrow)]
    pub(crate) content: Option<Content<'a>>,
    #[serde(borrow)]
    pub(crate) finish_reason: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(crate) citation_metadata: Option<Json<'a>>,
    #[serde(borrow)]
    pub(crate) grounding_metadata: Option<Json<'a>>,
}

#[derive(Deserialize)]
pub(crate) struct Content<'a> {
    #[serde(borrow)]
    pub(crate) parts: Option<Vec<Json<'a>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Part<'a> {
    #[serde(borrow)]
    pub(crate) text: Option<Text<'a>>,
    pub(crate) thought: Option<bool>,
    #[serde(borrow)]
    pub(crate) thought_signature: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) function_call: Option<FunctionCall<'a>>,
    #[serde(borrow)]
    pub(crate) inline_data: Option<InlineData<'a>>,
}

#[derive(Deserialize)]
pub(crate) struct FunctionCall<'a> {
    #[serde(borrow)]
    pub(crate) id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) name: Text<'a>,
    #[serde(borrow)]
    pub(crate) args: Option<Json<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct InlineData<'a> {
    #[serde(borrow)]
    pub(crate) mime_type: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) data: Text<'a>,
}
