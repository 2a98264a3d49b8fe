//! What every adapter must do, in Acme's words, by either of its routes.

use std::sync::Arc;

use lmbatch_contract::wiremock::{Request, ResponseTemplate};
use lmbatch_contract::{Call, Described, End, FullRow, Part, Piece, Row, Sent, Shape, Why, Wire};
use lmbatch_core::{BatchId, BatchProvider, BatchStatus, Connection, ProviderFactory as _};
use serde_json::{Value, json};

/// Acme by one of its routes.
struct AcmeWire(&'static str);

fn connect(base_url: &str, key: &str, route: &'static str) -> Arc<dyn BatchProvider> {
    let connection = Connection {
        key: key.to_owned(),
        base_url: Some(base_url.to_owned()),
        route,
    };
    let adapter = acme_batch::factory().connect(connection);
    adapter.expect("an adapter")
}

impl Wire for AcmeWire {
    fn adapter(&self, base_url: &str, key: &str) -> Arc<dyn BatchProvider> {
        connect(base_url, key, self.0)
    }

    fn others(&self, base_url: &str, key: &str) -> Vec<Arc<dyn BatchProvider>> {
        ["file", "inline"]
            .map(|route| connect(base_url, key, route))
            .into()
    }

    fn credential(&self, key: &str) -> (&'static str, String) {
        ("x-acme-key", key.to_owned())
    }

    fn call(&self, request: &Request) -> Option<Call> {
        let path: Vec<&str> = request.url.path().split('/').skip(1).collect();
        let from = request.url.query_pairs().find(|(name, _)| name == "from");
        Some(match (request.method.as_str(), &path[..]) {
            ("POST", ["files"]) => Call::Stage,
            ("POST", ["batches"]) => Call::Create,
            ("GET", ["batches"]) => Call::List(from.map(|(_, from)| from.into_owned())),
            ("GET", ["batches", id]) => Call::Status(BatchId::new(*id)),
            ("POST", ["batches", id, "cancel"]) => Call::Cancel(BatchId::new(*id)),
            ("GET", ["files", _, "content"]) => Call::Read(Part::All),
            ("DELETE", ["files", ..]) => Call::Discard,
            _ => return None,
        })
    }

    fn staged(&self, _: &Request) -> ResponseTemplate {
        ResponseTemplate::new(200).set_body_json(json!({"id": "file-1"}))
    }

    fn deleted(&self, request: &Request) -> Value {
        json!({"id": request.url.path().rsplit('/').next(), "deleted": true})
    }

    fn takes(&self, request: &Request) -> Result<(), Why> {
        for sent in self.sent(request) {
            if !(1..=64).contains(&sent.id.len()) {
                return Err("an id has 1 to 64 characters".into());
            }
            if !sent.body["model"].is_string() {
                return Err("a request names its model".into());
            }
        }
        Ok(())
    }

    /// A line of the upload, or an element of the create's body.
    fn sent(&self, request: &Request) -> Vec<Sent> {
        let lines: Vec<Value> = match self.call(request) {
            Some(Call::Stage) => String::from_utf8_lossy(&request.body)
                .split('\n')
                .filter_map(|line| serde_json::from_str(line).ok())
                .collect(),
            Some(Call::Create) => {
                let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
                body["requests"].as_array().cloned().unwrap_or_default()
            }
            _ => Vec::new(),
        };
        let sent = lines.into_iter().map(|line| Sent {
            id: line["id"].as_str().unwrap_or_default().to_owned(),
            body: line["request"].clone(),
        });
        sent.collect()
    }

    fn label(&self, create: &Request) -> Option<String> {
        let body: Value = create.body_json().ok()?;
        Some(body["label"].as_str()?.to_owned())
    }

    fn batch(&self, batch: &Described) -> Value {
        let word = match &batch.status {
            BatchStatus::InProgress => "running",
            BatchStatus::Completed => "ended",
            // The rest are lmbatch's own words.
            other => other.as_str(),
        };
        let has = batch.has(Part::All);
        json!({
            "id": batch.id, "state": word, "label": batch.label, "created": batch.created(),
            "counts": {"total": batch.counts.total, "answered": batch.counts.succeeded, "failed": batch.counts.errored},
            "output": (has && self.shape() == Shape::Lines).then_some("file-2"),
            "results": (has && self.shape() == Shape::Document).then(|| batch.rows()),
        })
    }

    fn counts(&self) -> &'static str {
        "/counts"
    }

    fn statuses(&self) -> Vec<BatchStatus> {
        self.words().into_iter().map(|(_, status)| status).collect()
    }

    fn words(&self) -> Vec<(&'static str, BatchStatus)> {
        vec![
            ("running", BatchStatus::InProgress),
            ("cancelling", BatchStatus::Cancelling),
            ("ended", BatchStatus::Completed),
            ("failed", BatchStatus::Failed),
            ("expired", BatchStatus::Expired),
            ("cancelled", BatchStatus::Cancelled),
        ]
    }

    fn page(&self, batches: Vec<Value>, next: Option<&str>) -> Value {
        json!({"batches": batches, "next": next})
    }

    fn row(&self, id: &str, row: &Row) -> Value {
        match row {
            Row::Succeeded(text) => {
                json!({"id": id, "answer": text, "end": "full_stop", "error": null})
            }
            Row::Errored(words) => json!({
                "id": id, "answer": null, "error": {"code": "broken", "message": words},
            }),
        }
    }

    /// Acme says a text and why it ended, and nothing else.
    fn full_row(&self, id: &str, row: &FullRow) -> Option<Value> {
        let answer = match row {
            FullRow::Answer(answer) => answer,
            FullRow::Rejected(words) => {
                let error = json!({"code": "too_long", "message": words});
                return Some(json!({"id": id, "answer": null, "error": error}));
            }
            _ => return None,
        };
        let more = answer.usage.is_some() || answer.model.is_some() || answer.id.is_some();
        let end = match answer.end {
            End::Complete => "full_stop",
            End::CutOff => "token_limit",
            _ => return None,
        };
        match answer.pieces.as_slice() {
            [Piece::Text(text)] if !more && answer.others.is_empty() => {
                Some(json!({"id": id, "answer": text, "end": end, "error": null}))
            }
            _ => None,
        }
    }

    fn shape(&self) -> Shape {
        match self.0 {
            "inline" => Shape::Document,
            _ => Shape::Lines,
        }
    }

    fn refusal(&self, status: u16, words: &str) -> Value {
        let code = match status {
            401 | 403 => Some("bad_key"),
            404 => Some("not_found"),
            // What comes from before the API has no code.
            _ => None,
        };
        json!({"error": {"code": code, "message": words}})
    }
}

mod by_file {
    use super::*;
    lmbatch_contract::contract_tests!(AcmeWire("file"), edition = "2026-11");
}

mod inline {
    use super::*;
    lmbatch_contract::contract_tests!(AcmeWire("inline"), edition = "2026-11");
}
