//! Ends of `lmbatch retrieve`, by the state of the batch or the run.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::Path;
use std::process::Output;

use lmbatch::openai::OpenAi;
use lmbatch_core::{BatchClass, BatchHandle, BatchProvider as _};
use lmbatch_tests::{Emulating, KEY, lmbatch, said, write_input};
use serde_json::{Value, json};
use tempfile::TempDir;
use wiremock::matchers::path;
use wiremock::{Mock, MockServer, ResponseTemplate};

fn world() -> (Emulating, TempDir) {
    let (emulating, folder) = (Emulating::start(), tempfile::tempdir().unwrap());
    let line = |id: u32| json!({"id": id, "prompt": "1"});
    write_input(folder.path(), (0..2).map(line));
    (emulating, folder)
}

fn at(emulating: &Emulating, folder: &Path, args: &[&str]) -> Output {
    let mut command = emulating.command_at("openai", folder);
    command.env_remove("LMBATCH_LOG").args(args);
    command.output().unwrap()
}

/// Sets the provider's status of a batch.
fn answer(emulating: &Emulating, operation: &str, times: u32, body: &Value) {
    let kind = json!({"status": {"code": 200, "body": body.to_string()}});
    let fault = json!({"operation": operation, "times": times, "kind": kind});
    emulating.post("/_emulator/faults", &fault.to_string());
}

fn batch(status: &str, total: u64) -> Value {
    json!({
        "id": "batch_1", "object": "batch", "status": status, "endpoint": "/v1/responses",
        "input_file_id": "f", "completion_window": "24h", "created_at": 1,
        "request_counts": {"total": total, "completed": 0, "failed": 0},
        "errors": {"object": "list", "data": [{"code": "invalid", "message": "bad", "line": 1}]},
    })
}

#[test]
fn a_batch_without_a_usable_output_ends_with_an_error() {
    for (status, total, code) in [
        ("failed", 0, 3),
        ("failed", 2, 3),
        ("expired", 2, 3),
        ("cancelled", 2, 3),
        ("in_progress", 2, 4),
        ("validating", 0, 4),
    ] {
        let (emulating, folder) = world();
        answer(&emulating, "status", 9, &batch(status, total));
        let args = ["retrieve", "batch_1", "-p", "openai", "-o", "out.jsonl"];
        let retrieved = at(&emulating, folder.path(), &args);
        let messages = said(&retrieved);
        assert_eq!(
            retrieved.status.code(),
            Some(code),
            "{status} {total}: {messages}"
        );
        assert!(
            !messages.contains("timed out"),
            "{status} {total}: {messages}"
        );
        assert_eq!(
            folder.path().join("out.jsonl").exists(),
            code == 3,
            "{status}"
        );
    }
}

#[test]
fn a_partly_answered_batch_ends_according_to_its_counts() {
    let (emulating, folder) = world();
    let line = |(id, prompt)| json!({"id": id, "prompt": prompt});
    let create = ["create", "in.jsonl", "-m", "openai/m", "--force"];
    for (prompts, code) in [(["1", "2"], 0), (["1", "lmb:unanswered"], 3)] {
        write_input(folder.path(), (0..2).zip(prompts).map(line));
        let created = at(&emulating, folder.path(), &create);
        let batch = String::from_utf8_lossy(&created.stdout).trim().to_owned();
        for _ in 0..100 {
            let shown = at(
                &emulating,
                folder.path(),
                &["status", &batch, "-p", "openai"],
            );
            if shown.status.code() == Some(0) {
                break;
            }
        }
        let args = ["retrieve", &batch, "-p", "openai", "-o", "-"];
        let retrieved = at(&emulating, folder.path(), &args);
        assert_eq!(retrieved.status.code(), Some(code), "{}", said(&retrieved));
    }
}

#[test]
fn a_refused_run_has_failed_and_is_not_waited_for() {
    let (emulating, folder) = world();
    let kind = json!({"status": {"code": 400, "body": r#"{"error": {"message": "no", "type": "invalid_request_error", "code": "bad"}}"#}});
    let fault = json!({"operation": "create", "times": 9, "kind": kind});
    emulating.post("/_emulator/faults", &fault.to_string());
    let run = ["run", "in.jsonl", "-m", "openai/m", "--run", "mine"];
    assert_eq!(at(&emulating, folder.path(), &run).status.code(), Some(1));
    let retrieved = at(&emulating, folder.path(), &["retrieve", "mine", "-o", "-"]);
    let messages = said(&retrieved);
    assert_eq!(retrieved.status.code(), Some(1), "{messages}");
    assert!(
        messages.contains("has failed") && messages.contains("purge"),
        "{messages}"
    );
}

/// A provider with one batch, and rows that answer the named requests.
async fn played(status: &str, counts: [u64; 3], rows: &[&str]) -> MockServer {
    let mock = MockServer::start().await;
    let [total, completed, failed] = counts;
    let batch = json!({
        "id": "b", "status": status, "endpoint": "/v1/responses", "output_file_id": "o",
        "request_counts": {"total": total, "completed": completed, "failed": failed},
    });
    let batch = ResponseTemplate::new(200).set_body_json(batch);
    let at = Mock::given(path("/v1/batches/b"));
    at.respond_with(batch).mount(&mock).await;
    let row = |id: &&str| {
        let body = json!({"choices": [{"message": {"content": "A"}, "finish_reason": "stop"}]});
        let response = json!({"status_code": 200, "body": body});
        format!("{}\n", json!({"custom_id": id, "response": response}))
    };
    let rows: String = rows.iter().map(row).collect();
    let rows = ResponseTemplate::new(200).set_body_string(rows);
    let at = Mock::given(path("/v1/files/o/content"));
    at.respond_with(rows).mount(&mock).await;
    mock
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_that_differ_from_the_rows_are_reported_and_absent_rows_end_with_4() {
    let (abc, ab) = (&["a", "b", "c"][..], &["a", "b"][..]);
    for (status, counts, rows, named, numbers, code) in [
        ("completed", [3, 3, 0], abc, None, None, 0),
        ("completed", [3, 3, 0], abc, Some(abc), None, 0),
        // The server keeps no counts.
        ("completed", [3, 0, 0], abc, None, None, 0),
        // More rows than the counts say.
        ("completed", [3, 2, 0], abc, None, Some((2, 3)), 0),
        ("completed", [3, 2, 0], abc, Some(abc), Some((2, 3)), 0),
        // Fewer: the handle names two of three requests.
        ("completed", [3, 3, 0], ab, Some(ab), Some((3, 2)), 4),
        ("completed", [3, 2, 1], ab, Some(ab), Some((3, 2)), 4),
        ("failed", [3, 2, 0], ab, None, Some((2, 0)), 4),
        ("failed", [3, 0, 3], ab, None, None, 3),
        // A running batch is counted later.
        ("in_progress", [3, 3, 0], ab, None, None, 4),
    ] {
        let mock = played(status, counts, rows).await;
        let folder = tempfile::tempdir().unwrap();
        let base_url = format!("{}/v1", mock.uri());
        let mut command = std::process::Command::new(lmbatch());
        command
            .current_dir(folder.path())
            .args(["retrieve", "b", "-p", "openai", "-o", "out.jsonl"])
            .args(["--doubt-wait", "100ms"])
            .args(["--base-url", &base_url])
            .env("OPENAI_API_KEY", KEY)
            .env("LMBATCH_STATE_DIR", folder.path().join(".lmbatch"));
        if let Some(names) = named {
            let adapter = OpenAi::builder().api_key(KEY).base_url(base_url);
            let handle = BatchHandle::new(
                "openai".into(),
                adapter.build().unwrap().account(),
                "b".into(),
                BatchClass::new("/v1/responses", "file"),
                names.iter().copied(),
            );
            let text = serde_json::to_string(&handle).unwrap();
            std::fs::write(folder.path().join("handle.json"), text).unwrap();
            command.args(["--handle", "handle.json"]);
        }
        let retrieved = command.output().unwrap();
        let messages = said(&retrieved);
        let case = format!("{status} {counts:?} {named:?}: {messages}");
        assert_eq!(retrieved.status.code(), Some(code), "{case}");
        let warning = numbers.map(|(counted, read)| {
            let requests = if counted == 1 { "request" } else { "requests" };
            format!("counts {counted} {requests} as answered or failed, but the rows of the results name {read}")
        });
        match &warning {
            Some(warning) => assert!(messages.contains(warning.as_str()), "{case}"),
            None => assert!(!messages.contains("as answered or failed"), "{case}"),
        }
        let is_written = folder.path().join("out.jsonl").exists();
        assert_eq!(is_written, status != "in_progress", "{case}");
    }
}

/// The rows that exist are written; the warning has both numbers.
#[tokio::test(flavor = "multi_thread")]
async fn results_that_stay_incomplete_end_with_4_after_the_timeout() {
    let mock = played("completed", [3, 3, 0], &["a", "b"]).await;
    let folder = tempfile::tempdir().unwrap();
    let retrieved = std::process::Command::new(lmbatch())
        .current_dir(folder.path())
        .args(["retrieve", "b", "-p", "openai", "-o", "out.jsonl"])
        .args(["--doubt-wait", "100ms"])
        .args(["--base-url", &format!("{}/v1", mock.uri())])
        .env("OPENAI_API_KEY", KEY)
        .env("LMBATCH_STATE_DIR", folder.path().join(".lmbatch"))
        .output()
        .unwrap();
    let messages = said(&retrieved);
    assert_eq!(retrieved.status.code(), Some(4), "{messages}");
    let numbers = "counts 3 requests as answered or failed, but the rows of the results name 2";
    assert!(messages.contains(numbers), "{messages}");
    let written = std::fs::read_to_string(folder.path().join("out.jsonl")).unwrap();
    assert_eq!(written.lines().count(), 2, "{written}");
}

/// Readable rows are written despite any other row, and the command's end reports that some are missing.
#[tokio::test(flavor = "multi_thread")]
async fn readable_rows_are_written_even_if_others_are_missing() {
    let body = json!({"choices": [{"message": {"content": "A"}, "finish_reason": "stop"}]});
    let response = json!({"status_code": 200, "body": body});
    let row = |id: Value| json!({"custom_id": id, "response": response}).to_string();
    let (a, b) = (row(json!("a")), row(json!("b")));
    let cut = &b[..b.len() - 50];
    for (rows, counts, written, code, words) in [
        // A duplicate row, a row whose id is not a string, and line separators within a row.
        (
            format!("{a}\n{a}\n"),
            Some([2, 2, 0]),
            1,
            4,
            "counts 2 requests",
        ),
        (
            format!("{a}\n{}\n", row(json!(7))),
            Some([2, 2, 0]),
            1,
            4,
            "counts 2 requests",
        ),
        (
            format!("{a}\n{cut}"),
            Some([2, 2, 0]),
            2,
            4,
            "results are incomplete",
        ),
        (format!("{a}\n{cut}"), None, 2, 4, "results are incomplete"),
        (
            format!("{a}\n{}", &b[..14]),
            None,
            1,
            4,
            "results are incomplete",
        ),
        (
            format!("{a}\n"),
            Some([5, 0, 0]),
            1,
            3,
            "counts 5 requests in batch b, and its results name 1",
        ),
        (format!("{a}\n{b}"), Some([2, 2, 0]), 2, 0, "succeeded"),
    ] {
        let mock = MockServer::start().await;
        let mut batch = json!({
            "id": "b", "status": "completed", "endpoint": "/v1/responses", "output_file_id": "o",
        });
        if let Some([total, completed, failed]) = counts {
            batch["request_counts"] =
                json!({"total": total, "completed": completed, "failed": failed});
        }
        let batch = ResponseTemplate::new(200).set_body_json(batch);
        let at = Mock::given(path("/v1/batches/b"));
        at.respond_with(batch).mount(&mock).await;
        let shown = rows.clone();
        let rows = ResponseTemplate::new(200).set_body_string(rows);
        let at = Mock::given(path("/v1/files/o/content"));
        at.respond_with(rows).mount(&mock).await;
        let folder = tempfile::tempdir().unwrap();
        let retrieved = std::process::Command::new(lmbatch())
            .current_dir(folder.path())
            .args(["retrieve", "b", "-p", "openai", "-o", "out.jsonl"])
            .args(["--doubt-wait", "100ms"])
            .args(["--base-url", &format!("{}/v1", mock.uri())])
            .env("OPENAI_API_KEY", KEY)
            .env("LMBATCH_STATE_DIR", folder.path().join(".lmbatch"))
            .output()
            .unwrap();
        let messages = said(&retrieved);
        assert_eq!(
            retrieved.status.code(),
            Some(code),
            "{shown} {counts:?}: {messages}"
        );
        assert!(messages.contains(words), "{shown} {counts:?}: {messages}");
        let output = std::fs::read_to_string(folder.path().join("out.jsonl")).unwrap();
        assert_eq!(
            output.lines().count(),
            written,
            "{shown} {counts:?}: {output}"
        );
    }
}

/// Gemini's inline rows are part of the batch: a truncated batch is held like other results.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_with_truncated_inline_results_ends_with_4() {
    let mock = MockServer::start().await;
    let cut = r#"{"name": "batches/b", "metadata": {"state": "BATCH_STATE_SUCCEEDED"}, "response": {"inlinedResponses": {"inlinedResponses": [{"metadata": {"key": "a"}, "resp"#;
    let cut = ResponseTemplate::new(200).set_body_raw(cut, "application/json");
    let at = Mock::given(path("/v1beta/batches/b"));
    at.respond_with(cut).mount(&mock).await;
    let folder = tempfile::tempdir().unwrap();
    let retrieved = std::process::Command::new(lmbatch())
        .current_dir(folder.path())
        .args(["retrieve", "batches/b", "-p", "google", "-o", "out.jsonl"])
        .args(["--doubt-wait", "100ms", "--base-url", &mock.uri()])
        .env("GOOGLE_API_KEY", KEY)
        .env("GEMINI_API_KEY", KEY)
        .env("LMBATCH_STATE_DIR", folder.path().join(".lmbatch"))
        .output()
        .unwrap();
    let messages = said(&retrieved);
    assert_eq!(retrieved.status.code(), Some(4), "{messages}");
    assert!(messages.contains("cannot be read"), "{messages}");
    assert!(!folder.path().join("out.jsonl").exists());
}

#[test]
fn a_handle_names_its_batch_for_every_command() {
    let (emulating, folder) = world();
    let at = |args: &[&str]| at(&emulating, folder.path(), args);
    let create = ["create", "in.jsonl", "-m", "openai/m", "--handle", "h.json"];
    let created = at(&create);
    let batch = String::from_utf8(created.stdout).unwrap().trim().to_owned();
    loop {
        let status = at(&["status", "--handle", "h.json", "--json"]);
        let shown: Value = serde_json::from_slice(&status.stdout).unwrap();
        assert_eq!(shown["id"], *batch, "{}", said(&status));
        if status.status.code() == Some(0) {
            break;
        }
    }
    for args in [
        &["status", "other", "-p", "openai", "--handle", "h.json"][..],
        &["cancel", "other", "--handle", "h.json"],
        &["status", "--handle", "h.json", "-p", "google", &batch],
    ] {
        let refused = at(args);
        assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
        assert!(
            said(&refused).contains("--handle: h.json is of "),
            "{}",
            said(&refused)
        );
    }
    let cancelled = at(&["cancel", "--handle", "h.json"]);
    assert!(said(&cancelled).contains(&batch), "{}", said(&cancelled));
    let raw = at(&["retrieve", "--handle", "h.json", "--raw"]);
    assert_eq!(raw.status.code(), Some(0), "{}", said(&raw));
    let lines = String::from_utf8(raw.stdout).unwrap();
    let lines: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 2);
    for (number, line) in lines.iter().enumerate() {
        assert_eq!(line["id"], number.to_string());
        assert!(line["raw"]["response"].is_object(), "{line}");
    }
    let table = at(&["retrieve", "--handle", "h.json", "--raw", "-o", "a.csv"]);
    assert_eq!(table.status.code(), Some(2), "{}", said(&table));
    // The rows of a recorded run are written as well.
    let run = [
        "run",
        "in.jsonl",
        "-m",
        "openai/m",
        "--run",
        "mine",
        "-o",
        "out.jsonl",
    ];
    assert_eq!(
        at(&[&run[..], &["--poll-interval", "20ms"]].concat())
            .status
            .code(),
        Some(0)
    );
    let raw = at(&["retrieve", "mine", "--raw"]);
    assert_eq!(raw.status.code(), Some(0), "{}", said(&raw));
    assert_eq!(said(&raw).matches("\"raw\":{").count(), 2, "{}", said(&raw));
}
