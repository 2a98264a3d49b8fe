//! Failures of a run by kind: how many, whether a repetition may help, and the provider's words for one of them.

use std::collections::BTreeMap;
use std::time::SystemTime;

use lmbatch::adapter::{FailureView, OutcomeView};
use lmbatch::engine::{AnswerView, AnsweredRequest};
use lmbatch::{OutcomeStatus, Problem};
use serde::Serialize;
use serde_json::{Value, json};

use crate::table::{Cell, Column, Table, column};
use crate::terminal::{self, Look};
use crate::{hints, plain};

/// Maximum number of kinds; failures of further kinds are counted together.
const MOST: usize = 50;

/// Value of `--only` for errors that say that they are retryable, and for expired requests.
const RETRYABLE: &str = "retryable";

/// Kind of a failure.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// Outcome without an answer: its status, the HTTP status of its row, and the provider's code or else the kind of the
    /// error.
    Status(OutcomeStatus, Option<u16>, String),
    /// Answer with a problem.
    Problem(Problem),
    /// Errors of the kinds beyond the limit.
    Others,
}

impl Kind {
    /// Returns the status or the problem of the outcomes, as the output names it.
    fn name(&self) -> &'static str {
        match self {
            Self::Status(status, ..) => status.as_str(),
            Self::Problem(problem) => problem.as_str(),
            Self::Others => OutcomeStatus::Errored.as_str(),
        }
    }

    /// Returns the value of `--only` that selects the retryable failures of the kind.
    fn only(&self) -> &'static str {
        match self {
            Self::Others => RETRYABLE,
            Self::Status(OutcomeStatus::Errored | OutcomeStatus::Expired, ..) => RETRYABLE,
            kind => kind.name(),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Status(OutcomeStatus::Errored, Some(http), code) => format!("{http} {code}"),
            Self::Status(OutcomeStatus::Errored, None, code) => code.clone(),
            Self::Status(status, ..) => status.as_str().to_owned(),
            Self::Problem(problem) => problem.as_str().to_owned(),
            Self::Others => "other errors".to_owned(),
        }
    }
}

/// Failures of one kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Failures {
    count: u64,
    /// True if the same request may succeed when it is sent again.
    is_retryable: bool,
    /// The provider's message about one of the requests.
    example: Option<String>,
}

/// Failures of a run, by kind.
#[derive(Debug, Default)]
pub(crate) struct Failed {
    kinds: BTreeMap<Kind, Failures>,
}

impl Failed {
    /// Counts an outcome, if it is not usable: answers with one of the problems in `accept` are.
    pub(crate) fn count(&mut self, answered: &AnsweredRequest<'_>, accept: &[Problem]) {
        let status = answered.answer.status();
        if status == OutcomeStatus::Succeeded {
            let problem = answered.answer.problem();
            if let Some(problem) = problem.filter(|problem| !accept.contains(problem)) {
                // A model that has written no valid answer may write one when it is asked again.
                let is_retryable = matches!(
                    problem,
                    Problem::InvalidStructured | Problem::Empty | Problem::Unrecognized
                );
                self.add(Kind::Problem(problem), is_retryable, || None);
            }
            return;
        }
        match &answered.answer {
            AnswerView::Row {
                outcome: OutcomeView::Errored(failure),
                ..
            } => self.error(failure),
            AnswerView::Malformed => self.error(&FailureView::malformed()),
            _ => self.add(Kind::Status(status, None, String::new()), true, || None),
        }
    }

    fn error(&mut self, failure: &FailureView<'_>) {
        let code = failure.code.as_deref();
        let code = plain::plain(code.unwrap_or(failure.kind.as_str()));
        let kind = Kind::Status(OutcomeStatus::Errored, failure.http_status, code);
        self.add(kind, failure.retryable, || {
            let message = failure.message.map(|message| message.decode());
            message.and_then(|message| plain::provider_text(&message))
        });
    }

    fn add(&mut self, kind: Kind, is_retryable: bool, example: impl FnOnce() -> Option<String>) {
        let kind = match self.kinds.contains_key(&kind) || self.kinds.len() < MOST {
            true => kind,
            false => Kind::Others,
        };
        let failures = self.kinds.entry(kind).or_default();
        failures.count += 1;
        failures.is_retryable |= is_retryable;
        if failures.example.is_none() {
            failures.example = example();
        }
    }

    /// Adds the failures of other outcomes.
    pub(crate) fn merge(&mut self, other: Self) {
        for (kind, failures) in other.kinds {
            let known = self.kinds.entry(kind).or_default();
            known.count += failures.count;
            known.is_retryable |= failures.is_retryable;
            if known.example.is_none() {
                known.example = failures.example;
            }
        }
    }

    /// Returns lines about the failures, and the command that sends retryable requests again; nothing without a
    /// failure.
    pub(crate) fn lines(&self, requests: u64, run: Option<&str>, columns: usize) -> Vec<String> {
        if self.kinds.is_empty() {
            return Vec::new();
        }
        let mut all: Vec<(&Kind, &Failures)> = self.kinds.iter().collect();
        all.sort_by_key(|(_, failures)| std::cmp::Reverse(failures.count));
        let count: u64 = all.iter().map(|(_, failures)| failures.count).sum();
        let mut table = Table::new(COLUMNS);
        for (kind, failures) in &all {
            table.row([
                failures.count.into(),
                kind.text().into(),
                yes(failures.is_retryable).into(),
                failures.example.as_deref().map_or(Cell::Empty, Cell::from),
            ]);
        }
        let look = Look::Terminal {
            columns,
            colour: false,
            now: SystemTime::UNIX_EPOCH,
        };
        let mut lines = vec![format!(
            "{} of {} without a usable answer",
            crate::format::number(count),
            crate::format::count(requests, "request", "requests")
        )];
        lines.extend(table.within(look).lines().map(str::to_owned));
        if let Some(next) = run.and_then(|run| self.next(run)) {
            lines.push(format!("next: {next}"));
        }
        lines
    }

    /// Returns the command that sends the retryable requests again.
    fn next(&self, run: &str) -> Option<String> {
        let retryable = self
            .kinds
            .iter()
            .filter(|(_, failures)| failures.is_retryable);
        let mut only: Vec<&str> = Vec::new();
        for (kind, _) in retryable {
            if !only.contains(&kind.only()) {
                only.push(kind.only());
            }
        }
        (!only.is_empty()).then(|| hints::on_runs(["requeue", run, "--only", &only.join(",")]))
    }

    /// Formats the failures as JSON.
    pub(crate) fn json(&self) -> Vec<Value> {
        let all = self.kinds.iter();
        all.map(|(kind, failures)| {
            let (http_status, code) = match kind {
                Kind::Status(OutcomeStatus::Errored, http, code) => (*http, Some(code)),
                _ => (None, None),
            };
            json!({
                "kind": kind.name(), "code": code, "http_status": http_status, "count": failures.count,
                "retryable": failures.is_retryable, "provider_message": failures.example,
            })
        })
        .collect()
    }
}

impl Serialize for Failed {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.json().serialize(serializer)
    }
}

const COLUMNS: [Column; 4] = [
    column("requests"),
    column("failure").cut_end(16),
    column("retryable"),
    column("provider said").cut_end(16),
];

fn yes(is_retryable: bool) -> &'static str {
    if is_retryable { "yes" } else { "no" }
}

/// Returns the width for the table on standard error.
pub(crate) fn columns() -> usize {
    terminal::error_columns().unwrap_or(120)
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use lmbatch::adapter::{Json, Text};
    use lmbatch::engine::Structured;
    use lmbatch::{ErrorKind, Retry};

    use super::*;

    fn answered<'a>(answer: AnswerView<'a>) -> AnsweredRequest<'a> {
        AnsweredRequest {
            ordinal: 0,
            id: Json::new("\"a\"").unwrap(),
            metadata: None,
            batch: None,
            schema_requested: false,
            raw: None,
            replaced: 0,
            answer,
            cost: None,
        }
    }

    fn error(
        http: u16,
        code: &'static str,
        retry: Retry,
        said: &'static str,
    ) -> AnswerView<'static> {
        AnswerView::Row {
            outcome: OutcomeView::Errored(FailureView {
                code: Some(Cow::Borrowed(code)),
                http_status: Some(http),
                message: Some(Text::Plain(said)),
                ..FailureView::new(ErrorKind::InvalidInput, retry)
            }),
            structured: Structured::NotRequested,
        }
    }

    #[test]
    fn failures_are_shown_by_kind_with_an_example_and_the_next_command() {
        let (mut failed, mut other) = (Failed::default(), Failed::default());
        let invalid = "temperature: 99 is more than 2, which is the maximum for this model";
        for _ in 0..53 {
            let answer = error(400, "invalid_value", Retry::Permanent, invalid);
            failed.count(&answered(answer), &[]);
        }
        for _ in 0..1_031 {
            let answer = error(429, "rate_limit_exceeded", Retry::Temporary, "slow\ndown");
            other.count(&answered(answer), &[]);
        }
        let expired = AnswerView::Row {
            outcome: OutcomeView::Expired,
            structured: Structured::NotRequested,
        };
        other.count(&answered(expired), &[]);
        failed.merge(other);
        let lines = failed.lines(5_000, Some("r-b7h0xn"), 80).join("\n");
        let expected = "\
1,085 of 5,000 requests without a usable answer
requests  failure                  retryable  provider said
   1,031  429 rate_limit_exceeded  yes        slow down
      53  400 invalid_value        no         temperature: 99 is more than 2, w…
       1  expired                  yes        -
next: lmbatch requeue r-b7h0xn --only retryable";
        assert_eq!(lines, expected);
    }

    #[test]
    fn failures_that_a_repetition_cannot_cure_have_no_next_command() {
        let mut failed = Failed::default();
        assert_eq!(failed.lines(1, Some("r-1"), 80), [""; 0]);
        let answer = error(400, "invalid_value", Retry::Permanent, "no");
        failed.count(&answered(answer), &[]);
        assert_eq!(failed.next("r-1"), None);
        assert_eq!(
            json!(failed),
            json!([{
                "kind": "errored", "code": "invalid_value", "http_status": 400, "count": 1, "retryable": false,
                "provider_message": "no",
            }])
        );
    }
}
