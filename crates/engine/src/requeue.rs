//! Requests that were not answered, and may be if they are asked again, go into new batches.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use lmbatch_core::{BatchSnapshot, BatchStatus, Error, Result, SpoolFile, Verdict};

use crate::create::Noted;
use crate::draft::body;
use crate::event::Event;
use crate::finished::refusal;
use crate::index::{Reader, Sent, Writer};
use crate::plan::{Plan, PlannedShard};
use crate::refill::Refill;
use crate::run::{Job, Stage, Work};
use crate::spool::Files;

fn spooled(error: std::io::Error) -> Error {
    Error::local("writing the spool", error)
}

impl Job<'_> {
    /// Sends the unanswered again, if there are any and tries are left.
    pub(crate) async fn requeue(&mut self, max_attempts: u32) -> Result<bool> {
        // Tries are counted from when the caller last asked.
        if self.run.attempt - self.run.asked + 1 >= max_attempts {
            return Ok(false);
        }
        let again = self.rows(None)?;
        self.send(again).await.map(|requests| requests > 0)
    }

    /// Sends the chosen again, on its caller's word.
    pub(crate) async fn send_again(&mut self, chosen: &HashSet<u32>) -> Result<u64> {
        self.run.asked = self.run.attempt + 1;
        let again = self.rows(Some(chosen))?;
        self.send(again).await
    }

    /// Notes new shards of the run, to be created.
    pub(crate) async fn send(&mut self, new: Vec<PlannedShard>) -> Result<u64> {
        let requests = new.iter().map(|new| u64::from(new.shard.count)).sum();
        if requests == 0 {
            return Ok(0);
        }
        let attempt = self.run.attempt + 1;
        self.engine.tell(&Event::Requeued { requests, attempt });
        let records: Vec<_> = new.iter().map(|shard| shard.record(&self.run.id)).collect();
        // From here on the run knows them; before, nothing has happened.
        self.note(attempt, false, &records).await?;
        for (planned, record) in new.into_iter().zip(&records) {
            self.plan.shards.push(planned.clone());
            self.works.push(Work {
                planned,
                noted: Noted::new(record),
                stage: Stage::Waiting,
            });
        }
        Ok(requests)
    }

    /// Copies the rows of the chosen, or else of the unanswered, into new bodies, and notes where they are
    /// now.
    fn rows(&mut self, chosen: Option<&HashSet<u32>>) -> Result<Vec<PlannedShard>> {
        let attempt = self.run.attempt + 1;
        let files = Arc::clone(&self.plan.files);
        let wanted = self.plan.wanted()?;
        let (engine, nonce) = (self.engine, self.plan.nonce.clone());
        let mut refill = Refill::new(
            engine.provider.codec(),
            engine.batch_limit,
            &nonce,
            &files,
            attempt,
            self.plan.shards.len(),
        );
        let mut rows = Rows::new(&files, &sent_table(self.run.attempt))?;
        let mut table = None;
        for ordinal in 0..self.plan.ordinals() {
            let mut sent = rows.next()?;
            let again = match chosen {
                Some(chosen) => chosen.contains(&ordinal),
                None => {
                    wanted
                        .as_ref()
                        .is_none_or(|wanted| wanted.contains(&ordinal))
                        && self.is_unanswered(ordinal, &sent)?
                }
            };
            if again {
                if table.is_none() {
                    table = Some(rows.copy(ordinal, &sent_table(attempt))?);
                }
                let class = &self.plan.shards[sent.shard as usize].shard.class;
                sent = refill.put(class, rows.read(&sent)?)?;
            }
            if let Some(table) = &mut table {
                sent.write(table).map_err(spooled)?;
            }
        }
        if let Some(table) = &mut table {
            table.sync().map_err(spooled)?;
        }
        refill.finish()
    }

    fn is_unanswered(&mut self, ordinal: u32, sent: &Sent) -> Result<bool> {
        const RETRYABLE: u8 = Verdict::ErroredRetryable as u8;
        const EXPIRED: u8 = Verdict::Expired as u8;
        let snapshot: Option<&BatchSnapshot> =
            self.works
                .get(sent.shard as usize)
                .and_then(|work| match &work.stage {
                    Stage::Sealed(snapshot) => Some(snapshot),
                    _ => None,
                });
        Ok(match (self.harvest.verdict(ordinal)?, snapshot) {
            (RETRYABLE | EXPIRED, _) => true,
            // No row names it: the batch may say why.
            (0, Some(snapshot)) if snapshot.status == BatchStatus::Failed => {
                refusal(snapshot, sent.place).is_some_and(|error| error.is_retryable())
            }
            (0, Some(snapshot)) => snapshot.status != BatchStatus::Cancelled,
            _ => false,
        })
    }
}

/// The rows of a run as they were sent last, one request after the other.
pub(crate) struct Rows<'a> {
    files: &'a Files,
    name: String,
    table: Reader,
    bodies: HashMap<u32, Arc<dyn SpoolFile>>,
    row: Vec<u8>,
}

impl<'a> Rows<'a> {
    /// As a table has them.
    pub(crate) fn new(files: &'a Files, name: &str) -> Result<Self> {
        Ok(Self {
            files,
            name: name.to_owned(),
            table: Reader::new(files.open(name)?),
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

/// Notes where requests are now, beside the table of the try before, which the ledger may still speak of.
pub(crate) fn note_sent(files: &Files, places: &[Sent], attempt: u32) -> Result<()> {
    let mut table = files.create(&sent_table(attempt))?;
    for place in places {
        place.write(&mut table).map_err(spooled)?;
    }
    table.sync().map_err(spooled)
}

/// The spool's word for the table of where requests are, of a try.
pub(crate) fn sent_table(attempt: u32) -> String {
    match attempt {
        0 => "sent".to_owned(),
        attempt => format!("sent-{attempt}"),
    }
}
