//! Batches: the create carries all requests, and one stream carries all results.

use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::io::{BufReader, BufWriter, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::response::Response;
use futures::StreamExt as _;
use serde::Deserializer as _;
use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use super::dialect::DIALECT;
use super::errors::{authorise, error, invalid, json as answer, too_large};
use super::{answer as message, lines};
use crate::batch;
use crate::exchange::parameter;
use crate::model;
use crate::names::ANTHROPIC;
use crate::state::{Batch, Phase, State};

/// "100,000 requests or 256 MB, whichever comes first" (batch guide, 2026-08).
const MAX_REQUESTS: u64 = 100_000;
const MAX_BYTES: u64 = 256 << 20;

/// "available for 29 days after creation" (batch guide, 2026-08).
const KEPT: Duration = Duration::from_secs(29 * 24 * 3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

pub(super) async fn create(state: &Arc<State>, request: Request) -> Response {
    if let Err(refusal) = authorise(&request) {
        return *refusal;
    }
    let header = request.headers().get("anthropic-version");
    let version = header
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
        .to_owned();
    let host = host(&request);
    let id = state.lock().id("msgbatch_");
    let (body, input) = (format!("{id}.body"), format!("{id}.input"));
    match receive(&state.path(&body), request).await {
        Ok(true) => {}
        Ok(false) => return too_large(),
        Err(_) => return invalid("the body was cut short"),
    }
    let read = read(&state.path(&body), &state.path(&input), &version);
    // A file that cannot be removed is removed with the folder.
    let _ = std::fs::remove_file(state.path(&body));
    let requests = match read {
        Ok(requests) => requests,
        Err(message) => return invalid(&message),
    };
    let (_, queued) = batch::going_on(state, ANTHROPIC);
    let most = state.limits.queued_requests;
    if most.is_some_and(|most| queued + requests > most) {
        let message =
            "This would exceed your organization's limit of requests in the processing queue.";
        return error(429, "rate_limit_error", message);
    }
    let batch = batch::accept(
        state,
        Batch {
            id,
            dialect: DIALECT,
            input,
            target: version,
            metadata: None,
            requests,
            inline: true,
            created: state.time.now(),
            cancelled: None,
            lost_input: false,
            unlisted: 0,
            checked: true,
            settled: None,
        },
    );
    answer(200, &object(&batch, Phase::InProgress, &host))
}

fn host(request: &Request) -> String {
    let host = request
        .headers()
        .get("host")
        .and_then(|host| host.to_str().ok());
    format!("http://{}", host.unwrap_or("127.0.0.1"))
}

/// Writes the body to disk; returns `false` if it is too large.
async fn receive(path: &Path, request: Request) -> std::io::Result<bool> {
    let mut file = tokio::fs::File::create(path).await?;
    let mut body = request.into_body().into_data_stream();
    let mut bytes = 0;
    while let Some(piece) = body.next().await {
        let piece = piece.map_err(std::io::Error::other)?;
        bytes += piece.len() as u64;
        if bytes > MAX_BYTES {
            return Ok(false);
        }
        file.write_all(&piece).await?;
    }
    file.flush().await?;
    Ok(true)
}

/// Writes the requests of a body as lines, and checks the envelope at once.
fn read(body: &Path, input: &Path, version: &str) -> Result<u64, String> {
    let disk = |error: std::io::Error| error.to_string();
    let reader = BufReader::with_capacity(256 << 10, File::open(body).map_err(disk)?);
    let mut lines = Lines {
        writer: BufWriter::with_capacity(256 << 10, File::create(input).map_err(disk)?),
        version,
        seen: HashSet::new(),
        count: 0,
    };
    let mut json = serde_json::Deserializer::from_reader(reader);
    json.deserialize_map(Envelope(&mut lines))
        .map_err(|error| error.to_string())?;
    lines.writer.flush().map_err(disk)?;
    match lines.count {
        0 => Err("requests: at least one request is required".to_owned()),
        count => Ok(count),
    }
}

struct Lines<'a> {
    writer: BufWriter<File>,
    version: &'a str,
    seen: HashSet<String>,
    count: u64,
}

struct Envelope<'l, 'a>(&'l mut Lines<'a>);

impl<'de> Visitor<'de> for Envelope<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with requests")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            if key == "requests" {
                map.next_value_seed(Requests(self.0))?;
            } else {
                return Err(de::Error::custom(format!(
                    "{key}: Extra inputs are not permitted"
                )));
            }
        }
        Ok(())
    }
}

struct Requests<'l, 'a>(&'l mut Lines<'a>);

impl<'de> DeserializeSeed<'de> for Requests<'_, '_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Requests<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of requests")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(request) = list.next_element::<Value>()? {
            self.0.take(request).map_err(de::Error::custom)?;
        }
        Ok(())
    }
}

impl Lines<'_> {
    fn take(&mut self, mut request: Value) -> Result<(), String> {
        let at = format!("requests.{}", self.count);
        let id = request["custom_id"].as_str().unwrap_or_default().to_owned();
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if id.is_empty() || id.len() > 64 || !id.chars().all(word) {
            return Err(format!(
                "{at}.custom_id: String should match pattern '^[a-zA-Z0-9_-]{{1,64}}$'"
            ));
        }
        if !request["params"].is_object() {
            return Err(format!("{at}.params: Field required"));
        }
        if !self.seen.insert(id) {
            return Err(format!("{at}.custom_id: Duplicate custom_id"));
        }
        self.count += 1;
        if self.count > MAX_REQUESTS {
            return Err("requests: List should have at most 100000 items".to_owned());
        }
        request["version"] = self.version.into();
        writeln!(self.writer, "{request}").map_err(|error| error.to_string())
    }
}

fn not_found(id: &str) -> Response {
    error(
        404,
        "not_found_error",
        &format!("Message batch {id} not found"),
    )
}

fn found(state: &State, id: &str) -> Option<(Batch, Phase)> {
    batch::current(state, ANTHROPIC, id)
}

fn has_ended(phase: Phase) -> bool {
    matches!(
        phase,
        Phase::Completed | Phase::Failed | Phase::Expired | Phase::Cancelled
    )
}

pub(super) fn status(state: &State, id: &str, request: &Request) -> Response {
    if let Err(refusal) = authorise(request) {
        return *refusal;
    }
    let Some((batch, phase)) = found(state, id) else {
        return not_found(id);
    };
    let mut response = answer(200, &object(&batch, phase, &host(request)));
    // Recorded: `Retry-After: 10` on the 200 of a batch that has not ended (2026-08-19).
    if let Some(wait) = state.limits.retry_after.filter(|_| !has_ended(phase)) {
        response
            .headers_mut()
            .insert("retry-after", wait.as_secs().into());
    }
    response
}

pub(super) fn list(state: &State, request: &Request) -> Response {
    if let Err(refusal) = authorise(request) {
        return *refusal;
    }
    let limit = parameter(request, "limit")
        .and_then(|limit| limit.parse::<usize>().ok())
        .unwrap_or(20);
    if !(1..=1000).contains(&limit) {
        return invalid("limit: between 1 and 1000");
    }
    let all = batch::listed(state, ANTHROPIC, request);
    let position =
        |name: &str| parameter(request, name).map(|id| all.iter().position(|known| known == id));
    let (from, to) = match (position("after_id"), position("before_id")) {
        (Some(at), _) => (at.map_or(all.len(), |at| at + 1), all.len()),
        (None, Some(at)) => {
            let at = at.unwrap_or(0);
            (at.saturating_sub(limit), at)
        }
        (None, None) => (0, all.len()),
    };
    let ids: Vec<&String> = all[from..to].iter().take(limit).collect();
    let more = if parameter(request, "before_id").is_some() {
        from > 0
    } else {
        to - from > limit
    };
    let host = host(request);
    let data: Vec<Value> = ids
        .iter()
        .filter_map(|id| found(state, id))
        .map(|(batch, phase)| object(&batch, phase, &host))
        .collect();
    let (first, last) = (ids.first(), ids.last());
    answer(
        200,
        &json!({"data": data, "has_more": more, "first_id": first, "last_id": last}),
    )
}

pub(super) fn cancel(state: &State, id: &str, request: &Request) -> Response {
    if let Err(refusal) = authorise(request) {
        return *refusal;
    }
    match batch::cancel(state, ANTHROPIC, id) {
        None => not_found(id),
        Some((_, true)) => status(state, id, request),
        // The provider's response to this call is not documented; the emulator refuses it.
        Some((_, false)) => invalid("the batch has ended and cannot be canceled"),
    }
}

pub(super) fn delete(state: &State, id: &str, request: &Request) -> Response {
    if let Err(refusal) = authorise(request) {
        return *refusal;
    }
    match found(state, id) {
        None => not_found(id),
        Some((_, phase)) if !has_ended(phase) => {
            invalid("only batches that have ended can be deleted")
        }
        Some(_) => {
            let mut inner = state.lock();
            inner.batches.retain(|batch| batch.id != id);
            inner.bill.deletes += 1;
            answer(200, &json!({"id": id, "type": "message_batch_deleted"}))
        }
    }
}

pub(super) async fn results(state: &Arc<State>, id: String, request: Request) -> Response {
    if let Err(refusal) = authorise(&request) {
        return *refusal;
    }
    let missing = || error(404, "not_found_error", "results are not available");
    let Some((batch, _)) = found(state, &id) else {
        return not_found(&id);
    };
    let kept = state.time.now().saturating_sub(batch.created) < KEPT;
    let Some(file) = batch
        .settled
        .and_then(|settled| settled.output)
        .filter(|_| kept)
    else {
        return missing();
    };
    let served = crate::exchange::content(state, &file.name, file.bytes, request.headers()).await;
    let Some(mut response) = served else {
        return missing();
    };
    let kind = axum::http::HeaderValue::from_static("application/x-jsonl");
    response.headers_mut().insert("content-type", kind);
    response
}

pub(super) async fn answer_now(state: &State, request: Request) -> Response {
    if let Err(refusal) = authorise(&request) {
        return *refusal;
    }
    let header = request.headers().get("anthropic-version");
    let version = header
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
        .to_owned();
    let body = axum::body::to_bytes(request.into_body(), 32 << 20)
        .await
        .unwrap_or_default();
    let Ok(params) = serde_json::from_slice::<Value>(&body) else {
        return invalid("the body is not JSON");
    };
    match lines::fault(&params, &version) {
        Some((kind, text)) => error(
            if kind == "not_found_error" { 404 } else { 400 },
            kind,
            &text,
        ),
        None => answer(
            200,
            &message::render(
                &params,
                0,
                &model::answer(&message::asked(&params), &state.answers),
            ),
        ),
    }
}

/// Formats a time with microseconds and `+00:00`, as recorded.
pub(super) fn time(at: Duration) -> Value {
    let seconds = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(at.as_secs());
    let text = humantime::format_rfc3339_seconds(seconds).to_string();
    json!(format!(
        "{}.{:06}+00:00",
        text.trim_end_matches('Z'),
        at.subsec_micros()
    ))
}

fn object(batch: &Batch, phase: Phase, host: &str) -> Value {
    let ended = has_ended(phase);
    let settled = batch.settled.clone().unwrap_or_default();
    let counts = settled.counts;
    // All requests count as processing until the whole batch ends.
    let processing = if ended { 0 } else { batch.requests };
    json!({
        "id": batch.id, "type": "message_batch",
        "processing_status": match phase {
            Phase::Cancelling => "canceling",
            _ if ended => "ended",
            _ => "in_progress",
        },
        "request_counts": {
            "processing": processing, "succeeded": counts.succeeded, "errored": counts.errored,
            "canceled": counts.cancelled, "expired": counts.expired,
        },
        "ended_at": ended.then(|| time(settled.at)), "created_at": time(batch.created),
        "expires_at": time(batch.created + DAY), "archived_at": null,
        "cancel_initiated_at": batch.cancelled.map(time),
        "results_url": ended.then(|| format!("{host}/v1/messages/batches/{}/results", batch.id)),
    })
}
