//! Runs of the command one after the other at one emulator, each checked by what the provider billed: the
//! checker shares no code with the engine.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::{Emulating, lines};

/// Batches that each run is cut into.
const BATCHES: usize = 3;

/// Runs of one provider.
#[derive(Debug)]
pub struct Rounds {
    /// The provider.
    pub emulating: Emulating,
    folder: tempfile::TempDir,
    provider: &'static str,
    model: &'static str,
    requests: usize,
    most: usize,
    round: usize,
}

impl Rounds {
    /// Runs of so many requests, in three batches of so many at most.
    ///
    /// # Panics
    /// If the machine gives no folder.
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

    /// Where the runs happen.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The number of the run, from 1.
    pub fn round(&self) -> usize {
        self.round
    }

    /// Begins another run: new requests, and no output.
    ///
    /// # Panics
    /// If they cannot be written.
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
        // It is not there the first time.
        let _ = std::fs::remove_file(self.folder.path().join("out.jsonl"));
    }

    fn input(&self) -> String {
        format!("in-{}.jsonl", self.round)
    }

    /// What runs it, or goes on with it: the arguments of the command.
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

    /// The command in the folder of the runs, without arguments, or another that is to run it.
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

    /// Checks that the run is whole, and that the provider billed each request of it and before once.
    ///
    /// # Panics
    /// If it is not so.
    pub fn check(&self) {
        let (provider, round) = (self.provider, self.round);
        let lines = lines(&self.folder.path().join("out.jsonl"));
        for (k, line) in lines.iter().enumerate() {
            assert_eq!(line["id"], format!("{round}/{k}"));
            assert_eq!(line["text"], format!("echo: {round} {k}"));
        }
        assert_eq!(lines.len(), self.requests);
        // Every batch that was paid for is in an output.
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
