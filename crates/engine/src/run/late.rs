//! Acknowledgements of creates that are answered to a worker which has lost the shard. The batch is
//! paid for, and this answer may be the only evidence of it.

use lmbatch_core::{BatchId, Error, ErrorKind, Proof, Result, Search, ShardState, Staged};

use crate::context::Context;
use crate::run::recover::held;
use crate::run::step::Next;
use crate::run::work::Work;

/// Maximum number of times in a row that recording a late acknowledgement is tried again.
const MOST_LATE_FAILURES: u32 = 12;

impl Work {
    /// Records the acknowledgement of a create apart from the shard, which cannot take it. A ledger
    /// that fails is tried again: only this process knows the batch.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] where another process has the shard, with the batch.
    pub(super) async fn record_late(&mut self, context: &Context) -> Result<Next> {
        let Some(unrecorded) = self.unrecorded.take() else {
            return Ok(Next::NOW);
        };
        let (late, conflict) = &*unrecorded;
        let Err(error) = context.ledger.acknowledge_late(late).await else {
            self.failures = 0;
            let intent = match (&self.record.state, self.taken.is_some()) {
                (ShardState::Posting(intent) | ShardState::Doubt(intent), true) => intent.clone(),
                _ => return Err(unrecorded.1),
            };
            // The shard is still that of this process: it searches until the other shard gives its
            // batch back.
            return self.doubt(context, intent, Search::default()).await;
        };
        self.failures += 1;
        let message = format!(
            "{} was created for {}, but could not be recorded: {error}; keep its id. {conflict}",
            late.batch, late.key
        );
        context.warn(self.subject(), &message);
        if error.kind() == ErrorKind::InvalidInput || self.failures > MOST_LATE_FAILURES {
            return Err(Error::new(ErrorKind::Conflict)
                .with_batch(late.batch.clone())
                .with_message(message)
                .with_source(error));
        }
        self.unrecorded = Some(unrecorded);
        Ok(Next::In(context.polling.wait(self.failures, None)))
    }

    /// Adopts the batch that another worker acknowledged after it had lost the shard: the provider
    /// answered its create, which is proof. `None` where there is no such batch, or where it failed
    /// for want of the input that was deleted before its create arrived.
    pub(super) async fn take_late(
        &mut self,
        context: &Context,
        foreign: &[BatchId],
    ) -> Result<Option<Next>> {
        let late = context.ledger.late_acknowledgements(&self.record.key);
        for late in late.await? {
            if foreign.contains(&late.batch) {
                continue;
            }
            if self.may_lack_input(context) {
                match context.provider.status(&late.batch).await {
                    Ok(snapshot) if self.lacked_input(&snapshot) => continue,
                    Ok(_) => {}
                    Err(error) => {
                        return Ok(Some(self.again(context, error.with_batch(late.batch))));
                    }
                }
            }
            let proof = Proof::proved(&late.evidence);
            let taken = self.record_batch(context, late.batch, proof, true).await?;
            if taken.is_some() {
                return Ok(taken);
            }
        }
        Ok(None)
    }

    /// Adopts the batch of an earlier create of the shard that was answered after the search for it
    /// had ended, instead of creating another. `None` where there is none.
    pub(super) async fn take_answered(&mut self, context: &Context) -> Result<Option<Next>> {
        if !self.record.sent_twice {
            // The first create has no predecessor.
            return Ok(None);
        }
        if let Some(next) = self.take_late(context, &[]).await? {
            return Ok(Some(next));
        }
        let Some(looked) = self.taken.take() else {
            return Ok(None);
        };
        let intent = context.intent_of(&self.planned.shard, Staged::default());
        Ok(Some(Next::Held(held(context, &intent, None, &looked))))
    }
}
