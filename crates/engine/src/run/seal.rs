//! Fetching a shard: its results are read until they are complete, and then sealed.

use std::sync::Arc;
use std::time::Duration;

use lmbatch_core::{BatchId, Certainty, Error, ErrorKind, Result, ShardState};

use crate::blocking::blocking;
use crate::policy::OnDoubt;
use crate::results::id_map::IdMap;
use crate::results::reading::Results;
use crate::run::fetch::{Ended, Fetch, Fetched};
use crate::run::scope::Scope;
use crate::run::step::Next;
use crate::run::work::Work;

/// Longest time for which results are requested again that an earlier process has requested, where
/// they are otherwise given up.
const LAST_PATIENCE: Duration = Duration::from_secs(30);

impl Work {
    /// Makes one exchange of the fetch. Seals the shard after the last exchange.
    pub(super) async fn fetch(&mut self, scope: &Scope<'_>) -> Result<Next> {
        let context = scope.context;
        let ShardState::Ended(snapshot) = self.record.state.clone() else {
            return Ok(Next::NOW);
        };
        let batch = snapshot.id.clone();
        let mut fetch = match self.fetch.take() {
            Some(fetch) => fetch,
            None => Box::new(self.begin_fetch(scope, snapshot.clone()).await?),
        };
        match fetch.step(context).await {
            Ok(Fetched::Again(wait)) => {
                self.fetch = Some(fetch);
                Ok(Next::In(wait))
            }
            Ok(Fetched::Whole {
                segments,
                locations,
                undelivered,
                ..
            }) => {
                let state = ShardState::Sealed {
                    snapshot,
                    segments,
                    locations,
                    undelivered,
                };
                let mut next = self.record.clone().advanced(state);
                if let Some(budget) = &scope.budget {
                    let settled = budget.settled(context, scope.plan, &self.planned, &next);
                    next.cost = settled.await.or(next.cost);
                }
                self.put(context, next).await?;
                (self.reread, self.sealed_here) = (false, true);
                Ok(Next::Done)
            }
            Ok(Fetched::Foreign) => {
                let error = foreign_batch(&batch).with_label(self.planned.shard.label.clone());
                self.reject_presumed(context, &batch, error).await
            }
            Err(error) => self.gone(context, &batch, error).await,
        }
    }

    async fn begin_fetch(
        &self,
        scope: &Scope<'_>,
        snapshot: lmbatch_core::BatchSnapshot,
    ) -> Result<Fetch> {
        let context = scope.context;
        let (ids, planned) = (scope.plan.ids.clone(), self.planned.clone());
        let tables = Arc::clone(&scope.plan.tables);
        let id_map = blocking(move || IdMap::of_shard(&ids, &planned, &tables)).await??;
        let results = Results::new(
            Arc::clone(&context.provider),
            Arc::clone(scope.files),
            id_map,
            self.planned.number,
            context.max_row_bytes,
        )
        .of_repair(self.planned.repair);
        let gives_up = context.on_doubt == OnDoubt::Abandon;
        let ended = Ended {
            snapshot,
            class: Some(self.planned.shard.class.clone()),
            requests: Some(u64::from(self.planned.shard.count)),
            certainty: self.certainty(),
            patience: match gives_up && self.ended_before {
                true => scope.patience.min(LAST_PATIENCE),
                false => scope.patience,
            },
        };
        Ok(Fetch::new(
            context,
            ended,
            results.after(&self.sealed_before),
        ))
    }

    /// Returns a shard whose sealed files are damaged to the fetch, so that they are read again
    /// from the provider.
    pub(crate) fn read_again(&mut self) {
        if let ShardState::Sealed {
            snapshot, segments, ..
        } = &self.record.state
        {
            self.sealed_before = segments.clone();
            self.record.state = ShardState::Ended(snapshot.clone());
            self.reread = true;
            self.ended_before = false;
        }
    }

    /// Returns whether the batch is only presumed to belong to the shard.
    pub(crate) fn is_presumed(&self) -> bool {
        self.certainty() == Certainty::Presumed
    }
}

fn foreign_batch(batch: &BatchId) -> Error {
    Error::new(ErrorKind::Doubt)
        .with_operation("create the batch")
        .with_batch(batch.clone())
        .with_message("the response to the create was lost, and the batch that matched holds other requests; the created batch may still be accepted and billed")
}
