//! Update of a run's input: unchanged requests keep their outcomes, and only the others are sent.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Write as _;
use std::sync::Arc;

use lmbatch_core::{
    BatchClass, BatchCodec, Error, IdRule, Order, Result, RunRecord, ShardRecord, WireId,
};

use crate::context::Context;
use crate::plan::Plan;
use crate::plan::planned::{PlannedShard, planned};
use crate::plan::rows::Bodies;
use crate::plan::shards::ShardWriter;
use crate::results::merge::{Layer, Layers, Merge, Merged};
use crate::run::compare::{Changes, KnownRequests, compare, digest, known_requests};
use crate::run::job::Job;
use crate::spool::tables::{Echo, Reader};
use crate::spool::{layout, spooled};

impl Context {
    pub(crate) async fn update(
        &self,
        run: &RunRecord,
        plan: &Plan,
    ) -> Result<(RunRecord, Changes)> {
        let _claim = self.holding(&run.id).await?;
        let run = &self.comparable(run).await?;
        self.in_present_layout(run).await?;
        let mut job = self.job(run).await?;
        if job.run.cancelled {
            return Err(Error::invalid_input(format!(
                "the run {} is cancelled; nothing was sent",
                run.id
            )));
        }
        if plan.pilot_of.is_some() && job.run.pilot_of.is_none() {
            return Err(Error::invalid_input(format!(
                "the run {} holds all requests of its input, and cannot be reduced to a pilot; nothing was sent",
                job.run.id
            )));
        }
        let (changes, new, order, checksums) = {
            let records = job.records();
            let mut update = Update::new(&job, &records, plan);
            let known = known_requests(&job.plan)?;
            let changes = update.take(&known)?;
            let (order, checksums) = update.note()?;
            (changes, update.finish()?, order, checksums)
        };
        // In a running run, unchanged requests keep their attempts; in one that has ended, their
        // outcomes.
        if job.must_have_ended().is_ok() {
            job.run.requested_attempt = job.run.attempt + 1;
        }
        job.run.requests = plan.requests;
        job.run.pilot_of = plan.pilot_of;
        job.run.digest = plan.digest.clone();
        job.run.order = Some(order);
        job.run.checksums = checksums;
        if job.send(new).await? == 0 {
            // Nothing is sent: only the output has changed.
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
        self.in_present_layout(run).await?;
        let mut job = self.job(run).await?;
        job.must_have_ended()?;
        let new = {
            let records = job.records();
            let mut update = Update::new(&job, &records, plan);
            let chosen = job.plan.ordinals_of(chosen)?;
            let mut known = known_requests(&job.plan)?;
            known.retain(|_, (_, ordinal)| chosen.contains(ordinal));
            let found = update.take_known(&known)?;
            if found < chosen.len() as u64 {
                return Err(Error::invalid_input(format!(
                    "{} of the chosen requests are no longer in the input; nothing was sent",
                    chosen.len() as u64 - found
                )));
            }
            update.finish()?
        };
        self.clear_cancellation(&job.run).await?;
        job.run.requested_attempt = job.run.attempt + 1;
        job.send(new).await
    }

    /// Compares a plan with what a run has sent. Changes nothing.
    pub(crate) async fn changes(&self, run: &RunRecord, plan: &Plan) -> Result<Changes> {
        let job = self.job(run).await?;
        compare(plan, &known_requests(&job.plan)?, |_| Ok(()))
    }

    async fn comparable(&self, run: &RunRecord) -> Result<RunRecord> {
        if !matches!(run.ids, IdRule::Ordinal(_)) {
            let message = format!(
                "the run {} uses the caller's ids on the wire, so that its input cannot be changed; nothing was sent",
                run.id
            );
            return Err(Error::invalid_input(message));
        }
        self.of_this_account(run).await
    }
}

/// Comparison of a run with the plan of a changed input.
struct Update<'a> {
    old: &'a Plan,
    new: &'a Plan,
    codec: &'a dyn BatchCodec,
    attempt: u32,
    writer: ShardWriter<'a>,
    /// Number of requests that were ever sent, including those of the new input.
    ordinals: u32,
    /// Ordinal of each request of the new input.
    order: Vec<u32>,
}

impl<'a> Update<'a> {
    fn new(job: &'a Job<'_>, records: &'a [ShardRecord], new: &'a Plan) -> Self {
        let (old, limit) = (&job.plan, job.context.batch_limit);
        let codec = job.context.provider.codec();
        let next = old.shards.len() as u32;
        Self {
            old,
            new,
            codec,
            attempt: job.run.attempt + 1,
            writer: ShardWriter::new(codec, limit, &old.nonce, &old.files, next, records),
            ordinals: old.ordinals(),
            order: Vec::with_capacity(new.requests as usize),
        }
    }

    /// Reads the new input and puts new and changed requests into new shards.
    fn take(&mut self, known: &KnownRequests) -> Result<Changes> {
        compare(self.new, known, |request| {
            if let Some(ordinal) = request.unchanged {
                self.order.push(ordinal);
                return Ok(());
            }
            // A changed request gets a new ordinal: the answer to the old one stays with the old
            // ordinal.
            let ordinal = self.ordinals;
            self.ordinals = ordinal.checked_add(1).ok_or_else(too_many)?;
            let id = WireId::ordinal(&self.old.nonce, ordinal);
            rename(request.row, &request.id, &id);
            let echo = request.echo.fields();
            self.writer.put(request.class, request.row, ordinal, echo)?;
            self.order.push(ordinal);
            Ok(())
        })
    }

    /// Puts the known requests into new shards as the new input has them, and returns how many the
    /// new input has.
    fn take_known(&mut self, known: &KnownRequests) -> Result<u64> {
        let (mut merge, mut echo) = (self.new.merge(), Echo::default());
        let mut found = Vec::with_capacity(known.len());
        while let Some(merged) = merge.next()? {
            merge.echo(&mut echo)?;
            if let Some((_, ordinal)) = known.get(&digest(&[&echo.id])) {
                found.push((*ordinal, merged));
            }
        }
        // The order of the new input may differ from that of the run, which its shards keep.
        found.sort_unstable_by_key(|(ordinal, _)| *ordinal);
        let mut bodies = Bodies::new(&self.new.files, &self.new.shards);
        let mut echoes = Echoes::new(self.new);
        let mut row = Vec::new();
        for (ordinal, merged) in &found {
            let class = self.new.class(merged.shard);
            let id = WireId::ordinal(&self.new.nonce, merged.ordinal);
            row.clear();
            row.extend_from_slice(bodies.read(merged.shard, &merged.row)?);
            rename(&mut row, &id, &WireId::ordinal(&self.old.nonce, *ordinal));
            echoes.read(merged, &mut echo)?;
            self.writer.put(class, &row, *ordinal, echo.fields())?;
        }
        Ok(found.len() as u64)
    }

    /// Writes the new order and the echoes of the output, and returns the CRC-32 checksum of each
    /// file.
    fn note(&self) -> Result<(Order, BTreeMap<Box<str>, u32>)> {
        let order = Order {
            table: self.attempt,
            ordinals: self.ordinals,
        };
        let files = &self.old.files;
        let order_name = layout::order(order.table);
        let mut ordinals = files.create(&order_name)?;
        for ordinal in &self.order {
            ordinals
                .write_all(&ordinal.to_le_bytes())
                .map_err(spooled)?;
        }
        ordinals.sync().map_err(spooled)?;
        let echo_name = layout::order_echo(order.table);
        let mut echoes = files.create(&echo_name)?;
        let (mut merge, mut echo) = (self.new.merge(), Echo::default());
        while merge.next()?.is_some() {
            merge.echo(&mut echo)?;
            echo.write(&mut echoes).map_err(spooled)?;
        }
        echoes.sync().map_err(spooled)?;
        let checksums = [
            (order_name.into(), ordinals.checksum()),
            (echo_name.into(), echoes.checksum()),
        ];
        Ok((order, checksums.into()))
    }

    /// Closes the new shards.
    fn finish(self) -> Result<Vec<PlannedShard>> {
        let (files, nonce) = (&self.old.files, &self.old.nonce);
        let written = self.writer.finish()?.into_iter();
        let planned = written.map(|one| planned(self.codec, files, nonce, one, self.attempt));
        planned.collect()
    }
}

/// Reads the echoes of requests in any order.
struct Echoes<'a> {
    plan: &'a Plan,
    open: HashMap<u32, Reader>,
}

impl<'a> Echoes<'a> {
    /// Number of bytes that are read ahead from the echo of each shard.
    const AHEAD: usize = 4 << 10;

    fn new(plan: &'a Plan) -> Self {
        Self {
            plan,
            open: HashMap::new(),
        }
    }

    fn read(&mut self, merged: &Merged, echo: &mut Echo) -> Result<()> {
        let reader = match self.open.entry(merged.shard) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::hash_map::Entry::Vacant(entry) => {
                let table = &self.plan.shards[merged.shard as usize].tables.request_data;
                let file = self.plan.tables.open_whole(table)?;
                entry.insert(Reader::ahead(file, Self::AHEAD))
            }
        };
        reader.seek(merged.row.echo);
        echo.read(reader).map_err(spooled)
    }
}

fn too_many() -> Error {
    Error::invalid_input("there are more than 4,294,967,295 requests")
}

impl Plan {
    /// Returns the requests of the run by ordinal, without their outcomes.
    pub(crate) fn merge(&self) -> Merge {
        Merge::new(Arc::new(Layers {
            files: Arc::clone(&self.files),
            tables: Arc::clone(&self.tables),
            all: self.shards.iter().map(Layer::of).collect(),
        }))
    }

    /// Returns the class of a shard.
    pub(crate) fn class(&self, shard: u32) -> &BatchClass {
        &self.shards[shard as usize].shard.class
    }
}

/// Replaces an id by another one of the same length.
pub(super) fn rename(row: &mut [u8], from: &WireId, to: &WireId) {
    let (from, to) = (from.as_str().as_bytes(), to.as_str().as_bytes());
    if let Some(at) = memchr::memmem::find(row, from)
        && from.len() == to.len()
    {
        row[at..at + to.len()].copy_from_slice(to);
    }
}
