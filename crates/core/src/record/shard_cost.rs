//! Cost of a shard against the cost limit of its run.

use serde::{Deserialize, Serialize};

use crate::{Cost, ShardState};

/// Cost of a shard against the cost limit of its run: reserved before each create, and settled by the usage of
/// the answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardCost {
    /// Upper bound of the cost of the create that is under way, or of the batch; zero where there is neither.
    pub reserved: Cost,
    /// Upper bound of each earlier create whose outcome stayed unknown. Their batches may exist, and be billed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub doubts: Vec<Cost>,
    /// Cost of the batch by the usage of its answers, once its results are stored. Answers without known usage
    /// or price count with their upper bounds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled: Option<Cost>,
    /// Day of the table of prices, such as 2026-11-26.
    pub prices_as_of: Box<str>,
}

impl ShardCost {
    /// Returns the largest cost that the shard can have: what is settled, or else reserved, and earlier creates
    /// whose outcome stayed unknown.
    pub fn upper_bound(&self) -> Cost {
        self.in_doubt()
            .saturating_add(self.settled.unwrap_or(self.reserved))
    }

    /// Returns the upper bounds of the earlier creates whose outcome stayed unknown, added up.
    pub fn in_doubt(&self) -> Cost {
        self.doubts.iter().copied().sum()
    }

    /// Brings the cost up to date with a transition.
    pub(crate) fn follow(&mut self, from: &ShardState, to: &ShardState) {
        match (from, to) {
            // The create is given up as unknown, and another one is sent.
            (ShardState::Doubt(_), ShardState::Staged(_)) => {
                self.doubts.push(self.reserved);
                self.reserved = Cost::ZERO;
            }
            // The batch of an earlier create was found before another create was sent. Which create made it is
            // unknown, so that the larger bounds stay.
            (ShardState::Staged(_) | ShardState::Planned, ShardState::Created { .. }) => {
                let least = self.doubts.iter().copied().min();
                if let Some(at) = self.doubts.iter().position(|doubt| Some(*doubt) == least) {
                    self.reserved = self.doubts.swap_remove(at);
                }
            }
            // The provider did not take the create.
            (ShardState::Posting(_), ShardState::Staged(_) | ShardState::Refused) => {
                self.reserved = Cost::ZERO;
            }
            _ => {}
        }
    }
}
