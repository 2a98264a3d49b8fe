//! Signals: one is enough, whatever the command does when it comes.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use lmbatch_tests::lmbatch;

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

/// The end of a process within ten seconds; one that does not end is killed.
fn end(child: &mut Child) -> Option<ExitStatus> {
    for _ in 0..500 {
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
fn one_signal_ends_the_emulator() {
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
