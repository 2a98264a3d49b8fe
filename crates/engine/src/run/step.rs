//! What is due next for a shard. Pure: the record and a few facts in, a step out.

use std::time::Duration;

use lmbatch_core::{Certainty, Error, SearchPhase, ShardRecord, ShardState};

use crate::policy::StepLimits;

/// One exchange with the provider, or one local piece of work, on one shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Uploads what the create needs. Free, and repeatable.
    Stage,
    /// Looks at the newest batches, from which a search for the create would start.
    Mark,
    /// Creates the batch: the only step that can cost money.
    Post,
    /// Notes that a create was sent by a process that ended, and that its fate is unknown.
    Suspect,
    /// Looks for the batch of a create whose fate is unknown.
    Look,
    /// Sends the create again under its token: it is the same create.
    Repeat,
    /// Deletes the input of a create, so that it fails if it is still under way.
    Fence,
    /// Closes the shard of a cancelled run that has no batch.
    CallOff,
    /// Asks the provider to cancel the batch.
    Cancel,
    /// Asks where the batch stands.
    Poll,
    /// Reads the results.
    Fetch,
    /// Nothing is due any more.
    Done,
}

/// Kinds of steps that have limits of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Upload,
    Create,
    Poll,
    Fetch,
    /// Work on this machine.
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
            Self::Mark | Self::Post | Self::Repeat => Kind::Create,
            Self::Look | Self::Fence | Self::Cancel | Self::Poll => Kind::Poll,
            Self::Fetch => Kind::Fetch,
            Self::Suspect | Self::CallOff | Self::Done => Kind::Local,
        }
    }

    /// Whether it leads to a new create: not done once something has failed that no waiting cures.
    pub(crate) fn leads_to_a_create(self) -> bool {
        matches!(self, Self::Stage | Self::Mark | Self::Post)
    }
}

/// When a shard is due again.
#[derive(Debug)]
pub(crate) enum Next {
    /// Nothing is left to do.
    Done,
    /// After a time.
    In(Duration),
    /// After a time in which the provider wants no call of this account at all.
    Pause(Duration),
    /// After a time, of which the provider wants no poll of this account for as long as `polls`.
    PausePolls {
        /// Time until the shard is due.
        own: Duration,
        /// Time for which nothing is polled.
        polls: Duration,
    },
    /// When the provider has room for it: when another batch of the account has ended, or after a while.
    ForQuota(Error),
    /// Nothing more is done for it until the run is resumed.
    Stuck(Error),
}

impl Next {
    pub(crate) const NOW: Self = Self::In(Duration::ZERO);
}

/// What decides beside the record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Whether the newest batches were looked at for this create.
    pub(crate) marked: bool,
    /// Whether the create can be repeated under its token.
    pub(crate) repeats: bool,
    /// Whether the run is cancelled.
    pub(crate) cancelled: bool,
    /// Whether the provider was asked to cancel the batch.
    pub(crate) asked_to_cancel: bool,
}

/// Returns the step that is due next for a shard.
pub(crate) fn next(shard: &ShardRecord, facts: Facts) -> Step {
    let search = shard.progress.search.as_ref();
    match &shard.state {
        ShardState::Planned | ShardState::Staged(_) | ShardState::Refused if facts.cancelled => {
            Step::CallOff
        }
        ShardState::Staged(staged) if staged.ready => match facts.marked {
            true => Step::Post,
            false => Step::Mark,
        },
        ShardState::Planned | ShardState::Staged(_) | ShardState::Refused => Step::Stage,
        ShardState::Posting(_) => Step::Suspect,
        ShardState::Doubt(_) => match search.map(|search| search.phase).unwrap_or_default() {
            SearchPhase::Absent if facts.cancelled => Step::CallOff,
            SearchPhase::Absent => Step::Stage,
            SearchPhase::Fencing => Step::Fence,
            _ if facts.repeats && !search.is_some_and(|search| search.exists) => Step::Repeat,
            _ => Step::Look,
        },
        ShardState::Created { proof, .. } => {
            // A batch that is only presumed may be someone else's.
            let is_ours = proof.certainty != Certainty::Presumed;
            match facts.cancelled && is_ours && !facts.asked_to_cancel {
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
            epoch: 0,
            state,
            progress: Progress {
                search,
                late_results: 0,
            },
            proof: None,
            doubted: None,
            remnants: Vec::new(),
            sent_twice: false,
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
            strangers: Vec::new(),
        }
    }

    #[test]
    fn the_record_and_a_few_facts_say_what_is_due() {
        use SearchPhase::{Absent, Fenced, Fencing, Held, Looking};
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
        let marked = Facts {
            marked: true,
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
            exists: true,
            ..Search::default()
        });
        for (state, search, facts, step) in [
            (ShardState::Planned, None, none, Step::Stage),
            (ShardState::Refused, None, none, Step::Stage),
            (half(), None, none, Step::Stage),
            (staged(), None, none, Step::Mark),
            (staged(), None, marked, Step::Post),
            (ShardState::Planned, None, cancelled, Step::CallOff),
            (staged(), None, cancelled, Step::CallOff),
            (ShardState::Posting(intent()), None, none, Step::Suspect),
            // A cancelled run still looks for what may have been created.
            (
                ShardState::Posting(intent()),
                None,
                cancelled,
                Step::Suspect,
            ),
            (doubt(), None, none, Step::Look),
            (doubt(), search(Looking), cancelled, Step::Look),
            (doubt(), search(Held), none, Step::Look),
            (doubt(), search(Looking), repeats, Step::Repeat),
            // What the provider calls existing is looked for, and not sent again.
            (doubt(), exists, repeats, Step::Look),
            (doubt(), search(Fencing), none, Step::Fence),
            (doubt(), search(Fenced), none, Step::Look),
            (doubt(), search(Absent), none, Step::Stage),
            (doubt(), search(Absent), cancelled, Step::CallOff),
            (created(Certainty::Proved), None, none, Step::Poll),
            (created(Certainty::Proved), None, cancelled, Step::Cancel),
            (created(Certainty::Proved), None, asked, Step::Poll),
            // It may be someone else's.
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
