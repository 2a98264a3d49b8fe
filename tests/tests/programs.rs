//! The command's JSON output matches the schemas that the command itself prints.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::Path;
use std::process::Output;

use lmbatch_tests::{Emulating, lines};
use serde_json::{Value, json};

const MODELS: [(&str, &str); 3] = [
    ("openai", "openai/m"),
    ("anthropic", "anthropic/claude-sonnet-4-5"),
    ("google", "google/gemini-2.5-flash"),
];

/// Requests with every kind of outcome.
fn asked() -> Vec<Value> {
    let ends = [
        "plain",
        "truncate",
        "refuse",
        "filter",
        "tool",
        "empty",
        "invalid-json",
        "think",
        "unknown-item",
        "expire",
        "unanswered",
        "twice",
        "foreign",
        "failed",
    ];
    let lines = ends.iter().enumerate();
    let mut lines: Vec<Value> = lines
        .map(|(k, prompt)| json!({"id": format!("q{k}"), "prompt": format!("lmb:{prompt}")}))
        .collect();
    lines.push(
        json!({"prompt": "lmb:schema-miss", "schema": {"type": "object", "properties": {"a": {"type": "string"}}}, "metadata": {"k": [1]}}),
    );
    lines
}

fn one(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(
        text.lines().count(),
        1,
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_str(&text).unwrap()
}

fn fits<'a>(schema: &Value, values: impl IntoIterator<Item = &'a Value>) {
    let schema = jsonschema::validator_for(schema).unwrap();
    for value in values {
        let errors: Vec<String> = schema
            .iter_errors(value)
            .map(|error| error.to_string())
            .collect();
        assert!(errors.is_empty(), "{value}: {errors:?}");
    }
}

#[test]
fn inputs_outputs_and_summaries_match_their_schemas() {
    for (provider, model) in MODELS {
        let (emulating, folder) = (Emulating::start(), tempfile::tempdir().unwrap());
        let at = |args: &[&str]| emulating.run_at(provider, folder.path(), args);
        let schema =
            |of: &str| serde_json::from_slice::<Value>(&at(&["schema", of]).stdout).unwrap();
        let text: Vec<String> = asked().iter().map(Value::to_string).collect();
        std::fs::write(folder.path().join("in.jsonl"), text.join("\n")).unwrap();
        fits(&schema("input"), &asked());
        let run = at(&[
            "run",
            "in.jsonl",
            "-m",
            model,
            "-o",
            "out.jsonl",
            "--json",
            "--max-attempts",
            "1",
            "--poll-interval",
            "20ms",
        ]);
        assert_eq!(run.status.code(), Some(3));
        fits(&schema("summary"), [&one(&run)]);
        let outcomes = lines(&folder.path().join("out.jsonl"));
        assert_eq!(outcomes.len(), asked().len());
        fits(&schema("output"), &outcomes);
    }
}

#[test]
fn a_run_is_shown_as_json_with_its_batches_and_their_certainty() {
    let (emulating, folder) = (Emulating::start(), tempfile::tempdir().unwrap());
    let at = |args: &[&str]| emulating.run_at("openai", folder.path(), args);
    std::fs::write(
        folder.path().join("in.jsonl"),
        "{\"prompt\": \"a\"}\n{\"prompt\": \"b\"}",
    )
    .unwrap();
    let run = [
        "run",
        "in.jsonl",
        "-m",
        "openai/m",
        "-o",
        "out.jsonl",
        "--run",
        "mine",
        "--max-batch-requests",
        "1",
        "--poll-interval",
        "20ms",
    ];
    assert_eq!(at(&run).status.code(), Some(0));
    let shown = one(&at(&["show", "mine", "--json"]));
    let mut listed = one(&at(&["runs", "--json"]));
    assert_eq!(one(&at(&["status", "mine", "--json"])), listed);
    listed["batches"] = shown["batches"].clone();
    assert_eq!(listed, shown);
    let path = |value: &Value| {
        Path::new(value.as_str().unwrap())
            .file_name()
            .map(|name| name.to_owned())
    };
    assert_eq!(path(&shown["output"]).unwrap(), "out.jsonl");
    let bill = emulating.bill();
    let batches = shown["batches"].as_array().unwrap();
    assert_eq!((&shown["state"], batches.len()), (&json!("finished"), 2));
    for (number, batch) in batches.iter().enumerate() {
        let label = &batch["label"];
        let mut created = bill["batches"].as_array().unwrap().iter();
        let created = created.find(|one| one["metadata"]["lmbatch"] == *label);
        let suffix = format!("-{number}");
        assert!(label.as_str().unwrap().ends_with(&suffix), "{label}");
        let wanted = json!({
            "number": number + 1, "attempt": 1, "requests": 1, "state": "fetched",
            "batch": created.unwrap()["id"], "certainty": "proved", "evidence": "id returned by the create",
            "label": label, "status": null, "expires_at": null,
            "counts": {"total": 1, "succeeded": 1, "errored": 0, "expired": 0, "cancelled": 0},
            "repair": false,
        });
        assert_eq!(*batch, wanted);
    }
}
