//! Shards that end without a batch.

use lmbatch_core::{Closed, Error, Intent, Result, ShardState};

use crate::context::Context;
use crate::counted;
use crate::run::recover::held;
use crate::run::step::Next;
use crate::run::work::Work;

impl Work {
    /// Closes a shard that has no batch, unless the file beside the ledger shows that a rolled back
    /// ledger has lost one, or another worker has acknowledged one. A shard with a create that may
    /// have been accepted is closed as abandoned, so that its requests are not taken for unsent.
    pub(super) async fn close_cancelled(&mut self, context: &Context) -> Result<Next> {
        if let Some(next) = self.recall(context).await? {
            return Ok(next);
        }
        let doubted = match &self.record.state {
            ShardState::Doubt(intent) => Some(intent.clone()),
            // An earlier create had an unknown outcome, and its time is not recorded any more.
            _ if self.record.sent_twice => Some(Intent {
                posted_at: None,
                ..context.intent_of(&self.planned.shard, Default::default())
            }),
            _ => None,
        };
        let Some(intent) = doubted else {
            self.close(context, Closed::Cancelled).await?;
            return Ok(Next::Done);
        };
        if let Some(next) = self.take_late(context, &intent.foreign_batches).await? {
            return Ok(next);
        }
        let saw = "the run was cancelled before a batch of this create appeared";
        let error = held(context, &intent, self.cause.take(), saw);
        self.abandon(context, &error).await
    }

    /// Closes a shard whose create may have been accepted.
    pub(super) async fn abandon(&mut self, context: &Context, error: &Error) -> Result<Next> {
        let message = error.to_string().into();
        self.close(context, Closed::Abandoned { message }).await?;
        let message = format!(
            "{} may have been billed without an answer: {error}",
            counted::requests(self.record.count)
        );
        context.warn(self.subject(), &message);
        Ok(Next::Done)
    }
}
