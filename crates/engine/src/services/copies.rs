//! Copies of a ledger at a provider without labels. A copy that was made before a run posted anything, or a backup of
//! that time, does not know the batches that the original has created since, and would create them again.

use std::collections::HashSet;
use std::pin::pin;
use std::time::{Duration, SystemTime};

use futures::TryStreamExt as _;
use lmbatch_core::{
    BatchId, BatchSnapshot, BatchStatus, Closed, CreateProof, Delivery, Error, ErrorKind, Result,
    Retry, RunRecord, ShardRecord, ShardState,
};

use crate::context::Context;
use crate::plan::Plan;
use crate::policy::OnDoubt;
use crate::spool::marks::Marks;

/// Maximum difference between the clocks of this machine and of the provider.
const SKEW: Duration = Duration::from_secs(300);

/// Maximum number of ended batches whose first rows are read, with two calls each.
const MOST_READ: usize = 8;

impl Context {
    /// Searches a provider without labels for batches that may be those of a recorded run that has posted nothing:
    /// batches with as many requests as one of the run's, created since the run was recorded and known to no record.
    /// A batch that has ended is left out where its rows show that it belongs to another run.
    ///
    /// # Errors
    /// [`ErrorKind::Doubt`] where there is such a batch, unless the policy resubmits or abandons.
    pub(crate) async fn check_copies(&self, run: &RunRecord, plan: &Plan) -> Result<()> {
        let capabilities = self.provider.codec().capabilities();
        let is_unlabelled = capabilities.create == CreateProof::CountAndTime && capabilities.list;
        let Some(recorded_at) = run.created_at.filter(|_| is_unlabelled && self.durable) else {
            return Ok(());
        };
        if run.cancelled || run.finished || run.attempt > 0 {
            return Ok(());
        }
        let shards = self.ledger.shards(&run.id).await?;
        for shard in &shards {
            // A file beside the ledger names the create that a restored ledger has lost.
            let marks = Marks::new(&plan.files, shard.key.shard);
            if !is_unposted(shard) || marks.read().await?.is_some() {
                return Ok(());
            }
        }
        let counts: HashSet<u64> = shards.iter().map(|shard| u64::from(shard.count)).collect();
        let found = self.unrecorded(run, &counts, recorded_at).await?;
        if found.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = found.iter().map(|one| one.id.as_str()).collect();
        let message = format!(
            "the run {} was recorded earlier and has created nothing, but {} holds batches with as many requests that were created since then and that no record knows: {}; where the record is a copy or was restored from a backup, they are those of the run and paid for, and its requests would be paid for twice",
            run.id,
            self.provider.codec().id(),
            names.join(", ")
        );
        match self.on_doubt {
            OnDoubt::Resubmit => {
                self.warn(self.subject(), &message);
                Ok(())
            }
            OnDoubt::Abandon => {
                self.warn(self.subject(), &message);
                for shard in shards {
                    let message = message.as_str().into();
                    let closed = ShardState::Closed(Closed::Abandoned { message });
                    self.ledger.advance(&shard.advanced(closed)).await?;
                }
                Ok(())
            }
            OnDoubt::Hold => Err(Error::new(ErrorKind::Doubt)
                .with_operation("create the batch")
                .with_delivery(Delivery::NotSent)
                .with_retry(Retry::Permanent)
                .with_message(message)),
        }
    }

    /// Returns the batches with one of some numbers of requests that were created since a run was recorded, that no
    /// record knows, and that are not known to belong to another run.
    async fn unrecorded(
        &self,
        run: &RunRecord,
        counts: &HashSet<u64>,
        recorded_at: SystemTime,
    ) -> Result<Vec<BatchSnapshot>> {
        let since = recorded_at.checked_sub(SKEW).unwrap_or(recorded_at);
        let mut found = Vec::new();
        // Newest first.
        let mut listed = pin!(self.list(None));
        loop {
            let snapshot: BatchSnapshot = match listed.try_next().await {
                Ok(Some(snapshot)) => snapshot,
                Ok(None) => break,
                // The provider keeps no list.
                Err(error)
                    if error.kind() == ErrorKind::Unsupported
                        || error.http_status() == Some(404) =>
                {
                    break;
                }
                Err(error) => return Err(error),
            };
            if snapshot.created_at.is_some_and(|at| at < since) {
                break;
            }
            let fits = snapshot
                .counts
                .total
                .is_some_and(|total| counts.contains(&total));
            if fits && snapshot.status != BatchStatus::Failed {
                found.push(snapshot);
            }
        }
        let ids: Vec<BatchId> = found.iter().map(|one| one.id.clone()).collect();
        let known = self.known_batches(&ids).await?;
        found.retain(|one| !known.contains(&one.id));
        let (mut left, mut read) = (Vec::new(), 0);
        for snapshot in found {
            let has_rows = snapshot.status.is_terminal() && snapshot.status.may_have_outcomes();
            let mut is_foreign = false;
            if has_rows && read < MOST_READ {
                read += 1;
                let origin = self.origin_of(&snapshot).await;
                is_foreign = origin.is_ok_and(|origin| origin != Some(run.nonce.clone()));
            }
            if !is_foreign {
                left.push(snapshot);
            }
        }
        Ok(left)
    }
}

/// Returns whether the record shows no create of a shard.
fn is_unposted(shard: &ShardRecord) -> bool {
    let is_early = matches!(
        shard.state,
        ShardState::Planned | ShardState::Staged(_) | ShardState::Refused
    );
    is_early && shard.doubted.is_none() && !shard.sent_twice
}
