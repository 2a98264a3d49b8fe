//! What a provider holds that carries our labels, and a record that is rebuilt from it.

use std::collections::{BTreeMap, HashSet};

use futures::TryStreamExt as _;
use lmbatch_core::{
    BatchId, BatchSnapshot, BatchStatus, CreateProof, Cursor, Error, ErrorKind, Label, Proof,
    Result, RunRecord, ShardRecord, ShardState, Upload,
};

use crate::engine::Engine;
use crate::event::Event;
use crate::pages::items;
use crate::plan::Plan;

/// A batch of the provider that carries one of our labels.
#[derive(Debug, Clone, PartialEq)]
pub struct Labelled {
    /// What its run's labels have in common.
    pub nonce: Box<str>,
    /// Its number in the run.
    pub number: u32,
    /// The batch.
    pub snapshot: BatchSnapshot,
}

impl Engine {
    /// Every batch of the provider that carries one of our labels, newest first.
    pub async fn labelled(&self) -> Result<Vec<Labelled>> {
        let labelled = self.list(None).try_filter_map(|snapshot| async move {
            let parts = snapshot.label.as_ref().and_then(Label::parts);
            let parts = parts.map(|(nonce, number)| (Box::from(nonce), number));
            Ok(parts.map(|(nonce, number)| Labelled {
                nonce,
                number,
                snapshot,
            }))
        });
        labelled.try_collect().await
    }

    /// Every file of ours at the provider; none where it keeps none, or does not list them.
    pub async fn uploaded(&self) -> Result<Vec<Upload>> {
        let ask = |page: Option<Cursor>| async move {
            self.retrying(|| self.provider.uploads(page.clone())).await
        };
        match items(ask).try_collect().await {
            Err(error) if error.kind() == ErrorKind::Unsupported => Ok(Vec::new()),
            files => files,
        }
    }

    /// The batches that the record knows.
    pub async fn recorded_batches(&self) -> Result<HashSet<BatchId>> {
        let mut known = HashSet::new();
        for ledger in [&self.ledger, &self.beside] {
            for run in ledger.runs().await? {
                for shard in ledger.shards(&run.id).await? {
                    match shard.state {
                        ShardState::Created { batch, .. } => known.insert(batch),
                        ShardState::Ended(snapshot) | ShardState::Sealed { snapshot, .. } => {
                            known.insert(snapshot.id)
                        }
                        _ => continue,
                    };
                }
            }
        }
        Ok(known)
    }

    /// Takes batches that exist into a new record of the run of `plan`, which was
    /// [planned again](Self::plan_again) under their mark. The run, and how many batches were taken: all of
    /// them or, where `creates_missing`, those that exist; the others are created when it is
    /// [resumed](Self::resume).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] where a batch is not what the plan makes, or one is not there.
    pub async fn adopt(
        &self,
        plan: &Plan,
        notes: BTreeMap<Box<str>, Box<str>>,
        creates_missing: bool,
    ) -> Result<(RunRecord, u32)> {
        if self.provider.codec().capabilities().create == CreateProof::CountAndTime {
            return Err(Error::invalid_input(format!(
                "the batches of {} carry no labels by which a record could be rebuilt; each can be read by its id",
                plan.provider
            )));
        }
        let labelled = self.labelled().await?.into_iter();
        let ours = labelled.filter(|one| *one.nonce == *plan.nonce.as_str());
        let found = self.one_each(plan, ours)?;
        let uploads = self.uploaded().await?;
        let run = plan.record(&*self.clock);
        let mut shards = Vec::with_capacity(plan.shards.len());
        for planned in &plan.shards {
            let mut record = planned.record(&run.id);
            if let Some(snapshot) = found.get(&planned.number) {
                let inputs = uploads.iter().filter(|file| file.label == record.label);
                let inputs: Vec<&Upload> = inputs.collect();
                if let Some(odd) = self.differs(&record, snapshot, &inputs) {
                    return Err(Error::invalid_input(format!(
                        "{odd}: it is not the input that was sent, or not with these options"
                    ))
                    .with_batch(snapshot.id.clone()));
                }
                let proof = Proof::proved("it carries the label of the run");
                // What was uploaded for it is deleted with the rest, once its outcomes are here.
                record.remnants = inputs.iter().map(|file| file.remnant.clone()).collect();
                record.proof = Some(proof.clone());
                record.state = ShardState::Created {
                    batch: snapshot.id.clone(),
                    proof,
                };
            } else if !creates_missing {
                return Err(Error::invalid_input(format!(
                    "no batch with the label {} is there, or listed yet; without it the record would have it created, and paid for",
                    record.label
                )));
            }
            shards.push(record);
        }
        // All at once: what is not in the record yet would be taken for what was never created.
        let run = self.begin_with(plan, run, notes, &shards).await?;
        Ok((run, found.len() as u32))
    }

    /// One batch for each number that there is one of.
    fn one_each(
        &self,
        plan: &Plan,
        ours: impl Iterator<Item = Labelled>,
    ) -> Result<BTreeMap<u32, BatchSnapshot>> {
        let mut all: BTreeMap<u32, Vec<BatchSnapshot>> = BTreeMap::new();
        for one in ours {
            if one.number >= plan.batches() {
                return Err(Error::invalid_input(format!(
                    "it is the batch {} of a run of which this input makes {}: it is another input, or what was sent again, which no record can be rebuilt of; it can be read by its id",
                    one.number + 1,
                    plan.batches()
                ))
                .with_batch(one.snapshot.id));
            }
            all.entry(one.number).or_default().push(one.snapshot);
        }
        let mut each = BTreeMap::new();
        for (number, mut several) in all {
            // A create that was made to fail left a batch that failed.
            if several.iter().any(|one| one.status != BatchStatus::Failed) {
                several.retain(|one| one.status != BatchStatus::Failed);
            }
            // Newest first: the last is the oldest.
            let Some(oldest) = several.pop() else {
                continue;
            };
            for other in several {
                let message = format!(
                    "{} carries the same label as {}, which is taken; both are paid for",
                    other.id, oldest.id
                );
                self.tell(&Event::Warning { message: &message });
            }
            each.insert(number, oldest);
        }
        Ok(each)
    }

    /// How a batch differs from the one that this input makes, where it can be seen.
    fn differs(
        &self,
        shard: &ShardRecord,
        snapshot: &BatchSnapshot,
        inputs: &[&Upload],
    ) -> Option<String> {
        let makes = u64::from(shard.count);
        if let Some(total) = snapshot.counts.total.filter(|total| *total != makes) {
            return Some(format!(
                "it holds {total} requests, and this input makes {makes}"
            ));
        }
        if let (Some(is), Some(wanted)) = (&snapshot.model, &shard.class.model) {
            // Providers say which version of a model it is, and some in which collection.
            let is = is.rsplit('/').next().unwrap_or_default();
            let wanted = wanted.rsplit('/').next().unwrap_or_default();
            if !is.starts_with(wanted) && !wanted.starts_with(is) {
                return Some(format!("it asks {is}, and this input asks {wanted}"));
            }
        }
        let frame = self.provider.codec().frame(&shard.class, &shard.label);
        let makes = (frame.prefix.len() + frame.suffix.len()) as u64 + shard.bytes;
        let mut sizes = inputs.iter().filter_map(|input| input.bytes);
        let other = sizes.find(|bytes| *bytes != makes)?;
        Some(format!(
            "it was made of {other} bytes, and this input makes {makes}"
        ))
    }
}
