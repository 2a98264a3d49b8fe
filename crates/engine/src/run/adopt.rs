//! Finds what lmbatch made at a provider, by labels or by the ids of rows, and rebuilds a record
//! from it.

use std::collections::{BTreeMap, HashSet};

use futures::TryStreamExt as _;
use lmbatch_core::{
    BatchId, BatchSnapshot, BatchStatus, CreateProof, Cursor, Error, ErrorKind, Label, Nonce,
    Proof, RemoteObject, Result, Retry, RunRecord, ShardRecord, ShardState, Upload,
};

use crate::context::Context;
use crate::counted;
use crate::event::Event;
use crate::pages::items;
use crate::plan::Plan;
use crate::services::origin::{Survey, is_one_model};

/// Batch of the provider that carries a label of lmbatch.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LabelledBatch {
    /// Nonce of the run, which all of its labels contain.
    pub nonce: Box<str>,
    /// Number of the shard in the run.
    pub number: u32,
    /// Status of the batch.
    pub snapshot: BatchSnapshot,
}

/// Batches of an account, as far as they concern lmbatch.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Inventory {
    /// Batches that carry a label of lmbatch, newest first.
    pub labelled: Vec<LabelledBatch>,
    /// Batches without a label that may belong to lmbatch, newest first; empty where the provider
    /// keeps labels.
    pub unlabelled: Vec<BatchSnapshot>,
    /// Nonces of the runs with a batch that has not ended.
    pub running: HashSet<Box<str>>,
    /// Input files of batches that have not ended, of any program.
    pub files_in_use: HashSet<Box<str>>,
}

impl Inventory {
    /// Returns whether a batch that has not ended may need an upload.
    pub fn needs(&self, upload: &Upload) -> bool {
        let nonce = upload.label.parts().map(|(nonce, _)| nonce);
        let by_file = match &upload.remote_object {
            RemoteObject::File(file) => self.files_in_use.contains(file),
            RemoteObject::Batch(_) => false,
        };
        by_file || nonce.is_some_and(|nonce| self.running.contains(nonce))
    }

    fn add(&mut self, snapshot: BatchSnapshot, keeps_labels: bool) {
        let running = !snapshot.status.is_terminal();
        if let Some(file) = snapshot.input_file.clone().filter(|_| running) {
            self.files_in_use.insert(file);
        }
        let parts = snapshot.label.as_ref().and_then(Label::parts);
        match parts.map(|(nonce, number)| (Box::<str>::from(nonce), number)) {
            Some((nonce, number)) => {
                if running {
                    self.running.insert(nonce.clone());
                }
                self.labelled.push(LabelledBatch {
                    nonce,
                    number,
                    snapshot,
                });
            }
            None if !keeps_labels => self.unlabelled.push(snapshot),
            None => {}
        }
    }
}

/// Batches without a label that belong to lmbatch, as the ids of their rows prove.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct RecognisedBatches {
    /// Recognised batches, each with the nonce of its run, newest first.
    pub found: Vec<(Nonce, BatchSnapshot)>,
    /// Number of batches whose results were not read: they are beyond the limit, or not readable.
    pub unread: u64,
    /// Number of batches that have not ended, so that no row of them can be read yet.
    pub running: u64,
}

impl Context {
    pub(crate) async fn inventory(&self) -> Result<Inventory> {
        let keeps_labels = self.keeps_labels();
        let all = self.list(None);
        let add = |mut inventory: Inventory, snapshot| async move {
            inventory.add(snapshot, keeps_labels);
            Ok(inventory)
        };
        all.try_fold(Inventory::default(), add).await
    }

    pub(crate) async fn recognise(
        &self,
        batches: Vec<BatchSnapshot>,
        known: &HashSet<BatchId>,
        most: usize,
    ) -> RecognisedBatches {
        let mut recognised = RecognisedBatches::default();
        let mut looks = 0;
        for snapshot in batches {
            if known.contains(&snapshot.id) {
                continue;
            }
            if !snapshot.status.is_terminal() {
                recognised.running += 1;
            } else if !snapshot.status.may_have_outcomes() {
                // Nothing of the batch was answered, so that nothing is paid for.
            } else if looks >= most {
                recognised.unread += 1;
            } else {
                looks += 1;
                match self.origin_of(&snapshot).await {
                    Ok(Some(nonce)) => recognised.found.push((nonce, snapshot)),
                    Ok(None) => {}
                    // Results are kept for a limited time. An unreadable batch does not hide
                    // others.
                    Err(_) => recognised.unread += 1,
                }
            }
        }
        recognised
    }

    /// Returns whether the provider keeps a label with each batch.
    fn keeps_labels(&self) -> bool {
        self.provider.codec().capabilities().create != CreateProof::CountAndTime
    }

    pub(crate) async fn labelled(&self) -> Result<Vec<LabelledBatch>> {
        Ok(self.inventory().await?.labelled)
    }

    pub(crate) async fn uploaded(&self) -> Result<Option<Vec<Upload>>> {
        let ask = |page: Option<Cursor>| async move {
            self.retrying(|| self.provider.uploads(page.clone())).await
        };
        match items(ask).try_collect().await {
            Err(error) if error.kind() == ErrorKind::Unsupported => Ok(None),
            files => files.map(Some),
        }
    }

    pub(crate) async fn adopt(
        &self,
        plan: &Plan,
        notes: BTreeMap<Box<str>, Box<str>>,
        creates_missing: bool,
    ) -> Result<(RunRecord, u32)> {
        if !self.keeps_labels() {
            return Err(Error::invalid_input(format!(
                "the batches of {} carry no labels; name the batches of the run by their ids",
                plan.provider
            )));
        }
        let labelled = self.labelled().await?.into_iter();
        let of_run = labelled.filter(|one| *one.nonce == *plan.nonce.as_str());
        let found = self.one_each(plan, of_run)?;
        let with_proof = |(number, snapshot)| {
            let proof = Proof::proved("it carries the label of the run");
            (number, (snapshot, proof))
        };
        let found = found.into_iter().map(with_proof).collect();
        self.record_found(plan, found, notes, creates_missing).await
    }

    pub(crate) async fn adopt_batches(
        &self,
        plan: &Plan,
        batches: &[BatchId],
        model: Option<&str>,
        notes: BTreeMap<Box<str>, Box<str>>,
        creates_missing: bool,
    ) -> Result<(RunRecord, u32)> {
        let shards = Spans::of(plan)?;
        let mut found: BTreeMap<u32, (BatchSnapshot, Proof)> = BTreeMap::new();
        for batch in batches {
            let refuse = |why: String| Err(Error::invalid_input(why).with_batch(batch.clone()));
            let snapshot = self.status(batch).await?;
            if !snapshot.status.is_terminal() {
                return Err(Error::new(ErrorKind::Timeout)
                    .with_message(
                        "the batch has not ended; only its results show which requests it holds",
                    )
                    .with_retry(Retry::Temporary)
                    .with_batch(batch.clone()));
            }
            let survey = self.survey(batch, &plan.nonce, plan.requests).await?;
            let number = match shards.only(&survey) {
                Ok(number) => number,
                Err(why) => return refuse(why),
            };
            let count = plan
                .shards
                .get(number as usize)
                .map_or(0, |one| one.shard.count);
            // Rows may be missing, except where the provider gives no counts.
            let holds = snapshot.counts.total.unwrap_or(survey.count);
            if holds != u64::from(count) {
                return refuse(format!(
                    "the batch holds {}, but this input makes a batch of {count}: {OTHER}",
                    counted::requests(holds)
                ));
            }
            if let (Some(is), Some(wanted)) = (&survey.model, model)
                && !is_one_model(is, wanted)
            {
                return refuse(format!(
                    "the batch was answered by the model {is}, but this input asks for {wanted}"
                ));
            }
            let proof = Proof::proved("the rows of its results carry the ids of the run");
            if let Some((other, _)) = found.insert(number, (snapshot, proof)) {
                return refuse(format!(
                    "the batch holds the same requests as {}, and both are paid for; adopt one of them, and read the other by its id",
                    other.id
                ));
            }
        }
        if creates_missing {
            self.refuse_unnamed(plan, &found).await?;
        }
        self.record_found(plan, found, notes, creates_missing).await
    }

    /// Refuses adoption if a batch that is not named may hold the requests of a shard that is to be
    /// created: those requests would be paid for twice.
    async fn refuse_unnamed(
        &self,
        plan: &Plan,
        found: &BTreeMap<u32, (BatchSnapshot, Proof)>,
    ) -> Result<()> {
        let missing = plan.shards.iter();
        let missing = missing.filter(|planned| !found.contains_key(&planned.number));
        let counts: HashSet<u64> = missing.map(|one| u64::from(one.shard.count)).collect();
        if counts.is_empty() {
            return Ok(());
        }
        let named: HashSet<&BatchId> = found.values().map(|(named, _)| &named.id).collect();
        let mut all = self.list(None);
        while let Some(snapshot) = all.try_next().await? {
            if named.contains(&snapshot.id) || snapshot.status == BatchStatus::Failed {
                continue;
            }
            let of_label = snapshot.label.as_ref().and_then(Label::parts);
            let why = if let Some((nonce, _)) = of_label {
                (nonce == plan.nonce.as_str()).then_some("carries the label of the run")
            } else if snapshot
                .counts
                .total
                .is_some_and(|total| !counts.contains(&total))
            {
                None
            } else if !snapshot.status.is_terminal() {
                Some(
                    "has not ended and may belong to the run, since it has the same number of requests",
                )
            } else {
                // The results are read only where the number of requests matches.
                let is_of_run = self.origin_of(&snapshot).await? == Some(plan.nonce.clone());
                is_of_run.then_some("carries the ids of the run")
            };
            if let Some(why) = why {
                return Err(Error::invalid_input(format!(
                    "{} is not named but {why}; nothing is created, since its requests could be paid for twice",
                    snapshot.id
                )));
            }
        }
        Ok(())
    }

    /// Records the run of a plan, with the batches that were found for its shards.
    async fn record_found(
        &self,
        plan: &Plan,
        found: BTreeMap<u32, (BatchSnapshot, Proof)>,
        notes: BTreeMap<Box<str>, Box<str>>,
        creates_missing: bool,
    ) -> Result<(RunRecord, u32)> {
        let uploads = self.uploaded().await?.unwrap_or_default();
        let run = plan.record(&*self.clock);
        let mut shards = Vec::with_capacity(plan.shards.len());
        for planned in &plan.shards {
            let mut record = planned.record(&run.id);
            if let Some((snapshot, proof)) = found.get(&planned.number) {
                let inputs = uploads.iter().filter(|file| file.label == record.label);
                let inputs: Vec<&Upload> = inputs.collect();
                if let Some(odd) = self.differs(&record, snapshot, &inputs) {
                    return Err(Error::invalid_input(format!(
                        "{odd}: this input or these options are not those that were sent"
                    ))
                    .with_batch(snapshot.id.clone()));
                }
                // The uploads of the batch are deleted with the others, once its outcomes are read.
                record.remote_objects = inputs
                    .iter()
                    .map(|file| file.remote_object.clone())
                    .collect();
                record.proof = Some(proof.clone());
                record.state = ShardState::Created {
                    batch: snapshot.id.clone(),
                    proof: proof.clone(),
                };
            } else if !creates_missing {
                let missing = if self.keeps_labels() {
                    format!(
                        "no batch with the label {} exists or is listed yet",
                        record.label
                    )
                } else {
                    format!(
                        "batch {} of {} of the run, with {}, is not among the named batches",
                        planned.number + 1,
                        plan.batches(),
                        counted::requests(record.count)
                    )
                };
                return Err(Error::invalid_input(format!(
                    "{missing}; a run recorded without it would create it and pay for it"
                )));
            }
            shards.push(record);
        }
        // All shards are recorded at once: a missing one would be taken for a shard that was never
        // created.
        let run = self.begin_with(plan, run, notes, &shards).await?;
        Ok((run, found.len() as u32))
    }

    /// Returns one batch for each shard that has at least one.
    fn one_each(
        &self,
        plan: &Plan,
        labelled: impl Iterator<Item = LabelledBatch>,
    ) -> Result<BTreeMap<u32, BatchSnapshot>> {
        let mut all: BTreeMap<u32, Vec<BatchSnapshot>> = BTreeMap::new();
        for one in labelled {
            if one.number >= plan.batches() {
                return Err(Error::invalid_input(format!(
                    "it is batch {} of its run, but this input makes only {}: the input is another one, or the batch holds requests that were sent again, from which no record can be rebuilt; read the batch by its id",
                    one.number + 1,
                    plan.batches()
                ))
                .with_batch(one.snapshot.id));
            }
            all.entry(one.number).or_default().push(one.snapshot);
        }
        let mut each = BTreeMap::new();
        for (number, mut several) in all {
            // A create that failed deliberately left a failed batch.
            if several.iter().any(|one| one.status != BatchStatus::Failed) {
                several.retain(|one| one.status != BatchStatus::Failed);
            }
            // Batches come newest first: the last is the oldest.
            let Some(oldest) = several.pop() else {
                continue;
            };
            for other in several {
                let message = format!(
                    "{} carries the same label as {}, which is adopted; both are paid for",
                    other.id, oldest.id
                );
                self.report(&Event::Warning { message: &message });
            }
            each.insert(number, oldest);
        }
        Ok(each)
    }

    /// Returns the visible difference between a batch and the one that this input makes, if there
    /// is one.
    fn differs(
        &self,
        shard: &ShardRecord,
        snapshot: &BatchSnapshot,
        inputs: &[&Upload],
    ) -> Option<String> {
        let makes = u64::from(shard.count);
        if let Some(total) = snapshot.counts.total.filter(|total| *total != makes) {
            return Some(format!(
                "it holds {}, but this input makes a batch of {makes}",
                counted::requests(total)
            ));
        }
        if let (Some(is), Some(wanted)) = (&snapshot.model, &shard.class.model)
            && !is_one_model(is, wanted)
        {
            return Some(format!(
                "it asks for the model {is}, but this input asks for {wanted}"
            ));
        }
        let frame = self.provider.codec().frame(&shard.class, &shard.label);
        let makes = (frame.prefix.len() + frame.suffix.len()) as u64 + shard.bytes;
        let mut sizes = inputs.iter().filter_map(|input| input.bytes);
        let other = sizes.find(|bytes| *bytes != makes)?;
        Some(format!(
            "it was created from {other} bytes, but this input makes {makes} bytes"
        ))
    }
}

/// Reasons why a batch may differ from those that this input makes.
const OTHER: &str = "the input is another one, it was cut into batches otherwise, or the batch holds requests that were sent again, from which no record can be rebuilt; read the batch by its id";

/// Shards of a plan by the ordinals of their requests: each span ends where the next one begins.
struct Spans {
    /// First request and shard of each span, in the order of the requests.
    spans: Vec<(u32, u32)>,
    requests: u32,
}

impl Spans {
    fn of(plan: &Plan) -> Result<Self> {
        let mut merge = plan.merge();
        let mut spans: Vec<(u32, u32)> = Vec::new();
        while let Some(merged) = merge.next()? {
            if spans.last().is_none_or(|(_, shard)| *shard != merged.shard) {
                spans.push((merged.ordinal, merged.shard));
            }
        }
        Ok(Self {
            spans,
            requests: plan.requests,
        })
    }

    /// Returns the only shard whose requests the rows of a batch name, or the reason why there is
    /// no such shard.
    fn only(&self, survey: &Survey) -> std::result::Result<u32, String> {
        if survey.foreign > 0 {
            return Err(format!(
                "{} of its rows carry no id of the run; it is a batch of another run or of another program",
                survey.foreign
            ));
        }
        if let Some(beyond) = survey.beyond {
            return Err(format!(
                "one of its rows answers request {}, but this input has only {}: {OTHER}",
                u64::from(beyond) + 1,
                self.requests
            ));
        }
        let mut only = None;
        for (place, (first, shard)) in self.spans.iter().enumerate() {
            let next = self
                .spans
                .get(place + 1)
                .map_or(self.requests, |(first, _)| *first);
            if (*first..next).any(|ordinal| survey.names(ordinal)) {
                if only.is_some_and(|only| only != *shard) {
                    return Err(format!(
                        "its rows answer requests of several batches of this input: {OTHER}"
                    ));
                }
                only = Some(*shard);
            }
        }
        only.ok_or_else(|| "it has no rows that show which requests it holds".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upload_is_in_use_by_its_label_or_by_its_file() {
        let snapshot = |label: Option<&str>, file: &str, status| {
            let mut snapshot = BatchSnapshot::new("b".into(), status);
            snapshot.label = label.map(Label::new);
            snapshot.input_file = Some(file.into());
            snapshot
        };
        let mut inventory = Inventory::default();
        for (label, file, status) in [
            (
                Some("lmbatch-abcdefghijkl-0"),
                "f1",
                BatchStatus::InProgress,
            ),
            (None, "f2", BatchStatus::Unknown("odd".into())),
            (Some("lmbatch-bbcdefghijkl-0"), "f3", BatchStatus::Completed),
        ] {
            inventory.add(snapshot(label, file, status), true);
        }
        let upload = |label: &str, file: &str| Upload {
            remote_object: RemoteObject::File(file.into()),
            label: Label::new(label),
            bytes: None,
            created_at: None,
        };
        for (label, file, needed) in [
            // A shard of the same run may still be created.
            ("lmbatch-abcdefghijkl-1", "f9", true),
            ("lmbatch-cbcdefghijkl-0", "f1", true),
            ("lmbatch-cbcdefghijkl-0", "f2", true),
            ("lmbatch-bbcdefghijkl-0", "f3", false),
            ("lmbatch-cbcdefghijkl-0", "f9", false),
        ] {
            assert_eq!(
                inventory.needs(&upload(label, file)),
                needed,
                "{label} {file}"
            );
        }
        assert_eq!(inventory.labelled.len(), 2);
        assert!(inventory.unlabelled.is_empty());
    }
}
