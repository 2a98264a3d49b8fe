//! What becomes of a batch: its input is checked, its requests are answered, its results written.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};

use serde_json::{Value, json};

use super::answer::{Answer, answer, user_text};
use crate::magic;
use crate::state::{Settled, State, StoredBatch, StoredFile};

/// A model whose name begins so does not exist.
pub(super) const NO_SUCH_MODEL: &str = "no-such-";

/// "up to 50,000 requests" (batch guide, 2026).
const MAX_REQUESTS: u64 = 50_000;

fn problem(code: &str, message: &str, param: Option<&str>, line: Option<u64>) -> Value {
    json!({"code": code, "message": message, "param": param, "line": line})
}

/// Why the batch fails as a whole, if it does. Checking stops at the first bad line.
pub(super) fn failure(state: &State, batch: &StoredBatch) -> Option<Settled> {
    let error = check(state, batch)?;
    Some(Settled {
        status: "failed",
        error: Some(error),
        ..Settled::default()
    })
}

fn check(state: &State, batch: &StoredBatch) -> Option<Value> {
    let known = state
        .lock()
        .file(&batch.input_file)
        .map(|file| file.purpose == "batch");
    let missing = || {
        problem(
            "invalid_request",
            &format!(
                "Cannot find file {}, or organization org-emulated does not have access to it.",
                batch.input_file
            ),
            Some("file_id"),
            None,
        )
    };
    if known != Some(true) {
        return Some(missing());
    }
    let Ok(file) = File::open(state.path(&batch.input_file)) else {
        return Some(missing());
    };
    let (mut seen, mut model, mut number) = (HashSet::new(), None, 0);
    for line in BufReader::new(file).split(b'\n') {
        number += 1;
        let Ok(line) = line else {
            return Some(missing());
        };
        if line.trim_ascii().is_empty() {
            continue;
        }
        if let Some(error) = check_line(batch, &line, number, &mut seen, &mut model) {
            return Some(error);
        }
    }
    if seen.is_empty() {
        return Some(problem(
            "empty_file",
            "The file holds no requests.",
            None,
            None,
        ));
    }
    (seen.len() as u64 > MAX_REQUESTS).then(|| {
        problem(
            "too_many_requests",
            "The file holds more than 50,000 requests.",
            None,
            None,
        )
    })
}

fn check_line(
    batch: &StoredBatch,
    line: &[u8],
    number: u64,
    seen: &mut HashSet<String>,
    model: &mut Option<String>,
) -> Option<Value> {
    let line_problem = |code: &str, message: &str, param: Option<&str>| {
        Some(problem(code, message, param, Some(number)))
    };
    let Ok(line) = serde_json::from_slice::<Value>(line) else {
        return line_problem(
            "invalid_json_line",
            "This line is not parseable as valid JSON.",
            None,
        );
    };
    for key in ["custom_id", "method", "url", "body"] {
        if line.get(key).is_none_or(Value::is_null) {
            return line_problem(
                "missing_required_parameter",
                &format!("Missing required parameter: '{key}'."),
                Some(key),
            );
        }
    }
    let custom_id = line["custom_id"].as_str().unwrap_or_default().to_owned();
    if !seen.insert(custom_id) {
        return line_problem(
            "duplicate_custom_id",
            "The custom_id is used more than once.",
            Some("custom_id"),
        );
    }
    if line["method"] != "POST" {
        return line_problem(
            "invalid_method",
            "Invalid value. Supported values are: 'POST'",
            Some("method"),
        );
    }
    if line["url"] != batch.endpoint.as_str() {
        return line_problem(
            "invalid_url",
            "The URL provided for this request does not match the batch endpoint.",
            Some("url"),
        );
    }
    let body = &line["body"];
    if body["stream"] == true {
        return line_problem(
            "streaming_unsupported",
            "Streaming is not supported in batches.",
            Some("body.stream"),
        );
    }
    let Some(name) = body["model"].as_str() else {
        return line_problem(
            "invalid_request",
            "The body names no model.",
            Some("body.model"),
        );
    };
    if name.starts_with(NO_SUCH_MODEL) {
        return line_problem(
            "model_not_found",
            "The provided model is not supported by the Batch API.",
            Some("body.model"),
        );
    }
    if model.get_or_insert_with(|| name.to_owned()) != name {
        return line_problem(
            "mismatched_model",
            "All requests of a batch must name the same model.",
            Some("body.model"),
        );
    }
    if user_text(body).contains(magic::FAIL_LINE) {
        return line_problem(
            "invalid_request",
            "A line that fails on purpose.",
            Some("body"),
        );
    }
    None
}

/// Answers every request and writes the results. `ending` is `completed` or `cancelled`.
pub(super) fn settle(state: &State, batch: &StoredBatch, ending: &'static str) -> Settled {
    if let Some(failed) = failure(state, batch) {
        return failed;
    }
    // The input was just read: a failure here is the disk's.
    write_results(state, batch, ending).unwrap_or_else(|_| Settled {
        status: "failed",
        error: Some(problem(
            "server_error",
            "The results could not be written.",
            None,
            None,
        )),
        ..Settled::default()
    })
}

#[derive(Default)]
struct Results {
    output: Vec<(u64, usize)>,
    errors: Vec<(u64, usize)>,
}

fn write_results(
    state: &State,
    batch: &StoredBatch,
    ending: &'static str,
) -> std::io::Result<Settled> {
    let mut settled = Settled {
        status: ending,
        ..Settled::default()
    };
    let scratch = state.path(&format!("{}.scratch", batch.id));
    let mut writer = BufWriter::with_capacity(256 << 10, File::create(&scratch)?);
    let (mut results, mut at) = (Results::default(), 0_u64);
    for (place, line) in
        BufReader::with_capacity(256 << 10, File::open(state.path(&batch.input_file))?)
            .split(b'\n')
            .enumerate()
    {
        let line: Value = match serde_json::from_slice(&line?) {
            Ok(line) => line,
            Err(_) => continue,
        };
        settled.total += 1;
        settled.model.get_or_insert_with(|| {
            format!(
                "{}-2026-01-01",
                line["body"]["model"].as_str().unwrap_or_default()
            )
        });
        for (row, is_error) in rows(&line, batch, place, ending, &mut settled) {
            writer.write_all(&row)?;
            writer.write_all(b"\n")?;
            let list = if is_error {
                &mut results.errors
            } else {
                &mut results.output
            };
            list.push((at, row.len() + 1));
            at += row.len() as u64 + 1;
        }
    }
    writer.flush()?;
    drop(writer);
    settled.output_file = gather(state, &scratch, &mut results.output, "output")?;
    settled.error_file = gather(state, &scratch, &mut results.errors, "error")?;
    std::fs::remove_file(&scratch)?;
    Ok(settled)
}

/// Rows of one request; `true` for those of the error file.
fn rows(
    line: &Value,
    batch: &StoredBatch,
    place: usize,
    ending: &str,
    settled: &mut Settled,
) -> Vec<(Vec<u8>, bool)> {
    let (custom_id, body) = (&line["custom_id"], &line["body"]);
    let text = user_text(body);
    let row = |response: Value, error: Value| {
        let id = format!("batch_req_{place:08}");
        json!({"id": id, "custom_id": custom_id, "response": response, "error": error})
            .to_string()
            .into_bytes()
    };
    // A cancel reaches every other request before it is answered.
    if ending == "cancelled" && place % 2 == 1 {
        let error = json!({"code": "batch_cancelled", "message": "This request was not executed because the batch was cancelled."});
        return vec![(row(Value::Null, error), true)];
    }
    if text.contains(magic::EXPIRE) {
        settled.status = "expired";
        let error = json!({"code": "batch_expired", "message": "This request could not be executed before the completion window expired."});
        return vec![(row(Value::Null, error), true)];
    }
    for (word, status, code) in [
        (magic::ERROR_400, 400, "invalid_value"),
        (magic::ERROR_429, 429, "rate_limit_exceeded"),
        (magic::ERROR_500, 500, "server_error"),
    ] {
        if text.contains(word) {
            settled.failed += 1;
            let body = json!({"error": {"message": "A request that fails on purpose.", "type": "invalid_request_error", "param": null, "code": code}});
            return vec![(
                row(
                    json!({"status_code": status, "request_id": "req_emulated", "body": body}),
                    Value::Null,
                ),
                true,
            )];
        }
    }
    let Answer {
        body,
        input_tokens,
        output_tokens,
    } = answer(&batch.endpoint, body, place);
    settled.completed += 1;
    settled.input_tokens += input_tokens;
    settled.output_tokens += output_tokens;
    let good = row(
        json!({"status_code": 200, "request_id": "req_emulated", "body": body}),
        Value::Null,
    );
    if text.contains(magic::MISSING) {
        return Vec::new();
    }
    if text.contains(magic::CUT) {
        return vec![(good[..good.len() / 2].to_vec(), false)];
    }
    let mut all = vec![(good, false)];
    if text.contains(magic::TWICE) {
        all.push(all[0].clone());
    }
    if text.contains(magic::FOREIGN) {
        let foreign = json!({"id": "batch_req_x", "custom_id": "of-someone-else", "response": {"status_code": 200, "request_id": "r", "body": {}}, "error": null});
        all.push((foreign.to_string().into_bytes(), false));
    }
    all
}

/// Writes rows in the order of the seed; no rows, no file.
fn gather(
    state: &State,
    scratch: &std::path::Path,
    rows: &mut [(u64, usize)],
    what: &str,
) -> std::io::Result<Option<String>> {
    use std::io::{Read as _, Seek as _, SeekFrom};
    if rows.is_empty() {
        return Ok(None);
    }
    // Fisher-Yates over SplitMix64.
    let mut seed = state.seed;
    for place in (1..rows.len()).rev() {
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        rows.swap(place, ((z ^ (z >> 31)) % (place as u64 + 1)) as usize);
    }
    let id = state.lock().id("file-");
    let mut from = File::open(scratch)?;
    let mut to = BufWriter::with_capacity(256 << 10, File::create(state.path(&id))?);
    let (mut bytes, mut buffer) = (0, Vec::new());
    for (offset, length) in rows {
        buffer.resize(*length, 0);
        from.seek(SeekFrom::Start(*offset))?;
        from.read_exact(&mut buffer)?;
        to.write_all(&buffer)?;
        bytes += *length as u64;
    }
    to.flush()?;
    let now = state.seconds();
    state.lock().files.push(StoredFile {
        id: id.clone(),
        filename: format!("batch_{what}.jsonl"),
        purpose: "batch_output".to_owned(),
        bytes,
        created_at: now,
        expires_at: Some(now + 30 * 24 * 3600),
    });
    Ok(Some(id))
}
