//! Messages of commands when payment or answers are at stake, with the next step.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::path::Path;
use std::process::{Output, Stdio};

use lmbatch_tests::{Scene, assert_says, lines, object, pause, said, write_input};
use serde_json::{Value, json};

fn world() -> Scene {
    let line = |id: &&str| json!({"id": id, "prompt": format!("say {id}")});
    Scene::new(["a", "b"].iter().map(line))
}

/// Begins a run, and returns its id.
fn begin(world: &Scene, name: &str) -> String {
    let output = format!("{name}.jsonl");
    let begun = world.run(&["--detach", "--json", "--run", name, "-o", &output]);
    assert_says(&begun, 0, &[]);
    object(&begun)["run"].as_str().unwrap().to_owned()
}

fn objects(output: &Output) -> Vec<Value> {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn a_create_in_doubt_is_not_reported_as_missing_rows() {
    let world = world();
    // Nothing was accepted, and the response does not say so.
    let lost = json!({"operation": "create", "times": 1, "kind": {"status": {"code": 502, "body": "bad"}}});
    world.fault(&lost);
    let late = world.run(&["--timeout", "1s", "--run", "mine"]);
    assert_says(&late, 4, &["running: 0 of 2 requests ended"]);
    let once = world.at(&["resume", "mine", "--once"]);
    let words = [
        "the response to a create was lost",
        "to continue: lmbatch resume r-",
    ];
    assert_says(&once, 4, &words);
    assert!(!said(&once).contains("rows"), "{}", said(&once));
    assert_eq!(world.creates(), 0);
}

#[test]
fn the_search_for_a_create_in_doubt_names_its_evidence() {
    // Responses without the provider's own error: a proxy may have sent them, and the create may have been accepted.
    for (code, body) in [(429, "{}"), (429, "slow down"), (502, "bad"), (400, "{}")] {
        let world = world();
        let lost = json!({"operation": "create", "times": 1, "kind": {"status": {"code": code, "body": body}}});
        world.fault(&lost);
        let run = [
            "run",
            "in.jsonl",
            "-m",
            "anthropic/m",
            "--doubt-wait",
            "1s",
            "-o",
            "out.jsonl",
        ];
        let held = world.of("anthropic", &run);
        let came = format!(
            "the response was HTTP {code}, which does not tell whether the create was accepted"
        );
        let words = [
            "the provider did not confirm the create of batch 1",
            &*came,
            "anthropic keeps no labels",
            "search there for a batch of 2 requests that was created at about 2",
            "--on-doubt resubmit",
        ];
        assert_says(&held, 6, &words);
        assert!(!said(&held).contains("label lmbatch-"), "{}", said(&held));
        assert_eq!(world.creates(), 0);
    }
}

#[test]
fn the_same_command_after_a_cancel_warns_of_paying_again() {
    let world = world();
    let run = begin(&world, "first");
    // Unnamed, like the next command.
    let begun = world.run(&["--detach", "--json", "-o", "out.jsonl", "--new"]);
    let unnamed = objects(&begun)[0]["run"].as_str().unwrap().to_owned();
    for run in [&run, &unnamed] {
        assert_says(&world.at(&["cancel", run]), 0, &[]);
    }
    let warning = "which was cancelled and has";
    // While it has not ended, its output belongs to it.
    let fetch = format!("fetch its answers first: lmbatch resume {unnamed}");
    assert_says(&world.run(&["-o", "out.jsonl"]), 2, &[&fetch]);
    let open = world.run(&["-o", "2.jsonl", "--detach"]);
    let reuse = format!("lmbatch resume {unnamed}, then lmbatch requeue {unnamed}");
    assert_says(&open, 0, &[warning, "at least 0 of 2 answers", &reuse]);
    // The provider reports how many requests of an ended batch were answered.
    let ended = world.at(&["resume", &unnamed, "--poll-interval", "20ms"]);
    assert!(
        matches!(ended.status.code(), Some(0 | 3)),
        "{}",
        said(&ended)
    );
    let answered = lines(&world.path().join("out.jsonl"));
    let answered = answered.iter().filter(|line| line["status"] == "succeeded");
    let answered = answered.count();
    let third = begin(&world, "third");
    assert_says(&world.at(&["cancel", &third]), 0, &[]);
    let before = world.creates();
    let named = world.run(&["-o", "4.jsonl", "--run", "fourth"]);
    assert_says(&named, 0, &[warning]);
    assert_eq!(world.creates(), before + 1);
    // On explicit request, without a warning.
    let new = world.run(&["-o", "5.jsonl", "--new"]);
    assert!(!said(&new).contains(warning), "{}", said(&new));
    // The suggested command sends the unanswered requests only.
    let requeued = world.at(&["requeue", &unnamed, "--json", "--poll-interval", "20ms"]);
    assert_says(&requeued, 0, &[]);
    let outcomes = lines(&world.path().join("out.jsonl"));
    assert!(
        outcomes.iter().all(|line| line["status"] == "succeeded"),
        "{outcomes:?}"
    );
    let sent = format!(
        "{} of run {unnamed} requeued",
        match 2 - answered {
            1 => "1 request".to_owned(),
            several => format!("{several} requests"),
        }
    );
    if answered < 2 {
        assert_says(&requeued, 0, &[&sent]);
    }
}

#[test]
fn runs_are_listed_newest_first_with_a_count_of_the_rest() {
    let world = world();
    let names: Vec<String> = (0..23).map(|number| format!("n{number}")).collect();
    for name in &names {
        begin(&world, name);
    }
    let names_of = |args: &[&str]| {
        let listed = world.at(&[&["runs", "--json"], args].concat());
        let names = objects(&listed)
            .into_iter()
            .map(|run| run["name"].as_str().unwrap().to_owned());
        (names.collect::<Vec<_>>(), said(&listed))
    };
    let newest: Vec<String> = names.iter().rev().cloned().collect();
    for (args, count, more) in [
        (
            &[][..],
            20,
            Some("3 older runs are not listed; lmbatch runs --all lists every run"),
        ),
        (&["--limit", "22"], 22, Some("1 older run is not listed")),
        (&["--limit", "23"], 23, None),
        (&["--limit", "0"], 23, None),
        (&["--all"], 23, None),
    ] {
        let (listed, messages) = names_of(args);
        assert_eq!(listed, newest[..count], "{args:?}");
        match more {
            Some(more) => assert!(messages.contains(more), "{args:?}: {messages}"),
            None => assert!(!messages.contains("not listed"), "{args:?}: {messages}"),
        }
    }
}

#[test]
fn purge_reports_its_deletions_as_json() {
    let world = world();
    let run = ["--run", "mine", "-o", "out.jsonl", "--cleanup", "none"];
    assert_says(&world.run(&run), 0, &[]);
    let id = objects(&world.at(&["runs", "--json"]))[0]["run"].clone();
    let tried = world.at(&[
        "purge",
        "mine",
        "--dry-run",
        "--remote",
        "--local",
        "--json",
    ]);
    let tried = &objects(&tried)[0];
    assert_eq!((&tried["run"], &tried["dry_run"]), (&id, &json!(true)));
    assert!(
        tried["files"].as_u64() > Some(0) && tried["bytes"].as_u64() > Some(0),
        "{tried}"
    );
    assert_eq!(tried["left"]["inputs"], 1, "{tried}");
    let gone = world.at(&[
        "purge",
        "--older-than",
        "0s",
        "--remote",
        "--local",
        "--json",
    ]);
    let gone = &objects(&gone)[0];
    assert_eq!((&gone["run"], &gone["dry_run"]), (&id, &json!(false)));
    assert_eq!(
        (&gone["local"], &gone["remote"]),
        (&json!(true), &json!(true))
    );
    assert_eq!(gone["left"]["inputs"], 0, "{gone}");
    let missing = world.at(&["purge", "mine", "--json"]);
    assert_eq!(objects(&missing)[0]["error"]["kind"], "usage");
}

#[test]
fn every_command_reports_an_unreadable_row_alike() {
    let world = world();
    let line = |(id, prompt): (&str, &str)| json!({"id": id, "prompt": prompt});
    write_input(world.path(), [("a", "lmb:cut"), ("b", "fine")].map(line));
    let run = world.run(&[
        "--run",
        "mine",
        "-o",
        "out.jsonl",
        "--doubt-wait",
        "1s",
        "--max-attempts",
        "3",
    ]);
    assert_says(&run, 3, &[]);
    let outcomes = lines(&world.path().join("out.jsonl"));
    let error = &outcomes[0]["error"];
    assert_eq!(outcomes[0]["status"], "errored", "{outcomes:?}");
    assert_eq!(error["kind"], "malformed_answer", "{outcomes:?}");
    assert_eq!(error["retryable"], false, "{outcomes:?}");
    // It was paid for: it counts as an answer, and is not sent again automatically.
    assert_eq!(world.creates(), 1);
    assert_says(&world.at(&["audit", "mine"]), 0, &["OK"]);
}

#[test]
fn a_missing_file_of_a_run_is_reported_with_the_next_step() {
    for (what, way_out) in [
        ("echo-0", "lmbatch retrieve r-"),
        ("rows-0", "lmbatch resume r-"),
    ] {
        let world = world();
        begin(&world, "mine");
        let spool = world.path().join(".lmbatch/spool");
        let file = fs::read_dir(&spool)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let file = file
            .into_iter()
            .find(|path| path.to_string_lossy().ends_with(&format!(".{what}")));
        let file = file.unwrap_or_else(|| panic!("{what} is not there"));
        fs::remove_file(&file).unwrap();
        let resumed = world.at(&["resume", "mine", "--poll-interval", "20ms"]);
        let words = [
            &*file.to_string_lossy(),
            "restore it from a copy of the state folder",
            way_out,
        ];
        assert_says(&resumed, 1, &words);
    }
}

#[test]
fn a_listing_reports_an_upgrade_of_the_record_once() {
    let world = world();
    let state = world.path().join(".lmbatch");
    fs::create_dir(&state).unwrap();
    let earlier =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/ledger/tests/fixtures/version-3.db");
    fs::write(state.join("ledger.db"), fs::read(earlier).unwrap()).unwrap();
    let note = "the record was upgraded from an earlier version";
    assert_says(&world.at(&["runs"]), 0, &[note]);
    let again = world.at(&["runs"]);
    assert!(!said(&again).contains(note), "{}", said(&again));
}

#[test]
fn an_output_that_appears_meanwhile_is_named_with_what_to_do() {
    let world = Scene::new([json!({"id": "a", "prompt": "fine"})]);
    let run = [
        "run",
        "in.jsonl",
        "-m",
        "openai/m",
        "-o",
        "out.jsonl",
        "--poll-interval",
        "1s",
    ];
    let running = world
        .command("openai", &run)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while world.creates() == 0 {
        pause();
    }
    world.write("out.jsonl", "mine");
    let output = running.wait_with_output().unwrap();
    let words = [
        "error: output file out.jsonl appeared while the command was at work, and is not replaced",
        "choose another path with -o, or overwrite it with --force",
        "the outcomes are stored; to write them: lmbatch retrieve r-",
    ];
    assert_says(&output, 1, &words);
    assert_eq!(world.file("out.jsonl"), b"mine");
}
