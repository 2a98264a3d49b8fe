//! Options that are stored with a run. Commands that continue the run use them unless their arguments override them.

use std::collections::BTreeMap;

use clap::ValueEnum as _;
use lmbatch::record::RunRecord;
use lmbatch::{Cost, Problem};
use serde::{Deserialize, Serialize};

use crate::args::{Cleanup, LimitArgs, MaxFailed, ReportArgs};
use crate::cost_args::CostArgs;
use crate::stored;

/// Name of the note in a run's record.
const NOTE: &str = "options";

/// Default maximum number of times that a request is sent.
const ATTEMPTS: u32 = 3;

/// Options that are stored with a run; `None` or empty if the command did not set them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Kept {
    #[serde(skip_serializing_if = "Option::is_none")]
    max_attempts: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    repairs: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cleanup: Option<Cleanup>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_failed: Option<MaxFailed>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    accept: Vec<Problem>,
    #[serde(with = "stored", skip_serializing_if = "LimitArgs::is_unlimited")]
    limit: LimitArgs,
    #[serde(with = "stored", skip_serializing_if = "CostArgs::is_default")]
    cost: CostArgs,
}

impl Kept {
    /// Returns the options that the arguments of a command set.
    pub(crate) fn said(max_attempts: Option<u32>, report: &ReportArgs, limit: LimitArgs) -> Self {
        Self {
            max_attempts,
            repairs: None,
            cleanup: report.cleanup,
            max_failed: report.max_failed,
            accept: report.accept.clone(),
            limit,
            cost: CostArgs::default(),
        }
    }

    /// Sets the number of repairs of an answer.
    pub(crate) fn with_repairs(self, repairs: Option<u32>) -> Self {
        Self { repairs, ..self }
    }

    /// Sets the limit on the cost.
    pub(crate) fn with_cost(self, cost: CostArgs) -> Self {
        Self { cost, ..self }
    }

    /// Returns the options in a run's record; records of earlier versions have none.
    pub(crate) fn read(run: &RunRecord) -> Self {
        let note = run.notes.get(NOTE);
        let kept = note.and_then(|text| serde_json::from_str(text).ok());
        kept.unwrap_or_default()
    }

    /// Adds the options to the notes of a run's record.
    pub(crate) fn write(&self, notes: &mut BTreeMap<Box<str>, Box<str>>) {
        if *self != Self::default()
            && let Ok(text) = serde_json::to_string(self)
        {
            notes.insert(NOTE.into(), text.into());
        }
    }

    /// Returns the options, with unset ones taken from an earlier command.
    pub(crate) fn or(self, earlier: Self) -> Self {
        Self {
            max_attempts: self.max_attempts.or(earlier.max_attempts),
            repairs: self.repairs.or(earlier.repairs),
            cleanup: self.cleanup.or(earlier.cleanup),
            max_failed: self.max_failed.or(earlier.max_failed),
            accept: match self.accept.is_empty() {
                true => earlier.accept,
                false => self.accept,
            },
            limit: self.limit.or(&earlier.limit),
            cost: self.cost.or(&earlier.cost),
        }
    }

    /// Returns the maximum number of times that a request is sent.
    pub(crate) fn max_attempts(&self) -> u32 {
        self.max_attempts.unwrap_or(ATTEMPTS)
    }

    /// Returns the maximum number of repairs of an answer.
    pub(crate) fn repairs(&self) -> u32 {
        self.repairs.unwrap_or(0)
    }

    /// Returns the data to delete at the provider once the output is written.
    pub(crate) fn cleanup(&self) -> Cleanup {
        self.cleanup.unwrap_or_default()
    }

    /// Returns the maximum number of unusable outputs that are tolerated.
    pub(crate) fn max_failed(&self) -> MaxFailed {
        self.max_failed.unwrap_or_default()
    }

    /// Returns the problems of outputs that count as usable.
    pub(crate) fn accept(&self) -> &[Problem] {
        &self.accept
    }

    /// Returns the limit on the cost of the run.
    pub(crate) fn cost(&self) -> &CostArgs {
        &self.cost
    }

    /// Returns the notes of a run with these options, of which the numbers of attempts and of repairs stay those of the
    /// run; `None` where the run has these options.
    pub(crate) fn note(&self, run: &RunRecord) -> Option<BTreeMap<Box<str>, Box<str>>> {
        let recorded = Self::read(run);
        let new = Self {
            max_attempts: recorded.max_attempts,
            repairs: recorded.repairs,
            limit: recorded.limit.clone(),
            ..self.clone()
        };
        if new == recorded {
            return None;
        }
        let mut notes = run.notes.clone();
        new.write(&mut notes);
        Some(notes)
    }

    /// Returns the number of repairs if it is larger than the one in a run's record.
    pub(crate) fn more_repairs(&self, run: &RunRecord) -> Option<u32> {
        Some(self.repairs()).filter(|repairs| *repairs > Self::read(run).repairs())
    }

    /// Returns the words of an earlier command with the values that its options have now. Of an option that is repeated,
    /// the first place is kept.
    pub(crate) fn renewed(&self, words: Vec<String>) -> Vec<String> {
        let mut now = self.values();
        let (mut renewed, mut words) = (Vec::new(), words.into_iter());
        while let Some(word) = words.next() {
            let (name, own) = match word.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (word.clone(), None),
            };
            let Some((_, value)) = now.iter_mut().find(|(option, _)| *option == name) else {
                renewed.push(word);
                continue;
            };
            let old = own.clone().or_else(|| words.next()).unwrap_or_default();
            let Some(value) = value.take() else {
                continue;
            };
            let value = match is_same(&old, &value) {
                true => old,
                false => value,
            };
            match own {
                Some(_) => renewed.push(format!("{name}={value}")),
                None => renewed.extend([name, value]),
            }
        }
        renewed
    }

    /// Returns the options that are set, each with its value as an argument.
    fn values(&self) -> Vec<(&'static str, Option<String>)> {
        let number = |number: Option<u32>| number.map(|number| number.to_string());
        let cleanup = self.cleanup.and_then(|cleanup| cleanup.to_possible_value());
        let accept: Vec<&str> = self.accept.iter().map(|problem| problem.as_str()).collect();
        let values = [
            ("--max-cost", self.cost.max_cost.map(Cost::dollars)),
            ("--expect-output", number(self.cost.expect_output)),
            ("--max-attempts", number(self.max_attempts)),
            ("--repair", number(self.repairs)),
            (
                "--cleanup",
                cleanup.map(|value| value.get_name().to_owned()),
            ),
            ("--max-failed", self.max_failed.map(|most| most.to_string())),
            (
                "--accept",
                Some(accept.join(",")).filter(|accept| !accept.is_empty()),
            ),
        ];
        values
            .into_iter()
            .filter(|(_, value)| value.is_some())
            .collect()
    }

    /// Returns the limits of a batch.
    pub(crate) fn limit(&self) -> &LimitArgs {
        &self.limit
    }
}

/// Reports whether two arguments have one value, such as `5` and `5.00`.
fn is_same(one: &str, other: &str) -> bool {
    let cost = |text: &str| text.parse::<Cost>().ok();
    one == other || cost(one).is_some_and(|one| Some(one) == cost(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_earlier_command_is_printed_with_the_values_of_now() {
        let now = Kept {
            max_attempts: Some(5),
            cleanup: Some(Cleanup::All),
            max_failed: Some(MaxFailed::Percent(2.5)),
            accept: vec![Problem::Truncated, Problem::Refused],
            cost: CostArgs {
                max_cost: "7.50".parse().ok(),
                ..CostArgs::default()
            },
            ..Kept::default()
        };
        for (words, expected) in [
            ("run a --max-cost 5 -m x/y", "run a --max-cost 7.50 -m x/y"),
            ("run --max-cost=0.01 a", "run --max-cost=7.50 a"),
            ("run --max-cost 7.500 a", "run --max-cost 7.500 a"),
            // An option that the record does not have stays.
            (
                "run a --repair 2 --expect-output 9",
                "run a --repair 2 --expect-output 9",
            ),
            (
                "run a --max-attempts 5 --cleanup none --max-failed 1",
                "run a --max-attempts 5 --cleanup all --max-failed 2.5%",
            ),
            (
                "run --accept empty a --accept refused b",
                "run --accept truncated,refused a b",
            ),
        ] {
            let words = words.split(' ').map(str::to_owned).collect();
            assert_eq!(now.renewed(words).join(" "), expected);
        }
        assert_eq!(
            Kept::default().renewed(vec!["--accept".to_owned()]),
            ["--accept"]
        );
    }

    #[test]
    fn options_that_a_command_does_not_set_are_those_of_the_run() {
        let run = Kept {
            max_attempts: Some(1),
            repairs: Some(2),
            cleanup: Some(Cleanup::None),
            max_failed: Some(MaxFailed::Percent(3.0)),
            accept: vec![Problem::Truncated],
            limit: LimitArgs {
                max_batch_requests: Some(2),
                ..LimitArgs::default()
            },
            cost: CostArgs {
                expect_output: Some(5),
                ..CostArgs::default()
            },
        };
        let text = serde_json::to_string(&run).unwrap();
        assert_eq!(serde_json::from_str::<Kept>(&text).unwrap(), run);
        assert_eq!(Kept::default().or(run.clone()), run);
        let said = Kept {
            max_attempts: Some(3),
            ..Kept::default()
        };
        let both = said.or(run);
        assert_eq!((both.max_attempts(), both.cleanup()), (3, Cleanup::None));
        assert_eq!(both.limit().max_batch_requests, Some(2));
        assert_eq!(both.repairs(), 2);
        let nothing = Kept::default();
        assert_eq!(nothing.repairs(), 0);
        assert_eq!(
            (nothing.max_attempts(), nothing.cleanup()),
            (3, Cleanup::Inputs)
        );
        let mut notes = BTreeMap::new();
        nothing.write(&mut notes);
        assert!(notes.is_empty());
    }
}
