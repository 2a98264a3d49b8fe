//! Implementation of the provider trait.

use std::time::SystemTime;

use async_trait::async_trait;
use lmbatch_core::{
    AccountId, BatchClass, BatchCodec, BatchId, BatchProblem, BatchProvider, BatchSnapshot,
    Candidate, Certainty, Cursor, Error, ErrorKind, Found, Intent, KeyHint, Label, ListOptions,
    Page, RemoteObject, RequestCounts, RequestError, Result, ResultPart, ResultSet, Retry,
    RowStream, Shard, Staged, Upload, parse_provider_time,
};
use lmbatch_http::Identity;
use serde_json::Value;

use crate::client::{OpenAiClient, confirms, status};
use crate::error::{classify_batch, said_in_value};
use crate::translate::OpenAiCodec;
use crate::translate::outcome::usage;
use crate::wire::{Batch, File};

/// Provider for OpenAI's batch API and compatible servers.
///
/// ```
/// # fn main() -> Result<(), lmbatch_core::Error> {
/// let openai = lmbatch_openai::OpenAi::builder().api_key("sk-x").base_url("http://127.0.0.1:8787/v1").build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct OpenAi {
    pub(crate) codec: OpenAiCodec,
    pub(crate) client: OpenAiClient,
    pub(crate) identity: Identity,
}

#[async_trait]
impl BatchProvider for OpenAi {
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
        if let Some(staged) = prior.filter(|staged| staged.ready) {
            return Ok(staged);
        }
        let file = self.client.upload(shard).await?;
        Ok(Staged {
            ready: true,
            remote_objects: vec![RemoteObject::File(file.as_str().into())],
            state: [("file_id".into(), file.into())].into(),
        })
    }

    async fn create(&self, _: &Shard, intent: &Intent) -> Result<BatchId> {
        self.client
            .create(file_of(&intent.staged)?, intent)
            .await
            .map(BatchId::new)
    }

    async fn find(&self, intent: &Intent, page: Option<Cursor>) -> Result<Found> {
        let list = self.client.list(&ListOptions { limit: None, page }).await?;
        let file = file_of(&intent.staged).ok();
        let mut found = Found::default();
        let batches = list.data;
        for batch in &batches {
            // The order of batches of one second is not documented: the whole page is looked at.
            let created_at = time(batch.created_at.as_ref());
            found.reached_watermark |= intent.is_before(&batch.id, created_at);
            let evidence = if label(batch).as_ref() == Some(&intent.label) {
                "its metadata carries our label"
            } else if file.is_some() && batch.input_file_id.as_deref() == file {
                "it was made from our input file"
            } else {
                continue;
            };
            found.candidates.push(Candidate {
                batch: BatchId::new(batch.id.as_str()),
                certainty: Certainty::Proved,
                evidence: evidence.into(),
            });
        }
        found.next = next(list.has_more, list.last_id, &batches);
        Ok(found)
    }

    async fn fence(&self, staged: &Staged) -> Result<()> {
        self.client.delete(file_of(staged)?).await
    }

    async fn status(&self, batch: &BatchId) -> Result<BatchSnapshot> {
        Ok(snapshot(self.client.batch(batch).await?))
    }

    async fn results(&self, class: Option<&BatchClass>, batch: &BatchId) -> Result<ResultSet> {
        let found = self.client.batch(batch).await?;
        let counts = found.request_counts.as_ref().map(counts);
        let counts = counts.unwrap_or_default();
        // Each id is null where its file would be empty; some servers say "" instead. A batch can be
        // completed before its ids show: the counts tell which are to come.
        let (output, errors) = (found.output_file_id, found.error_file_id);
        let part = |file: Option<String>, of: fn(&BatchId, &str, &str) -> ResultPart| {
            file.filter(|file| !file.is_empty())
                .map(|file| of(batch, &file, "row"))
        };
        let parts = [
            (part(output, ResultPart::output), counts.succeeded),
            (part(errors, ResultPart::errors), counts.errored),
        ];
        let is_terminal = status(found.status.as_deref()).is_terminal();
        let mut parts_left = parts.iter();
        let is_shown = parts_left.all(|(part, rows)| part.is_some() || *rows == 0);
        let parts: Vec<ResultPart> = parts.into_iter().filter_map(|(part, _)| part).collect();
        // Files are read for any endpoint. If there are none, a class other than the batch's own is an error of the
        // caller.
        if parts.is_empty()
            && is_terminal
            && let (Some(class), Some(shown)) = (class, found.endpoint.as_deref())
            && !is_endpoint(&class.endpoint, shown)
        {
            return Err(class
                .other_route(batch, shown)
                .with_provider(self.codec.id().clone()));
        }
        Ok(ResultSet {
            parts,
            complete: is_terminal && is_shown,
        })
    }

    async fn read(&self, part: &ResultPart, from: u64) -> Result<RowStream> {
        Ok(lmbatch_http::rows(
            self.client.content(&part.name, from).await?.stream(),
        ))
    }

    async fn list(&self, options: &ListOptions) -> Result<Page<BatchSnapshot>> {
        let list = self.client.list(options).await?;
        let batches = list.data;
        let next = next(list.has_more, list.last_id, &batches);
        Ok(Page {
            items: batches.into_iter().map(snapshot).collect(),
            next,
        })
    }

    async fn uploads(&self, page: Option<Cursor>) -> Result<Page<Upload>> {
        let list = self.client.files(page.as_ref()).await?;
        let last = list.data.last().filter(|_| list.has_more == Some(true));
        let next = last.map(|last| Cursor::new(list.last_id.unwrap_or_else(|| last.id.clone())));
        let items = list.data.into_iter().filter_map(uploaded).collect();
        Ok(Page { items, next })
    }

    async fn cancel(&self, batch: &BatchId) -> Result<()> {
        // The answer to a cancel of an ended batch is not documented: the batch's status decides.
        let asked = self.client.cancel(batch).await;
        lmbatch_http::cancelled(self, batch, asked, |said| confirms(batch, said)).await
    }

    async fn discard(&self, remote_object: &RemoteObject) -> Result<()> {
        match remote_object {
            RemoteObject::File(file) => self.client.delete(file).await,
            RemoteObject::Batch(_) => Err(Error::unsupported("deleting a batch at openai")),
        }
    }
}

/// Returns true if two endpoints are the same: some servers leave out the version, or put their own address before it.
fn is_endpoint(wanted: &str, shown: &str) -> bool {
    let (wanted, shown) = (wanted.trim_matches('/'), shown.trim_matches('/'));
    let ends = |long: &str, short: &str| {
        let rest = long.strip_suffix(short);
        rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('/'))
    };
    shown.is_empty() || ends(wanted, shown) || ends(shown, wanted)
}

fn file_of(staged: &Staged) -> Result<&str> {
    let file = staged.state.get("file_id").map(|file| &**file);
    file.ok_or_else(|| Error::new(ErrorKind::Internal).with_message("the batch was not staged"))
}

/// Returns the next cursor. An empty page is always the last one: otherwise a repeated cursor would loop forever.
fn next(has_more: Option<bool>, last_id: Option<String>, data: &[Batch]) -> Option<Cursor> {
    let last = data.last().filter(|_| has_more == Some(true))?;
    Some(Cursor::new(last_id.unwrap_or_else(|| last.id.clone())))
}

fn uploaded(file: File) -> Option<Upload> {
    let label = Label::new(file.filename?.strip_suffix(".jsonl")?);
    label.parts()?;
    if file.id.is_empty() {
        return None;
    }
    Some(Upload {
        remote_object: RemoteObject::File(file.id.into()),
        label,
        bytes: file.bytes,
        created_at: time(file.created_at.as_ref()),
    })
}

fn label(batch: &Batch) -> Option<Label> {
    batch
        .metadata
        .as_ref()?
        .get("lmbatch")?
        .as_str()
        .map(Label::new)
}

fn snapshot(batch: Batch) -> BatchSnapshot {
    let status = status(batch.status.as_deref());
    let counts = batch
        .request_counts
        .as_ref()
        .map_or_else(RequestCounts::default, counts);
    let ended = [
        &batch.completed_at,
        &batch.failed_at,
        &batch.expired_at,
        &batch.cancelled_at,
    ];
    let label = label(&batch);
    let mut snapshot = BatchSnapshot::new(BatchId::new(batch.id), status);
    snapshot.label = label;
    snapshot.counts = counts;
    snapshot.model = batch.model;
    snapshot.created_at = time(batch.created_at.as_ref());
    snapshot.expires_at = time(batch.expires_at.as_ref());
    snapshot.ended_at = ended.into_iter().find_map(|at| time(at.as_ref()));
    snapshot.input_file = batch
        .input_file_id
        .filter(|file| !file.is_empty())
        .map(Into::into);
    snapshot.usage = batch.usage.as_deref().and_then(usage);
    snapshot.problems = batch.errors.as_ref().map(problems).unwrap_or_default();
    snapshot
}

/// Returns the request counts. Before validation ends all are zero, which means unknown.
fn counts(value: &Value) -> RequestCounts {
    let count = |name: &str| lmbatch_http::count(Some(value), name).unwrap_or(0);
    RequestCounts {
        total: Some(count("total")).filter(|total| *total > 0),
        succeeded: count("completed"),
        errored: count("failed"),
        ..RequestCounts::default()
    }
}

/// Reads seconds since 1970 as a number or, with some servers, as a string or in milliseconds.
fn time(value: Option<&Value>) -> Option<SystemTime> {
    parse_provider_time(value?)
}

/// OpenAI wraps the list in `data`; other servers send it bare, or a string.
fn problems(errors: &Value) -> Vec<BatchProblem> {
    match errors {
        Value::Null => Vec::new(),
        Value::Array(list) => list.iter().map(problem).collect(),
        Value::Object(object) => match object.get("data") {
            Some(Value::Array(list)) => list.iter().map(problem).collect(),
            Some(_) => Vec::new(),
            None => vec![problem(errors)],
        },
        _ => vec![problem(errors)],
    }
}

fn problem(error: &Value) -> BatchProblem {
    let (code, message) = said_in_value(error);
    let (kind, retry) = classify_batch(code, error.get("param").and_then(Value::as_str));
    let mut request = RequestError::new(kind).retryable(retry == Retry::Temporary);
    if let Some(code) = code {
        request = request.with_code(code);
    }
    if let Some(message) = message {
        request = request.with_message(message);
    }
    BatchProblem {
        error: request,
        line: error.get("line").and_then(Value::as_u64),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    fn snapshot_of(value: Value) -> BatchSnapshot {
        snapshot(serde_json::from_value(value).unwrap())
    }

    #[test]
    fn a_failed_list_is_not_an_empty_list() {
        for list in [
            json!({}),
            json!({"data": [], "error": {"message": "m"}}),
            json!({"data": null, "error": "no"}),
            json!({"data": [], "has_more": 1}),
            json!({"data": [], "has_more": "yes"}),
            json!({"data": [], "last_id": {}}),
        ] {
            assert!(
                serde_json::from_value::<crate::wire::List>(list.clone()).is_err(),
                "{list}"
            );
            assert!(
                serde_json::from_value::<crate::wire::Files>(list.clone()).is_err(),
                "{list}"
            );
        }
    }

    #[test]
    fn null_equals_absent_and_unexpected_shapes_are_ignored() {
        let bare = snapshot_of(json!({"id": "b", "status": "in_progress"}));
        for members in [
            json!({"model": null, "errors": null, "request_counts": null, "metadata": null, "usage": null, "created_at": null}),
            json!({"errors": {"object": "list", "data": null}, "metadata": "", "request_counts": {"total": null}, "created_at": "soon"}),
        ] {
            let mut batch = members;
            batch["id"] = json!("b");
            batch["status"] = json!("in_progress");
            assert_eq!(snapshot_of(batch), bare);
        }
    }

    #[test]
    fn unexpected_members_do_not_make_a_status_unreadable() {
        let bare = snapshot_of(json!({"status": "in_progress"}));
        for odd in lmbatch_contract::odd_values() {
            let found = snapshot_of(json!({
                "id": odd, "status": "in_progress", "model": odd, "input_file_id": odd, "output_file_id": odd,
                "error_file_id": odd, "created_at": odd, "expires_at": odd, "completed_at": odd, "failed_at": odd,
                "expired_at": odd, "cancelled_at": odd, "request_counts": odd, "usage": odd, "metadata": odd,
            }));
            // Texts may come as numbers, and times as texts.
            let (text, at) = (lmbatch_http::text(&odd).unwrap(), time(Some(&odd)));
            let mut expected = bare.clone();
            expected.id = BatchId::new(text.clone().unwrap_or_default());
            expected.model = text.clone();
            expected.input_file = text.map(Into::into);
            expected.created_at = at;
            expected.expires_at = at;
            expected.ended_at = at;
            assert_eq!(found, expected, "{odd}");
        }
        assert!(
            !snapshot_of(json!({"id": "b", "status": 7}))
                .status
                .is_terminal()
        );
    }

    /// Of a server that imitates OpenAI.
    #[test]
    fn a_time_in_milliseconds_is_read_and_one_beyond_the_calendar_is_unknown() {
        for (created, expected) in [
            (
                json!(1_764_133_200_000_u64),
                lmbatch_core::parse_time("2025-11-26T05:00:00Z"),
            ),
            (
                json!("1764133200000"),
                lmbatch_core::parse_time("2025-11-26T05:00:00Z"),
            ),
            (json!(i64::MAX), None),
            (json!(-1), None),
        ] {
            let found = snapshot_of(
                json!({"id": "b", "status": "completed", "created_at": created, "expires_at": created, "completed_at": created}),
            );
            assert_eq!(
                [found.created_at, found.expires_at, found.ended_at],
                [expected; 3],
                "{created}"
            );
            let text = serde_json::to_string(&found).unwrap();
            assert_eq!(
                serde_json::from_str::<BatchSnapshot>(&text).unwrap(),
                found,
                "{text}"
            );
        }
    }

    #[test]
    fn a_snapshot_holds_the_members_of_the_batch() {
        let found = snapshot_of(json!({
            "id": "b", "status": "expired", "model": "gpt-x-2026-03-05", "metadata": {"lmbatch": "r1.0"},
            "created_at": 1_700_000_000, "expires_at": "1700086400", "expired_at": 1_700_086_401,
            "request_counts": {"total": 10, "completed": 1, "failed": 0},
            "usage": {"input_tokens": 5, "output_tokens": 7, "output_tokens_details": {"reasoning_tokens": 2}},
        }));
        let at = |seconds| Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(
            (found.created_at, found.expires_at, found.ended_at),
            (at(1_700_000_000), at(1_700_086_400), at(1_700_086_401))
        );
        assert_eq!(found.label, Some(Label::new("r1.0")));
        assert_eq!(
            (
                found.counts.total,
                found.counts.succeeded,
                found.counts.errored
            ),
            (Some(10), 1, 0)
        );
        assert_eq!(
            found.usage.map(|usage| (
                usage.input_tokens,
                usage.output_tokens,
                usage.thinking_tokens
            )),
            Some((5, 7, 2))
        );
    }

    #[test]
    fn problems_are_read_in_any_shape() {
        for (errors, expected) in [
            (
                json!({"data": [{"code": "invalid_json_line", "message": "m", "param": null, "line": 3}]}),
                (ErrorKind::InvalidInput, false, Some(3)),
            ),
            (
                json!([{"code": "token_limit_exceeded", "message": "m"}]),
                (ErrorKind::Quota, true, None),
            ),
            (json!("m"), (ErrorKind::InvalidInput, false, None)),
            (
                json!({"code": 400, "message": "m", "param": "file_id"}),
                (ErrorKind::FileNotFound, true, None),
            ),
        ] {
            let found = problems(&errors);
            assert_eq!(found.len(), 1, "{errors}");
            let (error, line) = (&found[0].error, found[0].line);
            assert_eq!(
                (error.kind(), error.is_retryable(), line),
                expected,
                "{errors}"
            );
            assert_eq!(error.message(), Some("m"));
        }
    }
}
