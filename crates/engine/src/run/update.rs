//! A changed input under the same run: what is unchanged keeps its outcome, and only the rest is sent.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Write as _;
use std::sync::Arc;

use lmbatch_core::{BatchClass, Error, IdRule, Order, Result, RunRecord, WireId};
use sha2::{Digest as _, Sha256};

use crate::context::Context;
use crate::plan::Plan;
use crate::plan::rows::Rows;
use crate::plan::shards::Refill;
use crate::run::job::Job;
use crate::run::requeue::Refilled;
use crate::spool::layout::{echo_table, order_table, sent_table};
use crate::spool::order::note_sent;
use crate::spool::tables::{Echo, Reader, Sent};
use crate::spool::{Files, spooled};

/// How a changed input differs from what a run has sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Changes {
    /// Requests that are the same: they keep their outcomes.
    pub unchanged: u64,
    /// Requests of a known id that are sent as they are now.
    pub changed: u64,
    /// Requests that are new.
    pub new: u64,
    /// Requests that are not there any more: they leave the output.
    pub gone: u64,
}

/// A request's row but for its id on the wire, and what it shares with others.
type Print = [u8; 16];

impl Context {
    pub(crate) async fn update(
        &self,
        run: &RunRecord,
        plan: &Plan,
    ) -> Result<(RunRecord, Changes)> {
        let _claim = self.holding(&run.id).await?;
        let run = &self.comparable(run).await?;
        let mut job = self.job(run).await?;
        if job.run.cancelled {
            return Err(Error::invalid_input(format!(
                "the run {} is cancelled; nothing was sent",
                run.id
            )));
        }
        let (changes, refilled, order) = {
            let mut update = Update::new(&job, plan)?;
            let known = update.known()?;
            let changes = update.take(&known, None)?;
            let (order, checksums) = update.note(plan)?;
            let shards = update.refill.finish()?;
            (changes, Refilled { shards, checksums }, order)
        };
        // Of a run that goes on, what is unchanged keeps its attempts; of one that has ended, its outcomes.
        if job.must_have_ended().is_ok() {
            job.run.asked = job.run.attempt + 1;
        }
        job.run.requests = plan.requests;
        job.run.digest = plan.digest.clone();
        job.run.order = Some(order);
        let checksums = refilled.checksums.clone();
        if job.send(refilled).await? == 0 {
            job.run.checksums.extend(checksums);
            // Nothing new: only what is in the output has changed.
            job.note(job.run.attempt + 1, false, &[]).await?;
        }
        Ok((job.run, changes))
    }

    pub(crate) async fn requeue_as(
        &self,
        run: &RunRecord,
        chosen: &HashSet<u32>,
        plan: &Plan,
    ) -> Result<u64> {
        let _claim = self.holding(&run.id).await?;
        let run = &self.comparable(run).await?;
        let mut job = self.job(run).await?;
        job.must_have_ended()?;
        let refilled = {
            let mut update = Update::new(&job, plan)?;
            let chosen = job.plan.ordinals_of(chosen)?;
            let mut known = update.known()?;
            known.retain(|_, (_, ordinal)| chosen.contains(ordinal));
            let found = update.take(&known, Some(&chosen))?;
            if found.changed < chosen.len() as u64 {
                return Err(Error::invalid_input(format!(
                    "{} of the requests are not in the input any more; nothing was sent",
                    chosen.len() as u64 - found.changed
                )));
            }
            let attempt = job.run.attempt + 1;
            let checksum = note_sent(&job.plan.files, &update.places, attempt)?;
            Refilled {
                shards: update.refill.finish()?,
                checksums: [(sent_table(attempt).into(), checksum)].into(),
            }
        };
        self.revive(&job.run).await?;
        job.run.asked = job.run.attempt + 1;
        job.send(refilled).await
    }

    async fn comparable(&self, run: &RunRecord) -> Result<RunRecord> {
        if !matches!(run.ids, IdRule::Ordinal(_)) {
            let message = format!(
                "the run {} sent its caller's own ids; nothing was sent",
                run.id
            );
            return Err(Error::invalid_input(message));
        }
        self.of_this_account(run).await
    }
}

/// A run that is being laid beside a plan.
struct Update<'a> {
    old: &'a Plan,
    new: &'a Plan,
    attempt: u32,
    files: &'a Arc<Files>,
    refill: Refill<'a>,
    /// Where each request of the run lies, by its ordinal.
    places: Vec<Sent>,
    /// The ordinal of each request of the new input.
    order: Vec<u32>,
}

/// Requests of the run by a digest of their id: what was sent, and their ordinals.
type Known = HashMap<Print, (Print, u32)>;

impl<'a> Update<'a> {
    fn new(job: &'a Job<'_>, new: &'a Plan) -> Result<Self> {
        let (old, attempt) = (&job.plan, job.run.attempt);
        let codec = job.context.provider.codec();
        let limit = job.context.batch_limit;
        let (nonce, files) = (&old.nonce, &old.files);
        let next = old.shards.len();
        let mut rows = Rows::new(files, &sent_table(attempt), &old.shards)?;
        let places = (0..old.ordinals()).map(|_| rows.next());
        Ok(Self {
            old,
            new,
            attempt: attempt + 1,
            files,
            refill: Refill::new(codec, limit, nonce, files, attempt + 1, next),
            places: places.collect::<Result<_>>()?,
            order: Vec::with_capacity(new.requests as usize),
        })
    }

    fn known(&self) -> Result<Known> {
        let table = sent_table(self.attempt - 1);
        let mut rows = Rows::new(self.files, &table, &self.old.shards)?;
        let mut echoes = Reader::new(self.files.open(&self.old.echo())?);
        let mut echo = Echo::default();
        let order = self.old.order()?;
        let mut known = HashMap::with_capacity(self.old.requests as usize);
        for position in 0..self.old.requests {
            echo.read(&mut echoes).map_err(spooled)?;
            let ordinal = order
                .as_ref()
                .map_or(position, |order| order[position as usize]);
            let sent = self.places[ordinal as usize];
            let class = &self.old.shards[sent.shard as usize].shard.class;
            let id = WireId::ordinal(&self.old.nonce, ordinal);
            let print = print(class, &id, rows.read(&sent)?);
            known.insert(digest(&[&echo.id]), (print, ordinal));
        }
        Ok(known)
    }

    /// Goes over the new input: what the run does not know as it is goes into new shards. Where only some
    /// are `chosen`, they go out whether they are known or not, and nothing else does.
    fn take(&mut self, known: &Known, chosen: Option<&HashSet<u32>>) -> Result<Changes> {
        let mut changes = Changes::default();
        let mut rows = Rows::new(&self.new.files, &sent_table(0), &self.new.shards)?;
        let mut echoes = Reader::new(self.new.files.open("echo")?);
        let mut echo = Echo::default();
        let mut row = Vec::new();
        for position in 0..self.new.requests {
            echo.read(&mut echoes).map_err(spooled)?;
            let sent = rows.next()?;
            let class = &self.new.shards[sent.shard as usize].shard.class;
            let id = WireId::ordinal(&self.new.nonce, position);
            row.clear();
            row.extend_from_slice(rows.read(&sent)?);
            let ordinal = match known.get(&digest(&[&echo.id])) {
                Some((sent, ordinal)) if chosen.is_none() && *sent == print(class, &id, &row) => {
                    changes.unchanged += 1;
                    self.order.push(*ordinal);
                    continue;
                }
                Some((_, ordinal)) if chosen.is_some() => {
                    changes.changed += 1;
                    *ordinal
                }
                // A changed request is another one: what was answered to the old one stays with it.
                found if chosen.is_none() => {
                    changes.changed += u64::from(found.is_some());
                    changes.new += u64::from(found.is_none());
                    self.places.len() as u32
                }
                _ => continue,
            };
            rename(&mut row, &id, &WireId::ordinal(&self.old.nonce, ordinal));
            let sent = self.refill.put(class, &row)?;
            match self.places.get_mut(ordinal as usize) {
                Some(place) => *place = sent,
                None => self.places.push(sent),
            }
            self.order.push(ordinal);
        }
        let stay = changes.unchanged + changes.changed;
        changes.gone = (known.len() as u64).saturating_sub(stay);
        Ok(changes)
    }

    /// Notes the new order and what goes back beside each outcome, with the CRC-32 of each file.
    fn note(&self, plan: &Plan) -> Result<(Order, BTreeMap<Box<str>, u32>)> {
        let sent = note_sent(self.files, &self.places, self.attempt)?;
        let order = Order {
            table: self.attempt,
            ordinals: self.places.len() as u32,
        };
        let mut ordinals = self.files.create(&order_table(order.table))?;
        for ordinal in &self.order {
            ordinals
                .write_all(&ordinal.to_le_bytes())
                .map_err(spooled)?;
        }
        ordinals.sync().map_err(spooled)?;
        let mut from = Reader::new(plan.files.open("echo")?);
        let mut echoes = self.files.create(&echo_table(order.table))?;
        let mut echo = Echo::default();
        for _ in 0..plan.requests {
            echo.read(&mut from).map_err(spooled)?;
            echo.write(&mut echoes).map_err(spooled)?;
        }
        echoes.sync().map_err(spooled)?;
        let checksums = [
            (sent_table(self.attempt).into(), sent),
            (order_table(order.table).into(), ordinals.checksum()),
            (echo_table(order.table).into(), echoes.checksum()),
        ];
        Ok((order, checksums.into()))
    }
}

/// Puts another id of the same length in an id's place.
fn rename(row: &mut [u8], from: &WireId, to: &WireId) {
    let (from, to) = (from.as_str().as_bytes(), to.as_str().as_bytes());
    if let Some(at) = memchr::memmem::find(row, from)
        && from.len() == to.len()
    {
        row[at..at + to.len()].copy_from_slice(to);
    }
}

fn print(class: &BatchClass, id: &WireId, row: &[u8]) -> Print {
    let class = serde_json::to_vec(class).unwrap_or_default();
    let id = id.as_str().as_bytes();
    let (before, after) = match memchr::memmem::find(row, id) {
        Some(at) => (&row[..at], &row[at + id.len()..]),
        None => (row, &[][..]),
    };
    digest(&[&class, before, after])
}

fn digest(parts: &[&[u8]]) -> Print {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part);
    }
    let mut print = [0; 16];
    print.copy_from_slice(&digest.finalize()[..16]);
    print
}
