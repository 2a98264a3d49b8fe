//! State folders on a full disk, at every stage of a run: nothing is created that could not be recorded, and once
//! there is room the same command resumes the run. The test needs a mount of its own; without the right to mount, it
//! prints so and checks nothing. `cargo xtask chaos` tries many more sizes.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a supervisor of processes says what it did"
)]

use std::fs;
use std::process::{Command, Output};

use lmbatch_tests::{Rounds, Scene, assert_says};
use serde_json::json;

/// Runs in a small disk of its own: first with `$1` bytes of room, then with enough.
const SCRIPT: &str = r#"
size=$1; shift
mount -t tmpfs -o size=$size,mode=700 none state || exit 77
"$@"; echo "full $?"
mount -o remount,size=16m none state
"$@"; echo "roomy $?"
"#;

fn on_a_disk_of(rounds: &Rounds, bytes: usize, resubmit: bool) -> Output {
    let mut unshare = rounds.command("unshare");
    unshare.args(["--map-root-user", "--mount", "sh", "-c", SCRIPT, "sh"]);
    unshare.arg(bytes.to_string()).arg(lmbatch_tests::lmbatch());
    unshare
        .args(rounds.arguments(resubmit))
        .args(["--state-dir", "state"]);
    unshare.output().unwrap()
}

fn can_mount() -> bool {
    let mut unshare = Command::new("unshare");
    unshare.args([
        "--map-root-user",
        "--mount",
        "mount",
        "-t",
        "tmpfs",
        "none",
        "/mnt",
    ]);
    unshare.output().is_ok_and(|output| output.status.success())
}

fn fill(provider: &'static str, model: &'static str, most: usize) {
    if !can_mount() {
        println!("no file system can be mounted here: no disk was filled");
        return;
    }
    let every = std::env::var("LMBATCH_KILLS").is_ok();
    let mut rounds = Rounds::new(provider, model, 6, most);
    let mut full = 0;
    for bytes in (16..416).step_by(if every { 4 } else { 70 }) {
        rounds.next();
        fs::create_dir_all(rounds.folder().join("state")).unwrap();
        let output = on_a_disk_of(&rounds, bytes << 10, false);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.ends_with("roomy 0\n"), "{bytes} kB: {said}{errors}");
        if !said.starts_with("full 0") {
            full += 1;
            assert!(said.starts_with("full 1\n"), "{bytes} kB: {said}{errors}");
        }
        rounds.check();
    }
    println!("{provider}: {} runs, full in {full}", rounds.round());
    assert!(full >= 2, "only {full}");
}

#[test]
fn a_full_disk_costs_nothing_on_openai() {
    fill("openai", "gpt-5-mini", 2);
}

#[test]
fn a_full_disk_costs_nothing_on_anthropic() {
    // No two of its batches have the same size: 3, 2 and 1.
    fill("anthropic", "claude-haiku-4-5", 3);
}

#[test]
fn a_full_disk_costs_nothing_on_google() {
    fill("google", "gemini-2.5-flash", 2);
}

/// Runs two commands with a state folder on a file system that is mounted read-only.
const READING: &str = r#"
mount --bind state state && mount -o remount,bind,ro state || exit 77
"$1" runs; echo "runs $?"
"$1" show mine; echo "show $?"
"$1" audit mine; echo "audit $?"
"$1" retrieve mine; echo "retrieve $?"
"$1" resume mine; echo "resume $?"
"#;

#[test]
fn a_read_only_state_folder_is_read() {
    if !can_mount() {
        println!("no file system can be mounted here: nothing was read");
        return;
    }
    let scene = Scene::new([json!({"id": "a", "prompt": "x"})]);
    let state = ["--state-dir", "state", "--run", "mine"];
    assert_says(&scene.run(&state), 0, &[]);
    let mut unshare = scene.command("openai", &[]);
    let environment: Vec<_> = unshare
        .get_envs()
        .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
        .collect();
    unshare = Command::new("unshare");
    unshare
        .envs(environment)
        .env("LMBATCH_STATE_DIR", "state")
        .current_dir(scene.path())
        .args(["--map-root-user", "--mount", "sh", "-c", READING, "sh"])
        .arg(lmbatch_tests::lmbatch());
    let output = unshare.output().unwrap();
    let words = [
        "runs 0",
        "show 0",
        "audit 0",
        "retrieve 0",
        "resume 1",
        "echo: x",
        "finished",
    ];
    assert_says(&output, 0, &words);
    assert_says(&output, 0, &["ead-only file system"]);
}
