//! Many live batches in one process: what it costs to wait for them.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;

use super::measure::{Used, in_a_folder, measure, serve, text};
use crate::sh::run;

/// Runs that are resumed at once, and batches of each.
const RUNS: u64 = 100;
const BATCHES: u64 = 100;

/// Time for which they are watched, in seconds: each batch is looked at twice.
const SECONDS: u64 = 75;

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
    let (used, calls) = in_a_folder(measured)?;
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
    println!("calls: {calls}");
    if share >= MOST_CPU || used.peak_mib >= MOST_MIB {
        return Err("to wait for many batches costs too much".to_owned());
    }
    Ok(())
}

fn measured(folder: &Path) -> Result<(Used, String), String> {
    let all = (RUNS * BATCHES).to_string();
    let (server, base) = serve(&["target/release/live-provider", &all])?;
    let state = folder.join("state").display().to_string();
    let (runs, batches) = (RUNS.to_string(), BATCHES.to_string());
    let prepare = ["prepare", &state, &base, &runs, &batches];
    run("target/release/watch", &prepare)?;
    let seconds = SECONDS.to_string();
    let resume = ["target/release/watch", "resume", &state, &base, &seconds];
    let used = measure(&resume)?;
    let calls = calls(&base)?;
    drop(server);
    Ok((used, calls))
}

/// Calls that the provider got, by operation.
fn calls(base: &str) -> Result<String, String> {
    let host = base.trim_start_matches("http://").trim_end_matches("/v1");
    let mut stream = TcpStream::connect(host).map_err(text)?;
    write!(
        stream,
        "GET /calls HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n"
    )
    .map_err(text)?;
    let mut answer = Vec::new();
    let mut piece = [0; 1024];
    // The provider keeps the connection: the answer is whole when its last brace has come.
    while !answer.ends_with(b"}") {
        match stream.read(&mut piece).map_err(text)? {
            0 => break,
            count => answer.extend_from_slice(&piece[..count]),
        }
    }
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let body = answer.split("\r\n\r\n").nth(1);
    Ok(body.unwrap_or(&answer).to_owned())
}
