//! Time limits of a call, and the error of a call that ends early.

use std::sync::Arc;
use std::time::Duration;

use lmbatch_core::{Delivery, Error, ErrorKind, Label, Result, Retry, RunRecord, ShardState};

use crate::clock::within;
use crate::context::Context;
use crate::last_failure::LastFailure;
use crate::plan::Plan;
use crate::plan::handles::RunHandles;
use crate::policy::RunOptions;
use crate::results::finished::RunResults;
use crate::run::job::Job;

impl Context {
    /// Drives a run to its end, within its time limit. An error carries what is known of the run's
    /// batches.
    pub(crate) async fn drive(
        &self,
        run: RunRecord,
        plan: Plan,
        options: RunOptions,
    ) -> Result<RunResults> {
        if options.repairs > 0 {
            self.check_repairs(&plan)?;
        }
        let mut context = self.clone();
        context.last_failure = LastFailure::default();
        context.started = Some(self.started());
        let handles = Arc::clone(&plan.handles);
        let record = run.clone();
        let work = async {
            let job = Job::new(&context, run, plan).await?;
            job.drive(options).await
        };
        // The future is large and would be moved as a whole.
        let work = Box::pin(work);
        let at = options
            .deadline
            .and_then(|limit| context.started().checked_add(limit));
        let ended = match (at, options.deadline) {
            (Some(at), Some(limit)) => match within(&*context.clock, at, work).await {
                Some(ended) => ended,
                None => Err(context.late(&record, &handles, limit).await),
            },
            _ => work.await,
        };
        let name = record.name.as_deref().unwrap_or(&record.id);
        ended.map_err(|error| handles.attach(context.explain(error, name)))
    }

    /// Does the work of a call that creates the batch of a plan, within the time limit of the call.
    pub(crate) async fn create_in_time<T>(
        &self,
        limit: Option<Duration>,
        plan: &Plan,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let at = limit.and_then(|limit| self.started().checked_add(limit));
        // The future is large and would be moved as a whole.
        let work = Box::pin(work);
        let (Some(at), Some(limit)) = (at, limit) else {
            return work.await;
        };
        match within(&*self.clock, at, work).await {
            Some(done) => done,
            None => Err(self.late_create(plan, limit).await),
        }
    }

    /// Returns the error of a create whose time limit is reached.
    async fn late_create(&self, plan: &Plan, limit: Duration) -> Error {
        let error = Error::new(ErrorKind::Timeout).with_operation("create the batch");
        let seconds = limit.as_secs_f64();
        let run = plan.record(&*self.clock);
        let error = match (self.unanswered_create(&run).await, plan.handles.first()) {
            (_, Some(batch)) => error
                .with_message(format!("the batch was created, but not within {seconds} s"))
                .with_batch(batch),
            (Some((label, requests)), None) => {
                let advice = self.search_advice(&label, requests, None);
                error
                    .with_delivery(Delivery::Unknown)
                    .with_label(label)
                    .with_message(format!(
                        "the response to the create was not known after {seconds} s; the batch may be accepted and \
                         billed. {advice}"
                    ))
            }
            (None, None) => error.with_message(format!(
                "no batch was created within {seconds} s; nothing is billed"
            )),
        };
        self.of_create(error, plan)
    }

    /// Returns the error of a run whose time limit is reached. The record is as it would be after a
    /// crash.
    async fn late(&self, run: &RunRecord, handles: &RunHandles, limit: Duration) -> Error {
        let error = Error::new(ErrorKind::Timeout).with_operation("finish the run");
        let seconds = limit.as_secs_f64();
        let unknown = self.unanswered_create(run).await;
        let error = match (&unknown, handles.first()) {
            (Some((label, requests)), _) => error
                .with_delivery(Delivery::Unknown)
                .with_label(label.clone())
                .with_message(format!(
                    "the run had not ended after {seconds} s, and the response to a create is unknown; \
                     the batch may be accepted and billed. {}",
                    if self.is_durable() {
                        "When the run is resumed, the batch is searched for before anything is created".to_owned()
                    } else {
                        self.search_advice(label, *requests, None)
                    }
                )),
            (None, Some(_)) => error.with_message(format!(
                "the run had not ended after {seconds} s; its batches continue at the provider, and their results \
                 can be retrieved later"
            )),
            (None, None) => error.with_message(format!(
                "no batch was created within {seconds} s; nothing is billed"
            )),
        };
        match handles.first() {
            Some(batch) => error.with_batch(batch),
            None => error,
        }
    }

    /// Returns the label and the request count of a create that was or may have been sent, and
    /// whose response is not recorded.
    async fn unanswered_create(&self, run: &RunRecord) -> Option<(Label, Option<u32>)> {
        // Without a readable record, a create may have been sent.
        let Ok(shards) = self.ledger.shards(&run.id).await else {
            return Some((crate::plan::ids::label(&run.nonce, 0), None));
        };
        let mut shards = shards.into_iter();
        shards.find_map(|shard| match shard.state {
            ShardState::Posting(_) | ShardState::Doubt(_) => Some((shard.label, Some(shard.count))),
            _ => None,
        })
    }

    /// Adds what is known of its batch to the error of a create.
    pub(crate) fn of_create(&self, error: Error, plan: &Plan) -> Error {
        let name = crate::plan::ids::run_id(plan.nonce.as_str());
        plan.handles.attach(self.explain(error, &name))
    }

    /// Adds the missing details to an error of a run.
    fn explain(&self, error: Error, name: &str) -> Error {
        match error.kind() {
            ErrorKind::Conflict => advanced_elsewhere(error, name),
            ErrorKind::Doubt if error.provider().is_none() => {
                error.with_provider(self.provider.codec().id().clone())
            }
            ErrorKind::Timeout if std::error::Error::source(&error).is_none() => {
                match self.last_failure.last() {
                    Some(last) => error.with_source(last),
                    None => error,
                }
            }
            _ => error,
        }
    }
}

/// Returns the error for the loser of two tasks or processes that advance one run.
pub(crate) fn advanced_elsewhere(error: Error, name: &str) -> Error {
    let message = format!(
        "the run {name:?} is being advanced by another task or process; wait for that one, or ask for the \
         run again later"
    );
    Error::new(ErrorKind::Conflict)
        .with_retry(Retry::Temporary)
        .with_message(message)
        .with_source(error)
}
