//! Kinds of providers and runs for the interleaved drivers, with the number of their schedules that
//! fail today.

use std::time::Duration;

use lmbatch_core::CreateProof;
use lmbatch_engine::OnDoubt;
use lmbatch_testing::AccountRules;

/// Provider, treatment of doubtful creates, and run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) rules: AccountRules,
    pub(crate) on_doubt: OnDoubt,
    pub(crate) requests: usize,
    /// True if another program creates a batch with the same number of requests while W is stopped.
    pub(crate) neighbour: bool,
    /// True if the record is durable: creates are also recorded in files beside the ledger.
    pub(crate) recorded: bool,
    /// True if the run is cancelled while W is stopped.
    pub(crate) cancelled: bool,
    /// True if the run has a cost limit, which each create reserves a part of.
    pub(crate) limited: bool,
    pub(crate) rule_broken: Option<Broken>,
}

/// Rule of the create protocol that is broken on purpose, to show that the checks notice it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    /// The ledger accepts a transition from any epoch.
    EpochIgnored,
    /// The ledger does not record that a create is about to be sent.
    PostingNotRecorded,
    /// The ledger drops acknowledgements that arrive late.
    LateDropped,
}

/// Maximum number of requests in a batch: runs have three requests, or five in batches of three and
/// two.
pub(crate) const MOST: u32 = 3;
pub(crate) const ONE: usize = 3;
pub(crate) const TWO: usize = 5;

pub(crate) const fn kind(name: &'static str, create: CreateProof, requests: usize) -> Kind {
    Kind {
        name,
        rules: AccountRules {
            create,
            uploads: false,
            checks_uploads: true,
            checks_later: None,
            list_lag: Duration::ZERO,
            max_requests: MOST,
        },
        on_doubt: OnDoubt::Hold,
        requests,
        neighbour: false,
        recorded: false,
        cancelled: false,
        limited: false,
        rule_broken: None,
    }
}

impl Kind {
    pub(crate) const fn fenced(mut self) -> Self {
        self.rules.uploads = true;
        self
    }
    pub(crate) const fn resubmitting(mut self) -> Self {
        self.on_doubt = OnDoubt::Resubmit;
        self
    }
    /// Makes lists show a batch only after every search has ended.
    pub(crate) const fn lagging(mut self) -> Self {
        self.rules.list_lag = Duration::from_secs(3600);
        self
    }
    pub(crate) const fn beside_another_program(mut self) -> Self {
        self.neighbour = true;
        self
    }
    /// Makes the provider accept creates at once, and read their inputs a minute later.
    pub(crate) const fn checking_later(mut self) -> Self {
        self.rules.checks_later = Some(Duration::from_secs(60));
        self
    }
    pub(crate) const fn recorded(mut self) -> Self {
        self.recorded = true;
        self
    }
    /// Cancels the run while W is stopped. Only a durable record tells another driver of it.
    pub(crate) const fn cancelled(mut self) -> Self {
        self.cancelled = true;
        self.recorded()
    }
    pub(crate) const fn limited(mut self) -> Self {
        self.limited = true;
        self
    }
    pub(crate) const fn broken(mut self, rule: Broken) -> Self {
        self.rule_broken = Some(rule);
        self
    }

    /// Returns whether the run finishes in every schedule, rather than being held for an operator
    /// to decide.
    pub(crate) fn must_finish(self, fate: Fate) -> bool {
        let can_repeat = self.rules.uploads || self.rules.create == TOKEN;
        let is_seen = self.rules.list_lag.is_zero() && !self.neighbour;
        let resubmits = self.on_doubt == OnDoubt::Resubmit;
        match self.rules.create {
            _ if can_repeat || self.cancelled => true,
            _ if !is_seen => false,
            CreateProof::Labelled if resubmits => true,
            // Both creates match by their number of requests.
            _ if resubmits => false,
            _ => fate != Fate::LostNotAccepted,
        }
    }
}

/// Fate of the first create of W.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Answered,
    LostAccepted,
    LostNotAccepted,
}

pub(crate) const FATES: [Fate; 3] = [Fate::Answered, Fate::LostAccepted, Fate::LostNotAccepted];

impl Fate {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::LostAccepted => "lost, accepted",
            Self::LostNotAccepted => "lost, not accepted",
        }
    }
}

pub(crate) const LABELLED: CreateProof = CreateProof::Labelled;
pub(crate) const UNLABELLED: CreateProof = CreateProof::CountAndTime;
pub(crate) const TOKEN: CreateProof = CreateProof::Token;

/// Kinds, each with the number of schedules in which the record does not show an accepted batch, by
/// the fate of the create of W: answered; response lost, accepted; response lost, not accepted.
///
/// Every number is zero: if a create is answered after its driver has lost the shard to a driver
/// that searches for it, the acknowledgement is recorded late.
pub(crate) const KINDS: [(Kind, [usize; FATES.len()]); 22] = [
    (kind("labelled, one shard", LABELLED, ONE), [0, 0, 0]),
    (kind("labelled, two shards", LABELLED, TWO), [0, 0, 0]),
    (kind("fenced, one shard", LABELLED, ONE).fenced(), [0, 0, 0]),
    (
        kind("fenced, two shards", LABELLED, TWO).fenced(),
        [0, 0, 0],
    ),
    (kind("unlabelled, one shard", UNLABELLED, ONE), [0, 0, 0]),
    (kind("unlabelled, two shards", UNLABELLED, TWO), [0, 0, 0]),
    (kind("token, one shard", TOKEN, ONE), [0, 0, 0]),
    (kind("token, two shards", TOKEN, TWO), [0, 0, 0]),
    (
        kind("labelled, resubmitted", LABELLED, ONE).resubmitting(),
        [0, 0, 0],
    ),
    (
        kind("unlabelled, resubmitted", UNLABELLED, ONE).resubmitting(),
        [0, 0, 0],
    ),
    (
        kind("labelled, list lags", LABELLED, ONE).lagging(),
        [0, 0, 0],
    ),
    (
        kind("unlabelled, list lags", UNLABELLED, ONE).lagging(),
        [0, 0, 0],
    ),
    (
        kind("unlabelled, another program", UNLABELLED, ONE).beside_another_program(),
        [0, 0, 0],
    ),
    (
        kind("fenced, checked later", LABELLED, ONE)
            .fenced()
            .checking_later(),
        [0, 0, 0],
    ),
    (
        kind("recorded, fenced", LABELLED, ONE)
            .fenced()
            .checking_later()
            .recorded(),
        [0, 0, 0],
    ),
    (
        kind("recorded, unlabelled, resubmitted", UNLABELLED, ONE)
            .resubmitting()
            .recorded(),
        [0, 0, 0],
    ),
    (kind("recorded, token", TOKEN, ONE).recorded(), [0, 0, 0]),
    (
        kind("cancelled, labelled", LABELLED, ONE).cancelled(),
        [0, 0, 0],
    ),
    (
        kind("cancelled, fenced", LABELLED, ONE)
            .fenced()
            .checking_later()
            .cancelled(),
        [0, 0, 0],
    ),
    (
        kind("cancelled, unlabelled, resubmitted", UNLABELLED, ONE)
            .resubmitting()
            .cancelled(),
        [0, 0, 0],
    ),
    (kind("cancelled, token", TOKEN, ONE).cancelled(), [0, 0, 0]),
    (
        kind("limited, fenced", LABELLED, ONE).fenced().limited(),
        [0, 0, 0],
    ),
];
