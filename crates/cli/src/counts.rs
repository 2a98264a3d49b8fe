//! Counts of outcomes as they are written.

use std::collections::BTreeMap;

use lmbatch::engine::AnsweredRequest;
use lmbatch::{OutcomeStatus, Problem, TokenUsage};

use crate::failed::Failed;

/// Counts of the outcomes of a run, or of some of them.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) requests: u64,
    pub(crate) usable: u64,
    pub(crate) statuses: BTreeMap<OutcomeStatus, u64>,
    pub(crate) problems: BTreeMap<Problem, u64>,
    pub(crate) usage: TokenUsage,
    /// Number of billed answers that cannot be read.
    pub(crate) malformed: u64,
    /// Numbers of answered and of errored requests, by batch.
    pub(crate) delivered: BTreeMap<String, (u64, u64)>,
    /// Outcomes that are not usable, by kind.
    pub(crate) failed: Failed,
}

impl Counts {
    /// Counts one outcome. Answers with one of the problems in `accept` are usable.
    pub(crate) fn count(&mut self, answered: &AnsweredRequest<'_>, accept: &[Problem]) {
        let status = answered.answer.status();
        let problem = answered.answer.problem();
        self.requests += 1;
        *self.statuses.entry(status).or_default() += 1;
        if let Some(problem) = problem {
            *self.problems.entry(problem).or_default() += 1;
        }
        let is_answer = status == OutcomeStatus::Succeeded;
        if is_answer && problem.is_none_or(|problem| accept.contains(&problem)) {
            self.usable += 1;
        }
        self.failed.count(answered, accept);
        self.usage += answered.answer.usage();
        self.malformed += u64::from(answered.answer.is_malformed());
        if let Some(batch) = answered.batch {
            let one = (
                u64::from(is_answer),
                u64::from(status == OutcomeStatus::Errored),
            );
            match self.delivered.get_mut(batch.as_str()) {
                Some(known) => add(known, one),
                None => {
                    self.delivered.insert(batch.as_str().to_owned(), one);
                }
            }
        }
    }

    /// Adds the counts of other outcomes.
    pub(crate) fn merge(&mut self, other: Self) {
        self.requests += other.requests;
        self.usable += other.usable;
        for (status, count) in other.statuses {
            *self.statuses.entry(status).or_default() += count;
        }
        for (problem, count) in other.problems {
            *self.problems.entry(problem).or_default() += count;
        }
        self.usage += other.usage;
        self.malformed += other.malformed;
        self.failed.merge(other.failed);
        for (batch, counts) in other.delivered {
            add(self.delivered.entry(batch).or_default(), counts);
        }
    }
}

fn add(to: &mut (u64, u64), counts: (u64, u64)) {
    to.0 += counts.0;
    to.1 += counts.1;
}
