//! Cancelled runs, with and without a process that waits for them.

use lmbatch_tests::{Emulating, Scene, assert_says, lines, object, pause, said, write_input};
use serde_json::{Value, json};

#[test]
fn a_cancelled_run_keeps_its_answers() {
    let (emulating, folder) = (Emulating::start(), tempfile::tempdir().unwrap());
    write_input(
        folder.path(),
        &[
            json!({"id": "a", "prompt": "1"}),
            json!({"id": "b", "prompt": "2"}),
        ],
    );
    let at = |args: &[&str]| emulating.run_at("openai", folder.path(), args);
    let run = at(&[
        "run",
        "in.jsonl",
        "-m",
        "openai/m",
        "-o",
        "out.jsonl",
        "--detach",
    ]);
    assert_eq!(run.status.code(), Some(0), "{}", said(&run));
    let id = said(&at(&["runs"]));
    let id = id
        .split_whitespace()
        .find(|word| word.starts_with("r-"))
        .unwrap()
        .to_owned();
    let cancelled = at(&["cancel", &id]);
    assert_eq!(cancelled.status.code(), Some(0), "{}", said(&cancelled));
    let resumed = at(&["resume", &id, "--poll-interval", "20ms"]);
    assert_eq!(resumed.status.code(), Some(3), "{}", said(&resumed));
    let answers = lines(&folder.path().join("out.jsonl"));
    assert_eq!(answers.len(), 2);
    assert!(
        answers.iter().any(|line| line["status"] == "cancelled"),
        "{answers:?}"
    );
    assert_eq!(emulating.bill()["creates"], 1);
}

#[test]
fn a_run_that_was_answered_before_it_was_cancelled_is_finished() {
    for (has_ended, code, state) in [(true, 0, "finished"), (false, 3, "cancelled")] {
        let scene = Scene::new(["a", "b"].map(|id| json!({"id": id, "prompt": id})));
        let run = ["--run", "mine", "-o", "out.jsonl", "--detach"];
        assert_says(&scene.run(&run), 0, &[]);
        let shown = || object(&scene.at(&["show", "mine", "--json"]));
        let batch = shown()["batches"][0]["batch"].as_str().unwrap().to_owned();
        let poll = || scene.at(&["status", &batch, "-p", "openai"]);
        // The record does not know that the batch has ended.
        while has_ended && poll().status.code() != Some(0) {
            pause();
        }
        assert_says(&scene.at(&["cancel", "mine"]), 0, &[]);
        let resumed = scene.at(&["resume", "mine", "--poll-interval", "20ms"]);
        assert_says(&resumed, code, &[]);
        assert_eq!(shown()["state"], state, "{}", said(&resumed));
    }
}

#[test]
fn another_process_can_cancel_a_run_that_is_being_waited_for() {
    let (emulating, folder) = (Emulating::start(), tempfile::tempdir().unwrap());
    let input: Vec<Value> = (0..4)
        .map(|k| json!({"id": k, "prompt": "say it"}))
        .collect();
    write_input(folder.path(), &input);
    // The provider never has room for a second batch.
    let busy = json!({"operation": "create", "skip": 1, "times": 100_000, "kind": {"status": {
        "code": 429, "headers": [["retry-after-ms", "50"]],
        "body": r#"{"error": {"message": "later", "type": "rate_limit", "code": null}}"#,
    }}});
    emulating.post("/_emulator/faults", &busy.to_string());
    let mut run = emulating.command_at("openai", folder.path());
    let run = run
        .args([
            "run",
            "in.jsonl",
            "-m",
            "openai/m",
            "-o",
            "out.jsonl",
            "--run",
            "mine",
        ])
        .args(["--max-batch-requests", "2", "--poll-interval", "20ms"])
        .stderr(std::process::Stdio::null());
    let mut run = run.spawn().unwrap();
    let at = |args: &[&str]| emulating.run_at("openai", folder.path(), args);
    while emulating.bill()["creates"] != 1 {}
    let cancelled = at(&["cancel", "mine"]);
    assert_eq!(cancelled.status.code(), Some(0), "{}", said(&cancelled));
    assert!(
        said(&cancelled).contains("the process that waits for the run downloads completed results"),
        "{}",
        said(&cancelled)
    );
    assert_eq!(run.wait().unwrap().code(), Some(3));
    let answers = lines(&folder.path().join("out.jsonl"));
    assert_eq!(answers.len(), 4);
    // One of the two batches was created, and the other never was.
    let never = (json!("cancelled"), Value::Null);
    let are_never = |pair: &[Value]| {
        let mut ends = pair
            .iter()
            .map(|one| (one["status"].clone(), one["batch"].clone()));
        ends.all(|end| end == never)
    };
    let pairs: Vec<bool> = answers.chunks(2).map(are_never).collect();
    assert!(
        pairs == [false, true] || pairs == [true, false],
        "{pairs:?}"
    );
    assert_eq!(emulating.bill()["creates"], 1);
}
