//! Bounds of a call in time, and what its error says when it ends early.

use std::sync::Arc;
use std::time::Duration;

use lmbatch_core::{Delivery, Error, ErrorKind, Label, Result, Retry, RunRecord, ShardState};

use crate::clock::within;
use crate::context::Context;
use crate::plan::Plan;
use crate::plan::handles::RunHandles;
use crate::policy::RunOptions;
use crate::results::finished::Finished;
use crate::run::job::Job;
use crate::trouble::Trouble;

impl Context {
    /// Takes a run to its end, within its time. An error says what is known of its batches.
    pub(crate) async fn drive(
        &self,
        run: RunRecord,
        plan: Plan,
        options: RunOptions,
    ) -> Result<Finished> {
        let mut context = self.clone();
        context.trouble = Trouble::default();
        context.started = Some(self.started());
        let handles = Arc::clone(&plan.handles);
        let record = run.clone();
        let work = async {
            let job = Job::new(&context, run, plan).await?;
            job.drive(options).await
        };
        // It is large, and moved.
        let work = Box::pin(work);
        let at = options
            .deadline
            .and_then(|limit| context.started().checked_add(limit));
        let went = match (at, options.deadline) {
            (Some(at), Some(limit)) => match within(&*context.clock, at, work).await {
                Some(went) => went,
                None => Err(context.late(&record, &handles, limit).await),
            },
            _ => work.await,
        };
        let name = record.name.as_deref().unwrap_or(&record.id);
        went.map_err(|error| handles.attach(context.explain(error, name)))
    }

    /// The time of a run is over, wherever it stands: its record has it, as it would after a crash.
    async fn late(&self, run: &RunRecord, handles: &RunHandles, limit: Duration) -> Error {
        let error = Error::new(ErrorKind::Timeout).with_operation("finish the run");
        let seconds = limit.as_secs_f64();
        let unknown = self.unanswered_create(run).await;
        let error = match (&unknown, handles.first()) {
            (Some((label, requests)), _) => error
                .with_delivery(Delivery::Unknown)
                .with_label(label.clone())
                .with_message(format!(
                    "it had not ended after {seconds} s, and the answer to a create is not known; \
                     the batch may be accepted and billed. {}",
                    if self.is_durable() {
                        "When the run is resumed, it is searched for before anything is created".to_owned()
                    } else {
                        self.sought(label, *requests, None)
                    }
                )),
            (None, Some(_)) => error.with_message(format!(
                "it had not ended after {seconds} s; its batches go on at the provider, and their results \
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

    /// The label, and the number of requests, of a create that was sent, or may have been, and whose answer is
    /// not recorded.
    async fn unanswered_create(&self, run: &RunRecord) -> Option<(Label, Option<u32>)> {
        // A record that cannot be read says nothing: what was sent is not known then.
        let Ok(shards) = self.ledger.shards(&run.id).await else {
            return Some((crate::plan::ids::label(&run.nonce, 0), None));
        };
        let mut shards = shards.into_iter();
        shards.find_map(|shard| match shard.state {
            ShardState::Posting(_) | ShardState::Doubt(_) => Some((shard.label, Some(shard.count))),
            _ => None,
        })
    }

    /// The error of a create, with what is known of its batch.
    pub(crate) fn of_create(&self, error: Error, plan: &Plan) -> Error {
        let name = crate::plan::ids::run_id(plan.nonce.as_str());
        plan.handles.attach(self.explain(error, &name))
    }

    /// What an error of a run leaves unsaid.
    fn explain(&self, error: Error, name: &str) -> Error {
        match error.kind() {
            ErrorKind::Conflict => advanced_elsewhere(error, name),
            ErrorKind::Doubt if error.provider().is_none() => {
                error.with_provider(self.provider.codec().id().clone())
            }
            ErrorKind::Timeout if std::error::Error::source(&error).is_none() => {
                match self.trouble.last() {
                    Some(last) => error.with_source(last),
                    None => error,
                }
            }
            _ => error,
        }
    }
}

/// Of two that go on with one run, one loses.
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
