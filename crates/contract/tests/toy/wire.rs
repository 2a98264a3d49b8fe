//! How Acme, a provider that does not exist, says things.

use std::sync::Arc;

use lmbatch_contract::wiremock::{Request, ResponseTemplate};
use lmbatch_contract::{Call, Described, Part, Row, Sent, Wire};
use lmbatch_core::{BatchId, BatchProvider, BatchStatus};
use serde_json::{Value, json};

use super::adapter::Acme;

/// Acme's wire, with an adapter that may break one clause.
pub(crate) struct AcmeWire(pub(crate) Option<&'static str>);

impl Wire for AcmeWire {
    fn adapter(&self, base_url: &str, key: &str) -> Arc<dyn BatchProvider> {
        Arc::new(Acme::new(base_url, key, self.0))
    }

    fn credential(&self, key: &str) -> (&'static str, String) {
        ("x-acme-key", key.to_owned())
    }

    fn call(&self, request: &Request) -> Option<Call> {
        let path: Vec<&str> = request.url.path().split('/').skip(1).collect();
        let from = request.url.query_pairs().find(|(name, _)| name == "from");
        Some(match (request.method.as_str(), &path[..]) {
            ("POST", ["inputs"]) => Call::Stage,
            ("POST", ["batches"]) => Call::Create,
            ("GET", ["batches"]) => Call::List(from.map(|(_, from)| from.into_owned())),
            ("GET", ["batches", id]) => Call::Status(BatchId::new(*id)),
            ("GET", ["batches", _, "answers"]) => Call::Read(Part::Output),
            ("GET", ["batches", _, "failures"]) => Call::Read(Part::Errors),
            ("POST", ["batches", id, "cancel"]) => Call::Cancel(BatchId::new(*id)),
            ("DELETE", ["inputs", ..]) => Call::Discard,
            _ => return None,
        })
    }

    fn staged(&self, _: &Request) -> ResponseTemplate {
        ResponseTemplate::new(200).set_body_json(json!({"input": "in-1"}))
    }

    fn sent(&self, request: &Request) -> Vec<Sent> {
        if self.call(request) != Some(Call::Stage) {
            return Vec::new();
        }
        let text = String::from_utf8_lossy(&request.body).into_owned();
        let lines = text
            .split('\n')
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let sent = lines.map(|line| Sent {
            id: line["id"].as_str().unwrap_or_default().to_owned(),
            body: line["ask"].clone(),
        });
        sent.collect()
    }

    fn deleted(&self, request: &Request) -> Value {
        json!({"input": request.url.path().rsplit('/').next(), "deleted": true})
    }

    fn label(&self, create: &Request) -> Option<String> {
        let body: Value = create.body_json().ok()?;
        Some(body["label"].as_str()?.to_owned())
    }

    fn batch(&self, batch: &Described) -> Value {
        let ended = json!("ended");
        let (word, why) = match &batch.status {
            BatchStatus::Queued => (json!("queued"), Value::Null),
            BatchStatus::InProgress => (json!("running"), Value::Null),
            BatchStatus::Cancelling => (json!("cancelling"), Value::Null),
            BatchStatus::Failed => (json!("failed"), Value::Null),
            BatchStatus::Expired => (ended, json!("expired")),
            BatchStatus::Cancelled => (ended, json!("cancelled")),
            BatchStatus::Unknown(word) => (json!(word), Value::Null),
            _ => (ended, Value::Null),
        };
        json!({
            "id": batch.id, "state": word, "why": why, "label": batch.label, "created": batch.created(),
            "counts": {"total": batch.counts.total, "done": batch.counts.succeeded, "failed": batch.counts.errored},
            "answers": batch.has(Part::Output), "failures": batch.has(Part::Errors),
        })
    }

    fn counts(&self) -> &'static str {
        "/counts"
    }

    fn statuses(&self) -> Vec<BatchStatus> {
        use BatchStatus::{Cancelled, Cancelling, Completed, Expired, Failed, InProgress, Queued};
        vec![
            Queued, InProgress, Cancelling, Completed, Failed, Expired, Cancelled,
        ]
    }

    fn words(&self) -> Vec<(&'static str, BatchStatus)> {
        vec![
            ("queued", BatchStatus::Queued),
            ("running", BatchStatus::InProgress),
            ("working", BatchStatus::InProgress),
            ("cancelling", BatchStatus::Cancelling),
            ("failed", BatchStatus::Failed),
            ("ended", BatchStatus::Completed),
        ]
    }

    fn page(&self, batches: Vec<Value>, next: Option<&str>) -> Value {
        json!({"batches": batches, "next": next})
    }

    fn row(&self, id: &str, row: &Row) -> Value {
        match row {
            Row::Succeeded(text) => json!({"id": id, "answer": text, "error": null}),
            Row::Errored(words) => json!({"id": id, "answer": null, "error": {"words": words}}),
        }
    }

    fn part(&self, row: &Row) -> Part {
        match row {
            Row::Succeeded(_) => Part::Output,
            Row::Errored(_) => Part::Errors,
        }
    }

    fn refusal(&self, status: u16, words: &str) -> Value {
        json!({"error": {"status": status, "words": words}})
    }
}
