//! What a run came to.

use std::collections::BTreeMap;
use std::time::Duration;

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use lmbatch_core::{OutcomeStatus, Problem, TokenUsage, format_time};
use lmbatch_engine::{Answered, Left};
use serde::Serialize;

use crate::exit::Exit;
use crate::{output, words};

/// Counts of a run. `"format": 1` changes when the fields do.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    format: u32,
    pub(crate) requests: u64,
    pub(crate) usable: u64,
    statuses: BTreeMap<OutcomeStatus, u64>,
    problems: BTreeMap<Problem, u64>,
    usage: TokenUsage,
    provider: String,
    model: String,
    /// The first of them.
    pub(crate) batch: Option<String>,
    batches: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<String>,
    /// The state folder, where the run is recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<String>,
    pub(crate) output: String,
    elapsed_seconds: f64,
    emulated: bool,
    /// What stays at the provider, and until when.
    #[serde(skip_serializing_if = "Option::is_none")]
    remote: Option<Remote>,
}

#[derive(Debug, Serialize)]
struct Remote {
    inputs: u64,
    batches: u64,
    until: Option<String>,
    #[serde(skip)]
    said: Option<String>,
}

impl Summary {
    pub(crate) fn new(
        provider: &str,
        model: &str,
        batches: &[&str],
        output: &str,
        emulated: bool,
        run: Option<&str>,
    ) -> Self {
        Self {
            format: 1,
            requests: 0,
            usable: 0,
            statuses: BTreeMap::new(),
            problems: BTreeMap::new(),
            usage: TokenUsage::default(),
            provider: provider.to_owned(),
            model: model.to_owned(),
            batch: batches.first().map(ToString::to_string),
            batches: batches.iter().map(ToString::to_string).collect(),
            run: run.map(str::to_owned),
            state: None,
            output: output.to_owned(),
            elapsed_seconds: 0.0,
            emulated,
            remote: None,
        }
    }

    /// The same with the state folder in which the run is recorded.
    pub(crate) fn with_state(mut self, folder: Option<&std::path::Path>) -> Self {
        self.state = folder.map(|folder| folder.display().to_string());
        self
    }

    pub(crate) fn leave(&mut self, left: &Left) {
        self.remote = Some(Remote {
            inputs: left.inputs,
            batches: left.batches,
            until: left.until.map(format_time),
            said: words::left(left),
        });
    }

    pub(crate) fn count(&mut self, answered: &Answered<'_>, accept: &[Problem]) {
        let status = output::status(&answered.answer);
        let problem = answered.answer.problem();
        self.requests += 1;
        *self.statuses.entry(status).or_default() += 1;
        if let Some(problem) = problem {
            *self.problems.entry(problem).or_default() += 1;
        }
        if status == OutcomeStatus::Succeeded
            && problem.is_none_or(|problem| accept.contains(&problem))
        {
            self.usable += 1;
        }
        self.usage += output::usage(&answered.answer);
    }

    pub(crate) fn finish(&mut self, elapsed: Duration) {
        self.elapsed_seconds = (elapsed.as_secs_f64() * 1000.0).round() / 1000.0;
    }

    pub(crate) fn exit(&self, max_failed: crate::args::MaxFailed) -> Exit {
        if max_failed.allows(self.requests - self.usable, self.requests) {
            Exit::Usable
        } else {
            Exit::Unusable
        }
    }

    pub(crate) fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    pub(crate) fn table(&self) -> String {
        let mut table = Table::new();
        table.load_style(NOTHING);
        let mut row = |name: &str, value: String| {
            table.add_row(vec![name.to_owned(), value]);
        };
        row("requests", self.requests.to_string());
        for (status, count) in &self.statuses {
            row(status.as_str(), count.to_string());
        }
        for (problem, count) in &self.problems {
            row(&format!("of these {problem}"), count.to_string());
        }
        let usage = self.usage;
        row(
            "tokens",
            format!("{} in, {} out", usage.input_tokens, usage.output_tokens),
        );
        row("elapsed", format!("{:.1} s", self.elapsed_seconds));
        if let Some(run) = &self.run {
            row("run", run.clone());
        }
        match self.batches.as_slice() {
            [only] => row("batch", only.clone()),
            several => row("batches", several.len().to_string()),
        }
        if let Some(said) = self.remote.as_ref().and_then(|remote| remote.said.clone()) {
            row(&format!("stays at {}", self.provider), said);
        }
        row("output", self.output.clone());
        if let Some(column) = table.column_mut(0) {
            column.set_cell_alignment(CellAlignment::Left);
        }
        table.to_string()
    }
}
