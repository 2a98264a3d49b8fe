//! `run --dry-run` takes the decisions of `run`, with the same exit code, without a key and without a trace.

use std::fs;
use std::path::Path;
use std::process::Output;

use lmbatch_tests::{Scene, assert_says, object, said};
use serde_json::{Value, json};

const TABLE: &str = r#"{"schema": "lmbatch-prices/1", "as_of": "2026-11-27", "models": [
    {"provider": "openai", "model": "m", "match": {"eq": ["m"], "prefix": ["m-"]},
     "realtime": [{"in": "2", "out": "8"}], "batch": [{"in": "1", "out": "4"}]}
]}"#;

fn world(prompts: &[&str]) -> Scene {
    let line = |prompt: &&str| json!({"id": prompt, "prompt": prompt});
    let world = Scene::new(prompts.iter().map(line));
    world.write("prices.json", TABLE);
    world.with_variable("LMBATCH_PRICES", "prices.json")
}

fn ask(world: &Scene, prompts: &[(&str, &str)]) {
    world.ask(
        prompts
            .iter()
            .map(|(id, prompt)| json!({"id": id, "prompt": prompt})),
    );
}

/// Runs the input with `--dry-run` and without a key.
fn dry(world: &Scene, more: &[&str]) -> Output {
    let run = ["run", "in.jsonl", "-m", "openai/m", "--dry-run"];
    let mut command = world.command("openai", &[&run[..], more].concat());
    command.env_remove("OPENAI_API_KEY");
    command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// Lists every file below a folder with its size, but for the files of the ledger that readers make.
fn files(folder: &Path) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    let mut left = vec![folder.to_owned()];
    while let Some(folder) = left.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let (path, facts) = (entry.path(), entry.metadata());
            let name = path.display().to_string();
            match facts {
                Ok(facts) if facts.is_dir() => left.push(path),
                Ok(facts) if !name.contains("ledger.db-") => found.push((name, facts.len())),
                _ => {}
            }
        }
    }
    found.sort();
    found
}

#[test]
fn an_answered_run_is_recognised_and_nothing_changes() {
    let world = world(&["one", "two"]);
    let messages = dry(&world, &[]);
    assert_says(&messages, 0, &["2 requests would be sent in 1 batch"]);
    assert_says(&world.run(&[]), 0, &["2 requests"]);
    let before = files(world.path());
    let again = dry(&world, &["--json"]);
    let plan = object(&again);
    assert_eq!(
        (&plan["requests"], &plan["batches"], &plan["bytes"]),
        (&json!(0), &json!(0), &json!(0)),
        "{plan}"
    );
    let run = plan["run"].as_str().unwrap_or_default();
    let words = format!("already answered by run {run}: nothing would be sent");
    assert!(run.starts_with("r-"), "{plan}");
    assert_says(&again, 0, &[&words]);
    assert!(
        !said(&again).contains("requests would be sent"),
        "{}",
        said(&again)
    );
    assert_eq!(files(world.path()), before);
    assert_says(
        &dry(&world, &["--new", "-o", "b.jsonl"]),
        0,
        &["2 requests would be sent"],
    );
    assert_eq!(world.creates(), 1);
}

#[test]
fn a_changed_input_is_refused_as_by_the_run_and_an_update_is_counted() {
    let world = world(&["one", "two", "three"]);
    assert_says(&world.run(&[]), 0, &[]);
    ask(&world, &[("one", "one"), ("two", "2"), ("four", "four")]);
    let refused = (dry(&world, &[]), world.run(&[]));
    for output in [&refused.0, &refused.1] {
        let words = [
            "have changed since run r-",
            "1 unchanged, 1 changed, 1 new, 1 gone",
            "hint: nothing was sent",
        ];
        assert_says(output, 2, &words);
    }
    let update = dry(&world, &["--update", "--json"]);
    assert_says(
        &update,
        0,
        &[
            "1 unchanged, 1 changed, 1 new, 1 gone",
            ": 2 requests would be sent; nothing was sent",
            "price of all requests, at most: about $",
        ],
    );
    let plan = object(&update);
    assert_eq!(
        (&plan["requests"], &plan["batches"]),
        (&json!(2), &Value::Null),
        "{plan}"
    );
    assert_eq!(world.creates(), 1);
    let updated = world.run(&["--update"]);
    assert_says(&updated, 0, &["1 unchanged, 1 changed, 1 new, 1 gone"]);
}

#[test]
fn refusals_have_the_exit_code_and_the_words_of_the_run() {
    let world = world(&["one"]);
    world.write("there.jsonl", "mine");
    let mut refused = Vec::new();
    for (more, words) in [
        (
            &["--max-cost", "0.5"][..],
            &[
                "sets no maximum number of output tokens",
                "hint: --max-tokens N, --expect-output N or --pilot N",
            ][..],
        ),
        (&["--update"], &["there is no run of this input to update"]),
        (&["-o", "there.jsonl"], &["already exists"]),
        (&["--run", "two\nlines"], &["--run: "]),
        (
            &["-o", "no/out.jsonl"],
            &[
                "there is no folder no",
                "hint: create it, or choose another path with -o",
            ],
        ),
    ] {
        assert_says(&dry(&world, more), 2, words);
        refused.push((more, words));
    }
    assert!(!world.path().join(".lmbatch").exists());
    for (more, words) in refused {
        assert_says(&world.run(more), 2, words);
    }
    let bounded = ["--max-cost", "0.5", "--max-tokens", "9"];
    assert_says(&dry(&world, &bounded), 0, &["1 request would be sent"]);
    assert_eq!(world.creates(), 0);
}

#[test]
fn a_dry_run_makes_no_state_folder() {
    let world = world(&["one"]);
    let output = dry(
        &world,
        &["--state-dir", "new", "--max-cost", "1", "--max-tokens", "9"],
    );
    assert_says(&output, 0, &["1 request would be sent"]);
    let emulated = dry(&world, &["--state-dir", "new", "--emulate"]);
    assert_says(&emulated, 0, &["1 request would be sent"]);
    assert!(!world.path().join("new").exists());
}

#[test]
fn a_run_that_has_not_ended_and_a_pilot_are_recognised() {
    let world = world(&["one", "two", "three"]);
    let pilot = world.run(&["--run", "first", "--pilot", "1"]);
    assert_says(&pilot, 4, &[]);
    let messages = dry(&world, &["--run", "first"]);
    assert_says(
        &messages,
        0,
        &[
            "is a pilot of these requests",
            "2 requests more would be sent",
        ],
    );
    let stopped = world.run(&["--run", "open", "--detach", "-o", "open.jsonl"]);
    assert_says(&stopped, 0, &["created 1 batch"]);
    let messages = dry(&world, &["--run", "open", "-o", "open.jsonl"]);
    let words = "has not ended, and would be resumed: each request is in a batch";
    assert_says(&messages, 0, &[words]);
    assert_eq!(world.creates(), 2);
}

#[test]
fn validate_estimate_dry_run_and_run_count_the_same_bytes() {
    let world = world(&["one", "two"]);
    let plan = object(&dry(&world, &["--json"]));
    let bytes = plan["bytes"].as_u64().unwrap_or_default();
    assert!(bytes > 0, "{plan}");
    let words = format!("{bytes} B");
    let both = |command| world.at(&[command, "in.jsonl", "-m", "openai/m"]);
    assert_says(&both("validate"), 0, &[&words]);
    assert_says(&dry(&world, &[]), 0, &[&format!("{words} in all")]);
    let estimate = said(&both("estimate"));
    assert!(estimate.contains(&format!("\t{bytes}\t")), "{estimate}");
    assert_says(&world.run(&[]), 0, &[&format!("{words} to send")]);
}
