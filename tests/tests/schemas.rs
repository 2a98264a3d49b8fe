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
fn an_invalid_schema_is_refused_with_its_location() {
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
    // In a raw body, which is sent unchanged.
    let format =
        json!({"type": "json_schema", "name": "n", "schema": of(json!({"type": "nubmer"}))});
    let line = json!({"custom_id": "a", "method": "POST", "url": "/v1/responses", "body": {"model": "m", "input": "x", "text": {"format": format}}});
    fs::write(folder.path().join("raw.jsonl"), format!("{line}\n")).unwrap();
    let refused = command(folder.path(), &["validate", "raw.jsonl", "-m", "openai/m"]);
    assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
}

/// Runs the case of a former bug report: its folder, the arguments of its run, and the expected result.
fn reported(case: &str, model: &str, args: &[&str], exit: i32, words: &[&str]) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/cases")
        .join(case);
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("input.jsonl"),
        "{\"id\": \"a\", \"prompt\": \"Hi\"}\n",
    )
    .unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), folder.path().join(file.file_name())).unwrap();
    }
    for command_line in [
        &["validate", "input.jsonl"][..],
        &["run", "input.jsonl", "--dry-run"],
        &["run", "input.jsonl", "--emulate"],
    ] {
        let args: Vec<&str> = command_line
            .iter()
            .chain(&["-m", model])
            .chain(args)
            .copied()
            .collect();
        let output = command(folder.path(), &args);
        assert_eq!(
            output.status.code(),
            Some(exit),
            "{case} {args:?}: {}",
            said(&output)
        );
        for word in words {
            assert!(
                said(&output).contains(word),
                "{case} {args:?}: {}",
                said(&output)
            );
        }
    }
}

/// A schema file may begin with one byte order mark.
#[test]
fn schema_file_with_bom() {
    const MARK: &str = "\u{feff}";
    let schema = r#"{"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": false}"#;
    let utf_16: Vec<u8> = format!("{MARK}{schema}")
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("in.jsonl"), "{\"prompt\": \"x\"}\n").unwrap();
    for (_, model) in MODELS {
        for (bytes, exit, words) in [
            (schema.as_bytes().to_vec(), 0, ""),
            (format!("{MARK}{schema}").into_bytes(), 0, ""),
            (format!("{MARK}\r\n  {schema}\r\n").into_bytes(), 0, ""),
            (
                format!("{MARK}{}", schema.replace("\"a\"", "\"a\u{feff}b\"")).into_bytes(),
                0,
                "",
            ),
            (
                format!("{MARK}{MARK}{schema}").into_bytes(),
                2,
                "is not JSON",
            ),
            (format!("{schema}{MARK}").into_bytes(), 2, "is not JSON"),
            (MARK.as_bytes().to_vec(), 2, "is not JSON"),
            (format!("{MARK}[1]").into_bytes(), 2, "it is an array"),
            (utf_16.clone(), 2, "schema.json"),
        ] {
            fs::write(folder.path().join("schema.json"), &bytes).unwrap();
            for command_line in [
                &["validate", "in.jsonl"][..],
                &["run", "in.jsonl", "--dry-run"],
            ] {
                let more = ["-m", model, "--schema", "schema.json"];
                let output = command(folder.path(), &[command_line, &more].concat());
                let found = said(&output);
                assert_eq!(
                    output.status.code(),
                    Some(exit),
                    "{model} {bytes:?}: {found}"
                );
                assert!(found.contains(words), "{model} {bytes:?}: {found}");
            }
        }
        reported(
            "schema-file-with-bom",
            model,
            &["--schema", "schema.json"],
            0,
            &[],
        );
    }
}

/// A schema in its envelope is refused.
#[test]
fn schema_in_its_envelope() {
    for (_, model) in MODELS {
        let words = ["--schema: schema.json", "envelope", "at /schema"];
        reported(
            "schema-in-its-envelope",
            model,
            &["--schema", "schema.json"],
            2,
            &words,
        );
    }
}

/// An object that is not a schema is refused, wherever it stands, with the position of its fault.
#[test]
fn schema_that_is_none() {
    for (_, model) in MODELS {
        reported(
            "schema-that-is-none",
            model,
            &[],
            2,
            &["#/properties/a/type"],
        );
    }
    let folder = tempfile::tempdir().unwrap();
    for (schema, words) in [
        (
            json!({"a": {"type": "string"}, "b": {"type": "number"}}),
            "no keyword",
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": ["null", "nubmer"]}}}),
            "#/properties/a/type",
        ),
        (
            json!({"type": "object", "properties": {"a": {"enum": []}}}),
            "#/properties/a/enum",
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "string", "enum": [1]}}}),
            "#/properties/a/enum",
        ),
        (
            json!({"type": "object", "properties": {"a": {}}, "required": ["zz"], "additionalProperties": false}),
            "#/required",
        ),
        (
            json!({"type": "object", "properties": {"a": {"$ref": "https://x.test/y"}}}),
            "#/properties/a/$ref",
        ),
        (
            json!({"$schema": "https://x.test/y", "type": "object"}),
            "#/$schema",
        ),
        (json!(true), "a boolean"),
    ] {
        for (_, model) in MODELS {
            let line = json!({"prompt": "Hi", "schema": schema});
            fs::write(folder.path().join("in.jsonl"), format!("{line}\n")).unwrap();
            for command_line in [
                &["validate", "in.jsonl"][..],
                &["run", "in.jsonl", "--dry-run"],
            ] {
                let output = command(folder.path(), &[command_line, &["-m", model]].concat());
                assert_eq!(
                    output.status.code(),
                    Some(2),
                    "{model} {schema}: {}",
                    said(&output)
                );
                assert!(
                    said(&output).contains(words),
                    "{model} {schema}: {}",
                    said(&output)
                );
            }
        }
    }
}

/// The parameters of a tool are a schema of an object; every provider refuses others in each row.
#[test]
fn the_parameters_of_a_tool_are_checked_before_sending() {
    let folder = tempfile::tempdir().unwrap();
    let own = |parameters: &Value| json!({"prompt": "Hi", "tools": [{"name": "f", "parameters": parameters}]});
    let raw = |parameters: &Value| json!({"custom_id": "a", "method": "POST", "url": "/v1/responses", "body": {"model": "m", "input": "x", "tools": [{"type": "function", "name": "f", "parameters": parameters}]}});
    for (parameters, words) in [
        (json!({"type": "strnig"}), "#/type"),
        (
            json!({"type": "array", "items": {}}),
            "arguments are an object",
        ),
        (json!(true), "a boolean"),
        (json!([]), "an array"),
        (
            json!({"type": "object", "properties": {"a": {"$ref": "http://x/y"}}}),
            "#/properties/a/$ref",
        ),
        (
            json!({"type": "object", "properties": {"a": {"enum": []}}}),
            "#/properties/a/enum",
        ),
    ] {
        let lines = MODELS.iter().map(|(_, model)| (own(&parameters), *model));
        for (line, model) in lines.chain([(raw(&parameters), "openai/m")]) {
            fs::write(folder.path().join("in.jsonl"), format!("{line}\n")).unwrap();
            let output = command(folder.path(), &["validate", "in.jsonl", "-m", model]);
            assert_eq!(
                output.status.code(),
                Some(2),
                "{model} {line}: {}",
                said(&output)
            );
            for words in [words, "the tool \"f\""] {
                assert!(
                    said(&output).contains(words),
                    "{model} {line}: {}",
                    said(&output)
                );
            }
        }
    }
}

/// A map field is refused only where the provider lacks it.
#[test]
fn map_field_at_anthropic() {
    let model = "anthropic/claude-sonnet-4-5";
    reported(
        "map-field-at-anthropic",
        model,
        &[],
        2,
        &["#/properties/m", "additionalProperties"],
    );
    let lenient = ["--schema-mode", "lenient"];
    reported(
        "map-field-at-anthropic",
        model,
        &lenient,
        0,
        &["schema: ", "free keys", "#/properties/m"],
    );
    for model in ["openai/m", "google/gemini-2.5-flash"] {
        reported("map-field-at-anthropic", model, &[], 0, &[]);
    }
    let inline = ["--route", "inline"];
    reported(
        "map-field-at-anthropic",
        "google/gemini-2.5-flash",
        &inline,
        2,
        &["#/properties/m"],
    );
}

#[test]
fn a_file_without_a_schema_is_refused_with_the_reason() {
    let inner = json!({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": false});
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("plain.jsonl"), "{\"prompt\": \"x\"}\n").unwrap();
    for (text, words) in [
        (
            json!({"type": "json_schema", "json_schema": {"name": "x", "schema": inner}})
                .to_string(),
            "/json_schema/schema",
        ),
        (
            json!({"text": {"format": {"type": "json_schema", "name": "x", "schema": inner}}})
                .to_string(),
            "/text/format/schema",
        ),
        (
            json!({"output_config": {"format": {"type": "json_schema", "schema": inner}}})
                .to_string(),
            "/output_config/format/schema",
        ),
        (
            json!({"generationConfig": {"responseSchema": inner}}).to_string(),
            "/generationConfig/responseSchema",
        ),
        (json!([inner]).to_string(), "it is an array"),
        ("true".to_owned(), "it is a boolean"),
        ("null".to_owned(), "it is null"),
        ("\"object\"".to_owned(), "it is a string"),
        (
            json!({"name": "Ada", "age": 36}).to_string(),
            "no keyword of JSON Schema",
        ),
        (
            json!({"type": "object", "properties": {"a": {"$ref": "https://schemas.test/a.json"}}})
                .to_string(),
            "#/properties/a/$ref",
        ),
        (
            json!({"type": "object", "properties": {"a": {"$ref": "other.json#/a"}}}).to_string(),
            "refers outside",
        ),
        ("type: object".to_owned(), "is not JSON"),
        (String::new(), "is not JSON"),
    ] {
        fs::write(folder.path().join("schema.json"), &text).unwrap();
        for (_, model) in MODELS {
            let args = [
                "run",
                "plain.jsonl",
                "--emulate",
                "-m",
                model,
                "--schema",
                "schema.json",
            ];
            let refused = command(folder.path(), &args);
            assert_eq!(
                refused.status.code(),
                Some(2),
                "{model} {text}: {}",
                said(&refused)
            );
            assert!(
                said(&refused).contains(words),
                "{model} {text}: {}",
                said(&refused)
            );
            assert!(
                said(&refused).contains("--schema: schema.json"),
                "{}",
                said(&refused)
            );
        }
        let Ok(value) = serde_json::from_str::<Value>(&text) else {
            continue;
        };
        if value.is_null() {
            continue;
        }
        let row = json!({"prompt": "x", "schema": value});
        fs::write(folder.path().join("rows.jsonl"), format!("{row}\n")).unwrap();
        let refused = command(folder.path(), &["validate", "rows.jsonl", "-m", "openai/m"]);
        assert_eq!(refused.status.code(), Some(2), "{row}: {}", said(&refused));
        assert!(said(&refused).contains(words), "{row}: {}", said(&refused));
    }
}

#[test]
fn changes_to_a_schema_are_reported_in_one_line_before_sending() {
    let schema = json!({"type": "object", "properties": {
        "kind": {"oneOf": [{"type": "string"}, {"type": "integer"}]},
        "size": {"type": "integer", "minimum": 1, "default": 2},
    }, "required": ["kind"], "additionalProperties": false});
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("schema.json"), schema.to_string()).unwrap();
    fs::write(
        folder.path().join("in.jsonl"),
        "{\"prompt\": \"x\"}\n{\"prompt\": \"y\"}\n",
    )
    .unwrap();
    for (model, words) in [
        (
            "openai/m",
            [
                "sent without strict",
                "property not required (#/properties/size)",
            ],
        ),
        (
            "anthropic/claude-sonnet-4-5",
            [
                "oneOf sent as anyOf (#/properties/kind)",
                "minimum, default moved to descriptions",
            ],
        ),
        (
            "google/gemini-2.5-flash",
            [
                "oneOf sent as anyOf (#/properties/kind)",
                "default moved to descriptions",
            ],
        ),
    ] {
        for args in [
            &["validate", "in.jsonl"][..],
            &["run", "in.jsonl", "--dry-run"],
            &["run", "in.jsonl", "--emulate"],
        ] {
            let args: Vec<&str> = args
                .iter()
                .copied()
                .chain(["-m", model, "--schema", "schema.json"])
                .collect();
            let output = command(folder.path(), &args);
            let said = said(&output);
            assert_eq!(output.status.code(), Some(0), "{args:?}: {said}");
            let lines: Vec<&str> = said
                .lines()
                .filter(|line| line.contains("schema: "))
                .collect();
            let [line] = lines.as_slice() else {
                panic!("{args:?}: {said}");
            };
            for word in words {
                assert!(line.contains(word), "{args:?}: {line}");
            }
        }
        // A closed, complete and plain schema is sent unchanged, without a note.
        let plain = json!({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": false});
        let row = json!({"prompt": "x", "schema": plain});
        fs::write(folder.path().join("rows.jsonl"), format!("{row}\n")).unwrap();
        let output = command(folder.path(), &["validate", "rows.jsonl", "-m", model]);
        assert!(!said(&output).contains("schema: "), "{}", said(&output));
    }
}

#[test]
fn unsupported_keywords_are_refused_by_name_unless_lenient() {
    let node = |required: Value| json!({"type": "object", "properties": {"next": {"$ref": "#"}}, "required": required, "additionalProperties": false});
    let list = json!({"type": "array", "items": {"type": "string"}});
    let folder = tempfile::tempdir().unwrap();
    for (provider, model, schema, words) in [
        (
            "openai",
            "openai/m",
            list.clone(),
            Some("root (#) is an object"),
        ),
        (
            "openai",
            "openai/m",
            json!({"anyOf": [{"type": "object"}, {"type": "null"}]}),
            Some("root (#) is an object"),
        ),
        ("openai", "openai/m", node(json!(["next"])), None),
        (
            "anthropic",
            "anthropic/claude-sonnet-4-5",
            node(json!([])),
            Some("contains itself"),
        ),
        (
            "anthropic",
            "anthropic/claude-sonnet-4-5",
            json!({"type": "object"}),
            Some("free keys"),
        ),
        (
            "anthropic",
            "anthropic/claude-sonnet-4-5",
            list.clone(),
            None,
        ),
        (
            "google",
            "google/gemini-2.5-flash",
            node(json!(["next"])),
            Some("not required"),
        ),
        ("google", "google/gemini-2.5-flash", node(json!([])), None),
        ("google", "google/gemini-2.5-flash", list, None),
    ] {
        let row = json!({"prompt": "x", "schema": schema});
        fs::write(folder.path().join("in.jsonl"), format!("{row}\n")).unwrap();
        let strict = command(folder.path(), &["validate", "in.jsonl", "-m", model]);
        let expected = words.map_or(0, |_| 2);
        assert_eq!(
            strict.status.code(),
            Some(expected),
            "{provider} {schema}: {}",
            said(&strict)
        );
        assert!(
            said(&strict).contains(words.unwrap_or_default()),
            "{}",
            said(&strict)
        );
        let lenient = command(
            folder.path(),
            &[
                "validate",
                "in.jsonl",
                "-m",
                model,
                "--schema-mode",
                "lenient",
            ],
        );
        assert_eq!(
            lenient.status.code(),
            Some(0),
            "{provider} {schema}: {}",
            said(&lenient)
        );
    }
    let unknown = command(
        folder.path(),
        &[
            "validate",
            "in.jsonl",
            "-m",
            "openai/m",
            "--schema-mode",
            "loose",
        ],
    );
    assert_eq!(unknown.status.code(), Some(2));
    assert!(
        said(&unknown).contains("strict, lenient"),
        "{}",
        said(&unknown)
    );
}

#[test]
fn a_schema_mismatch_is_reported_with_its_location_and_a_refusal_is_no_mismatch() {
    let schema = json!({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": false});
    let input = [
        json!({"id": "good", "prompt": "x"}),
        json!({"id": "bad", "prompt": "lmb:schema-miss"}),
        json!({"id": "prose", "prompt": "lmb:invalid-json"}),
        json!({"id": "refused", "prompt": "lmb:refuse"}),
    ];
    let input: Vec<String> = input.iter().map(ToString::to_string).collect();
    for (provider, model) in MODELS {
        let (emulating, folder) = (Emulating::start(), tempfile::tempdir().unwrap());
        fs::write(folder.path().join("in.jsonl"), input.join("\n")).unwrap();
        fs::write(folder.path().join("schema.json"), schema.to_string()).unwrap();
        let args = [
            "run",
            "in.jsonl",
            "-m",
            model,
            "--schema",
            "schema.json",
            "-o",
            "out.jsonl",
            "--poll-interval",
            "20ms",
        ];
        let run = emulating.run_at(provider, folder.path(), &args);
        assert_eq!(run.status.code(), Some(3), "{}", said(&run));
        for line in lines(&folder.path().join("out.jsonl")) {
            let id = line["id"].as_str().unwrap();
            let is_misfit = ["bad", "prose"].contains(&id);
            assert_eq!(line["problem"] == "invalid_structured", is_misfit, "{line}");
            assert_eq!(line["schema_error"].is_object(), is_misfit, "{line}");
            if is_misfit {
                assert!(line["schema_error"]["path"].is_string(), "{line}");
                assert!(
                    !line["schema_error"]["reason"].as_str().unwrap().is_empty(),
                    "{line}"
                );
                assert!(!line["text"].as_str().unwrap().is_empty(), "{line}");
            }
        }
    }
}
