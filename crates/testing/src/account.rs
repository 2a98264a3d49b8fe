//! An in-memory account that several drivers share, with a bill of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use lmbatch_core::{
    AccountId, BatchClass, BatchCodec, BatchId, BatchProvider, BatchSnapshot, BatchStatus,
    Candidate, Capabilities, Certainty, Chunk, Clock, CreateProof, Cursor, Delivery, Error,
    ErrorKind, Found, Intent, Label, ListOptions, Page, RequestCounts, Result, ResultPart,
    ResultSet, Retry, RowStream, Shard, Staged,
};

use crate::provider::{Call, MemoryCodec, capabilities};

/// Rules of an account for creates, fences and lists.
#[derive(Debug, Clone, Copy)]
pub struct AccountRules {
    /// Way in which a create with a lost response can be found.
    pub create: CreateProof,
    /// True if a create names an upload, which a fence deletes.
    pub uploads: bool,
    /// True if a create is refused once its upload is deleted.
    pub checks_uploads: bool,
    /// Time after a create at which its upload is read, where the create is accepted first: a batch whose upload is
    /// deleted by then fails, and is not charged. `None` reads it at once.
    pub checks_later: Option<Duration>,
    /// Time after its create for which a batch is absent from lists and searches.
    pub list_lag: Duration,
    /// Maximum number of requests in one batch.
    pub max_requests: u32,
}

/// A batch that the account accepted and charged.
#[derive(Debug, Clone)]
pub struct Accepted {
    /// Id of the batch.
    pub batch: BatchId,
    /// Label of its create, whether or not the account lists labels.
    pub label: Label,
    /// Number of requests in the batch.
    pub count: u32,
    /// Time of its create, by the clock of the account.
    pub created_at: SystemTime,
    /// Upload that the create named.
    input: Option<Box<str>>,
    rows: Bytes,
}

#[derive(Debug, Default)]
struct State {
    calls: Vec<Call>,
    /// Accepted batches, oldest first.
    batches: Vec<Accepted>,
    uploads: BTreeSet<Box<str>>,
    uploaded: u32,
    /// Deleted uploads, with the times of their deletions.
    deleted: BTreeMap<Box<str>, SystemTime>,
    /// Batches by the token of their create.
    tokens: BTreeMap<Box<str>, BatchId>,
    /// Creates whose response is lost, by the names of their connections; the value is true if the create is accepted.
    losing: BTreeMap<Box<str>, bool>,
}

/// An in-memory account, whose batches complete at once and whose answers echo the prompts.
#[derive(Debug)]
pub struct MemoryAccount {
    codec: MemoryCodec,
    rules: AccountRules,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

/// A connection to an account, which can lose the response to a create.
#[derive(Debug)]
pub struct Connection {
    name: Box<str>,
    account: Arc<MemoryAccount>,
}

impl MemoryAccount {
    /// Creates an account without batches.
    pub fn new(clock: Arc<dyn Clock>, rules: AccountRules) -> Self {
        let capabilities = Capabilities {
            create: rules.create,
            fence: rules.uploads,
            cancel: false,
            ..capabilities()
        };
        Self {
            codec: MemoryCodec::new(capabilities, rules.max_requests),
            rules,
            clock,
            state: Mutex::default(),
        }
    }

    /// Creates a connection for one driver.
    pub fn connect(self: &Arc<Self>, name: &str) -> Connection {
        Connection {
            name: name.into(),
            account: Arc::clone(self),
        }
    }

    /// Loses the response to the next create over a connection. The create itself is accepted if `accepted` is true.
    pub fn lose_answer(&self, connection: &str, accepted: bool) {
        self.state().losing.insert(connection.into(), accepted);
    }

    /// Adds a batch of `count` requests, created by another program.
    pub fn add_foreign(&self, count: u32) {
        let rows = (0..count).map(|row| format!("{{\"id\":\"foreign-{row}\",\"text\":\"x\"}}\n"));
        let rows = Bytes::from(rows.collect::<String>());
        self.accept(&mut self.state(), &Label::new("foreign"), count, None, rows);
    }

    /// Returns the accepted batches, oldest first; those of other programs have the label `foreign`. A batch that fails
    /// for want of its upload is not among them.
    pub fn accepted(&self) -> Vec<Accepted> {
        let state = self.state();
        let batches = state.batches.iter();
        batches
            .filter(|one| !self.lacks_upload(&state, one))
            .cloned()
            .collect()
    }

    /// Returns whether the upload of a batch was deleted before the batch read it.
    fn lacks_upload(&self, state: &State, one: &Accepted) -> bool {
        let deleted = one
            .input
            .as_ref()
            .and_then(|input| state.deleted.get(input));
        let (Some(later), Some(deleted)) = (self.rules.checks_later, deleted) else {
            return false;
        };
        self.rules.checks_uploads && *deleted < one.created_at + later
    }

    /// Returns the calls to the account, in order.
    pub fn calls(&self) -> Vec<Call> {
        self.state().calls.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn called(&self, method: &'static str) -> MutexGuard<'_, State> {
        let at = self.clock.elapsed().as_secs();
        let mut state = self.state();
        state.calls.push(Call { method, at });
        state
    }

    fn accept(
        &self,
        state: &mut State,
        label: &Label,
        count: u32,
        input: Option<Box<str>>,
        rows: Bytes,
    ) -> BatchId {
        let batch = BatchId::new(format!("b{}", state.batches.len() + 1));
        state.batches.push(Accepted {
            batch: batch.clone(),
            label: label.clone(),
            count,
            created_at: self.clock.now(),
            input,
            rows,
        });
        batch
    }

    /// Returns a page of the list, newest first, from the position of the cursor on.
    fn page(&self, state: &State, limit: usize, page: Option<&Cursor>) -> Page<BatchSnapshot> {
        let now = self.clock.now();
        let is_listed = |one: &&Accepted| {
            now.duration_since(one.created_at)
                .is_ok_and(|age| age >= self.rules.list_lag)
        };
        let listed: Vec<&Accepted> = state.batches.iter().rev().filter(is_listed).collect();
        let from = page.and_then(|page| page.as_str().parse().ok());
        let from: usize = from.unwrap_or(0);
        let items = listed.iter().skip(from).take(limit);
        let items: Vec<BatchSnapshot> = items.map(|one| self.snapshot(state, one)).collect();
        let next = from + items.len();
        Page {
            items,
            next: (next < listed.len()).then(|| Cursor::new(next.to_string())),
        }
    }

    fn snapshot(&self, state: &State, one: &Accepted) -> BatchSnapshot {
        let count = u64::from(one.count);
        let keeps_labels = self.rules.create == CreateProof::Labelled;
        let checked_at = self.rules.checks_later.map(|later| one.created_at + later);
        let is_checked = checked_at.is_none_or(|at| at <= self.clock.now());
        let status = match is_checked && self.lacks_upload(state, one) {
            true => BatchStatus::Failed,
            false if is_checked => BatchStatus::Completed,
            false => BatchStatus::Validating,
        };
        let has_ended = status == BatchStatus::Completed;
        let mut snapshot = BatchSnapshot::new(one.batch.clone(), status);
        snapshot.input_file = one.input.clone();
        snapshot.label = keeps_labels.then(|| one.label.clone());
        snapshot.created_at = Some(one.created_at);
        snapshot.counts = RequestCounts {
            total: Some(count),
            succeeded: if has_ended { count } else { 0 },
            ..RequestCounts::default()
        };
        snapshot
    }
}

/// Number of batches on one page of a list.
const PAGE: usize = 20;

#[async_trait]
impl BatchProvider for Connection {
    fn codec(&self) -> &dyn BatchCodec {
        &self.account.codec
    }

    fn account(&self) -> AccountId {
        AccountId::new("memory")
    }

    async fn stage(&self, _: &Shard, _: Option<Staged>) -> Result<Staged> {
        let mut state = self.account.called("stage");
        if !self.account.rules.uploads {
            return Ok(Staged::ready());
        }
        state.uploaded += 1;
        let file: Box<str> = format!("file{}", state.uploaded).into();
        state.uploads.insert(file.clone());
        Ok(Staged::of_file(file))
    }

    async fn create(&self, shard: &Shard, intent: &Intent) -> Result<BatchId> {
        let pieces: Vec<Bytes> = shard.open(0..shard.len()).try_collect().await?;
        let mut state = self.account.called("create");
        let lost = Error::new(ErrorKind::Connection)
            .with_retry(Retry::Temporary)
            .with_delivery(Delivery::Unknown);
        let losing = state.losing.remove(&self.name);
        if losing == Some(false) {
            return Err(lost);
        }
        let has_input = |file: &str| state.uploads.contains(file);
        let rules = self.account.rules;
        let checks = rules.uploads && rules.checks_uploads && rules.checks_later.is_none();
        if checks && !intent.staged.file().is_some_and(has_input) {
            let refused = Error::new(ErrorKind::FileNotFound).with_delivery(Delivery::Refused);
            return Err(refused.with_http_status(404));
        }
        let by_token = rules.create == CreateProof::Token;
        let token: Box<str> = intent.token.as_str().into();
        let held = state.tokens.get(&token).filter(|_| by_token).cloned();
        let batch = held.unwrap_or_else(|| {
            let rows = Bytes::from(pieces.concat());
            let input = intent.staged.file().map(Into::into);
            self.account
                .accept(&mut state, &shard.label, shard.count, input, rows)
        });
        state.tokens.insert(token, batch.clone());
        if losing.is_some() {
            Err(lost)
        } else {
            Ok(batch)
        }
    }

    async fn find(&self, intent: &Intent, page: Option<Cursor>) -> Result<Found> {
        let state = self.account.called("find");
        let page = self.account.page(&state, PAGE, page.as_ref());
        match self.account.rules.create {
            CreateProof::Labelled => Ok(Found::by_label(page, intent)),
            CreateProof::CountAndTime => {
                let is_older =
                    |one: &BatchSnapshot| intent.is_before(one.id.as_str(), one.created_at);
                let reached_watermark = page.items.iter().any(is_older);
                let fits = |one: &BatchSnapshot| {
                    one.counts.total == Some(u64::from(intent.count))
                        && intent.may_have_created(one.id.as_str(), one.created_at)
                };
                let fitting = page.items.into_iter().filter(fits);
                let candidates = fitting.map(|one| Candidate {
                    batch: one.id,
                    certainty: Certainty::Presumed,
                    evidence: "its number of requests fits".into(),
                });
                Ok(Found {
                    candidates: candidates.collect(),
                    next: page.next,
                    reached_watermark,
                })
            }
            CreateProof::Token => Err(Error::unsupported("finding a batch again")),
        }
    }

    async fn fence(&self, staged: &Staged) -> Result<()> {
        let mut state = self.account.called("fence");
        if !self.account.rules.uploads {
            return Err(Error::unsupported("fencing a create"));
        }
        if let Some(file) = staged.file()
            && state.uploads.remove(file)
        {
            state.deleted.insert(file.into(), self.account.clock.now());
        }
        Ok(())
    }

    async fn status(&self, batch: &BatchId) -> Result<BatchSnapshot> {
        let state = self.account.called("status");
        let found = state.batches.iter().find(|one| one.batch == *batch);
        let found = found.map(|one| self.account.snapshot(&state, one));
        found.ok_or_else(|| Error::new(ErrorKind::BatchNotFound).with_delivery(Delivery::Refused))
    }

    async fn results(&self, _: Option<&BatchClass>, batch: &BatchId) -> Result<ResultSet> {
        drop(self.account.called("results"));
        Ok(ResultSet {
            parts: vec![ResultPart::mixed(batch, "all", "memory")],
            complete: true,
        })
    }

    async fn read(&self, part: &ResultPart, from: u64) -> Result<RowStream> {
        if from > 0 {
            return Err(Error::unsupported("reading results from the middle"));
        }
        let state = self.account.called("read");
        let found = state.batches.iter().find(|one| one.batch == part.batch);
        let rows = found.map(|one| one.rows.clone()).unwrap_or_default();
        Ok(stream::iter([Ok(Chunk::Bytes(rows))]).boxed())
    }

    async fn list(&self, options: &ListOptions) -> Result<Page<BatchSnapshot>> {
        let state = self.account.called("list");
        let limit = options.limit.map_or(PAGE, |limit| limit as usize);
        Ok(self.account.page(&state, limit, options.page.as_ref()))
    }
}
