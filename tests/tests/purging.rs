//! Deletions of `purge` while other commands work on the same runs.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use lmbatch_tests::{Emulating, lines, said, write_input};
use serde_json::{Value, json};

#[expect(clippy::disallowed_methods, reason = "another process is waited for")]
fn pause() {
    std::thread::sleep(Duration::from_millis(20));
}

fn command(emulating: &Emulating, folder: &Path, args: &[&str]) -> Command {
    let mut command = emulating.command_at("openai", folder);
    command.env_remove("LMBATCH_LOG").args(args);
    command
}

#[test]
fn a_run_that_is_requeued_during_a_purge_is_kept() {
    let (emulating, folder) = (Emulating::start(), tempfile::tempdir().unwrap());
    let at = |args: &[&str]| command(&emulating, folder.path(), args).output().unwrap();
    write_input(
        folder.path(),
        [
            json!({"id": "a", "prompt": "fine"}),
            json!({"id": "b", "prompt": "lmb:truncate"}),
        ],
    );
    for name in ["older", "newer"] {
        let output = format!("{name}.jsonl");
        let ended = at(&[
            "run",
            "in.jsonl",
            "-m",
            "openai/m",
            "-o",
            &output,
            "--run",
            name,
            "--cleanup",
            "none",
            "--poll-interval",
            "20ms",
        ]);
        assert_eq!(ended.status.code(), Some(3), "{}", said(&ended));
    }
    // The first deletion takes a while: the upload of the newer run.
    let slow = json!({"operation": "delete", "kind": {"latency": {"milliseconds": 8000}}});
    emulating.post("/_emulator/faults", &slow.to_string());
    let purge = ["purge", "--older-than", "0s", "--remote", "--local"];
    let purge = command(&emulating, folder.path(), &purge)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while emulating.bill()["calls"]["delete"] == Value::Null {
        pause();
    }
    // Meanwhile the other run is requeued, and stays while its batch is running.
    let requeue = [
        "requeue",
        "older",
        "--only",
        "truncated",
        "--timeout",
        "2s",
        "--poll-interval",
        "60s",
    ];
    let sent = at(&requeue);
    assert_eq!(sent.status.code(), Some(4), "{}", said(&sent));
    let purged = purge.wait_with_output().unwrap();
    assert_eq!(purged.status.code(), Some(0), "{}", said(&purged));
    let stays = "has not ended; it is kept";
    assert!(said(&purged).contains(stays), "{}", said(&purged));
    let runs = said(&at(&["runs"]));
    assert!(
        runs.contains("older") && !runs.contains("newer"),
        "it is recorded still: {runs}"
    );
    let resumed = at(&["resume", "older", "--poll-interval", "20ms"]);
    assert_eq!(resumed.status.code(), Some(3), "{}", said(&resumed));
    assert_eq!(lines(&folder.path().join("older.jsonl")).len(), 2);
    let audit = at(&["audit", "older"]);
    assert_eq!(audit.status.code(), Some(0), "{}", said(&audit));
}

#[test]
fn a_run_that_has_not_ended_is_purged_only_by_name_and_with_force() {
    let (emulating, folder) = (Emulating::start(), tempfile::tempdir().unwrap());
    let at = |args: &[&str]| command(&emulating, folder.path(), args).output().unwrap();
    write_input(folder.path(), [json!({"id": "a", "prompt": "fine"})]);
    let left = at(&[
        "run", "in.jsonl", "-m", "openai/m", "--run", "mine", "--detach",
    ]);
    assert_eq!(left.status.code(), Some(0), "{}", said(&left));
    for (args, code, stays) in [
        (&["purge", "mine"][..], 2, true),
        (&["purge", "--older-than", "0s"], 0, true),
        (&["purge", "--older-than", "0s", "--force"], 0, true),
        (&["purge", "mine", "--force", "--dry-run"], 0, true),
        (&["purge", "mine", "--force"], 0, false),
    ] {
        let purged = at(args);
        assert_eq!(
            purged.status.code(),
            Some(code),
            "{args:?}: {}",
            said(&purged)
        );
        let runs = said(&at(&["runs"]));
        assert_eq!(runs.contains("mine"), stays, "{args:?}: {runs}");
    }
}
