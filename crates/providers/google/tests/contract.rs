//! Contract of every adapter, with Google's wire format (batch guide of 2026-02-19, recorded traffic of
//! 2026-08-19), by either of its routes.

use std::sync::Arc;

use lmbatch_contract::wiremock::{Request, ResponseTemplate};
use lmbatch_contract::{
    Call, Described, DescribedFile, End, FullRow, Part, Piece, Row, Sent, Shape, Why, Wire,
};
use lmbatch_core::{BatchId, BatchProvider, BatchStatus};
use lmbatch_google::{Google, Route};
use serde_json::{Value, json};

struct GoogleWire(Route);

impl GoogleWire {
    fn of(&self, route: Route, base_url: &str, key: &str) -> Arc<dyn BatchProvider> {
        let builder = Google::builder().api_key(key.to_owned()).route(route);
        Arc::new(builder.base_url(base_url).build().expect("an adapter"))
    }

    fn line(&self, id: &str, name: &str, said: &Value) -> Value {
        match self.0 {
            Route::File => json!({"key": id, (name): said}),
            Route::Inline => json!({"metadata": {"key": id}, (name): said}),
        }
    }

    fn is_inline(&self) -> bool {
        self.0 == Route::Inline
    }
}

impl Wire for GoogleWire {
    fn adapter(&self, base_url: &str, key: &str) -> Arc<dyn BatchProvider> {
        self.of(self.0, base_url, key)
    }

    fn others(&self, base_url: &str, key: &str) -> Vec<Arc<dyn BatchProvider>> {
        [Route::File, Route::Inline]
            .map(|route| self.of(route, base_url, key))
            .into()
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
            ("GET", None) if path.starts_with("models/") => Call::Probe,
            ("GET", None) if path == "files" => {
                Call::Files(page.map(|(_, page)| page.into_owned()))
            }
            ("GET", None) if path == "batches" => {
                Call::List(page.map(|(_, page)| page.into_owned()))
            }
            ("GET", Some(id)) => Call::Status(BatchId::new(id)),
            ("POST", Some(id)) if path.ends_with(":cancel") => Call::Cancel(BatchId::new(id)),
            ("DELETE", _) => Call::Discard,
            _ => return None,
        })
    }

    // "displayName, model and inputConfig"; "each request: contents"; "pageSize: at most 1000" (batch guide,
    // 2026-02-19, and API reference, 2026).
    fn takes(&self, request: &Request) -> Result<(), Why> {
        if self
            .sent(request)
            .iter()
            .any(|sent| !sent.body["contents"].is_array())
        {
            return Err("contents is not specified".into());
        }
        if self.call(request) == Some(Call::Create) {
            let body: Value = request.body_json().unwrap_or_default();
            let input = &body["batch"]["inputConfig"];
            let file = input["fileName"].is_string();
            if file == self.is_inline() || file == input["requests"].is_object() {
                return Err("the create has no input, or two".into());
            }
        }
        Ok(())
    }

    fn files(&self, files: &[DescribedFile], next: Option<&str>) -> Option<Value> {
        let shown = files.iter().map(|file| {
            json!({
                "name": file.id, "displayName": file.label, "sizeBytes": file.bytes.to_string(), "state": "ACTIVE",
                "createTime": lmbatch_core::format_time(file.created_at),
            })
        });
        Some(json!({"files": shown.collect::<Vec<_>>(), "nextPageToken": next}))
    }

    fn probed(&self) -> Option<Value> {
        Some(json!({"name": "models/model-x", "displayName": "X"}))
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
        let error = batch.problems.first();
        let error = error.map(|words| json!({"code": 3, "message": words}));
        json!({
            "name": batch.id, "done": batch.status.is_terminal(), "response": output, "error": error,
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
        self.line(id, name, &said)
    }

    // "parts: text, thought, functionCall"; "finishReason: STOP, MAX_TOKENS, SAFETY" (google-genai 3.4.0, 2026-11).
    fn full_row(&self, id: &str, row: &FullRow) -> Option<Value> {
        let answer = match row {
            FullRow::Answer(answer) => answer,
            FullRow::Rejected(words) => {
                return Some(self.line(id, "error", &json!({"code": 3, "message": words})));
            }
            FullRow::Unknown(words) => {
                return Some(self.line(id, "error", &json!({"code": 99, "message": words})));
            }
            _ => return None,
        };
        let mut parts = Vec::new();
        for piece in &answer.pieces {
            parts.push(match piece {
                Piece::Text(text) => json!({"text": text}),
                Piece::Thinking(text) => json!({"text": text, "thought": true}),
                Piece::ToolCall {
                    id,
                    name,
                    arguments,
                } => {
                    json!({"functionCall": {"id": id, "name": name, "args": arguments}})
                }
                // A refusal has no words: the candidate is stopped.
                Piece::Refusal(_) => continue,
                _ => return None,
            });
        }
        let reason = match answer.end {
            End::CutOff => "MAX_TOKENS",
            End::Refused => "SAFETY",
            _ => "STOP",
        };
        let content = json!({"role": "model", "parts": parts});
        let mut candidates = vec![json!({"content": content, "finishReason": reason, "index": 0})];
        candidates.extend(answer.others.iter().map(|other| {
            let content = json!({"role": "model", "parts": [{"text": other}]});
            json!({"content": content, "finishReason": "STOP", "index": 1})
        }));
        let usage = answer.usage.map(
            |usage| json!({"promptTokenCount": usage.input, "candidatesTokenCount": usage.output}),
        );
        let said = json!({
            "candidates": candidates, "usageMetadata": usage, "modelVersion": answer.model, "responseId": answer.id,
        });
        Some(self.line(id, "response", &said))
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

#[tokio::test]
async fn a_class_of_another_route_is_an_error_only_where_no_row_could_be_read() {
    use lmbatch_contract::wiremock::{Mock, MockServer, matchers::any};
    let (file, inline) = (json!({"fileName": "files/x"}), json!({"requests": {}}));
    let rows = json!({"inlinedResponses": {"inlinedResponses": []}});
    let error = Err(lmbatch_core::ErrorKind::InvalidInput);
    for (route, state, input, response, expected) in [
        ("file", "SUCCEEDED", &file, json!(null), Ok(0)),
        ("inline", "SUCCEEDED", &inline, json!(null), Ok(0)),
        ("inline", "SUCCEEDED", &json!("odd"), json!(null), Ok(0)),
        (
            "inline",
            "SUCCEEDED",
            &json!({"fileName": ""}),
            json!(null),
            Ok(0),
        ),
        ("inline", "RUNNING", &file, json!(null), Ok(0)),
        (
            "inline",
            "SUCCEEDED",
            &file,
            json!({"responsesFile": "files/o"}),
            Ok(1),
        ),
        ("file", "SUCCEEDED", &inline, rows, Ok(1)),
        ("inline", "SUCCEEDED", &file, json!(null), error),
        ("file", "SUCCEEDED", &inline, json!(null), error),
    ] {
        let mock = MockServer::start().await;
        let body = json!({"name": "batches/b", "response": response, "metadata": {
            "state": format!("BATCH_STATE_{state}"), "inputConfig": input,
        }});
        let answer = ResponseTemplate::new(200).set_body_json(body);
        Mock::given(any()).respond_with(answer).mount(&mock).await;
        let adapter = GoogleWire(Route::File).adapter(&mock.uri(), "k");
        let class = lmbatch_core::BatchClass::new("generateContent", route);
        let id = BatchId::new("batches/b");
        let found = adapter.results(Some(&class), &id).await;
        let found = found.map(|set| set.parts.len());
        let found = found.map_err(|error| {
            assert_eq!(error.batch(), Some(&id));
            error.kind()
        });
        assert_eq!(found, expected, "{route} {state} {input}");
        let by_id = adapter.results(None, &id).await.unwrap();
        assert_eq!(by_id.parts.len(), usize::from(expected == Ok(1)));
    }
}

mod by_file {
    use super::*;
    lmbatch_contract::contract_tests!(GoogleWire(Route::File), edition = "2026-11");
}

mod inline {
    use super::*;
    lmbatch_contract::contract_tests!(GoogleWire(Route::Inline), edition = "2026-11");
}
