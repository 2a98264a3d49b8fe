//! State of the emulated providers: files on disk, batches, and the bill.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::answers::Answers;
use crate::faults::{Fault, FaultKind, Operation};
use crate::hook::{Hook, Moment};
use crate::limits::Limits;
use crate::time::{Pace, VirtualTime};

/// The provider-specific part of the life of a batch.
pub(crate) trait Dialect: Debug + Send + Sync {
    /// Name of the provider.
    fn name(&self) -> &'static str;
    /// Maximum duration of a batch.
    fn window(&self) -> Duration {
        Duration::from_secs(24 * 3600)
    }
    /// Returns whether an expired batch keeps the answers given before.
    fn keeps_answers_of_expired(&self) -> bool {
        true
    }
    /// Returns whether a batch without rows has empty results. OpenAI's has no file then.
    fn shows_empty_results(&self) -> bool {
        true
    }
    /// Returns the reason why the batch fails as a whole. Most dialects check everything in the create.
    fn check(&self, _: &State, _: &Batch) -> Option<Value> {
        None
    }
    /// Returns the text of the user's last message.
    fn user_text(&self, line: &Value) -> String;
    /// Returns the row of one request.
    fn row(
        &self,
        batch: &Batch,
        line: &Value,
        place: usize,
        fate: Fate,
        answers: &Answers,
        settled: &mut Settled,
    ) -> (Row, Tokens);
    /// Returns a row of a request that was never sent.
    fn foreign(&self) -> &'static str;
}

/// Phase of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Phase {
    Validating,
    InProgress,
    Finalizing,
    Cancelling,
    #[default]
    Completed,
    Failed,
    Expired,
    Cancelled,
}

/// Request counts by outcome.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) succeeded: u64,
    pub(crate) errored: u64,
    pub(crate) expired: u64,
    pub(crate) cancelled: u64,
}

/// Final state of a batch.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settled {
    pub(crate) phase: Phase,
    pub(crate) at: Duration,
    pub(crate) error: Option<Value>,
    pub(crate) output: Option<ResultFile>,
    pub(crate) errors: Option<ResultFile>,
    pub(crate) counts: Counts,
    pub(crate) total: u64,
    pub(crate) input_tokens: u64,
    pub(crate) output_tokens: u64,
    pub(crate) model: Option<String>,
}

#[derive(Debug, Clone)]
pub(crate) struct Batch {
    pub(crate) id: String,
    pub(crate) dialect: &'static dyn Dialect,
    /// File with the requests, one on each line.
    pub(crate) input: String,
    /// Endpoint or model of the batch.
    pub(crate) target: String,
    /// Metadata from the create.
    pub(crate) metadata: Option<Map<String, Value>>,
    pub(crate) requests: u64,
    /// True if the requests were inline in the create.
    pub(crate) inline: bool,
    pub(crate) created: Duration,
    pub(crate) cancelled: Option<Duration>,
    /// True if the input cannot be read, as in OpenAI's incident of August 2026.
    pub(crate) lost_input: bool,
    /// Number of lists of batches that still omit the batch.
    pub(crate) unlisted: u32,
    /// True if the input has been checked and is valid.
    pub(crate) checked: bool,
    pub(crate) settled: Option<Settled>,
}

/// Outcome of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Answered,
    Error { status: u16 },
    Expired,
    Cancelled,
}

/// A row of the results; the row of an error may be in another file.
pub(crate) struct Row {
    pub(crate) bytes: Vec<u8>,
    pub(crate) is_error: bool,
}

/// Token usage of a request.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tokens {
    pub(crate) input: u64,
    pub(crate) output: u64,
}

/// A complete file of results.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ResultFile {
    /// File name in the folder.
    pub(crate) name: String,
    pub(crate) bytes: u64,
}

/// Charges of a provider, and the number of calls.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Bill {
    /// Number of accepted creates, whether or not their response arrived.
    pub creates: u64,
    /// Number of answered requests.
    pub answered_requests: u64,
    /// Number of uploaded files.
    pub uploads: u64,
    /// Number of deleted files.
    pub deletes: u64,
    /// Accepted batches, in the order of their creation.
    pub batches: Vec<BilledBatch>,
    /// Number of calls by operation, including those with faults.
    pub calls: BTreeMap<Operation, u64>,
}

/// An accepted batch on the bill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BilledBatch {
    /// Id of the batch.
    pub id: String,
    /// Name of the batch's provider.
    pub provider: &'static str,
    /// Metadata from the create.
    pub metadata: Map<String, Value>,
    /// Number of answered requests.
    pub answered: u64,
}

impl Bill {
    pub(crate) fn accept(&mut self, batch: &Batch) {
        self.creates += 1;
        self.batches.push(BilledBatch {
            id: batch.id.clone(),
            provider: batch.dialect.name(),
            metadata: batch.metadata.clone().unwrap_or_default(),
            answered: 0,
        });
    }

    pub(crate) fn answered(&mut self, batch: &str, requests: u64) {
        self.answered_requests += requests;
        if let Some(billed) = self.batches.iter_mut().find(|billed| billed.id == batch) {
            billed.answered = requests;
        }
    }
}

/// A recorded call, without its body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RecordedCall {
    /// HTTP method of the call.
    pub method: String,
    /// Path and query of the call.
    pub path: String,
    /// Headers of the call, with names in lower case, including credentials.
    pub headers: Vec<(String, String)>,
}

#[derive(Debug, Clone)]
pub(crate) struct StoredFile {
    pub(crate) id: String,
    /// Name of the file's provider.
    pub(crate) provider: &'static str,
    /// File name in the folder.
    pub(crate) path: String,
    pub(crate) filename: String,
    pub(crate) purpose: String,
    pub(crate) bytes: u64,
    pub(crate) created_at: u64,
    pub(crate) expires_at: Option<u64>,
}

/// A resumable upload that has begun.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) file: String,
    pub(crate) display_name: String,
    pub(crate) bytes: u64,
    /// Held while bytes are received: calls of one upload take turns.
    pub(crate) turn: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug, Default)]
pub(crate) struct Inner {
    pub(crate) files: Vec<StoredFile>,
    pub(crate) batches: Vec<Batch>,
    pub(crate) sessions: HashMap<String, Session>,
    pub(crate) bill: Bill,
    pub(crate) faults: Vec<Fault>,
    pub(crate) calls: Vec<RecordedCall>,
    /// Result files that were deleted and must not be written again.
    pub(crate) deleted: HashSet<String>,
    next_id: u64,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) folder: PathBuf,
    pub(crate) pace: Pace,
    pub(crate) seed: u64,
    pub(crate) limits: Limits,
    pub(crate) time: VirtualTime,
    hook: Hook,
    /// Answers that the program gives in place of the emulated model.
    pub(crate) answers: Answers,
    inner: Mutex<Inner>,
    settling: Mutex<()>,
}

impl State {
    pub(crate) fn new(
        folder: PathBuf,
        pace: Pace,
        seed: u64,
        limits: Limits,
        hook: Hook,
        answers: Answers,
    ) -> Self {
        Self {
            folder,
            pace,
            seed,
            limits,
            time: VirtualTime::default(),
            hook,
            answers,
            inner: Mutex::default(),
            settling: Mutex::default(),
        }
    }

    /// Returns the right to write results: two calls that answer one batch would spoil each other's files.
    pub(crate) fn settling(&self) -> MutexGuard<'_, ()> {
        self.settling.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.folder.join(file)
    }

    pub(crate) fn seconds(&self) -> u64 {
        self.time.now().as_secs()
    }

    pub(crate) fn batch(&self, provider: &str, id: &str) -> Option<Batch> {
        self.lock().find(provider, id).cloned()
    }

    pub(crate) fn change(&self, provider: &str, id: &str, change: impl FnOnce(&mut Batch)) {
        if let Some(batch) = self.lock().find(provider, id) {
            change(batch);
        }
    }

    /// Returns a file that exists and has not expired.
    pub(crate) fn file(&self, provider: &str, id: &str) -> Option<StoredFile> {
        let now = self.seconds();
        let inner = self.lock();
        let file = inner
            .files
            .iter()
            .find(|file| file.provider == provider && file.id == id)?;
        file.expires_at
            .is_none_or(|at| now < at)
            .then(|| file.clone())
    }

    /// Counts a call, and returns the fault that strikes it.
    pub(crate) fn call(&self, operation: Operation) -> Option<FaultKind> {
        let mut inner = self.lock();
        *inner.bill.calls.entry(operation).or_default() += 1;
        let due = |fault: &&mut Fault| fault.operation == operation && fault.times > 0;
        let fault = inner.faults.iter_mut().find(due)?;
        if fault.skip > 0 {
            fault.skip -= 1;
            return None;
        }
        fault.times -= 1;
        Some(fault.kind.clone())
    }

    /// Returns a fault that had nothing to change, so that it strikes another call.
    pub(crate) fn give_back(&self, operation: Operation, kind: &FaultKind) {
        let mut inner = self.lock();
        let known = |fault: &&mut Fault| fault.operation == operation && fault.kind == *kind;
        if let Some(fault) = inner.faults.iter_mut().find(known) {
            fault.times = fault.times.saturating_add(1);
        }
    }

    /// Runs the hook of the test.
    pub(crate) fn notify(&self, operation: Operation, moment: Moment) {
        self.hook.notify(operation, moment);
    }
}

impl Inner {
    pub(crate) fn id(&mut self, prefix: &str) -> String {
        self.next_id += 1;
        format!("{prefix}{:024x}", self.next_id)
    }

    pub(crate) fn find(&mut self, provider: &str, id: &str) -> Option<&mut Batch> {
        self.batches
            .iter_mut()
            .find(|batch| batch.dialect.name() == provider && batch.id == id)
    }
}
