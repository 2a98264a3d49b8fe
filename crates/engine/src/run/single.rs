//! A batch that no run is made of: prepared, created, or found again, and waited for by its caller.

use lmbatch_core::{BatchHandle, BatchId, Error, ErrorKind, Intent, Result, Search, ShardState};

use tokio::sync::watch;

use crate::context::Context;
use crate::driver;
use crate::plan::Plan;
use crate::run::recover::Seen;
use crate::run::scope::Scope;
use crate::run::work::Work;

/// Whether the create of what was prepared was sent before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SentBefore {
    /// It was prepared in this process.
    No,
    /// Its data says that it was not.
    SaidNo,
    /// It may have been.
    Maybe,
}

impl Context {
    /// Notes a plan of one shard, of which only the batch is wanted, and says whether a create was sent for
    /// it before.
    async fn begin_single(&self, plan: &Plan) -> Result<(Work, bool)> {
        plan.single()?;
        let mut run = plan.record(&*self.clock);
        if let Some(known) = self.run_of_nonce(&run.nonce).await? {
            run = known;
        } else {
            let new = plan.shards[0].record(&run.id);
            // What a record speaks of outlives its last user.
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

    /// Takes a shard on until its batch exists, or until its create can be sent.
    async fn bring_about(&self, plan: &Plan, work: &mut Work, create: bool) -> Result<()> {
        let scope = Scope {
            context: self,
            plan,
            files: &plan.files,
            patience: self.doubt.patience(),
            run: None,
            cancelled: watch::Sender::new(false),
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

    pub(crate) async fn submit(&self, plan: Plan) -> Result<BatchHandle> {
        let parts = plan.handle_parts()?;
        let created = async {
            let (mut work, _) = self.begin_single(&plan).await?;
            self.bring_about(&plan, &mut work, true).await?;
            self.created(&work)
        };
        let batch = created
            .await
            .map_err(|error| self.of_create(error, &plan))?;
        Ok(parts.with_batch(batch))
    }

    /// Everything that is free: what the create needs is at the provider, and noted.
    pub(crate) async fn prepare(&self, plan: &Plan) -> Result<Intent> {
        let (mut work, _) = self.begin_single(plan).await?;
        self.bring_about(plan, &mut work, false).await?;
        match (work.prepared, work.record.state.batch()) {
            (Some(intent), _) => Ok(intent),
            (None, batch) => {
                let label = &work.planned.shard.label;
                let message = format!("a batch of the label {label} exists already");
                let error = Error::new(ErrorKind::Conflict).with_message(message);
                Err(match batch {
                    Some(batch) => error.with_batch(batch.clone()),
                    None => error,
                })
            }
        }
    }

    /// The batch of an intent: found, if an earlier create may have made it, else created.
    pub(crate) async fn find_or_create(
        &self,
        plan: &Plan,
        intent: &Intent,
        known: SentBefore,
    ) -> Result<BatchId> {
        let (mut work, sent) = self.begin_single(plan).await?;
        // Another copy of what was prepared may have been sent from here.
        if known == SentBefore::Maybe || sent {
            work.marked = true;
            work.doubt(self, intent.clone(), Search::default()).await?;
        } else {
            // A look is free, and a copy that was sent without a note of it would be paid for twice.
            if known == SentBefore::SaidNo {
                match self.retrying(|| self.look(intent)).await {
                    Ok(Seen::Proved(mut ours)) => {
                        if let Some(ours) = ours.pop() {
                            work.take(self, ours).await?;
                            return self.created(&work);
                        }
                    }
                    Ok(Seen::Fitting(_) | Seen::Nothing) => {}
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
        self.bring_about(plan, &mut work, true).await?;
        self.created(&work)
    }
}
