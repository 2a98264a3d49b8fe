//! Events of a run and the observer that receives them.

use std::time::Duration;

use lmbatch_core::{BatchId, BatchSnapshot, Error, Label};

use crate::plan::handles::CreatedHandle;

/// Receives the events of a run. It is called often and from async code, so it must return quickly.
///
/// ```
/// # use lmbatch_engine as lmbatch;
/// use std::sync::Arc;
/// use lmbatch::{Event, LMInvoker};
///
/// fn with_log(invoker: LMInvoker) -> LMInvoker {
///     invoker.observer(Arc::new(|event: &Event<'_>| eprintln!("{event:?}")))
/// }
/// ```
pub trait Observer: Send + Sync {
    /// Receives one event.
    fn observe(&self, event: &Event<'_>);
}

impl<F: Fn(&Event<'_>) + Send + Sync> Observer for F {
    fn observe(&self, event: &Event<'_>) {
        self(event);
    }
}

/// Observer that ignores every event.
pub(crate) struct Silent;

impl Observer for Silent {
    fn observe(&self, _: &Event<'_>) {}
}

/// Event in the course of a run.
///
/// ```
/// # use lmbatch_engine as lmbatch;
/// use lmbatch::Event;
///
/// fn line(event: &Event<'_>) -> Option<String> {
///     match event {
///         Event::Planned { requests, .. } => Some(format!("{requests} requests")),
///         Event::Warning { message } => Some((*message).to_owned()),
///         _ => None,
///     }
/// }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// All requests are read and encoded.
    Planned {
        /// Number of requests in the plan.
        requests: u64,
        /// Number of bytes to be sent.
        bytes: u64,
    },
    /// Schemas for structured output are sent in another form than the caller's, or in part.
    /// Nothing is sent yet.
    SchemaChanged {
        /// Changes to the schemas, one short sentence each.
        notes: &'a [String],
    },
    /// The input of a batch is uploaded to the provider.
    Staging {
        /// Label of the batch.
        label: &'a Label,
        /// Number of bytes to be sent.
        bytes: u64,
    },
    /// The create of a batch is about to be sent.
    Creating {
        /// Label of the batch.
        label: &'a Label,
    },
    /// The outcome of a create is unknown: its batch is searched for before anything else is sent.
    Doubt {
        /// Label of the batch.
        label: &'a Label,
        /// Longest time over which the batch is searched for, without the time of the calls.
        max_search_time: Duration,
    },
    /// The batch exists at the provider.
    Created {
        /// Id of the batch.
        batch: &'a BatchId,
        /// True if the batch was found by a search after the response to its create was lost.
        found: bool,
        /// Source of the batch's handle, for a caller that stores the handle before anything else
        /// happens.
        handle: &'a CreatedHandle,
    },
    /// The provider returned the status of a batch.
    Polled {
        /// Status of the batch.
        snapshot: &'a BatchSnapshot,
        /// Time until the next poll; `None` after the last one.
        next: Option<Duration>,
    },
    /// A call failed and will be repeated.
    Retrying {
        /// Error of the failed call.
        error: &'a Error,
        /// Time until the next call.
        wait: Duration,
    },
    /// Unanswered requests are sent again.
    Requeued {
        /// Number of requests that are sent again.
        requests: u64,
        /// Number of the attempt that begins, from 2; the first sending of the run was attempt 1.
        attempt: u32,
    },
    /// Answers that do not fit their schemas are sent back to be corrected.
    Repairing {
        /// Number of requests whose conversations are continued.
        requests: u64,
        /// Number of the attempt that begins, from 2; the first sending of the run was attempt 1.
        attempt: u32,
    },
    /// Results of a batch are being read.
    Fetching {
        /// Number of rows read so far.
        rows: u64,
        /// Number of bytes read so far.
        bytes: u64,
    },
    /// All results of a batch are read.
    Fetched {
        /// Number of rows read.
        rows: u64,
    },
    /// Another process advances the run, and this process waits for it.
    Following {
        /// Sentence that names the run and the process.
        held: &'a str,
        /// Number of batches that have ended.
        ended: u64,
        /// Number of batches of the run so far.
        batches: u64,
    },
    /// Unexpected finding that does not stop the run.
    Warning {
        /// One sentence, without content of requests or answers.
        message: &'a str,
    },
}
