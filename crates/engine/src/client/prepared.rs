//! Prepared create that can be stored as plain data.

use lmbatch_core::{BatchHandle, Error, FormatVersion, Intent, Nonce, Result};
use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::plan::Plan;
use crate::plan::handle_parts::HandleParts;
use crate::plan::ids::IdChoice;
use crate::run::single::SentBefore;

/// A create that is ready to be sent: its input is uploaded, and nothing is billed. Plain data in two states.
///
/// In the state that [`prepare`](crate::Create::prepare) returns, the create was never sent:
/// [`find_or_create`](crate::Create::find_or_create) sends it at once, in any process. Mark the data with
/// [`sending`](Self::sending) and store it just before the create is sent: another process that reads it back after a
/// crash searches for the batch before it creates one. Data without a state, from an earlier version of lmbatch,
/// counts as possibly sent.
///
/// Two processes that send the same data at the same time may both create a batch: make sure that only one worker at
/// a time takes a job from its queue or table.
///
/// ```no_run
/// # use lmbatch_engine as lmbatch;
/// # async fn example(invoker: lmbatch::LMInvoker) -> Result<(), Box<dyn std::error::Error>> {
/// use lmbatch::Prepared;
///
/// let asked = [("a", "Hello!")];
/// let prepared = invoker.batch().create(asked).prepare().await?;
/// std::fs::write("job.json", serde_json::to_vec(&prepared)?)?;
///
/// // In a worker, now or later: store that the create may be on its way.
/// let prepared: Prepared = serde_json::from_slice(&std::fs::read("job.json")?)?;
/// let sending = prepared.sending();
/// std::fs::write("job.json", serde_json::to_vec(&sending)?)?;
/// let handle = invoker.batch().create(asked).find_or_create(sending).await?;
///
/// // After a crash of the worker, in another one: the batch is found, and not created again.
/// let prepared: Prepared = serde_json::from_slice(&std::fs::read("job.json")?)?;
/// let same = invoker.batch().create(asked).find_or_create(prepared).await?;
/// assert_eq!(same.batch, handle.batch);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prepared {
    /// Version of the JSON format; absent from data of earlier versions.
    #[serde(default)]
    version: FormatVersion<1>,
    /// Intended create, with its label and its uploaded input.
    pub intent: Intent,
    nonce: Nonce,
    digest: Box<str>,
    handle: HandleParts,
    #[serde(default)]
    state: State,
    /// True if the data was prepared or marked as being sent in this process; not serialised.
    #[serde(skip)]
    fresh: bool,
}

/// State of the create according to the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum State {
    /// The create was not sent.
    Prepared,
    /// The create may have been sent.
    #[default]
    Sending,
}

impl Prepared {
    pub(crate) fn new(plan: &Plan, handle: HandleParts, intent: Intent) -> Self {
        Self {
            version: FormatVersion,
            handle,
            digest: plan.digest().into(),
            nonce: plan.nonce.clone(),
            intent,
            state: State::Prepared,
            fresh: true,
        }
    }

    /// Returns the data to store just before the create is sent: a process that reads it back searches for the
    /// batch first. In this process the create is sent at once, unless the data was read back in this state.
    #[must_use = "store it before it is sent"]
    pub fn sending(self) -> Self {
        Self {
            fresh: self.fresh || self.state == State::Prepared,
            state: State::Sending,
            ..self
        }
    }

    /// Returns whether the create may have been sent, according to the data.
    pub fn may_have_been_sent(&self) -> bool {
        self.state == State::Sending
    }

    /// Returns the choice of ids on the wire, and the nonce of the run.
    pub(crate) fn ids(&self) -> (IdChoice, Nonce) {
        (self.handle.id_choice(), self.nonce.clone())
    }

    fn sent_before(&self) -> SentBefore {
        match (self.fresh, self.state) {
            (true, _) => SentBefore::No,
            (false, State::Prepared) => SentBefore::SaidNo,
            (false, State::Sending) => SentBefore::Maybe,
        }
    }

    pub(crate) async fn find_or_create(
        self,
        context: &Context,
        plan: &Plan,
    ) -> Result<BatchHandle> {
        let (account, key) = self.handle.account();
        context
            .of_prepared(account, key, &self.intent, !self.fresh)
            .await?;
        if plan.digest() != &*self.digest || plan.single()?.class != self.intent.class {
            return Err(Error::invalid_input(
                "these are not the requests that were prepared; nothing was sent",
            ));
        }
        let known = self.sent_before();
        let batch = context.find_or_create(plan, &self.intent, known).await;
        let batch = batch.map_err(|error| context.of_create(error, plan))?;
        Ok(self.handle.with_batch(batch))
    }
}
