//! Processes that are killed at each write, sync and socket call of a short run, one after the other, and restarted:
//! the provider's bill and the output are as without a kill. The tests need `strace`; without it they print so and
//! check nothing. `cargo xtask chaos` kills at every call, the tests at some of each kind.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a supervisor of processes says what it did"
)]

use std::process::{Command, Stdio};

use lmbatch_tests::Rounds;

/// System calls that change a file, make it durable, or talk to the provider.
const CALLS: [&str; 12] = [
    "write",
    "pwrite64",
    "writev",
    "fsync",
    "fdatasync",
    "ftruncate",
    "unlink",
    "rename",
    "connect",
    "sendto",
    "sendmsg",
    "recvfrom",
];

/// Returns whether a run is killed at the call with this number; if not, it makes fewer calls and ends by itself.
fn is_killed_at(rounds: &Rounds, call: &str, number: usize) -> bool {
    let mut strace = rounds.command("strace");
    strace.args([
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        &format!("trace={call}"),
    ]);
    strace.args(["-e", &format!("inject={call}:signal=SIGKILL:when={number}")]);
    strace
        .arg(lmbatch_tests::lmbatch())
        .args(rounds.arguments(false));
    let output = strace.stderr(Stdio::piped()).output().unwrap();
    // A tracer ends like the traced process.
    !output.status.success()
}

/// Resumes a run until it ends, and returns whether a create was held.
fn resume(rounds: &Rounds, provider: &str, at: &str) -> bool {
    let run = |resubmit| {
        let output = rounds
            .command("lmbatch")
            .args(rounds.arguments(resubmit))
            .output()
            .unwrap();
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    let (code, said) = run(false);
    if code != Some(6) {
        assert_eq!(code, Some(0), "{provider}, killed at {at}: {said}");
        return false;
    }
    // A create stays in doubt only where it can be neither labelled nor fenced.
    assert_eq!(provider, "anthropic", "{said}");
    assert_eq!(run(true).0, Some(0));
    true
}

/// Returns whether `strace` can be used on this machine; says so where it cannot.
fn can_trace() -> bool {
    let probe = ["-qq", "-o", "/dev/null", "true"];
    let probed = Command::new("strace").args(probe).status();
    let can_trace = probed.is_ok_and(|status| status.success());
    if !can_trace {
        println!("strace cannot be used on this machine: nothing was checked");
    }
    can_trace
}

/// Kills runs of six requests, in three batches of at most `most`. In the tests each provider has its share of the
/// calls.
fn kill(provider: &'static str, model: &'static str, most: usize, share: usize) {
    if !can_trace() {
        return;
    }
    let every = std::env::var("LMBATCH_KILLS").is_ok();
    let mut rounds = Rounds::new(provider, model, 6, most);
    let (mut killed, mut held) = (0, 0);
    let calls = CALLS.iter().enumerate();
    let calls = calls.filter(|(at, _)| every || at % 3 == share);
    for (_, call) in calls {
        // The tests try a few calls of each kind, with a growing gap.
        let mut number = 1;
        loop {
            rounds.next();
            let died = is_killed_at(&rounds, call, number);
            killed += usize::from(died);
            held += usize::from(resume(&rounds, provider, &format!("{call} {number}")));
            rounds.check();
            if !died {
                break;
            }
            number += if every { 1 } else { number.max(3) };
        }
    }
    println!(
        "{provider}: {killed} kills, {} runs, {held} held",
        rounds.round()
    );
    assert!(killed > 3, "only {killed} kills");
}

#[test]
fn killed_at_system_calls_on_openai() {
    kill("openai", "gpt-5-mini", 2, 0);
}

#[test]
fn killed_at_system_calls_on_anthropic() {
    // No two of its batches have the same size: 3, 2 and 1.
    kill("anthropic", "claude-haiku-4-5", 3, 1);
}

#[test]
fn killed_at_system_calls_on_google() {
    kill("google", "gemini-2.5-flash", 2, 2);
}

/// Most calls of `fsync` and `fdatasync` in a run of one batch: ten transitions of the ledger with four each, and
/// the files of the run with their folder.
const MOST_SYNCS: usize = 64;

#[test]
fn a_run_of_one_batch_syncs_as_often_as_the_order_of_records_needs() {
    if !can_trace() {
        return;
    }
    let mut rounds = Rounds::new("openai", "gpt-5-mini", 6, 6);
    // The first run also makes the ledger.
    for _ in 0..2 {
        rounds.next();
        let mut strace = rounds.command("strace");
        strace.args(["-f", "-qq", "-o", "calls", "-e", "trace=fsync,fdatasync"]);
        let traced = strace.arg(lmbatch_tests::lmbatch());
        let traced = traced.args(rounds.arguments(false)).output().unwrap();
        let said = String::from_utf8_lossy(&traced.stderr);
        assert!(traced.status.success(), "{said}");
    }
    let calls = std::fs::read_to_string(rounds.folder().join("calls")).unwrap();
    // A call that another thread interrupts is shown twice.
    let begun = calls.lines().filter(|line| !line.contains("resumed"));
    let count = begun.count();
    println!("{count} syncs");
    assert!(count > 4, "the calls were not traced: {calls}");
    assert!(count <= MOST_SYNCS, "{count} syncs: {calls}");
}
