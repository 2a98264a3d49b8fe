//! Runs whose input, model or options change after sending: paid answers are kept.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::Path;

use lmbatch_tests::{Emulating, lines, said, write_input};
use serde_json::{Value, json};

const MINE: [&str; 8] = [
    "run",
    "in.jsonl",
    "-m",
    "openai/m",
    "-o",
    "out.jsonl",
    "--poll-interval",
    "20ms",
];

fn write(folder: &Path, asked: &[(&str, &str)]) {
    let line = |(id, prompt): &(&str, &str)| json!({"id": id, "prompt": prompt});
    write_input(folder, asked.iter().map(line));
}

/// Each outcome's id, its batch counted from 0, and its status.
fn came(emulating: &Emulating, folder: &Path) -> Vec<(String, usize, String)> {
    let bill = emulating.bill();
    let batches: Vec<&Value> = bill["batches"]
        .as_array()
        .unwrap()
        .iter()
        .map(|b| &b["id"])
        .collect();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    lines(&folder.join("out.jsonl"))
        .iter()
        .map(|line| {
            let batch = batches.iter().position(|batch| **batch == line["batch"]);
            (text(&line["id"]), batch.unwrap(), text(&line["status"]))
        })
        .collect()
}

fn expect(wanted: &[(&str, usize, &str)]) -> Vec<(String, usize, String)> {
    let own = |(id, batch, status): &(&str, usize, &str)| {
        ((*id).to_owned(), *batch, (*status).to_owned())
    };
    wanted.iter().map(own).collect()
}

#[test]
fn an_update_sends_only_new_and_changed_requests() {
    for name in [None, Some("mine")] {
        let (emulating, folder) = (Emulating::start(), tempfile::tempdir().unwrap());
        let at = |more: &[&str]| {
            let named = name.map(|name| vec!["--run", name]).unwrap_or_default();
            emulating.run_at("openai", folder.path(), &[&MINE[..], &named, more].concat())
        };
        write(folder.path(), &[("a", "one"), ("b", "two"), ("c", "three")]);
        assert_eq!(at(&[]).status.code(), Some(0));
        // b is removed, c has changed, d is new, and the order is another.
        write(folder.path(), &[("d", "four"), ("c", "3"), ("a", "one")]);
        let refused = at(&[]);
        assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
        assert!(said(&refused).contains("--update"), "{}", said(&refused));
        assert_eq!(emulating.bill()["creates"], 1);
        let updated = at(&["--update"]);
        assert_eq!(updated.status.code(), Some(0), "{}", said(&updated));
        let numbers = "1 unchanged, 1 changed, 1 new, 1 gone";
        assert!(said(&updated).contains(numbers), "{}", said(&updated));
        let wanted = [
            ("d", 1, "succeeded"),
            ("c", 1, "succeeded"),
            ("a", 0, "succeeded"),
        ];
        assert_eq!(came(&emulating, folder.path()), expect(&wanted));
        let again = at(&[]);
        assert!(said(&again).contains("0 requests sent"), "{}", said(&again));
        // A second change, and back: answers that were left out are not paid for again by mistake.
        write(folder.path(), &[("a", "one"), ("e", "five")]);
        let updated = at(&["--update"]);
        let numbers = "1 unchanged, 0 changed, 1 new, 2 gone";
        assert!(said(&updated).contains(numbers), "{}", said(&updated));
        let wanted = [("a", 0, "succeeded"), ("e", 2, "succeeded")];
        assert_eq!(came(&emulating, folder.path()), expect(&wanted));
        write(folder.path(), &[("e", "five")]);
        assert_eq!(at(&["--update"]).status.code(), Some(0));
        assert_eq!(came(&emulating, folder.path()), expect(&wanted[1..]));
        let bill = emulating.bill();
        assert_eq!(
            (&bill["creates"], &bill["answered_requests"]),
            (&json!(3), &json!(6)),
            "{bill}"
        );
        let runs = said(&emulating.run_at("openai", folder.path(), &["runs"]));
        let run = runs
            .split_whitespace()
            .find(|word| word.starts_with("r-"))
            .unwrap();
        let audit = emulating.run_at("openai", folder.path(), &["audit", run]);
        assert_eq!(audit.status.code(), Some(0), "{}", said(&audit));
    }
}

#[test]
fn refused_requests_can_be_sent_to_another_model_within_the_same_run() {
    let (emulating, folder) = (Emulating::start(), tempfile::tempdir().unwrap());
    let at = |args: &[&str]| emulating.run_at("openai", folder.path(), args);
    write(
        folder.path(),
        &[("a", "fine"), ("b", "lmb:truncate"), ("c", "lmb:error-400")],
    );
    assert_eq!(
        at(&[&MINE[..], &["--run", "mine"]].concat()).status.code(),
        Some(3)
    );
    let other = [
        "requeue",
        "mine",
        "--only",
        "truncated,errored",
        "-m",
        "openai/larger",
        "--max-tokens",
        "9000",
        "--set",
        "temperature=0",
        "--max-attempts",
        "1",
        "--poll-interval",
        "20ms",
    ];
    let again = at(&other);
    assert_eq!(again.status.code(), Some(3), "{}", said(&again));
    let wanted = [
        ("a", 0, "succeeded"),
        ("b", 1, "succeeded"),
        ("c", 1, "errored"),
    ];
    assert_eq!(came(&emulating, folder.path()), expect(&wanted));
    assert_eq!(
        lines(&folder.path().join("out.jsonl"))[1]["model"],
        "larger-2026-01-01"
    );
    // An input without one of them changes nothing.
    write(folder.path(), &[("a", "fine")]);
    let lacking = at(&other);
    assert_eq!(lacking.status.code(), Some(2), "{}", said(&lacking));
    assert!(
        said(&lacking).contains("no longer in the input"),
        "{}",
        said(&lacking)
    );
    let elsewhere = at(&["requeue", "mine", "--only", "truncated", "-m", "google/g"]);
    assert_eq!(elsewhere.status.code(), Some(2), "{}", said(&elsewhere));
    assert_eq!(emulating.bill()["creates"], 2);
}

#[test]
fn a_running_run_returns_the_outcomes_so_far() {
    let (emulating, folder) = (Emulating::start(), tempfile::tempdir().unwrap());
    let at = |args: &[&str]| emulating.run_at("openai", folder.path(), args);
    write(
        folder.path(),
        &[("a", "1"), ("b", "2"), ("c", "3"), ("d", "4")],
    );
    // The provider has no room for a second batch for a while.
    let busy = json!({"operation": "create", "skip": 1, "times": 12, "kind": {"status": {
        "code": 429, "headers": [["retry-after", "3000"]],
        "body": r#"{"error": {"message": "later", "type": "rate_limit", "code": null}}"#,
    }}});
    emulating.post("/_emulator/faults", &busy.to_string());
    let begun = at(&[
        &MINE[..],
        &["--run", "mine", "--detach", "--max-batch-requests", "2"],
    ]
    .concat());
    assert_eq!(begun.status.code(), Some(0), "{}", said(&begun));
    let runs = said(&at(&["runs"]));
    let run = runs
        .split_whitespace()
        .find(|word| word.starts_with("r-"))
        .unwrap();
    let early = at(&["retrieve", run, "-o", "early.jsonl"]);
    assert_eq!(early.status.code(), Some(4), "{}", said(&early));
    let none = at(&["retrieve", run, "--partial", "-o", "none.jsonl"]);
    assert_eq!(none.status.code(), Some(4), "{}", said(&none));
    assert_eq!(
        lines(&folder.path().join("none.jsonl")),
        Vec::<Value>::new()
    );
    // The first batch ends and is fetched; the second is created after it.
    let mut some = Vec::new();
    for _ in 0..200 {
        at(&["resume", run, "--once"]);
        at(&["retrieve", run, "--partial", "--force", "-o", "some.jsonl"]);
        some = lines(&folder.path().join("some.jsonl"));
        if !some.is_empty() {
            break;
        }
    }
    let ids: Vec<&Value> = some.iter().map(|line| &line["id"]).collect();
    // Either batch may have been created first; it is complete, and the only one.
    assert!(ids == ["a", "b"] || ids == ["c", "d"], "{ids:?}");
    let ends = (0..20).any(|_| {
        at(&["resume", run, "--poll-interval", "20ms"])
            .status
            .code()
            == Some(0)
    });
    assert!(ends);
    let whole = at(&["retrieve", run, "-o", "whole.jsonl"]);
    assert_eq!(whole.status.code(), Some(0), "{}", said(&whole));
    let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    assert_eq!(read("whole.jsonl"), read("out.jsonl"));
}
