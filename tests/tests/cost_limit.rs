//! Cost limit of a run, against the bill of an emulator in another process.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::path::Path;
use std::process::Output;

use lmbatch::prices::PriceTable;
use lmbatch_core::{Cost, Prices as _, Pricing, TokenUsage};
use lmbatch_tests::{Emulating, lines, said, write_input};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A little more than a tenth of a cent for an output token, and next to nothing for input; twice as much in real time.
const TABLE: &str = r#"{"schema": "lmbatch-prices/1", "as_of": "2026-11-27", "models": [
    {"provider": "openai", "model": "m", "match": {"eq": ["m"], "prefix": ["m-"]},
     "realtime": [{"in": "0.000002", "out": "2000.000002"}], "batch": [{"in": "0.000001", "out": "1000.000001"}]}
]}"#;

struct World {
    emulating: Emulating,
    home: TempDir,
}

impl World {
    fn new(prompts: &[&str]) -> Self {
        let world = Self {
            emulating: Emulating::start(),
            home: tempfile::tempdir().unwrap(),
        };
        let line = |prompt: &&str| json!({"id": prompt, "prompt": prompt});
        write_input(world.path(), prompts.iter().map(line));
        fs::write(world.path().join("prices.json"), TABLE).unwrap();
        world
    }

    fn path(&self) -> &Path {
        self.home.path()
    }

    fn at(&self, args: &[&str]) -> Output {
        let mut command = self.emulating.command_at("openai", self.path());
        command.env("LMBATCH_PRICES", "prices.json").args(args);
        command.output().unwrap()
    }

    fn run(&self, more: &[&str]) -> Output {
        let run = [
            "run",
            "in.jsonl",
            "-m",
            "openai/m",
            "-o",
            "out.jsonl",
            "--run",
            "mine",
            "--poll-interval",
            "20ms",
            "--json",
        ];
        self.at(&[&run[..], more].concat())
    }

    fn accepted(&self) -> u64 {
        self.emulating.bill()["creates"].as_u64().unwrap()
    }
}

fn one(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {}", said(output)))
}

/// Returns the cost of an output line by its usage.
fn cost_of(line: &Value) -> Cost {
    let usage: TokenUsage = serde_json::from_value(line["usage"].clone()).unwrap();
    let table = PriceTable::from_json(TABLE).unwrap();
    let at = std::time::SystemTime::UNIX_EPOCH;
    table
        .cost("openai", "m", Pricing::Batch, at, &usage)
        .unwrap()
        .high
}

#[test]
fn a_run_that_reaches_its_limit_ends_with_5_and_continues_with_a_higher_one() {
    let world = World::new(&["one", "two", "three"]);
    let limited = ["--max-tokens", "20", "--max-batch-requests", "1"];
    // The largest cost of a request is a little more than $0.02, that of 20 output tokens. An answer has at least one
    // token, so that the second request does not fit after the first.
    let stopped = world.run(&[&limited[..], &["--max-cost", "0.0205"]].concat());
    assert_eq!(stopped.status.code(), Some(5), "{}", said(&stopped));
    let error = &one(&stopped)["error"];
    assert_eq!(error["kind"], "cost_limit");
    let hint = error["hint"].as_str().unwrap();
    assert!(hint.contains("--max-cost"), "{hint}");
    assert_eq!(world.accepted(), 1);
    // The limit is kept with the run.
    let again = world.at(&["resume", "mine", "--json"]);
    assert_eq!(again.status.code(), Some(5), "{}", said(&again));
    assert_eq!(world.accepted(), 1);
    let shown = world.at(&["show", "mine"]);
    let text = said(&shown);
    assert!(text.contains("cost limit $0.0205"), "{text}");
    let finished = world.at(&[
        "resume",
        "mine",
        "--max-cost",
        "1",
        "--poll-interval",
        "20ms",
        "--json",
    ]);
    assert_eq!(finished.status.code(), Some(0), "{}", said(&finished));
    assert_eq!(world.accepted(), 3);
    // The cost that is printed is that of the bill, to the pico-dollar.
    let lines = lines(&world.path().join("out.jsonl"));
    let total: Cost = lines.iter().map(cost_of).sum();
    let text = fs::read_to_string(world.path().join("out.jsonl")).unwrap();
    for line in &lines {
        let exact = format!("\"cost_usd\":{}", cost_of(line).dollars());
        assert!(text.contains(&exact), "{exact}: {text}");
    }
    let cost = &one(&finished)["cost"];
    assert_eq!(cost["usd"], total.dollars(), "{cost}");
    assert_eq!(cost["saved_usd"], total.dollars(), "{cost}");
    assert_eq!(
        (&cost["unknown_answers"], &cost["prices_as_of"]),
        (&json!(0), &json!("2026-11-27"))
    );
    let audit = one(&world.at(&["audit", "mine", "--json"]));
    assert_eq!(audit["cost"]["usd"], total.dollars(), "{audit}");
    assert_eq!(world.emulating.bill()["answered_requests"], 3);
}

#[test]
fn replaced_answers_are_in_the_cost_and_shown_apart() {
    let world = World::new(&["one", "lmb:truncate"]);
    let first = world.run(&[]);
    assert_eq!(first.status.code(), Some(3), "{}", said(&first));
    let once: Vec<Value> = lines(&world.path().join("out.jsonl"));
    let requeue = [
        "requeue",
        "mine",
        "--only",
        "truncated",
        "--max-attempts",
        "1",
    ];
    let again = world.at(&[&requeue[..], &["--poll-interval", "20ms", "--json"]].concat());
    let twice: Vec<Value> = lines(&world.path().join("out.jsonl"));
    let (replaced, now) = (cost_of(&once[1]), cost_of(&twice[1]));
    let total = cost_of(&once[0])
        .saturating_add(replaced)
        .saturating_add(now);
    let cost = &one(&again)["cost"];
    assert_eq!(cost["usd"], total.dollars(), "{cost}");
    assert_eq!(cost["superseded"]["usd"], replaced.dollars(), "{cost}");
    let attempts = cost["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 2, "{cost}");
    assert_eq!(attempts[1]["usd"], now.dollars(), "{cost}");
}

#[test]
fn a_limit_without_a_bound_or_a_price_sends_nothing() {
    for (model, more, reason) in [
        (
            "openai/m",
            &[][..],
            "sets no maximum number of output tokens",
        ),
        ("openai/new", &["--max-tokens", "9"], "has no known price"),
    ] {
        let world = World::new(&["one"]);
        let run = [
            "run",
            "in.jsonl",
            "-m",
            model,
            "-o",
            "out.jsonl",
            "--max-cost",
            "1",
        ];
        let refused = world.at(&[&run[..], more].concat());
        assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
        let text = said(&refused);
        assert!(
            text.contains(reason) && text.contains("nothing was sent"),
            "{text}"
        );
        let bill = world.emulating.bill();
        assert_eq!((&bill["creates"], &bill["uploads"]), (&json!(0), &json!(0)));
    }
    let world = World::new(&["one"]);
    let expecting = world.run(&["--max-cost", "1", "--expect-output", "50"]);
    assert_eq!(expecting.status.code(), Some(0), "{}", said(&expecting));
}
