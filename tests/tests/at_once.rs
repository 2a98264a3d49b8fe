//! Calls at once: the limits of `lmbatch.toml` hold at the provider.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use lmbatch_tests::{Emulating, write_input};
use serde_json::json;

#[expect(clippy::disallowed_methods, reason = "another process is waited for")]
fn pause(milliseconds: u64) {
    std::thread::sleep(Duration::from_millis(milliseconds));
}

/// Returns the number of creates that are under way at once after the first one was accepted, as each takes a minute.
fn creates_at_once(config: &str, expected: u64) -> u64 {
    let (emulating, folder) = (Emulating::start(), tempfile::tempdir().unwrap());
    let requests = (0..8).map(|number| json!({"id": format!("{number}"), "prompt": "Hi"}));
    write_input(folder.path(), requests.collect::<Vec<_>>());
    fs::write(folder.path().join("lmbatch.toml"), config).unwrap();
    let slow = json!({
        "operation": "create", "skip": 1, "times": 100,
        "kind": {"latency": {"milliseconds": 60_000}},
    });
    emulating.post("/_emulator/faults", &slow.to_string());
    let mut child = emulating
        .command_at("openai", folder.path())
        .env_remove("LMBATCH_LOG")
        .env_remove("LMBATCH_CONFIG")
        .args(["run", "in.jsonl", "-m", "openai/m", "-o", "out.jsonl"])
        .args(["--max-batch-requests", "1", "--poll-interval", "20ms"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let under_way = || {
        emulating.bill()["calls"]["create"]
            .as_u64()
            .unwrap_or(0)
            .saturating_sub(1)
    };
    for _ in 0..500 {
        if under_way() >= expected {
            break;
        }
        pause(20);
    }
    // Further creates would begin at once.
    pause(500);
    let most = under_way();
    child.kill().unwrap();
    child.wait().unwrap();
    most
}

#[test]
fn with_one_create_at_once_no_two_creates_overlap() {
    for (config, expected) in [
        ("", 4),
        ("[limits]\ncreates = 1\n", 1),
        ("limits.creates = 2", 2),
    ] {
        assert_eq!(creates_at_once(config, expected), expected, "{config:?}");
    }
}
