//! Tasks of this repository: `cargo xtask test`, `tidy`, `book`, `contract`, `chaos`, `bench`, `interop`, `deny`,
//! `features`, `api`, `dist`, `wheel`, `prices`, `ci`.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a task prints to its terminal"
)]

mod api;
mod bench;
mod book;
mod cases;
mod circles;
mod contract;
mod coverage;
mod deny;
mod dependencies;
mod dist;
mod dockerfile;
mod features;
mod interop;
mod language;
mod prices;
mod sh;
mod test_files;
mod tidy;
mod toolchain;
mod wheel;

use std::process::ExitCode;

use sh::{has, run};

const HELP: &str = "cargo xtask COMMAND
  test [ARGS]   every test; needs no network and no key
  tidy          the house's invariants
  book          links, anchors and fences of the documents; builds the book where mdbook is installed
  contract      which adapter keeps which clause, into docs/contract.md; --check compares;
                --mutants shows which clause catches which mistake
  chaos         2,000 kills at random moments, one at each system call, 300 full disks, 20,000 simulated runs
  coverage      which lines the tests run; at least 90 % where money and rows are decided
  bench         processor time, wall time and memory of a run beside a floor program; prints a table
                [--only PART OF A CASE'S NAME] [--rounds 5] [--beside ANOTHER BUILD OF lmbatch]
                --check fails where a case costs more than it must; --write puts the table into docs/performance.md
                --attachments: 1 GiB of images; must stay under 48 MiB
                --watch: 10,000 live batches in one process for 75 s; must stay under 5 % of a core and 64 MiB
  interop       the providers' SDKs as referees; needs Python and Node, and a registry the first time
                [--batches 50] [--lines 2000] [--seed N] [--only PART OF A SCRIPT'S NAME]
  deny          licences, bans, sources and advisories of the dependencies; needs cargo-deny
  features      each feature of the library builds, and builds only what it names
  api           compares the public API with docs/public-api.txt; --write writes it
  dist          the release build of the command, its completions and its manual pages
  wheel         builds the Python wheel that carries the command, installs it and runs it; needs Python
                [--release]
  prices        refreshes the table of prices from two packages of the Python registry, and prints what has changed;
                needs a network and Python. --check only prints
  ci            fmt, clippy, test, tidy, book, features, docs, api, deny";

fn main() -> ExitCode {
    if let Some(code) = api::as_rustdoc() {
        return code;
    }
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (command, rest) = args
        .split_first()
        .map_or(("help", &[][..]), |(first, rest)| (first.as_str(), rest));
    let result = match command {
        "test" => test(rest),
        "tidy" => tidy::tidy(),
        "book" => book::book(),
        "contract" => contract::contract(rest),
        "chaos" => chaos(),
        "coverage" => coverage::coverage(),
        "bench" => bench::bench(rest),
        // For the bench: a command in a process of its own.
        "measure" => bench::measure_one(rest),
        "interop" => interop::interop(rest),
        "deny" => deny::deny(),
        "features" => features::features(),
        "api" => api::api(rest),
        "dist" => dist::dist(),
        "wheel" => wheel::wheel(rest),
        "prices" => prices::prices(rest),
        "ci" => ci(),
        _ => {
            println!("{HELP}");
            Ok(())
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask {command}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Every test of the workspace, documentation included.
fn test(args: &[String]) -> Result<(), String> {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    // The command is run by the end-to-end tests as users run it: as a program.
    sh::build_command()?;
    // Many tests wait for other processes: two at once for each processor took 11 instead of 20 minutes.
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = (2 * processors).to_string();
    let mut line = if has("cargo-nextest") {
        vec!["nextest", "run", "--test-threads", &threads]
    } else {
        vec!["test", "--all-targets"]
    };
    line.extend(["--locked", "--workspace", "--all-features"]);
    line.extend(args);
    run("cargo", &line)?;
    run(
        "cargo",
        &[
            "test",
            "--locked",
            "--workspace",
            "--all-features",
            "--doc",
            "--quiet",
        ],
    )
}

/// The tests of survival, many more times than in `test`.
fn chaos() -> Result<(), String> {
    sh::build_command()?;
    let run_one = |filter: &str| {
        let line = [
            "nextest",
            "run",
            "--locked",
            "--workspace",
            "--no-capture",
            "-E",
            filter,
        ];
        let often = [("LMBATCH_KILLS", "2000"), ("LMBATCH_SEEDS", "20000")];
        sh::run_with("cargo", &line, &often)
    };
    run_one("test(~for_any_provider_answers)")?;
    run_one("test(~a_full_disk_)")?;
    run_one("test(~killed_at_)")
}

fn ci() -> Result<(), String> {
    toolchain::toolchain()?;
    run("cargo", &["fmt", "--all", "--check"])?;
    run(
        "cargo",
        &[
            "clippy",
            "--locked",
            "--workspace",
            "--all-targets",
            "--all-features",
            "--",
            "--deny",
            "warnings",
        ],
    )?;
    test(&[])?;
    tidy::tidy()?;
    book::book()?;
    features::features()?;
    sh::run_with(
        "cargo",
        &[
            "doc",
            "--locked",
            "--workspace",
            "--all-features",
            "--no-deps",
        ],
        &[("RUSTDOCFLAGS", "-D warnings")],
    )?;
    api::api(&[])?;
    deny::deny()
}
