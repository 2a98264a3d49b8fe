//! Plan: the input read once and cut into shards, each ready to become a batch.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use lmbatch_core::{
    BatchClass, BatchCodec, BatchHandle, BatchId, BatchProvider, Error, IdRule, KeyHint, Label,
    Nonce, ProviderId, RequestId, Result, RunClaim, RunRecord, Shard, ShardKey, ShardRecord,
    ShardState, Spool,
};
use serde::{Deserialize, Serialize};

use crate::draft::{Drafted, body, draft};
use crate::engine::blocking;
use crate::handles::RunHandles;
use crate::index::{Echo, Reader};
use crate::policy::BatchLimit;
use crate::source::RequestSource;
use crate::spool::{Files, Nowhere, SpooledBody};

/// How many bad requests an error shows.
pub const SHOWN: usize = 20;

/// Requests that are read, checked and encoded, and not yet sent.
#[derive(Debug)]
pub struct Plan {
    pub(crate) shards: Vec<PlannedShard>,
    pub(crate) requests: u32,
    pub(crate) digest: Box<str>,
    pub(crate) ids: IdRule,
    pub(crate) nonce: Nonce,
    pub(crate) files: Arc<Files>,
    pub(crate) provider: ProviderId,
    pub(crate) account: lmbatch_core::AccountId,
    pub(crate) key_hint: Option<KeyHint>,
    pub(crate) order: Option<lmbatch_core::Order>,
    /// CRC-32 of each file of the spool that belongs to the run as a whole.
    pub(crate) checksums: BTreeMap<Box<str>, u32>,
    /// Held from before its first file until its run has ended, where there is a record.
    pub(crate) claim: Option<RunClaim>,
    /// Its batches, once they are created.
    pub(crate) handles: Arc<RunHandles>,
    /// What is changed of its schemas.
    pub(crate) schema_notes: Vec<String>,
}

/// A shard of a plan.
#[derive(Debug, Clone)]
pub(crate) struct PlannedShard {
    pub(crate) shard: Shard,
    pub(crate) number: u32,
    pub(crate) attempt: u32,
    /// CRC-32 of its body, where the record has it.
    pub(crate) checksum: Option<u32>,
}

impl Plan {
    /// Requests in it.
    pub fn requests(&self) -> u64 {
        u64::from(self.requests)
    }

    /// Bytes that will be sent.
    pub fn bytes(&self) -> u64 {
        self.shards.iter().map(|planned| planned.shard.len()).sum()
    }

    /// Lets go of what lies in the spool, though a record was to be kept of it.
    pub fn discard(self) {
        self.files.keep(false);
    }

    /// Batches that it needs.
    pub fn batches(&self) -> u32 {
        self.shards.len() as u32
    }

    /// Returns what sending changes of the schemas for answers, one sentence each.
    pub fn schema_notes(&self) -> &[String] {
        &self.schema_notes
    }

    /// A digest of everything that is sent and given back, the same whenever the same input is read.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The one shard of what must fit into one batch.
    pub(crate) fn single(&self) -> Result<&Shard> {
        match self.shards.as_slice() {
            [only] => Ok(&only.shard),
            several => Err(Error::invalid_input(format!(
                "{} requests need {} batches of {}, and this makes one; run them, or split the input",
                self.requests,
                several.len(),
                self.provider
            ))),
        }
    }

    /// What the ledger keeps of it.
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
            attempt: 0,
            asked: 0,
            order: None,
            created_at: Some(clock.now()),
            finished: false,
            cancelled: false,
            cleaned: None,
            epoch: 0,
            checksums: self.checksums.clone(),
            notes: BTreeMap::new(),
        }
    }

    /// What a handle of its batch needs, before the batch exists.
    pub fn handle_parts(&self) -> Result<HandleParts> {
        let mut reader = Reader::new(self.files.open("echo")?);
        let mut echo = Echo::default();
        let mut requests = Vec::with_capacity(self.requests as usize);
        for _ in 0..self.requests {
            echo.read(&mut reader)
                .map_err(|e| Error::local("reading the spool", e))?;
            requests.push(request_id(&echo.id));
        }
        Ok(HandleParts {
            provider: self.provider.clone(),
            account: self.account.clone(),
            key_hint: self.key_hint.clone(),
            class: self.single()?.class.clone(),
            ids: self.ids.clone(),
            requests,
        })
    }
}

/// The caller's key out of an id's JSON: a string's characters, or a number as it was written.
pub(crate) fn request_id(json: &[u8]) -> RequestId {
    match serde_json::from_slice::<String>(json) {
        Ok(text) => RequestId::new(text),
        Err(_) => RequestId::new(String::from_utf8_lossy(json).into_owned()),
    }
}

/// A handle that only lacks its batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HandleParts {
    provider: ProviderId,
    account: lmbatch_core::AccountId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key_hint: Option<KeyHint>,
    class: BatchClass,
    ids: IdRule,
    requests: Vec<RequestId>,
}

impl HandleParts {
    /// Whose ids travel.
    pub(crate) fn id_choice(&self) -> IdChoice {
        match self.ids {
            IdRule::Verbatim => IdChoice::Callers,
            IdRule::Ordinal(_) | IdRule::Part { .. } => IdChoice::Ours,
        }
    }

    /// Account and key under which the batch is, or will be, created.
    pub(crate) fn account(&self) -> (&lmbatch_core::AccountId, Option<&KeyHint>) {
        (&self.account, self.key_hint.as_ref())
    }

    /// The handle of `batch`.
    pub fn with_batch(self, batch: BatchId) -> BatchHandle {
        BatchHandle {
            provider: self.provider,
            account: self.account,
            key_hint: self.key_hint,
            batch,
            class: self.class,
            ids: self.ids,
            requests: self.requests,
        }
    }
}

/// Why there is no plan. Nothing was sent.
#[derive(Debug)]
pub enum PlanError {
    /// Some requests are bad.
    Input(BadInput),
    /// The input could not be read, or does not fit.
    Failed(Error),
}

impl From<Error> for PlanError {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<PlanError> for Error {
    fn from(error: PlanError) -> Self {
        match error {
            PlanError::Failed(error) => error,
            PlanError::Input(bad) => Self::invalid_input(bad.to_string()),
        }
    }
}

/// The bad requests of an input: all counted, the first few named.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BadInput {
    /// How many there are.
    pub count: u64,
    /// The first [`SHOWN`].
    pub first: Vec<BadRequest>,
}

impl BadInput {
    /// Counts one more, and keeps the first by place: they come in that order but for duplicates.
    pub(crate) fn note(&mut self, bad: BadRequest) {
        self.count += 1;
        self.first.push(bad);
        if self.first.len() > 2 * SHOWN {
            self.trim();
        }
    }

    pub(crate) fn trim(&mut self) {
        self.first.sort_by_key(|bad| bad.place);
        self.first.truncate(SHOWN);
    }
}

/// One bad request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadRequest {
    /// Where it stands, from 1.
    pub place: u64,
    /// Its id, if it could be read.
    pub id: Option<String>,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for BadInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.count == 1 {
            "request is"
        } else {
            "requests are"
        };
        write!(f, "{} {plural} not valid", self.count)?;
        for bad in &self.first {
            match &bad.id {
                Some(id) => write!(f, "; {id:?} (number {}): {}", bad.place, bad.reason)?,
                None => write!(f, "; number {}: {}", bad.place, bad.reason)?,
            }
        }
        Ok(())
    }
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Checked {
    /// Requests.
    pub requests: u64,
    /// Bytes that would be sent.
    pub bytes: u64,
    /// Batches that they need.
    pub batches: u64,
    /// Changes that sending makes to the schemas for answers, one sentence each.
    pub schema_notes: Vec<String>,
    /// Attachments whose bytes are not of the declared media types, in one sentence.
    pub warning: Option<String>,
}

/// Reads and encodes every request as a run would, and sends nothing. Needs no key and no network.
pub fn check(codec: &dyn BatchCodec, source: Box<dyn RequestSource>) -> Result<Checked, PlanError> {
    check_within(codec, source, BatchLimit::default())
}

/// Reads and encodes every request as a run with smaller batches would, as [`check`] does.
pub fn check_within(
    codec: &dyn BatchCodec,
    source: Box<dyn RequestSource>,
    limit: BatchLimit,
) -> Result<Checked, PlanError> {
    let nonce = Nonce::draw(&crate::clock::SystemRng);
    let files = Files::new(Arc::new(Nowhere), nonce.as_str(), false);
    let drafted = draft(codec, source, &nonce, IdChoice::Ours, &files, limit)?;
    Ok(Checked {
        requests: u64::from(drafted.requests),
        bytes: drafted.shards.iter().map(|shard| shard.bytes).sum(),
        batches: drafted.shards.len() as u64,
        schema_notes: drafted.schema_notes,
        warning: drafted.warning,
    })
}

/// Whose ids travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IdChoice {
    /// Ours, which restore order without a map.
    Ours,
    /// The caller's, where the provider takes them all.
    Callers,
}

pub(crate) struct Planner {
    pub(crate) provider: Arc<dyn BatchProvider>,
    pub(crate) spool: Arc<dyn Spool>,
    pub(crate) nonce: Nonce,
    pub(crate) ids: IdChoice,
    pub(crate) limit: BatchLimit,
    pub(crate) claim: Option<RunClaim>,
}

impl Planner {
    /// Reads files and the whole source: not for an async thread. With the plan comes a warning about it.
    pub(crate) fn plan(
        self,
        source: Box<dyn RequestSource>,
    ) -> Result<(Plan, Option<String>), PlanError> {
        let files = Files::new(self.spool, self.nonce.as_str(), false);
        let codec = self.provider.codec();
        let Drafted {
            shards,
            requests,
            digest,
            checksums,
            schema_notes,
            warning,
        } = draft(codec, source, &self.nonce, self.ids, &files, self.limit)?;
        if requests == 0 {
            return Err(Error::invalid_input("there are no requests").into());
        }
        let shards = shards.into_iter().map(|drafted| {
            let (number, class) = (drafted.number, drafted.class);
            planned(
                codec,
                &files,
                &self.nonce,
                number,
                class,
                drafted.count,
                drafted.bytes,
                Some(drafted.checksum),
                0,
            )
        });
        let shards = shards.collect::<Result<_>>()?;
        let ids = match self.ids {
            IdChoice::Ours => IdRule::Ordinal(self.nonce.clone()),
            IdChoice::Callers => IdRule::Verbatim,
        };
        let (files, account) = (Arc::new(files), self.provider.account());
        let plan = Plan {
            shards,
            requests,
            digest,
            handles: RunHandles::new(
                Arc::clone(&files),
                codec.id().clone(),
                (account.clone(), self.provider.key_hint()),
                ids.clone(),
                requests,
                None,
            ),
            ids,
            nonce: self.nonce,
            files,
            provider: codec.id().clone(),
            account,
            key_hint: self.provider.key_hint(),
            order: None,
            checksums,
            claim: self.claim,
            schema_notes,
        };
        Ok((plan, warning))
    }
}

/// A plan that the ledger kept, over the files that the spool did.
pub(crate) fn restored(
    provider: &dyn BatchProvider,
    spool: Arc<dyn Spool>,
    run: &RunRecord,
    shards: &[ShardRecord],
) -> Result<Plan> {
    let files = Files::new(spool, run.nonce.as_str(), true);
    let shards: Vec<PlannedShard> = shards
        .iter()
        .map(|record| {
            planned(
                provider.codec(),
                &files,
                &run.nonce,
                record.key.shard,
                record.class.clone(),
                record.count,
                record.bytes,
                record.checksum,
                record.attempt,
            )
        })
        .collect::<Result<_>>()?;
    let files = Arc::new(files);
    Ok(Plan {
        shards,
        requests: run.requests,
        digest: run.digest.clone(),
        ids: run.ids.clone(),
        nonce: run.nonce.clone(),
        handles: RunHandles::new(
            Arc::clone(&files),
            run.provider.clone(),
            (run.account.clone(), run.key_hint.clone()),
            run.ids.clone(),
            run.requests,
            run.order,
        ),
        files,
        provider: run.provider.clone(),
        account: run.account.clone(),
        key_hint: run.key_hint.clone(),
        order: run.order,
        checksums: run.checksums.clone(),
        claim: None,
        schema_notes: Vec::new(),
    })
}

#[expect(
    clippy::too_many_arguments,
    reason = "what a shard is made of, in one place"
)]
pub(crate) fn planned(
    codec: &dyn BatchCodec,
    files: &Files,
    nonce: &Nonce,
    number: u32,
    class: BatchClass,
    count: u32,
    bytes: u64,
    checksum: Option<u32>,
    attempt: u32,
) -> Result<PlannedShard> {
    let label = label(nonce, number);
    Ok(PlannedShard {
        shard: Shard {
            frame: codec.frame(&class, &label),
            class,
            label,
            count,
            rows: Arc::new(SpooledBody {
                file: files.open(&body(number))?,
                bytes,
            }),
        },
        number,
        attempt,
        checksum,
    })
}

impl PlannedShard {
    /// Checks its body against its checksum: what is sent is what was planned.
    ///
    /// # Errors
    /// [`ErrorKind::Local`](lmbatch_core::ErrorKind::Local) where it is damaged; nothing was sent.
    pub(crate) async fn verify(&self, files: &Arc<Files>) -> Result<()> {
        let Some(checksum) = self.checksum else {
            return Ok(());
        };
        let (files, body) = (Arc::clone(files), body(self.number));
        blocking(move || files.verify(&body, checksum)).await?
    }

    /// What the ledger keeps of it, before anything is sent.
    pub(crate) fn record(&self, run: &str) -> ShardRecord {
        ShardRecord {
            key: ShardKey {
                run: run.into(),
                shard: self.number,
            },
            label: self.shard.label.clone(),
            class: self.shard.class.clone(),
            count: self.shard.count,
            bytes: self.shard.rows.len(),
            checksum: self.checksum,
            attempt: self.attempt,
            epoch: 0,
            state: ShardState::Planned,
            progress: Default::default(),
            proof: None,
            doubted: None,
            remnants: Vec::new(),
            sent_twice: false,
        }
    }
}

/// Returns the id of a new run of a nonce, which the names of its spool files begin with: the whole nonce, so
/// that among ten million runs an equal id is as likely as one in 68,000.
pub fn run_id(nonce: &str) -> Box<str> {
    format!("r-{nonce}").into()
}

/// Returns the id that earlier versions gave the run of a nonce. Records under it stay valid.
pub fn former_run_id(nonce: &str) -> Box<str> {
    format!("r-{}", nonce.get(..6).unwrap_or(nonce)).into()
}

/// Our mark on a batch: the nonce that its requests carry, and its number in the run.
pub(crate) fn label(nonce: &Nonce, number: u32) -> Label {
    Label::new(format!("lmbatch-{}-{number}", nonce.as_str()))
}
