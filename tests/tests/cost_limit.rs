//! Cost limit of a run, against the bill of an emulator in another process.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::process::Output;

use lmbatch::prices::PriceTable;
use lmbatch_core::{Cost, Prices as _, Pricing, TokenUsage};
use lmbatch_tests::{Scene, lines, object, said};
use serde_json::{Value, json};

/// A little more than a tenth of a cent for an output token, and next to nothing for input; twice as much in real time.
const TABLE: &str = r#"{"schema": "lmbatch-prices/1", "as_of": "2026-11-27", "models": [
    {"provider": "openai", "model": "m", "match": {"eq": ["m"], "prefix": ["m-"]},
     "realtime": [{"in": "0.000002", "out": "2000.000002"}], "batch": [{"in": "0.000001", "out": "1000.000001"}]}
]}"#;

fn world(prompts: &[&str]) -> Scene {
    let line = |prompt: &&str| json!({"id": prompt, "prompt": prompt});
    let world = Scene::new(prompts.iter().map(line));
    world.write("prices.json", TABLE);
    world.with_variable("LMBATCH_PRICES", "prices.json")
}

/// Runs the input under a name, and prints its summary as an object.
fn run(world: &Scene, more: &[&str]) -> Output {
    let named = ["-o", "out.jsonl", "--run", "mine", "--json"];
    world.run(&[&named[..], more].concat())
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
    let world = world(&["one", "two", "three"]);
    let limited = ["--max-tokens", "20", "--max-batch-requests", "1"];
    // The largest cost of a request is a little more than $0.02, that of 20 output tokens. An answer has at least one
    // token, so that the second request does not fit after the first.
    let stopped = run(&world, &[&limited[..], &["--max-cost", "0.0205"]].concat());
    assert_eq!(stopped.status.code(), Some(5), "{}", said(&stopped));
    let error = &object(&stopped)["error"];
    assert_eq!(error["kind"], "cost_limit");
    let hint = error["hint"].as_str().unwrap();
    assert!(hint.contains("--max-cost"), "{hint}");
    assert_eq!(world.creates(), 1);
    // The limit is kept with the run.
    let again = world.at(&["resume", "mine", "--json"]);
    assert_eq!(again.status.code(), Some(5), "{}", said(&again));
    assert_eq!(world.creates(), 1);
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
    assert_eq!(world.creates(), 3);
    // The cost that is printed is that of the bill, to the pico-dollar.
    let lines = lines(&world.path().join("out.jsonl"));
    let total: Cost = lines.iter().map(cost_of).sum();
    let text = fs::read_to_string(world.path().join("out.jsonl")).unwrap();
    for line in &lines {
        let exact = format!("\"cost_usd\":{}", cost_of(line).dollars());
        assert!(text.contains(&exact), "{exact}: {text}");
    }
    let cost = &object(&finished)["cost"];
    assert_eq!(cost["usd"], total.dollars(), "{cost}");
    assert_eq!(cost["saved_usd"], total.dollars(), "{cost}");
    assert_eq!(
        (&cost["unknown_answers"], &cost["prices_as_of"]),
        (&json!(0), &json!("2026-11-27"))
    );
    let audit = object(&world.at(&["audit", "mine", "--json"]));
    assert_eq!(audit["cost"]["usd"], total.dollars(), "{audit}");
    assert_eq!(world.emulating.bill()["answered_requests"], 3);
}

#[test]
fn replaced_answers_are_in_the_cost_and_shown_apart() {
    let world = world(&["one", "lmb:truncate"]);
    let first = run(&world, &[]);
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
    let cost = &object(&again)["cost"];
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
        let world = world(&["one"]);
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
    let world = world(&["one"]);
    let expecting = run(&world, &["--max-cost", "1", "--expect-output", "50"]);
    assert_eq!(expecting.status.code(), Some(0), "{}", said(&expecting));
}

#[test]
fn a_detached_run_reports_the_batches_that_its_limit_has_no_room_for() {
    let world = world(&["one", "two", "three"]);
    let args = [
        "--detach",
        "--max-tokens",
        "20",
        "--max-batch-requests",
        "1",
        "--max-cost",
        "0.0205",
    ];
    let left = run(&world, &args);
    assert_eq!(left.status.code(), Some(0), "{}", said(&left));
    let shown = object(&left);
    assert_eq!(
        shown["batches"].as_array().map(Vec::len),
        Some(1),
        "{shown}"
    );
    assert_eq!(
        (&shown["uncreated_batches"], world.creates()),
        (&json!(2), 1)
    );
    assert!(said(&left).contains("not created yet: 2 batches"));
}

#[test]
fn a_limit_that_is_set_later_counts_and_shows_what_was_spent_before() {
    let world = world(&["one", "lmb:truncate"]);
    let first = run(&world, &["--max-tokens", "20"]);
    assert_eq!(first.status.code(), Some(3), "{}", said(&first));
    let answers = lines(&world.path().join("out.jsonl"));
    let spent: Cost = answers.iter().map(cost_of).sum();
    let requeue = ["requeue", "mine", "--only", "truncated", "--json"];
    let refused = world.at(&[&requeue[..], &["--max-cost", "0.0001"]].concat());
    assert_eq!(refused.status.code(), Some(5), "{}", said(&refused));
    let shown = said(&world.at(&["show", "mine"]));
    let line = format!("cost limit $0.0001, of which {spent} is spent or reserved");
    assert!(shown.contains(&line), "{line}: {shown}");
    let error = object(&refused)["error"]["message"].to_string();
    let rounded = format!("{} of the limit of $0.0001 is spent", spent.rounded());
    assert!(error.contains(&rounded), "{rounded}: {error}");
    let settled = format!("1\t1\t\t{spent}\t\t");
    assert!(shown.contains(&settled), "{settled}: {shown}");
}
