//! Cost of the answers of a run: in total, by model and by attempt.

use std::collections::BTreeMap;

use lmbatch::engine::BatchTotals;
use lmbatch::{Cost, Costs};
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::format;

/// Cost of answers, for programs: exact, or an upper bound where a rate is not published. Neither is there where no cost
/// is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Amount {
    usd: Option<Cost>,
    usd_at_most: Option<Cost>,
    /// Number of answers whose cost is unknown, and not in the amount.
    unknown_answers: u64,
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.write(&mut map)?;
        map.end()
    }
}

impl Amount {
    /// Writes the members of the amount into an object.
    fn write<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        if let Some(usd) = &self.usd {
            map.serialize_entry("usd", usd)?;
        }
        if let Some(usd) = &self.usd_at_most {
            map.serialize_entry("usd_at_most", usd)?;
        }
        map.serialize_entry("unknown_answers", &self.unknown_answers)
    }

    pub(crate) fn of(costs: &Costs) -> Self {
        let is_known = costs.unknown == 0 || costs.charged.high > Cost::ZERO;
        let charged = Some(costs.charged).filter(|_| is_known);
        let (exact, range) = match charged {
            Some(charged) if charged.is_exact() => (Some(charged.high), None),
            Some(charged) => (None, Some(charged.high)),
            None => (None, None),
        };
        Self {
            usd: exact,
            usd_at_most: range,
            unknown_answers: costs.unknown,
        }
    }

    /// Formats the amount for people, such as `at most $0.02, unknown for 3 answers`.
    pub(crate) fn shown(&self) -> String {
        let known = match (self.usd, self.usd_at_most) {
            (Some(cost), _) => Some(cost.to_string()),
            (None, Some(cost)) => Some(format!("at most {cost}")),
            (None, None) => None,
        };
        match (known, self.unknown_answers) {
            (Some(known), 0) => known,
            (Some(known), unknown) => {
                let answers = format::count(unknown, "answer", "answers");
                format!("{known}, unknown for {answers}")
            }
            (None, _) => "unknown".to_owned(),
        }
    }
}

/// Cost of one attempt of a run.
#[derive(Debug)]
struct OfAttempt {
    /// Number of the attempt, from 1.
    attempt: u32,
    amount: Amount,
}

impl Serialize for OfAttempt {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("attempt", &self.attempt)?;
        self.amount.write(&mut map)?;
        map.end()
    }
}

/// Cost of the answers of a run. Answers that were replaced by later ones are billed, and included.
#[derive(Debug)]
pub(crate) struct CostSummary {
    /// Day of the table of prices.
    prices_as_of: String,
    total: Amount,
    /// Cost of the answers that later ones replaced, a part of the total.
    superseded: Amount,
    /// Smallest amount that was saved against the real-time API.
    saved_usd: Cost,
    models: BTreeMap<String, Amount>,
    attempts: Vec<OfAttempt>,
}

impl Serialize for CostSummary {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("prices_as_of", &self.prices_as_of)?;
        self.total.write(&mut map)?;
        map.serialize_entry("superseded", &self.superseded)?;
        map.serialize_entry("saved_usd", &self.saved_usd)?;
        map.serialize_entry("models", &self.models)?;
        map.serialize_entry("attempts", &self.attempts)?;
        map.end()
    }
}

impl CostSummary {
    /// Returns the cost of a run whose requests were sent once, from its answers by model.
    pub(crate) fn of_models(as_of: &str, models: &BTreeMap<String, Costs>) -> Self {
        let mut total = Costs::default();
        models.values().for_each(|costs| total += *costs);
        let attempts = BTreeMap::from([(0, total)]);
        Self::new(as_of, &total, &Costs::default(), models, &attempts)
    }

    /// Returns the cost of a run from the accounts of its batches.
    pub(crate) fn of_batch_totals(as_of: &str, accounts: &[BatchTotals]) -> Self {
        let (mut total, mut superseded) = (Costs::default(), Costs::default());
        let (mut models, mut attempts) = (BTreeMap::new(), BTreeMap::new());
        for account in accounts {
            total += account.answered.costs;
            superseded += account.superseded.costs;
            *attempts.entry(account.attempt).or_default() += account.answered.costs;
            for (model, answers) in &account.models {
                let asked = account.model.as_deref().unwrap_or_default();
                let model = if model.is_empty() { asked } else { model };
                let of: &mut Costs = models.entry(model.to_owned()).or_default();
                *of += answers.costs;
            }
        }
        Self::new(as_of, &total, &superseded, &models, &attempts)
    }

    fn new(
        as_of: &str,
        total: &Costs,
        superseded: &Costs,
        models: &BTreeMap<String, Costs>,
        attempts: &BTreeMap<u32, Costs>,
    ) -> Self {
        let models = models.iter();
        let attempts = attempts.iter();
        Self {
            prices_as_of: as_of.to_owned(),
            total: Amount::of(total),
            superseded: Amount::of(superseded),
            saved_usd: total.saved,
            models: models
                .map(|(model, costs)| (model.clone(), Amount::of(costs)))
                .collect(),
            attempts: attempts
                .map(|(attempt, costs)| OfAttempt {
                    attempt: attempt + 1,
                    amount: Amount::of(costs),
                })
                .collect(),
        }
    }

    /// Returns the rows of a table for people, each with its name.
    pub(crate) fn rows(&self) -> Vec<(String, String)> {
        let mut total = self.total.shown();
        if self.saved_usd > Cost::ZERO {
            total.push_str(&format!("; {} saved", self.saved_usd));
        }
        total.push_str(&format!("; prices of {}", self.prices_as_of));
        let mut rows = vec![("cost".to_owned(), total)];
        if self.superseded != Amount::of(&Costs::default()) {
            rows.push(("cost, superseded".to_owned(), self.superseded.shown()));
        }
        if self.models.len() > 1 {
            let models = self.models.iter();
            rows.extend(models.map(|(model, amount)| (format!("cost of {model}"), amount.shown())));
        }
        if self.attempts.len() > 1 {
            let attempts = self.attempts.iter();
            rows.extend(attempts.map(|of| {
                let name = format!("cost of attempt {}", of.attempt);
                (name, of.amount.shown())
            }));
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use lmbatch::CostRange;
    use lmbatch::engine::AnswerCost;

    use super::*;

    fn costs(answers: &[Option<(u128, u128)>]) -> Costs {
        let mut costs = Costs::default();
        for answer in answers {
            costs.add(answer.map(|(low, high)| AnswerCost {
                charged: CostRange {
                    low: Cost::from_picodollars(low),
                    high: Cost::from_picodollars(high),
                },
                real_time: Some(CostRange::exact(Cost::from_picodollars(2 * high))),
            }));
        }
        costs
    }

    #[test]
    fn an_amount_is_exact_or_an_upper_bound_and_never_zero_for_the_unknown() {
        const MICRO: u128 = 1_000_000;
        for (answers, shown) in [
            (&[][..], "$0.00"),
            (&[Some((5 * MICRO, 5 * MICRO))], "$0.000005"),
            (&[Some((5 * MICRO, 7 * MICRO))], "at most $0.000007"),
            (&[None], "unknown"),
            (
                &[Some((MICRO, MICRO)), None],
                "$0.000001, unknown for 1 answer",
            ),
            (
                &[Some((1, MICRO)), None, None],
                "at most $0.000001, unknown for 2 answers",
            ),
        ] {
            assert_eq!(Amount::of(&costs(answers)).shown(), shown);
        }
    }

    #[test]
    fn a_summary_adds_models_up() {
        let models = BTreeMap::from([
            ("a".to_owned(), costs(&[Some((10, 10))])),
            ("b".to_owned(), costs(&[Some((5, 5)), None])),
        ]);
        let summary = CostSummary::of_models("2026-11-26", &models);
        let json = serde_json::to_value(&summary).unwrap();
        let expected = serde_json::json!({
            "prices_as_of": "2026-11-26", "usd": "0.000000000015", "unknown_answers": 1,
            "superseded": {"usd": "0.00", "unknown_answers": 0}, "saved_usd": "0.000000000015",
            "models": {
                "a": {"usd": "0.00000000001", "unknown_answers": 0},
                "b": {"usd": "0.000000000005", "unknown_answers": 1},
            },
            "attempts": [{"attempt": 1, "usd": "0.000000000015", "unknown_answers": 1}],
        });
        assert_eq!(json, expected);
        let rows = summary.rows();
        let names: Vec<&str> = rows.iter().map(|(name, _)| &**name).collect();
        assert_eq!(names, ["cost", "cost of a", "cost of b"]);
        assert_eq!(
            rows[0].1,
            "$0.000000000015, unknown for 1 answer; $0.000000000015 saved; prices of 2026-11-26"
        );
    }
}
