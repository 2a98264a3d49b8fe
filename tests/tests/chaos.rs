//! Killed at random moments, and with answers lost, and started again until done: nothing is lost, paid
//! twice, unreported or stuck. What is checked is the provider's bill and the output, by code that shares
//! nothing with the engine. `cargo xtask chaos` kills more often.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a supervisor of processes has a clock of its own, and says what it did"
)]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use lmbatch_tests::Emulating;
use serde_json::{Value, json};

const REQUESTS: usize = 40;

/// A chance that repeats.
struct Chance(u64);

impl Chance {
    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most
    }
}

fn input(folder: &Path, round: usize) -> String {
    let line = |k: usize| json!({"id": format!("{round}/{k}"), "prompt": format!("{round} {k}")});
    let text: String = (0..REQUESTS).map(|k| format!("{}\n", line(k))).collect();
    let name = format!("in-{round}.jsonl");
    std::fs::write(folder.join(&name), text).unwrap();
    name
}

/// Whether it ended by itself within a time.
fn ended(child: &mut Child, within: Duration) -> bool {
    let until = Instant::now() + within;
    while Instant::now() < until {
        if child.try_wait().unwrap().is_some() {
            return true;
        }
        std::thread::park_timeout(Duration::from_millis(1));
    }
    false
}

fn kills(of_each: usize) -> usize {
    let all = std::env::var("LMBATCH_KILLS").ok();
    all.and_then(|all| all.parse::<usize>().ok())
        .map_or(of_each, |all| all / 3)
}

/// Kills runs of a provider until it has killed often enough, and checks each run once it is done.
fn kill(provider: &str, model: &str, times: usize, seed: u64) {
    let (emulating, folder) = (Emulating::start(), tempfile::tempdir().unwrap());
    let mut chance = Chance(seed);
    let (mut killed, mut round, mut held) = (0, 0, 0);
    while killed < times {
        round += 1;
        let input = input(folder.path(), round);
        let _ = std::fs::remove_file(folder.path().join("out.jsonl"));
        if chance.below(4) == 0 {
            emulating.post(
                "/_emulator/faults",
                r#"{"operation":"create","kind":"reset_after"}"#,
            );
        }
        let model = format!("{provider}/{model}");
        let mut resubmit = false;
        let code = loop {
            let mut command = emulating.command_at(provider, folder.path());
            command.args(["run", &input, "-m", &model, "-o", "out.jsonl", "--quiet"]);
            command.args([
                "--poll-interval",
                "20ms",
                "--max-batch-requests",
                "15",
                "--doubt-wait",
                "100ms",
            ]);
            if resubmit {
                command.args(["--on-doubt", "resubmit"]);
            }
            let command = command.env_remove("LMBATCH_LOG").stderr(Stdio::piped());
            let mut child = command.spawn().unwrap();
            let wait = Duration::from_millis(30 + chance.below(600));
            if killed < times && !ended(&mut child, wait) {
                child.kill().unwrap();
                child.wait().unwrap();
                killed += 1;
                continue;
            }
            let output = child.wait_with_output().unwrap();
            let code = output.status.code();
            if code == Some(6) && !resubmit {
                // A create whose fate cannot be known: only where nothing can be labelled or fenced.
                assert_eq!(provider, "anthropic");
                held += 1;
                resubmit = true;
                continue;
            }
            assert!(
                code == Some(0),
                "{code:?}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
            break code;
        };
        assert_eq!(code, Some(0));
        let text = std::fs::read_to_string(folder.path().join("out.jsonl")).unwrap();
        let lines: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        for (k, line) in lines.iter().enumerate() {
            assert_eq!(line["id"], format!("{round}/{k}"));
            assert_eq!(line["text"], format!("echo: {round} {k}"));
        }
        assert_eq!(lines.len(), REQUESTS);
        // Every batch that was paid for is in an output.
        let named: BTreeSet<&str> = lines
            .iter()
            .map(|line| line["batch"].as_str().unwrap())
            .collect();
        assert_eq!(named.len(), 3);
        let bill = emulating.bill();
        let paid = bill["creates"].as_u64().unwrap();
        let answered = bill["answered_requests"].as_u64().unwrap();
        assert_eq!(
            (paid, answered),
            (3 * round as u64, (REQUESTS * round) as u64),
            "{provider}, round {round}: {bill}"
        );
    }
    println!("{provider}: {killed} kills, {round} runs, {held} held");
}

#[test]
fn killed_at_random_moments_on_openai() {
    kill("openai", "gpt-5-mini", kills(34), 11);
}

#[test]
fn killed_at_random_moments_on_anthropic() {
    kill("anthropic", "claude-haiku-4-5", kills(33), 12);
}

#[test]
fn killed_at_random_moments_on_google() {
    kill("google", "gemini-2.5-flash", kills(33), 13);
}
