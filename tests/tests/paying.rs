//! Reports before anything is paid for: estimates, the plan of a run, and the question on a terminal.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::ops::Deref;
use std::path::Path;
use std::process::{Command, Output};

use lmbatch_tests::{KEY, Scene, assert_fits, errors, lmbatch, object, on_terminal, said};
use serde_json::{Value, json};

/// A dollar for a million input tokens in batch, and four for output; a model that has retired, and one that has no
/// batch price.
const TABLE: &str = r#"{"schema": "lmbatch-prices/1", "as_of": "2026-11-27", "models": [
    {"provider": "openai", "model": "m", "realtime": [{"in": "2", "out": "8"}], "batch": [{"in": "1", "out": "4"}]},
    {"provider": "openai", "model": "dear", "batch": [{"in": "100000", "out": "100000"}]},
    {"provider": "openai", "model": "old", "retires": "2020-01-01", "batch": [{"in": "1", "out": "4"}]},
    {"provider": "openai", "model": "late", "retires": "2999-01-01", "batch": [{"in": "1", "out": "4"}]},
    {"provider": "anthropic", "model": "claude", "batch": [{"in": "0.5", "out": "2.5"}]}
]}"#;

/// A scene with three requests and with prices.
struct World(Scene);

impl Deref for World {
    type Target = Scene;

    fn deref(&self) -> &Scene {
        &self.0
    }
}

impl World {
    fn new() -> Self {
        let line = |id: &str| json!({"id": id, "prompt": format!("word {id}")});
        let scene = Scene::new(["a", "b", "c"].map(line));
        scene.write("prices.json", TABLE);
        Self(scene.with_variable("LMBATCH_PRICES", "prices.json"))
    }

    fn run(&self, model: &str, more: &[&str]) -> Output {
        let run = ["run", "in.jsonl", "-m", model, "--poll-interval", "20ms"];
        self.at(&[&run[..], more].concat())
    }
}

/// Runs the command where nothing is set but the prices: no key and no address of an emulator.
fn offline(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(lmbatch());
    command
        .env_clear()
        .env("HOME", folder)
        .env("LMBATCH_PRICES", "prices.json")
        .current_dir(folder)
        .args(args);
    command.output().unwrap()
}

fn printed(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Checks a JSON object against the schema that the command prints.
fn assert_fits_printed(folder: &Path, of: &str, value: &Value) {
    assert_fits(&object(&offline(folder, &["schema", of])), value);
}

#[test]
fn an_estimate_compares_models_offline() {
    let world = World::new();
    let estimate = offline(
        world.path(),
        &[
            "estimate",
            "in.jsonl",
            "-m",
            "openai/m",
            "-m",
            "anthropic/claude",
            "-m",
            "google/unlisted",
            "--max-tokens",
            "500",
        ],
    );
    assert_eq!(estimate.status.code(), Some(0), "{}", said(&estimate));
    let table = printed(&estimate);
    let rows: Vec<Vec<&str>> = table
        .lines()
        .map(|line| line.split('\t').collect())
        .collect();
    assert_eq!(
        rows[0],
        [
            "model",
            "requests",
            "bytes",
            "input tokens",
            "input",
            "output",
            "total"
        ]
    );
    // 3 requests × 500 tokens × 4 and 2.5 micro-dollars.
    assert_eq!(
        (rows[1][0], rows[1][1], rows[1][5]),
        ("openai/m", "3", "$0.006")
    );
    assert_eq!((rows[2][0], rows[2][5]), ("anthropic/claude", "$0.00375"));
    assert_eq!(rows[3][4..], ["unknown", "unknown", "unknown"]);
    let messages = errors(&estimate);
    for words in [
        "batch prices of 2026-11-27",
        "output at the limit of each request",
        "one for 3 bytes",
    ] {
        assert!(messages.contains(words), "{words}: {messages}");
    }
}

#[test]
fn an_estimate_is_one_object_whose_costs_are_exact() {
    let world = World::new();
    let args = ["estimate", "in.jsonl", "-m", "openai/m", "--json"];
    let all = object(&offline(world.path(), &args));
    assert_fits_printed(world.path(), "estimate", &all);
    let one = &all["models"][0];
    let tokens = one["input_tokens"].as_u64().unwrap();
    // Rows of some hundred bytes: the sum of a third of each, rounded up.
    let bytes = one["bytes"].as_u64().unwrap();
    assert!(tokens * 3 >= bytes - 3 && tokens * 3 <= bytes + 9, "{one}");
    // A micro-dollar for each input token; 1,000 output tokens of 4 micro-dollars for each request.
    let input = format!("0.{tokens:06}");
    let input = input.trim_end_matches('0');
    assert_eq!(one["input_usd"], json!({"low": input, "high": input}));
    assert_eq!(one["output_usd"], json!({"low": "0.012", "high": "0.012"}));
    assert_eq!(
        (&one["output_tokens"], &one["unlimited"]),
        (&json!(3_000), &json!(3))
    );
    let expecting = object(&offline(
        world.path(),
        &[&args[..], &["--expect-output", "10"]].concat(),
    ));
    let one = &expecting["models"][0];
    assert_eq!(one["output_usd"]["high"], "0.00012");
    assert_eq!(one["unlimited"], 0);
    let unknown = object(&offline(
        world.path(),
        &["estimate", "in.jsonl", "-m", "openai/unlisted", "--json"],
    ));
    assert_fits_printed(world.path(), "estimate", &unknown);
    assert_eq!(unknown["models"][0]["total_usd"], Value::Null);
}

#[test]
fn a_table_that_cannot_be_used_is_refused_with_its_place() {
    let world = World::new();
    let bad = TABLE.replace(r#""in": "0.5""#, r#""in": 0.5"#);
    world.write("bad.json", &bad);
    for command in [
        &["estimate", "in.jsonl"][..],
        &["run", "in.jsonl", "--dry-run"],
        &["run", "in.jsonl"],
    ] {
        for (file, words) in [
            (
                "bad.json",
                "bad.json: models[4].batch[0].in is not a string",
            ),
            ("in.jsonl", "in.jsonl: the text is not JSON"),
            ("gone.json", "gone.json cannot be read"),
        ] {
            let args = [command, &["-m", "openai/m", "--prices", file]].concat();
            let refused = world.at(&args);
            assert_eq!(
                refused.status.code(),
                Some(2),
                "{args:?}: {}",
                said(&refused)
            );
            assert!(
                errors(&refused).contains(words),
                "{words}: {}",
                said(&refused)
            );
        }
    }
    assert_eq!(world.creates(), 0);
    let twice = world.at(&["estimate", "-", "-m", "openai/m", "-m", "openai/old"]);
    assert_eq!(twice.status.code(), Some(2));
    assert!(errors(&twice).contains("read once"), "{}", said(&twice));
}

#[test]
fn a_run_prints_its_plan_before_anything_is_sent() {
    let world = World::new();
    let run = world.run(
        "openai/m",
        &["--max-tokens", "500", "--max-batch-requests", "2"],
    );
    assert_eq!(run.status.code(), Some(0), "{}", said(&run));
    let messages = errors(&run);
    let mut last = 0;
    for words in [
        "state: ",
        "requests: 3 in 2 batches, ",
        "input: about ",
        "tokens, one for 3 bytes: $0.",
        "answers: about 1,500 tokens, at the limit of each request: $0.006",
        "price: about $0.006",
        " at the batch prices of 2026-11-27",
        "endpoint: /v1/responses, with the key in OPENAI_API_KEY",
        "output: in.openai.m.jsonl",
        "created",
    ] {
        let at = messages.find(words);
        let at = at.unwrap_or_else(|| panic!("{words}: {messages}"));
        assert!(at >= last, "{words} comes too early: {messages}");
        last = at;
    }
    // Nothing is sent, so that nothing is planned.
    let again = world.run(
        "openai/m",
        &["--max-tokens", "500", "--max-batch-requests", "2"],
    );
    assert!(!errors(&again).contains("price: "), "{}", said(&again));
    let quiet = world.run("openai/m", &["--new", "--force", "--quiet"]);
    assert_eq!(errors(&quiet), "");
    let emulated = world.run("openai/m", &["--emulate", "-o", "emulated.jsonl"]);
    let messages = errors(&emulated);
    assert!(messages.contains("price: nothing is billed"), "{messages}");
    let unknown = world.run("openai/unlisted", &["-o", "unlisted.jsonl"]);
    let words = "price: unknown; the table of 2026-11-27 has no batch price of openai/unlisted";
    assert!(errors(&unknown).contains(words), "{}", said(&unknown));
}

#[test]
fn a_dry_run_shows_requests_as_they_are_sent_without_a_key() {
    let world = World::new();
    let args = ["run", "in.jsonl", "-m", "openai/m", "--dry-run"];
    let with = |more: &[&str]| offline(world.path(), &[&args[..], more].concat());
    let shown = with(&["--show", "1", "--show-id", "c"]);
    assert_eq!(shown.status.code(), Some(0), "{}", said(&shown));
    let text = printed(&shown);
    assert!(
        text.starts_with("a to /v1/responses:\n{\n  \"custom_id\": \""),
        "{text}"
    );
    assert!(text.contains("word a") && text.contains("word c") && !text.contains("word b"));
    assert!(text.contains("\n    \"model\": \"m\""), "{text}");
    for words in ["price: about $", "state: ", "nothing was sent"] {
        assert!(errors(&shown).contains(words), "{words}: {}", said(&shown));
    }
    let dry = object(&with(&["--json", "--show-id", "b"]));
    assert_fits_printed(world.path(), "dry-run", &dry);
    assert_eq!(dry["shown"].as_array().unwrap().len(), 1);
    assert_eq!(dry["shown"][0]["id"], "b");
    let row: Value = serde_json::from_str(dry["shown"][0]["row"].as_str().unwrap()).unwrap();
    assert_eq!(row["url"], "/v1/responses", "{row}");
    assert_eq!(row["body"]["model"], "m", "{row}");
    assert_eq!(dry["endpoints"], json!(["/v1/responses"]));
    assert_eq!(dry["key_variable"], "OPENAI_API_KEY");
    assert_eq!(dry["price"]["as_of"], "2026-11-27");
    assert!(dry["state_dir"].as_str().unwrap().starts_with('/'), "{dry}");
    let missing = with(&["--show-id", "z"]);
    assert_eq!(missing.status.code(), Some(2), "{}", said(&missing));
    assert!(errors(&missing).contains("in.jsonl has no request \"z\""));
    let alone = offline(world.path(), &[&args[..4], &["--show", "1"]].concat());
    assert_eq!(alone.status.code(), Some(2), "{}", said(&alone));
}

#[test]
fn a_model_that_retires_before_a_batch_may_have_ended_is_a_warning() {
    let world = World::new();
    let words = "warning: openai/old was retired on 2020-01-01 by the table of 2026-11-27";
    for args in [
        &["estimate", "in.jsonl", "-m", "openai/old"][..],
        &["run", "in.jsonl", "-m", "openai/old", "--dry-run"],
    ] {
        let messages = errors(&offline(world.path(), args));
        assert!(messages.contains(words), "{args:?}: {messages}");
        let later: Vec<&str> = args
            .iter()
            .map(|word| {
                if *word == "openai/old" {
                    "openai/late"
                } else {
                    word
                }
            })
            .collect();
        let messages = errors(&offline(world.path(), &later));
        assert!(!messages.contains("retire"), "{later:?}: {messages}");
    }
    assert!(errors(&world.run("openai/old", &[])).contains(words));
}

#[test]
fn a_terminal_is_asked_before_an_expensive_run_and_a_pipe_never() {
    let world = World::new();
    let run = |more: &[&str]| {
        let args = ["run", "in.jsonl", "--poll-interval", "20ms"];
        world.command("openai", &[&args[..], more].concat())
    };
    let unknown = "Send requests whose price is unknown? [y/N]";
    for (number, (args, answer, asked, exit)) in [
        (
            &["-m", "openai/dear"][..],
            "n\n",
            Some("Send requests for about $"),
            2,
        ),
        (
            &["-m", "openai/dear"],
            "\u{4}",
            Some("Send requests for about $"),
            2,
        ),
        (&["-m", "openai/unlisted"], "\n", Some(unknown), 2),
        (&["-m", "openai/m"], "", None, 0),
        (
            &["-m", "openai/dear"],
            "y\n",
            Some("Send requests for about $"),
            0,
        ),
        (
            &["-m", "openai/m", "--new", "--force", "--confirm-above", "0"],
            "yes\n",
            Some("Send"),
            0,
        ),
        (&["-m", "openai/unlisted", "-y"], "", None, 0),
        // The same run is not paid for again.
        (&["-m", "openai/dear"], "", None, 0),
        (
            &["-m", "openai/dear", "--emulate", "-o", "emulated.jsonl"],
            "",
            None,
            0,
        ),
        (&["-m", "openai/dear", "--dry-run"], "", None, 0),
    ]
    .into_iter()
    .enumerate()
    {
        let before = world.creates();
        let (code, text) = on_terminal(&mut run(args), answer);
        assert_eq!(code, Some(exit), "{number} {args:?}: {text}");
        assert_eq!(
            text.contains("[y/N]"),
            asked.is_some(),
            "{number} {args:?}: {text}"
        );
        assert!(
            text.contains(asked.unwrap_or("")),
            "{number} {args:?}: {text}"
        );
        if exit == 2 {
            assert!(text.contains("not confirmed; nothing was sent"), "{text}");
            assert_eq!(world.creates(), before, "{number} {args:?}");
        }
    }
    let piped = world.run("openai/dear", &["--new", "--force"]);
    assert_eq!(piped.status.code(), Some(0), "{}", said(&piped));
    assert!(!said(&piped).contains("[y/N]") && !said(&piped).contains(KEY));
}
