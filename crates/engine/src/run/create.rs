//! Stage and create. The question at every line of this file: if the process dies now, what is paid
//! for twice?

use std::pin::pin;

use futures::future::{Either, select};
use lmbatch_core::{
    BatchId, BatchSnapshot, BatchStatus, CreateProof, CreateToken, Delivery, Error, ErrorKind,
    Intent, ListOptions, Proof, Result, Retry, Search, Shard, ShardState, Staged,
};

use crate::context::Context;
use crate::counted;
use crate::event::Event;
use crate::policy::Decision;
use crate::run::budget::Reserved;
use crate::run::recover::{by_token, held};
use crate::run::scope::Scope;
use crate::run::step::Next;
use crate::run::work::Work;
use crate::spool::marks::Marked;

const ANSWERED: &str = "its create was answered";

impl Work {
    /// Uploads what the create needs, until the provider has it ready.
    pub(super) async fn stage(&mut self, context: &Context, scope: &Scope<'_>) -> Result<Next> {
        if let Some(next) = self.recall(context).await? {
            return Ok(next);
        }
        self.verify(scope).await?;
        let prior = match &self.record.state {
            ShardState::Staged(staged) => Some(staged.clone()),
            _ => None,
        };
        let shard = &self.planned.shard;
        if prior.is_none() && self.failures == 0 {
            context.report(&Event::Staging {
                label: &shard.label,
                bytes: shard.len(),
            });
        }
        let again = prior.is_some();
        let staged = {
            let staging = pin!(context.provider.stage(shard, prior));
            match select(staging, pin!(scope.cancellation())).await {
                Either::Left((staged, _)) => staged,
                // What was uploaded so far costs nothing.
                Either::Right(_) => return Ok(Next::NOW),
            }
        };
        let staged = match staged {
            Ok(staged) => staged,
            Err(error) => return Ok(self.again(context, error)),
        };
        self.failures = 0;
        self.reuses_upload = false;
        let ready = staged.ready;
        self.advance(context, ShardState::Staged(staged)).await?;
        Ok(match again && !ready {
            true => Next::In(context.polling.wait(1, None)),
            false => Next::NOW,
        })
    }

    /// Reads the newest batches of the provider. A later search for the create need not look
    /// further back, and a batch that already carries the shard's label is adopted instead of
    /// creating another.
    pub(super) async fn watermark(&mut self, context: &Context, scope: &Scope<'_>) -> Result<Next> {
        if let Some(next) = self.recall(context).await? {
            return Ok(next);
        }
        // Nothing is created for a run that was cancelled in the meantime.
        if scope.check_cancellation().await? {
            return Ok(Next::NOW);
        }
        let newest = match context.newest().await {
            Ok(newest) => newest,
            Err(error) => return Ok(self.again(context, error)),
        };
        self.failures = 0;
        let ShardState::Staged(staged) = &self.record.state else {
            return Ok(Next::NOW);
        };
        let intent = context.intent_of(&self.planned.shard, staged.clone());
        let shard = &self.planned.shard;
        let known = self.record.doubted.iter();
        let known: Vec<&BatchId> = known.flat_map(|intent| &intent.foreign_batches).collect();
        let has_label = |batch: &&BatchSnapshot| {
            batch.label.as_ref() == Some(&shard.label)
                && batch.status != BatchStatus::Failed
                && !known.contains(&&batch.id)
        };
        // Batches come newest first: the last is the oldest.
        let mut labelled = newest.iter().filter(has_label);
        if let Some(oldest) = labelled.next_back() {
            let holds = oldest.counts.total.unwrap_or(u64::from(shard.count));
            if holds != u64::from(shard.count) {
                let looked = format!(
                    "{} carries its label but holds {} instead of {}",
                    oldest.id,
                    counted::requests(holds),
                    shard.count
                );
                return Ok(Next::Held(held(context, &intent, None, &looked)));
            }
            let message = format!(
                "{} already carries the label of this shard and is adopted: the ledger is a copy or was restored from a backup",
                oldest.id
            );
            context.report(&Event::Warning { message: &message });
            let proof = Proof::proved("it carried the label of the shard before a create was sent");
            return self
                .acknowledge(context, oldest.id.clone(), proof, true)
                .await;
        }
        let newest = newest.first();
        self.prepared = Some(Intent {
            watermark: newest.map(|batch| batch.id.clone()),
            watermark_at: newest.and_then(|batch| batch.created_at),
            ..intent
        });
        Ok(Next::NOW)
    }

    /// Records that a create is about to be sent: in the ledger, and then in the file beside it.
    /// Returns when the shard is due again, where the create is not sent.
    async fn posting(
        &mut self,
        context: &Context,
        scope: &Scope<'_>,
        intent: &Intent,
    ) -> Result<Option<Next>> {
        match &scope.budget {
            None => {
                self.advance(context, ShardState::Posting(intent.clone()))
                    .await?;
            }
            Some(budget) => {
                let (planned, record) = (&self.planned, &self.record);
                let reserved = budget.post(context, scope.plan, planned, record, intent);
                match reserved.await? {
                    Reserved::Posted(record) => self.record = *record,
                    Reserved::NoRoom(error) => return Ok(Some(Next::ForBudget(error))),
                    Reserved::Cancelled => {
                        scope.cancelled.send_replace(true);
                        return Ok(Some(Next::NOW));
                    }
                }
            }
        }
        let Some(marks) = &self.marks else {
            return Ok(None);
        };
        self.marked = true;
        if let Err(error) = marks.posting(intent, self.record.checksum).await {
            // Nothing was sent. Should this fail as well, the next start searches for the batch.
            let staged = ShardState::Staged(intent.staged.clone());
            self.advance(context, staged).await?;
            return Err(error);
        }
        Ok(None)
    }

    /// Creates the batch. At most one create is sent.
    pub(super) async fn post(&mut self, context: &Context, scope: &Scope<'_>) -> Result<Next> {
        let Some(intent) = self.prepared.clone() else {
            return Ok(Next::NOW);
        };
        if let Some(next) = self.posting(context, scope, &intent).await? {
            return Ok(next);
        }
        context.report(&Event::Creating {
            label: &self.planned.shard.label,
        });
        let error = match context.provider.create(&self.planned.shard, &intent).await {
            Ok(batch) => {
                let proof = Proof::proved(ANSWERED);
                return self.acknowledge(context, batch, proof, false).await;
            }
            Err(error) => error,
        };
        if error.kind() == ErrorKind::AlreadyExists {
            return self.existing(context, intent, error).await;
        }
        self.failures += 1;
        let random = context.rng.next_f64();
        match context.retries.decide_create(self.failures, &error, random) {
            Decision::RetryAfter(wait) => {
                // There is no batch: the next process or call need not search for one.
                let staged = ShardState::Staged(intent.staged);
                self.advance(context, staged).await?;
                context.report(&Event::Retrying {
                    error: &error,
                    wait,
                });
                Ok(match error.retry_after() {
                    Some(_) => Next::Pause(wait),
                    None => Next::In(wait),
                })
            }
            Decision::Find => {
                (self.prepared, self.failures) = (None, 0);
                self.cause = Some(error);
                let search = Search {
                    is_repeated: self.record.sent_twice,
                    ..Search::default()
                };
                self.doubt(context, intent, search).await
            }
            // The failure is temporary: what was uploaded is kept for later.
            Decision::Stop if error.retry() == Retry::Temporary => {
                (self.prepared, self.failures) = (None, 0);
                let staged = ShardState::Staged(intent.staged);
                self.advance(context, staged).await?;
                Ok(match is_for_now(&error) {
                    true => Next::ForQuota(error),
                    false => Next::Held(error),
                })
            }
            Decision::Stop => {
                (self.prepared, self.failures) = (None, 0);
                self.advance(context, ShardState::Refused).await?;
                // What was uploaded earlier may be deleted by now.
                if self.reuses_upload && may_lack_its_input(&error) {
                    return Ok(Next::NOW);
                }
                Ok(Next::Held(error))
            }
        }
    }

    /// Adopts the batch that was created earlier under the token.
    pub(super) async fn existing(
        &mut self,
        context: &Context,
        intent: Intent,
        error: Error,
    ) -> Result<Next> {
        (self.prepared, self.failures) = (None, 0);
        if let Some(batch) = error.batch() {
            let batch = batch.clone();
            return self.acknowledge(context, batch, by_token(), true).await;
        }
        self.cause = Some(error);
        let search = Search {
            reported_existing: true,
            ..Search::default()
        };
        self.doubt(context, intent, search).await
    }

    /// Reads the file beside the ledger for a shard of which the ledger says that no create is
    /// under way. An entry there means that the ledger was rolled back or is a copy of an older
    /// one. `None` where there is no entry.
    pub(super) async fn recall(&mut self, context: &Context) -> Result<Option<Next>> {
        if self.marked || std::mem::replace(&mut self.recalled, true) {
            return Ok(None);
        }
        let Some(marks) = &self.marks else {
            return Ok(None);
        };
        let Some((checksum, marked)) = marks.read().await? else {
            return Ok(None);
        };
        self.marked = true;
        let shard = &self.planned.shard;
        let message = format!(
            "the ledger has lost the record of a create of {}; its batch is searched for before another is created",
            shard.label
        );
        context.report(&Event::Warning { message: &message });
        if !self.is_of(checksum) {
            let intent = context.intent_of(shard, Staged::default());
            let looked = "other requests were sent under its label before the ledger was replaced";
            return Err(held(context, &intent, None, looked));
        }
        let staged = match &self.record.state {
            ShardState::Staged(staged) => staged.clone(),
            _ => Staged::default(),
        };
        let intent = match marked {
            Marked::Created(batch) => {
                let proof = Proof::proved("it is recorded in the mark file of the create");
                return self
                    .acknowledge(context, batch, proof, true)
                    .await
                    .map(Some);
            }
            Marked::Posting(Some(intent)) => *intent,
            // Only the label is known of the create.
            Marked::Posting(None) => Intent {
                posted_at: None,
                ..context.intent_of(shard, staged)
            },
        };
        if (intent.count, intent.bytes) != (shard.count, shard.len()) {
            let looked = format!(
                "a batch of {} and {} was sent under its label, but the ledger has {} and {}",
                counted::requests(intent.count),
                counted::counted(intent.bytes, "byte", "bytes"),
                counted::requests(shard.count),
                counted::counted(shard.len(), "byte", "bytes")
            );
            return Err(held(context, &intent, None, &looked));
        }
        self.doubt(context, intent, Search::default())
            .await
            .map(Some)
    }
}

impl Context {
    pub(super) fn intent_of(&self, shard: &Shard, staged: Staged) -> Intent {
        Intent {
            label: shard.label.clone(),
            class: shard.class.clone(),
            count: shard.count,
            bytes: shard.len(),
            staged,
            token: CreateToken::new(shard.label.as_str()),
            posted_at: Some(self.clock.now()),
            watermark: None,
            watermark_at: None,
            foreign_batches: Vec::new(),
        }
    }

    /// Returns the newest batches before the create, one page of them.
    async fn newest(&self) -> Result<Vec<BatchSnapshot>> {
        let capabilities = self.provider.codec().capabilities();
        if !capabilities.list {
            return Ok(Vec::new());
        }
        let options = ListOptions {
            // Without labels only the newest batch gives information.
            limit: (capabilities.create == CreateProof::CountAndTime).then_some(1),
            page: None,
        };
        match self.provider.list(&options).await {
            Ok(page) => Ok(page.items),
            Err(error)
                if error.kind() == ErrorKind::Unsupported || error.http_status() == Some(404) =>
            {
                Ok(Vec::new())
            }
            Err(error) => Err(error),
        }
    }
}

/// Returns whether a create may have been refused because its uploaded input does not exist. Some
/// providers use one status for that and for input of another account.
fn may_lack_its_input(error: &Error) -> bool {
    error.delivery() == Delivery::Refused
        && (error.kind() == ErrorKind::FileNotFound
            || matches!(error.http_status(), Some(403 | 404)))
}

/// Returns whether waiting resolves the refusal: limits on enqueued tokens, on concurrent batches
/// or on creates per hour.
pub(super) fn is_for_now(error: &Error) -> bool {
    error.retry() != Retry::Permanent
        && matches!(
            error.kind(),
            ErrorKind::Quota | ErrorKind::ProviderRateLimit | ErrorKind::ProviderOverloaded
        )
}
