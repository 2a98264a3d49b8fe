//! Processes that are killed at random moments, and lose responses, until their runs end: nothing is lost, paid twice,
//! unreported or stuck. The tests check the provider's bill and the output with code that shares nothing with the
//! engine. `cargo xtask chaos` kills more often.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a supervisor of processes has a clock of its own, and says what it did"
)]

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use lmbatch_tests::Rounds;

/// Random numbers that a seed determines.
struct Chance(u64);

impl Chance {
    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most
    }
}

/// Returns whether the process ended by itself within a time.
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

/// Kills runs of a provider a number of times, and checks each run once it has ended.
fn kill(provider: &'static str, model: &'static str, times: usize, seed: u64) {
    let mut rounds = Rounds::new(provider, model, 40, 15);
    let mut chance = Chance(seed);
    let (mut killed, mut held) = (0, 0);
    while killed < times {
        rounds.next();
        if chance.below(4) == 0 {
            let lost = r#"{"operation":"create","kind":"reset_after"}"#;
            rounds.emulating.post("/_emulator/faults", lost);
        }
        let mut resubmit = false;
        loop {
            let mut command = rounds.command("lmbatch");
            let command = command.args(rounds.arguments(resubmit));
            let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
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
                // A create stays in doubt only where it can be neither labelled nor fenced.
                assert_eq!(provider, "anthropic");
                held += 1;
                resubmit = true;
                continue;
            }
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(code, Some(0), "{said}");
            break;
        }
        rounds.check();
    }
    println!(
        "{provider}: {killed} kills, {} runs, {held} held",
        rounds.round()
    );
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
