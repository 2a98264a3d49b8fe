//! The end of `lmbatch retrieve`, by what has become of the batch or the run.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::Path;
use std::process::Output;

use lmbatch_tests::{Emulating, said, write_input};
use serde_json::{Value, json};
use tempfile::TempDir;

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

/// Has the provider say what it says of a batch.
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
fn a_batch_without_a_usable_output_does_not_end_well() {
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
        let told = said(&retrieved);
        assert_eq!(
            retrieved.status.code(),
            Some(code),
            "{status} {total}: {told}"
        );
        assert!(!told.contains("timed out"), "{status} {total}: {told}");
        assert_eq!(
            folder.path().join("out.jsonl").exists(),
            code == 3,
            "{status}"
        );
    }
}

#[test]
fn a_batch_of_which_some_requests_were_answered_ends_as_its_counts_say() {
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
fn a_run_that_was_refused_has_failed_and_is_not_waited_for() {
    let (emulating, folder) = world();
    let kind = json!({"status": {"code": 400, "body": r#"{"error": {"message": "no", "type": "invalid_request_error", "code": "bad"}}"#}});
    let fault = json!({"operation": "create", "times": 9, "kind": kind});
    emulating.post("/_emulator/faults", &fault.to_string());
    let run = ["run", "in.jsonl", "-m", "openai/m", "--run", "mine"];
    assert_eq!(at(&emulating, folder.path(), &run).status.code(), Some(1));
    let retrieved = at(&emulating, folder.path(), &["retrieve", "mine", "-o", "-"]);
    let told = said(&retrieved);
    assert_eq!(retrieved.status.code(), Some(1), "{told}");
    assert!(
        told.contains("has failed") && told.contains("purge"),
        "{told}"
    );
}
