//! Records of shards: their state, its transitions, and acknowledgements that came too late to be a transition.

use std::fmt;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::{
    BatchClass, BatchId, BatchSnapshot, BatchStatus, Certainty, Error, Intent, Label, Progress,
    Proof, Remnant, ResultPart, Staged,
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

/// State of a shard. It only moves forward, one transition at a time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ShardState {
    /// The shard is planned; nothing was sent.
    Planned,
    /// The provider holds what the create needs.
    Staged(Staged),
    /// The create request may have been sent. After a crash this state is handled like
    /// [`Doubt`](Self::Doubt).
    Posting(Intent),
    /// A create was sent, and its outcome is unknown.
    Doubt(Intent),
    /// The provider refused the create for good.
    Refused,
    /// The batch exists.
    Created {
        /// Id of the batch.
        batch: BatchId,
        /// Evidence that the batch belongs to the shard.
        proof: Proof,
    },
    /// The batch has ended.
    Ended(BatchSnapshot),
    /// There is no batch of the shard, and none will be created.
    Closed(Closed),
    /// The results are stored, complete and synced.
    Sealed {
        /// Status and counts with which the batch ended.
        snapshot: BatchSnapshot,
        /// Stored parts of the results.
        segments: Vec<Segment>,
        /// Table of the place of each request's row, made from the segments; `None` where there is none yet.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        locations: Option<Locations>,
        /// Number of requests that ended by the provider's counts and that no row names. They may have been
        /// paid for, and are sent again only where the caller asks for it.
        #[serde(default)]
        undelivered: u64,
    },
}

impl ShardState {
    /// Returns the batch of the states in which one is known: created, ended and sealed.
    pub fn batch(&self) -> Option<&BatchId> {
        match self {
            Self::Created { batch, .. } => Some(batch),
            Self::Ended(snapshot) | Self::Sealed { snapshot, .. } => Some(&snapshot.id),
            _ => None,
        }
    }

    /// Returns whether nothing more is to be done for the shard.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Sealed { .. } | Self::Closed(_))
    }
}

/// Why a shard has no batch, and gets none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Closed {
    /// The run was cancelled before its create.
    Cancelled,
    /// The fate of its create stayed unknown, and the caller gave it up. There may be a batch after all.
    Abandoned {
        /// Error of the create, in one line.
        message: Box<str>,
    },
}

/// Table of the places of a shard's rows, by the place of each request in the shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Locations {
    /// The spool's name for it.
    pub name: Box<str>,
    /// CRC-32 of its bytes.
    pub checksum: u32,
}

/// Tables that belong to a shard beside its body, and the ordinals of its requests. An ordinal is the number of a
/// request in its run, from 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardTables {
    /// Table of the rows of the body: 24 bytes for each request, in the order of the body.
    pub rows: StoredTable,
    /// Ids, metadata and schemas of the requests.
    pub echo: StoredTable,
    /// Lowest ordinal of its requests.
    pub first: u32,
    /// Highest ordinal of its requests.
    pub last: u32,
    /// Whether ordinals do not ascend in the order of the body. Only shards that an earlier version wrote have
    /// another order.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unordered: bool,
}

/// File of the spool that holds a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredTable {
    /// Name of the file in the spool.
    pub name: Box<str>,
    /// Size in bytes.
    pub bytes: u64,
    /// CRC-32 of its bytes.
    pub checksum: u32,
}

/// One part of the results, as it lies in the spool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// Part of the results at the provider.
    pub part: ResultPart,
    /// Name of the file in the spool.
    pub name: Box<str>,
    /// Size in bytes.
    pub bytes: u64,
    /// Number of rows.
    pub rows: u64,
    /// CRC-32 of its bytes; `None` in records of earlier versions.
    #[serde(default)]
    pub checksum: Option<u32>,
}

/// Record of one shard in the ledger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShardRecord {
    /// Key of the shard.
    pub key: ShardKey,
    /// Label that lmbatch attaches to the batch.
    pub label: Label,
    /// Class that its requests share.
    pub class: BatchClass,
    /// Number of requests.
    pub count: u32,
    /// Size of their rows in bytes.
    pub bytes: u64,
    /// CRC-32 of their rows; `None` in records of earlier versions.
    #[serde(default)]
    pub checksum: Option<u32>,
    /// Tables beside its rows; `None` in records of earlier versions, which kept tables of a run as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tables: Option<ShardTables>,
    /// Attempt of its requests, from 0.
    pub attempt: u32,
    /// Number of changes of this record, counted by the ledger. A change bears the epoch that was read, and
    /// is applied only where the ledger still has it.
    pub epoch: u64,
    /// Current state.
    pub state: ShardState,
    /// What a step remembers until it is called again.
    #[serde(default, skip_serializing_if = "Progress::is_empty")]
    pub progress: Progress,
    /// Evidence that the batch belongs to the shard, once there is a batch.
    #[serde(default)]
    pub proof: Option<Proof>,
    /// The create that is not known to have made the batch, as long as that is open.
    #[serde(default)]
    pub doubted: Option<Intent>,
    /// Uploads for the shard, which stay at the provider until they are discarded.
    #[serde(default)]
    pub remnants: Vec<Remnant>,
    /// Whether a create was sent again after one whose outcome stayed unknown: there may be two batches.
    #[serde(default)]
    pub sent_twice: bool,
}

impl ShardRecord {
    /// Makes a presumed batch a proved one where rows of it were sealed.
    fn prove(&mut self, segments: &[Segment]) {
        let presumed = |proof: &Proof| proof.certainty == Certainty::Presumed;
        if self.proof.as_ref().is_some_and(presumed)
            && segments.iter().any(|segment| segment.rows > 0)
        {
            self.proof = Some(Proof::proved("its results carry our ids"));
        }
    }

    /// Returns the record as this version writes it: earlier ones noted a shard without a batch as sealed under
    /// a batch that is called "none".
    pub fn of_earlier_version(mut self) -> Self {
        if let ShardState::Sealed { snapshot, .. } = &self.state
            && snapshot.id.as_str() == "none"
        {
            let told = snapshot.problems.first();
            let message = told.and_then(|problem| problem.error.message());
            self.state = ShardState::Closed(match snapshot.status {
                BatchStatus::Cancelled => Closed::Cancelled,
                _ => Closed::Abandoned {
                    message: message.unwrap_or("abandoned").into(),
                },
            });
        }
        self
    }

    /// Returns the record after a transition to `state`, with all that follows from it. The epoch stays: the
    /// ledger counts it when the record is [applied](crate::Ledger::advance).
    pub fn advanced(mut self, state: ShardState) -> Self {
        if let ShardState::Staged(staged) = &state {
            let new = staged.remnants.iter();
            let new: Vec<Remnant> = new
                .filter(|remnant| !self.remnants.contains(remnant))
                .cloned()
                .collect();
            self.remnants.extend(new);
        }
        self.sent_twice |= matches!(
            (&self.state, &state),
            (ShardState::Doubt(_), ShardState::Staged(_))
        );
        match &state {
            ShardState::Posting(intent) | ShardState::Doubt(intent) => {
                (self.proof, self.doubted) = (None, Some(intent.clone()));
            }
            ShardState::Created { proof, .. } => {
                self.proof = Some(proof.clone());
                // A presumed batch may turn out to be another's.
                self.doubted = self
                    .doubted
                    .filter(|_| proof.certainty == Certainty::Presumed);
            }
            // A create that was given up may have made a batch after all.
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

/// Answer to a create that came after the shard had moved on: evidence of a batch, kept beside the record.
///
/// A worker whose create is answered after another worker took the shard over may not write the record any
/// more. It notes the batch with [`Ledger::acknowledge_late`](crate::Ledger::acknowledge_late), and the
/// worker that holds the shard reads it there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LateAcknowledgement {
    /// Key of the shard that the create was sent for.
    pub key: ShardKey,
    /// Batch that the create made.
    pub batch: BatchId,
    /// Evidence that the batch belongs to the shard, such as "its create was answered".
    pub evidence: Box<str>,
    /// Time of the acknowledgement, by the clock of the worker that notes it.
    #[serde(default, with = "crate::adapter::time::optional")]
    pub at: Option<SystemTime>,
}

impl LateAcknowledgement {
    /// Returns the error of an acknowledgement whose shard is not in the ledger any more. Ledgers return it.
    pub fn without_shard(&self) -> Error {
        Error::invalid_input(format!(
            "the ledger has no {}, and the batch that was created for it is not recorded: look for it at the provider",
            self.key
        ))
        .with_batch(self.batch.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CreateToken;

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
            epoch: 4,
            state: ShardState::Planned,
            progress: Progress::default(),
            proof: None,
            doubted: None,
            remnants: Vec::new(),
            sent_twice: false,
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
            strangers: Vec::new(),
        }
    }

    #[test]
    fn a_transition_keeps_the_epoch_and_what_it_does_not_speak_of() {
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
    fn a_create_is_doubted_until_its_batch_is_proved_and_sent_twice_after_a_doubt_alone() {
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
    fn the_batch_is_known_from_created_on() {
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
