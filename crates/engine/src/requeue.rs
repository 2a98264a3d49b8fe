//! Requests that were not answered, and may be if they are asked again, go into new batches.

use std::collections::{HashMap, HashSet};
use std::io::Write as _;

use lmbatch_core::{BatchClass, BatchSnapshot, BatchStatus, Error, Result, Verdict};

use crate::create::Noted;
use crate::draft::body;
use crate::event::Event;
use crate::finished::refusal;
use crate::index::{Reader, Sent, Writer};
use crate::plan::{PlannedShard, planned};
use crate::run::{Job, Stage, Work};

fn spooled(error: std::io::Error) -> Error {
    Error::local("writing the spool", error)
}

/// A shard that is being filled.
struct Filling {
    number: u32,
    class: BatchClass,
    body: Writer,
    count: u32,
}

impl Job<'_> {
    /// Sends the unanswered again, if there are any and tries are left.
    pub(crate) async fn requeue(&mut self, max_attempts: u32) -> Result<bool> {
        if self.run.attempt + 1 >= max_attempts {
            return Ok(false);
        }
        self.send_again(None).await.map(|requests| requests > 0)
    }

    /// Sends the chosen again, or, where none are, the unanswered.
    pub(crate) async fn send_again(&mut self, chosen: Option<&HashSet<u32>>) -> Result<u64> {
        let attempt = self.run.attempt + 1;
        let (new, requests) = self.refill(attempt, chosen)?;
        if requests == 0 {
            return Ok(0);
        }
        self.engine.tell(&Event::Requeued { requests, attempt });
        self.run.attempt = attempt;
        self.run.finished = false;
        let records: Vec<_> = new.iter().map(|shard| shard.record(&self.run.id)).collect();
        // From here on the run knows them; before, nothing has happened.
        self.engine.ledger.begin(&self.run, &records).await?;
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

    /// Copies the rows of the unanswered into new bodies, and notes where they are now.
    fn refill(
        &mut self,
        attempt: u32,
        chosen: Option<&HashSet<u32>>,
    ) -> Result<(Vec<PlannedShard>, u64)> {
        let files = std::sync::Arc::clone(&self.plan.files);
        let codec = self.engine.provider.codec();
        let mut bodies = HashMap::new();
        let mut old = Reader::new(files.open(&sent_table(self.run.attempt))?);
        let mut places: Vec<Sent> = Vec::with_capacity(self.plan.requests as usize);
        let mut open: Vec<Filling> = Vec::new();
        let mut full: Vec<Filling> = Vec::new();
        let (mut requests, mut row) = (0, Vec::new());
        for ordinal in 0..self.plan.requests {
            let mut sent = Sent::read(&mut old).map_err(spooled)?;
            let again = match chosen {
                Some(chosen) => chosen.contains(&ordinal),
                None => self.is_unanswered(ordinal, &sent),
            };
            if again {
                let from = &self.plan.shards[sent.shard as usize].shard;
                let file = match bodies.entry(sent.shard) {
                    std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
                    std::collections::hash_map::Entry::Vacant(entry) => {
                        entry.insert(files.open(&body(sent.shard))?)
                    }
                };
                row.resize(sent.length as usize, 0);
                file.read_at(&mut row, sent.offset).map_err(spooled)?;
                let limits = self.engine.batch_limit.apply(codec.limits(&from.class));
                let at = open.iter().position(|filling| filling.class == from.class);
                let at = match at {
                    Some(at)
                        if open[at].count < limits.max_requests
                            && open[at].body.written + 1024 + row.len() as u64
                                <= limits.max_bytes =>
                    {
                        at
                    }
                    other => {
                        full.extend(other.map(|at| open.remove(at)));
                        let number = self.plan.shards.len() + open.len() + full.len();
                        open.push(Filling {
                            number: number as u32,
                            class: from.class.clone(),
                            body: files.create(&body(number as u32))?,
                            count: 0,
                        });
                        open.len() - 1
                    }
                };
                let filling = &mut open[at];
                if filling.count > 0 {
                    let separator = &from.frame.separator;
                    filling.body.write_all(separator).map_err(spooled)?;
                }
                sent = Sent {
                    shard: filling.number,
                    place: filling.count,
                    offset: filling.body.written,
                    ..sent
                };
                filling.body.write_all(&row).map_err(spooled)?;
                filling.count += 1;
                requests += 1;
            }
            places.push(sent);
        }
        if requests == 0 {
            return Ok((Vec::new(), 0));
        }
        full.extend(open);
        full.sort_by_key(|filling| filling.number);
        let mut shards = Vec::with_capacity(full.len());
        for mut filling in full {
            filling.body.sync().map_err(spooled)?;
            shards.push(planned(
                codec,
                &files,
                &self.plan.nonce,
                filling.number,
                filling.class,
                filling.count,
                filling.body.written,
                attempt,
            )?);
        }
        self.note_sent(&places, attempt)?;
        Ok((shards, requests))
    }

    /// The table of where requests are now, beside the one of the try before, which the ledger may still
    /// speak of.
    fn note_sent(&self, places: &[Sent], attempt: u32) -> Result<()> {
        let mut table = self.plan.files.create(&sent_table(attempt))?;
        for place in places {
            place.write(&mut table).map_err(spooled)?;
        }
        table.sync().map_err(spooled)
    }

    fn is_unanswered(&self, ordinal: u32, sent: &Sent) -> bool {
        const RETRYABLE: u8 = Verdict::ErroredRetryable as u8;
        const EXPIRED: u8 = Verdict::Expired as u8;
        let snapshot: Option<&BatchSnapshot> =
            self.works
                .get(sent.shard as usize)
                .and_then(|work| match &work.stage {
                    Stage::Sealed(snapshot) => Some(snapshot),
                    _ => None,
                });
        match (self.harvest.verdict(ordinal), snapshot) {
            (RETRYABLE | EXPIRED, _) => true,
            // No row names it: the batch may say why.
            (0, Some(snapshot)) if snapshot.status == BatchStatus::Failed => {
                refusal(snapshot, sent.place).is_some_and(|error| error.is_retryable())
            }
            (0, Some(snapshot)) => snapshot.status != BatchStatus::Cancelled,
            _ => false,
        }
    }
}

/// The spool's word for the table of where requests are, of a try.
pub(crate) fn sent_table(attempt: u32) -> String {
    match attempt {
        0 => "sent".to_owned(),
        attempt => format!("sent-{attempt}"),
    }
}
