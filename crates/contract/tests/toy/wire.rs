//! The wire format of Acme, a fictional provider.

use std::sync::Arc;

use lmbatch_contract::wiremock::{Request, ResponseTemplate};
use lmbatch_contract::{
    Call, CallKind, Described, DescribedFile, End, FullRow, ListPage, Part, Piece, Row, Sent, Why,
    Wire,
};
use lmbatch_core::{BatchId, BatchProvider, BatchStatus};
use serde_json::{Value, json};

use super::adapter::Acme;

/// Acme's wire, with an adapter that may break one clause.
pub(crate) struct AcmeWire(pub(crate) Option<&'static str>);

impl AcmeWire {
    /// Returns whether Acme shows neither counts nor the location of results, and has no expired status.
    fn is_terse(&self) -> bool {
        self.0 == Some("terse")
    }

    fn is_numbered(&self) -> bool {
        self.0.is_some_and(|mode| mode.starts_with("numbered"))
    }
}

impl Wire for AcmeWire {
    fn adapter(&self, base_url: &str, key: &str) -> Arc<dyn BatchProvider> {
        Arc::new(Acme::new(base_url, key, self.0))
    }

    fn others(&self, base_url: &str, key: &str) -> Vec<Arc<dyn BatchProvider>> {
        let breaks = match self.0 {
            Some("results are asked for by the route of the connection") => {
                Some("the results of the other route")
            }
            breaks => breaks,
        };
        vec![Arc::new(Acme::new(base_url, key, breaks))]
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
            ("GET", ["inputs"]) => Call::Files(from.map(|(_, from)| from.into_owned())),
            ("GET", ["models", _]) => Call::Probe,
            ("GET", ["batches"]) if self.is_numbered() => {
                let number = |wanted: &str| {
                    let mut pairs = request.url.query_pairs();
                    pairs.find_map(|(name, value)| (name == wanted).then(|| value.parse().ok())?)
                };
                Call::ListPage {
                    number: number("number")?,
                    size: number("size"),
                }
            }
            ("GET", ["batches"]) => Call::List(from.map(|(_, from)| from.into_owned())),
            ("GET", ["batches", id]) => Call::Status(BatchId::new(*id)),
            ("GET", ["batches", id, "answers"]) if self.is_terse() => {
                Call::ReadFile(Part::All.file_of(&BatchId::new(*id)))
            }
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

    fn takes(&self, request: &Request) -> Result<(), Why> {
        let says = |wanted: &str| {
            let mut pairs = request.url.query_pairs();
            pairs.find_map(|(name, value)| (name == wanted).then(|| value.into_owned()))
        };
        match self.call(request) {
            Some(Call::Stage) => {
                if says("purpose").as_deref() != Some("batch") {
                    return Err("the input is not for a batch".into());
                }
                if !says("name").is_some_and(|name| name.ends_with(".jsonl")) {
                    return Err("the input is no file of lines".into());
                }
                let sent = self.sent(request);
                if sent.iter().any(|sent| sent.id.chars().count() > 100) {
                    return Err("an id has 100 characters at most".into());
                }
            }
            Some(Call::Create) => {
                let body: Value = request.body_json().unwrap_or_default();
                if body["endpoint"] != "/ask" {
                    return Err(format!("there are no batches for {}", body["endpoint"]).into());
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn token(&self, create: &Request) -> Option<String> {
        let body: Value = create.body_json().ok()?;
        match &body["token"] {
            Value::Null => None,
            Value::String(token) => Some(token.clone()),
            other => Some(other.to_string()),
        }
    }

    fn list_page(&self, page: ListPage) -> Value {
        match self.is_numbered() {
            true => json!({"batches": page.batches, "total": page.total}),
            false => self.page(page.batches, page.next.as_deref()),
        }
    }

    fn files(&self, files: &[DescribedFile], next: Option<&str>) -> Option<Value> {
        let shown = files.iter().map(|file| {
            let created = lmbatch_core::format_time(file.created_at);
            json!({"id": file.id, "name": file.label, "bytes": file.bytes, "created": created})
        });
        Some(json!({"inputs": shown.collect::<Vec<_>>(), "next": next}))
    }

    fn probed(&self) -> Option<Value> {
        Some(json!({"model": self.model()}))
    }

    fn full_row(&self, id: &str, row: &FullRow) -> Option<Value> {
        let answer = match row {
            FullRow::Answer(answer) => answer,
            FullRow::Rejected(words) => {
                let error = json!({"words": words, "forever": true});
                return Some(json!({"id": id, "answer": null, "error": error}));
            }
            FullRow::Unknown(words) => {
                let error = json!({"words": words, "reason": "napping"});
                return Some(json!({"id": id, "answer": null, "error": error}));
            }
            _ => return None,
        };
        let parts = answer.pieces.iter().map(|piece| {
            Some(match piece {
                Piece::Text(text) => json!({"text": text}),
                Piece::Thinking(text) => json!({"thought": text}),
                Piece::Refusal(words) => json!({"refusal": words}),
                Piece::ToolCall {
                    id,
                    name,
                    arguments,
                } => {
                    json!({"call": {"id": id, "name": name, "arguments": arguments}})
                }
                _ => return None,
            })
        });
        let parts = parts.collect::<Option<Vec<Value>>>()?;
        let end = match answer.end {
            End::CutOff => "length",
            End::ToolUse => "tool",
            End::Refused => "refusal",
            _ => "stop",
        };
        let said = json!({
            "id": answer.id, "model": answer.model, "parts": parts, "others": answer.others, "end": end,
            "read": answer.usage.map(|usage| usage.input), "written": answer.usage.map(|usage| usage.output),
        });
        Some(json!({"id": id, "answer": said, "error": null}))
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
        if self.is_terse() {
            let created = batch.created();
            return json!({"id": batch.id, "state": word, "why": why, "label": batch.label, "created": created,
                "problems": batch.problems});
        }
        json!({
            "id": batch.id, "state": word, "why": why, "label": batch.label, "created": batch.created(),
            "counts": {"total": batch.counts.total, "done": batch.counts.succeeded, "failed": batch.counts.errored},
            "answers": batch.has(Part::Output), "failures": batch.has(Part::Errors),
            "problems": batch.problems,
        })
    }

    fn counts(&self) -> &'static str {
        match self.is_terse() {
            true => "",
            false => "/counts",
        }
    }

    fn shows_results(&self) -> bool {
        !self.is_terse()
    }

    fn refusal_of(&self, call: CallKind, status: u16, words: &str) -> Value {
        let mut refusal = self.refusal(status, words);
        refusal["error"]["of"] = json!(format!("{call:?}"));
        refusal
    }

    fn refusal_may_lack(&self) -> Vec<&'static str> {
        vec!["/error/of"]
    }

    fn statuses(&self) -> Vec<BatchStatus> {
        use BatchStatus::{Cancelled, Cancelling, Completed, Expired, Failed, InProgress, Queued};
        let mut all = vec![
            Queued, InProgress, Cancelling, Completed, Failed, Expired, Cancelled,
        ];
        all.retain(|status| *status != Expired || !self.is_terse());
        all
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
            _ if self.is_terse() => Part::All,
            Row::Succeeded(_) => Part::Output,
            Row::Errored(_) => Part::Errors,
        }
    }

    fn refusal(&self, status: u16, words: &str) -> Value {
        json!({"error": {"status": status, "words": words}})
    }
}
