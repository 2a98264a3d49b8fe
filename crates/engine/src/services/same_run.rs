//! The same-run rule, by which library and command decide whether a call continues a recorded run, changes one, or
//! sends new requests.

use std::collections::BTreeMap;

use lmbatch_core::{AccountMatch, Error, Result, RunFilter, RunRecord};

use crate::context::Context;
use crate::policy::RunOptions;
use crate::run::account::elsewhere;
use crate::services::progress::{AnswerCount, is_refused};

/// Treatment of a recorded run with the requests, name or files of a new call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnKnownRun {
    /// Continues a run with equal requests, and refuses one with other requests.
    #[default]
    Continue,
    /// Continues a run with equal requests, and brings one with other requests up to date.
    Update,
    /// Sends the requests again in a new run.
    SendAgain,
}

/// Facts about a call, for its comparison with recorded runs.
#[derive(Debug, Clone, Copy)]
pub struct RunQuery<'a> {
    /// Name of the run, if the call gives one.
    pub name: Option<&'a str>,
    /// Digest of the requests: [`Plan::digest`](crate::Plan::digest).
    pub digest: &'a str,
    /// Notes `input` and `output` of the call. An unnamed run with equal notes is an earlier version of the call.
    pub files: Option<(&'a str, &'a str)>,
    /// Notes of the call. An unnamed run whose notes `input_file`, `model`, `route` and [`REQUEST_SETTINGS`] are equal
    /// to them is an earlier version of the call as well, with any output.
    pub notes: Option<&'a BTreeMap<Box<str>, Box<str>>>,
    /// Treatment of a recorded run that matches the call.
    pub on_known: OnKnownRun,
}

/// Name of the note that holds the canonical path of the input.
pub const INPUT_FILE: &str = "input_file";

/// Name of the note that holds the settings which shape what is sent. Settings that only choose rows or columns are
/// not among them.
pub const REQUEST_SETTINGS: &str = "request_settings";

/// Notes that differ between two runs that were meant to be different, apart from their input and
/// [`REQUEST_SETTINGS`].
const SETTINGS_NOTES: [&str; 2] = ["model", "route"];

/// Result of comparing a call with recorded runs.
#[derive(Debug, Clone, PartialEq)]
pub enum SameRun {
    /// No recorded run is the run of the call.
    New {
        /// Earlier versions of the call of which the provider refused every create; the new run replaces them.
        superseded: Vec<RunRecord>,
        /// Run that has, or may have, answers to requests for which the new run pays again: a run with equal
        /// requests, under another name or cancelled, or else a named run of another version of the input, where the
        /// call has no name.
        duplicate: Option<Box<RunRecord>>,
    },
    /// The recorded run is continued; nothing is sent twice.
    Same(Box<RunRecord>),
    /// The recorded run is a pilot of the requests: it holds the first of them. An update adds the others.
    Pilot(Box<RunRecord>),
    /// The recorded run has other requests, and is to be updated.
    Changed {
        /// The run to update.
        run: Box<RunRecord>,
        /// Earlier versions of the call of which the provider refused every create.
        superseded: Vec<RunRecord>,
    },
    /// A recorded run conflicts with the call.
    Conflict(RunConflict),
}

impl SameRun {
    /// Returns the result for a run with equal requests, or with the first of them.
    fn of_equal(run: Box<RunRecord>) -> Self {
        match run.pilot_of {
            Some(_) => Self::Pilot(run),
            None => Self::Same(run),
        }
    }
}

/// Conflict of a call with a recorded run.
#[derive(Debug, Clone, PartialEq)]
pub enum RunConflict {
    /// A new run was requested under a name that a recorded run has.
    NameTaken(Box<RunRecord>),
    /// The recorded run of the name was cancelled.
    Cancelled(Box<RunRecord>),
    /// The recorded run of the name was created under another account.
    OtherAccount {
        /// The recorded run.
        run: Box<RunRecord>,
        /// True if the provider refused every create of the run.
        is_refused: bool,
    },
    /// The recorded run of the name has other requests.
    OtherRequests {
        /// The recorded run.
        run: Box<RunRecord>,
        /// True if the provider refused every create of the run. Such a run is not updated, since its batches would
        /// be created in addition to the new ones.
        is_refused: bool,
    },
    /// The recorded unnamed run of the same files has other requests.
    ChangedInput(Box<RunRecord>),
    /// An update was requested, and no earlier run is recorded.
    NothingToUpdate,
}

impl RunConflict {
    /// Returns the conflict of a named run as an error of the library.
    pub(crate) fn into_error(self) -> Error {
        let named = |run: &RunRecord| {
            format!(
                "the run {:?} ({})",
                run.name.as_deref().unwrap_or_default(),
                run.id
            )
        };
        Error::invalid_input(match self {
            Self::OtherAccount { run, .. } => return elsewhere(&run.id),
            Self::NameTaken(run) => format!("{} exists already; nothing was sent", named(&run)),
            Self::Cancelled(run) => format!(
                "{} is cancelled; nothing was sent; ask for it without requests to fetch its outcomes, or send the requests under another name",
                named(&run)
            ),
            Self::OtherRequests {
                run,
                is_refused: true,
            } => format!(
                "{} is of other requests, and the provider refused to create its batches; nothing was sent; use another name",
                named(&run)
            ),
            Self::OtherRequests { run, .. } => {
                format!("{} is of other requests; nothing was sent", named(&run))
            }
            Self::ChangedInput(run) => format!(
                "the run {} was made from the same files with other requests; nothing was sent",
                run.id
            ),
            Self::NothingToUpdate => "there is no earlier run to update".to_owned(),
        })
    }
}

/// Compares a call with the run of its name. `is_refused` is true if the provider refused every create of the run.
fn compare_named(
    run: RunRecord,
    query: &RunQuery<'_>,
    account: AccountMatch,
    is_refused: bool,
) -> SameRun {
    let run = Box::new(run);
    let is_other = account == AccountMatch::Other;
    let is_equal = *run.digest == *query.digest;
    SameRun::Conflict(match query.on_known {
        OnKnownRun::SendAgain => RunConflict::NameTaken(run),
        _ if run.cancelled => RunConflict::Cancelled(run),
        _ if is_other => RunConflict::OtherAccount { run, is_refused },
        _ if is_equal => return SameRun::of_equal(run),
        OnKnownRun::Update if !is_refused => {
            return SameRun::Changed {
                run,
                superseded: Vec::new(),
            };
        }
        _ => RunConflict::OtherRequests { run, is_refused },
    })
}

impl RunQuery<'_> {
    /// Returns whether an unnamed run was started by the same call, judged by its files.
    fn is_earlier(&self, run: &RunRecord) -> bool {
        let note = |name: &str| run.notes.get(name).map(|text| &**text);
        run.name.is_none()
            && !run.cancelled
            && self.files.is_some_and(|(input, output)| {
                input != "-" && note("input") == Some(input) && note("output") == Some(output)
            })
    }

    /// Returns whether a run was started with another version of the same input file, with the same model and settings
    /// of its requests. Another model or other settings make another run, since they are compared on the same input.
    fn has_equal_input(&self, run: &RunRecord) -> bool {
        let Some(notes) = self.notes else {
            return false;
        };
        let is_equal = |name: &str| notes.get(name) == run.notes.get(name);
        // Runs of earlier versions have only all of their settings.
        let settings = match run.notes.contains_key(REQUEST_SETTINGS) {
            true => REQUEST_SETTINGS,
            false => "settings",
        };
        !run.cancelled
            && notes.contains_key(INPUT_FILE)
            && is_equal(INPUT_FILE)
            && is_equal(settings)
            && SETTINGS_NOTES.iter().all(|name| is_equal(name))
    }

    /// Returns whether a new run would pay again for the requests of this run.
    fn is_duplicate(&self, run: &RunRecord) -> bool {
        self.on_known != OnKnownRun::SendAgain
            && (run.cancelled || run.name.as_deref() != self.name)
    }
}

impl Context {
    /// Compares a call with every recorded run that may be the run of the call.
    pub(crate) async fn same_run(&self, query: &RunQuery<'_>) -> Result<SameRun> {
        if let Some(name) = query.name
            && let Some(run) = self.ledger.run_named(name).await?
        {
            return self.same_named(run, query).await;
        }
        let of_digest = RunFilter {
            digest: Some(query.digest.into()),
            ..RunFilter::default()
        };
        let equal = self.ledger.all_runs(of_digest).await?;
        let is_unnamed = query.name.is_none();
        let is_same =
            |run: &&RunRecord| run.name.is_none() && !run.cancelled && !self.is_other(run);
        if is_unnamed
            && query.on_known != OnKnownRun::SendAgain
            && let Some(run) = equal.iter().find(is_same)
        {
            return Ok(SameRun::of_equal(run.clone().into()));
        }
        let (mut earlier, mut superseded) = (None, Vec::new());
        if is_unnamed && let Some((_, output)) = query.files {
            let of_output = RunFilter {
                output: Some(output.into()),
                ..RunFilter::default()
            };
            let runs = self.ledger.all_runs(of_output).await?.into_iter();
            for run in runs.filter(|run| query.is_earlier(run) && !self.is_other(run)) {
                match self.is_refused(&run).await? {
                    true => superseded.push(run),
                    false => earlier = earlier.or(Some(Box::new(run))),
                }
            }
        }
        if is_unnamed && earlier.is_none() && query.on_known != OnKnownRun::SendAgain {
            earlier = self.earlier_of_input(query, false).await?;
        }
        Ok(match (earlier, query.on_known) {
            (Some(run), OnKnownRun::Update) => SameRun::Changed { run, superseded },
            (Some(run), OnKnownRun::Continue) => SameRun::Conflict(RunConflict::ChangedInput(run)),
            (None, OnKnownRun::Update) if is_unnamed && superseded.is_empty() => {
                SameRun::Conflict(RunConflict::NothingToUpdate)
            }
            _ => {
                let mut duplicate = self.duplicate(query, equal).await?;
                if is_unnamed && duplicate.is_none() && query.on_known != OnKnownRun::SendAgain {
                    duplicate = self.earlier_of_input(query, true).await?;
                }
                SameRun::New {
                    superseded,
                    duplicate,
                }
            }
        })
    }

    /// Returns the newest run, with or without a name, of an earlier version of the call's input, with any output.
    async fn earlier_of_input(
        &self,
        query: &RunQuery<'_>,
        is_named: bool,
    ) -> Result<Option<Box<RunRecord>>> {
        if query
            .notes
            .is_none_or(|notes| !notes.contains_key(INPUT_FILE))
        {
            return Ok(None);
        }
        for run in self.ledger.all_runs(RunFilter::default()).await? {
            if run.name.is_some() == is_named
                && query.has_equal_input(&run)
                && !self.is_other(&run)
                && !self.is_refused(&run).await?
            {
                return Ok(Some(run.into()));
            }
        }
        Ok(None)
    }

    /// Compares a call with the run of its name.
    pub(crate) async fn same_named(&self, run: RunRecord, query: &RunQuery<'_>) -> Result<SameRun> {
        let is_refused = self.is_refused(&run).await?;
        let account = self.account_match(&run);
        Ok(compare_named(run, query, account, is_refused))
    }

    /// Returns the newest run with equal requests for which a new run would pay again.
    async fn duplicate(
        &self,
        query: &RunQuery<'_>,
        equal: Vec<RunRecord>,
    ) -> Result<Option<Box<RunRecord>>> {
        for run in equal {
            if query.is_duplicate(&run)
                && !self.is_other(&run)
                && self.may_have_answers(&run).await?
            {
                return Ok(Some(run.into()));
            }
        }
        Ok(None)
    }

    /// Returns whether a run has answers, or batches that may have answers.
    async fn may_have_answers(&self, run: &RunRecord) -> Result<bool> {
        let shards = self.ledger.shards(&run.id).await?;
        Ok(match run.cancelled {
            true => AnswerCount::of(&shards) != AnswerCount::default(),
            false => !is_refused(&shards),
        })
    }

    /// Returns whether the provider refused every create of a run.
    pub(crate) async fn is_refused(&self, run: &RunRecord) -> Result<bool> {
        Ok(is_refused(&self.ledger.shards(&run.id).await?))
    }

    /// Returns whether a run was created under another account. A rotated key is not another account; the provider then
    /// reports the account of the key.
    fn is_other(&self, run: &RunRecord) -> bool {
        self.account_match(run) == AccountMatch::Other
    }

    /// Cancels and ends a run of which the provider refused every create. The context holds the claim of the run.
    pub(crate) async fn end_refused(&self, run: &str) -> Result<EndRefused> {
        let Some(run) = self.ledger.run(run).await? else {
            return Ok(EndRefused::Gone);
        };
        if !self.is_refused(&run).await? {
            return Ok(EndRefused::HasBatches);
        }
        self.cancel_run(&run).await?;
        // No batch is created for a cancelled run: its requests are recorded as cancelled, and the run ends.
        let options = RunOptions {
            once: true,
            ..RunOptions::default()
        };
        self.resume(&run, options).await?;
        Ok(EndRefused::Ended(Box::new(run)))
    }
}

/// Result of ending a run of which the provider refused every create.
#[derive(Debug, Clone, PartialEq)]
pub enum EndRefused {
    /// The run is not recorded any more.
    Gone,
    /// A batch of the run exists or may exist by now: the run was not changed.
    HasBatches,
    /// The run was cancelled and has ended. The value is its earlier record.
    Ended(Box<RunRecord>),
}

#[cfg(test)]
mod tests;
