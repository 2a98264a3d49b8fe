//! What every adapter must do, in Google's words (batch guide of 2026-02-19, recorded traffic of
//! 2026-08-19), by either of its routes.

use std::sync::Arc;

use lmbatch_contract::wiremock::{Request, ResponseTemplate};
use lmbatch_contract::{Call, Described, Part, Row, Sent, Shape, Wire};
use lmbatch_core::{BatchId, BatchProvider, BatchStatus};
use lmbatch_google::{Google, Route};
use serde_json::{Value, json};

struct GoogleWire(Route);

impl GoogleWire {
    fn is_inline(&self) -> bool {
        self.0 == Route::Inline
    }
}

impl Wire for GoogleWire {
    fn adapter(&self, base_url: &str, key: &str) -> Arc<dyn BatchProvider> {
        let builder = Google::builder().api_key(key.to_owned()).route(self.0);
        Arc::new(builder.base_url(base_url).build().expect("an adapter"))
    }

    fn credential(&self, key: &str) -> (&'static str, String) {
        ("x-goog-api-key", key.to_owned())
    }

    fn batch_id(&self, number: u32) -> BatchId {
        BatchId::new(format!("batches/{number}"))
    }

    fn call(&self, request: &Request) -> Option<Call> {
        let path = request.url.path();
        let page = request
            .url
            .query_pairs()
            .find(|(name, _)| name == "pageToken");
        if path.starts_with("/upload/v1beta/files") {
            return Some(Call::Stage);
        }
        if path.starts_with("/download/v1beta/files/") {
            return Some(Call::Read(Part::All));
        }
        let path = path.strip_prefix("/v1beta/")?;
        let batch = path
            .starts_with("batches/")
            .then(|| path.split(':').next().unwrap_or(path));
        Some(match (request.method.as_str(), batch) {
            ("POST", None) if path.ends_with(":batchGenerateContent") => Call::Create,
            ("GET", None) if path == "batches" => {
                Call::List(page.map(|(_, page)| page.into_owned()))
            }
            ("GET", Some(id)) => Call::Status(BatchId::new(id)),
            ("POST", Some(id)) if path.ends_with(":cancel") => Call::Cancel(BatchId::new(id)),
            ("DELETE", _) => Call::Discard,
            _ => return None,
        })
    }

    /// A session is opened, then the file goes into it.
    fn staged(&self, request: &Request) -> ResponseTemplate {
        let file = json!({"file": {"name": "files/input", "state": "ACTIVE"}});
        match request.url.query() {
            None => ResponseTemplate::new(200)
                .insert_header("x-goog-upload-url", "/upload/v1beta/files?upload_id=1"),
            Some(_) => ResponseTemplate::new(200)
                .insert_header("x-goog-upload-status", "final")
                .set_body_json(file),
        }
    }

    fn sent(&self, request: &Request) -> Vec<Sent> {
        let text = String::from_utf8_lossy(&request.body).into_owned();
        let rows: Vec<Value> = match self.call(request) {
            Some(Call::Stage) if request.url.query().is_some() => text
                .split('\n')
                .filter_map(|line| serde_json::from_str(line).ok())
                .collect(),
            Some(Call::Create) => {
                let body: Value = serde_json::from_str(&text).unwrap_or_default();
                let rows = body.pointer("/batch/inputConfig/requests/requests");
                rows.and_then(Value::as_array).cloned().unwrap_or_default()
            }
            _ => return Vec::new(),
        };
        let sent = rows.into_iter().map(|row| {
            let id = row.get("key").or_else(|| row.pointer("/metadata/key"));
            Sent {
                id: id.and_then(Value::as_str).unwrap_or_default().to_owned(),
                body: row["request"].clone(),
            }
        });
        sent.collect()
    }

    fn label(&self, create: &Request) -> Option<String> {
        let body: Value = create.body_json().ok()?;
        Some(body["batch"]["displayName"].as_str()?.to_owned())
    }

    fn batch(&self, batch: &Described) -> Value {
        let word = match &batch.status {
            BatchStatus::Queued => "BATCH_STATE_PENDING",
            BatchStatus::InProgress | BatchStatus::Cancelling => "BATCH_STATE_RUNNING",
            BatchStatus::Completed => "BATCH_STATE_SUCCEEDED",
            BatchStatus::Failed => "BATCH_STATE_FAILED",
            BatchStatus::Cancelled => "BATCH_STATE_CANCELLED",
            BatchStatus::Expired => "BATCH_STATE_EXPIRED",
            BatchStatus::Unknown(word) => word,
            other => panic!("google has no word for {other}"),
        };
        let output = batch.has(Part::All).then(|| match self.0 {
            Route::File => json!({"responsesFile": "files/output"}),
            Route::Inline => json!({"inlinedResponses": {"inlinedResponses": batch.rows()}}),
        });
        // Counts are strings, and absent where they are zero.
        let count = |count: u64| (count > 0).then(|| count.to_string());
        json!({
            "name": batch.id, "done": batch.status.is_terminal(), "response": output,
            "metadata": {
                "@type": "type.googleapis.com/google.ai.generativelanguage.v1main.GenerateContentBatch",
                "model": "models/model-x", "displayName": batch.label, "state": word, "name": batch.id,
                "createTime": batch.created(), "output": output,
                "batchStats": {
                    "requestCount": count(batch.counts.total.unwrap_or(0)),
                    "successfulRequestCount": count(batch.counts.succeeded),
                    "failedRequestCount": count(batch.counts.errored),
                },
            },
        })
    }

    fn counts(&self) -> &'static str {
        "/metadata/batchStats"
    }

    fn statuses(&self) -> Vec<BatchStatus> {
        self.words().into_iter().map(|(_, status)| status).collect()
    }

    // "BatchState" (API reference, 2026). Nothing says that a batch is being cancelled.
    fn words(&self) -> Vec<(&'static str, BatchStatus)> {
        vec![
            ("BATCH_STATE_PENDING", BatchStatus::Queued),
            ("BATCH_STATE_RUNNING", BatchStatus::InProgress),
            ("BATCH_STATE_SUCCEEDED", BatchStatus::Completed),
            ("BATCH_STATE_FAILED", BatchStatus::Failed),
            ("BATCH_STATE_CANCELLED", BatchStatus::Cancelled),
            ("BATCH_STATE_EXPIRED", BatchStatus::Expired),
        ]
    }

    fn page(&self, batches: Vec<Value>, next: Option<&str>) -> Value {
        json!({"operations": batches, "nextPageToken": next})
    }

    fn row(&self, id: &str, row: &Row) -> Value {
        let (name, said) = match row {
            Row::Succeeded(text) => (
                "response",
                json!({
                    "candidates": [{"content": {"role": "model", "parts": [{"text": text}]}, "finishReason": "STOP", "index": 0}],
                    "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 5, "totalTokenCount": 8},
                    "modelVersion": "model-x", "responseId": "r1",
                }),
            ),
            Row::Errored(words) => ("error", json!({"code": 13, "message": words})),
        };
        match self.0 {
            Route::File => json!({"key": id, (name): said}),
            Route::Inline => json!({"metadata": {"key": id}, (name): said}),
        }
    }

    fn shape(&self) -> Shape {
        match self.is_inline() {
            true => Shape::Document,
            false => Shape::Lines,
        }
    }

    fn refusal(&self, status: u16, words: &str) -> Value {
        let word = match status {
            400 => Some("INVALID_ARGUMENT"),
            401 => Some("UNAUTHENTICATED"),
            403 => Some("PERMISSION_DENIED"),
            404 => Some("NOT_FOUND"),
            409 => Some("ABORTED"),
            429 => Some("RESOURCE_EXHAUSTED"),
            402 | 405..=431 if status != 408 => Some("INVALID_ARGUMENT"),
            500 => Some("INTERNAL"),
            503 => Some("UNAVAILABLE"),
            // What comes from before the API has no word of its own.
            _ => None,
        };
        json!({"error": {"code": status, "message": words, "status": word}})
    }

    fn cancel_of_ended(&self) -> u16 {
        400
    }
}

mod by_file {
    use super::*;
    lmbatch_contract::contract_tests!(GoogleWire(Route::File));
}

mod inline {
    use super::*;
    lmbatch_contract::contract_tests!(GoogleWire(Route::Inline));
}
