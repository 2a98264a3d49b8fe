//! Contract of every adapter, with Anthropic's wire format (Message Batches reference, 2026-08).

use std::sync::Arc;

use lmbatch_anthropic::Anthropic;
use lmbatch_contract::wiremock::Request;
use lmbatch_contract::{Call, Described, End, FullRow, Part, Piece, Row, Sent, Why, Wire};
use lmbatch_core::{BatchId, BatchProvider, BatchStatus};
use serde_json::{Value, json};

struct AnthropicWire;

impl Wire for AnthropicWire {
    fn adapter(&self, base_url: &str, key: &str) -> Arc<dyn BatchProvider> {
        let builder = Anthropic::builder().api_key(key.to_owned());
        Arc::new(builder.base_url(base_url).build().expect("an adapter"))
    }

    fn credential(&self, key: &str) -> (&'static str, String) {
        ("x-api-key", key.to_owned())
    }

    fn batch_id(&self, number: u32) -> BatchId {
        BatchId::new(format!("msgbatch_{number}"))
    }

    fn call(&self, request: &Request) -> Option<Call> {
        if request.url.path().starts_with("/v1/models/") {
            return Some(Call::Probe);
        }
        let path = request.url.path().strip_prefix("/v1/messages/batches")?;
        let path: Vec<&str> = path.split('/').skip(1).collect();
        let after = request
            .url
            .query_pairs()
            .find(|(name, _)| name == "after_id");
        Some(match (request.method.as_str(), &path[..]) {
            ("POST", []) => Call::Create,
            ("GET", []) => Call::List(after.map(|(_, after)| after.into_owned())),
            ("GET", [id]) => Call::Status(BatchId::new(*id)),
            ("GET", [_, "results"]) => Call::Read(Part::All),
            ("POST", [id, "cancel"]) => Call::Cancel(BatchId::new(*id)),
            ("DELETE", [_]) => Call::Discard,
            _ => return None,
        })
    }

    // "custom_id: ^[a-zA-Z0-9_-]{1,64}$, unique"; "model, max_tokens and messages are required"; the header
    // anthropic-version is required (API reference, 2026-08).
    fn takes(&self, request: &Request) -> Result<(), Why> {
        if !request.headers.contains_key("anthropic-version") {
            return Err("anthropic-version: header is required".into());
        }
        if self.call(request) != Some(Call::Create) {
            return Ok(());
        }
        let mut ids = std::collections::BTreeSet::new();
        for sent in self.sent(request) {
            let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
            if !(1..=64).contains(&sent.id.len()) || !sent.id.chars().all(word) {
                return Err(format!("custom_id {:?} does not match", sent.id).into());
            }
            let body = &sent.body;
            if !body["model"].is_string() || body["max_tokens"].as_u64().unwrap_or(0) == 0 {
                return Err("model and max_tokens are required".into());
            }
            if !ids.insert(sent.id) {
                return Err("a custom_id comes twice".into());
            }
        }
        Ok(())
    }

    fn probed(&self) -> Option<Value> {
        Some(json!({"id": self.model(), "type": "model", "display_name": "X"}))
    }

    fn sent(&self, request: &Request) -> Vec<Sent> {
        if self.call(request) != Some(Call::Create) {
            return Vec::new();
        }
        let body: Value = request.body_json().unwrap_or_default();
        let requests = body["requests"].as_array().into_iter().flatten();
        let sent = requests.map(|request| Sent {
            id: request["custom_id"].as_str().unwrap_or_default().to_owned(),
            body: request["params"].clone(),
        });
        sent.collect()
    }

    fn batch(&self, batch: &Described) -> Value {
        let (word, cancelled) = match &batch.status {
            BatchStatus::InProgress => ("in_progress", false),
            BatchStatus::Cancelling => ("canceling", true),
            BatchStatus::Cancelled => ("ended", true),
            BatchStatus::Unknown(word) => (word.as_str(), false),
            _ => ("ended", false),
        };
        let results = batch.has(Part::All).then(|| {
            // On the host that every batch of Anthropic's names, which is not where we are.
            format!(
                "https://api.anthropic.com/v1/messages/batches/{}/results",
                batch.id
            )
        });
        json!({
            "id": batch.id, "type": "message_batch", "processing_status": word, "archived_at": null,
            "request_counts": {
                "processing": batch.processing(), "succeeded": batch.counts.succeeded, "errored": batch.counts.errored,
                "canceled": batch.counts.cancelled, "expired": batch.counts.expired,
            },
            "created_at": batch.created(), "expires_at": batch.created(), "ended_at": null,
            "cancel_initiated_at": cancelled.then(|| batch.created()), "results_url": results,
        })
    }

    fn counts(&self) -> &'static str {
        "/request_counts"
    }

    fn statuses(&self) -> Vec<BatchStatus> {
        use BatchStatus::{Cancelled, Cancelling, Completed, Expired, InProgress};
        vec![InProgress, Cancelling, Completed, Expired, Cancelled]
    }

    // "processing_status: in_progress, canceling, ended" (API reference, 2026-08).
    fn words(&self) -> Vec<(&'static str, BatchStatus)> {
        vec![
            ("in_progress", BatchStatus::InProgress),
            ("canceling", BatchStatus::Cancelling),
            ("ended", BatchStatus::Completed),
        ]
    }

    fn page(&self, batches: Vec<Value>, next: Option<&str>) -> Value {
        let first = batches.first().map(|batch| batch["id"].clone());
        let last = batches.last().map(|batch| batch["id"].clone());
        let last = next.map(Value::from).or(last);
        json!({"data": batches, "first_id": first, "last_id": last, "has_more": next.is_some()})
    }

    fn row(&self, id: &str, row: &Row) -> Value {
        let result = match row {
            Row::Succeeded(text) => json!({"type": "succeeded", "message": {
                "id": "msg_1", "type": "message", "role": "assistant", "model": "model-x",
                "content": [{"type": "text", "text": text, "citations": null}],
                "stop_reason": "end_turn", "stop_sequence": null,
                "usage": {"input_tokens": 3, "output_tokens": 5},
            }}),
            Row::Errored(words) => json!({"type": "errored", "error": self.refusal(500, words)}),
        };
        json!({"custom_id": id, "result": result})
    }

    // "content: text, thinking, tool_use"; "stop_reason: end_turn, max_tokens, tool_use, refusal" (SDK 2.12.0,
    // 2026-11). One request has one answer.
    fn full_row(&self, id: &str, row: &FullRow) -> Option<Value> {
        let answer = match row {
            FullRow::Answer(answer) if answer.others.is_empty() => answer,
            FullRow::Rejected(words) => {
                let error = self.refusal(400, words);
                let result = json!({"type": "errored", "error": error});
                return Some(json!({"custom_id": id, "result": result}));
            }
            FullRow::Unknown(words) => {
                let error = json!({"type": "napping_error", "message": words});
                let error = json!({"type": "error", "error": error});
                let result = json!({"type": "errored", "error": error});
                return Some(json!({"custom_id": id, "result": result}));
            }
            _ => return None,
        };
        let (mut content, mut details) = (Vec::new(), Value::Null);
        for piece in &answer.pieces {
            content.push(match piece {
                Piece::Text(text) => json!({"type": "text", "text": text, "citations": null}),
                Piece::Thinking(text) => {
                    json!({"type": "thinking", "thinking": text, "signature": "c2VhbA=="})
                }
                Piece::ToolCall {
                    id,
                    name,
                    arguments,
                } => {
                    json!({"type": "tool_use", "id": id, "name": name, "input": arguments})
                }
                Piece::Refusal(words) => {
                    details = json!({"type": "refusal", "explanation": words});
                    continue;
                }
                _ => return None,
            });
        }
        let reason = match answer.end {
            End::CutOff => "max_tokens",
            End::ToolUse => "tool_use",
            End::Refused => "refusal",
            _ => "end_turn",
        };
        let usage = answer
            .usage
            .map(|usage| json!({"input_tokens": usage.input, "output_tokens": usage.output}));
        let message = json!({
            "id": answer.id, "type": "message", "role": "assistant", "model": answer.model, "content": content,
            "stop_reason": reason, "stop_details": details, "usage": usage,
        });
        let result = json!({"type": "succeeded", "message": message});
        Some(json!({"custom_id": id, "result": result}))
    }

    fn refusal(&self, status: u16, words: &str) -> Value {
        let kind = match status {
            401 => "authentication_error",
            403 => "permission_error",
            404 => "not_found_error",
            408 => "timeout_error",
            409 => "conflict_error",
            413 => "request_too_large",
            429 => "rate_limit_error",
            503 | 529 => "overloaded_error",
            500.. => "api_error",
            _ => "invalid_request_error",
        };
        json!({"type": "error", "error": {"type": kind, "message": words}, "request_id": "req_1"})
    }

    fn refusal_may_lack(&self) -> Vec<&'static str> {
        vec!["/request_id"]
    }

    fn cancel_of_ended(&self) -> u16 {
        400
    }
}

lmbatch_contract::contract_tests!(AnthropicWire, edition = "2026-11");
