//! Plan: read the input once, find every bad request, encode the good ones into a shard's body.

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::io::Write as _;
use std::sync::Arc;

use lmbatch_core::{
    BatchClass, BatchCodec, BatchHandle, BatchId, Error, ErrorKind, Frame, IdRule, JsonBuf, Label,
    Limits, MAX_DEPTH, Nonce, ProviderId, RequestError, RequestId, RequestView, Result, Shard,
    Spool, WireId,
};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::attach;
use crate::index::{BUFFER, Echo, Reader, Writer};
use crate::source::{Entry, RequestSource, Sourced};
use crate::spool::{Files, Nowhere, SpooledBody};

/// How many bad requests an error shows.
pub const SHOWN: usize = 20;

/// Requests that are read, checked and encoded, and not yet sent.
#[derive(Debug)]
pub struct Plan {
    pub(crate) shard: Shard,
    pub(crate) ids: IdRule,
    pub(crate) nonce: Nonce,
    pub(crate) files: Arc<Files>,
    pub(crate) provider: ProviderId,
    pub(crate) account: lmbatch_core::AccountId,
}

impl Plan {
    /// Requests in it.
    pub fn requests(&self) -> u64 {
        u64::from(self.shard.count)
    }

    /// Bytes that will be sent.
    pub fn bytes(&self) -> u64 {
        self.shard.len()
    }

    /// A digest of everything that will be sent.
    pub(crate) fn digest(&self) -> Result<Box<str>> {
        let file = self.files.open("body")?;
        let (mut digest, mut buffer, mut at) = (Sha256::new(), vec![0; BUFFER], 0);
        loop {
            let read = file
                .read_at(&mut buffer, at)
                .map_err(|e| Error::local("reading the spool", e))?;
            if read == 0 {
                break;
            }
            digest.update(&buffer[..read]);
            at += read as u64;
        }
        let bytes = digest.finalize();
        let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(digits.into())
    }

    /// What a handle of its batch needs, before the batch exists.
    pub fn handle_parts(&self) -> Result<HandleParts> {
        let mut reader = Reader::new(self.files.open("echo")?);
        let mut echo = Echo::default();
        let mut requests = Vec::with_capacity(self.shard.count as usize);
        for _ in 0..self.shard.count {
            echo.read(&mut reader)
                .map_err(|e| Error::local("reading the spool", e))?;
            requests.push(request_id(&echo.id));
        }
        Ok(HandleParts {
            provider: self.provider.clone(),
            account: self.account.clone(),
            class: self.shard.class.clone(),
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
    class: BatchClass,
    ids: IdRule,
    requests: Vec<RequestId>,
}

impl HandleParts {
    /// Whose ids travel.
    pub(crate) fn id_choice(&self) -> IdChoice {
        match self.ids {
            IdRule::Verbatim => IdChoice::Callers,
            IdRule::Ordinal(_) => IdChoice::Ours,
        }
    }

    /// Under which account.
    pub(crate) fn account(&self) -> &lmbatch_core::AccountId {
        &self.account
    }

    /// The handle of `batch`.
    pub fn with_batch(self, batch: BatchId) -> BatchHandle {
        BatchHandle {
            provider: self.provider,
            account: self.account,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checked {
    /// Requests.
    pub requests: u64,
    /// Bytes that would be sent.
    pub bytes: u64,
}

/// Reads and encodes every request as a run would, and sends nothing. Needs no key and no network.
pub fn check(codec: &dyn BatchCodec, source: Box<dyn RequestSource>) -> Result<Checked, PlanError> {
    let nonce = Nonce::draw(&crate::clock::SystemRng);
    let files = Files::new(Arc::new(Nowhere), nonce.as_str());
    let drafted = draft(codec, source, &nonce, IdChoice::Ours, &files)?;
    Ok(Checked {
        requests: u64::from(drafted.count),
        bytes: drafted.bytes,
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
    pub(crate) provider: Arc<dyn lmbatch_core::BatchProvider>,
    pub(crate) spool: Arc<dyn Spool>,
    pub(crate) nonce: Nonce,
    pub(crate) ids: IdChoice,
}

impl Planner {
    /// Reads files and the whole source: not for an async thread.
    pub(crate) fn plan(self, source: Box<dyn RequestSource>) -> Result<Plan, PlanError> {
        let files = Files::new(self.spool, self.nonce.as_str());
        let codec = self.provider.codec();
        let drafted = draft(codec, source, &self.nonce, self.ids, &files)?;
        let Some(class) = drafted.class else {
            return Err(Error::invalid_input("there are no requests").into());
        };
        let rows = Arc::new(SpooledBody {
            file: files.open("body")?,
            bytes: drafted.bytes,
        });
        let label = label(&self.nonce);
        let frame = codec.frame(&class, &label);
        Ok(Plan {
            shard: Shard {
                class,
                label,
                count: drafted.count,
                frame,
                rows,
            },
            ids: match self.ids {
                IdChoice::Ours => IdRule::Ordinal(self.nonce.clone()),
                IdChoice::Callers => IdRule::Verbatim,
            },
            nonce: self.nonce,
            files: Arc::new(files),
            provider: codec.id().clone(),
            account: self.provider.account(),
        })
    }
}

/// Our mark on the batch: the nonce that its requests carry, and its number in the run.
fn label(nonce: &Nonce) -> Label {
    Label::new(format!("lmbatch-{}-0", nonce.as_str()))
}

struct Drafted {
    class: Option<BatchClass>,
    count: u32,
    bytes: u64,
}

struct Draft<'a> {
    codec: &'a dyn BatchCodec,
    nonce: &'a Nonce,
    ids: IdChoice,
    body: Writer,
    echo: Writer,
    class: Option<(BatchClass, Limits, Frame)>,
    count: u32,
    bad: BadInput,
    seen: Seen,
    row: Vec<u8>,
    record: Echo,
}

fn draft(
    codec: &dyn BatchCodec,
    mut source: Box<dyn RequestSource>,
    nonce: &Nonce,
    ids: IdChoice,
    files: &Files,
) -> Result<Drafted, PlanError> {
    let mut draft = Draft {
        codec,
        nonce,
        ids,
        body: files.create("body")?,
        echo: files.create("echo")?,
        class: None,
        count: 0,
        bad: BadInput::default(),
        seen: Seen::new(),
        row: Vec::new(),
        record: Echo::default(),
    };
    let mut failed = None;
    while source.next(&mut |sourced| {
        if let Err(error) = draft.take(sourced) {
            failed.get_or_insert(error);
        }
    })? {
        if let Some(error) = failed.take() {
            return Err(error.into());
        }
    }
    draft.finish()
}

impl Draft<'_> {
    fn take(&mut self, sourced: Sourced<'_>) -> Result<(), Error> {
        let place = sourced.place;
        let mut entry = match sourced.entry {
            Ok(entry) => entry,
            Err(error) => {
                self.refuse(place, None, &error);
                return Ok(());
            }
        };
        let id = entry.id.decode().into_owned();
        self.seen.add(&id, place);
        match self.encode(&mut entry, &id) {
            Ok(()) => self.append(&entry),
            Err(error) => {
                self.refuse(place, Some(id), &error);
                Ok(())
            }
        }
    }

    fn encode(&mut self, entry: &mut Entry<'_>, id: &str) -> Result<(), RequestError> {
        attach::load(&mut entry.request, entry.folder)?;
        check_depth(&entry.request)?;
        let class = self.codec.class(&entry.request)?;
        if self.class.is_none() {
            let limits = self.codec.limits(&class);
            let frame = self.codec.frame(&class, &label(self.nonce));
            self.class = Some((class, limits, frame));
        } else if self
            .class
            .as_ref()
            .is_some_and(|(first, ..)| *first != class)
        {
            return Err(RequestError::unsupported(
                "it cannot share a batch with the first request (another model or endpoint); put it into a run of its own",
            ));
        }
        let Some((class, limits, _)) = &self.class else {
            return Ok(());
        };
        let wire_id = match self.ids {
            IdChoice::Ours => WireId::ordinal(self.nonce, self.count),
            IdChoice::Callers => WireId::verbatim(id),
        };
        self.row.clear();
        self.codec
            .encode(class, &wire_id, &entry.request, &mut self.row)?;
        if self.row.len() as u64 > limits.max_request_bytes {
            return Err(RequestError::invalid_input(format!(
                "it is {} bytes as sent; the provider takes {}",
                self.row.len(),
                limits.max_request_bytes
            )));
        }
        Ok(())
    }

    fn append(&mut self, entry: &Entry<'_>) -> Result<(), Error> {
        let written = |error| Error::local("writing the spool", error);
        if let (1.., Some((.., frame))) = (self.count, &self.class) {
            self.body.write_all(&frame.separator).map_err(written)?;
        }
        self.body.write_all(&self.row).map_err(written)?;
        self.record.clear();
        entry.id.write_json(&mut self.record.id);
        if let Some(metadata) = entry.metadata {
            metadata.write(&mut self.record.metadata);
        }
        if let Some(schema) = entry.schema {
            self.record
                .schema
                .extend_from_slice(schema.schema.as_str().as_bytes());
        }
        self.record.write(&mut self.echo).map_err(written)?;
        self.count += 1;
        Ok(())
    }

    fn refuse(&mut self, place: u64, id: Option<String>, error: &RequestError) {
        let reason = error
            .message()
            .map_or_else(|| error.to_string(), str::to_owned);
        self.bad.count += 1;
        self.bad.first.push(BadRequest { place, id, reason });
        self.trim();
    }

    /// Keeps the first by place; bad requests come in that order but for duplicates.
    fn trim(&mut self) {
        if self.bad.first.len() > 2 * SHOWN {
            self.bad.first.sort_by_key(|bad| bad.place);
            self.bad.first.truncate(SHOWN);
        }
    }

    fn finish(mut self) -> Result<Drafted, PlanError> {
        for (id, first, place) in self.seen.duplicates() {
            self.bad.count += 1;
            let reason = format!("the id is used before, at number {first}");
            self.bad.first.push(BadRequest { place, id, reason });
            self.trim();
        }
        if self.bad.count > 0 {
            self.bad.first.sort_by_key(|bad| bad.place);
            self.bad.first.truncate(SHOWN);
            return Err(PlanError::Input(self.bad));
        }
        let written = |error| Error::local("writing the spool", error);
        self.body.flush().map_err(written)?;
        self.echo.flush().map_err(written)?;
        let bytes = self.body.written;
        let Some((class, limits, frame)) = self.class else {
            return Ok(Drafted {
                class: None,
                count: 0,
                bytes: 0,
            });
        };
        let whole = bytes + (frame.prefix.len() + frame.suffix.len()) as u64;
        fits(self.codec.id(), &limits, self.count, whole)?;
        Ok(Drafted {
            class: Some(class),
            count: self.count,
            bytes,
        })
    }
}

/// Values of the caller's that were rendered unchecked: a provider would refuse a whole batch for one.
fn check_depth(request: &RequestView<'_>) -> Result<(), RequestError> {
    let RequestView::Generate(generate) = request else {
        return Ok(());
    };
    let tools = generate.tools.iter().map(|tool| &tool.parameters);
    let schema = generate.schema.map(|schema| &schema.schema);
    let extra = &generate.hyperparameters.extra;
    let extra_is = |value: &serde_json::Value| JsonBuf::from_value(value).is_too_deep();
    if tools.chain(schema).any(JsonBuf::is_too_deep) || extra.values().any(extra_is) {
        return Err(RequestError::invalid_input(format!(
            "a schema or parameter is nested more than {MAX_DEPTH} deep"
        )));
    }
    Ok(())
}

fn fits(provider: &ProviderId, limits: &Limits, count: u32, bytes: u64) -> Result<(), Error> {
    let problem = if count > limits.max_requests {
        format!(
            "{count} requests are more than one batch of {provider} takes ({}); split the input",
            limits.max_requests
        )
    } else if bytes > limits.max_bytes {
        format!(
            "{bytes} bytes are more than one batch of {provider} takes ({}); split the input",
            limits.max_bytes
        )
    } else if count < limits.min_requests {
        format!(
            "{count} requests are fewer than a batch of {provider} needs ({})",
            limits.min_requests
        )
    } else {
        return Ok(());
    };
    Err(Error::new(ErrorKind::InvalidInput).with_message(problem))
}

/// Finds ids that are used twice, by two hashes under keys drawn for this plan.
struct Seen {
    hashers: [RandomState; 2],
    entries: Vec<(u64, u64, u64)>,
}

impl Seen {
    fn new() -> Self {
        Self {
            hashers: [RandomState::new(), RandomState::new()],
            entries: Vec::new(),
        }
    }

    fn add(&mut self, id: &str, place: u64) {
        self.entries.push((
            self.hashers[0].hash_one(id),
            self.hashers[1].hash_one(id),
            place,
        ));
    }

    /// (id where known, place of the first use, place of this one), ordered by place.
    fn duplicates(&mut self) -> Vec<(Option<String>, u64, u64)> {
        self.entries.sort_unstable();
        let mut found = Vec::new();
        let mut first = 0;
        for at in 1..self.entries.len() {
            let (a, b, place) = self.entries[at];
            if (a, b) == (self.entries[first].0, self.entries[first].1) {
                found.push((None, self.entries[first].2, place));
            } else {
                first = at;
            }
        }
        found.sort_by_key(|(_, _, place)| *place);
        found
    }
}
