//! A create that is ready to be sent, as plain data.

use lmbatch_core::{BatchHandle, Error, Intent, Nonce, Result};
use serde::{Deserialize, Serialize};

use crate::engine::Engine;
use crate::plan::{HandleParts, IdChoice, Plan};

/// A create that is ready to be sent: its input is uploaded, nothing is paid for. Keep it (it is plain
/// data) before you call [`find_or_create`](crate::Create::find_or_create): after a crash another process
/// reads it back, and looks for the batch before it creates one.
///
/// ```no_run
/// # async fn example(invoker: lmbatch_engine::LMInvoker) -> Result<(), Box<dyn std::error::Error>> {
/// let asked = [("a", "Hello!")];
/// let prepared = invoker.batch().create(asked).prepare().await?;
/// std::fs::write("prepared.json", serde_json::to_vec(&prepared)?)?;
/// let handle = invoker.batch().create(asked).find_or_create(prepared).await?;
///
/// // After a crash, in another process:
/// let prepared = serde_json::from_slice(&std::fs::read("prepared.json")?)?;
/// let same = invoker.batch().create(asked).find_or_create(prepared).await?;
/// assert_eq!(same.batch, handle.batch);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prepared {
    /// What was decided.
    pub intent: Intent,
    nonce: Nonce,
    digest: Box<str>,
    handle: HandleParts,
    /// Not written out: whoever reads it back cannot know whether the create was sent.
    #[serde(skip)]
    fresh: bool,
}

impl Prepared {
    pub(crate) async fn new(engine: &Engine, plan: &Plan) -> Result<Self> {
        Ok(Self {
            handle: plan.handle_parts()?,
            digest: plan.digest().into(),
            nonce: plan.nonce.clone(),
            intent: engine.prepare(plan).await?,
            fresh: true,
        })
    }

    /// Under which ids the requests travel.
    pub(crate) fn ids(&self) -> (IdChoice, Nonce) {
        (self.handle.id_choice(), self.nonce.clone())
    }

    pub(crate) async fn find_or_create(self, engine: &Engine, plan: &Plan) -> Result<BatchHandle> {
        let (account, key) = self.handle.account();
        engine
            .of_prepared(account, key, &self.intent, !self.fresh)
            .await?;
        if plan.digest() != &*self.digest || plan.single()?.class != self.intent.class {
            return Err(Error::invalid_input(
                "these are not the requests that were prepared; nothing was sent",
            ));
        }
        let created = engine
            .find_or_create(plan, &self.intent, !self.fresh)
            .await?;
        Ok(self.handle.with_batch(created.batch))
    }
}
