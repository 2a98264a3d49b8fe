//! Requests that were not answered, and may be if they are asked again, go into new batches.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use lmbatch_core::{
    BatchProvider, BatchSnapshot, BatchStatus, Error, Nonce, Result, ShardState, SpoolFile, Verdict,
};

use crate::collect::Collected;
use crate::delivered::has_counts;
use crate::draft::body;
use crate::engine::blocking;
use crate::event::Event;
use crate::finished::refusal;
use crate::index::{Reader, Sent, Writer};
use crate::plan::{Plan, PlannedShard};
use crate::policy::BatchLimit;
use crate::refill::Refill;
use crate::run::Job;
use crate::run::work::Work;
use crate::spool::Files;

fn spooled(error: std::io::Error) -> Error {
    Error::local("writing the spool", error)
}

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
        self.engine.tell(&Event::Requeued {
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
            let durable = self.engine.is_durable();
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
            provider: Arc::clone(&self.engine.provider),
            limit: self.engine.batch_limit,
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
            RETRYABLE | EXPIRED => true,
            0 => end.is_some_and(|end| end.leaves_unanswered(sent.place)),
            _ => false,
        })
    }
}

/// The rows of a run as they were sent last, one request after the other.
pub(crate) struct Rows<'a> {
    files: &'a Files,
    name: String,
    table: Reader,
    shards: &'a [PlannedShard],
    bodies: HashMap<u32, Arc<dyn SpoolFile>>,
    row: Vec<u8>,
}

impl<'a> Rows<'a> {
    /// As a table has them.
    pub(crate) fn new(files: &'a Files, name: &str, shards: &'a [PlannedShard]) -> Result<Self> {
        Ok(Self {
            files,
            name: name.to_owned(),
            table: Reader::new(files.open(name)?),
            shards,
            bodies: HashMap::new(),
            row: Vec::new(),
        })
    }

    /// Where the next request's row lies.
    pub(crate) fn next(&mut self) -> Result<Sent> {
        Sent::read(&mut self.table).map_err(spooled)
    }

    /// A new table that begins as this one does: beside it, since the ledger may still speak of it.
    fn copy(&self, entries: u32, name: &str) -> Result<Writer> {
        let mut from = Reader::new(self.files.open(&self.name)?);
        let mut table = self.files.create(name)?;
        for _ in 0..entries {
            let sent = Sent::read(&mut from).map_err(spooled)?;
            sent.write(&mut table).map_err(spooled)?;
        }
        Ok(table)
    }

    pub(crate) fn read(&mut self, sent: &Sent) -> Result<&[u8]> {
        let file = match self.bodies.entry(sent.shard) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::hash_map::Entry::Vacant(entry) => {
                // What goes out again is what was planned.
                let planned = self.shards.get(sent.shard as usize);
                if let Some(checksum) = planned.and_then(|planned| planned.checksum) {
                    self.files.verify(&body(sent.shard), checksum)?;
                }
                entry.insert(self.files.open(&body(sent.shard))?)
            }
        };
        self.row.resize(sent.length as usize, 0);
        let read = file.read_at(&mut self.row, sent.offset).map_err(spooled)?;
        if read < self.row.len() {
            return Err(spooled(std::io::ErrorKind::UnexpectedEof.into()));
        }
        Ok(&self.row)
    }
}

impl Plan {
    /// The ordinals that the output holds, where some are not wanted any more.
    pub(crate) fn wanted(&self) -> Result<Option<HashSet<u32>>> {
        Ok(self.order()?.map(|order| order.into_iter().collect()))
    }
}

/// Notes where requests are now, beside the table of the attempt before, which the ledger may still speak of.
/// Gives its CRC-32.
pub(crate) fn note_sent(files: &Files, places: &[Sent], attempt: u32) -> Result<u32> {
    let mut table = files.create(&sent_table(attempt))?;
    for place in places {
        place.write(&mut table).map_err(spooled)?;
    }
    table.sync().map_err(spooled)?;
    Ok(table.checksum())
}

/// The spool's word for the table of where requests are, of a try.
pub(crate) fn sent_table(attempt: u32) -> String {
    match attempt {
        0 => "sent".to_owned(),
        attempt => format!("sent-{attempt}"),
    }
}
