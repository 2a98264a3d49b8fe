//! What is printed beside an error: hints that can be followed, and failures that are not passed over.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::path::Path;
use std::process::Output;

use lmbatch_tests::{Emulating, said, write_input};
use serde_json::{Value, json};
use tempfile::TempDir;

struct World {
    emulating: Emulating,
    home: TempDir,
}

impl World {
    fn new() -> Self {
        let world = Self {
            emulating: Emulating::start(),
            home: tempfile::tempdir().unwrap(),
        };
        world.ask(&["a", "b"]);
        world
    }

    fn ask(&self, ids: &[&str]) {
        let line = |id: &&str| json!({"id": id, "prompt": format!("say {id}")});
        write_input(self.path(), ids.iter().map(line));
    }

    fn path(&self) -> &Path {
        self.home.path()
    }

    fn at(&self, args: &[&str]) -> Output {
        let mut command = self.emulating.command_at("openai", self.path());
        command.env_remove("LMBATCH_LOG").args(args);
        command.output().unwrap()
    }

    fn run(&self, more: &[&str]) -> Output {
        let run = [
            "run",
            "in.jsonl",
            "-m",
            "openai/m",
            "--poll-interval",
            "20ms",
        ];
        self.at(&[&run[..], more].concat())
    }

    fn creates(&self) -> u64 {
        self.emulating.bill()["creates"].as_u64().unwrap()
    }
}

fn assert_says(output: &Output, code: i32, words: &[&str]) {
    let told = said(output);
    assert_eq!(output.status.code(), Some(code), "{told}");
    for words in words {
        assert!(told.contains(words), "{words:?}: {told}");
    }
}

#[test]
fn a_handle_that_cannot_be_written_is_named_with_its_flag() {
    let world = World::new();
    fs::write(world.path().join("there"), "x").unwrap();
    fs::create_dir(world.path().join("folder")).unwrap();
    for (handle, words) in [
        ("there", "handle file there already exists"),
        ("folder", "--handle: folder is a directory"),
        ("in.jsonl", "handle file in.jsonl already exists"),
    ] {
        let created = world.at(&["create", "in.jsonl", "-m", "openai/m", "--handle", handle]);
        assert_says(&created, 2, &[words, "choose another path with --handle"]);
        assert!(!said(&created).contains(" -o"), "{}", said(&created));
    }
    let over = [
        "create", "in.jsonl", "-m", "openai/m", "--handle", "in.jsonl", "--force",
    ];
    assert_says(
        &world.at(&over),
        2,
        &["the handle is the same file as the input", "--handle"],
    );
    assert_eq!(world.creates(), 0);
}

#[test]
fn an_output_that_cannot_be_audited_is_an_error() {
    let world = World::new();
    assert_says(&world.run(&["--run", "mine", "-o", "out.jsonl"]), 0, &[]);
    assert_says(
        &world.at(&["audit", "mine"]),
        0,
        &["output lines", "unchanged"],
    );
    let output = world.path().join("out.jsonl");
    fs::remove_file(&output).unwrap();
    assert_says(&world.at(&["audit", "mine"]), 0, &["OK"]);
    fs::create_dir(&output).unwrap();
    assert_says(
        &world.at(&["audit", "mine"]),
        1,
        &["out.jsonl is a directory"],
    );
}

#[test]
fn a_cancel_says_that_another_process_waits_only_where_one_does() {
    let world = World::new();
    assert_says(&world.run(&["--run", "mine", "--detach"]), 0, &[]);
    let shown = world.at(&["show", "mine", "--json"]);
    let run: Value = serde_json::from_slice(&shown.stdout).unwrap();
    let lock = format!(".lmbatch/locks/{}.lock", run["run"].as_str().unwrap());
    fs::create_dir(world.path().join(lock)).unwrap();
    let cancelled = world.at(&["cancel", "mine"]);
    assert_says(&cancelled, 1, &["locking the run"]);
    assert!(
        !said(&cancelled).contains("process that waits"),
        "{}",
        said(&cancelled)
    );
}

#[test]
fn an_adopted_run_says_what_is_proved_and_keeps_the_code_of_an_error() {
    let world = World::new();
    let detached = world.run(&["--detach"]);
    assert_says(&detached, 0, &[]);
    let bill = world.emulating.bill();
    let label = bill["batches"][0]["metadata"]["lmbatch"].as_str().unwrap();
    fs::remove_dir_all(world.path().join(".lmbatch")).unwrap();
    let adopt = ["adopt", label, "in.jsonl", "-m", "openai/m"];
    let kind = json!({"status": {"code": 401, "body": "{}"}});
    let fault = json!({"operation": "list", "times": 1, "kind": kind});
    world
        .emulating
        .post("/_emulator/faults", &fault.to_string());
    assert_says(
        &world.at(&adopt),
        1,
        &["check OPENAI_API_KEY", "a batch is read by its id"],
    );
    world.ask(&["a"]);
    assert_says(&world.at(&adopt), 2, &["this input makes"]);
    world.ask(&["a", "b"]);
    let words = [
        "1 of 1 batch taken",
        "carry the labels of the run",
        "not proved: that its text",
    ];
    assert_says(&world.at(&adopt), 0, &words);
}
