//! What every adapter must do, in OpenAI's words (batch guide and API reference, 2026-11).

use std::sync::Arc;

use lmbatch_contract::wiremock::{Request, ResponseTemplate};
use lmbatch_contract::{Call, Described, Part, Row, Sent, Wire};
use lmbatch_core::{BatchId, BatchProvider, BatchStatus};
use lmbatch_openai::OpenAi;
use serde_json::{Value, json};

struct OpenAiWire;

impl Wire for OpenAiWire {
    fn adapter(&self, base_url: &str, key: &str) -> Arc<dyn BatchProvider> {
        let builder = OpenAi::builder().api_key(key.to_owned());
        Arc::new(
            builder
                .base_url(format!("{base_url}/v1"))
                .build()
                .expect("an adapter"),
        )
    }

    fn credential(&self, key: &str) -> (&'static str, String) {
        ("authorization", format!("Bearer {key}"))
    }

    fn batch_id(&self, number: u32) -> BatchId {
        BatchId::new(format!("batch_{number}"))
    }

    fn call(&self, request: &Request) -> Option<Call> {
        let path: Vec<&str> = request.url.path().split('/').skip(1).collect();
        let after = request.url.query_pairs().find(|(name, _)| name == "after");
        Some(match (request.method.as_str(), &path[..]) {
            ("POST", ["v1", "files"]) => Call::Stage,
            ("POST", ["v1", "batches"]) => Call::Create,
            ("GET", ["v1", "batches"]) => Call::List(after.map(|(_, after)| after.into_owned())),
            ("GET", ["v1", "batches", id]) => Call::Status(BatchId::new(*id)),
            ("POST", ["v1", "batches", id, "cancel"]) => Call::Cancel(BatchId::new(*id)),
            ("GET", ["v1", "files", "file-output", "content"]) => Call::Read(Part::Output),
            ("GET", ["v1", "files", "file-errors", "content"]) => Call::Read(Part::Errors),
            ("DELETE", ["v1", "files", _]) => Call::Discard,
            _ => return None,
        })
    }

    fn staged(&self, _: &Request) -> ResponseTemplate {
        ResponseTemplate::new(200).set_body_json(json!({"id": "file-input", "object": "file"}))
    }

    // "{ id, object: file, deleted: true }" (API reference, 2026-11).
    fn deleted(&self, request: &Request) -> Value {
        json!({"id": request.url.path().rsplit('/').next(), "object": "file", "deleted": true})
    }

    /// The lines of the one file in the form.
    fn sent(&self, request: &Request) -> Vec<Sent> {
        if self.call(request) != Some(Call::Stage) {
            return Vec::new();
        }
        let form = String::from_utf8_lossy(&request.body).into_owned();
        let lines = form.split('\n').filter(|line| line.starts_with('{'));
        let sent = lines.filter_map(|line| {
            let line: Value = serde_json::from_str(line).ok()?;
            let id = line["custom_id"].as_str()?.to_owned();
            Some(Sent {
                id,
                body: line["body"].clone(),
            })
        });
        sent.collect()
    }

    fn label(&self, create: &Request) -> Option<String> {
        let body: Value = create.body_json().ok()?;
        Some(body["metadata"]["lmbatch"].as_str()?.to_owned())
    }

    fn batch(&self, batch: &Described) -> Value {
        let created = batch.created_at.duration_since(std::time::UNIX_EPOCH);
        let file = |part, id: &str| batch.has(part).then(|| id.to_owned());
        json!({
            "id": batch.id, "object": "batch", "endpoint": "/v1/responses", "errors": null,
            "input_file_id": "file-of-another", "completion_window": "24h", "status": batch.status,
            "output_file_id": file(Part::Output, "file-output"), "error_file_id": file(Part::Errors, "file-errors"),
            "created_at": created.expect("after the epoch").as_secs(),
            "request_counts": {"total": batch.counts.total, "completed": batch.counts.succeeded, "failed": batch.counts.errored},
            "metadata": {"lmbatch": batch.label},
        })
    }

    fn counts(&self) -> &'static str {
        "/request_counts"
    }

    fn statuses(&self) -> Vec<BatchStatus> {
        self.words().into_iter().map(|(_, status)| status).collect()
    }

    // "status: validating, failed, in_progress, finalizing, completed, expired, cancelling, cancelled"
    // (API reference, 2026-11).
    fn words(&self) -> Vec<(&'static str, BatchStatus)> {
        vec![
            ("validating", BatchStatus::Validating),
            ("failed", BatchStatus::Failed),
            ("in_progress", BatchStatus::InProgress),
            ("finalizing", BatchStatus::Finalizing),
            ("completed", BatchStatus::Completed),
            ("expired", BatchStatus::Expired),
            ("cancelling", BatchStatus::Cancelling),
            ("cancelled", BatchStatus::Cancelled),
        ]
    }

    fn page(&self, batches: Vec<Value>, next: Option<&str>) -> Value {
        let last = batches.last().map(|batch| batch["id"].clone());
        let last = next.map(Value::from).or(last);
        json!({"object": "list", "data": batches, "last_id": last, "has_more": next.is_some()})
    }

    fn row(&self, id: &str, row: &Row) -> Value {
        let (status, body) = match row {
            Row::Succeeded(text) => (
                200,
                json!({
                    "id": "resp_1", "object": "response", "status": "completed", "model": "model-x", "error": null,
                    "output": [{"type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
                        "content": [{"type": "output_text", "text": text, "annotations": []}]}],
                    "usage": {"input_tokens": 3, "output_tokens": 5, "total_tokens": 8},
                }),
            ),
            Row::Errored(words) => (500, self.refusal(500, words)),
        };
        let response = json!({"status_code": status, "request_id": "req_1", "body": body});
        json!({"id": "batch_req_1", "custom_id": id, "response": response, "error": null})
    }

    fn part(&self, row: &Row) -> Part {
        match row {
            Row::Succeeded(_) => Part::Output,
            Row::Errored(_) => Part::Errors,
        }
    }

    fn refusal(&self, status: u16, words: &str) -> Value {
        let (kind, code) = match status {
            401 => ("invalid_request_error", Some("invalid_api_key")),
            429 => ("requests", Some("rate_limit_exceeded")),
            500.. => ("server_error", None),
            _ => ("invalid_request_error", None),
        };
        json!({"error": {"message": words, "type": kind, "param": null, "code": code}})
    }
}

lmbatch_contract::contract_tests!(OpenAiWire);
