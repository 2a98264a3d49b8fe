//! Events of a run and the observer that receives them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lmbatch_core::{BatchId, BatchSnapshot, Error, Label};

use crate::plan::handles::CreatedHandle;

/// Receives the events of calls and runs. It is called often and from async code, so it must return quickly.
///
/// A panic of an observer is caught, after the panic hook has reported it. The run continues, since its batches may be
/// paid for, and the observer is not called again. Where panics abort the process (`panic = "abort"`), nothing is caught.
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

/// Observer whose panics end no run. After a panic it is not called again.
pub(crate) struct Guarded {
    observer: Arc<dyn Observer>,
    has_panicked: AtomicBool,
}

impl Guarded {
    pub(crate) fn new(observer: Arc<dyn Observer>) -> Arc<Self> {
        Arc::new(Self {
            observer,
            has_panicked: AtomicBool::new(false),
        })
    }
}

impl Observer for Guarded {
    fn observe(&self, event: &Event<'_>) {
        if self.has_panicked.load(Ordering::Relaxed) {
            return;
        }
        // The state of the observer may be inconsistent after a panic, and it is not used again.
        let told = catch_unwind(AssertUnwindSafe(|| self.observer.observe(event)));
        if told.is_err() {
            self.has_panicked.store(true, Ordering::Relaxed);
        }
    }
}

/// Run and batch that an event is about, by which an observer of many runs tells them apart. Each part is `None` where
/// it is not known or does not apply: a list has no run, and a plan no batch.
///
/// ```
/// # use lmbatch_engine as lmbatch;
/// use lmbatch::Event;
///
/// fn line(event: &Event<'_>) -> String {
///     let subject = event.subject();
///     format!("run {}, batch {:?}: {event:?}", subject.run.unwrap_or("-"), subject.batch)
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct EventSubject<'a> {
    /// Id of the run. The events of one call that creates batches have one id, also where the run is not recorded.
    pub run: Option<&'a str>,
    /// Label of the batch at the provider.
    pub label: Option<&'a Label>,
    /// Provider's id of the batch, once it exists.
    pub batch: Option<&'a BatchId>,
}

impl<'a> EventSubject<'a> {
    pub(crate) fn of_run(run: &'a str) -> Self {
        Self {
            run: Some(run),
            ..Self::default()
        }
    }

    pub(crate) fn of_batch(self, batch: &'a BatchId) -> Self {
        Self {
            batch: Some(batch),
            ..self
        }
    }

    /// Returns the subject, completed by what the error of a call names.
    pub(crate) fn of_error(self, error: &'a Error) -> Self {
        Self {
            label: self.label.or(error.label()),
            batch: self.batch.or(error.batch()),
            ..self
        }
    }
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
///         Event::Warning { message, .. } => Some((*message).to_owned()),
///         _ => None,
///     }
/// }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// All requests are read and encoded.
    #[non_exhaustive]
    Planned {
        /// Run and batch that the event is about.
        subject: EventSubject<'a>,
        /// Number of requests in the plan.
        requests: u64,
        /// Number of bytes to be sent.
        bytes: u64,
    },
    /// Schemas for structured output are sent in another form than the caller's, or in part.
    /// Nothing is sent yet.
    #[non_exhaustive]
    SchemaChanged {
        /// Run and batch that the event is about.
        subject: EventSubject<'a>,
        /// Changes to the schemas, one short sentence each.
        notes: &'a [String],
    },
    /// The input of a batch is uploaded to the provider.
    #[non_exhaustive]
    Staging {
        /// Run and batch that the event is about.
        subject: EventSubject<'a>,
        /// Label of the batch.
        label: &'a Label,
        /// Number of bytes to be sent.
        bytes: u64,
    },
    /// The create of a batch is about to be sent.
    #[non_exhaustive]
    Creating {
        /// Run and batch that the event is about.
        subject: EventSubject<'a>,
        /// Label of the batch.
        label: &'a Label,
    },
    /// The outcome of a create is unknown: its batch is searched for before anything else is sent.
    #[non_exhaustive]
    Doubt {
        /// Run and batch that the event is about.
        subject: EventSubject<'a>,
        /// Label of the batch.
        label: &'a Label,
        /// Longest time over which the batch is searched for, without the time of the calls.
        max_search_time: Duration,
    },
    /// The batch exists at the provider.
    #[non_exhaustive]
    Created {
        /// Run and batch that the event is about.
        subject: EventSubject<'a>,
        /// Id of the batch.
        batch: &'a BatchId,
        /// True if the batch was found by a search after the response to its create was lost.
        found: bool,
        /// Source of the batch's handle, for a caller that stores the handle before anything else
        /// happens.
        handle: &'a CreatedHandle,
    },
    /// The provider returned the status of a batch.
    #[non_exhaustive]
    Polled {
        /// Run and batch that the event is about.
        subject: EventSubject<'a>,
        /// Status of the batch.
        snapshot: &'a BatchSnapshot,
        /// Time until the next poll; `None` after the last one.
        next: Option<Duration>,
    },
    /// A call failed and will be repeated.
    #[non_exhaustive]
    Retrying {
        /// Run and batch that the event is about.
        subject: EventSubject<'a>,
        /// Error of the failed call.
        error: &'a Error,
        /// Time until the next call.
        wait: Duration,
    },
    /// Unanswered requests are sent again.
    #[non_exhaustive]
    Requeued {
        /// Run and batch that the event is about.
        subject: EventSubject<'a>,
        /// Number of requests that are sent again.
        requests: u64,
        /// Number of the attempt that begins, from 2; the first sending of the run was attempt 1.
        attempt: u32,
    },
    /// Answers that do not fit their schemas are sent back to be corrected.
    #[non_exhaustive]
    Repairing {
        /// Run and batch that the event is about.
        subject: EventSubject<'a>,
        /// Number of requests whose conversations are continued.
        requests: u64,
        /// Number of the attempt that begins, from 2; the first sending of the run was attempt 1.
        attempt: u32,
    },
    /// Results of a batch are being read.
    #[non_exhaustive]
    Fetching {
        /// Run and batch that the event is about.
        subject: EventSubject<'a>,
        /// Number of rows read so far.
        rows: u64,
        /// Number of bytes read so far.
        bytes: u64,
    },
    /// All results of a batch are read.
    #[non_exhaustive]
    Fetched {
        /// Run and batch that the event is about.
        subject: EventSubject<'a>,
        /// Number of rows read.
        rows: u64,
    },
    /// Another process advances the run, and this process waits for it.
    #[non_exhaustive]
    Following {
        /// Run and batch that the event is about.
        subject: EventSubject<'a>,
        /// Sentence that names the run and the process.
        held: &'a str,
        /// Number of batches that have ended.
        ended: u64,
        /// Number of batches of the run so far.
        batches: u64,
    },
    /// Unexpected finding that does not stop the run.
    #[non_exhaustive]
    Warning {
        /// Run and batch that the event is about.
        subject: EventSubject<'a>,
        /// One sentence, without content of requests or answers.
        message: &'a str,
    },
}

impl<'a> Event<'a> {
    /// Returns the run and the batch that the event is about.
    pub fn subject(&self) -> EventSubject<'a> {
        match self {
            Self::Planned { subject, .. }
            | Self::SchemaChanged { subject, .. }
            | Self::Staging { subject, .. }
            | Self::Creating { subject, .. }
            | Self::Doubt { subject, .. }
            | Self::Created { subject, .. }
            | Self::Polled { subject, .. }
            | Self::Retrying { subject, .. }
            | Self::Requeued { subject, .. }
            | Self::Repairing { subject, .. }
            | Self::Fetching { subject, .. }
            | Self::Fetched { subject, .. }
            | Self::Following { subject, .. }
            | Self::Warning { subject, .. } => *subject,
        }
    }
}
