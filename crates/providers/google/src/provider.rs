//! Implementation of the provider trait.

use std::time::SystemTime;

use async_trait::async_trait;
use lmbatch_core::{
    AccountId, BatchClass, BatchCodec, BatchId, BatchProblem, BatchProvider, BatchSnapshot,
    BatchStatus, Candidate, Certainty, Cursor, Error, Found, Intent, KeyHint, Label, ListOptions,
    Page, RemoteObject, RequestError, Result, ResultPart, ResultSet, Retry, RowStream, Shard,
    Staged, Upload, parse_provider_time,
};
use lmbatch_http::Identity;
use serde_json::Value;

use crate::client::{GoogleClient, confirms};
use crate::config::Route;
use crate::error::classify_code;
use crate::translate::GoogleCodec;
use crate::upload;
use crate::wire::{File, Metadata, Operation, Output, RESULTS, Status};

/// Name of the part whose results are in the operation itself.
const INLINE: &str = "inline";

/// Provider for batches of the Gemini Developer API.
///
/// ```
/// # fn main() -> Result<(), lmbatch_core::Error> {
/// let google = lmbatch_google::Google::builder().api_key("k").base_url("http://127.0.0.1:8787").build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Google {
    pub(crate) codec: GoogleCodec,
    pub(crate) client: GoogleClient,
    pub(crate) identity: Identity,
}

#[async_trait]
impl BatchProvider for Google {
    fn codec(&self) -> &dyn BatchCodec {
        &self.codec
    }

    fn account(&self) -> AccountId {
        self.identity.account.clone()
    }

    fn key_hint(&self) -> Option<KeyHint> {
        Some(self.identity.key_hint.clone())
    }

    fn former_account(&self) -> Option<AccountId> {
        Some(self.identity.former.clone())
    }

    async fn probe(&self, model: &str) -> Result<()> {
        lmbatch_http::probe_result(self.client.model(model).await)
    }

    async fn stage(&self, shard: &Shard, prior: Option<Staged>) -> Result<Staged> {
        if is_inline(&shard.class.route) {
            return Ok(Staged::ready());
        }
        if let Some(staged) = prior.as_ref().filter(|staged| staged.ready) {
            return Ok(staged.clone());
        }
        upload::step(&self.client, shard, prior).await
    }

    async fn create(&self, shard: &Shard, intent: &Intent) -> Result<BatchId> {
        let file = if is_inline(&intent.class.route) {
            None
        } else {
            Some(upload::file_of(&intent.staged)?)
        };
        self.client.create(shard, intent, file).await
    }

    async fn find(&self, intent: &Intent, page: Option<Cursor>) -> Result<Found> {
        let list = self.client.list(&ListOptions { limit: None, page }).await?;
        let file = upload::file_of(&intent.staged).ok();
        let operations = list.operations.unwrap_or_default();
        let mut found = Found {
            reached_watermark: is_old(&operations, intent),
            next: next(list.next_page_token, &operations),
            ..Found::default()
        };
        for operation in operations {
            let Some(metadata) = &operation.metadata else {
                continue;
            };
            let evidence = if metadata.display_name.as_deref() == Some(intent.label.as_str()) {
                "its display name is our label"
            } else if file.is_some() && input_file(metadata) == file {
                "it was made from our input file"
            } else {
                continue;
            };
            found.candidates.push(Candidate {
                batch: BatchId::new(operation.name),
                certainty: Certainty::Proved,
                evidence: evidence.into(),
            });
        }
        Ok(found)
    }

    async fn fence(&self, staged: &Staged) -> Result<()> {
        match upload::file_of(staged) {
            Ok(file) => self.client.delete_file(file).await,
            Err(_) => Err(Error::unsupported("fencing an inline create at google")),
        }
    }

    async fn status(&self, batch: &BatchId) -> Result<BatchSnapshot> {
        Ok(snapshot(self.client.batch(batch).await?))
    }

    async fn results(&self, class: Option<&BatchClass>, batch: &BatchId) -> Result<ResultSet> {
        let operation = self.client.batch(batch).await?;
        let (metadata, response) = (operation.metadata, operation.response);
        let status = state(metadata.as_ref().and_then(|meta| meta.state.as_deref()));
        let shown = metadata.as_ref().and_then(route_of);
        let outputs = [response, metadata.and_then(|meta| meta.output)];
        let part = outputs
            .iter()
            .flatten()
            .find_map(|output| part(batch, output));
        // Results are read from where the batch shows them, for any class. If there are none, a class other than the
        // batch's own is an error of the caller.
        if part.is_none()
            && status == BatchStatus::Completed
            && let (Some(class), Some(shown)) = (class, shown)
            && *class.route != *shown.as_str()
        {
            let error = class.other_route(batch, shown.as_str());
            return Err(error.with_provider("google".into()));
        }
        // A batch that has succeeded may not say yet where its results are (live tests of others, 2026-02).
        let complete = part.is_some() || (status.is_terminal() && status != BatchStatus::Completed);
        Ok(ResultSet {
            parts: part.into_iter().collect(),
            complete,
        })
    }

    async fn read(&self, part: &ResultPart, from: u64) -> Result<RowStream> {
        if from > 0 {
            return Err(Error::unsupported("reading results from the middle"));
        }
        if is_inline(&part.shape) {
            let reply = self
                .client
                .operation(&part.batch, "read the results")
                .await?;
            return Ok(lmbatch_http::document_rows(reply.stream(), RESULTS));
        }
        let reply = self.client.content(&part.batch, &part.name).await?;
        Ok(lmbatch_http::rows(reply.stream()))
    }

    async fn list(&self, options: &ListOptions) -> Result<Page<BatchSnapshot>> {
        let list = self.client.list(options).await?;
        let operations = list.operations.unwrap_or_default();
        let next = next(list.next_page_token, &operations);
        Ok(Page {
            items: operations.into_iter().map(snapshot).collect(),
            next,
        })
    }

    async fn uploads(&self, page: Option<Cursor>) -> Result<Page<Upload>> {
        let list = self.client.files(page.as_ref()).await?;
        let files = list.files.unwrap_or_default();
        Ok(Page {
            items: files.into_iter().filter_map(uploaded).collect(),
            next: list.next_page_token.map(Cursor::new),
        })
    }

    async fn cancel(&self, batch: &BatchId) -> Result<()> {
        // The answer to a cancel of an ended batch is not documented: the batch's status decides.
        let asked = self.client.cancel(batch).await;
        lmbatch_http::cancelled(self, batch, asked, |said| confirms(batch, said)).await
    }

    async fn discard(&self, remote_object: &RemoteObject) -> Result<()> {
        match remote_object {
            RemoteObject::File(file) => self.client.delete_file(file).await,
            RemoteObject::Batch(batch) => self.client.delete_batch(batch).await,
        }
    }
}

fn is_inline(route: &str) -> bool {
    route == Route::Inline.as_str()
}

/// Returns the next cursor. An empty page is always the last one: otherwise a repeated cursor would loop forever.
fn next(token: Option<String>, operations: &[Operation]) -> Option<Cursor> {
    token.filter(|_| !operations.is_empty()).map(Cursor::new)
}

fn uploaded(file: File) -> Option<Upload> {
    let label = Label::new(file.display_name?);
    label.parts()?;
    Some(Upload {
        remote_object: RemoteObject::File(file.name?.into()),
        label,
        bytes: file.size_bytes.and_then(|bytes| bytes.parse().ok()),
        created_at: time(&file.create_time),
    })
}

fn time(text: &Option<String>) -> Option<SystemTime> {
    parse_provider_time(&Value::from(text.as_deref()?))
}

fn input_file(metadata: &Metadata) -> Option<&str> {
    metadata.input_config.as_ref()?.get("fileName")?.as_str()
}

/// Returns the route by which the requests of a batch came, where the batch says so: "inputConfig.fileName" or
/// "inputConfig.requests" (batch reference, 2026).
fn route_of(metadata: &Metadata) -> Option<Route> {
    if input_file(metadata).is_some_and(|file| !file.is_empty()) {
        return Some(Route::File);
    }
    let config = metadata.input_config.as_ref()?;
    config
        .get("requests")
        .is_some_and(|requests| requests.is_object() || requests.is_array())
        .then_some(Route::Inline)
}

/// Returns true if a page holds only batches created long before the watermark.
/// The order of the list is not documented: a search ends at a page of which everything is too old.
fn is_old(operations: &[Operation], intent: &Intent) -> bool {
    let created = |operation: &Operation| {
        let metadata = operation.metadata.as_ref()?;
        time(&metadata.create_time)
    };
    let mut all = operations.iter();
    !operations.is_empty() && all.all(|operation| intent.is_long_before(created(operation)))
}

fn part(batch: &BatchId, output: &Output) -> Option<ResultPart> {
    let file = output.responses_file.as_deref();
    let file = file.filter(|file| !file.is_empty());
    let (name, shape) = match (file, &output.inlined_responses) {
        (Some(file), _) => (file, Route::File.as_str()),
        (None, Some(_)) => (INLINE, Route::Inline.as_str()),
        (None, None) => return None,
    };
    Some(ResultPart::mixed(batch, name, shape))
}

/// `BATCH_STATE_*` on the wire, `JOB_STATE_*` in Google's SDKs and in some of its documentation.
fn state(word: Option<&str>) -> BatchStatus {
    let word = word.unwrap_or("(none)");
    match word.rsplit("STATE_").next().unwrap_or(word) {
        "PENDING" | "QUEUED" => BatchStatus::Queued,
        "RUNNING" => BatchStatus::InProgress,
        "CANCELLING" => BatchStatus::Cancelling,
        "SUCCEEDED" | "PARTIALLY_SUCCEEDED" => BatchStatus::Completed,
        "FAILED" => BatchStatus::Failed,
        "CANCELLED" => BatchStatus::Cancelled,
        "EXPIRED" => BatchStatus::Expired,
        _ => BatchStatus::Unknown(word.to_owned()),
    }
}

fn snapshot(operation: Operation) -> BatchSnapshot {
    let id = BatchId::new(operation.name);
    let Some(metadata) = operation.metadata else {
        return BatchSnapshot::new(id, state(None));
    };
    let status = state(metadata.state.as_deref());
    // Counts are strings, and absent where they are zero; some come as numbers.
    let stats = metadata.batch_stats.as_ref();
    let names = [
        "requestCount",
        "successfulRequestCount",
        "failedRequestCount",
    ];
    let counts = lmbatch_http::counts(stats, names);
    let model = metadata.model.as_deref();
    let model = model.map(|model| model.strip_prefix("models/").unwrap_or(model).to_owned());
    let mut snapshot = BatchSnapshot::new(id, status);
    snapshot.counts = counts;
    snapshot.model = model;
    snapshot.label = metadata
        .display_name
        .as_deref()
        .filter(|name| !name.is_empty())
        .map(Label::new);
    snapshot.created_at = time(&metadata.create_time);
    snapshot.ended_at = time(&metadata.end_time);
    snapshot.input_file = input_file(&metadata).map(Into::into);
    snapshot.problems = operation.error.iter().map(problem).collect();
    snapshot
}

/// Returns the error of a batch that failed as a whole.
fn problem(error: &Status) -> BatchProblem {
    let (kind, retry) = classify_code(error.code);
    let mut request = RequestError::new(kind).retryable(retry == Retry::Temporary);
    if let Some(code) = error.code {
        request = request.with_code(code.to_string());
    }
    if let Some(message) = &error.message {
        request = request.with_message(message.as_str());
    }
    BatchProblem {
        error: request,
        line: None,
    }
}

#[cfg(test)]
mod tests {
    use lmbatch_core::{ErrorKind, RequestCounts, parse_time};
    use serde_json::json;

    use super::*;

    fn snapshot_of(value: Value) -> BatchSnapshot {
        snapshot(serde_json::from_value(value).unwrap())
    }

    #[test]
    fn a_state_is_read_under_either_prefix() {
        for (word, expected) in [
            ("BATCH_STATE_PENDING", BatchStatus::Queued),
            ("JOB_STATE_RUNNING", BatchStatus::InProgress),
            ("BATCH_STATE_SUCCEEDED", BatchStatus::Completed),
            ("JOB_STATE_SUCCEEDED", BatchStatus::Completed),
            ("BATCH_STATE_FAILED", BatchStatus::Failed),
            ("BATCH_STATE_CANCELLED", BatchStatus::Cancelled),
            ("BATCH_STATE_EXPIRED", BatchStatus::Expired),
            (
                "BATCH_STATE_UNSPECIFIED",
                BatchStatus::Unknown("BATCH_STATE_UNSPECIFIED".into()),
            ),
            ("NAPPING", BatchStatus::Unknown("NAPPING".into())),
        ] {
            assert_eq!(state(Some(word)), expected);
        }
        assert!(!state(None).is_terminal());
    }

    #[test]
    fn a_snapshot_holds_the_members_of_the_operation() {
        let found = snapshot_of(json!({
            "name": "batches/b", "done": true,
            "metadata": {
                "@type": "type.googleapis.com/google.ai.generativelanguage.v1main.GenerateContentBatch",
                "model": "models/gemini-2.5-flash", "displayName": "lmbatch-n-0", "state": "BATCH_STATE_SUCCEEDED",
                "createTime": "2026-11-01T09:00:00.123456789Z", "endTime": "2026-11-01T10:00:00Z",
                "batchStats": {"requestCount": "3", "successfulRequestCount": "2", "failedRequestCount": 1},
            },
        }));
        assert_eq!(
            found.counts,
            RequestCounts {
                total: Some(3),
                succeeded: 2,
                errored: 1,
                ..RequestCounts::default()
            }
        );
        assert_eq!(found.model.as_deref(), Some("gemini-2.5-flash"));
        assert_eq!(found.label, Some(Label::new("lmbatch-n-0")));
        assert_eq!(found.ended_at, parse_time("2026-11-01T10:00:00Z"));
        let created = found
            .created_at
            .unwrap()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap();
        assert_eq!(created.subsec_nanos(), 123_456_789);
    }

    #[test]
    fn unexpected_members_do_not_make_a_status_unreadable() {
        let bare = snapshot_of(json!({"metadata": {"state": "BATCH_STATE_RUNNING"}}));
        for odd in lmbatch_contract::odd_values() {
            let found = snapshot_of(json!({"name": odd, "response": odd, "metadata": {
                "state": "BATCH_STATE_RUNNING", "model": odd, "displayName": odd, "createTime": odd, "endTime": odd,
                "batchStats": odd, "inputConfig": odd, "output": odd,
            }}));
            // Texts may come as numbers, and so may times.
            let text = lmbatch_http::text(&odd).unwrap();
            let at = time(&text);
            let mut expected = bare.clone();
            expected.id = BatchId::new(text.clone().unwrap_or_default());
            expected.model = text.clone();
            expected.label = text.map(Label::new);
            expected.created_at = at;
            expected.ended_at = at;
            assert_eq!(found, expected, "{odd}");
            // An error of another shape is an error of which nothing is known.
            let failed = snapshot_of(
                json!({"name": "b", "error": odd, "metadata": {"state": "BATCH_STATE_FAILED"}}),
            );
            assert_eq!(failed.status, BatchStatus::Failed, "{odd}");
            assert!(
                !snapshot_of(json!({"name": "b", "metadata": odd}))
                    .status
                    .is_terminal()
            );
        }
        let coded = snapshot_of(
            json!({"name": "b", "metadata": {"state": "BATCH_STATE_FAILED"}, "error": {"code": "8", "message": 5}}),
        );
        assert_eq!(coded.problems[0].error.kind(), ErrorKind::ProviderRateLimit);
    }

    #[test]
    fn a_failed_batch_holds_its_error() {
        let found = snapshot_of(json!({
            "name": "batches/b", "done": true, "metadata": {"state": "BATCH_STATE_FAILED"},
            "error": {"code": 8, "message": "m", "details": []},
        }));
        let error = &found.problems[0].error;
        assert_eq!(
            (error.kind(), error.is_retryable(), error.message()),
            (ErrorKind::ProviderRateLimit, true, Some("m"))
        );
    }

    #[test]
    fn only_an_object_without_foreign_members_is_an_empty_list() {
        for (list, expected) in [
            (json!({}), Some(true)),
            (json!({"operations": [], "new": 1}), Some(true)),
            (json!({"nextPageToken": "t"}), Some(true)),
            (json!({"message": "ok"}), Some(false)),
            (
                json!({"detail": "Not Found", "operations": null}),
                Some(false),
            ),
            (json!({"nextPageToken": {}}), None),
            (json!({"operations": [{}]}), None),
        ] {
            let read = serde_json::from_value::<crate::wire::List>(list.clone()).ok();
            assert_eq!(read.map(|list| list.is_list), expected, "{list}");
        }
    }

    #[test]
    fn null_equals_absent_and_unexpected_shapes_are_ignored() {
        let bare = snapshot_of(json!({"name": "b", "metadata": {"state": "BATCH_STATE_RUNNING"}}));
        for stats in [
            Value::Null,
            json!({}),
            json!("many"),
            json!({"requestCount": "x"}),
        ] {
            let found = snapshot_of(
                json!({"name": "b", "response": null, "error": null, "metadata": {
                    "state": "BATCH_STATE_RUNNING", "batchStats": stats, "createTime": "soon", "displayName": "",
                }}),
            );
            assert_eq!(found, bare);
        }
        assert!(!snapshot_of(json!({"name": "b"})).status.is_terminal());
    }
}
