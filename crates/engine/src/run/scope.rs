//! Parts that every step of a run works with.

use std::sync::Arc;
use std::time::Duration;

use lmbatch_core::Result;
use tokio::sync::watch;

use crate::context::Context;
use crate::plan::Plan;
use crate::run::budget::Budget;
use crate::spool::Files;

/// Parts that every step of a run works with.
pub(crate) struct Scope<'a> {
    pub(crate) context: &'a Context,
    pub(crate) plan: &'a Plan,
    pub(crate) files: &'a Arc<Files>,
    /// Time for which incomplete results are read again.
    pub(crate) patience: Duration,
    /// Id of the run, where it can be cancelled.
    pub(crate) run: Option<Box<str>>,
    pub(crate) cancelled: watch::Sender<bool>,
    /// Budget of the run, where it has a cost limit.
    pub(crate) budget: Option<Budget>,
}

impl Scope<'_> {
    /// Returns whether a step has seen that the run is cancelled.
    pub(crate) fn is_cancelled(&self) -> bool {
        *self.cancelled.borrow()
    }

    /// Ends when a step sees that the run is cancelled.
    pub(crate) async fn cancellation(&self) {
        let mut cancelled = self.cancelled.subscribe();
        if cancelled.wait_for(|cancelled| *cancelled).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Reads from the record whether the run is cancelled, unless no run was changed since the revision `seen`.
    /// Replaces `seen` by the revision that was read.
    pub(crate) async fn check_changes(&self, seen: &mut Option<u64>) -> Result<bool> {
        let revision = self.context.revision().await?;
        if revision.is_some() && revision == *seen {
            return Ok(self.is_cancelled());
        }
        let cancelled = self.check_cancellation().await?;
        *seen = revision;
        Ok(cancelled)
    }

    /// Reads from the record whether the run is cancelled.
    pub(crate) async fn check_cancellation(&self) -> Result<bool> {
        let Some(run) = &self.run else {
            return Ok(false);
        };
        let cancelled = self.is_cancelled() || self.context.is_run_cancelled(run).await?;
        if cancelled {
            self.cancelled.send_replace(true);
        }
        Ok(cancelled)
    }
}
