//! Programs that are measured, and the provider that they talk to.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// What one run used.
#[derive(Debug, Clone, Copy)]
pub(super) struct Used {
    pub(super) cpu_ms: f64,
    pub(super) peak_mib: f64,
}

pub(super) struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Works in a temporary folder.
pub(super) fn in_a_folder<T>(work: impl FnOnce(&Path) -> Result<T, String>) -> Result<T, String> {
    let folder = std::env::temp_dir().join(format!("lmbatch-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(text)?;
    let worked = work(&folder);
    // What stays in the temporary folder is swept with it.
    let _ = std::fs::remove_dir_all(&folder);
    worked
}

pub(super) fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Starts a provider, which says where it listens.
pub(super) fn serve(command: &[&str]) -> Result<(Server, String), String> {
    let (program, args) = command.split_first().ok_or("no provider to start")?;
    let mut child = Command::new(program)
        .args(args)
        .stdout(Stdio::piped())
        .spawn()
        .map_err(text)?;
    let mut base = String::new();
    if let Some(out) = child.stdout.take() {
        BufReader::new(out).read_line(&mut base).map_err(text)?;
    }
    Ok((Server(child), base.trim().to_owned()))
}

/// Runs a command below a process of its own, whose children are only it.
pub(super) fn measure(command: &[&str]) -> Result<Used, String> {
    let own = std::env::current_exe().map_err(text)?;
    let output = Command::new(own)
        .arg("measure")
        .args(command)
        .env("OPENAI_API_KEY", "k")
        .output()
        .map_err(text)?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let numbers: Vec<f64> = said
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    match numbers.as_slice() {
        [cpu_ms, peak_mib] => Ok(Used {
            cpu_ms: *cpu_ms,
            peak_mib: *peak_mib,
        }),
        _ => Err(format!("nothing was measured: {said}")),
    }
}
