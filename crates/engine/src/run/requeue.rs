//! Requests that were not answered, and may be if they are asked again, go into new batches.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use lmbatch_core::{BatchProvider, BatchSnapshot, BatchStatus, Nonce, Result, ShardState, Verdict};

use crate::blocking::blocking;
use crate::event::Event;
use crate::plan::planned::PlannedShard;
use crate::plan::rows::Rows;
use crate::plan::shards::Refill;
use crate::policy::BatchLimit;
use crate::results::collect::Collected;
use crate::results::delivered::has_counts;
use crate::results::finished::refusal;
use crate::run::job::Job;
use crate::run::work::Work;
use crate::spool::layout::sent_table;
use crate::spool::tables::Sent;
use crate::spool::{Files, spooled};

impl Job<'_> {
    /// Sends the unanswered again, if there are any and attempts are left.
    pub(crate) async fn requeue(&mut self, max_attempts: u32) -> Result<bool> {
        // Attempts are counted from when the caller last asked.
        if self.run.attempt - self.run.asked + 1 >= max_attempts {
            return Ok(false);
        }
        let again = self.rows(None).await?;
        self.send(again).await.map(|requests| requests > 0)
    }

    /// Sends the chosen again, because the caller asked for it.
    pub(crate) async fn send_again(&mut self, chosen: &HashSet<u32>) -> Result<u64> {
        self.run.asked = self.run.attempt + 1;
        let again = self.rows(Some(chosen.clone())).await?;
        self.send(again).await
    }

    /// Notes new shards of the run, to be created.
    pub(crate) async fn send(&mut self, new: Refilled) -> Result<u64> {
        let requests = new.shards.iter();
        let requests = requests.map(|new| u64::from(new.shard.count)).sum();
        if requests == 0 {
            return Ok(0);
        }
        let attempt = self.run.attempt + 1;
        self.context.tell(&Event::Requeued {
            requests,
            // The first attempt is number 1.
            attempt: attempt + 1,
        });
        let records = new.shards.iter();
        let records: Vec<_> = records.map(|shard| shard.record(&self.run.id)).collect();
        self.run.checksums.extend(new.checksums);
        // From here on the run knows them; before, nothing has happened.
        self.note(attempt, false, &records).await?;
        for (planned, record) in new.shards.into_iter().zip(records) {
            self.plan.shards.push(planned.clone());
            let durable = self.context.is_durable();
            let work = Work::new(planned, record, &self.plan.handles, durable);
            self.works.push(work);
        }
        Ok(requests)
    }

    /// Copies the rows of the chosen, or else of the unanswered, into new bodies, and notes where they are
    /// now.
    async fn rows(&mut self, chosen: Option<HashSet<u32>>) -> Result<Refilled> {
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
            asked: self.run.asked,
            requests: self.plan.ordinals(),
            shards: self.plan.shards.clone(),
            chosen,
        };
        let mut collected = self.collect().await?;
        blocking(move || again.refill(&mut collected)).await?
    }
}

/// Rows that go out again, in new shards.
#[derive(Debug, Default)]
pub(crate) struct Refilled {
    pub(crate) shards: Vec<PlannedShard>,
    /// CRC-32 of the tables that speak of them.
    pub(crate) checksums: BTreeMap<Box<str>, u32>,
}

/// Which requests go out again.
enum Chosen {
    These(HashSet<u32>),
    Unanswered {
        /// The requests that the output holds, where it does not hold all.
        wanted: Option<HashSet<u32>>,
        /// How the batch of each shard ended.
        ends: Vec<Option<Ending>>,
    },
}

/// How a batch ended, as far as it tells whether a request without a row was answered.
struct Ending {
    snapshot: BatchSnapshot,
    /// Whether the provider's counts say that what no row names was not answered.
    confirmed: bool,
    /// Whether every request that is counted as ended has a row that gives its outcome.
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

    /// Whether a request that no row names may be sent again without being paid for twice.
    fn leaves_unanswered(&self, place: u32) -> bool {
        match self.snapshot.status {
            BatchStatus::Cancelled => false,
            // The batch may say why.
            BatchStatus::Failed => {
                refusal(&self.snapshot, place).is_some_and(|error| error.is_retryable())
            }
            _ => self.confirmed,
        }
    }
}

/// What is needed to copy rows into new bodies.
struct Again {
    provider: Arc<dyn BatchProvider>,
    limit: BatchLimit,
    nonce: Nonce,
    files: Arc<Files>,
    attempt: u32,
    /// Attempt for which the caller last chose requests: those that it did not choose stay as they are.
    asked: u32,
    requests: u32,
    shards: Vec<PlannedShard>,
    chosen: Chosen,
}

impl Again {
    fn refill(self, results: &mut Collected) -> Result<Refilled> {
        let (files, attempt) = (&self.files, self.attempt + 1);
        let mut refill = Refill::new(
            self.provider.codec(),
            self.limit,
            &self.nonce,
            files,
            attempt,
            self.shards.len(),
        );
        let mut rows = Rows::new(files, &sent_table(self.attempt), &self.shards)?;
        let mut table = None;
        for ordinal in 0..self.requests {
            let mut sent = rows.next()?;
            if self.goes_again(ordinal, &sent, results)? {
                if table.is_none() {
                    table = Some(rows.copy(ordinal, &sent_table(attempt))?);
                }
                let class = &self.shards[sent.shard as usize].shard.class;
                sent = refill.put(class, rows.read(&sent)?)?;
            }
            if let Some(table) = &mut table {
                sent.write(table).map_err(spooled)?;
            }
        }
        let mut checksums = BTreeMap::new();
        if let Some(table) = &mut table {
            table.sync().map_err(spooled)?;
            checksums.insert(sent_table(attempt).into(), table.checksum());
        }
        Ok(Refilled {
            shards: refill.finish()?,
            checksums,
        })
    }

    fn goes_again(&self, ordinal: u32, sent: &Sent, results: &mut Collected) -> Result<bool> {
        const RETRYABLE: u8 = Verdict::ErroredRetryable as u8;
        const EXPIRED: u8 = Verdict::Expired as u8;
        let (wanted, ends) = match &self.chosen {
            Chosen::These(chosen) => return Ok(chosen.contains(&ordinal)),
            Chosen::Unanswered { wanted, ends } => (wanted, ends),
        };
        if wanted
            .as_ref()
            .is_some_and(|wanted| !wanted.contains(&ordinal))
        {
            return Ok(false);
        }
        let shard = sent.shard as usize;
        let end = ends.get(shard).and_then(Option::as_ref);
        // What an earlier attempt said is no word about the last one.
        let attempt = self.shards.get(shard).map_or(0, |planned| planned.attempt);
        // Its caller chose others when the run was asked for more.
        if attempt < self.asked {
            return Ok(false);
        }
        Ok(match results.verdict(ordinal, attempt)? {
            RETRYABLE => true,
            // Where more is counted as answered than rows say, it may be what a row calls expired.
            EXPIRED => end.is_none_or(|end| end.is_delivered),
            0 => end.is_some_and(|end| end.leaves_unanswered(sent.place)),
            _ => false,
        })
    }
}
