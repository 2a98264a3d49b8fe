//! Implementation of the provider trait.

use std::time::SystemTime;

use async_trait::async_trait;
use lmbatch_core::{
    AccountId, BatchClass, BatchCodec, BatchId, BatchProvider, BatchSnapshot, BatchStatus,
    Candidate, Certainty, Cursor, Error, ErrorKind, Found, Intent, KeyHint, ListOptions, Page,
    RemoteObject, RequestCounts, Result, ResultPart, ResultSet, RowStream, Shard, Staged,
    parse_provider_time,
};
use lmbatch_http::Identity;
use serde_json::Value;

use crate::client::{AnthropicClient, confirms};
use crate::translate::AnthropicCodec;
use crate::wire::Batch;

/// Provider for Anthropic's Message Batches API.
///
/// ```
/// # fn main() -> Result<(), lmbatch_core::Error> {
/// let anthropic = lmbatch_anthropic::Anthropic::builder().api_key("sk-x").base_url("http://127.0.0.1:8787").build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Anthropic {
    pub(crate) codec: AnthropicCodec,
    pub(crate) client: AnthropicClient,
    pub(crate) identity: Identity,
}

#[async_trait]
impl BatchProvider for Anthropic {
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

    async fn stage(&self, _: &Shard, _: Option<Staged>) -> Result<Staged> {
        Ok(Staged {
            ready: true,
            ..Staged::default()
        })
    }

    async fn create(&self, shard: &Shard, intent: &Intent) -> Result<BatchId> {
        self.client.create(shard, intent).await.map(BatchId::new)
    }

    // A batch cannot be labelled, and its requests are not shown: number and time are all there is.
    async fn find(&self, intent: &Intent, page: Option<Cursor>) -> Result<Found> {
        let list = self.client.list(&ListOptions { limit: None, page }).await?;
        let mut found = Found::default();
        let batches = list.data;
        for batch in &batches {
            let created_at = time(&batch.created_at);
            found.reached_watermark |= intent.is_before(&batch.id, created_at);
            // Behind a watermark of unknown time nothing tells what is newer.
            let may_be_older = found.reached_watermark && intent.watermark_at.is_none();
            let fits = total(batch) == Some(u64::from(intent.count)) && !may_be_older;
            if fits && intent.may_have_created(&batch.id, created_at) {
                found.candidates.push(Candidate {
                    batch: BatchId::new(batch.id.as_str()),
                    certainty: Certainty::Presumed,
                    evidence: "it holds as many requests and was made since then".into(),
                });
            }
        }
        found.next = next(list.has_more, list.last_id, &batches);
        Ok(found)
    }

    async fn status(&self, batch: &BatchId) -> Result<BatchSnapshot> {
        Ok(snapshot(self.client.batch(batch).await?))
    }

    async fn results(&self, _: Option<&BatchClass>, batch: &BatchId) -> Result<ResultSet> {
        let found = self.client.batch(batch).await?;
        if found.archived_at.is_some() {
            return Err(Error::new(ErrorKind::FileNotFound)
                .with_provider("anthropic".into())
                .with_batch(batch.clone())
                .with_message("the results are gone: they are kept for 29 days"));
        }
        let url = found.results_url.as_deref();
        let parts = url.filter(|url| !url.is_empty()).map(|url| {
            let path = self.client.results_path(batch, url);
            ResultPart::mixed(batch, &path, "row")
        });
        let BatchSnapshot { status, counts, .. } = snapshot(found);
        // What ended before anything was answered may have no results at all.
        let ended_early = matches!(status, BatchStatus::Cancelled | BatchStatus::Expired);
        let answered = counts.succeeded.saturating_add(counts.errored);
        let has_none = ended_early && answered == 0;
        Ok(ResultSet {
            complete: parts.is_some() || has_none,
            parts: parts.into_iter().collect(),
        })
    }

    async fn read(&self, part: &ResultPart, from: u64) -> Result<RowStream> {
        if from > 0 {
            return Err(Error::unsupported("reading results from the middle"));
        }
        let reply = self.client.content(&part.batch, &part.name).await?;
        Ok(lmbatch_http::rows(reply.stream()))
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

    async fn cancel(&self, batch: &BatchId) -> Result<()> {
        // The answer to a cancel of an ended batch is not documented: the batch's status decides.
        let asked = self.client.cancel(batch).await;
        lmbatch_http::cancelled(self, batch, asked, |said| confirms(batch, said)).await
    }

    async fn discard(&self, remote_object: &RemoteObject) -> Result<()> {
        match remote_object {
            RemoteObject::Batch(batch) => self.client.delete(batch).await,
            RemoteObject::File(_) => Err(Error::unsupported("deleting a file at anthropic")),
        }
    }
}

/// Returns the next cursor. An empty page is always the last one: otherwise a repeated cursor would loop forever.
fn next(has_more: Option<bool>, last_id: Option<String>, data: &[Batch]) -> Option<Cursor> {
    let last = data.last().filter(|_| has_more == Some(true))?;
    Some(Cursor::new(last_id.unwrap_or_else(|| last.id.clone())))
}

fn count(counts: Option<&Value>, name: &str) -> u64 {
    lmbatch_http::count(counts, name).unwrap_or(0)
}

fn time(text: &Option<String>) -> Option<SystemTime> {
    parse_provider_time(&Value::from(text.as_deref()?))
}

/// "The sum of all values always matches the total number of requests" (SDK 2.12.0, 2026-11).
fn total(batch: &Batch) -> Option<u64> {
    let counts = batch.request_counts.as_ref();
    let names = ["processing", "succeeded", "errored", "canceled", "expired"];
    let counted = names.iter().map(|name| count(counts, name));
    Some(counted.fold(0, u64::saturating_add)).filter(|sum| *sum > 0)
}

fn snapshot(batch: Batch) -> BatchSnapshot {
    let total = total(&batch);
    let counts = batch.request_counts.as_ref();
    let counts = RequestCounts {
        total,
        succeeded: count(counts, "succeeded"),
        errored: count(counts, "errored"),
        expired: count(counts, "expired"),
        cancelled: count(counts, "canceled"),
    };
    let word = batch.processing_status.as_deref().unwrap_or("(none)");
    let status = match word {
        "in_progress" => BatchStatus::InProgress,
        "canceling" => BatchStatus::Cancelling,
        // "ended" is the only word for all ends: what became of the requests says which it was.
        "ended" if counts.expired > 0 => BatchStatus::Expired,
        "ended" if batch.cancel_initiated_at.is_some() && counts.cancelled > 0 => {
            BatchStatus::Cancelled
        }
        "ended" => BatchStatus::Completed,
        other => BatchStatus::Unknown(other.to_owned()),
    };
    let mut snapshot = BatchSnapshot::new(BatchId::new(batch.id), status);
    snapshot.counts = counts;
    snapshot.created_at = time(&batch.created_at);
    snapshot.expires_at = time(&batch.expires_at);
    snapshot.ended_at = time(&batch.ended_at);
    snapshot.poll_after = batch.poll_after;
    snapshot
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    use lmbatch_core::parse_time;

    fn snapshot_of(value: Value) -> BatchSnapshot {
        snapshot(serde_json::from_value(value).unwrap())
    }

    #[test]
    fn the_request_counts_decide_the_status_of_an_ended_batch() {
        for (word, cancelled_at, counts, expected) in [
            (
                "in_progress",
                Value::Null,
                json!({"processing": 2}),
                BatchStatus::InProgress,
            ),
            (
                "canceling",
                json!("2026-11-01T09:00:00Z"),
                json!({"processing": 2}),
                BatchStatus::Cancelling,
            ),
            (
                "ended",
                Value::Null,
                json!({"succeeded": 1, "errored": 1}),
                BatchStatus::Completed,
            ),
            (
                "ended",
                Value::Null,
                json!({"succeeded": 1, "expired": 1}),
                BatchStatus::Expired,
            ),
            (
                "ended",
                json!("2026-11-01T09:00:00Z"),
                json!({"succeeded": 1, "canceled": 1}),
                BatchStatus::Cancelled,
            ),
            (
                "ended",
                json!("2026-11-01T09:00:00Z"),
                json!({"succeeded": 2}),
                BatchStatus::Completed,
            ),
            (
                "napping",
                Value::Null,
                json!({}),
                BatchStatus::Unknown("napping".into()),
            ),
        ] {
            let found = snapshot_of(json!({
                "id": "b", "processing_status": word, "cancel_initiated_at": cancelled_at, "request_counts": counts,
            }));
            assert_eq!(found.status, expected);
        }
        assert!(!snapshot_of(json!({"id": "b"})).status.is_terminal());
    }

    #[test]
    fn a_snapshot_holds_the_members_of_the_batch() {
        let found = snapshot_of(json!({
            "id": "b", "type": "message_batch", "processing_status": "ended", "news": [1],
            "request_counts": {"processing": 0, "succeeded": 7, "errored": 1, "canceled": 0, "expired": 2},
            "created_at": "2026-11-01T09:00:00.123456+00:00", "expires_at": "2026-11-02T09:00:00Z",
            "ended_at": "2026-11-02T09:00:01+00:00", "archived_at": null,
        }));
        assert_eq!(
            found.counts,
            RequestCounts {
                total: Some(10),
                succeeded: 7,
                errored: 1,
                expired: 2,
                cancelled: 0
            }
        );
        assert_eq!(found.expires_at, parse_time("2026-11-02T09:00:00Z"));
        assert_eq!(found.ended_at, parse_time("2026-11-02T09:00:01Z"));
        let created = found
            .created_at
            .map(|at| at.duration_since(std::time::UNIX_EPOCH).unwrap());
        assert_eq!(created.map(|at| at.subsec_micros()), Some(123_456));
    }

    #[test]
    fn unexpected_members_do_not_make_a_status_unreadable() {
        let bare = snapshot_of(json!({"processing_status": "in_progress"}));
        for odd in lmbatch_contract::odd_values() {
            let found = snapshot_of(json!({
                "id": odd, "processing_status": "in_progress", "created_at": odd, "expires_at": odd, "ended_at": odd,
                "archived_at": odd, "cancel_initiated_at": odd, "results_url": odd, "request_counts": odd,
            }));
            // Texts may come as numbers, and so may times.
            let text = lmbatch_http::text(&odd).unwrap();
            let at = time(&text);
            let mut expected = bare.clone();
            expected.id = BatchId::new(text.unwrap_or_default());
            expected.created_at = at;
            expected.expires_at = at;
            expected.ended_at = at;
            assert_eq!(found, expected, "{odd}");
        }
        let found = snapshot_of(json!({
            "id": "b", "processing_status": "ended", "created_at": 1_764_133_200_000_u64,
            "request_counts": {"succeeded": "3", "errored": 1.0, "expired": u64::MAX, "canceled": u64::MAX},
        }));
        assert_eq!(found.created_at, parse_time("2025-11-26T05:00:00Z"));
        assert_eq!((found.counts.succeeded, found.counts.errored), (3, 1));
        assert_eq!(found.counts.total, Some(u64::MAX));
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
        }
    }

    #[test]
    fn null_equals_absent_and_unexpected_shapes_are_ignored() {
        let bare = snapshot_of(json!({"id": "b", "processing_status": "in_progress"}));
        for counts in [
            Value::Null,
            json!({}),
            json!({"processing": null}),
            json!("many"),
            json!([1]),
            json!({"processing": -1, "succeeded": 1e300}),
        ] {
            let found = snapshot_of(json!({
                "id": "b", "processing_status": "in_progress", "request_counts": counts, "created_at": "soon",
            }));
            assert_eq!(found, bare);
        }
    }
}
