//! Runs commands, and says which and how long.

use std::path::Path;
use std::process::Command;

/// Runs a command; its failure is an error that names it.
pub(crate) fn run(program: &str, args: &[&str]) -> Result<(), String> {
    run_with(program, args, &[])
}

/// The same with variables of its own.
pub(crate) fn run_with(
    program: &str,
    args: &[&str],
    variables: &[(&str, &str)],
) -> Result<(), String> {
    let mut command = Command::new(program);
    command.args(args).envs(variables.iter().copied());
    timed(&mut command, &format!("{program} {}", args.join(" ")))
}

/// The same in another folder.
pub(crate) fn run_in(program: &str, args: &[&str], folder: &Path) -> Result<(), String> {
    let mut command = Command::new(program);
    command.args(args).current_dir(folder);
    timed(&mut command, &format!("{program} {}", args.join(" ")))
}

#[expect(clippy::disallowed_methods, reason = "a task has no Clock")]
fn timed(command: &mut Command, line: &str) -> Result<(), String> {
    println!("$ {line}");
    let start = std::time::Instant::now();
    let status = command
        .status()
        .map_err(|error| format!("{line}: {error}"))?;
    println!("  {:.1} s", start.elapsed().as_secs_f64());
    if status.success() {
        Ok(())
    } else {
        Err(format!("{line}: {status}"))
    }
}

/// Returns the standard output of a command.
pub(crate) fn output(program: &str, args: &[&str]) -> Result<String, String> {
    let line = format!("{program} {}", args.join(" "));
    let output = Command::new(program)
        .args(args)
        .output()
        .map_err(|error| format!("{line}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{line}: {}", output.status));
    }
    String::from_utf8(output.stdout).map_err(|_| format!("{line}: not UTF-8"))
}

/// Reports whether a program is installed.
pub(crate) fn has(program: &str) -> bool {
    Command::new(program)
        .arg("--version")
        .output()
        .is_ok_and(|output| output.status.success())
}

/// Builds the command with the features that its tests need.
pub(crate) fn build_command() -> Result<(), String> {
    let package = ["--package", "lmbatch-cli", "--features", "parquet"];
    run("cargo", &[&["build", "--locked"], &package[..]].concat())
}
