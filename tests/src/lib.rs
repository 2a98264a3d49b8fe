//! What end-to-end tests share: the command as a program, and an emulator in another process.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

/// The command as it was built beside this test.
pub fn lmbatch() -> PathBuf {
    let test = std::env::current_exe().unwrap_or_default();
    let folder = test
        .ancestors()
        .nth(2)
        .map(Path::to_path_buf)
        .unwrap_or_default();
    folder.join("lmbatch")
}

/// An emulator in another process; ends with the test.
#[derive(Debug)]
pub struct Emulating {
    child: Child,
    /// The base URL of its OpenAI dialect.
    pub base_url: String,
}

impl Emulating {
    /// Starts one on a free port.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start() -> Self {
        let mut command = Command::new(lmbatch());
        command
            .args(["emulate", "--addr", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = command.spawn().unwrap_or_else(|error| {
            panic!("{command:?}: {error}; run `cargo build -p lmbatch-cli` first")
        });
        let mut line = String::new();
        if let Some(out) = child.stdout.take() {
            // A line that cannot be read leaves the URL empty, and the test fails on it.
            let _ = BufReader::new(out).read_line(&mut line);
        }
        let base_url = line
            .trim()
            .strip_prefix("export OPENAI_BASE_URL=")
            .unwrap_or_default()
            .to_owned();
        Self { child, base_url }
    }

    /// The command against it, to be started.
    pub fn command(&self, folder: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(lmbatch());
        command
            .current_dir(folder)
            .args(args)
            .args(["--base-url", &self.base_url])
            .env("OPENAI_API_KEY", KEY)
            .env("LMBATCH_LOG", "trace");
        command
    }

    /// Runs the command against it.
    ///
    /// # Panics
    /// If the command cannot be started.
    pub fn run(&self, folder: &Path, args: &[&str]) -> Output {
        let mut command = self.command(folder, args);
        command
            .output()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"))
    }
}

impl Drop for Emulating {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A key that must never be seen.
pub const KEY: &str = "sk-canary-7d1f";

/// The lines of a file as JSON.
///
/// # Panics
/// If it cannot be read.
pub fn lines(path: &Path) -> Vec<Value> {
    let text =
        std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_default())
        .collect()
}
