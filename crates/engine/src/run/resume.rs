//! Reading and resuming a run that the ledger records.

use std::collections::{BTreeMap, HashSet};

use lmbatch_core::{Error, Result, RunRecord, ShardRecord, ShardState};

use crate::context::Context;
use crate::plan::Plan;
use crate::policy::RunOptions;
use crate::results::finished::RunResults;
use crate::run::job::Job;

impl Context {
    pub(crate) async fn job(&self, run: &RunRecord) -> Result<Job<'_>> {
        let (run, plan) = self.restored(run).await?;
        Job::new(self, run, plan).await
    }

    pub(crate) async fn recorded_results(&self, run: &RunRecord) -> Result<RunResults> {
        self.job(run).await?.recorded_results().await
    }

    pub(crate) async fn results(&self, run: &RunRecord, options: RunOptions) -> Result<RunResults> {
        let job = self.job(run).await?;
        if job.damaged().await?.is_empty() {
            return job.recorded_results().await;
        }
        drop(job);
        let options = RunOptions {
            max_attempts: Some(1),
            repairs: 0,
            ..options
        };
        self.resume(run, options).await
    }

    pub(crate) async fn partial_results(&self, run: &RunRecord) -> Result<RunResults> {
        self.job(run).await?.partial_results().await
    }

    pub(crate) async fn requeue(&self, run: &RunRecord, chosen: &HashSet<u32>) -> Result<u64> {
        let _claim = self.holding(&run.id).await?;
        let run = &self.of_this_account(run).await?;
        self.in_present_layout(run).await?;
        let mut job = self.job(run).await?;
        job.must_have_ended()?;
        let chosen = job.ordinals_of(chosen).await?;
        self.clear_cancellation(&job.run).await?;
        job.send_again(&chosen).await
    }

    pub(crate) async fn repair(&self, run: &RunRecord, chosen: &HashSet<u32>) -> Result<u64> {
        let _claim = self.holding(&run.id).await?;
        let run = &self.of_this_account(run).await?;
        self.in_present_layout(run).await?;
        let mut job = self.job(run).await?;
        job.must_have_ended()?;
        self.check_repairs(&job.plan)?;
        let chosen = job.ordinals_of(chosen).await?;
        self.clear_cancellation(&job.run).await?;
        job.repair_again(&chosen).await
    }

    /// Clears the cancellation of a run, so that requeued requests are sent.
    pub(crate) async fn clear_cancellation(&self, run: &RunRecord) -> Result<()> {
        let clear = |run: &mut RunRecord| {
            if run.cancelled && !run.finished {
                let message = format!("the run {} is being cancelled but has not ended", run.id);
                return Err(Error::invalid_input(message));
            }
            run.cancelled = false;
            Ok(())
        };
        self.change(run, &[], clear).await.map(drop)
    }

    /// Checks that the cost of what is still to be created has a bound, where there is a cost limit.
    pub(crate) async fn check_open(&self, run: &RunRecord, plan: &Plan) -> Result<()> {
        if self.cost_limit.is_none() {
            return Ok(());
        }
        let records = self.ledger.shards(&run.id).await?;
        let is_open = |record: &ShardRecord| {
            matches!(
                record.state,
                ShardState::Planned | ShardState::Staged(_) | ShardState::Refused
            )
        };
        let open = plan.shards.iter().zip(&records);
        let open = open.filter(|(_, record)| is_open(record));
        let open = open.map(|(planned, _)| planned.clone()).collect();
        self.check_bounds(&plan.files, &plan.tables, open).await
    }

    pub(crate) async fn annotate(
        &self,
        run: &RunRecord,
        notes: BTreeMap<Box<str>, Box<str>>,
    ) -> Result<RunRecord> {
        let change = |run: &mut RunRecord| {
            run.notes.clone_from(&notes);
            Ok(())
        };
        self.change(run, &[], change).await
    }

    pub(crate) async fn resume(&self, run: &RunRecord, options: RunOptions) -> Result<RunResults> {
        let _claim = self.holding(&run.id).await?;
        let run = self.of_this_account(run).await?;
        self.in_present_layout(&run).await?;
        let (run, plan) = self.restored(&run).await?;
        self.check_open(&run, &plan).await?;
        self.check_copies(&run, &plan).await?;
        self.drive(run, plan, options).await
    }
}
