//! What the emulated providers hold: files on disk, batches, the bill.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use serde_json::{Map, Value};

use crate::faults::{Fault, FaultKind, Operation};
use crate::time::{Pace, VirtualTime};

/// What a provider would charge for, and what was called.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Bill {
    /// Creates that were accepted, whether or not their answer arrived.
    pub creates: u64,
    /// Requests that were answered.
    pub answered_requests: u64,
    /// Files that were uploaded.
    pub uploads: u64,
    /// Files that were deleted.
    pub deletes: u64,
    /// The accepted batches.
    pub batches: Vec<BilledBatch>,
    /// Calls by operation, faulty ones included.
    pub calls: BTreeMap<Operation, u64>,
}

/// One accepted batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BilledBatch {
    /// The batch.
    pub id: String,
    /// What its creator wrote on it.
    pub metadata: Map<String, Value>,
    /// Requests that were answered.
    pub answered: u64,
}

#[derive(Debug, Clone)]
pub(crate) struct StoredFile {
    pub(crate) id: String,
    pub(crate) filename: String,
    pub(crate) purpose: String,
    pub(crate) bytes: u64,
    pub(crate) created_at: u64,
    pub(crate) expires_at: Option<u64>,
}

/// What became of a batch, once that is settled.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settled {
    pub(crate) status: &'static str,
    pub(crate) error: Option<Value>,
    pub(crate) output_file: Option<String>,
    pub(crate) error_file: Option<String>,
    pub(crate) total: u64,
    pub(crate) completed: u64,
    pub(crate) failed: u64,
    pub(crate) input_tokens: u64,
    pub(crate) output_tokens: u64,
    pub(crate) model: Option<String>,
}

#[derive(Debug, Clone)]
pub(crate) struct StoredBatch {
    pub(crate) id: String,
    pub(crate) input_file: String,
    pub(crate) endpoint: String,
    pub(crate) metadata: Option<Map<String, Value>>,
    pub(crate) created: std::time::Duration,
    pub(crate) cancelled: Option<std::time::Duration>,
    pub(crate) settled: Option<Settled>,
}

#[derive(Debug, Default)]
pub(crate) struct Inner {
    pub(crate) files: Vec<StoredFile>,
    pub(crate) batches: Vec<StoredBatch>,
    pub(crate) bill: Bill,
    pub(crate) faults: Vec<Fault>,
    next_id: u64,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) folder: PathBuf,
    pub(crate) pace: Pace,
    pub(crate) seed: u64,
    pub(crate) time: VirtualTime,
    inner: Mutex<Inner>,
}

impl State {
    pub(crate) fn new(folder: PathBuf, pace: Pace, seed: u64) -> Self {
        Self {
            folder,
            pace,
            seed,
            time: VirtualTime::default(),
            inner: Mutex::default(),
        }
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

    /// Counts a call, and says what is to go wrong with it.
    pub(crate) fn call(&self, operation: Operation) -> Option<FaultKind> {
        let mut inner = self.lock();
        *inner.bill.calls.entry(operation).or_default() += 1;
        let fault = inner
            .faults
            .iter_mut()
            .find(|fault| fault.operation == operation && fault.times > 0)?;
        if fault.skip > 0 {
            fault.skip -= 1;
            return None;
        }
        fault.times -= 1;
        Some(fault.kind.clone())
    }
}

impl Inner {
    pub(crate) fn id(&mut self, prefix: &str) -> String {
        self.next_id += 1;
        format!("{prefix}{:024x}", self.next_id)
    }

    pub(crate) fn file(&self, id: &str) -> Option<&StoredFile> {
        self.files.iter().find(|file| file.id == id)
    }
}
