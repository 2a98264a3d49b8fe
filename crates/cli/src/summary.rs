//! Counts of a finished run.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use lmbatch::adapter::format_time;
use lmbatch::engine::{BatchTotals, RemainingData, undelivered};
use lmbatch::{
    BatchSnapshot, BatchStatus, Costs, Engine, OutcomeStatus, Problem, RequestCounts, TokenUsage,
};
use serde::{Serialize, Serializer};

use crate::commands::run_settings::absolute_path;
use crate::cost_summary::CostSummary;
use crate::counts::Counts;
use crate::exit::Exit;
use crate::failed::{self, Failed};
use crate::format::number;
use crate::pilot_report::Pilot;
use crate::table::Facts;
use crate::{format, hints, plain};

/// Maximum number of reasons shown for a failed batch.
const REASONS: usize = 20;

/// Counts of a run. The value of `format` changes whenever the fields do.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    format: u32,
    pub(crate) requests: u64,
    pub(crate) usable: u64,
    statuses: BTreeMap<OutcomeStatus, u64>,
    problems: BTreeMap<Problem, u64>,
    /// Outcomes that are not usable, by kind.
    failed: Failed,
    usage: TokenUsage,
    billed: Billed,
    /// Cost of the billed answers; `None` without prices, as for emulated answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    cost: Option<CostSummary>,
    provider: String,
    model: String,
    /// The first of the batches.
    pub(crate) batch: Option<String>,
    batches: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failures: Vec<FailedBatch>,
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<String>,
    /// State folder in which the run is recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    state_dir: Option<String>,
    /// Path of the output as the command names it; absolute for programs.
    #[serde(serialize_with = "absolute")]
    pub(crate) output: String,
    elapsed_seconds: f64,
    emulated: bool,
    /// Pilot of the run, for the command that has decided about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pilot: Option<Pilot>,
    /// Numbers of outcomes with a part that the output does not hold, by the name of the part.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    left_out: BTreeMap<&'static str, u64>,
    /// Data that stays at the provider, and until when.
    #[serde(skip_serializing_if = "Option::is_none")]
    remote: Option<Remote>,
    /// Number of billed answers that cannot be read.
    #[serde(skip)]
    malformed: u64,
    /// Costs of the answers that were written, by model.
    #[serde(skip)]
    costs: BTreeMap<String, Costs>,
    /// Numbers of answered and of errored requests, by batch.
    #[serde(skip)]
    delivered: BTreeMap<String, (u64, u64)>,
}

/// Answers that the provider counts, including those that are not in the output.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Billed {
    pub(crate) answers: u64,
    pub(crate) superseded: u64,
    /// Requests that the provider counts as answered and whose row was never delivered.
    pub(crate) undelivered: u64,
    /// Tokens of the answers that were delivered.
    pub(crate) usage: TokenUsage,
}

impl Billed {
    pub(crate) fn of(accounts: &[BatchTotals]) -> Self {
        let mut billed = Self::default();
        for account in accounts {
            billed.answers += account.answered.count;
            billed.superseded += account.superseded.count;
            billed.undelivered += account.undelivered();
            billed.usage += account.answered.usage;
        }
        billed
    }

    /// Returns the warning about result rows that were never delivered.
    pub(crate) fn warning(&self) -> Option<String> {
        (self.undelivered > 0).then(|| {
            format!(
                "{} counted as answered by the provider, but no result row holds an answer; the provider may bill that",
                format::count(self.undelivered, "request is", "requests are")
            )
        })
    }
}

/// Returns the reasons why a batch failed as a whole, one per line.
pub(crate) fn failure_lines(batch: &BatchSnapshot) -> Vec<String> {
    FailedBatch::of(batch).map_or_else(Vec::new, |failed| failed.lines())
}

/// A batch that the provider refused as a whole.
#[derive(Debug, Serialize)]
struct FailedBatch {
    batch: String,
    reasons: Vec<Reason>,
}

#[derive(Debug, Serialize)]
struct Reason {
    kind: &'static str,
    code: Option<String>,
    line: Option<u64>,
    provider_message: Option<String>,
    #[serde(skip)]
    text: String,
}

impl FailedBatch {
    fn of(batch: &BatchSnapshot) -> Option<Self> {
        if batch.status != BatchStatus::Failed {
            return None;
        }
        let reasons = batch.problems.iter().take(REASONS);
        let reasons = reasons.map(|problem| Reason {
            kind: problem.error.kind().as_str(),
            code: problem.error.code().map(plain::plain),
            line: problem.line,
            provider_message: problem.error.message().and_then(plain::provider_text),
            text: problem.error.to_string(),
        });
        Some(Self {
            batch: batch.id.to_string(),
            reasons: reasons.collect(),
        })
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("batch {} failed:", plain::plain(&self.batch))];
        for reason in &self.reasons {
            let at = reason.line.map(|line| format!("request {line}: "));
            let at = at.unwrap_or_default();
            lines.push(format!("  {at}{}", plain::plain(&reason.text)));
            if let Some(said) = &reason.provider_message {
                lines.push(format!("  provider said: {said}"));
            }
        }
        if self.reasons.is_empty() {
            lines.push("  the provider gave no reason".to_owned());
        }
        lines
    }
}

/// Writes the path of an output, which is valid in any folder; `-` and URLs stay unchanged.
fn absolute<S: Serializer>(output: &str, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&absolute_path(Path::new(output)))
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
        batches: &[&BatchSnapshot],
        output: &str,
        emulated: bool,
        run: Option<&str>,
    ) -> Self {
        let ids = batches.iter().map(|batch| batch.id.to_string());
        let ids: Vec<String> = ids.collect();
        Self {
            format: 1,
            requests: 0,
            usable: 0,
            statuses: BTreeMap::new(),
            problems: BTreeMap::new(),
            failed: Failed::default(),
            usage: TokenUsage::default(),
            billed: Billed::default(),
            cost: None,
            provider: provider.to_owned(),
            model: model.to_owned(),
            batch: ids.first().cloned(),
            batches: ids,
            failures: batches
                .iter()
                .filter_map(|batch| FailedBatch::of(batch))
                .collect(),
            run: run.map(str::to_owned),
            state_dir: None,
            output: output.to_owned(),
            elapsed_seconds: 0.0,
            emulated,
            pilot: None,
            left_out: BTreeMap::new(),
            remote: None,
            malformed: 0,
            costs: BTreeMap::new(),
            delivered: BTreeMap::new(),
        }
    }

    /// Sets the state folder in which the run is recorded.
    pub(crate) fn with_state(mut self, folder: Option<&std::path::Path>) -> Self {
        self.state_dir = folder.map(|folder| folder.display().to_string());
        self
    }

    /// Adds the data that stays at the provider. An emulator keeps nothing.
    pub(crate) fn leave(&mut self, left: &RemainingData) {
        if self.emulated {
            return;
        }
        self.remote = Some(Remote {
            inputs: left.inputs,
            batches: left.batches,
            until: left.until.map(format_time),
            said: format::left(left),
        });
    }

    /// Adds the counts of the outcomes that were written.
    pub(crate) fn add(&mut self, counts: Counts) {
        self.requests += counts.requests;
        self.usable += counts.usable;
        self.statuses = counts.statuses;
        self.problems = counts.problems;
        self.failed = counts.failed;
        self.left_out = counts.left_out;
        self.usage += counts.usage;
        self.malformed += counts.malformed;
        self.costs = counts.costs;
        self.delivered = counts.delivered;
    }

    /// Adds the billed answers: from the accounts if requests were sent more than once, else from the outcomes.
    pub(crate) fn bill(&mut self, accounts: Option<&[BatchTotals]>, batches: &[&BatchSnapshot]) {
        self.billed = match accounts {
            Some(accounts) => Billed::of(accounts),
            None => {
                let of = |batch: &&BatchSnapshot| {
                    let delivered = self.delivered.get(batch.id.as_str());
                    let (answered, errored) = delivered.copied().unwrap_or_default();
                    let counts: RequestCounts = batch.counts;
                    undelivered(&counts, answered, errored)
                };
                let answers = self.statuses.get(&OutcomeStatus::Succeeded);
                Billed {
                    answers: answers.copied().unwrap_or_default() + self.malformed,
                    superseded: 0,
                    undelivered: batches.iter().map(of).sum(),
                    usage: self.usage,
                }
            }
        };
    }

    /// Adds the cost of the billed answers by the prices of an engine: from the accounts if requests were sent more than
    /// once, else from the outcomes.
    pub(crate) fn price(&mut self, accounts: Option<&[BatchTotals]>, engine: &Engine) {
        let Some(prices) = engine.prices() else {
            return;
        };
        self.cost = Some(match accounts {
            Some(accounts) => CostSummary::of_batch_totals(prices.as_of(), accounts),
            None => CostSummary::of_models(prices.as_of(), &self.costs),
        });
    }

    pub(crate) fn finish(&mut self, elapsed: Duration) {
        self.elapsed_seconds = (elapsed.as_secs_f64() * 1000.0).round() / 1000.0;
    }

    /// Returns the number of outcomes that are not usable.
    pub(crate) fn unusable_count(&self) -> u64 {
        self.requests - self.usable
    }

    pub(crate) fn exit(&self, max_failed: crate::args::MaxFailed) -> Exit {
        if max_failed.allows(self.unusable_count(), self.requests) {
            Exit::Usable
        } else {
            Exit::Unusable
        }
    }

    /// Returns the exit code for one batch that has ended. Without a handle the rows name answered requests only,
    /// so that the number of requests is taken from the provider's counts.
    pub(crate) fn exit_of_batch(&self, batch: &BatchSnapshot) -> Exit {
        let is_short = match batch.counts.total {
            Some(total) => self.usable < total,
            None => batch.status != BatchStatus::Completed,
        };
        match is_short || batch.status == BatchStatus::Failed || self.usable < self.requests {
            true => Exit::Unusable,
            false => Exit::Usable,
        }
    }

    /// Returns lines about failed batches, about rows that were never delivered, and about parts of outcomes that the
    /// output does not hold.
    pub(crate) fn troubles(&self) -> Vec<String> {
        let failed = self.failures.iter().flat_map(FailedBatch::lines);
        let warnings = [self.billed.warning(), self.incomplete()];
        failed
            .chain(
                warnings
                    .into_iter()
                    .flatten()
                    .map(|text| format!("warning: {text}")),
            )
            .collect()
    }

    /// Returns whether the format of the output could not represent a part of an outcome.
    pub(crate) fn is_incomplete(&self) -> bool {
        !self.left_out.is_empty()
    }

    /// Returns the warning about parts of outcomes that the format of the output cannot represent.
    fn incomplete(&self) -> Option<String> {
        if self.left_out.is_empty() {
            return None;
        }
        let parts = self.left_out.iter();
        let parts: Vec<String> = parts
            .map(|(name, count)| {
                format!("{name} of {}", format::count(*count, "outcome", "outcomes"))
            })
            .collect();
        let mut text = format!(
            "the format of the output cannot represent {}",
            parts.join(", ")
        );
        if let Some(run) = &self.run {
            let command = hints::on_runs(["retrieve", run, "-o", "FILE.jsonl"]);
            text.push_str(&format!("; to write everything: {command}"));
        }
        Some(text)
    }

    /// Returns lines about the outcomes that are not usable, and the next command.
    pub(crate) fn unusable(&self) -> Vec<String> {
        let run = self.run.as_deref();
        self.failed.lines(self.requests, run, failed::columns())
    }

    /// Returns the number of answers that do not fit their schemas.
    pub(crate) fn invalid_structured(&self) -> u64 {
        let count = self.problems.get(&Problem::InvalidStructured);
        count.copied().unwrap_or_default()
    }

    /// Formats the problems of succeeded outcomes, such as `2 truncated, 1 refused`.
    fn problems(&self) -> String {
        let problems = self.problems.iter();
        let each =
            problems.map(|(problem, count)| format!("{} {}", number(*count), problem.as_str()));
        each.collect::<Vec<_>>().join(", ")
    }

    /// Returns the counts in one line, for a run among many.
    pub(crate) fn line(&self) -> String {
        let requests = match self.requests {
            1 => "1 request".to_owned(),
            several => format!("{} requests", number(several)),
        };
        format!(
            "{requests}, {} usable; {}",
            number(self.usable),
            self.output
        )
    }

    /// Returns counts, tokens and costs of the outcomes, for people.
    pub(crate) fn outcome_facts(&self) -> Facts {
        let mut table = Facts::new();
        let mut row = |name: &str, value: String| table.row(name, &value);
        row("requests", number(self.requests));
        if self.usable < self.requests {
            row("usable", number(self.usable));
        }
        for (status, count) in &self.statuses {
            let mut count = number(*count);
            if *status == OutcomeStatus::Succeeded && !self.problems.is_empty() {
                count.push_str(&format!(", with problems: {}", self.problems()));
            }
            row(status.as_str(), count);
        }
        let succeeded = self.statuses.get(&OutcomeStatus::Succeeded);
        let answers = succeeded.copied().unwrap_or(0);
        row("tokens", tokens(&self.usage, answers));
        let billed = self.billed;
        if billed.superseded > 0 {
            row(
                "billed",
                format!(
                    "{} {} ({} superseded), {}",
                    number(billed.answers),
                    if billed.answers == 1 {
                        "answer"
                    } else {
                        "answers"
                    },
                    number(billed.superseded),
                    tokens(&billed.usage, billed.answers)
                ),
            );
        }
        for (name, value) in self.cost.iter().flat_map(CostSummary::rows) {
            row(&name, value);
        }
        table
    }

    pub(crate) fn table(&self) -> String {
        let mut table = self.outcome_facts();
        let mut row = |name: &str, value: String| table.row(name, &value);
        row("elapsed", format!("{:.1} s", self.elapsed_seconds));
        if let Some(run) = &self.run {
            row("run", run.clone());
        }
        match self.batches.as_slice() {
            [only] => row("batch", only.clone()),
            several => row("batches", number(several.len() as u64)),
        }
        if let Some(said) = self.remote.as_ref().and_then(|remote| remote.said.clone()) {
            row(&format!("retained by {}", self.provider), said);
        }
        row("output", self.output.clone());
        table.to_string()
    }
}

/// Formats the tokens of a number of answers. Every answer uses some: a count of zero means that the provider reports
/// none.
fn tokens(usage: &TokenUsage, answers: u64) -> String {
    match (usage.input_tokens, usage.output_tokens) {
        (0, 0) if answers > 0 => "not reported by the provider".to_owned(),
        (input, output) => format!("{} in, {} out", number(input), number(output)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_tokens_of_answers_are_not_reported_by_the_provider() {
        for (input_tokens, output_tokens, answers, expected) in [
            (0, 0, 3, "not reported by the provider"),
            (0, 0, 0, "0 in, 0 out"),
            (7, 0, 3, "7 in, 0 out"),
            (0, 5, 1, "0 in, 5 out"),
        ] {
            let usage = TokenUsage {
                input_tokens,
                output_tokens,
                ..TokenUsage::default()
            };
            assert_eq!(tokens(&usage, answers), expected);
        }
    }
}
