//! Records of shards: states, transitions, and acknowledgements that arrived too late for a transition.

use std::fmt;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::{
    BatchClass, BatchId, BatchSnapshot, BatchStatus, Certainty, Error, Intent, Label, Progress,
    Proof, RemoteObject, ResultPart, ShardCost, Staged,
};

/// Key of one shard: its run and its number in the run.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ShardKey {
    /// Id of the run.
    pub run: Box<str>,
    /// Number of the shard in the run, from 0.
    pub shard: u32,
}

impl fmt::Display for ShardKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "shard {} of run {}", self.shard, self.run)
    }
}

/// State of a shard, changed by one transition at a time. Most transitions lead forward; a create that was
/// refused, or whose outcome was unknown, can lead back to [`Staged`](Self::Staged).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ShardState {
    /// The shard is planned, and nothing was sent.
    Planned,
    /// The provider holds everything that the create needs.
    Staged(Staged),
    /// The create request may have been sent. After a crash this state is handled like
    /// [`Doubt`](Self::Doubt).
    Posting(Intent),
    /// A create was sent, and its outcome is unknown.
    Doubt(Intent),
    /// The provider refused the create, and no batch exists. Resuming the run stages the shard again.
    Refused,
    /// The batch exists at the provider.
    Created {
        /// The provider's id of the batch.
        batch: BatchId,
        /// Evidence that the batch belongs to the shard.
        proof: Proof,
    },
    /// The batch has ended at the provider.
    Ended(BatchSnapshot),
    /// The shard has no batch, and none will be created.
    Closed(Closed),
    /// The results are stored, complete and durable.
    Sealed {
        /// Status and counts of the ended batch.
        snapshot: BatchSnapshot,
        /// Stored parts of the results.
        segments: Vec<Segment>,
        /// Table of the result rows of the requests, made from the segments; `None` where it does not exist
        /// yet.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        locations: Option<Locations>,
        /// Number of requests that may have been answered, but have no outcome in any row. They may have been
        /// paid for, and are sent again only on request of the caller.
        #[serde(default)]
        undelivered: u64,
    },
}

impl ShardState {
    /// Returns the batch in the states created, ended and sealed; `None` in all others.
    pub fn batch(&self) -> Option<&BatchId> {
        match self {
            Self::Created { batch, .. } => Some(batch),
            Self::Ended(snapshot) | Self::Sealed { snapshot, .. } => Some(&snapshot.id),
            _ => None,
        }
    }

    /// Returns whether no more work is due for the shard.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Sealed { .. } | Self::Closed(_))
    }
}

/// Reason why a shard has no batch and will not get one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Closed {
    /// The run was cancelled before a create was sent, or after each create was refused.
    Cancelled,
    /// The outcome of a create stayed unknown, and the caller abandoned it or cancelled the run. The
    /// batch may exist nevertheless.
    Abandoned {
        /// Error of the create, on one line.
        message: Box<str>,
    },
}

/// Spool file with the location of the result row of each request, in the order of the requests in the shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Locations {
    /// Name of the file in the spool.
    pub name: Box<str>,
    /// CRC-32 of the file's bytes.
    pub checksum: u32,
}

/// Tables that a shard has besides its body, and the ordinals of its requests. The ordinal of a request is
/// its number in the run, from 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardTables {
    /// Table of the body's rows: 24 bytes for each request, in the order of the body.
    pub rows: StoredTable,
    /// Table of the ids, metadata and schemas of the requests.
    #[serde(rename = "echo")]
    pub request_data: StoredTable,
    /// Lowest ordinal of the shard's requests.
    pub first: u32,
    /// Highest ordinal of the shard's requests.
    pub last: u32,
    /// `true` where ordinals do not ascend in the order of the body, as in shards that an earlier version
    /// wrote.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unordered: bool,
}

/// Spool file that holds a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredTable {
    /// Name of the file in the spool.
    pub name: Box<str>,
    /// Size of the file in bytes.
    pub bytes: u64,
    /// CRC-32 of the file's bytes.
    pub checksum: u32,
}

/// Part of the results, as stored in the spool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// Part of the results at the provider that this file holds.
    pub part: ResultPart,
    /// Name of the file in the spool.
    pub name: Box<str>,
    /// Size of the file in bytes.
    pub bytes: u64,
    /// Number of rows in the file.
    pub rows: u64,
    /// CRC-32 of the file's bytes; `None` in records of earlier versions.
    #[serde(default)]
    pub checksum: Option<u32>,
}

/// Record of one shard in the ledger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShardRecord {
    /// Key of the shard: run and number.
    pub key: ShardKey,
    /// Label that lmbatch puts on the batch.
    pub label: Label,
    /// Class that the requests share.
    pub class: BatchClass,
    /// Number of requests in the shard.
    pub count: u32,
    /// Size of the encoded requests in bytes.
    pub bytes: u64,
    /// CRC-32 of the encoded requests; `None` in records of earlier versions.
    #[serde(default)]
    pub checksum: Option<u32>,
    /// Tables of the shard; `None` in records of earlier versions, which kept tables of a run as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tables: Option<ShardTables>,
    /// Attempt of the shard's requests, from 0.
    pub attempt: u32,
    /// `true` where the shard is a repair: its requests continue the conversations of answers that did not fit
    /// their schemas.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub repair: bool,
    /// Number of changes of the record, counted by the ledger. A change carries the epoch that was read, and
    /// is applied only where the ledger still has that epoch.
    pub epoch: u64,
    /// Current state of the shard.
    pub state: ShardState,
    /// State that a step keeps until it is called again.
    #[serde(default, skip_serializing_if = "Progress::is_empty")]
    pub progress: Progress,
    /// Evidence that the batch belongs to the shard; `None` while there is no batch.
    #[serde(default)]
    pub proof: Option<Proof>,
    /// Intent of the create while its result is uncertain: it is under way or in doubt, or the batch is only
    /// presumed to be its result.
    #[serde(default)]
    pub doubted: Option<Intent>,
    /// Uploads for the shard. They stay at the provider until they are discarded.
    #[serde(default, rename = "remnants")]
    pub remote_objects: Vec<RemoteObject>,
    /// `true` where a create was sent after another one whose outcome stayed unknown: two batches may exist.
    #[serde(default)]
    pub sent_twice: bool,
    /// Cost of the shard, where the run has a cost limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<ShardCost>,
}

impl ShardRecord {
    /// Returns whether the shard has a number of requests, and its create is under way or in doubt.
    pub fn is_doubtful(&self, requests: u32) -> bool {
        let is_open = matches!(self.state, ShardState::Posting(_) | ShardState::Doubt(_));
        is_open && self.count == requests
    }

    /// Returns the batch of the shard where the shard is only presumed to have created it.
    pub fn presumed_batch(&self) -> Option<&BatchId> {
        let is_presumed = |proof: &Proof| proof.certainty == Certainty::Presumed;
        let presumed = self.proof.as_ref().is_some_and(is_presumed);
        self.state.batch().filter(|_| presumed)
    }

    /// Marks a presumed batch as proved once its results contain rows of the shard.
    fn prove(&mut self, segments: &[Segment]) {
        let presumed = |proof: &Proof| proof.certainty == Certainty::Presumed;
        if self.proof.as_ref().is_some_and(presumed)
            && segments.iter().any(|segment| segment.rows > 0)
        {
            self.proof = Some(Proof::proved(
                "its results contain the request ids of the shard",
            ));
        }
    }

    /// Converts the record of an earlier version. Those recorded a shard without a batch as sealed, with a
    /// batch called "none".
    pub fn of_earlier_version(mut self) -> Self {
        if let ShardState::Sealed { snapshot, .. } = &self.state
            && snapshot.id.as_str() == "none"
        {
            let problem = snapshot.problems.first();
            let message = problem.and_then(|problem| problem.error.message());
            self.state = ShardState::Closed(match snapshot.status {
                BatchStatus::Cancelled => Closed::Cancelled,
                _ => Closed::Abandoned {
                    message: message.unwrap_or("abandoned").into(),
                },
            });
        }
        self
    }

    /// Returns the record after a transition to `state`, with proof, doubt and remote objects brought up to date.
    /// The epoch stays: the ledger increments it when the record is [applied](crate::Ledger::advance).
    pub fn advanced(mut self, state: ShardState) -> Self {
        if let ShardState::Staged(staged) = &state {
            let new = staged.remote_objects.iter();
            let new: Vec<RemoteObject> = new
                .filter(|remote_object| !self.remote_objects.contains(remote_object))
                .cloned()
                .collect();
            self.remote_objects.extend(new);
        }
        self.sent_twice |= matches!(
            (&self.state, &state),
            (ShardState::Doubt(_), ShardState::Staged(_))
        );
        if let Some(cost) = &mut self.cost {
            cost.follow(&self.state, &state);
        }
        match &state {
            ShardState::Posting(intent) | ShardState::Doubt(intent) => {
                (self.proof, self.doubted) = (None, Some(intent.clone()));
            }
            ShardState::Created { proof, .. } => {
                self.proof = Some(proof.clone());
                // A presumed batch may turn out to belong to another shard or client.
                self.doubted = self
                    .doubted
                    .filter(|_| proof.certainty == Certainty::Presumed);
            }
            // An abandoned create may have made a batch nevertheless.
            ShardState::Ended(_) | ShardState::Closed(Closed::Abandoned { .. }) => {}
            ShardState::Sealed { segments, .. } => {
                self.prove(segments);
                self.doubted = None;
            }
            _ => (self.proof, self.doubted) = (None, None),
        }
        self.progress = Progress::default();
        self.state = state;
        self
    }
}

/// Acknowledgement of a create that arrived after the shard had moved on: evidence of a batch, stored apart
/// from the shard's record.
///
/// A worker whose create is answered after another worker took over the shard may not change the record any
/// more. It records the batch with [`Ledger::acknowledge_late`](crate::Ledger::acknowledge_late), where the
/// worker that now holds the shard finds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LateAcknowledgement {
    /// Key of the shard for which the create was sent.
    pub key: ShardKey,
    /// Batch that the create made.
    pub batch: BatchId,
    /// Evidence that the batch belongs to the shard, such as "id returned by the create".
    pub evidence: Box<str>,
    /// Time of the acknowledgement, by the clock of the worker that records it.
    #[serde(default, with = "crate::adapter::time::optional")]
    pub at: Option<SystemTime>,
}

impl LateAcknowledgement {
    /// Creates the error for an acknowledgement whose shard is not in the ledger any more. Ledgers return it.
    pub fn without_shard(&self) -> Error {
        Error::invalid_input(format!(
            "the ledger has no {}; the batch that was created for it is not recorded: find it in the provider's list of batches",
            self.key
        ))
        .with_batch(self.batch.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Cost, CreateToken};

    fn record() -> ShardRecord {
        ShardRecord {
            key: ShardKey {
                run: "r-1".into(),
                shard: 0,
            },
            label: Label::new("l"),
            class: BatchClass::new("/x", "file"),
            count: 1,
            bytes: 1,
            checksum: None,
            tables: None,
            attempt: 0,
            repair: false,
            epoch: 4,
            state: ShardState::Planned,
            progress: Progress::default(),
            proof: None,
            doubted: None,
            remote_objects: Vec::new(),
            sent_twice: false,
            cost: None,
        }
    }

    fn intent() -> Intent {
        Intent {
            label: Label::new("l"),
            class: BatchClass::new("/x", "file"),
            count: 1,
            bytes: 1,
            staged: Staged::default(),
            token: CreateToken::new("t"),
            posted_at: None,
            watermark: None,
            watermark_at: None,
            foreign_batches: Vec::new(),
        }
    }

    #[test]
    fn a_transition_keeps_the_epoch_and_unrelated_fields() {
        let before = ShardRecord {
            checksum: Some(7),
            ..record()
        };
        let after = before.clone().advanced(ShardState::Refused);
        let expected = ShardRecord {
            state: ShardState::Refused,
            ..before
        };
        assert_eq!(after, expected);
    }

    #[test]
    fn a_create_is_in_doubt_until_its_batch_is_proved_and_counts_as_sent_twice_only_after_doubt() {
        let posted = record().advanced(ShardState::Posting(intent()));
        assert_eq!(posted.doubted, Some(intent()));
        let refused_for_now = posted
            .clone()
            .advanced(ShardState::Staged(Staged::default()));
        assert!(!refused_for_now.sent_twice);
        let doubt = posted.advanced(ShardState::Doubt(intent()));
        let created = |proof| ShardState::Created {
            batch: "b".into(),
            proof,
        };
        let presumed = doubt.clone().advanced(created(Proof {
            certainty: Certainty::Presumed,
            evidence: "it fits".into(),
        }));
        assert_eq!(presumed.doubted, Some(intent()));
        let proved = doubt.clone().advanced(created(Proof::proved("its label")));
        assert_eq!(proved.doubted, None);
        let again = doubt.advanced(ShardState::Staged(Staged::default()));
        assert!(again.sent_twice);
    }

    #[test]
    fn a_reservation_ends_with_a_refusal_and_stays_with_a_create_that_may_have_been_accepted() {
        let picodollars = Cost::from_picodollars;
        let cost = |reserved, doubts: &[u128]| ShardCost {
            reserved: picodollars(reserved),
            doubts: doubts.iter().copied().map(picodollars).collect(),
            settled: None,
            prices_as_of: "2026-11-26".into(),
        };
        let staged = || ShardState::Staged(Staged::default());
        let posting = || ShardState::Posting(intent());
        let doubt = || ShardState::Doubt(intent());
        let created = || ShardState::Created {
            batch: "b".into(),
            proof: Proof::proved("its label"),
        };
        let abandoned = || {
            ShardState::Closed(Closed::Abandoned {
                message: "m".into(),
            })
        };
        for (from, to, expected) in [
            (staged(), posting(), cost(5, &[2])),
            (staged(), created(), cost(2, &[])),
            (doubt(), created(), cost(5, &[2])),
            (posting(), staged(), cost(0, &[2])),
            (posting(), ShardState::Refused, cost(0, &[2])),
            (posting(), doubt(), cost(5, &[2])),
            (doubt(), staged(), cost(0, &[2, 5])),
            (doubt(), abandoned(), cost(5, &[2])),
            (
                doubt(),
                ShardState::Closed(Closed::Cancelled),
                cost(5, &[2]),
            ),
        ] {
            let before = ShardRecord {
                state: from,
                cost: Some(cost(5, &[2])),
                ..record()
            };
            let shown = format!("{:?} to {to:?}", before.state);
            assert_eq!(before.advanced(to).cost, Some(expected), "{shown}");
        }
        let settled = ShardCost {
            settled: Some(picodollars(3)),
            ..cost(5, &[2])
        };
        assert_eq!(settled.upper_bound(), picodollars(5));
        assert_eq!(cost(5, &[2, 4]).upper_bound(), picodollars(11));
    }

    #[test]
    fn the_batch_is_known_once_it_is_created() {
        let snapshot = BatchSnapshot::new("b".into(), BatchStatus::Completed);
        for (state, known) in [
            (ShardState::Planned, false),
            (ShardState::Staged(Staged::default()), false),
            (ShardState::Posting(intent()), false),
            (ShardState::Doubt(intent()), false),
            (ShardState::Refused, false),
            (
                ShardState::Created {
                    batch: "b".into(),
                    proof: Proof::proved("its label"),
                },
                true,
            ),
            (ShardState::Ended(snapshot.clone()), true),
            (
                ShardState::Sealed {
                    snapshot,
                    segments: Vec::new(),
                    locations: None,
                    undelivered: 0,
                },
                true,
            ),
        ] {
            let batch = known.then(|| BatchId::new("b"));
            assert_eq!(state.batch(), batch.as_ref(), "{state:?}");
        }
    }
}
