//! `lmbatch run` beside a floor program: processor time and peak memory, in one table.

mod measure;
mod watch;

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::resource::{UsageWho, getrusage};

use self::measure::{Used, in_a_folder, measure, serve, text};
use crate::sh::run;

/// Polls of both programs.
const POLL: &str = "100";
const SIZES: [u64; 3] = [1_000, 10_000, 50_000];
const ROUNDS: usize = 3;

/// Runs the bench beside the floor program, or with `--watch` that of many live batches.
pub(crate) fn bench(args: &[String]) -> Result<(), String> {
    if args.iter().any(|arg| arg == "--watch") {
        return watch::watch();
    }
    run(
        "cargo",
        &[
            "build",
            "--locked",
            "--release",
            "--package",
            "lmbatch-cli",
            "--package",
            "lmbatch-tests",
        ],
    )?;
    let table = in_a_folder(measure_all)?;
    println!("{table}");
    Ok(())
}

fn measure_all(folder: &Path) -> Result<String, String> {
    let (server, base) = serve(&["target/release/fake-provider"])?;
    let mut table = String::from(
        "requests | floor cpu | lmbatch cpu | ratio | floor peak | lmbatch peak\n---|---|---|---|---|---\n",
    );
    for size in SIZES {
        let input = folder.join(format!("{size}.jsonl"));
        write_input(&input, size).map_err(text)?;
        let (input, output) = (input.display().to_string(), folder.join("out.jsonl"));
        let output = output.display().to_string();
        let floor = median(|| measure(&["target/release/floor", &input, &output, &base, POLL]))?;
        let poll = format!("{POLL}ms");
        let state = folder.join("state").display().to_string();
        let ours = [
            "target/release/lmbatch",
            "run",
            &input,
            "-o",
            &output,
            "-m",
            "openai/m",
            "--base-url",
            &base,
            "--poll-interval",
            &poll,
            "--force",
            "--quiet",
            "--new",
            "--state-dir",
            &state,
        ];
        let ours = median(|| measure(&ours))?;
        writeln!(
            table,
            "{size} | {:.0} ms | {:.0} ms | {:.1} | {:.0} MiB | {:.0} MiB",
            floor.cpu_ms,
            ours.cpu_ms,
            ours.cpu_ms / floor.cpu_ms,
            floor.peak_mib,
            ours.peak_mib
        )
        .map_err(text)?;
    }
    drop(server);
    Ok(table)
}

/// A kilobyte each.
fn write_input(path: &Path, size: u64) -> std::io::Result<()> {
    let mut out = BufWriter::new(File::create(path)?);
    let words = "word ".repeat(200);
    for number in 0..size {
        writeln!(out, "{{\"id\":{number},\"prompt\":\"{number} {words}\"}}")?;
    }
    out.flush()
}

fn median(mut once: impl FnMut() -> Result<Used, String>) -> Result<Used, String> {
    let mut all = (0..ROUNDS).map(|_| once()).collect::<Result<Vec<_>, _>>()?;
    all.sort_by(|a, b| a.cpu_ms.total_cmp(&b.cpu_ms));
    Ok(all[ROUNDS / 2])
}

/// Runs one command and prints what it used: milliseconds of processor time, MiB at its peak.
pub(crate) fn measure_one(command: &[String]) -> Result<(), String> {
    let (program, args) = command.split_first().ok_or("no command to measure")?;
    let status = Command::new(program)
        .args(args)
        .stdout(Stdio::null())
        .status()
        .map_err(text)?;
    if !status.success() {
        return Err(format!("{program}: {status}"));
    }
    let used = getrusage(UsageWho::RUSAGE_CHILDREN).map_err(text)?;
    let ms =
        |time: nix::sys::time::TimeVal| time.tv_sec() as f64 * 1e3 + time.tv_usec() as f64 / 1e3;
    println!(
        "{} {}",
        ms(used.user_time()) + ms(used.system_time()),
        used.max_rss() as f64 / 1024.0
    );
    Ok(())
}
