//! Plan: the input, read once and cut into shards, each of which can become a batch.

pub(crate) mod attachments;
pub(crate) mod blocks;
pub(crate) mod content;
pub(crate) mod duplicates;
pub(crate) mod encode;
pub(crate) mod error;
pub(crate) mod former;
pub(crate) mod handle_parts;
pub(crate) mod handles;
pub(crate) mod ids;
pub(crate) mod largest;
pub(crate) mod local_file;
pub(crate) mod order;
pub(crate) mod planned;
pub(crate) mod planned_request;
pub(crate) mod rows;
pub(crate) mod shards;

use std::collections::BTreeMap;
use std::sync::Arc;

use lmbatch_core::{
    Account, BatchCodec, BatchProvider, Error, ErrorKind, IdRule, KeyHint, Nonce, ProviderId,
    RequestSource, Result, RunClaim, RunRecord, Shard, ShardRecord, Spool,
};

use crate::blocking::blocking;
use crate::counted;
use crate::plan::encode::{Drafted, draft};
use crate::plan::error::PlanError;
use crate::plan::former::Converted;
use crate::plan::handle_parts::HandleParts;
use crate::plan::handles::{RunHandles, read_ids};
use crate::plan::ids::{IdChoice, label, run_id};
use crate::plan::planned::{PlannedShard, planned};
use crate::plan::planned_request::{PlannedRequest, Visit};
use crate::plan::shards::WrittenShard;
use crate::policy::BatchLimit;
use crate::spool::Files;
use crate::spool::nowhere::Nowhere;

/// Requests that are read, checked and encoded, but not yet sent.
#[derive(Debug)]
pub struct Plan {
    pub(crate) shards: Vec<PlannedShard>,
    pub(crate) requests: u32,
    /// Number of requests of the whole input, where the plan is that of a pilot.
    pub(crate) pilot_of: Option<u32>,
    pub(crate) digest: Box<str>,
    pub(crate) ids: IdRule,
    pub(crate) nonce: Nonce,
    pub(crate) files: Arc<Files>,
    /// Files of the tables of the shards: the same as `files`, except for a run in layout 1 that is
    /// only read.
    pub(crate) tables: Arc<Files>,
    pub(crate) provider: ProviderId,
    pub(crate) account: lmbatch_core::AccountId,
    pub(crate) key_hint: Option<KeyHint>,
    pub(crate) order: Option<lmbatch_core::Order>,
    /// CRC-32 checksum of each spool file that belongs to the run as a whole.
    pub(crate) checksums: BTreeMap<Box<str>, u32>,
    /// Claim of the run, held from before the first file until the run has ended; `None` without a
    /// durable ledger.
    pub(crate) claim: Option<RunClaim>,
    /// Handles of the batches that are created so far.
    pub(crate) handles: Arc<RunHandles>,
    /// Changes with which schemas are sent.
    pub(crate) schema_notes: Vec<String>,
    /// True if the answer to a request is checked against a schema; `None` for a plan from a record, which does not say.
    pub(crate) has_schema: Option<bool>,
}

impl Plan {
    /// Returns the number of requests.
    pub fn requests(&self) -> u64 {
        u64::from(self.requests)
    }

    /// Returns the number of bytes that will be sent.
    pub fn bytes(&self) -> u64 {
        self.shards.iter().map(|planned| planned.shard.len()).sum()
    }

    /// Deletes the spool files of the plan, even where a record was to keep them.
    pub fn discard(self) {
        self.files.keep(false);
    }

    /// Returns the number of batches that the plan needs.
    pub fn batches(&self) -> u32 {
        self.shards.len() as u32
    }

    /// Returns the changes with which schemas for structured output are sent, one sentence each.
    pub fn schema_notes(&self) -> &[String] {
        &self.schema_notes
    }

    /// Returns a digest of everything that is sent and returned. The same input always has the same
    /// digest.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Returns the only shard of a plan that must fit into one batch.
    pub(crate) fn single(&self) -> Result<&Shard> {
        match self.shards.as_slice() {
            [only] => Ok(&only.shard),
            several => Err(Error::invalid_input(format!(
                "{} need {} batches of {}, and this call creates one; use a run, or split the input",
                counted::requests(self.requests),
                several.len(),
                self.provider
            ))),
        }
    }

    /// Returns the record of the new run.
    pub(crate) fn record(&self, clock: &dyn lmbatch_core::Clock) -> RunRecord {
        RunRecord {
            id: run_id(self.nonce.as_str()),
            name: None,
            digest: self.digest.clone(),
            provider: self.provider.clone(),
            account: self.account.clone(),
            key_hint: self.key_hint.clone(),
            ids: self.ids.clone(),
            nonce: self.nonce.clone(),
            requests: self.requests,
            pilot_of: self.pilot_of,
            attempt: 0,
            requested_attempt: 0,
            order: None,
            created_at: Some(clock.now()),
            finished: false,
            cancelled: false,
            cleaned: None,
            answers_deleted_at: None,
            epoch: 0,
            checksums: self.checksums.clone(),
            notes: BTreeMap::new(),
        }
    }

    /// Returns the plan with its [`handle_parts`](Self::handle_parts), which are read off the async threads.
    pub(crate) async fn with_handle_parts(self) -> Result<(Self, HandleParts)> {
        let work = move || self.handle_parts().map(|parts| (self, parts));
        blocking(work).await?
    }

    /// Returns what a handle of the batch needs, before the batch exists. Reads the ids of all requests from the
    /// spool: not for an async thread.
    pub fn handle_parts(&self) -> Result<HandleParts> {
        let class = self.single()?.class.clone();
        let mut requests = Vec::new();
        for planned in &self.shards {
            let ids = read_ids(&self.tables, &planned.tables, planned.shard.count)?;
            requests.extend(ids.into_iter().map(|(_, id)| id));
        }
        Ok(HandleParts {
            provider: self.provider.clone(),
            account: self.account.clone(),
            key_hint: self.key_hint.clone(),
            class,
            ids: self.ids.clone(),
            requests,
        })
    }
}

/// Result of checking an input without sending it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Checked {
    /// Number of requests.
    pub requests: u64,
    /// Number of bytes that would be sent.
    pub bytes: u64,
    /// Number of batches that the requests need.
    pub batches: u64,
    /// Changes with which schemas for structured output are sent, one sentence each.
    pub schema_notes: Vec<String>,
    /// True if the answer to a request is checked against a schema.
    pub has_schema: bool,
    /// Warning about attachments whose bytes are not of their declared media types, in one
    /// sentence.
    pub warning: Option<String>,
}

/// Reads and encodes every request as a run would, and sends nothing. Needs neither a key nor a
/// network.
pub fn check(codec: &dyn BatchCodec, source: Box<dyn RequestSource>) -> Result<Checked, PlanError> {
    check_within(codec, source, BatchLimit::default())
}

/// Reads and encodes every request as [`check`] does, for a run with smaller batches.
pub fn check_within(
    codec: &dyn BatchCodec,
    source: Box<dyn RequestSource>,
    limit: BatchLimit,
) -> Result<Checked, PlanError> {
    check_each(codec, source, limit, &mut |_| {})
}

/// Reads and encodes every request as [`check_within`] does, and passes each to `visit`. Where the
/// input has invalid requests, those after the first invalid one are not passed.
///
/// # Errors
/// [`PlanError`] for an input that cannot be read or that has invalid requests.
pub fn check_each(
    codec: &dyn BatchCodec,
    source: Box<dyn RequestSource>,
    limit: BatchLimit,
    visit: &mut dyn FnMut(&PlannedRequest<'_>),
) -> Result<Checked, PlanError> {
    let nonce = Nonce::draw(&crate::clock::SystemRng);
    let files = Files::new(Arc::new(Nowhere), nonce.as_str(), false);
    let drafted = draft(
        codec,
        source,
        &nonce,
        IdChoice::Ordinal,
        &files,
        limit,
        visit,
    )?;
    let bytes = drafted.shards.iter().map(|shard| {
        let frame = codec.frame(&shard.class, &label(&nonce, shard.number));
        shard.bytes + (frame.prefix.len() + frame.suffix.len()) as u64
    });
    Ok(Checked {
        requests: u64::from(drafted.requests),
        bytes: bytes.sum(),
        batches: drafted.shards.len() as u64,
        schema_notes: drafted.schema_notes,
        has_schema: drafted.has_schema,
        warning: drafted.warning,
    })
}

pub(crate) struct Planner {
    pub(crate) provider: Arc<dyn BatchProvider>,
    /// Account under which the plan's run is recorded.
    pub(crate) account: Account,
    pub(crate) spool: Arc<dyn Spool>,
    pub(crate) nonce: Nonce,
    pub(crate) ids: IdChoice,
    pub(crate) limit: BatchLimit,
    pub(crate) claim: Option<RunClaim>,
    /// Sees each request that is planned.
    pub(crate) visit: Option<Visit>,
}

impl Planner {
    /// Plans the whole source. Reads files: not for an async thread. Returns the plan, and a
    /// warning if there is one.
    pub(crate) fn plan(
        self,
        source: Box<dyn RequestSource>,
    ) -> Result<(Plan, Option<String>), PlanError> {
        let files = Files::new(self.spool, self.nonce.as_str(), false);
        let codec = self.provider.codec();
        let mut visit = self.visit.unwrap_or_else(|| Box::new(|_| {}));
        let Drafted {
            shards,
            requests,
            digest,
            schema_notes,
            has_schema,
            warning,
        } = draft(
            codec,
            source,
            &self.nonce,
            self.ids,
            &files,
            self.limit,
            &mut *visit,
        )?;
        if requests == 0 {
            return Err(Error::invalid_input("there are no requests").into());
        }
        let shards = shards.into_iter();
        let shards = shards.map(|written| planned(codec, &files, &self.nonce, written, 0));
        let shards = shards.collect::<Result<_>>()?;
        let ids = match self.ids {
            IdChoice::Ordinal => IdRule::Ordinal(self.nonce.clone()),
            IdChoice::Callers => IdRule::Verbatim,
        };
        let (files, account) = (Arc::new(files), self.account.id);
        let plan = Plan {
            shards,
            requests,
            pilot_of: None,
            digest,
            handles: RunHandles::new(
                Arc::clone(&files),
                Arc::clone(&files),
                codec.id().clone(),
                (account.clone(), self.account.key_hint),
                ids.clone(),
            ),
            ids,
            nonce: self.nonce,
            tables: Arc::clone(&files),
            files,
            provider: codec.id().clone(),
            account,
            key_hint: self.provider.key_hint(),
            order: None,
            checksums: BTreeMap::new(),
            claim: self.claim,
            schema_notes,
            has_schema: Some(has_schema),
        };
        Ok((plan, warning))
    }
}

/// Returns the plan of a recorded run over its spool files. For a run in layout 1, `former` holds
/// the tables of its shards and their files. Opens files but reads nothing of them.
pub(crate) fn restored(
    provider: &dyn BatchProvider,
    files: Arc<Files>,
    run: &RunRecord,
    shards: &[ShardRecord],
    former: Option<(Converted, Arc<Files>)>,
) -> Result<Plan> {
    let (mut converted, tables) = match former {
        Some((converted, tables)) => (Some(converted), tables),
        None => (None, Arc::clone(&files)),
    };
    let mut planned_shards = Vec::with_capacity(shards.len());
    for (at, record) in shards.iter().enumerate() {
        let of_former = converted.as_ref().and_then(|one| one.tables.get(at));
        let tables = of_former.or(record.tables.as_ref()).cloned();
        let written = WrittenShard {
            number: record.key.shard,
            class: record.class.clone(),
            count: record.count,
            bytes: record.bytes,
            checksum: record.checksum,
            tables: tables.ok_or_else(|| {
                Error::new(ErrorKind::Internal)
                    .with_message(format!("{} has no tables in the record", record.key))
            })?,
        };
        let codec = provider.codec();
        let planned = planned(codec, &files, &run.nonce, written, record.attempt)?;
        planned_shards.push(PlannedShard {
            repair: record.repair,
            ..planned
        });
    }
    let checksums = match &mut converted {
        Some(converted) => std::mem::take(&mut converted.checksums),
        None => run.checksums.clone(),
    };
    Ok(Plan {
        shards: planned_shards,
        requests: run.requests,
        pilot_of: run.pilot_of,
        digest: run.digest.clone(),
        ids: run.ids.clone(),
        nonce: run.nonce.clone(),
        handles: RunHandles::new(
            Arc::clone(&files),
            Arc::clone(&tables),
            run.provider.clone(),
            (run.account.clone(), run.key_hint.clone()),
            run.ids.clone(),
        ),
        files,
        tables,
        provider: run.provider.clone(),
        account: run.account.clone(),
        key_hint: run.key_hint.clone(),
        order: run.order,
        checksums,
        claim: None,
        schema_notes: Vec::new(),
        has_schema: None,
    })
}
