//! Creates under a token: a second one is the first, so that a create whose answer was lost is repeated.

use std::sync::Arc;

use lmbatch_core::{
    Certainty, CreateProof, Delivery, Error, ErrorKind, Intent, Proof, Result, Retry, Shard,
};

use crate::create::{Created, Searched, held};
use crate::engine::Engine;
use crate::noted::Noted;
use crate::run::Work;
use crate::spool::Files;

impl Engine {
    /// Whether the provider takes a repeated create for the first.
    pub(crate) fn repeats(&self, intent: &Intent) -> bool {
        let capabilities = self.provider.codec().capabilities();
        let age = intent
            .posted_at
            .map(|at| self.clock.now().duration_since(at));
        let is_kept = match (capabilities.token_lifetime, age) {
            (None, _) => true,
            // A clock that was set back tells no age.
            (Some(lifetime), Some(Ok(age))) => age + self.doubt.patience() < lifetime,
            (Some(_), _) => false,
        };
        capabilities.create == CreateProof::Token && is_kept
    }

    /// Repeats a create whose fate is unknown, under its token: whichever create was taken, there is one
    /// batch.
    pub(crate) async fn repeat(
        &self,
        shard: &Shard,
        intent: &Intent,
        noted: &mut Noted,
        mut cause: Option<Error>,
    ) -> Result<Created> {
        for wait in &self.doubt.looks {
            self.clock.sleep(*wait).await;
            let error = match self.provider.create(shard, intent).await {
                Ok(batch) => return self.acknowledge(batch, by_token(), true, noted).await,
                Err(error) => error,
            };
            if error.kind() == ErrorKind::AlreadyExists {
                return self.existing(intent, noted, error).await;
            }
            let is_final =
                error.retry() == Retry::Permanent && error.delivery() != Delivery::Unknown;
            cause = Some(error);
            // What is refused now may have been taken then.
            if is_final {
                break;
            }
        }
        Err(held(
            intent,
            cause,
            "no repeated create was answered either",
        ))
    }

    /// Takes the batch that was created under the token before.
    pub(crate) async fn existing(
        &self,
        intent: &Intent,
        noted: &mut Noted,
        error: Error,
    ) -> Result<Created> {
        if let Some(batch) = error.batch() {
            let batch = batch.clone();
            return self.acknowledge(batch, by_token(), true, noted).await;
        }
        match self.search(intent, noted).await? {
            Searched::Found(created) => Ok(created),
            Searched::Unclear(saw) => Err(held(intent, Some(error), &saw)),
            Searched::Nothing => {
                let saw = "the provider says that it exists, and does not list it";
                Err(held(intent, Some(error), saw))
            }
        }
    }
}

impl Work {
    /// Finds out what became of a create whose fate is unknown. A create that is repeated sends the body again,
    /// which must be what was planned.
    pub(crate) async fn recover(
        &mut self,
        engine: &Engine,
        files: &Arc<Files>,
        intent: &Intent,
    ) -> Result<Option<Created>> {
        if engine.repeats(intent) {
            self.verify(files).await?;
        }
        let shard = &self.planned.shard;
        engine.recover(shard, intent, &mut self.noted).await
    }
}

fn by_token() -> Proof {
    Proof {
        certainty: Certainty::Token,
        evidence: "a create under its token gave it".into(),
    }
}
