//! Common parts of the end-to-end tests: the command as a program, and an emulator in another process.

pub mod fuzzed;
mod mixed;
mod rounds;
mod scene;
mod subjects;
mod terminal;
mod trial;

pub use mixed::{Mixed, mixed};
pub use rounds::Rounds;
pub use scene::{Scene, TO_FILE, assert_fits, assert_says, object, pause};
pub use subjects::{SUBJECTS, Subject};
pub use terminal::on_terminal;
pub use trial::{Broken, Ended, Trial, copy_folder, scratch};

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

/// Returns the path of the command that was built with this test.
pub fn lmbatch() -> PathBuf {
    let test = std::env::current_exe().unwrap_or_default();
    let folder = test
        .ancestors()
        .nth(2)
        .map(Path::to_path_buf)
        .unwrap_or_default();
    folder.join("lmbatch")
}

/// An emulator in another process, which ends with the test.
#[derive(Debug)]
pub struct Emulating {
    child: Child,
    /// Base URL of the emulator's OpenAI dialect.
    pub base_url: String,
    environment: BTreeMap<String, String>,
}

impl Emulating {
    /// Starts an emulator on a free port.
    ///
    /// # Panics
    /// If the emulator does not start.
    pub fn start() -> Self {
        let mut command = Command::new(lmbatch());
        command
            .args(["emulate", "--addr", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = command.spawn().unwrap_or_else(|error| {
            panic!(
                "{command:?}: {error}; run `cargo build -p lmbatch-cli --features parquet` first"
            )
        });
        let mut environment = BTreeMap::new();
        if let Some(out) = child.stdout.take() {
            // An unreadable line leaves a URL empty, and the test fails.
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                let export = line
                    .strip_prefix("export ")
                    .and_then(|line| line.split_once('='));
                let (name, value) = export.unwrap_or_default();
                environment.insert(name.to_owned(), value.to_owned());
                if environment.len() == VARIABLES {
                    break;
                }
            }
        }
        let base_url = environment
            .get("OPENAI_BASE_URL")
            .cloned()
            .unwrap_or_default();
        Self {
            child,
            base_url,
            environment,
        }
    }

    /// Returns the charges so far, as the emulator's bill.
    ///
    /// # Panics
    /// If the emulator does not answer.
    pub fn bill(&self) -> Value {
        let body = self.ask("GET", "/_emulator/bill", "");
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{body}: {error}"))
    }

    /// Posts a body to the emulator's control interface.
    ///
    /// # Panics
    /// If the emulator does not answer.
    pub fn post(&self, path: &str, body: &str) {
        self.ask("POST", path, body);
    }

    /// Removes all faults of the emulator.
    ///
    /// # Panics
    /// If the emulator does not answer.
    pub fn clear_faults(&self) {
        self.ask("DELETE", "/_emulator/faults", "");
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> String {
        use std::io::{Read as _, Write as _};
        let address = self.base_url.trim_start_matches("http://");
        let address = address.trim_end_matches("/v1");
        let mut answer = String::new();
        let mut stream = std::net::TcpStream::connect(address)
            .unwrap_or_else(|error| panic!("{address}: {error}"));
        let ask = format!(
            "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let asked = stream.write_all(ask.as_bytes());
        assert!(asked.is_ok() && stream.read_to_string(&mut answer).is_ok());
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let body = answer.split("\r\n\r\n").nth(1);
        body.unwrap_or_default().to_owned()
    }

    /// Returns the command, pointed at the emulator and not started yet.
    pub fn command(&self, folder: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(lmbatch());
        command
            .current_dir(folder)
            .args(args)
            .args(["--base-url", &self.base_url])
            .env("OPENAI_API_KEY", KEY)
            .env("LMBATCH_STATE_DIR", folder.join(".lmbatch"))
            // No configuration of this machine.
            .env("LMBATCH_CONFIG", "")
            .env("LMBATCH_LOG", "trace");
        command
    }

    /// Runs the command against the dialect of a provider, pointed at the emulator by the environment.
    ///
    /// # Panics
    /// If the command cannot be started.
    pub fn run_at(&self, provider: &str, folder: &Path, args: &[&str]) -> Output {
        let mut command = self.command_at(provider, folder);
        command
            .args(args)
            .output()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"))
    }

    /// Returns the command against the dialect of a provider, without arguments.
    pub fn command_at(&self, provider: &str, folder: &Path) -> Command {
        self.program_at(lmbatch(), provider, folder)
    }

    /// Returns a shell in which the command is pointed at the emulator.
    pub fn shell(&self, provider: &str, folder: &Path) -> Command {
        self.program_at("sh".into(), provider, folder)
    }

    fn program_at(&self, program: PathBuf, provider: &str, folder: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(folder)
            .envs(&self.environment)
            .env(format!("{}_API_KEY", provider.to_uppercase()), KEY)
            .env("LMBATCH_STATE_DIR", folder.join(".lmbatch"))
            // No configuration of this machine.
            .env("LMBATCH_CONFIG", "")
            .env("LMBATCH_LOG", "trace");
        command
    }

    /// Runs the command against the emulator.
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
        // The process may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Number of variables that the emulator prints: address and key of each provider.
const VARIABLES: usize = 6;

/// A key that must never appear in any output.
pub const KEY: &str = "sk-canary-7d1f";

/// Returns the complete output of a command.
pub fn said(output: &Output) -> String {
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    said(&output.stdout) + &said(&output.stderr)
}

/// Returns the standard error of a command.
pub fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Writes an input to `in.jsonl`, one item on each line.
///
/// # Panics
/// If the file cannot be written.
pub fn write_input<L: std::fmt::Display>(folder: &Path, lines: impl IntoIterator<Item = L>) {
    let lines = lines.into_iter();
    let text: String = lines.map(|line| format!("{line}\n")).collect();
    let path = folder.join("in.jsonl");
    std::fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

/// Reads the lines of a file as JSON.
///
/// # Panics
/// If the file cannot be read.
pub fn lines(path: &Path) -> Vec<Value> {
    let text =
        std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_default())
        .collect()
}
