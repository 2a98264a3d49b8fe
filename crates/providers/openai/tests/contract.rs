//! Contract of every adapter, with OpenAI's wire format (batch guide and API reference, 2026-11).

use std::sync::Arc;

use lmbatch_contract::wiremock::{Request, ResponseTemplate};
use lmbatch_contract::{
    Call, Described, DescribedFile, End, FullAnswer, FullRow, Part, Piece, Row, Sent, Why, Wire,
};
use lmbatch_core::{BatchId, BatchProvider, BatchStatus};
use lmbatch_openai::{Endpoint, OpenAi};
use serde_json::{Value, json};

struct OpenAiWire(Endpoint);

impl OpenAiWire {
    fn of(&self, endpoint: Endpoint, base_url: &str, key: &str) -> Arc<dyn BatchProvider> {
        let builder = OpenAi::builder().api_key(key.to_owned()).endpoint(endpoint);
        Arc::new(
            builder
                .base_url(format!("{base_url}/v1"))
                .build()
                .expect("an adapter"),
        )
    }

    fn line(id: &str, status: u16, body: &Value) -> Value {
        let response = json!({"status_code": status, "request_id": "req_1", "body": body});
        json!({"id": "batch_req_1", "custom_id": id, "response": response, "error": null})
    }
}

fn seconds(time: std::time::SystemTime) -> u64 {
    let since = time.duration_since(std::time::UNIX_EPOCH);
    since.expect("after the epoch").as_secs()
}

/// A body of `/v1/responses` (OpenAI's OpenAPI document 2.3.0, 2026-08-21). One request has one answer.
fn responses(answer: &FullAnswer) -> Option<Value> {
    if !answer.others.is_empty() {
        return None;
    }
    let mut output = Vec::new();
    for piece in &answer.pieces {
        let said = |content: Value| json!({"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [content]});
        output.push(match piece {
            Piece::Text(text) => {
                said(json!({"type": "output_text", "text": text, "annotations": []}))
            }
            Piece::Refusal(words) => said(json!({"type": "refusal", "refusal": words})),
            Piece::Thinking(text) => json!({
                "type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": text}],
            }),
            Piece::ToolCall { id, name, arguments } => json!({
                "type": "function_call", "id": "fc_1", "call_id": id, "name": name,
                "arguments": arguments.to_string(), "status": "completed",
            }),
            _ => return None,
        });
    }
    let (status, details) = match answer.end {
        End::CutOff => ("incomplete", json!({"reason": "max_output_tokens"})),
        _ => ("completed", Value::Null),
    };
    let usage = answer.usage.map(|usage| {
        json!({"input_tokens": usage.input, "output_tokens": usage.output, "total_tokens": usage.input + usage.output})
    });
    Some(json!({
        "id": answer.id, "object": "response", "status": status, "model": answer.model, "error": null,
        "incomplete_details": details, "output": output, "usage": usage,
    }))
}

/// A body of `/v1/chat/completions` (the same document). It has no thoughts.
fn chat(answer: &FullAnswer) -> Option<Value> {
    let (mut text, mut calls, mut refusal) = (Vec::new(), Vec::new(), Value::Null);
    for piece in &answer.pieces {
        match piece {
            Piece::Text(one) => text.push(one.as_str()),
            Piece::Refusal(words) => refusal = json!(words),
            Piece::ToolCall { id, name, arguments } => calls.push(json!({
                "id": id, "type": "function", "function": {"name": name, "arguments": arguments.to_string()},
            })),
            // Servers that imitate OpenAI have them (vLLM, DeepSeek).
            Piece::Thinking(_) => {}
            _ => return None,
        }
    }
    let thought = answer.pieces.iter().find_map(|piece| match piece {
        Piece::Thinking(text) => Some(text),
        _ => None,
    });
    let word = match answer.end {
        End::CutOff => "length",
        End::ToolUse => "tool_calls",
        _ => "stop",
    };
    let mut choices = vec![json!({"index": 0, "finish_reason": word, "message": {
        "role": "assistant", "content": (!text.is_empty()).then(|| text.concat()), "refusal": refusal,
        "tool_calls": (!calls.is_empty()).then_some(calls), "reasoning_content": thought,
    }})];
    choices.extend(answer.others.iter().map(|other| {
        json!({"index": 1, "finish_reason": "stop", "message": {"role": "assistant", "content": other}})
    }));
    let usage = answer
        .usage
        .map(|usage| json!({"prompt_tokens": usage.input, "completion_tokens": usage.output}));
    Some(json!({
        "id": answer.id, "object": "chat.completion", "model": answer.model, "choices": choices, "usage": usage,
    }))
}

impl Wire for OpenAiWire {
    fn adapter(&self, base_url: &str, key: &str) -> Arc<dyn BatchProvider> {
        self.of(self.0, base_url, key)
    }

    fn others(&self, base_url: &str, key: &str) -> Vec<Arc<dyn BatchProvider>> {
        [Endpoint::Responses, Endpoint::ChatCompletions]
            .map(|endpoint| self.of(endpoint, base_url, key))
            .into()
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
            ("GET", ["v1", "files"]) => Call::Files(after.map(|(_, after)| after.into_owned())),
            ("GET", ["v1", "models", _]) => Call::Probe,
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

    // "purpose: batch"; "each line: custom_id, method, url, body", the url being the endpoint of the create;
    // "a single model"; "completion_window: 24h"; "limit: 1 to 100" (API reference and batch guide, 2026-11).
    fn takes(&self, request: &Request) -> Result<(), Why> {
        let text = String::from_utf8_lossy(&request.body);
        match self.call(request) {
            Some(Call::Stage) => {
                if !text.contains("name=\"purpose\"\r\n\r\nbatch\r\n") {
                    return Err("the upload is not for a batch".into());
                }
                if !text.contains(".jsonl\"") {
                    return Err("Invalid file format for Batch API. Must be .jsonl".into());
                }
                let lines = text.split('\n').filter(|line| line.starts_with('{'));
                let lines = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
                let lines: Vec<Value> = lines.collect();
                for line in &lines {
                    let of_first =
                        |pointer: &str| line.pointer(pointer) == lines[0].pointer(pointer);
                    if line["method"] != "POST" || !of_first("/url") {
                        return Err("a line is for another endpoint".into());
                    }
                    if !line["body"]["model"].is_string() || !of_first("/body/model") {
                        return Err("a line is for another model, or for none".into());
                    }
                }
            }
            Some(Call::Create) => {
                let body: Value = request.body_json().unwrap_or_default();
                let endpoint = body["endpoint"].as_str().unwrap_or_default();
                if body["input_file_id"] != "file-input" || body["completion_window"] != "24h" {
                    return Err("the create names no input or no window".into());
                }
                if !endpoint.starts_with("/v1/") {
                    return Err(format!("there are no batches for {endpoint:?}").into());
                }
            }
            Some(Call::List(_)) => {
                let mut limits = request.url.query_pairs();
                let limit = limits.find(|(name, _)| name == "limit");
                let limit = limit.and_then(|(_, limit)| limit.parse().ok());
                if !limit.is_none_or(|limit: u32| (1..=100).contains(&limit)) {
                    return Err("limit is 1 to 100".into());
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn files(&self, files: &[DescribedFile], next: Option<&str>) -> Option<Value> {
        let shown = files.iter().map(|file| {
            json!({
                "id": file.id, "object": "file", "filename": format!("{}.jsonl", file.label), "purpose": "batch",
                "bytes": file.bytes, "created_at": seconds(file.created_at),
            })
        });
        let last = next.map(Value::from);
        Some(json!({
            "object": "list", "data": shown.collect::<Vec<_>>(), "last_id": last, "has_more": next.is_some(),
        }))
    }

    fn probed(&self) -> Option<Value> {
        Some(json!({"id": self.model(), "object": "model", "owned_by": "openai"}))
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
        let problems = batch.problems.iter().map(|words| {
            json!({"code": "invalid_json_line", "message": words, "param": null, "line": 1})
        });
        let problems: Vec<Value> = problems.collect();
        let errors = (!problems.is_empty()).then(|| json!({"object": "list", "data": problems}));
        let file = |part, id: &str| batch.has(part).then(|| id.to_owned());
        json!({
            "id": batch.id, "object": "batch", "endpoint": self.0.path(), "errors": errors,
            "input_file_id": "file-of-another", "completion_window": "24h", "status": batch.status,
            "output_file_id": file(Part::Output, "file-output"), "error_file_id": file(Part::Errors, "file-errors"),
            "created_at": seconds(batch.created_at),
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
        match row {
            Row::Succeeded(text) => {
                let body = match self.0 {
                    Endpoint::ChatCompletions => json!({
                        "id": "chatcmpl_1", "object": "chat.completion", "model": "model-x",
                        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text, "refusal": null}}],
                        "usage": {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8},
                    }),
                    _ => json!({
                        "id": "resp_1", "object": "response", "status": "completed", "model": "model-x", "error": null,
                        "output": [{"type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
                            "content": [{"type": "output_text", "text": text, "annotations": []}]}],
                        "usage": {"input_tokens": 3, "output_tokens": 5, "total_tokens": 8},
                    }),
                };
                Self::line(id, 200, &body)
            }
            Row::Errored(words) => Self::line(id, 500, &self.refusal(500, words)),
        }
    }

    fn full_row(&self, id: &str, row: &FullRow) -> Option<Value> {
        match row {
            FullRow::Answer(answer) => {
                let body = match self.0 {
                    Endpoint::ChatCompletions => chat(answer),
                    _ => responses(answer),
                };
                Some(Self::line(id, 200, &body?))
            }
            FullRow::Rejected(words) => Some(Self::line(id, 400, &self.refusal(400, words))),
            FullRow::Unknown(words) => {
                let error = json!({"code": "a_later_code", "message": words});
                Some(
                    json!({"id": "batch_req_1", "custom_id": id, "response": null, "error": error}),
                )
            }
            _ => None,
        }
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

    // Servers that imitate OpenAI leave out one or the other.
    fn refusal_may_lack(&self) -> Vec<&'static str> {
        vec!["/error/type", "/error/code"]
    }
}

lmbatch_contract::contract_tests!(OpenAiWire(Endpoint::Responses), edition = "2026-11");

mod chat_completions {
    use super::*;
    lmbatch_contract::contract_tests!(OpenAiWire(Endpoint::ChatCompletions), edition = "2026-11");
}
