//! Many live batches in one process: what it costs to wait for them.

use std::path::Path;

use super::measure::{ask, in_a_folder, serve};
use crate::sh::{output, run};

/// Runs that are resumed at once, and batches of each.
const RUNS: u64 = 100;
const BATCHES: u64 = 100;

/// Limit of the time for which they are watched, in seconds. Each batch is polled twice, a minute apart; a third
/// look would be too late.
const SECONDS: u64 = 75;

/// Most processor time of one poll of a batch, in microseconds.
const MOST_POLL: f64 = 15.0;

/// Most processor time, as a share of one core in per cent.
const MOST_CPU: f64 = 5.0;

/// Most memory at its peak, in MiB.
const MOST_MIB: f64 = 64.0;

/// Watches the batches, and prints what that costs.
///
/// # Errors
/// Processor time or memory beyond what is allowed.
pub(super) fn watch() -> Result<(), String> {
    let package = ["--package", "lmbatch-tests"];
    let build = ["build", "--locked", "--release"];
    run("cargo", &[&build[..], &package[..]].concat())?;
    let used = in_a_folder(measured)?;
    // The second look is over within seconds of the second minute; the rest of its time is spent waiting.
    let [first, second] = used.idle;
    let waiting = (second - first) / (IDLE[1] - IDLE[0]);
    let after = (60.0 - IDLE[1]) * waiting;
    let poll = (used.cpu_ms - second - after) * 1e3 / (RUNS * BATCHES) as f64;
    let share = used.cpu_ms / 60e3 * 100.0;
    println!(
        "{} live batches in {RUNS} runs of one process, for a minute, with two polls of each",
        RUNS * BATCHES
    );
    println!(
        "processor time: {:.0} ms, {share:.1} % of one core (must: under {MOST_CPU} %)",
        used.cpu_ms
    );
    println!(
        "memory at its peak: {:.0} MiB (must: under {MOST_MIB} MiB)",
        used.peak_mib
    );
    println!("waiting: {waiting:.1} ms of processor time in a second, for all runs");
    println!("one poll of a batch: {poll:.1} µs of processor time (must: at most {MOST_POLL} µs)");
    println!("calls: {}", used.calls);
    if share >= MOST_CPU || used.peak_mib >= MOST_MIB || poll > MOST_POLL {
        return Err("to wait for many batches costs too much".to_owned());
    }
    Ok(())
}

/// Seconds after which the program reads its processor time while nothing is due.
const IDLE: [f64; 2] = [30.0, 55.0];

/// Costs of watching for two looks.
struct Watched {
    /// Milliseconds of processor time at each of `IDLE`.
    idle: [f64; 2],
    cpu_ms: f64,
    peak_mib: f64,
    /// Calls that the provider got, by operation.
    calls: String,
}

fn measured(folder: &Path) -> Result<Watched, String> {
    let all = (RUNS * BATCHES).to_string();
    let (server, base) = serve(&["target/release/live-provider", &all])?;
    let state = folder.join("state").display().to_string();
    let (runs, batches) = (RUNS.to_string(), BATCHES.to_string());
    let prepare = ["prepare", &state, &base, &runs, &batches];
    run("target/release/watch", &prepare)?;
    let seconds = SECONDS.to_string();
    let printed = output("target/release/watch", &["resume", &state, &base, &seconds])?;
    let calls = ask(&base, "/calls")?.to_string();
    drop(server);
    let numbers: Vec<f64> = printed
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    match numbers.as_slice() {
        [first, second, cpu_ms, peak_mib] => Ok(Watched {
            idle: [*first, *second],
            cpu_ms: *cpu_ms,
            peak_mib: *peak_mib,
            calls,
        }),
        _ => Err(format!("nothing was measured: {printed}")),
    }
}
