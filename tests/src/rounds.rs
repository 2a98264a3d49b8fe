//! Successive runs of the command against one emulator, each checked against the provider's bill by code that shares
//! nothing with the engine.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::{Emulating, lines};

/// Number of batches in each run.
const BATCHES: usize = 3;

/// The successive runs of one provider.
#[derive(Debug)]
pub struct Rounds {
    /// Emulator of the provider.
    pub emulating: Emulating,
    folder: tempfile::TempDir,
    provider: &'static str,
    model: &'static str,
    requests: usize,
    most: usize,
    round: usize,
}

impl Rounds {
    /// Creates runs of `requests` requests each, in three batches of at most `most`.
    ///
    /// # Panics
    /// If there is no temporary folder.
    pub fn new(provider: &'static str, model: &'static str, requests: usize, most: usize) -> Self {
        Self {
            emulating: Emulating::start(),
            folder: tempfile::tempdir().unwrap_or_else(|error| panic!("{error}")),
            provider,
            model,
            requests,
            most,
            round: 0,
        }
    }

    /// Returns the folder of the runs.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns the number of the current run, from 1.
    pub fn round(&self) -> usize {
        self.round
    }

    /// Begins another run with new requests and without an output.
    ///
    /// # Panics
    /// If the requests cannot be written.
    pub fn next(&mut self) {
        self.round += 1;
        let round = self.round;
        let line =
            |k: usize| json!({"id": format!("{round}/{k}"), "prompt": format!("{round} {k}")});
        let text: String = (0..self.requests)
            .map(|k| format!("{}\n", line(k)))
            .collect();
        let written = std::fs::write(self.folder.path().join(self.input()), text);
        written.unwrap_or_else(|error| panic!("{error}"));
        // The first run has no earlier output.
        let _ = std::fs::remove_file(self.folder.path().join("out.jsonl"));
    }

    fn input(&self) -> String {
        format!("in-{}.jsonl", self.round)
    }

    /// Returns the arguments of the command that begins or resumes the run.
    pub fn arguments(&self, resubmit: bool) -> Vec<String> {
        let mut line = format!(
            "run {} -m {}/{} -o out.jsonl --quiet --poll-interval 20ms --doubt-wait 100ms --max-batch-requests {}",
            self.input(),
            self.provider,
            self.model,
            self.most,
        );
        if resubmit {
            line.push_str(" --on-doubt resubmit");
        }
        line.split(' ').map(str::to_owned).collect()
    }

    /// Returns `program`, the command or another that runs it, in the folder of the runs.
    pub fn command(&self, program: &str) -> Command {
        let mut command = self.emulating.command_at(self.provider, self.folder.path());
        if program != "lmbatch" {
            let mut other = Command::new(program);
            for (name, value) in command.get_envs() {
                if let Some(value) = value {
                    other.env(name, value);
                }
            }
            other.current_dir(self.folder.path());
            command = other;
        }
        command.env_remove("LMBATCH_LOG");
        command
    }

    /// Checks that the run is complete, and that every request so far was charged once.
    ///
    /// # Panics
    /// If a check fails.
    pub fn check(&self) {
        let (provider, round) = (self.provider, self.round);
        let lines = lines(&self.folder.path().join("out.jsonl"));
        for (k, line) in lines.iter().enumerate() {
            assert_eq!(line["id"], format!("{round}/{k}"));
            assert_eq!(line["text"], format!("echo: {round} {k}"));
        }
        assert_eq!(lines.len(), self.requests);
        // Every paid batch is named in an output.
        let named: BTreeSet<Option<&str>> =
            lines.iter().map(|line| line["batch"].as_str()).collect();
        assert_eq!(named.len(), BATCHES);
        let bill = self.emulating.bill();
        let count = |name: &str| bill[name].as_u64().unwrap_or_default() as usize;
        assert_eq!(
            (count("creates"), count("answered_requests")),
            (BATCHES * round, self.requests * round),
            "{provider}, round {round}: {}",
            bill["calls"]
        );
    }
}
