//! A schema that would check nothing is refused before anything is sent.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::path::Path;
use std::process::Output;

use lmbatch_tests::{Emulating, lines, said};
use serde_json::{Value, json};

const MODELS: [(&str, &str); 3] = [
    ("openai", "openai/m"),
    ("anthropic", "anthropic/claude-sonnet-4-5"),
    ("google", "google/gemini-2.5-flash"),
];

fn command(folder: &Path, args: &[&str]) -> Output {
    let mut command = std::process::Command::new(lmbatch_tests::lmbatch());
    command.current_dir(folder).args(args).output().unwrap()
}

#[test]
fn a_schema_that_cannot_be_compiled_is_refused_with_its_place_wherever_it_stands() {
    let of = |money: Value| json!({"type": "object", "required": ["total"], "properties": {"total": money}, "additionalProperties": false});
    let folder = tempfile::tempdir().unwrap();
    for (_, model) in MODELS {
        for (schema, words) in [
            (of(json!({"type": "nubmer"})), "/properties/total/type"),
            (of(json!({"$ref": "#/$defs/Money"})), "Money"),
            (
                of(json!({"type": "string", "pattern": "(?<=x)y("})),
                "pattern",
            ),
            (json!([1]), "not a JSON object"),
        ] {
            fs::write(folder.path().join("schema.json"), schema.to_string()).unwrap();
            fs::write(folder.path().join("plain.jsonl"), "{\"prompt\": \"x\"}\n").unwrap();
            let row = json!({"prompt": "x", "schema": schema});
            fs::write(folder.path().join("rows.jsonl"), format!("{row}\n")).unwrap();
            for args in [
                &[
                    "validate",
                    "plain.jsonl",
                    "-m",
                    model,
                    "--schema",
                    "schema.json",
                ][..],
                &["validate", "rows.jsonl", "-m", model],
                &[
                    "run",
                    "plain.jsonl",
                    "--emulate",
                    "-m",
                    model,
                    "--schema",
                    "schema.json",
                ],
                &["run", "rows.jsonl", "--emulate", "-m", model],
            ] {
                let refused = command(folder.path(), args);
                assert_eq!(
                    refused.status.code(),
                    Some(2),
                    "{args:?} {schema}: {}",
                    said(&refused)
                );
                assert!(
                    said(&refused).contains(words),
                    "{args:?} {schema}: {}",
                    said(&refused)
                );
            }
        }
    }
    // In a body that travels as it is.
    let format =
        json!({"type": "json_schema", "name": "n", "schema": of(json!({"type": "nubmer"}))});
    let line = json!({"custom_id": "a", "method": "POST", "url": "/v1/responses", "body": {"model": "m", "input": "x", "text": {"format": format}}});
    fs::write(folder.path().join("raw.jsonl"), format!("{line}\n")).unwrap();
    let refused = command(folder.path(), &["validate", "raw.jsonl", "-m", "openai/m"]);
    assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
}

#[test]
fn a_schema_is_read_behind_a_byte_order_mark_and_out_of_its_envelope() {
    let inner = json!({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": false});
    let envelope = json!({"name": "x", "strict": true, "schema": inner});
    let format = json!({"type": "json_schema", "json_schema": envelope});
    let (emulating, folder) = (Emulating::start(), tempfile::tempdir().unwrap());
    let input = [
        json!({"id": "good", "prompt": "x"}),
        json!({"id": "bad", "prompt": "lmb:schema-miss"}),
    ];
    let input: Vec<String> = input.iter().map(ToString::to_string).collect();
    fs::write(folder.path().join("in.jsonl"), input.join("\n")).unwrap();
    for text in [
        format!("\u{feff}{inner}"),
        envelope.to_string(),
        format!("\u{feff}{format}"),
    ] {
        fs::write(folder.path().join("schema.json"), &text).unwrap();
        let run = emulating.run_at(
            "openai",
            folder.path(),
            &[
                "run",
                "in.jsonl",
                "-m",
                "openai/m",
                "--schema",
                "schema.json",
                "-o",
                "out.jsonl",
                "--force",
                "--new",
                "--poll-interval",
                "20ms",
            ],
        );
        assert_eq!(run.status.code(), Some(3), "{text}: {}", said(&run));
        let problems: Vec<Value> = lines(&folder.path().join("out.jsonl"))
            .iter()
            .map(|line| line["problem"].clone())
            .collect();
        assert_eq!(
            problems,
            [json!(null), json!("invalid_structured")],
            "{text}"
        );
    }
}

#[test]
fn a_map_is_refused_with_its_place_where_a_provider_takes_closed_objects_only() {
    let folder = tempfile::tempdir().unwrap();
    let schema = json!({"type": "object", "properties": {"m": {"type": "object", "additionalProperties": {"type": "string"}}}, "required": ["m"]});
    let row = json!({"id": "a", "prompt": "x", "schema": schema});
    fs::write(folder.path().join("in.jsonl"), format!("{row}\n")).unwrap();
    let refused = command(
        folder.path(),
        &["validate", "in.jsonl", "-m", "anthropic/claude-sonnet-4-5"],
    );
    assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
    assert!(
        said(&refused).contains("#/properties/m"),
        "{}",
        said(&refused)
    );
    let taken = command(folder.path(), &["validate", "in.jsonl", "-m", "openai/m"]);
    assert_eq!(taken.status.code(), Some(0), "{}", said(&taken));
}
