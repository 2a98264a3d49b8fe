//! Results of a run or a batch, with one outcome for each request.

use std::sync::Arc;

use lmbatch_core::{
    BatchId, BatchSnapshot, BatchStatus, Closed, Error, ErrorKind, RequestError, Result, Segment,
    ShardState, SpoolFile,
};

use crate::results::merge::Layers;
use crate::results::tally::Tally;
use crate::spool::Files;

/// Results of a run or a batch, with one outcome for each request.
#[derive(Debug)]
pub struct RunResults {
    /// Ends of the shards, by number; at least one.
    pub(crate) ends: Vec<End>,
    pub(crate) duplicate_batches: Vec<DuplicateBatch>,
    pub(crate) files: Arc<Files>,
    pub(crate) segments: Vec<Segment>,
    pub(crate) requests: u32,
    pub(crate) index: Index,
    pub(crate) tally: Tally,
    /// Disagreement between the provider's counts and the rows of a single batch that was
    /// retrieved.
    pub(crate) mismatch: Option<CountMismatch>,
}

/// Locations of the outcomes and of what is returned with them, in the order of the output.
#[derive(Debug)]
pub(crate) enum Index {
    /// Index of a single batch without a run.
    Batch {
        /// 16 bytes for each request: the location of its row.
        locations: Arc<dyn SpoolFile>,
        echo: Arc<dyn SpoolFile>,
    },
    /// Index of a run whose output has the order of its input: its shards are merged as they are
    /// read.
    Run(Arc<Layers>),
    /// Index of a run whose input was changed.
    Ordered {
        /// 24 bytes for each request: the location of its row, the shard in which it was sent last,
        /// and its position there.
        locations: Arc<dyn SpoolFile>,
        echo: Arc<dyn SpoolFile>,
        /// Keeps the files of the echo from being deleted.
        tables: Arc<Files>,
    },
}

/// Disagreement between the provider's counts of a batch that has ended and the rows of its results.
///
/// Answered and failed requests are counted together, since some providers count a request as
/// answered whose row says that it failed. Expired and cancelled requests are left out, since some
/// providers write no rows for them.
///
/// ```
/// # use lmbatch_engine as lmbatch;
/// # use lmbatch::CountMismatch;
/// fn warning(found: &CountMismatch) -> String {
///     format!("the provider counts {} requests, its results have {}", found.counted, found.read)
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CountMismatch {
    /// Number of requests that the provider counts as answered or failed.
    pub counted: u64,
    /// Number of different requests that were answered or failed according to rows.
    pub read: u64,
}

impl CountMismatch {
    /// Returns whether rows are missing: fewer were read than the provider counts.
    pub fn is_short(&self) -> bool {
        self.read < self.counted
    }
}

/// End of a shard, or the status of its batch.
#[derive(Debug, Clone)]
pub(crate) struct End {
    /// Last snapshot of the batch; `None` where there is no batch.
    pub(crate) snapshot: Option<BatchSnapshot>,
    pub(crate) status: BatchStatus,
    /// Error of all requests of the shard, where there is no batch.
    pub(crate) problem: Option<RequestError>,
    /// Number of requests that may have been answered but whose outcome no row gives.
    pub(crate) undelivered: u64,
    /// Requested model, if all requests of the batch have the same.
    pub(crate) model: Option<Box<str>>,
}

impl End {
    /// Sets the requested model.
    pub(crate) fn with_model(self, model: Option<Box<str>>) -> Self {
        Self { model, ..self }
    }

    /// Returns the end of a batch whose results are fetched, or the status of a running one.
    pub(crate) fn of_batch(snapshot: BatchSnapshot, undelivered: u64) -> Self {
        Self {
            status: snapshot.status.clone(),
            snapshot: Some(snapshot),
            problem: None,
            undelivered,
            model: None,
        }
    }

    /// Returns the state of a shard that has no batch yet.
    pub(crate) fn open() -> Self {
        Self {
            snapshot: None,
            status: BatchStatus::InProgress,
            problem: None,
            undelivered: 0,
            model: None,
        }
    }

    /// Returns the end of a shard that gets no batch.
    pub(crate) fn closed(closed: &Closed) -> Self {
        let (status, problem) = match closed {
            Closed::Abandoned { message } => {
                let error = RequestError::new(ErrorKind::Doubt);
                (
                    BatchStatus::Failed,
                    Some(error.with_message(format!("abandoned: {message}"))),
                )
            }
            _ => (BatchStatus::Cancelled, None),
        };
        Self {
            snapshot: None,
            status,
            problem,
            undelivered: 0,
            model: None,
        }
    }

    /// Returns the state of a shard of a run, from its record.
    pub(crate) fn of_state(state: &ShardState) -> Self {
        match state {
            ShardState::Created { batch, .. } => Self::of_batch(
                BatchSnapshot::new(batch.clone(), BatchStatus::InProgress),
                0,
            ),
            // The results of the ended batch are not fetched yet.
            ShardState::Ended(snapshot) => Self::of_batch(
                BatchSnapshot::new(snapshot.id.clone(), BatchStatus::InProgress),
                0,
            ),
            ShardState::Sealed {
                snapshot,
                undelivered,
                ..
            } => Self::of_batch(snapshot.clone(), *undelivered),
            ShardState::Closed(closed) => Self::closed(closed),
            _ => Self::open(),
        }
    }

    /// Returns the error that the end of the shard means for one of its requests, by its position
    /// from 0.
    pub(crate) fn refusal(&self, position: u32) -> Option<RequestError> {
        match &self.snapshot {
            Some(snapshot) => refusal(snapshot, position),
            None => self.problem.clone(),
        }
    }
}

/// Second batch under the label of a batch of a run: both may be paid for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DuplicateBatch {
    /// Batch that the run records; `None` where its create was given up.
    pub batch: Option<BatchId>,
    /// Second batch, which carries the same label.
    pub duplicate: BatchId,
}

impl RunResults {
    /// Returns the existing batches, each with its last snapshot.
    pub fn batches(&self) -> Vec<&BatchSnapshot> {
        let ends = self.ends.iter();
        ends.filter_map(|end| end.snapshot.as_ref()).collect()
    }
    /// Returns whether every batch has ended, so that each request has its outcome.
    pub fn is_complete(&self) -> bool {
        self.ends.iter().all(|end| end.status.is_terminal())
    }
    /// Returns the number of requests, each of which has one outcome.
    pub fn requests(&self) -> u64 {
        u64::from(self.requests)
    }
    /// Returns the size of the stored results in bytes.
    pub fn stored_bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }
    /// Returns the number of rows that were read.
    pub fn rows(&self) -> u64 {
        self.tally.rows
    }
    /// Returns the number of rows that name the same request as another row.
    pub fn duplicates(&self) -> u64 {
        self.tally.duplicates
    }
    /// Returns the number of rows that name no request of the run or handle.
    pub fn foreign(&self) -> u64 {
        self.tally.foreign
    }
    /// Returns the number of rows that could not be read.
    pub fn malformed(&self) -> u64 {
        self.tally.malformed
    }
    /// Returns the number of rows that name no request at all.
    pub fn rows_without_id(&self) -> u64 {
        self.tally.without_id
    }

    /// Returns the number of requests that may have been answered and paid for, but whose outcome
    /// no row of the results gives.
    pub fn undelivered(&self) -> u64 {
        self.ends.iter().map(|end| end.undelivered).sum()
    }

    /// Returns the provider's counts and the number of rows that were read, for a batch that was
    /// retrieved by its id or its handle, where the two disagree; `None` where they agree or the
    /// provider gives no counts.
    pub fn count_mismatch(&self) -> Option<CountMismatch> {
        self.mismatch
    }

    /// Returns second batches under labels of the run, from the provider's list when the run ended.
    pub fn duplicate_batches(&self) -> &[DuplicateBatch] {
        &self.duplicate_batches
    }

    /// Has the spool files deleted when this value is dropped, even where a durable ledger records
    /// the run.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] while outcomes are being read.
    pub fn discard(&mut self) -> Result<()> {
        let files = Arc::get_mut(&mut self.files).ok_or_else(|| {
            Error::new(ErrorKind::Internal).with_message("the outcomes are still being read")
        })?;
        files.discard();
        Ok(())
    }
}

/// Returns the error that the refusal of a whole batch means for one of its requests, by its
/// position from 0.
pub(crate) fn refusal(snapshot: &BatchSnapshot, position: u32) -> Option<RequestError> {
    if snapshot.status != BatchStatus::Failed {
        return None;
    }
    let line = u64::from(position) + 1;
    let problems = &snapshot.problems;
    let named = problems.iter().find(|problem| problem.line == Some(line));
    let whole = problems.iter().find(|problem| problem.line.is_none());
    if let Some(problem) = named.or(whole) {
        return Some(problem.error.clone());
    }
    let lines: Vec<String> = problems
        .iter()
        .filter_map(|problem| problem.line)
        .map(|line| line.to_string())
        .collect();
    let message = if lines.is_empty() {
        "the provider refused the batch and did not say why".to_owned()
    } else {
        format!(
            "the provider refused the batch because of request number {}",
            lines.join(", ")
        )
    };
    Some(
        RequestError::new(ErrorKind::InvalidInput)
            .with_message(message)
            .retryable(!lines.is_empty()),
    )
}
