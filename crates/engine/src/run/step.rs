//! Decides what is due next for a shard. Pure: the record and a few facts in, a step out.

use std::time::Duration;

use lmbatch_core::{Certainty, Error, SearchPhase, ShardRecord, ShardState};

use crate::policy::StepLimits;

/// Step of a shard: one exchange with the provider, or one piece of local work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Uploads what the create needs. Costs nothing and can be repeated.
    Stage,
    /// Reads the newest batches, at which a later search for the create would stop.
    Watermark,
    /// Creates the batch: the only step that can cost money.
    Post,
    /// Records that a process that ended has sent a create, so that its outcome is unknown.
    RecordDoubt,
    /// Searches for the batch of a create whose outcome is unknown.
    Search,
    /// Sends the create again under its token, which makes it the same create.
    Repeat,
    /// Deletes the input of a create, so that the create fails if it is still under way.
    Fence,
    /// Closes a shard of a cancelled run that has no batch.
    CancelUncreated,
    /// Asks the provider to cancel the batch.
    Cancel,
    /// Requests the status of the batch.
    Poll,
    /// Reads the results of the batch.
    Fetch,
    /// Nothing is due any more.
    Done,
}

/// Kinds of steps, each with a limit of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Upload,
    Create,
    Poll,
    Fetch,
    /// Local work without an exchange.
    Local,
}

/// Every kind, in the order in which steps begin.
pub(crate) const KINDS: [Kind; 5] = [
    Kind::Upload,
    Kind::Create,
    Kind::Poll,
    Kind::Fetch,
    Kind::Local,
];

impl StepLimits {
    /// Returns how many steps of a kind run at once.
    pub(crate) fn of(&self, kind: Kind) -> usize {
        let limit = match kind {
            Kind::Upload => self.uploads,
            Kind::Create => self.creates,
            Kind::Poll => self.polls,
            Kind::Fetch => self.fetches,
            Kind::Local => usize::MAX,
        };
        limit.max(1)
    }
}

impl Step {
    pub(crate) fn kind(self) -> Kind {
        match self {
            Self::Stage => Kind::Upload,
            Self::Watermark | Self::Post | Self::Repeat => Kind::Create,
            Self::Search | Self::Fence | Self::Cancel | Self::Poll => Kind::Poll,
            Self::Fetch => Kind::Fetch,
            Self::RecordDoubt | Self::CancelUncreated | Self::Done => Kind::Local,
        }
    }

    /// Returns whether the step leads to a new create. Such steps are skipped once a permanent
    /// error has occurred.
    pub(crate) fn leads_to_a_create(self) -> bool {
        matches!(self, Self::Stage | Self::Watermark | Self::Post)
    }
}

/// Time at which a shard is due again.
#[derive(Debug)]
pub(crate) enum Next {
    /// Nothing is left to do.
    Done,
    /// The shard is due after a time.
    In(Duration),
    /// The shard is due after a time in which the provider accepts no calls of this account.
    Pause(Duration),
    /// The shard is due after a time. For the time `polls` the provider accepts no polls of this
    /// account.
    PausePolls {
        /// Time until the shard is due.
        own: Duration,
        /// Time for which no batch of the account is polled.
        polls: Duration,
    },
    /// The shard is due when the provider has free quota: when another batch of the account has
    /// ended, or after a while.
    ForQuota(Error),
    /// The cost limit leaves no room for the shard. It is due when another batch of the run has
    /// ended, and may have cost less than was reserved.
    ForBudget(Error),
    /// Nothing more is done for the shard until the run is resumed.
    Held(Error),
}

impl Next {
    pub(crate) const NOW: Self = Self::In(Duration::ZERO);
}

/// Facts that decide in addition to the record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    /// True if the newest batches were read for this create.
    pub(crate) has_watermark: bool,
    /// True if the create can be repeated under its token.
    pub(crate) repeats: bool,
    /// True if the run is cancelled.
    pub(crate) cancelled: bool,
    /// True if the provider was asked to cancel the batch.
    pub(crate) asked_to_cancel: bool,
}

/// Returns the step that is due next for a shard.
pub(crate) fn next(shard: &ShardRecord, facts: Facts) -> Step {
    let search = shard.progress.search.as_ref();
    match &shard.state {
        ShardState::Planned | ShardState::Staged(_) | ShardState::Refused if facts.cancelled => {
            Step::CancelUncreated
        }
        ShardState::Staged(staged) if staged.ready => match facts.has_watermark {
            true => Step::Post,
            false => Step::Watermark,
        },
        ShardState::Planned | ShardState::Staged(_) | ShardState::Refused => Step::Stage,
        ShardState::Posting(_) => Step::RecordDoubt,
        ShardState::Doubt(_) => match search.map(|search| search.phase).unwrap_or_default() {
            SearchPhase::Absent if facts.cancelled => Step::CancelUncreated,
            SearchPhase::Absent => Step::Stage,
            SearchPhase::Fencing => Step::Fence,
            _ if facts.repeats && !search.is_some_and(|search| search.reported_existing) => {
                Step::Repeat
            }
            _ => Step::Search,
        },
        ShardState::Created { proof, .. } => {
            // A batch that is only presumed may belong to another program.
            let is_certain = proof.certainty != Certainty::Presumed;
            match facts.cancelled && is_certain && !facts.asked_to_cancel {
                true => Step::Cancel,
                false => Step::Poll,
            }
        }
        ShardState::Ended(_) => Step::Fetch,
        _ => Step::Done,
    }
}

#[cfg(test)]
mod tests {
    use lmbatch_core::{
        BatchClass, BatchId, BatchSnapshot, BatchStatus, Closed, CreateToken, Intent, Label,
        Progress, Proof, Search, ShardKey, Staged,
    };

    use super::*;

    fn record(state: ShardState, search: Option<Search>) -> ShardRecord {
        ShardRecord {
            key: ShardKey {
                run: "r".into(),
                shard: 0,
            },
            label: Label::new("l"),
            class: class(),
            count: 1,
            bytes: 1,
            checksum: None,
            tables: None,
            attempt: 0,
            repair: false,
            epoch: 0,
            state,
            progress: Progress {
                search,
                late_results: 0,
            },
            proof: None,
            doubted: None,
            remote_objects: Vec::new(),
            sent_twice: false,
            cost: None,
        }
    }

    fn class() -> BatchClass {
        BatchClass::new("e", "r")
    }

    fn intent() -> Intent {
        Intent {
            label: Label::new("l"),
            class: class(),
            count: 1,
            bytes: 1,
            staged: Staged::ready(),
            token: CreateToken::new("l"),
            posted_at: None,
            watermark: None,
            watermark_at: None,
            foreign_batches: Vec::new(),
        }
    }

    #[test]
    fn the_next_step_follows_from_the_record_and_the_facts() {
        use SearchPhase::{Absent, Fenced, Fencing, Held, Searching};
        let created = |certainty| ShardState::Created {
            batch: BatchId::new("b"),
            proof: Proof {
                certainty,
                evidence: "e".into(),
            },
        };
        let doubt = || ShardState::Doubt(intent());
        let search = |phase| {
            Some(Search {
                phase,
                ..Search::default()
            })
        };
        let none = Facts::default();
        let cancelled = Facts {
            cancelled: true,
            ..none
        };
        let seen = Facts {
            has_watermark: true,
            ..none
        };
        let repeats = Facts {
            repeats: true,
            ..none
        };
        let asked = Facts {
            asked_to_cancel: true,
            ..cancelled
        };
        let staged = || ShardState::Staged(Staged::ready());
        let half = || ShardState::Staged(Staged::default());
        let ended = ShardState::Ended(BatchSnapshot::new("b".into(), BatchStatus::Completed));
        let exists = Some(Search {
            reported_existing: true,
            ..Search::default()
        });
        for (state, search, facts, step) in [
            (ShardState::Planned, None, none, Step::Stage),
            (ShardState::Refused, None, none, Step::Stage),
            (half(), None, none, Step::Stage),
            (staged(), None, none, Step::Watermark),
            (staged(), None, seen, Step::Post),
            (ShardState::Planned, None, cancelled, Step::CancelUncreated),
            (staged(), None, cancelled, Step::CancelUncreated),
            (ShardState::Posting(intent()), None, none, Step::RecordDoubt),
            // A cancelled run still searches for a batch that may have been created.
            (
                ShardState::Posting(intent()),
                None,
                cancelled,
                Step::RecordDoubt,
            ),
            (doubt(), None, none, Step::Search),
            (doubt(), search(Searching), cancelled, Step::Search),
            (doubt(), search(Held), none, Step::Search),
            (doubt(), search(Searching), repeats, Step::Repeat),
            // A batch that exists according to the provider is searched for, and not created again.
            (doubt(), exists, repeats, Step::Search),
            (doubt(), search(Fencing), none, Step::Fence),
            (doubt(), search(Fenced), none, Step::Search),
            (doubt(), search(Absent), none, Step::Stage),
            (doubt(), search(Absent), cancelled, Step::CancelUncreated),
            (created(Certainty::Proved), None, none, Step::Poll),
            (created(Certainty::Proved), None, cancelled, Step::Cancel),
            (created(Certainty::Proved), None, asked, Step::Poll),
            // The batch may belong to another program.
            (created(Certainty::Presumed), None, cancelled, Step::Poll),
            (ended, None, cancelled, Step::Fetch),
            (
                ShardState::Closed(Closed::Cancelled),
                None,
                none,
                Step::Done,
            ),
        ] {
            let shown = format!("{state:?} {search:?} {facts:?}");
            assert_eq!(next(&record(state, search), facts), step, "{shown}");
        }
    }
}
