//! Claims: one process advances a run, and other processes wait for it.

use std::time::Duration;

use lmbatch_core::{BatchId, Error, ErrorKind, Result, RunClaim, RunRecord, ShardState};

use crate::context::Context;
use crate::event::Event;
use crate::plan::Plan;
use crate::policy::RunOptions;
use crate::results::finished::RunResults;
use crate::run::poll::unfinished;

/// Time between two attempts to claim a run that another process advances.
const CLAIM_INTERVAL: Duration = Duration::from_millis(500);

/// Time between two attempts to take the claim [`BEGIN`], which is held for milliseconds.
const SHORT: Duration = Duration::from_millis(20);

/// Longest wait for the claim [`BEGIN`].
const SHORT_WAIT: Duration = Duration::from_secs(30);

/// Name of the claim that is held from the lookup of known runs until the new one is recorded.
const BEGIN: &str = "begin";

impl Context {
    pub(crate) async fn claim(&self, run: &str) -> Result<Self> {
        let claim = self.holding(run).await?;
        Ok(self.with_claim(Some(claim)))
    }

    pub(crate) fn with_claim_of(&self, plan: &Plan) -> Self {
        self.with_claim(plan.claim.clone())
    }

    /// Returns the claim on a run that this context holds, or takes it.
    pub(crate) async fn holding(&self, run: &str) -> Result<RunClaim> {
        match &self.claim {
            Some(claim) if claim.run() == run => Ok(claim.clone()),
            _ => self.ledger.claim(run).await,
        }
    }

    pub(crate) async fn claim_begin(&self) -> Result<RunClaim> {
        let start = self.clock.elapsed();
        loop {
            match self.ledger.claim(BEGIN).await {
                Err(error)
                    if error.kind() == ErrorKind::Conflict
                        && self.clock.elapsed() - start < SHORT_WAIT =>
                {
                    self.wait(SHORT).await;
                }
                other => return other,
            }
        }
    }

    pub(crate) async fn follow(&self, run: &str, deadline: Option<Duration>) -> Result<Self> {
        let start = self.clock.elapsed();
        loop {
            let held = match self.claim(run).await {
                Err(error) if error.kind() == ErrorKind::Conflict => error,
                other => return other,
            };
            let batch = self.report_progress(run, &held).await?;
            let waited = self.clock.elapsed() - start;
            let left = deadline.map(|deadline| deadline.saturating_sub(waited));
            if left.is_some_and(|left| left.is_zero()) {
                let batch = batch.unwrap_or_else(|| BatchId::new(""));
                return Err(unfinished(&batch, "another process advances the run"));
            }
            self.wait(left.map_or(CLAIM_INTERVAL, |left| left.min(CLAIM_INTERVAL)))
                .await;
        }
    }

    /// Reports the progress of a run that another process advances to the observer. Returns one of
    /// its open batches.
    async fn report_progress(&self, run: &str, held: &Error) -> Result<Option<BatchId>> {
        let (mut ended, mut open) = (0, None);
        // A run that is being planned has no shards yet.
        let known = self.ledger.run(run).await?.is_some();
        let shards = match known {
            true => self.ledger.shards(run).await?,
            false => Vec::new(),
        };
        for shard in &shards {
            match &shard.state {
                ShardState::Ended(_) | ShardState::Sealed { .. } => ended += 1,
                ShardState::Created { batch, .. } => open = open.or(Some(batch.clone())),
                _ => {}
            }
        }
        self.report(&Event::Following {
            held: held.message().unwrap_or_default(),
            ended,
            batches: shards.len() as u64,
        });
        Ok(open)
    }

    /// Drives a recorded run to its end: waits while another process advances it, then continues
    /// from the recorded state.
    pub(crate) async fn attach(&self, run: &RunRecord, options: RunOptions) -> Result<RunResults> {
        let context = match options.once {
            true => self.claim(&run.id).await?,
            false => {
                let spent = self.clock.elapsed().saturating_sub(self.started());
                let left = options.deadline.map(|limit| limit.saturating_sub(spent));
                self.follow(&run.id, left).await?
            }
        };
        let run = context.recorded(run).await?;
        if run.finished {
            return context.recorded_results(&run).await;
        }
        context.resume(&run, options).await
    }
}
