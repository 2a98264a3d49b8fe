//! What is there once every request has its outcome.

use std::sync::Arc;

use lmbatch_core::{
    BatchId, BatchSnapshot, BatchStatus, Closed, Error, ErrorKind, RequestError, Result, Segment,
    ShardState, SpoolFile,
};

use crate::results::merge::Layers;
use crate::results::tally::Tally;
use crate::spool::Files;

/// Requests whose outcomes are here.
#[derive(Debug)]
pub struct Finished {
    /// Ends of the shards, by number; at least one.
    pub(crate) ends: Vec<End>,
    pub(crate) twins: Vec<Twin>,
    pub(crate) files: Arc<Files>,
    pub(crate) segments: Vec<Segment>,
    pub(crate) requests: u32,
    pub(crate) index: Index,
    pub(crate) tally: Tally,
    /// Of one batch that was retrieved: counts of the provider that its rows do not bear out.
    pub(crate) mismatch: Option<CountMismatch>,
}

/// Where the outcome of each request lies, and what goes back to the caller beside it, in the order of the output.
#[derive(Debug)]
pub(crate) enum Index {
    /// Of a batch that no run is made of.
    Batch {
        /// 16 bytes for each request: the place of its row.
        places: Arc<dyn SpoolFile>,
        echo: Arc<dyn SpoolFile>,
    },
    /// Of a run whose output has the order of its input: its shards are merged as they are read.
    Run(Arc<Layers>),
    /// Of a run whose input was changed.
    Ordered {
        /// 24 bytes for each request: the place of its row, the shard that it was sent in last, and its place
        /// there.
        places: Arc<dyn SpoolFile>,
        echo: Arc<dyn SpoolFile>,
        /// Keeps the files of the echo.
        tables: Arc<Files>,
    },
}

/// Disagreement between the provider's counts of a batch that has ended and the rows of its results.
///
/// Answered and failed requests are counted together: some providers count a request as answered whose row says
/// that it failed. Expired and cancelled requests are left out: some providers write no rows for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CountMismatch {
    /// Number of requests that the provider counts as answered or failed.
    pub counted: u64,
    /// Number of different requests that rows say were answered or failed.
    pub read: u64,
}

impl CountMismatch {
    /// Returns whether rows are missing: fewer were read than the provider counts.
    pub fn is_short(&self) -> bool {
        self.read < self.counted
    }
}

/// How a shard ended, or where its batch stands.
#[derive(Debug, Clone)]
pub(crate) struct End {
    /// Last snapshot of the batch; `None` where there is none.
    pub(crate) snapshot: Option<BatchSnapshot>,
    pub(crate) status: BatchStatus,
    /// Problem of all of its requests, where there is no batch.
    pub(crate) problem: Option<RequestError>,
    /// Number of requests that may have been answered, and whose outcome no row gives.
    pub(crate) undelivered: u64,
}

impl End {
    /// A batch that is fetched, or goes on.
    pub(crate) fn of_batch(snapshot: BatchSnapshot, undelivered: u64) -> Self {
        Self {
            status: snapshot.status.clone(),
            snapshot: Some(snapshot),
            problem: None,
            undelivered,
        }
    }

    /// A shard that has no batch so far.
    pub(crate) fn open() -> Self {
        Self {
            snapshot: None,
            status: BatchStatus::InProgress,
            problem: None,
            undelivered: 0,
        }
    }

    /// A shard that gets no batch.
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
        }
    }

    /// Where a shard of a run stands, as the record has it.
    pub(crate) fn of_state(state: &ShardState) -> Self {
        match state {
            ShardState::Created { batch, .. } => Self::of_batch(
                BatchSnapshot::new(batch.clone(), BatchStatus::InProgress),
                0,
            ),
            // Its results are not here.
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

    /// What the end of the shard means for one of its requests, by its place in it from 0.
    pub(crate) fn refusal(&self, place: u32) -> Option<RequestError> {
        match &self.snapshot {
            Some(snapshot) => refusal(snapshot, place),
            None => self.problem.clone(),
        }
    }
}

/// A second batch under the label of a batch of a run: both may be paid for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Twin {
    /// Batch that the run knows; `None` where its create was given up.
    pub batch: Option<BatchId>,
    /// Batch that carries the same label.
    pub twin: BatchId,
}

impl Finished {
    /// Returns the batches that there are, each with its last snapshot.
    pub fn batches(&self) -> Vec<&BatchSnapshot> {
        let ends = self.ends.iter();
        ends.filter_map(|end| end.snapshot.as_ref()).collect()
    }
    /// Whether every batch has ended: then each request has its outcome.
    pub fn is_whole(&self) -> bool {
        self.ends.iter().all(|end| end.status.is_terminal())
    }
    /// Requests, each with one outcome.
    pub fn requests(&self) -> u64 {
        u64::from(self.requests)
    }
    /// Returns the size of the stored results in bytes.
    pub fn stored_bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }
    /// Rows read.
    pub fn rows(&self) -> u64 {
        self.tally.rows
    }
    /// Rows that name a request that another row names too.
    pub fn duplicates(&self) -> u64 {
        self.tally.duplicates
    }
    /// Rows that name none of our requests.
    pub fn foreign(&self) -> u64 {
        self.tally.foreign
    }
    /// Rows that could not be read.
    pub fn malformed(&self) -> u64 {
        self.tally.malformed
    }
    /// Rows that name no request at all.
    pub fn keyless(&self) -> u64 {
        self.tally.keyless
    }

    /// Number of requests that may have been answered and paid for, and whose outcome no row of the results gives.
    pub fn undelivered(&self) -> u64 {
        self.ends.iter().map(|end| end.undelivered).sum()
    }

    /// Returns the provider's counts and the rows that were read, of a batch that was retrieved by its id or its
    /// handle, where the two disagree; `None` where they agree or the provider gives no counts.
    pub fn count_mismatch(&self) -> Option<CountMismatch> {
        self.mismatch
    }

    /// Second batches under labels of the run, as the provider listed them when the run ended.
    pub fn twins(&self) -> &[Twin] {
        &self.twins
    }

    /// Lets go of the spool's files once this is dropped, though a record was kept of them.
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

/// What a batch that was refused as a whole means for one of its requests, by its place in it from 0.
pub(crate) fn refusal(snapshot: &BatchSnapshot, place: u32) -> Option<RequestError> {
    if snapshot.status != BatchStatus::Failed {
        return None;
    }
    let line = u64::from(place) + 1;
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
