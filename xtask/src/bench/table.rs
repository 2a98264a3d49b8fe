//! Table of the figures, and the document that holds it.

use std::fmt::Write as _;
use std::fs;

use super::cases::{Measured, Run};
use super::measure::text;

const DOCUMENT: &str = "docs/performance.md";
const BEGIN: &str = "<!-- begin: cargo xtask bench --write -->";
const END: &str = "<!-- end -->";

pub(super) fn table(measured: &[Measured]) -> String {
    let mut table = String::from(
        "| requests | program | CPU ms | ÷ floor | peak MiB | wall ms | wall ÷ CPU | plan | upload | wait | download | write |\n|---|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    table.extend(measured.iter().map(rows));
    table
}

/// The rows of one case: the floor, lmbatch, and another build where there is one.
pub(super) fn rows(one: &Measured) -> String {
    let mut rows = String::new();
    let floor = one.floor.used.cpu_ms;
    let mut row = |program: &str, run: &Run| {
        let used = run.used;
        // A text takes every line.
        let _ = write!(
            rows,
            "| {} | {program} | {:.0} | {:.1} | {:.0} | {:.0} | {:.2} |",
            one.case.name(),
            used.cpu_ms,
            used.cpu_ms / floor,
            used.peak_mib,
            used.wall_ms(),
            used.wall_ms() / used.cpu_ms,
        );
        for phase in run.phases() {
            let _ = write!(rows, " {phase:.0} |");
        }
        rows.push('\n');
    };
    row("floor", &one.floor);
    row("lmbatch", &one.lmbatch);
    if let Some(beside) = &one.beside {
        row("other build", beside);
    }
    rows
}

/// Puts the table into the document, with what it was measured on.
pub(super) fn write(table: &str) -> Result<(), String> {
    let document = fs::read_to_string(DOCUMENT).map_err(text)?;
    let (before, rest) = document
        .split_once(BEGIN)
        .ok_or(format!("{DOCUMENT} has no {BEGIN}"))?;
    let (_, after) = rest
        .split_once(END)
        .ok_or(format!("{DOCUMENT} has no {END}"))?;
    let machine = machine();
    let document = format!("{before}{BEGIN}\n{machine}\n\n{table}{END}{after}");
    fs::write(DOCUMENT, document).map_err(text)
}

/// Processor, cores and memory, and the day.
fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let value = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        let value = line.and_then(|line| line.split_once(':'));
        value.map_or("unknown".to_owned(), |(_, value)| value.trim().to_owned())
    };
    let processor = value(&read("/proc/cpuinfo"), "model name");
    let memory = value(&read("/proc/meminfo"), "MemTotal");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let date = std::process::Command::new("date").arg("+%Y-%m-%d").output();
    let date = date.map_or(String::new(), |date| {
        String::from_utf8_lossy(&date.stdout).trim().to_owned()
    });
    format!("Measured on {date}: {processor}, {cores} cores, {memory} of memory.")
}
