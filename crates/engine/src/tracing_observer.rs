//! Observer that writes events to `tracing`.

use lmbatch_core::{BatchId, Label};

use crate::event::{Event, Observer};

/// Observer that writes each transition of runs and batches as a structured event of the crate `tracing`, with the target
/// `lmbatch`. No event holds prompts, answers, bodies or keys.
///
/// | level | events |
/// |---|---|
/// | `INFO` | a plan, a created batch, a batch that has ended, results that were read, a requeue, a repair |
/// | `WARN` | a call that is repeated, an unknown outcome of a create, a changed schema, a warning |
/// | `DEBUG` | an upload, a create, each poll, results being read, a run that another process advances |
///
/// Each event has the fields `run`, `label` and `batch` as far as they are known, counts (`requests`, `rows`, `succeeded`, …),
/// and durations in seconds (`wait_s`, `took_s`).
///
/// ```
/// # use lmbatch_engine as lmbatch;
/// use std::sync::Arc;
/// use lmbatch::{LMInvoker, TracingObserver};
///
/// fn observed(invoker: LMInvoker) -> LMInvoker {
///     invoker.observer(Arc::new(TracingObserver))
/// }
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct TracingObserver;

/// Writes one event with the fields of its subject.
macro_rules! write_event {
    ($level:ident, $event:expr, $message:literal $(, $($fields:tt)*)?) => {{
        let subject = $event.subject();
        tracing::event!(
            target: "lmbatch",
            tracing::Level::$level,
            run = subject.run,
            label = subject.label.map(Label::as_str),
            batch = subject.batch.map(BatchId::as_str),
            $($($fields)*,)?
            $message
        );
    }};
}

impl Observer for TracingObserver {
    fn observe(&self, event: &Event<'_>) {
        match event {
            Event::Planned {
                requests, bytes, ..
            } => write_event!(INFO, event, "planned", requests, bytes),
            // The notes name members of the caller's schema.
            Event::SchemaChanged { notes, .. } => {
                write_event!(WARN, event, "schema changed", changes = notes.len());
            }
            Event::Staging { bytes, .. } => write_event!(DEBUG, event, "uploading", bytes),
            Event::Creating { .. } => write_event!(DEBUG, event, "creating"),
            Event::Doubt {
                max_search_time, ..
            } => {
                let wait_s = max_search_time.as_secs_f64();
                write_event!(WARN, event, "creation status unknown", wait_s);
            }
            Event::Created { found, .. } => write_event!(INFO, event, "created", found),
            Event::Polled { snapshot, next, .. } => {
                let (status, counts) = (snapshot.status.as_str(), snapshot.counts);
                let (total, succeeded, errored) = (counts.total, counts.succeeded, counts.errored);
                match next {
                    Some(next) => {
                        let wait_s = next.as_secs_f64();
                        write_event!(
                            DEBUG, event, "polled", status, total, succeeded, errored, wait_s
                        );
                    }
                    None => {
                        let times = snapshot.ended_at.zip(snapshot.created_at);
                        let took = times.and_then(|(end, start)| end.duration_since(start).ok());
                        let took_s = took.map(|took| took.as_secs_f64());
                        let (expired, cancelled) = (counts.expired, counts.cancelled);
                        write_event!(
                            INFO, event, "ended", status, total, succeeded, errored, expired,
                            cancelled, took_s
                        );
                    }
                }
            }
            Event::Retrying { error, wait, .. } => {
                let (kind, http_status) = (error.kind().as_str(), error.http_status());
                let wait_s = wait.as_secs_f64();
                write_event!(WARN, event, "retrying", kind, http_status, wait_s, %error);
            }
            Event::Requeued {
                requests, attempt, ..
            } => write_event!(INFO, event, "requeued", requests, attempt),
            Event::Repairing {
                requests, attempt, ..
            } => write_event!(INFO, event, "repairing", requests, attempt),
            Event::Fetching { rows, bytes, .. } => {
                write_event!(DEBUG, event, "reading results", rows, bytes);
            }
            Event::Fetched { rows, .. } => write_event!(INFO, event, "results read", rows),
            Event::Following { ended, batches, .. } => {
                write_event!(
                    DEBUG,
                    event,
                    "another process advances the run",
                    ended,
                    batches
                );
            }
            Event::Warning { message, .. } => {
                write_event!(WARN, event, "warning", warning = message);
            }
        }
    }
}
