//! Inventory and deletion of what a run left at its provider.

use std::time::SystemTime;

use lmbatch_core::{
    BatchId, Cleaned, ErrorKind, RemoteObject, Result, ResultPart, RunRecord, ShardRecord,
    ShardState,
};

use crate::context::Context;

/// Inputs and batches that a run still has at its provider.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RemainingData {
    /// Number of uploaded input files.
    pub inputs: u64,
    /// Number of batches with stored results.
    pub batches: u64,
    /// Time at which the provider deletes the last of them, where it states one.
    pub until: Option<SystemTime>,
}

impl Context {
    pub(crate) async fn remaining(&self, run: &RunRecord) -> Result<RemainingData> {
        let mut left = RemainingData::default();
        for shard in self.ledger.shards(&run.id).await? {
            let inputs = !run.cleaned.is_some_and(|cleaned| cleaned.inputs(&shard));
            let batches = !run.cleaned.is_some_and(|cleaned| cleaned.batches(&shard));
            self.count(&shard, (inputs, batches), &mut left);
        }
        Ok(left)
    }

    pub(crate) async fn clean(&self, run: &RunRecord, batches: bool) -> Result<RemainingData> {
        let run = self.recorded(run).await?;
        let run = self.confirmed_account(&run).await?;
        let mut left = RemainingData::default();
        for shard in self.ledger.shards(&run.id).await? {
            let mut stay = (false, true);
            if needs_its_input(&shard) {
                stay.0 = true;
            } else if !run.cleaned.is_some_and(|cleaned| cleaned.inputs(&shard)) {
                for remote_object in &shard.remote_objects {
                    stay.0 |= !self.discard(remote_object).await?;
                }
            }
            if run.cleaned.is_some_and(|cleaned| cleaned.batches(&shard)) {
                stay.1 = false;
            } else if batches && let Some((batch, parts)) = ended(&shard) {
                stay.1 = !self.discard_batch(batch, parts).await?;
            }
            self.count(&shard, stay, &mut left);
        }
        let before = run.cleaned.and_then(|cleaned| cleaned.batches);
        let cleaned = Cleaned {
            inputs: run.attempt,
            batches: batches.then_some(run.attempt).or(before),
        };
        // A run that has not ended will upload and create more.
        if run.finished {
            let change = |run: &mut RunRecord| {
                run.cleaned = Some(cleaned);
                Ok(())
            };
            self.change(&run, &[], change).await?;
        }
        Ok(left)
    }

    fn count(
        &self,
        shard: &ShardRecord,
        (inputs, batches): (bool, bool),
        left: &mut RemainingData,
    ) {
        let retention = self.provider.codec().capabilities().retention;
        let mut kept_since = |since: Option<SystemTime>| {
            let until = retention.and_then(|time| since?.checked_add(time));
            left.until = left.until.max(until);
        };
        if let (true, Some((_, _, since))) = (batches, sealed(shard)) {
            left.batches += 1;
            kept_since(since);
        }
        if inputs && !shard.remote_objects.is_empty() {
            left.inputs += shard.remote_objects.len() as u64;
            kept_since(sealed(shard).and_then(|(.., since)| since));
        }
    }

    /// Deletes a remote_object. Returns whether it is deleted.
    async fn discard(&self, remote_object: &RemoteObject) -> Result<bool> {
        match self.retrying(|| self.provider.discard(remote_object)).await {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::Unsupported => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Deletes a batch with its results. If the provider cannot delete the batch, the files of its
    /// results are deleted instead.
    async fn discard_batch(&self, batch: &BatchId, parts: Vec<&ResultPart>) -> Result<bool> {
        if self.discard(&RemoteObject::Batch(batch.clone())).await? {
            return Ok(true);
        }
        let mut gone = true;
        for part in parts {
            gone &= self.discard(&RemoteObject::File(part.name.clone())).await?;
        }
        Ok(gone)
    }
}

type Sealed<'a> = (&'a BatchId, Vec<&'a ResultPart>, Option<SystemTime>);

/// Returns whether a batch exists or may exist that needs the input.
fn needs_its_input(shard: &ShardRecord) -> bool {
    matches!(
        shard.state,
        ShardState::Posting(_)
            | ShardState::Doubt(_)
            | ShardState::Created { .. }
            | ShardState::Ended(_)
    )
}

/// Returns a batch whose results are sealed, with their parts and its end.
fn sealed(shard: &ShardRecord) -> Option<Sealed<'_>> {
    match &shard.state {
        ShardState::Sealed {
            snapshot, segments, ..
        } => {
            let parts = segments.iter().map(|segment| &segment.part).collect();
            let since = snapshot.ended_at.or(snapshot.created_at);
            Some((&snapshot.id, parts, since))
        }
        _ => None,
    }
}

fn ended(shard: &ShardRecord) -> Option<(&BatchId, Vec<&ResultPart>)> {
    sealed(shard).map(|(batch, parts, _)| (batch, parts))
}
