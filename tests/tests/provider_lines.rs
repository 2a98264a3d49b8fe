//! Outputs in the formats of providers' result files.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use lmbatch_tests::{Scene, assert_says, lines, object};
use serde_json::{Value, json};

fn world() -> Scene {
    Scene::new([
        json!({"id": "a", "prompt": "ü \"x\""}),
        json!({"id": 7, "prompt": "lmb:error-400", "metadata": {"row": 1}}),
        json!({"id": "c", "prompt": "lmb:think"}),
    ])
}

/// Returns the id of the only run.
fn id(world: &Scene) -> String {
    let run = object(&world.at(&["runs", "--json"]));
    run["run"].as_str().unwrap().to_owned()
}

fn objects(bytes: &[u8]) -> Vec<Value> {
    let lines = std::str::from_utf8(bytes).unwrap().lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn a_run_writes_the_lines_of_a_providers_results_and_names_what_they_cannot_hold() {
    let world = world();
    let openai = ["-o", "out.jsonl", "--output-format", "openai"];
    let written = world.run(&[&openai[..], &["--max-attempts", "1"]].concat());
    let left_out =
        "cannot represent metadata of 1 outcome, thinking of 1 outcome; to write everything";
    assert_says(&written, 3, &["warning: ", left_out]);
    let rows = lines(&world.path().join("out.jsonl"));
    let ids: Vec<&str> = rows
        .iter()
        .filter_map(|row| row["custom_id"].as_str())
        .collect();
    assert_eq!(ids, ["a", "7", "c"]);
    let completion = &rows[0]["response"]["body"];
    assert_eq!(completion["object"], "chat.completion");
    assert_eq!(
        completion["choices"][0]["message"]["content"],
        "echo: ü \"x\""
    );
    assert_eq!(rows[1]["response"]["status_code"], 400);
    let numbers: Vec<&str> = rows.iter().filter_map(|row| row["id"].as_str()).collect();
    assert_eq!(numbers, ["batch_req_0", "batch_req_1", "batch_req_2"]);
    // The same command finds its output, and the audit its lines.
    assert_says(&world.run(&openai), 3, &["complete and unchanged"]);
    let id = id(&world);
    assert_says(&world.at(&["audit", &id]), 0, &["output lines"]);
    // A moved output keeps the format, and --json has what was left out.
    let moved = world.at(&["resume", &id, "-o", "moved.jsonl.gz", "--json"]);
    assert_says(&moved, 3, &[r#""left_out":{"metadata":1,"thinking":1}"#]);
    assert!(world.path().join("moved.jsonl.gz").is_file());
    let anthropic = world.at(&["retrieve", &id, "--output-format", "anthropic"]);
    let rows = objects(&anthropic.stdout);
    let types: Vec<&str> = rows
        .iter()
        .filter_map(|row| row["result"]["type"].as_str())
        .collect();
    assert_eq!(types, ["succeeded", "errored", "succeeded"]);
    assert_eq!(world.creates(), 1);
}

#[test]
fn a_batch_is_retrieved_in_the_format_of_another_provider() {
    let world = world();
    let created = world.at(&["create", "in.jsonl", "-m", "openai/m"]);
    let batch = String::from_utf8(created.stdout).unwrap().trim().to_owned();
    let status = ["retrieve", &batch, "-p", "openai", "--doubt-wait", "5s"];
    let read = || world.at(&[&status[..], &["--output-format", "anthropic"]].concat());
    let mut retrieved = read();
    for _ in 0..200 {
        if retrieved.status.code() != Some(4) {
            break;
        }
        pause(50);
        retrieved = read();
    }
    assert_says(&retrieved, 3, &[]);
    let rows = objects(&retrieved.stdout);
    assert_eq!(rows.len(), 3);
    assert!(rows.iter().all(|row| row["result"]["type"].is_string()));
}

#[test]
fn options_that_a_providers_lines_cannot_represent_are_refused_before_anything_is_sent() {
    let world = world();
    for (more, words) in [
        (&["--keep", "id"][..], &["--keep", "cannot represent"][..]),
        (&["--raw"], &["--raw", "leave out --raw"]),
    ] {
        let format = ["-o", "out.jsonl", "--output-format", "openai"];
        assert_says(&world.run(&[&format[..], more].concat()), 2, words);
    }
    assert_eq!(world.creates(), 0);
}

#[expect(clippy::disallowed_methods, reason = "a test waits for a real program")]
fn pause(milliseconds: u64) {
    std::thread::sleep(std::time::Duration::from_millis(milliseconds));
}
