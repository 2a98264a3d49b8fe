//! External text cannot control the terminal, and a key is never printed, for any response of a provider and any
//! input, name or path.

use std::fs;

use lmbatch_tests::{Emulating, KEY, said, write_input};
use serde_json::{Value, json};

/// Text that sets a title and colours, moves the cursor, reverses the writing direction, and hides.
const EVIL: &str = "\u{1b}]0;title\u{7}\u{1b}[31m\u{9b}2J\u{9d}x\u{9c}\u{7f}\u{8}\r\u{61c}\u{200e}\u{200f}\u{202a}\u{202e}\u{2066}\u{2069}\u{2028}\u{2029}\u{feff}\u{200b}";

fn assert_plain(what: &str, text: &str) {
    let found: Vec<char> = text
        .chars()
        .filter(|c| {
            !matches!(*c, '\n' | '\t') && (c.is_control() || EVIL.contains(*c) && !c.is_ascii())
        })
        .collect();
    assert!(found.is_empty(), "{what}: {found:?} in {text:?}");
    assert!(!text.contains(KEY), "{what}: {text}");
}

/// A batch in which every text of the provider is hostile.
fn batch(id: &str, status: &str) -> Value {
    json!({
        "id": format!("batch-of-{id}{EVIL}"), "object": "batch", "status": status, "endpoint": "/v1/responses",
        "model": format!("m{EVIL}"), "input_file_id": format!("file{EVIL}"), "completion_window": "24h",
        "output_file_id": null, "error_file_id": null, "created_at": 1, "metadata": {"lmbatch": format!("lmbatch-abcdefghijkl-0{EVIL}")},
        "request_counts": {"total": 1, "completed": 0, "failed": 0},
        "errors": {"object": "list", "data": [{"code": format!("c{EVIL}{KEY}"), "message": format!("said by the batch{EVIL}{KEY}"), "param": EVIL, "line": 1}]},
    })
}

/// A hostile batch with the requested id: a batch with another id is rejected.
fn polled(status: &str) -> Value {
    let mut batch = batch("polled", status);
    batch["id"] = "b".into();
    batch
}

fn error(message: &str) -> Value {
    let text = format!("said by {message}{EVIL}{KEY}");
    json!({"error": {"message": text, "type": text, "code": text, "param": text}})
}

/// Returns whether a text contains a value from the provider's responses: only then is its plainness meaningful.
fn shows(text: &str, body: &Value) -> bool {
    let own = |text: &Value| {
        let text = text.as_str().unwrap_or_default();
        let mark = text.split_once('\u{1b}').map(|(mark, _)| mark);
        mark.unwrap_or_default().to_owned()
    };
    let first = &body["data"][0];
    let reason = &body["errors"]["data"][0]["message"];
    let marks = [
        &body["error"]["message"],
        &body["id"],
        &body["status"],
        &first["id"],
        reason,
    ];
    let marks = marks.map(own);
    let is_told = |mark: &String| !mark.is_empty() && text.contains(mark.as_str());
    marks.iter().any(is_told)
}

#[test]
fn responses_of_a_provider_cannot_control_the_terminal() {
    let run = [
        "run",
        "in.jsonl",
        "-m",
        "openai/m",
        "--new",
        "--force",
        "--timeout",
        "900ms",
        "--poll-interval",
        "20ms",
    ];
    // Only its label shows that a batch belongs to lmbatch.
    let mut labelled = batch("l", "completed");
    labelled["metadata"]["lmbatch"] = "lmbatch-abcdefghijkl-0".into();
    let cases: Vec<(&str, u16, Value, Vec<&str>)> = vec![
        ("upload", 400, error("u"), run.to_vec()),
        ("create", 400, error("c"), run.to_vec()),
        ("create", 401, error("c"), run.to_vec()),
        ("create", 404, error("c"), run.to_vec()),
        ("create", 200, batch("created", "validating"), run.to_vec()),
        ("status", 400, error("s"), run.to_vec()),
        ("status", 429, error("s"), run.to_vec()),
        ("status", 200, polled("failed"), run.to_vec()),
        (
            "status",
            200,
            polled(&format!("brand_new{EVIL}")),
            run.to_vec(),
        ),
        (
            "status",
            200,
            polled("failed"),
            vec!["status", "b", "-p", "openai"],
        ),
        (
            "status",
            200,
            polled("failed"),
            vec!["status", "b", "-p", "openai", "--json"],
        ),
        (
            "status",
            404,
            error("s"),
            vec!["status", "b", "-p", "openai"],
        ),
        (
            "cancel",
            403,
            error("x"),
            vec!["cancel", "b", "-p", "openai"],
        ),
        (
            "list",
            200,
            json!({"data": [batch("l", "completed")], "has_more": false}),
            vec!["list", "-p", "openai"],
        ),
        (
            "list",
            200,
            json!({"data": [batch("l", "completed")], "has_more": false}),
            vec!["list", "-p", "openai", "--json"],
        ),
        (
            "list",
            200,
            json!({"data": [labelled], "has_more": false}),
            vec!["doctor", "-p", "openai"],
        ),
        ("list", 403, error("l"), vec!["list", "-p", "openai"]),
        (
            "status",
            200,
            polled("failed"),
            vec!["retrieve", "b", "-p", "openai"],
        ),
        (
            "create",
            400,
            error("h"),
            vec![
                "create", "in.jsonl", "-m", "openai/m", "--handle", "h", "--force",
            ],
        ),
        (
            "create",
            200,
            batch("h", "validating"),
            vec![
                "create", "in.jsonl", "-m", "openai/m", "--handle", "h", "--force",
            ],
        ),
    ];
    let mut unseen: Vec<String> = Vec::new();
    for (operation, code, body, args) in cases {
        let mut is_shown = false;
        let (emulating, folder) = (Emulating::start(), tempfile::tempdir().unwrap());
        write_input(folder.path(), [json!({"id": "a", "prompt": "1"})]);
        let kind = json!({"status": {
            "code": code, "body": body.to_string(), "headers": [["x-request-id", KEY]],
        }});
        let fault = json!({"operation": operation, "times": 99, "kind": kind});
        emulating.post("/_emulator/faults", &fault.to_string());
        if operation == "status" && args[0] == "run" {
            let created = json!({"id": "b", "status": "validating"}).to_string();
            let kind = json!({"status": {"code": 200, "body": created, "headers": []}});
            let fault = json!({"operation": "create", "times": 99, "kind": kind});
            emulating.post("/_emulator/faults", &fault.to_string());
        }
        for json in [&[][..], &["--json"]] {
            if json.is_empty() || args[0] == "run" {
                let output = emulating.run_at("openai", folder.path(), &[&args[..], json].concat());
                let what = format!("{args:?} {operation} {code}");
                is_shown |= shows(&said(&output), &body);
                assert_plain(&what, &said(&output));
                assert_ne!(output.status.code(), Some(101), "{what}");
            }
        }
        if !is_shown {
            unseen.push(format!("{args:?} {operation} {code}"));
        }
        // Recorded text is shown without control characters as well.
        for args in [&["runs"][..], &["runs", "--json"]] {
            let output = emulating.run_at("openai", folder.path(), args);
            assert_plain(&format!("{args:?}"), &said(&output));
            let runs = said(&output);
            let run = runs.split_whitespace().find(|word| word.starts_with("r-"));
            for command in ["show", "audit", "cancel", "resume", "purge"] {
                if let Some(run) = run.filter(|_| args.len() == 1) {
                    let extra: &[&str] = match command {
                        "resume" => &["--once"],
                        "purge" => &["--force"],
                        _ => &[],
                    };
                    let args = [&[command, run][..], extra].concat();
                    let output = emulating.run_at("openai", folder.path(), &args);
                    assert_plain(&format!("{args:?}"), &said(&output));
                }
            }
        }
    }
    assert!(unseen.is_empty(), "nothing of it is shown: {unseen:#?}");
}

#[test]
fn names_and_inputs_cannot_control_the_terminal() {
    let (emulating, folder) = (Emulating::start(), tempfile::tempdir().unwrap());
    let at = |args: &[&str]| emulating.run_at("openai", folder.path(), args);
    let name = &format!("n{EVIL}");
    let input = &format!("in{EVIL}.jsonl");
    let output = &format!("out{EVIL}.jsonl");
    let model = &format!("openai/m{EVIL}");
    let line = json!({"id": "a", "prompt": "1"}).to_string();
    fs::write(folder.path().join(input), &line).unwrap();
    let bad = json!({EVIL: EVIL, "prompt": EVIL}).to_string();
    fs::write(folder.path().join("bad.jsonl"), bad).unwrap();
    fs::write(folder.path().join("ids"), EVIL).unwrap();
    let poll = ["--poll-interval", "20ms"];
    for args in [
        &["run", "bad.jsonl", "-m", "openai/m"][..],
        &["validate", "bad.jsonl", "-m", "openai/m"],
        &["run", input, "-m", name],
        &["run", name, "-m", "openai/m"],
        &["run", input, "-m", "openai/m", "--key-env", name],
        &["run", input, "-m", "openai/m", "--set", name],
        &["run", input, "-m", "openai/m", "--route", name],
        &["run", input, "-m", "openai/m", "--schema", name],
        &[
            "run",
            input,
            "-m",
            "openai/m",
            "--system",
            &format!("@{name}"),
        ],
        &["run", input, "-m", "openai/m", "--base-url", name],
        &["run", input, "-m", "openai/m", "-o", &format!("{name}/x")],
        &["run", input, "-m", "openai/m", "--state-dir", input],
        &["run", input, "-m", "openai/m", "--timeout", name],
        &[
            "run", input, "-m", model, "-o", output, "--run", name, poll[0], poll[1],
        ],
        &["run", input, "-m", model, "-o", output, "--run", name],
        &["run", input, "-m", "openai/m", "-o", output],
        &["runs"],
        &["runs", "--json"],
        &["show", name],
        &["show", name, "--json"],
        &["audit", name],
        &["audit", name, "--json"],
        &["requeue", name, "--dry-run", "--ids", "ids"],
        &["retrieve", name, "-o", output],
        &["resume", name],
        &["cancel", name],
        &["status", name],
        &["adopt", name, input, "-m", "openai/m"],
        &["doctor", "-p", name],
        &["purge", name],
        &["show", name],
        &["create", input, "-m", "openai/m", "--handle", name],
        &[name],
        &["run", "--json", name],
    ] {
        assert_plain(&format!("{args:?}"), &said(&at(args)));
    }
}

#[test]
fn a_log_in_a_pipe_has_no_colours_and_only_lmbatch_events() {
    let (emulating, folder) = (Emulating::start(), tempfile::tempdir().unwrap());
    write_input(folder.path(), [json!({"id": "a", "prompt": "1"})]);
    for level in ["debug", "trace"] {
        let mut command = emulating.command_at("openai", folder.path());
        command.env("LMBATCH_LOG", level);
        let output = command.args(["list", "-p", "openai"]).output().unwrap();
        let text = said(&output);
        assert!(text.contains("exchange"), "{text}");
        assert_plain(level, &text);
        for library in ["hyper", "rustls", "h2::", "reqwest::"] {
            assert!(!text.contains(library), "{library}: {text}");
        }
    }
}
