//! Stage and create. Of every line here ask: if the process dies now, what is paid twice?

use lmbatch_core::{
    BatchId, Certainty, CreateToken, Delivery, Error, ErrorKind, Found, Intent, ListOptions,
    Result, Retry, Shard, ShardKey, ShardRecord, ShardState, Staged,
};

use crate::engine::Engine;
use crate::event::Event;
use crate::plan::Plan;
use crate::policy::Decision;

/// A shard's place in the ledger.
struct Noted<'a> {
    engine: &'a Engine,
    key: ShardKey,
    epoch: u64,
}

impl Noted<'_> {
    async fn advance(&mut self, state: ShardState) -> Result<()> {
        self.epoch = self
            .engine
            .ledger
            .advance(&self.key, self.epoch, state)
            .await?;
        Ok(())
    }
}

impl Engine {
    /// Brings the plan's batch into being: one accepted create, or an error that says what is known.
    pub(crate) async fn create(&self, plan: &Plan) -> Result<BatchId> {
        let shard = &plan.shard;
        let key = ShardKey {
            run: plan.nonce.as_str().into(),
            shard: 0,
        };
        let record = ShardRecord {
            key: key.clone(),
            label: shard.label.clone(),
            count: shard.count,
            epoch: 0,
            state: ShardState::Planned,
        };
        self.ledger.begin(std::slice::from_ref(&record)).await?;
        let mut noted = Noted {
            engine: self,
            key,
            epoch: 0,
        };
        let staged = self.stage(shard).await?;
        noted.advance(ShardState::Staged(staged.clone())).await?;
        let intent = Intent {
            label: shard.label.clone(),
            class: shard.class.clone(),
            count: shard.count,
            bytes: shard.len(),
            staged,
            token: CreateToken::new(shard.label.as_str()),
            posted_at: Some(self.clock.now()),
            watermark: self.newest().await?,
        };
        self.post(shard, &intent, &mut noted).await
    }

    async fn stage(&self, shard: &Shard) -> Result<Staged> {
        self.tell(&Event::Staging {
            label: &shard.label,
            bytes: shard.len(),
        });
        let mut prior: Option<Staged> = None;
        loop {
            let staged = self
                .retrying(|| self.provider.stage(shard, prior.clone()))
                .await?;
            if staged.ready {
                return Ok(staged);
            }
            if prior.is_some() {
                self.clock.sleep(self.polling.wait(1, None)).await;
            }
            prior = Some(staged);
        }
    }

    /// The newest batch before ours: a search need not look further back.
    async fn newest(&self) -> Result<Option<BatchId>> {
        if !self.provider.codec().capabilities().list {
            return Ok(None);
        }
        let options = ListOptions {
            limit: Some(1),
            page: None,
        };
        match self.retrying(|| self.provider.list(&options)).await {
            Ok(page) => Ok(page.items.into_iter().next().map(|batch| batch.id)),
            Err(error)
                if error.kind() == ErrorKind::Unsupported || error.http_status() == Some(404) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    async fn post(&self, shard: &Shard, intent: &Intent, noted: &mut Noted<'_>) -> Result<BatchId> {
        let mut attempt = 1;
        loop {
            noted.advance(ShardState::Posting(intent.clone())).await?;
            self.tell(&Event::Creating {
                label: &shard.label,
            });
            let error = match self.provider.create(shard, intent).await {
                Ok(batch) => {
                    return self
                        .acknowledge(batch, Certainty::Proved, false, noted)
                        .await;
                }
                Err(error) => error,
            };
            match self
                .retries
                .decide_create(attempt, &error, self.rng.next_f64())
            {
                Decision::RetryAfter(wait) => self.pause(&error, wait).await,
                Decision::Find => {
                    noted.advance(ShardState::Doubt(intent.clone())).await?;
                    return self.find(intent, error, noted).await;
                }
                Decision::Stop => {
                    noted.advance(ShardState::Refused).await?;
                    return Err(error);
                }
            }
            attempt += 1;
        }
    }

    async fn acknowledge(
        &self,
        batch: BatchId,
        certainty: Certainty,
        found: bool,
        noted: &mut Noted<'_>,
    ) -> Result<BatchId> {
        // Told before it is noted: whoever listens knows the id even if the ledger fails.
        self.tell(&Event::Created {
            batch: &batch,
            found,
        });
        let state = ShardState::Created {
            batch: batch.clone(),
            certainty,
        };
        noted
            .advance(state)
            .await
            .map_err(|error| error.with_batch(batch.clone()))?;
        Ok(batch)
    }

    /// Looks for a create whose fate is unknown. Never creates.
    async fn find(&self, intent: &Intent, cause: Error, noted: &mut Noted<'_>) -> Result<BatchId> {
        self.tell(&Event::Doubt {
            label: &intent.label,
        });
        let mut last = None;
        for wait in &self.doubt.looks {
            self.clock.sleep(*wait).await;
            match self.look(intent).await {
                Ok(mut proved) => {
                    if proved.len() > 1 {
                        let ids: Vec<&str> = proved.iter().map(BatchId::as_str).collect();
                        let message = format!(
                            "several batches carry our label, and each is paid for: {}",
                            ids.join(", ")
                        );
                        self.tell(&Event::Warning { message: &message });
                    }
                    // Newest first: the last is the oldest.
                    if let Some(batch) = proved.pop() {
                        return self
                            .acknowledge(batch, Certainty::Proved, true, noted)
                            .await;
                    }
                    last = None;
                }
                Err(error) if error.kind() == ErrorKind::Unsupported => {
                    last = Some(error);
                    break;
                }
                Err(error) => last = Some(error),
            }
        }
        Err(held(intent, cause, last.as_ref()))
    }

    /// One look: every page that may hold the batch. A list that fails is not an empty list.
    async fn look(&self, intent: &Intent) -> Result<Vec<BatchId>> {
        let mut proved = Vec::new();
        let mut page = None;
        loop {
            let found: Found = self
                .retrying(|| self.provider.find(intent, page.clone()))
                .await?;
            let sure = |certainty| matches!(certainty, Certainty::Token | Certainty::Proved);
            proved.extend(
                found
                    .candidates
                    .into_iter()
                    .filter(|c| sure(c.certainty))
                    .map(|c| c.batch),
            );
            match found.next {
                Some(next) if !found.reached_watermark => page = Some(next),
                _ => return Ok(proved),
            }
        }
    }
}

fn held(intent: &Intent, cause: Error, last: Option<&Error>) -> Error {
    let looked = match last {
        Some(error) if error.kind() == ErrorKind::Unsupported => "this provider cannot be searched",
        Some(_) => "the provider could not be searched",
        None => "no batch with our label has appeared so far",
    };
    Error::new(ErrorKind::Doubt)
        .with_operation("create the batch")
        .with_delivery(Delivery::Unknown)
        .with_retry(Retry::Permanent)
        .with_message(format!(
            "its answer was lost, and {looked}; it may still be accepted and billed. \
             Look for the label {} at the provider before you send the requests again",
            intent.label
        ))
        .with_source(cause)
}
