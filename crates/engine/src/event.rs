//! What a run tells while it goes on.

use std::time::Duration;

use lmbatch_core::{BatchId, BatchSnapshot, Error, Label};

use crate::plan::handles::CreatedHandle;

/// Listens to a run. Called often, and between awaits: be quick.
pub trait Observer: Send + Sync {
    /// Something happened.
    fn observe(&self, event: &Event<'_>);
}

impl<F: Fn(&Event<'_>) + Send + Sync> Observer for F {
    fn observe(&self, event: &Event<'_>) {
        self(event);
    }
}

/// Listens to nothing.
pub(crate) struct Silent;

impl Observer for Silent {
    fn observe(&self, _: &Event<'_>) {}
}

/// Something that happened in a run.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// Every request is read and encoded.
    Planned {
        /// Requests.
        requests: u64,
        /// Bytes to be sent.
        bytes: u64,
    },
    /// Schemas for answers are sent in other words than the caller's, or in part. Nothing is sent yet.
    SchemaChanged {
        /// Changes, one short sentence each.
        notes: &'a [String],
    },
    /// The input goes to the provider.
    Staging {
        /// Our mark.
        label: &'a Label,
        /// Bytes to be sent.
        bytes: u64,
    },
    /// The create is about to be sent.
    Creating {
        /// Our mark.
        label: &'a Label,
    },
    /// It is not known whether the create was accepted: its batch is searched for before anything else is sent.
    Doubt {
        /// Label of the batch.
        label: &'a Label,
        /// Longest time over which the batch is searched for, its calls not counted.
        patience: Duration,
    },
    /// The batch exists.
    Created {
        /// The batch.
        batch: &'a BatchId,
        /// Whether it was found again after its create's answer was lost.
        found: bool,
        /// Source of the batch's handle, for a caller that keeps it before anything else happens.
        handle: &'a CreatedHandle,
    },
    /// The provider was asked where the batch stands.
    Polled {
        /// Its answer.
        snapshot: &'a BatchSnapshot,
        /// When it will be asked again.
        next: Option<Duration>,
    },
    /// A call failed and will be tried again.
    Retrying {
        /// Why.
        error: &'a Error,
        /// After how long.
        wait: Duration,
    },
    /// Requests that were not answered go out again.
    Requeued {
        /// How many.
        requests: u64,
        /// Number of the attempt that begins: 1 was the first sending of the run, so that this is 2 or more.
        attempt: u32,
    },
    /// Results are being read.
    Fetching {
        /// Rows read so far.
        rows: u64,
        /// Bytes read so far.
        bytes: u64,
    },
    /// All results are here.
    Fetched {
        /// Rows read.
        rows: u64,
    },
    /// Another process advances the run, and this one waits for it.
    Following {
        /// A sentence that names the run and the process.
        held: &'a str,
        /// Number of batches that have ended.
        ended: u64,
        /// Number of batches of the run so far.
        batches: u64,
    },
    /// Something is odd, but the run goes on.
    Warning {
        /// In one sentence, with no content.
        message: &'a str,
    },
}
