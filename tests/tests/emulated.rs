//! Emulated runs: recorded apart from paid ones, and found by every command.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use lmbatch_tests::{lmbatch, said, write_input};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Folder with an input, in which the command has no key and reaches no provider.
struct World {
    home: TempDir,
}

impl World {
    fn new(prompts: &[&str]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let lines = prompts.iter().enumerate();
        write_input(
            home.path(),
            lines.map(|(at, prompt)| json!({"id": format!("r{at}"), "prompt": prompt})),
        );
        Self { home }
    }

    fn path(&self) -> &Path {
        self.home.path()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(lmbatch());
        command
            .current_dir(self.path())
            .env_clear()
            .env("LMBATCH_STATE_DIR", self.path().join("state"))
            .args(args);
        command
    }

    fn at(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    fn run(&self, more: &[&str]) -> Output {
        let run = ["run", "in.jsonl", "-m", "openai/m", "--emulate"];
        self.at(&[&run[..], more].concat())
    }

    /// Returns the emulated runs, newest first.
    fn runs(&self) -> Vec<Value> {
        let listed = self.at(&["runs", "--emulated", "--json"]);
        assert!(listed.status.success(), "{}", said(&listed));
        let text = String::from_utf8(listed.stdout).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    fn output(&self) -> String {
        fs::read_to_string(self.path().join("in.openai.m.emulated.jsonl")).unwrap()
    }
}

#[track_caller]
fn assert_says(output: &Output, code: i32, words: &[&str]) {
    let said = said(output);
    assert_eq!(output.status.code(), Some(code), "{said}");
    for expected in words {
        assert!(said.contains(expected), "{expected:?} is not in: {said}");
    }
}

#[test]
fn an_emulated_run_is_found_by_its_id_apart_from_paid_runs() {
    let world = World::new(&["Hi", "fails lmb:error-500"]);
    assert_says(&world.run(&["--max-attempts", "1"]), 3, &["state: "]);
    let runs = world.runs();
    assert_eq!(runs.len(), 1, "{runs:?}");
    let run = runs[0]["run"].as_str().unwrap();
    assert_says(&world.at(&["runs"]), 0, &["no runs yet in "]);
    assert_says(&world.at(&["show", run]), 0, &["2 requests to openai/m"]);
    assert_says(&world.at(&["status", run]), 0, &["2 of 2 (100%), 1 failed"]);
    assert_says(&world.at(&["audit", run]), 0, &[]);
    assert_says(&world.at(&["resume", run]), 3, &["0 requests sent"]);
    let retrieved = world.at(&["retrieve", run, "-o", "again.jsonl"]);
    assert_says(&retrieved, 3, &[]);
    assert_eq!(
        fs::read_to_string(world.path().join("again.jsonl")).unwrap(),
        world.output()
    );
    assert!(world.output().contains("\"emulated\":true"));
    let requeued = world.at(&["requeue", run]);
    assert_says(&requeued, 3, &["1 request of run", "requeued"]);
    assert_says(&world.at(&["show", run]), 0, &["attempt 2"]);
    assert_says(&world.at(&["purge", run]), 0, &["deleted"]);
    assert!(world.runs().is_empty());
}

#[test]
fn the_same_command_finds_its_emulated_run_and_new_starts_another() {
    let world = World::new(&["Hi"]);
    assert_says(&world.run(&[]), 0, &["created batch"]);
    assert_says(&world.run(&[]), 0, &["0 requests sent"]);
    assert_eq!(world.runs().len(), 1);
    assert_says(&world.run(&["--new"]), 2, &["already exists"]);
    assert_says(&world.run(&["--new", "--force"]), 0, &["created batch"]);
    assert_eq!(world.runs().len(), 2);
}

#[test]
fn an_emulated_run_whose_command_was_killed_begins_anew() {
    let world = World::new(&["Hi"]);
    let mut command = world.command(&["run", "in.jsonl", "-m", "openai/m", "--emulate"]);
    command.args(["--pace", "real"]).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let run = loop {
        let runs = world.runs();
        if let Some(run) = runs.first()
            && run["state"] == "running"
        {
            break run["run"].as_str().unwrap().to_owned();
        }
        assert!(child.try_wait().unwrap().is_none(), "it ended early");
    };
    child.kill().unwrap();
    child.wait().unwrap();
    assert_says(&world.at(&["resume", &run]), 2, &["its emulator ended"]);
    let again = world.run(&[]);
    assert_says(&again, 0, &[&format!("deleted the emulated run {run}")]);
    let runs = world.runs();
    assert_eq!(runs.len(), 1);
    assert_ne!(runs[0]["run"], run.as_str());
}

#[test]
fn an_emulated_run_names_no_bill_and_nothing_that_a_provider_retains() {
    let world = World::new(&["one", "two"]);
    let pilot = world.run(&["--pilot", "1", "--run", "mine"]);
    assert_says(&pilot, 4, &["pilot of run"]);
    let refused = world.at(&["purge", "mine"]);
    assert_says(
        &refused,
        2,
        &["is a pilot whose other requests are not sent"],
    );
    let ended = world.run(&["--run", "mine", "--json"]);
    assert_says(&ended, 0, &[]);
    for output in [&pilot, &refused, &ended] {
        let messages = said(output);
        assert!(
            !messages.contains("retained by") && !messages.contains("are billed"),
            "{messages}"
        );
    }
    let text = String::from_utf8_lossy(&ended.stdout);
    let summary: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(summary.get("remote"), None, "{summary}");
}

#[test]
fn answers_come_from_a_file() {
    let world = World::new(&["Hi", "Bye"]);
    fs::write(world.path().join("answers.json"), r#"{"Hi": "Hello!"}"#).unwrap();
    assert_says(&world.run(&["--answers", "answers.json"]), 0, &[]);
    let texts: Vec<Value> = world
        .output()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["text"].clone())
        .collect();
    assert_eq!(texts, ["Hello!", "echo: Bye"]);
    let paid = world.at(&["run", "in.jsonl", "-m", "openai/m", "--pace", "instant"]);
    assert_says(&paid, 2, &["--pace needs --emulate"]);
}
