//! Accounts of runs and handles. After a key rotation only the provider can tell whether the
//! account is the same.

use lmbatch_core::{
    AccountId, AccountMatch, BatchHandle, BatchId, Certainty, Error, ErrorKind, Intent, KeyHint,
    Label, Result, RunRecord, ShardState, same_account,
};

use crate::context::Context;
use crate::event::Event;

/// Maximum number of batches whose status is requested to recognise an account.
const MAX_CHECKED: usize = 3;

/// Evidence at the provider about the account of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Evidence {
    /// A batch of the run, or its label, is known under the current key.
    Known,
    /// A batch whose results are not fetched yet is unknown under the current key.
    Unknown(BatchId),
    /// A create may have been accepted, but no batch with its label is listed under the current
    /// key.
    Unlisted(Label),
    /// The run has no batch that could prove the account.
    Nothing,
}

impl Context {
    pub(crate) fn account_match(&self, run: &RunRecord) -> AccountMatch {
        self.matches(&run.account, run.key_hint.as_ref())
    }

    fn matches(&self, account: &AccountId, key: Option<&KeyHint>) -> AccountMatch {
        same_account(account, key, &self.account())
    }

    /// Checks that a run belongs to the account in use, by a free call where its key has changed,
    /// and records the current key. Returns the updated record of the run.
    ///
    /// # Errors
    /// [`ErrorKind::OtherAccount`] where the run belongs to another account, or where that cannot
    /// be ruled out and a create could be paid for twice.
    pub(crate) async fn of_this_account(&self, run: &RunRecord) -> Result<RunRecord> {
        self.accepted(run, false).await
    }

    /// Checks a run as [`of_this_account`](Self::of_this_account) does, and refuses a changed key
    /// that the provider cannot confirm: a batch that is invisible under another account may still
    /// exist.
    pub(crate) async fn confirmed_account(&self, run: &RunRecord) -> Result<RunRecord> {
        self.accepted(run, true).await
    }

    async fn accepted(&self, run: &RunRecord, confirmed: bool) -> Result<RunRecord> {
        let matched = self.account_match(run);
        match matched {
            AccountMatch::Same => {}
            AccountMatch::Other => return Err(elsewhere(&run.id)),
            AccountMatch::KeyChanged | AccountMatch::Unclear => {
                let message = format!(
                    "the run {} was recorded with another key; the provider is asked whether this key is of the same account",
                    run.id
                );
                self.report(&Event::Warning { message: &message });
                match self.evidence(run).await? {
                    Evidence::Known => {}
                    Evidence::Nothing if matched == AccountMatch::KeyChanged && !confirmed => {}
                    Evidence::Nothing => return Err(unconfirmed(&run.id)),
                    Evidence::Unknown(batch) => return Err(unknown(&run.id, batch)),
                    Evidence::Unlisted(label) => return Err(unlisted(&run.id, &label)),
                }
            }
        }
        let current = self.account();
        let key = current.key_hint.or_else(|| run.key_hint.clone());
        if run.account == current.id && run.key_hint == key {
            return Ok(run.clone());
        }
        let keep = |run: &mut RunRecord| {
            run.account.clone_from(&current.id);
            run.key_hint.clone_from(&key);
            Ok(())
        };
        self.change(run, &[], keep).await
    }

    /// Requests the status of batches of the run under the current key, first of those whose
    /// results are not fetched yet.
    async fn evidence(&self, run: &RunRecord) -> Result<Evidence> {
        let (mut open, mut fetched, mut in_doubt) = (Vec::new(), Vec::new(), None);
        for shard in self.ledger.shards(&run.id).await? {
            let cleaned = run.cleaned.is_some_and(|cleaned| cleaned.batches(&shard));
            let proof = shard.proof.as_ref();
            let presumed = proof.is_some_and(|proof| proof.certainty == Certainty::Presumed);
            match shard.state {
                ShardState::Posting(intent) | ShardState::Doubt(intent) => {
                    in_doubt.get_or_insert(intent);
                }
                ShardState::Created { batch, .. } => open.push((batch, presumed)),
                ShardState::Ended(snapshot) => open.push((snapshot.id, presumed)),
                ShardState::Sealed { snapshot, .. } if !cleaned => fetched.push(snapshot.id),
                _ => {}
            }
        }
        let mut missing = None;
        for (batch, presumed) in open.into_iter().take(MAX_CHECKED) {
            match self.status(&batch).await {
                // A batch that is only presumed to belong to the run may be of any account.
                Ok(_) if presumed => {}
                Ok(_) => return Ok(Evidence::Known),
                Err(error) if error.kind() == ErrorKind::BatchNotFound => {
                    missing.get_or_insert(batch);
                }
                Err(error) => return Err(error),
            }
        }
        if let Some(batch) = missing {
            return Ok(Evidence::Unknown(batch));
        }
        // A batch whose results were fetched may have been deleted since: its absence proves
        // nothing.
        for batch in fetched.into_iter().rev().take(MAX_CHECKED) {
            match self.status(&batch).await {
                Ok(_) => return Ok(Evidence::Known),
                Err(error) if error.kind() == ErrorKind::BatchNotFound => {}
                Err(error) => return Err(error),
            }
        }
        let Some(intent) = in_doubt else {
            return Ok(Evidence::Nothing);
        };
        Ok(match self.is_found(&intent).await? {
            true => Evidence::Known,
            false => Evidence::Unlisted(intent.label),
        })
    }

    /// Compares the account of a handle. Returns whether the key has changed, so that only the
    /// provider can tell whether the account is the same.
    ///
    /// # Errors
    /// [`ErrorKind::OtherAccount`] where the handle belongs to another account.
    pub(crate) fn key_changed(&self, handle: &BatchHandle) -> Result<bool> {
        match self.matches(&handle.account, handle.key_hint.as_ref()) {
            AccountMatch::Same => Ok(false),
            AccountMatch::Other => Err(Error::new(ErrorKind::OtherAccount)
                .with_message(
                    "the handle was made with another base URL, organisation, project or workspace; use those",
                )
                .with_batch(handle.batch.clone())),
            AccountMatch::KeyChanged | AccountMatch::Unclear => {
                let message = format!(
                    "the handle of {} was made with another key; the provider is asked whether this key is of the same account",
                    handle.batch
                );
                self.report(&Event::Warning { message: &message });
                Ok(true)
            }
        }
    }

    /// Checks that a prepared create belongs to the account in use. If it may have been sent
    /// (`sent`), a changed key is accepted only if its batch is listed under the current one.
    ///
    /// # Errors
    /// [`ErrorKind::OtherAccount`] where the create belongs to another account, or may.
    pub(crate) async fn of_prepared(
        &self,
        account: &AccountId,
        key: Option<&KeyHint>,
        intent: &Intent,
        sent: bool,
    ) -> Result<()> {
        let refused = |message| Err(Error::new(ErrorKind::OtherAccount).with_message(message));
        match self.matches(account, key) {
            AccountMatch::Same => Ok(()),
            AccountMatch::KeyChanged if !sent => Ok(()),
            AccountMatch::Other => refused(
                "the create was prepared with another base URL, organisation, project or workspace; nothing was sent",
            ),
            AccountMatch::KeyChanged | AccountMatch::Unclear if self.is_found(intent).await? => {
                Ok(())
            }
            AccountMatch::KeyChanged | AccountMatch::Unclear => refused(
                "the create was prepared with another key and may have been sent under it, but no batch with its label is listed under this one; use the earlier key; nothing was sent",
            ),
        }
    }
}

/// Explains the error of a handle's batch that is unknown under a changed key.
pub(crate) fn under_another_key(error: Error) -> Error {
    if error.kind() != ErrorKind::BatchNotFound {
        return error;
    }
    error.with_message(
        "the batch was created with another key, and the key in use may be of another account; use a key of the account that created it",
    )
}

pub(crate) fn elsewhere(run: &str) -> Error {
    Error::new(ErrorKind::OtherAccount).with_message(format!(
        "the run {run} was made with another base URL, organisation, project or workspace; use those, or begin a new run; nothing was sent"
    ))
}

fn unconfirmed(run: &str) -> Error {
    Error::new(ErrorKind::OtherAccount).with_message(format!(
        "the run {run} was recorded with another key, organisation or base URL, and has no batch by which the provider could confirm the account; use the earlier key, or begin a new run; nothing was sent"
    ))
}

fn unknown(run: &str, batch: BatchId) -> Error {
    let message = format!(
        "the run {run} was recorded with another key, and its batch is unknown under this one; use a key of the account that created it; nothing was sent"
    );
    Error::new(ErrorKind::OtherAccount)
        .with_message(message)
        .with_batch(batch)
}

fn unlisted(run: &str, label: &Label) -> Error {
    Error::new(ErrorKind::OtherAccount).with_message(format!(
        "a create of the run {run} may have been accepted under another key, and no batch with the label {label} is listed under this one; use the earlier key until it is found; nothing was sent"
    ))
}
