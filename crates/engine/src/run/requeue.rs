//! Requeue: unanswered requests that may be answered if they are sent again go into new batches.

use std::collections::HashSet;
use std::sync::Arc;

use lmbatch_core::{
    BatchProvider, BatchSnapshot, BatchStatus, ErrorKind, Nonce, Result, ShardRecord, ShardState,
    Verdict,
};

use crate::blocking::blocking;
use crate::event::Event;
use crate::plan::planned::{PlannedShard, planned};
use crate::plan::rows::Bodies;
use crate::plan::shards::ShardWriter;
use crate::policy::BatchLimit;
use crate::results::collect::Collected;
use crate::results::delivered::has_counts;
use crate::results::finished::refusal;
use crate::results::merge::Merged;
use crate::run::job::Job;
use crate::run::work::Work;
use crate::spool::Files;
use crate::spool::tables::Echo;

impl Job<'_> {
    /// Sends the unanswered requests again. Returns whether there were any and an attempt was left.
    pub(crate) async fn requeue(&mut self, max_attempts: u32) -> Result<bool> {
        // Attempts are counted from the caller's last explicit requeue, and repairs apart from them.
        if self.run.attempt - self.run.requested_attempt + 1 - self.repairs_made() >= max_attempts {
            return Ok(false);
        }
        let again = match self.rows(None).await {
            Ok(again) => again,
            // Existing outcomes are returned nevertheless.
            Err(error) if error.kind() == ErrorKind::InvalidInput => {
                let message = format!("the unanswered requests are not sent again: {error}");
                self.context.report(&Event::Warning { message: &message });
                return Ok(false);
            }
            Err(error) => return Err(error),
        };
        match self.send(again).await {
            // Under a cost limit that was set later, a request may have no bound.
            Err(error) if error.kind() == ErrorKind::InvalidInput => {
                let message = format!("the unanswered requests are not sent again: {error}");
                self.context.report(&Event::Warning { message: &message });
                Ok(false)
            }
            sent => sent.map(|requests| requests > 0),
        }
    }

    /// Sends the requests again that the caller has chosen, and returns how many they are.
    pub(crate) async fn send_again(&mut self, chosen: &HashSet<u32>) -> Result<u64> {
        self.run.requested_attempt = self.run.attempt + 1;
        let again = self.rows(Some(chosen.clone())).await?;
        self.send(again).await
    }

    /// Records new shards of the run, to be created, and returns how many requests they hold.
    pub(crate) async fn send(&mut self, new: Vec<PlannedShard>) -> Result<u64> {
        let requests = new.iter();
        let requests = requests.map(|new| u64::from(new.shard.count)).sum();
        if requests == 0 {
            return Ok(0);
        }
        self.context
            .check_bounds(&self.plan.files, &self.plan.tables, new.clone())
            .await?;
        let attempt = self.run.attempt + 1;
        // The first attempt is number 1.
        let number = attempt + 1;
        self.context
            .report(&match new.iter().any(|planned| planned.repair) {
                true => Event::Repairing {
                    requests,
                    attempt: number,
                },
                false => Event::Requeued {
                    requests,
                    attempt: number,
                },
            });
        let records = new.iter();
        let records: Vec<_> = records.map(|shard| shard.record(&self.run.id)).collect();
        // With this record the run knows the new shards; before it, nothing has happened.
        self.note(attempt, false, &records).await?;
        for (planned, record) in new.into_iter().zip(records) {
            self.plan.shards.push(planned.clone());
            let durable = self.context.is_durable();
            let work = Work::new(planned, record, &self.plan.handles, durable);
            self.works.push(work);
        }
        Ok(requests)
    }

    /// Copies the chosen requests, or else the unanswered ones, into new shards.
    async fn rows(&mut self, chosen: Option<HashSet<u32>>) -> Result<Vec<PlannedShard>> {
        let chosen = match chosen {
            Some(chosen) => Chosen::These(chosen),
            None => Chosen::Unanswered {
                wanted: self.plan.wanted()?,
                ends: {
                    let works = self.works.iter();
                    works.map(|work| Ending::of(&work.record.state)).collect()
                },
            },
        };
        let again = Again {
            provider: Arc::clone(&self.context.provider),
            limit: self.context.batch_limit,
            nonce: self.plan.nonce.clone(),
            files: Arc::clone(&self.plan.files),
            attempt: self.run.attempt,
            asked: self.run.requested_attempt,
            records: self.records(),
            shards: self.plan.shards.clone(),
            chosen,
        };
        let collected = self.collect().await?;
        blocking(move || again.refill(&collected)).await?
    }

    /// Returns the records of the run's shards.
    pub(crate) fn records(&self) -> Vec<ShardRecord> {
        let works = self.works.iter();
        works.map(|work| work.record.clone()).collect()
    }
}

/// Selection of the requests that are sent again.
enum Chosen {
    These(HashSet<u32>),
    Unanswered {
        /// Requests that the output holds, where it does not hold all.
        wanted: Option<HashSet<u32>>,
        /// End of the batch of each shard; `None` where its results are not sealed.
        ends: Vec<Option<Ending>>,
    },
}

/// End of a batch, as far as it shows whether a request without a row was answered.
struct Ending {
    snapshot: BatchSnapshot,
    /// True if the provider's counts say that requests without a row were not answered.
    confirmed: bool,
    /// True if every request that is counted as ended has a row with its outcome.
    is_delivered: bool,
}

impl Ending {
    fn of(state: &ShardState) -> Option<Self> {
        match state {
            ShardState::Sealed {
                snapshot,
                undelivered,
                ..
            } => Some(Self {
                confirmed: *undelivered == 0 && has_counts(snapshot),
                is_delivered: *undelivered == 0,
                snapshot: snapshot.clone(),
            }),
            _ => None,
        }
    }

    /// Returns whether a request without a row may be sent again without being paid for twice.
    fn leaves_unanswered(&self, place: u32) -> bool {
        match self.snapshot.status {
            BatchStatus::Cancelled => false,
            // The batch may state a reason for the request.
            BatchStatus::Failed => {
                refusal(&self.snapshot, place).is_some_and(|error| error.is_retryable())
            }
            _ => self.confirmed,
        }
    }
}

/// Parts that are needed to copy rows into new bodies.
struct Again {
    provider: Arc<dyn BatchProvider>,
    limit: BatchLimit,
    nonce: Nonce,
    files: Arc<Files>,
    attempt: u32,
    /// Attempt for which the caller last chose requests. Requests that it did not choose stay as
    /// they are.
    asked: u32,
    records: Vec<ShardRecord>,
    shards: Vec<PlannedShard>,
    chosen: Chosen,
}

impl Again {
    fn refill(self, collected: &Collected) -> Result<Vec<PlannedShard>> {
        let (files, attempt) = (&self.files, self.attempt + 1);
        let codec = self.provider.codec();
        let next = self.shards.len() as u32;
        let mut writer =
            ShardWriter::new(codec, self.limit, &self.nonce, files, next, &self.records);
        let mut bodies = Bodies::new(files, &self.shards);
        let (mut merge, mut echo) = (collected.merge(), Echo::default());
        while let Some(merged) = merge.next()? {
            if self.goes_again(&merged) {
                merge.echo(&mut echo)?;
                let (shard, row) = merged.original;
                let class = &self.shards[shard as usize].shard.class;
                let row = bodies.read(shard, &row)?;
                writer.put(class, row, merged.ordinal, echo.fields())?;
            }
        }
        let written = writer.finish()?.into_iter();
        let planned = written.map(|one| planned(codec, files, &self.nonce, one, attempt));
        planned.collect()
    }

    fn goes_again(&self, merged: &Merged) -> bool {
        const RETRYABLE: u8 = Verdict::ErroredRetryable as u8;
        const EXPIRED: u8 = Verdict::Expired as u8;
        let ordinal = merged.ordinal;
        let (wanted, ends) = match &self.chosen {
            Chosen::These(chosen) => return chosen.contains(&ordinal),
            Chosen::Unanswered { wanted, ends } => (wanted, ends),
        };
        if wanted
            .as_ref()
            .is_some_and(|wanted| !wanted.contains(&ordinal))
        {
            return false;
        }
        let shard = merged.shard as usize;
        let end = ends.get(shard).and_then(Option::as_ref);
        // The verdict of an earlier attempt does not count for the last one.
        let attempt = self.shards.get(shard).map_or(0, |planned| planned.attempt);
        // The caller's last requeue did not choose this request.
        if attempt < self.asked {
            return false;
        }
        match merged.verdict(attempt) {
            RETRYABLE => true,
            // If the counts say that more was answered than the rows say, an expired row may hide
            // an answer.
            EXPIRED => end.is_none_or(|end| end.is_delivered),
            0 => end.is_some_and(|end| end.leaves_unanswered(merged.at)),
            _ => false,
        }
    }
}
