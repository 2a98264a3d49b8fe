//! Wire protocol of Acme, a fictional provider. The contract tests of its adapter are held against
//! it, and the command plays Acme by it.

use std::io;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use lmbatch_contract::wiremock::{Request, ResponseTemplate};
use lmbatch_contract::{
    Call, Described, FullRow, Part, Row, Sent, Served, Shape, Why, Wire, chat_completion, chat_row,
};
use lmbatch_core::{BatchId, BatchProvider, BatchStatus, Connection, ProviderFactory as _};
use serde_json::{Value, json};

/// Acme by one of its routes, `file` or `inline`.
#[derive(Debug, Clone, Copy)]
pub struct AcmeWire(pub &'static str);

/// Plays Acme on this machine until the answer is dropped.
///
/// # Errors
/// Those of the system where no port can be had.
pub async fn serve(route: &'static str) -> io::Result<Served> {
    lmbatch_contract::serve(AcmeWire(route)).await
}

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
            ("GET", ["files", name, "content"]) => Call::ReadFile((*name).to_owned()),
            ("DELETE", ["files", ..]) => Call::Discard,
            _ => return None,
        })
    }

    fn staged_as(&self, _: &Request, file: &str) -> ResponseTemplate {
        ResponseTemplate::new(200).set_body_json(json!({"id": file}))
    }

    fn input(&self, create: &Request) -> Option<String> {
        let body: Value = create.body_json().ok()?;
        Some(body["file"].as_str()?.to_owned())
    }

    fn deleted(&self, request: &Request) -> Value {
        json!({"id": request.url.path().rsplit('/').next(), "deleted": true})
    }

    fn takes(&self, request: &Request) -> Result<(), Why> {
        let call = self.call(request);
        let text = String::from_utf8_lossy(&request.body);
        if call == Some(Call::Stage) && !text.contains("name=\"purpose\"\r\n\r\nbatch\r\n") {
            return Err("an upload has the purpose batch".into());
        }
        let body: Value = request.body_json().unwrap_or_default();
        if call == Some(Call::Create) && !body["model"].is_string() {
            return Err("a batch names its model".into());
        }
        for sent in self.sent(request) {
            if !(1..=64).contains(&sent.id.len()) {
                return Err("an id has 1 to 64 characters".into());
            }
            if !sent.body["messages"].is_array() || !sent.body["model"].is_null() {
                return Err("a request holds its messages, and no model".into());
            }
        }
        Ok(())
    }

    /// A line of the file in the form, or an element of the create's body.
    fn sent(&self, request: &Request) -> Vec<Sent> {
        let lines: Vec<Value> = match self.call(request) {
            Some(Call::Stage) => String::from_utf8_lossy(&request.body)
                .split('\n')
                .filter_map(|line| serde_json::from_str(line).ok())
                .filter(Value::is_object)
                .collect(),
            Some(Call::Create) => {
                let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
                body["requests"].as_array().cloned().unwrap_or_default()
            }
            _ => Vec::new(),
        };
        let sent = lines.into_iter().map(|line| Sent {
            id: line["custom_id"].as_str().unwrap_or_default().to_owned(),
            body: line["body"].clone(),
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
        let created = batch.created_at.duration_since(UNIX_EPOCH);
        json!({
            "id": batch.id, "state": word, "label": batch.label,
            "created": created.map(|since| since.as_secs()).unwrap_or_default(),
            "counts": {"total": batch.counts.total, "answered": batch.counts.succeeded, "failed": batch.counts.errored},
            "output": batch.file(Part::Output), "errors": batch.file(Part::Errors),
            "results": batch.has(Part::All).then(|| batch.rows()),
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
                let message = json!({"role": "assistant", "content": text});
                let body = json!({"choices": [{"message": message, "finish_reason": "stop"}]});
                chat_row(id, 200, &body)
            }
            Row::Errored(words) => chat_row(id, 500, &self.refusal(500, words)),
        }
    }

    fn full_row(&self, id: &str, row: &FullRow) -> Option<Value> {
        match row {
            FullRow::Answer(answer) => Some(chat_row(id, 200, &chat_completion(answer))),
            FullRow::Rejected(words) => Some(chat_row(id, 400, &self.refusal(400, words))),
            FullRow::Unknown(words) => {
                let error = json!({"code": "a_later_code", "message": words});
                Some(json!({"custom_id": id, "response": null, "error": error}))
            }
            _ => None,
        }
    }

    /// Answers and failures are in a file each, and in one list by the inline route.
    fn part(&self, row: &Row) -> Part {
        match (self.shape(), row) {
            (Shape::Document, _) => Part::All,
            (Shape::Lines, Row::Succeeded(_)) => Part::Output,
            (Shape::Lines, Row::Errored(_)) => Part::Errors,
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
            401 | 403 => Some("invalid_api_key"),
            404 => Some("not_found"),
            // What comes from before the API has no code.
            _ => None,
        };
        json!({"error": {"type": "acme_error", "code": code, "message": words}})
    }

    /// One of both says that the error is Acme's.
    fn refusal_may_lack(&self) -> Vec<&'static str> {
        vec!["/error/type", "/error/code"]
    }

    /// The last words of the user in capitals. The model fails at the word "fail".
    fn said(&self, request: &Sent) -> Row {
        let messages = request.body["messages"].as_array();
        let last = messages.and_then(|messages| messages.last());
        let content = last.map(|last| &last["content"]).unwrap_or(&Value::Null);
        let parts = content.as_array().into_iter().flatten();
        let parts = parts.filter_map(|part| part["text"].as_str());
        let words: String = content.as_str().into_iter().chain(parts).collect();
        match words.as_str() {
            "fail" => Row::Errored("the model has failed".to_owned()),
            words => Row::Succeeded(words.to_uppercase()),
        }
    }
}
