//! Scene of most tests of the command: an emulator, and a folder with an input.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::{Emulating, said, write_input};

/// Arguments that run `in.jsonl` and write `out.jsonl`.
pub const TO_FILE: [&str; 8] = [
    "run",
    "in.jsonl",
    "-m",
    "openai/m",
    "-o",
    "out.jsonl",
    "--poll-interval",
    "20ms",
];

/// An emulator in another process, and a folder with an input and a state folder.
#[derive(Debug)]
pub struct Scene {
    /// The emulator, which ends with the test.
    pub emulating: Emulating,
    home: TempDir,
    variables: BTreeMap<&'static str, &'static str>,
}

impl Scene {
    /// Starts an emulator, and writes the input `in.jsonl`, one item on each line.
    ///
    /// # Panics
    /// If the emulator does not start, or the folder cannot be written.
    pub fn new<L: Display>(input: impl IntoIterator<Item = L>) -> Self {
        let home = TempDir::new().unwrap_or_else(|error| panic!("a folder: {error}"));
        let scene = Self {
            emulating: Emulating::start(),
            home,
            variables: BTreeMap::new(),
        };
        scene.ask(input);
        scene
    }

    /// Sets an environment variable of every command. `LMBATCH_LOG` is not set otherwise.
    pub fn with_variable(mut self, name: &'static str, value: &'static str) -> Self {
        self.variables.insert(name, value);
        self
    }

    /// Replaces the input.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn ask<L: Display>(&self, input: impl IntoIterator<Item = L>) {
        write_input(self.path(), input);
    }

    /// Returns the path of the folder.
    pub fn path(&self) -> &Path {
        self.home.path()
    }

    /// Writes a file in the folder.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn write(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    /// Reads a file in the folder.
    ///
    /// # Panics
    /// If it cannot be read.
    pub fn file(&self, name: &str) -> Vec<u8> {
        let path = self.path().join(name);
        fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Returns a command at the dialect of a provider, not started yet.
    pub fn command(&self, provider: &str, args: &[&str]) -> Command {
        let mut command = self.emulating.command_at(provider, self.path());
        command
            .env_remove("LMBATCH_LOG")
            .envs(&self.variables)
            .args(args);
        command
    }

    /// Runs a command at the dialect of a provider.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn of(&self, provider: &str, args: &[&str]) -> Output {
        let mut command = self.command(provider, args);
        command
            .output()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"))
    }

    /// Runs a command at the dialect of OpenAI.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn at(&self, args: &[&str]) -> Output {
        self.of("openai", args)
    }

    /// Runs the input, with more arguments.
    ///
    /// # Panics
    /// If the command cannot be started.
    pub fn run(&self, more: &[&str]) -> Output {
        self.run_input("in.jsonl", more)
    }

    /// Runs an input of any name, with more arguments.
    ///
    /// # Panics
    /// If the command cannot be started.
    pub fn run_input(&self, input: &str, more: &[&str]) -> Output {
        let run = ["run", input, "-m", "openai/m", "--poll-interval", "20ms"];
        self.at(&[&run[..], more].concat())
    }

    /// Adds a fault to the emulator.
    ///
    /// # Panics
    /// If the emulator does not answer.
    pub fn fault(&self, fault: &Value) {
        self.emulating.post("/_emulator/faults", &fault.to_string());
    }

    /// Returns the number of creates that the emulator has accepted.
    ///
    /// # Panics
    /// If the emulator does not answer.
    pub fn creates(&self) -> u64 {
        self.emulating.bill()["creates"]
            .as_u64()
            .unwrap_or_default()
    }
}

/// Waits an instant for another process.
#[expect(clippy::disallowed_methods, reason = "another process is waited for")]
pub fn pause() {
    std::thread::sleep(Duration::from_millis(20));
}

/// Checks a JSON value against a JSON Schema.
///
/// # Panics
/// If it does not fit, or the schema is none.
#[track_caller]
pub fn assert_fits(schema: &Value, value: &Value) {
    let validator = jsonschema::validator_for(schema);
    let validator = validator.unwrap_or_else(|error| panic!("{error}: {schema}"));
    let found: Vec<String> = validator
        .iter_errors(value)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(found.is_empty(), "{found:?} in {value}");
}

/// Reads the output of a command as one JSON object.
///
/// # Panics
/// If it is anything else.
#[track_caller]
pub fn object(output: &Output) -> Value {
    let object = serde_json::from_slice(&output.stdout);
    object.unwrap_or_else(|error| panic!("{error}: {}", said(output)))
}

/// Checks the exit code of a command, and that its output contains each of some texts.
///
/// # Panics
/// If it does not.
#[track_caller]
pub fn assert_says(output: &Output, code: i32, texts: &[&str]) {
    let all = said(output);
    assert_eq!(output.status.code(), Some(code), "{all}");
    for text in texts {
        assert!(all.contains(text), "{text:?} is not in: {all}");
    }
}
