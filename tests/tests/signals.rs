//! Signals: one suffices at any time of any command.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use lmbatch_tests::{Emulating, lmbatch, said, write_input};
use serde_json::json;

#[expect(clippy::disallowed_methods, reason = "another process is waited for")]
fn pause() {
    std::thread::sleep(Duration::from_millis(20));
}

fn send(name: &str, child: &Child) {
    let pid = child.id().to_string();
    let mut kill = Command::new("kill");
    let sent = kill.args([&format!("-{name}"), &pid]);
    assert!(sent.status().unwrap().success());
}

/// Number of checks of a process in two seconds.
const TWO_SECONDS: u32 = 100;

/// Returns the end of a process within ten seconds; a process that does not end is killed.
fn end(child: &mut Child) -> Option<ExitStatus> {
    end_within(child, 5 * TWO_SECONDS)
}

fn end_within(child: &mut Child, looks: u32) -> Option<ExitStatus> {
    for _ in 0..looks {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        pause();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    None
}

#[test]
fn one_signal_stops_the_emulator() {
    for name in ["INT", "TERM", "HUP"] {
        let mut child = Command::new(lmbatch())
            .args(["emulate", "--addr", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        assert!(line.starts_with("export "), "{line}");
        send(name, &child);
        let ended = end(&mut child);
        assert_eq!(ended.and_then(|status| status.code()), Some(0), "{name}");
    }
}

/// Stops a command with a signal, and returns its output until then. A signal takes effect within two seconds.
fn stopped(mut child: Child) -> Output {
    send("INT", &child);
    let ended = end_within(&mut child, TWO_SECONDS);
    assert!(ended.is_some(), "it did not end");
    child.wait_with_output().unwrap()
}

#[test]
fn a_signal_while_the_input_is_read_leaves_nothing_behind() {
    let (emulating, folder) = (Emulating::start(), tempfile::tempdir().unwrap());
    let fifo = folder.path().join("in.jsonl");
    assert!(
        Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap()
            .success()
    );
    let child = emulating
        .command_at("openai", folder.path())
        .env_remove("LMBATCH_LOG")
        .args(["run", "in.jsonl", "-m", "openai/m", "-o", "out.jsonl"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Lines arrive as long as they are read.
    let writer = std::thread::spawn(move || {
        let mut input = fs::File::options().write(true).open(fifo).unwrap();
        let lines = "{\"prompt\": \"Hi\"}\n".repeat(100);
        while input.write_all(lines.as_bytes()).is_ok() {}
    });
    let spool = folder.path().join(".lmbatch/spool");
    let files = || fs::read_dir(&spool).map_or(0, Iterator::count);
    while files() == 0 {
        pause();
    }
    let output = stopped(child);
    writer.join().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", said(&output));
    let messages = said(&output);
    assert!(
        messages.contains("stopped by INT; nothing was sent"),
        "{messages}"
    );
    assert!(!messages.contains("error"), "{messages}");
    assert_eq!(files(), 0, "no files of the input are left");
}

#[test]
fn a_signal_ends_the_wait_for_an_input_that_sends_nothing() {
    let lines = "{\"prompt\": \"Hi\"}\n".repeat(3);
    for (name, code, sent) in [
        ("INT", 130, ""),
        ("TERM", 143, &*lines),
        ("INT", 130, "{\"pro"),
    ] {
        let (emulating, folder) = (Emulating::start(), tempfile::tempdir().unwrap());
        let mut child = emulating
            .command_at("openai", folder.path())
            .env_remove("LMBATCH_LOG")
            .args(["run", "-", "-m", "openai/m", "-o", "out.jsonl"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Standard input stays open, as in a terminal.
        let mut input = child.stdin.take().unwrap();
        input.write_all(sent.as_bytes()).unwrap();
        let spool = folder.path().join(".lmbatch/spool");
        let files = || fs::read_dir(&spool).map_or(0, Iterator::count);
        // The run is claimed before the first line is read.
        let locks = folder.path().join(".lmbatch/locks");
        while fs::read_dir(&locks).map_or(0, Iterator::count) == 0 {
            pause();
        }
        send(name, &child);
        let mut waits = 0;
        while child.try_wait().unwrap().is_none() {
            waits += 1;
            assert!(waits < 40, "{name} did not end it at once");
            pause();
        }
        drop(input);
        let output = child.wait_with_output().unwrap();
        let messages = said(&output);
        assert_eq!(output.status.code(), Some(code), "{messages}");
        let stopped = format!("stopped by {name}; nothing was sent");
        assert!(messages.contains(&stopped), "{messages}");
        assert_eq!(files(), 0, "no files of the input are left");
        assert_eq!(emulating.bill()["creates"], 0);
    }
}

#[test]
fn a_signal_in_any_phase_prints_how_to_continue() {
    for (operation, words) in [
        ("model", "stopped by INT; nothing was sent"),
        ("upload", "stopped by INT; to continue:"),
        ("create", "stopped by INT; to continue:"),
        ("list", "stopped by INT; to continue:"),
        ("status", "stopped by INT; to continue:"),
        ("content", "stopped by INT; to continue:"),
    ] {
        let (emulating, folder) = (Emulating::start(), tempfile::tempdir().unwrap());
        write_input(folder.path(), [json!({"id": "a", "prompt": "Hi"})]);
        // The list is read once before the create, and then to search for a batch whose create was not answered.
        let is_search = operation == "list";
        if is_search {
            let lost = json!({"operation": "create", "kind": "reset_after"});
            emulating.post("/_emulator/faults", &lost.to_string());
        }
        let slow = json!({
            "operation": operation, "skip": u32::from(is_search),
            "kind": {"latency": {"milliseconds": 60_000}},
        });
        emulating.post("/_emulator/faults", &slow.to_string());
        let child = emulating
            .command_at("openai", folder.path())
            .env_remove("LMBATCH_LOG")
            .args(["run", "in.jsonl", "-m", "openai/m", "-o", "out.jsonl"])
            .args(["--poll-interval", "20ms"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let calls = || emulating.bill()["calls"][operation].as_u64();
        while calls() < Some(1 + u64::from(is_search)) {
            pause();
        }
        let output = stopped(child);
        let messages = said(&output);
        assert_eq!(output.status.code(), Some(130), "{operation}: {messages}");
        assert!(messages.contains(words), "{operation}: {messages}");
        let spool = fs::read_dir(folder.path().join(".lmbatch/spool"));
        let has_run = spool.is_ok_and(|mut files| files.next().is_some());
        assert_eq!(has_run, operation != "model", "{operation}");
        emulating.clear_faults();
        if operation == "create" {
            // The response is lost, and the emulator may accept the create later.
            continue;
        }
        let again = emulating.run_at(
            "openai",
            folder.path(),
            &[
                "run",
                "in.jsonl",
                "-m",
                "openai/m",
                "-o",
                "out.jsonl",
                "--poll-interval",
                "20ms",
            ],
        );
        assert_eq!(
            again.status.code(),
            Some(0),
            "{operation}: {}",
            said(&again)
        );
        assert_eq!(emulating.bill()["creates"], 1, "{operation}");
    }
}

#[test]
fn a_second_signal_at_once_does_not_hide_how_to_continue() {
    let (emulating, folder) = (Emulating::start(), tempfile::tempdir().unwrap());
    write_input(folder.path(), [json!({"id": "a", "prompt": "Hi"})]);
    let slow = json!({"operation": "status", "kind": {"latency": {"milliseconds": 60_000}}});
    emulating.post("/_emulator/faults", &slow.to_string());
    for _ in 0..3 {
        let calls = || emulating.bill()["calls"]["status"].as_u64().unwrap_or(0);
        let before = calls();
        let child = emulating
            .command_at("openai", folder.path())
            .env_remove("LMBATCH_LOG")
            .args(["run", "in.jsonl", "-m", "openai/m", "-o", "out.jsonl"])
            .args(["--poll-interval", "20ms"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        while calls() == before {
            pause();
        }
        // Both signals arrive before the process runs again.
        for name in ["STOP", "INT", "TERM"] {
            send(name, &child);
        }
        let output = continued(child);
        let messages = said(&output);
        let code = output.status.code();
        assert!(matches!(code, Some(130 | 143)), "{code:?}: {messages}");
        assert!(
            messages.contains("; to continue:\n  lmbatch resume r-"),
            "{messages}"
        );
    }
    assert_eq!(emulating.bill()["creates"], 1);
}

/// Continues a stopped process, and returns its output until it ends.
fn continued(mut child: Child) -> Output {
    send("CONT", &child);
    let ended = end(&mut child);
    assert!(ended.is_some(), "it did not end");
    child.wait_with_output().unwrap()
}
