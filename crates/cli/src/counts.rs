//! Counts of outcomes as they are written.

use std::collections::BTreeMap;

use lmbatch::adapter::OutcomeView;
use lmbatch::engine::{AnswerView, AnsweredRequest, Costs};
use lmbatch::{OutcomeStatus, Problem, TokenUsage};

use crate::failed::Failed;

/// Maximum number of models whose costs are counted apart.
const MODELS: usize = 64;

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
    /// Costs of the billed answers, by the model that gave them; `""` if the row names no model.
    pub(crate) costs: BTreeMap<String, Costs>,
    /// Numbers of answered and of errored requests, by batch.
    pub(crate) delivered: BTreeMap<String, (u64, u64)>,
    /// Outcomes that are not usable, by kind.
    pub(crate) failed: Failed,
    /// Numbers of outcomes with a part that the format of the output cannot represent, by the name of the part.
    pub(crate) left_out: BTreeMap<&'static str, u64>,
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
        let is_malformed = answered.answer.is_malformed();
        self.malformed += u64::from(is_malformed);
        if is_answer || is_malformed {
            self.charge(answered);
        }
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

    /// Counts the parts of one outcome that the output does not hold.
    pub(crate) fn leave_out(&mut self, names: impl IntoIterator<Item = &'static str>) {
        for name in names {
            *self.left_out.entry(name).or_default() += 1;
        }
    }

    /// Adds the cost of an answer.
    fn charge(&mut self, answered: &AnsweredRequest<'_>) {
        let model = match &answered.answer {
            AnswerView::Row {
                outcome: OutcomeView::Succeeded(output),
                ..
            } => output.model.map(|model| model.decode()),
            _ => None,
        };
        let model = model.unwrap_or_default();
        match self.costs.get_mut(&*model) {
            Some(known) => known.add(answered.cost),
            None => {
                // Few models answer; the costs of others are added up under "".
                let is_room = self.costs.len() < MODELS;
                let name = if is_room {
                    model.into_owned()
                } else {
                    String::new()
                };
                self.costs.entry(name).or_default().add(answered.cost);
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
        for (name, count) in other.left_out {
            *self.left_out.entry(name).or_default() += count;
        }
        for (model, costs) in other.costs {
            *self.costs.entry(model).or_default() += costs;
        }
        for (batch, counts) in other.delivered {
            add(self.delivered.entry(batch).or_default(), counts);
        }
    }
}

fn add(to: &mut (u64, u64), counts: (u64, u64)) {
    to.0 += counts.0;
    to.1 += counts.1;
}
