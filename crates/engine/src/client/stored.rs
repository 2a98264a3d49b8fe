//! Outcomes as stored JSON, and their comparison.

use lmbatch_core::{BatchSnapshot, FormatVersion, Outcome, RequestId};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::client::outcomes::Outcomes;
use crate::cost::Costs;
use crate::results::finished::CountMismatch;

/// JSON form of outcomes: the version, the batches, and one pair of id and outcome for each request.
#[derive(Serialize)]
struct Written<'a> {
    version: FormatVersion<1>,
    batches: &'a [BatchSnapshot],
    outcomes: &'a [(RequestId, Outcome)],
    costs: Costs,
    #[serde(skip_serializing_if = "Option::is_none")]
    count_mismatch: Option<CountMismatch>,
}

/// The same JSON as it is read.
#[derive(Deserialize)]
struct Read {
    /// Always written, so that other JSON is not taken for outcomes.
    #[serde(rename = "version")]
    _version: FormatVersion<1>,
    batches: Vec<BatchSnapshot>,
    outcomes: Vec<(RequestId, Outcome)>,
    #[serde(default)]
    costs: Costs,
    #[serde(default)]
    count_mismatch: Option<CountMismatch>,
}

/// The JSON has a `version`, and a newer one is refused when it is read. Typed outcomes are stored as the answers that
/// they were made from.
///
/// ```
/// use lmbatch_core::{LMOutput, Outcome};
/// use lmbatch_engine::Outcomes;
/// let outcomes = Outcomes::from_iter([("a", Outcome::from(LMOutput::from_text("4")))]);
/// let stored = serde_json::to_string(&outcomes)?;
/// assert!(stored.starts_with(r#"{"version":1,"#));
/// assert_eq!(serde_json::from_str::<Outcomes>(&stored)?, outcomes);
/// # Ok::<(), serde_json::Error>(())
/// ```
impl Serialize for Outcomes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let written = Written {
            version: FormatVersion,
            batches: self.batches(),
            outcomes: self.as_slice(),
            costs: self.costs(),
            count_mismatch: self.count_mismatch(),
        };
        written.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Outcomes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read = Read::deserialize(deserializer)?;
        let count = read.outcomes.len();
        let outcomes = Self::restored(read.batches, read.outcomes, read.costs, read.count_mismatch);
        match outcomes.distinct() == count {
            true => Ok(outcomes),
            false => Err(D::Error::custom("two outcomes have one id")),
        }
    }
}

/// Compares batches, outcomes in their order, and costs.
impl<T: PartialEq> PartialEq for Outcomes<T> {
    fn eq(&self, other: &Self) -> bool {
        self.batches() == other.batches()
            && self.as_slice() == other.as_slice()
            && self.costs() == other.costs()
            && self.count_mismatch() == other.count_mismatch()
            && self.kept() == other.kept()
    }
}

#[cfg(test)]
mod tests {
    use lmbatch_core::{
        BatchId, BatchStatus, ErrorKind, LMOutput, Problem, RequestError, TokenUsage,
    };

    use super::*;

    fn outcomes() -> Outcomes {
        let mut answer = LMOutput::from_text("4");
        answer.usage = Some(TokenUsage {
            input_tokens: 7,
            output_tokens: 2,
            ..TokenUsage::default()
        });
        let refused = Outcome::Succeeded {
            value: LMOutput::from_text("no"),
            problem: Some(Problem::Refused),
        };
        let entries = [
            ("a", Outcome::from(answer)),
            ("b", refused),
            ("c", RequestError::new(ErrorKind::ContextOverflow).into()),
            ("d", Outcome::Expired),
        ];
        let entries = entries.map(|(id, outcome)| (RequestId::from(id), outcome));
        let batch = BatchSnapshot::new(BatchId::new("b1"), BatchStatus::Completed);
        let costs = Costs {
            unknown: 2,
            ..Costs::default()
        };
        let mismatch = CountMismatch {
            counted: 5,
            read: 4,
        };
        Outcomes::restored(vec![batch], entries.into(), costs, Some(mismatch))
    }

    #[test]
    fn outcomes_round_trip_as_json() {
        let outcomes = outcomes();
        let json = serde_json::to_string(&outcomes).unwrap();
        let read: Outcomes = serde_json::from_str(&json).unwrap();
        assert_eq!(read, outcomes);
        assert_eq!(read.usage(), outcomes.usage());
        assert_eq!(read.output("a").unwrap().text(), "4");
        assert_eq!(read.count_mismatch(), outcomes.count_mismatch());
    }

    #[test]
    fn outcomes_that_this_version_cannot_read_are_refused_by_name() {
        let written = serde_json::to_value(outcomes()).unwrap();
        for (change, words) in [
            (
                (|json| json["version"] = 2.into()) as fn(&mut serde_json::Value),
                "format version 2 was written by a newer lmbatch",
            ),
            (
                |json| drop(json.as_object_mut().unwrap().remove("version")),
                "missing field `version`",
            ),
            (
                |json| json["outcomes"][1][0] = "a".into(),
                "two outcomes have one id",
            ),
            (
                |json| json["outcomes"][3][1]["status"] = "postponed".into(),
                "unknown variant `postponed`",
            ),
        ] {
            let mut json = written.clone();
            change(&mut json);
            let error = serde_json::from_value::<Outcomes>(json).unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
        }
        let mut later = written;
        later["later"] = 1.into();
        assert_eq!(
            serde_json::from_value::<Outcomes>(later).unwrap(),
            outcomes()
        );
    }

    #[test]
    fn outcomes_differ_in_an_answer_its_order_or_its_costs() {
        let all = outcomes();
        let entries = || all.iter().cloned().collect::<Vec<_>>();
        let of = |entries| {
            Outcomes::restored(
                all.batches().to_vec(),
                entries,
                all.costs(),
                all.count_mismatch(),
            )
        };
        assert_eq!(of(entries()), all);
        let mut swapped = entries();
        swapped.swap(0, 1);
        assert_ne!(of(swapped), all);
        let mut other = entries();
        other[3].1 = Outcome::Missing;
        assert_ne!(of(other), all);
        assert_ne!(all.iter().cloned().collect::<Outcomes>(), all);
    }
}
