//! A batch without a run: prepared, created or found again, while its caller waits.

use std::time::Duration;

use lmbatch_core::{BatchHandle, BatchId, Error, ErrorKind, Intent, Result, Search, ShardState};

use tokio::sync::watch;

use crate::context::Context;
use crate::driver;
use crate::plan::Plan;
use crate::run::recover::SearchResult;
use crate::run::scope::Scope;
use crate::run::work::Work;

/// Knowledge about an earlier create of what was prepared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SentBefore {
    /// The create was prepared in this process and not sent.
    No,
    /// The serialized data says that the create was not sent.
    SaidNo,
    /// The create may have been sent.
    Maybe,
}

impl Context {
    /// Records a plan of one shard for a caller that needs only the batch. Returns whether a create
    /// may have been sent for it before.
    async fn begin_single(&self, plan: &Plan) -> Result<(Work, bool)> {
        plan.single()?;
        self.check_bounds(&plan.files, &plan.tables, plan.shards.clone())
            .await?;
        let mut run = plan.record(&*self.clock);
        if let Some(known) = self.run_of_nonce(&run.nonce).await? {
            run = known;
        } else {
            let new = plan.shards[0].record(&run.id);
            // Recorded files outlive the last user of the plan.
            plan.files.keep(self.is_durable());
            self.ledger.begin(&run, &[new]).await?;
        }
        let records = self.ledger.shards(&run.id).await?;
        let record = records.into_iter().next().ok_or_else(|| {
            Error::new(ErrorKind::Internal).with_message("the ledger keeps no shard")
        })?;
        let sent = !matches!(
            record.state,
            ShardState::Planned | ShardState::Staged(_) | ShardState::Refused
        );
        let planned = plan.shards[0].clone();
        let work = Work::new(planned, record, &plan.handles, self.is_durable());
        Ok((work, sent))
    }

    /// Advances a shard until its batch exists or, without `create`, until its create can be sent.
    async fn advance_single(&self, plan: &Plan, work: &mut Work, create: bool) -> Result<()> {
        let scope = Scope {
            context: self,
            plan,
            files: &plan.files,
            patience: self.doubt.total_wait(),
            run: None,
            cancelled: watch::Sender::new(false),
            budget: self.budget(),
        };
        let is_there = |work: &Work| match create {
            true => work.record.state.batch().is_some(),
            false => work.record.state.batch().is_some() || work.prepared.is_some(),
        };
        driver::until(&scope, work, is_there).await
    }

    fn created(&self, work: &Work) -> Result<BatchId> {
        let batch = work.record.state.batch().cloned();
        batch.ok_or_else(|| {
            Error::new(ErrorKind::Internal).with_message("the shard has no batch after its create")
        })
    }

    /// Creates the batch of a plan, at most until `limit` has passed since the beginning of the call.
    pub(crate) async fn create_batch(
        &self,
        plan: Plan,
        limit: Option<Duration>,
    ) -> Result<BatchHandle> {
        let (plan, parts) = plan.with_handle_parts().await?;
        let created = async {
            let (mut work, _) = self.begin_single(&plan).await?;
            self.advance_single(&plan, &mut work, true).await?;
            self.created(&work)
        };
        let batch = self
            .create_in_time(limit, &plan, created)
            .await
            .map_err(|error| self.of_create(error, &plan))?;
        Ok(parts.with_batch(batch))
    }

    /// Does everything that costs nothing: uploads what the create needs, and records it.
    pub(crate) async fn prepare(&self, plan: &Plan) -> Result<Intent> {
        let (mut work, _) = self.begin_single(plan).await?;
        self.advance_single(plan, &mut work, false).await?;
        match (work.prepared, work.record.state.batch()) {
            (Some(intent), _) => Ok(intent),
            (None, batch) => {
                let label = &work.planned.shard.label;
                let message = format!("a batch with the label {label} already exists");
                let error = Error::new(ErrorKind::Conflict).with_message(message);
                Err(match batch {
                    Some(batch) => error.with_batch(batch.clone()),
                    None => error,
                })
            }
        }
    }

    /// Returns the batch of an intent. It is searched for if an earlier create may have made it,
    /// and created otherwise.
    pub(crate) async fn find_or_create(
        &self,
        plan: &Plan,
        intent: &Intent,
        known: SentBefore,
    ) -> Result<BatchId> {
        let (mut work, sent) = self.begin_single(plan).await?;
        // This process may have sent another copy of what was prepared.
        if known == SentBefore::Maybe || sent {
            work.marked = true;
            work.doubt(self, intent.clone(), Search::default()).await?;
        } else {
            // A search costs nothing, while an unrecorded create of another copy would be paid for
            // twice.
            if known == SentBefore::SaidNo {
                match self.retrying(|| self.search(intent)).await {
                    Ok(SearchResult::Proved(mut found)) => {
                        if let Some(oldest) = found.pop() {
                            work.take(self, oldest).await?;
                            return self.created(&work);
                        }
                    }
                    Ok(SearchResult::Fitting(_) | SearchResult::Nothing) => {}
                    Err(error) if error.kind() == ErrorKind::Unsupported => {}
                    // A list that fails is not an empty list.
                    Err(error) => return Err(error),
                }
            }
            let staged = ShardState::Staged(intent.staged.clone());
            if work.record.state != staged {
                work.advance(self, staged).await?;
            }
            work.reuses_upload = true;
            work.prepared = Some(intent.clone());
        }
        self.advance_single(plan, &mut work, true).await?;
        self.created(&work)
    }
}
