//! Runs that are watched from another process: live counts, `status --watch`, `wait`, and the hook at the end of a run.

use std::fs;
use std::path::Path;
use std::process::{Child, Output, Stdio};
use std::time::Duration;

use lmbatch_tests::{Emulating, said, write_input};
use serde_json::{Value, json};
use tempfile::TempDir;

const RUN: [&str; 7] = [
    "run",
    "in.jsonl",
    "-m",
    "openai/m",
    "-o",
    "out.jsonl",
    "--run",
];

fn world(prompts: &[&str]) -> (Emulating, TempDir) {
    let (emulating, folder) = (Emulating::start(), tempfile::tempdir().expect("a folder"));
    let lines = prompts.iter().enumerate();
    write_input(
        folder.path(),
        lines.map(|(id, prompt)| json!({"id": id, "prompt": prompt})),
    );
    (emulating, folder)
}

fn command(emulating: &Emulating, folder: &Path, args: &[&str]) -> std::process::Command {
    let mut command = emulating.command_at("openai", folder);
    command.env_remove("LMBATCH_LOG").args(args);
    command
}

fn at(emulating: &Emulating, folder: &Path, args: &[&str]) -> Output {
    let output = command(emulating, folder, args).output();
    output.expect("the command")
}

fn start(emulating: &Emulating, folder: &Path, args: &[&str]) -> Child {
    let mut command = command(emulating, folder, args);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    child.spawn().expect("the command")
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[expect(clippy::disallowed_methods, reason = "another process is waited for")]
fn pause() {
    std::thread::sleep(Duration::from_millis(50));
}

/// Creates the batch of a run, and lets the provider report its counts for every poll until the faults are cleared.
fn created(emulating: &Emulating, folder: &Path, name: &str) -> Value {
    let run = at(emulating, folder, &[&RUN[..], &[name, "--detach"]].concat());
    assert_eq!(run.status.code(), Some(0), "{}", said(&run));
    let shown = out(&at(emulating, folder, &["show", name, "--json"]));
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    let batch = json!({
        "id": shown["batches"][0]["batch"], "object": "batch", "status": "in_progress", "endpoint": "/v1/responses",
        "completion_window": "24h", "input_file_id": "f", "created_at": 1_800_000_000, "expires_at": 4_102_444_800_u64,
        "request_counts": {"total": 4, "completed": 2, "failed": 1},
    });
    let kind = json!({"body": {"bytes": batch.to_string()}});
    let fault = json!({"operation": "status", "times": u32::MAX, "kind": kind});
    emulating.post("/_emulator/faults", &fault.to_string());
    shown
}

/// Returns the progress of a run, once another process has polled its batch.
fn polled(emulating: &Emulating, folder: &Path, name: &str) -> Value {
    for _ in 0..200 {
        let status = out(&at(emulating, folder, &["status", name, "--json"]));
        let status: Value = serde_json::from_str(&status).expect("JSON");
        if status["progress"]["done"] == 3 {
            return status["progress"].clone();
        }
        pause();
    }
    panic!("no live counts were written");
}

#[test]
fn counts_that_one_process_polls_are_seen_by_another() {
    let (emulating, folder) = world(&["1", "2", "3", "4"]);
    created(&emulating, folder.path(), "mine");
    let before = out(&at(&emulating, folder.path(), &["status", "mine"]));
    assert!(before.contains("requests     0 of 4 (0%)"), "{before}");
    assert!(before.contains("advanced by  no process"), "{before}");
    let resume = ["resume", "mine", "--poll-interval", "20ms"];
    let child = start(&emulating, folder.path(), &resume);
    let mut progress = polled(&emulating, folder.path(), "mine");
    let polled_at = progress["polled_at"].take();
    assert!(polled_at.is_string(), "{polled_at}");
    assert_eq!(
        progress,
        json!({
            "answered": 2, "failed": 1, "done": 3, "percent": 75, "batches": 1, "ended_batches": 0, "eta": null,
            "expires_at": "2100-01-01T00:00:00Z", "polled_at": null, "is_driven": true, "process": child.id(),
        })
    );
    let shown = out(&at(&emulating, folder.path(), &["status", "mine"]));
    for line in [
        "requests     3 of 4 (75%), 1 failed",
        "batches      0 of 1 ended",
        "eta          unknown",
        &format!("advanced by  process {}", child.id()),
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line}: {shown}");
    }
    let runs = out(&at(&emulating, folder.path(), &["runs"]));
    assert!(
        runs.contains("\tmine\trunning\t4\t2\t1\t75\tunknown\t"),
        "{runs}"
    );
    let show = out(&at(&emulating, folder.path(), &["show", "mine"]));
    assert!(
        show.contains("1\t1\t4\t2\t1\tin_progress\t2100-01-01T00:00:00Z\t"),
        "{show}"
    );
    emulating.clear_faults();
    let ended = child.wait_with_output().expect("the command");
    assert_eq!(ended.status.code(), Some(0), "{}", said(&ended));
    // A run that has ended leaves no live counts behind.
    let live = fs::read_dir(folder.path().join(".lmbatch/live")).expect("the folder");
    assert_eq!(live.count(), 0);
    let runs = out(&at(&emulating, folder.path(), &["runs"]));
    assert!(
        runs.contains("\tmine\tfinished\t4\t4\t0\t100\t\t"),
        "{runs}"
    );
}

#[test]
fn a_watched_run_has_one_line_for_each_change_in_a_pipe() {
    let (emulating, folder) = world(&["1", "2", "3", "4"]);
    created(&emulating, folder.path(), "mine");
    let watch = start(&emulating, folder.path(), &["status", "mine", "--watch"]);
    let resume = ["resume", "mine", "--poll-interval", "20ms"];
    let child = start(&emulating, folder.path(), &resume);
    polled(&emulating, folder.path(), "mine");
    // The watching process looks every two seconds.
    for _ in 0..60 {
        pause();
    }
    emulating.clear_faults();
    assert_eq!(
        child.wait_with_output().expect("the command").status.code(),
        Some(0)
    );
    let watched = watch.wait_with_output().expect("the command");
    assert_eq!(watched.status.code(), Some(0), "{}", said(&watched));
    let text = out(&watched);
    let lines: Vec<&str> = text
        .lines()
        .map(|line| line.split_once(") ").expect("a run").1)
        .collect();
    assert!(lines.contains(&"running, 3 of 4 (75%), 1 failed"), "{text}");
    assert_eq!(lines.last(), Some(&"finished, 4 of 4 (100%)"), "{text}");
    let mut changes = lines.clone();
    changes.dedup();
    assert_eq!(changes, lines, "each line is a change");
    let again = at(&emulating, folder.path(), &["status", "--watch"]);
    assert!(
        said(&again).contains("every run has ended"),
        "{}",
        said(&again)
    );
}

#[test]
fn wait_returns_the_exit_code_of_the_run_and_4_after_its_timeout() {
    let (emulating, folder) = world(&["1", "lmb:error-400"]);
    created(&emulating, folder.path(), "mine");
    let late = at(
        &emulating,
        folder.path(),
        &["wait", "mine", "--timeout", "100ms"],
    );
    assert_eq!(late.status.code(), Some(4), "{}", said(&late));
    assert!(
        said(&late).contains("no process advances run"),
        "{}",
        said(&late)
    );
    let waits = start(
        &emulating,
        folder.path(),
        &["wait", "mine", "--timeout", "60s"],
    );
    emulating.clear_faults();
    let resumed = at(
        &emulating,
        folder.path(),
        &["resume", "mine", "--poll-interval", "20ms"],
    );
    assert_eq!(resumed.status.code(), Some(3), "{}", said(&resumed));
    let waited = waits.wait_with_output().expect("the command");
    assert_eq!(waited.status.code(), Some(3), "{}", said(&waited));
    assert!(
        said(&waited).contains("2 requests, 1 usable"),
        "{}",
        said(&waited)
    );
    let tolerant = [
        "requeue",
        "mine",
        "--max-failed",
        "1",
        "--max-attempts",
        "1",
    ];
    let _ = at(&emulating, folder.path(), &tolerant);
    let unknown = at(&emulating, folder.path(), &["wait", "other"]);
    assert_eq!(unknown.status.code(), Some(2), "{}", said(&unknown));
}

#[test]
fn failures_are_shown_by_kind_with_the_next_command() {
    let (emulating, folder) = world(&["1", "lmb:error-400", "lmb:error-429"]);
    let run = [&RUN[..], &["mine", "--max-attempts", "1"]].concat();
    let ended = at(&emulating, folder.path(), &run);
    assert_eq!(ended.status.code(), Some(3), "{}", said(&ended));
    let messages = said(&ended);
    assert!(
        messages.contains("2 of 3 requests without a usable answer"),
        "{messages}"
    );
    let row = |start: &str| {
        messages
            .lines()
            .find(|line| line.trim_start().starts_with(start))
    };
    assert!(
        row("1  400 ").is_some_and(|row| row.contains("  no ")),
        "{messages}"
    );
    assert!(
        row("1  429 ").is_some_and(|row| row.contains("  yes ")),
        "{messages}"
    );
    assert!(messages.contains("next: lmbatch requeue r-"), "{messages}");
    assert!(messages.contains(" --only retryable"), "{messages}");
}

#[test]
fn the_hook_runs_at_the_end_and_its_failure_is_a_warning() {
    let (emulating, folder) = world(&["1", "lmb:error-400"]);
    let hook = "echo messages; printf '%s|%s|%s\\n%s' \"$LMBATCH_RUN\" \"$LMBATCH_EXIT\" \"$LMBATCH_OUTPUT\" \"$LMBATCH_SUMMARY\" > messages; exit 9";
    let run = [&RUN[..], &["mine", "--json", "--on-finish", hook]].concat();
    let ended = at(&emulating, folder.path(), &run);
    assert_eq!(ended.status.code(), Some(3), "{}", said(&ended));
    assert!(
        said(&ended).contains("warning: --on-finish ended with exit code 9"),
        "{}",
        said(&ended)
    );
    // Standard output holds the summary alone.
    let summary: Value = serde_json::from_str(&out(&ended)).expect("one JSON object");
    let messages = fs::read_to_string(folder.path().join("messages")).expect("the hook ran");
    let (facts, messages) = messages.split_once('\n').expect("two lines");
    let run = summary["run"].as_str().expect("a run");
    assert_eq!(facts, format!("{run}|3|out.jsonl"));
    assert_eq!(
        serde_json::from_str::<Value>(messages).expect("JSON"),
        summary
    );
    // A run that fails tells it as well.
    let kind = json!({"status": {"code": 400, "body": r#"{"error": {"message": "no", "type": "invalid_request_error"}}"#}});
    let fault = json!({"operation": "create", "times": 9, "kind": kind});
    emulating.post("/_emulator/faults", &fault.to_string());
    let run = [
        "run",
        "in.jsonl",
        "-m",
        "openai/m2",
        "--new",
        "-o",
        "other.jsonl",
    ];
    let refused = at(
        &emulating,
        folder.path(),
        &[&run[..], &["--on-finish", hook]].concat(),
    );
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    let messages = fs::read_to_string(folder.path().join("messages")).expect("the hook ran");
    assert!(
        messages.contains("|1|other.jsonl\n{\"format\":1,"),
        "{messages}"
    );
}

#[test]
fn the_hook_runs_where_the_output_cannot_be_written() {
    let (emulating, folder) = world(&["1"]);
    let (to, hook) = ("/dev/full", "printf %s \"$LMBATCH_EXIT\" > messages");
    let run = [
        "run",
        "in.jsonl",
        "-m",
        "openai/m",
        "-o",
        to,
        "--on-finish",
        hook,
    ];
    let ended = at(&emulating, folder.path(), &run);
    assert_eq!(ended.status.code(), Some(1), "{}", said(&ended));
    let messages = fs::read_to_string(folder.path().join("messages")).expect("the hook ran");
    assert_eq!(messages, "1");
}

#[test]
fn progress_in_a_pipe_is_one_dated_line_for_each_phase() {
    let (emulating, folder) = world(&["1", "2"]);
    let ended = at(
        &emulating,
        folder.path(),
        &[&RUN[..], &["mine", "--poll-interval", "20ms"]].concat(),
    );
    let messages = String::from_utf8_lossy(&ended.stderr).into_owned();
    let dated =
        regex_lite::Regex::new(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ (.*)$").expect("a pattern");
    let phases: Vec<&str> = messages
        .lines()
        .filter_map(|line| Some(dated.captures(line)?.get(1)?.as_str()))
        .collect();
    assert_eq!(
        phases.first(),
        Some(&"read 2 requests, 332 B to send"),
        "{messages}"
    );
    for phase in [
        "creating the batch",
        "completed · 2 of 2",
        "read 2 rows of results",
    ] {
        assert_eq!(
            phases.iter().filter(|one| **one == phase).count(),
            1,
            "{phase}: {messages}"
        );
    }
}

#[test]
fn sizes_of_runs_are_listed_with_a_warning_above_the_limit() {
    let (emulating, folder) = world(&["1", "2"]);
    let ended = at(&emulating, folder.path(), &[&RUN[..], &["mine"]].concat());
    assert_eq!(ended.status.code(), Some(0), "{}", said(&ended));
    let sizes = at(&emulating, folder.path(), &["runs", "--size"]);
    let text = out(&sizes);
    let header: Vec<&str> = text.lines().next().expect("a header").split('\t').collect();
    assert_eq!(header[7], "size", "{text}");
    let row: Vec<&str> = text.lines().nth(1).expect("a row").split('\t').collect();
    assert!(
        row[7].parse::<u64>().is_ok_and(|bytes| bytes > 100),
        "{text}"
    );
    assert!(!said(&sizes).contains("warning"), "{}", said(&sizes));
    let small = at(
        &emulating,
        folder.path(),
        &["runs", "--size", "--size-limit", "1000"],
    );
    assert!(
        said(&small).contains("more than 1.0 kB; lmbatch runs --size lists"),
        "{}",
        said(&small)
    );
}

#[test]
fn waiting_and_watching_print_objects_for_programs() {
    let (emulating, folder) = world(&["1", "lmb:error-400"]);
    let run = [&RUN[..], &["mine", "--detach"]].concat();
    assert_eq!(at(&emulating, folder.path(), &run).status.code(), Some(0));
    let late = at(
        &emulating,
        folder.path(),
        &["wait", "mine", "--json", "--timeout", "0s"],
    );
    assert_eq!(late.status.code(), Some(4), "{}", said(&late));
    let shown: Value = serde_json::from_str(&out(&late)).expect("one object");
    assert_eq!(shown["state"], "running", "{shown}");
    let watch = start(
        &emulating,
        folder.path(),
        &["status", "mine", "--watch", "--json"],
    );
    let resume = ["resume", "mine", "--poll-interval", "20ms"];
    let resumed = at(&emulating, folder.path(), &resume);
    assert_eq!(resumed.status.code(), Some(3), "{}", said(&resumed));
    let watched = watch.wait_with_output().expect("its output");
    let states: Vec<Value> = out(&watched)
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("an object")["state"].clone())
        .collect();
    assert_eq!(
        states.last(),
        Some(&json!("finished")),
        "{}",
        said(&watched)
    );
    let waited = at(&emulating, folder.path(), &["wait", "mine", "--json"]);
    assert_eq!(waited.status.code(), Some(3), "{}", said(&waited));
    let shown: Value = serde_json::from_str(&out(&waited)).expect("one object");
    assert_eq!(
        (&shown["state"], &shown["requests"], &shown["usable"]),
        (&json!("finished"), &json!(2), &json!(1)),
        "{shown}"
    );
    assert!(said(&waited).contains("is finished: 2 requests, 1 usable"));
}
