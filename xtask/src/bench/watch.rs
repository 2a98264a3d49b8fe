//! Many live batches in one process: what it costs to wait for them.

use std::path::Path;

use super::measure::{Used, ask, in_a_folder, measure, serve};
use crate::sh::run;

/// Runs that are resumed at once, and batches of each.
const RUNS: u64 = 100;
const BATCHES: u64 = 100;

/// Time for which they are watched, in seconds: each batch is looked at twice.
const SECONDS: u64 = 75;

/// Time in which each batch is looked at once: what the rest costs is that of the second look.
const FIRST: u64 = 15;

/// Most processor time of a look at a batch, in microseconds.
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
    let Watched { first, used, calls } = in_a_folder(measured)?;
    let poll = (used.cpu_ms - first.cpu_ms) * 1e3 / (RUNS * BATCHES) as f64;
    let share = used.cpu_ms / (SECONDS as f64 * 1e3) * 100.0;
    println!(
        "{} live batches in {RUNS} runs of one process, for {SECONDS} s, one look a minute each",
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
    println!("a look at a batch: {poll:.1} µs of processor time (must: at most {MOST_POLL} µs)");
    println!("calls: {calls}");
    if share >= MOST_CPU || used.peak_mib >= MOST_MIB || poll > MOST_POLL {
        return Err("to wait for many batches costs too much".to_owned());
    }
    Ok(())
}

/// Costs of watching for the first look only, and for two.
struct Watched {
    first: Used,
    used: Used,
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
    let resume = |seconds: u64| {
        let seconds = seconds.to_string();
        measure(&["target/release/watch", "resume", &state, &base, &seconds])
    };
    let (first, used) = (resume(FIRST)?, resume(SECONDS)?);
    let calls = ask(&base, "/calls")?.to_string();
    drop(server);
    Ok(Watched { first, used, calls })
}
