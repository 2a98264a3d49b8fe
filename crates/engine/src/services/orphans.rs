//! Orphans: batches and uploads created by lmbatch at a provider that no recorded run needs or references.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, SystemTime};

use lmbatch_core::{
    BatchId, BatchSnapshot, BatchStatus, Label, Nonce, Result, RunRecord, ShardRecord, ShardState,
    Upload,
};

use crate::context::Context;
use crate::run::adopt::{Inventory, LabelledBatch, RecognisedBatches};

/// Bounds of a search for orphans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrphanSearch {
    /// Age from which an upload without a batch is [unused](Orphans::unused). A younger one may belong to a run of
    /// another machine that has not created its batch.
    pub min_upload_age: Duration,
    /// Maximum number of batches without a label whose first row is read, with two calls each.
    pub max_rows_read: usize,
}

/// Batches and uploads created by lmbatch at a provider that no recorded run needs or references.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Orphans {
    /// Batches of unrecorded runs, recognised by their labels.
    pub unknown: Vec<LabelledBatch>,
    /// Unrecorded batches of recorded runs: created in addition to the recorded ones, and billed.
    pub duplicates: Vec<LabelledBatch>,
    /// Batches of unrecorded runs without a label, recognised by the ids of their rows.
    pub recognised: RecognisedBatches,
    /// Unrecorded batches of recorded runs without a label, recognised by the ids of their rows.
    pub unlabelled_duplicates: Vec<BatchSnapshot>,
    /// Unneeded uploads of at least the [minimum age](OrphanSearch::min_upload_age).
    pub unused: Vec<UnusedUpload>,
    /// Apparently unneeded uploads that are younger than the minimum age.
    pub recent: Vec<UnusedUpload>,
    /// Number of uploads that belong to unfinished batches and runs.
    pub in_use: u64,
    /// True if the provider does not list files.
    pub lists_no_files: bool,
}

/// Upload that nothing needs.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct UnusedUpload {
    /// Upload as the provider lists it.
    pub upload: Upload,
    /// True if the run of the upload is recorded.
    pub is_recorded: bool,
}

impl Orphans {
    /// Returns whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.unknown.is_empty()
            && self.duplicates.is_empty()
            && self.recognised.found.is_empty()
            && self.unlabelled_duplicates.is_empty()
            && self.unused.is_empty()
            && self.recent.is_empty()
    }

    /// Returns whether an action is due: a batch may hold billed answers that are in no output, or a recorded run has
    /// left an upload behind. Uploads of other ledgers on the account need no action.
    pub fn needs_action(&self) -> bool {
        let may_hold_answers = |one: &LabelledBatch| one.snapshot.status != BatchStatus::Failed;
        let mut uploads = self.unused.iter().chain(&self.recent);
        self.unknown.iter().any(may_hold_answers)
            || !self.duplicates.is_empty()
            || !self.recognised.found.is_empty()
            || !self.unlabelled_duplicates.is_empty()
            || uploads.any(|found| found.is_recorded)
    }

    /// Sorts uploads into unused, young and needed ones.
    fn sort(&mut self, uploads: Vec<Upload>, inventory: &Inventory, runs: &Runs, age: Age) {
        for upload in uploads {
            let run = runs.get(nonce(&upload));
            if inventory.needs(&upload) || run.is_some_and(|found| !found.run.finished) {
                self.in_use += 1;
                continue;
            }
            let is_young = age.is_young(&upload);
            let found = UnusedUpload {
                is_recorded: run.is_some(),
                upload,
            };
            match is_young {
                true => self.recent.push(found),
                false => self.unused.push(found),
            }
        }
    }
}

/// Minimum age of unused uploads, with the current time.
#[derive(Clone, Copy)]
struct Age {
    now: SystemTime,
    min: Duration,
}

impl Age {
    fn is_young(self, upload: &Upload) -> bool {
        match upload.created_at {
            Some(_) => upload.created_at > self.now.checked_sub(self.min),
            // An upload without a creation time may be of any age.
            None => !self.min.is_zero(),
        }
    }
}

/// Run of the ledger, with the labels of its creates whose outcome is unknown.
struct Recorded {
    run: RunRecord,
    in_doubt: HashSet<Label>,
}

impl Recorded {
    fn new(run: RunRecord, shards: Vec<ShardRecord>) -> Self {
        let is_in_doubt = |shard: &ShardRecord| {
            matches!(shard.state, ShardState::Posting(_) | ShardState::Doubt(_))
        };
        let in_doubt = shards.into_iter().filter(is_in_doubt);
        Self {
            run,
            in_doubt: in_doubt.map(|shard| shard.label).collect(),
        }
    }

    /// Returns whether an unrecorded batch of the run was billed in addition to the recorded ones.
    fn is_duplicate_of(&self, snapshot: &BatchSnapshot) -> bool {
        let label = snapshot.label.as_ref();
        // A batch whose create is in doubt is found when the run is resumed; a failed batch is not billed.
        !label.is_some_and(|label| self.in_doubt.contains(label))
            && snapshot.status != BatchStatus::Failed
    }
}

/// Cache of the ledger's runs by nonce.
#[derive(Default)]
struct Runs(HashMap<Box<str>, Option<Recorded>>);

impl Runs {
    /// Returns the run of a nonce; only the first call for a nonce reads the ledger.
    async fn look_up(&mut self, context: &Context, nonce: &str) -> Result<Option<&Recorded>> {
        if !self.0.contains_key(nonce) {
            let run = match Nonce::parse(nonce) {
                Some(nonce) => context.run_of_nonce(&nonce).await?,
                None => None,
            };
            let recorded = match run {
                Some(run) => {
                    let shards = context.ledger.shards(&run.id).await?;
                    Some(Recorded::new(run, shards))
                }
                None => None,
            };
            self.0.insert(nonce.into(), recorded);
        }
        Ok(self.get(nonce))
    }

    fn get(&self, nonce: &str) -> Option<&Recorded> {
        self.0.get(nonce)?.as_ref()
    }
}

fn nonce(upload: &Upload) -> &str {
    upload.label.parts().map_or("", |(nonce, _)| nonce)
}

impl Context {
    /// Searches the provider for batches and uploads that no recorded run needs or references.
    pub(crate) async fn orphans(&self, search: OrphanSearch) -> Result<Orphans> {
        // The provider is read first, so that the ledger already holds everything that its lists show.
        let mut inventory = self.inventory().await?;
        let uploads = self.uploaded().await?;
        let mut found = Orphans {
            lists_no_files: uploads.is_none(),
            ..Orphans::default()
        };
        let uploads = uploads.unwrap_or_default();
        let labelled = std::mem::take(&mut inventory.labelled);
        let unlabelled = std::mem::take(&mut inventory.unlabelled);
        let listed = labelled.iter().map(|one| &one.snapshot).chain(&unlabelled);
        let listed: Vec<BatchId> = listed.map(|snapshot| snapshot.id.clone()).collect();
        let known = self.known_batches(&listed).await?;
        let mut runs = Runs::default();
        for one in labelled {
            match runs.look_up(self, &one.nonce).await? {
                None => found.unknown.push(one),
                Some(run)
                    if !known.contains(&one.snapshot.id) && run.is_duplicate_of(&one.snapshot) =>
                {
                    found.duplicates.push(one);
                }
                Some(_) => {}
            }
        }
        found.recognised = self
            .recognise(unlabelled, &known, search.max_rows_read)
            .await;
        for (nonce, snapshot) in std::mem::take(&mut found.recognised.found) {
            match runs.look_up(self, nonce.as_str()).await? {
                None => found.recognised.found.push((nonce, snapshot)),
                Some(run) if run.in_doubt.is_empty() => found.unlabelled_duplicates.push(snapshot),
                Some(_) => {}
            }
        }
        for upload in &uploads {
            runs.look_up(self, nonce(upload)).await?;
        }
        let age = Age {
            now: self.clock.now(),
            min: search.min_upload_age,
        };
        found.sort(uploads, &inventory, &runs, age);
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use lmbatch_core::RemoteObject;

    use super::*;

    #[test]
    fn an_upload_without_a_batch_is_unused_from_the_minimum_age_on() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000);
        let upload = |age: Option<u64>| Upload {
            remote_object: RemoteObject::File("f".into()),
            label: Label::new("lmbatch-abcdefghijkl-0"),
            bytes: None,
            created_at: age.map(|age| now - Duration::from_secs(age)),
        };
        for (min, age, is_young) in [
            (100, Some(99), true),
            (100, Some(100), false),
            (100, Some(101), false),
            (100, None, true),
            (0, Some(0), false),
            (0, None, false),
        ] {
            let bound = Age {
                now,
                min: Duration::from_secs(min),
            };
            assert_eq!(bound.is_young(&upload(age)), is_young, "{min} {age:?}");
            let mut found = Orphans::default();
            let inventory = Inventory::default();
            found.sort(vec![upload(age)], &inventory, &Runs::default(), bound);
            assert_eq!(
                (found.recent.len(), found.unused.len()),
                match is_young {
                    true => (1, 0),
                    false => (0, 1),
                }
            );
            assert!(!found.is_empty() && !found.needs_action());
        }
    }

    #[test]
    fn only_billed_batches_and_own_uploads_need_action() {
        let labelled = |status| LabelledBatch {
            nonce: "abcdefghijkl".into(),
            number: 0,
            snapshot: BatchSnapshot::new(BatchId::new("b"), status),
        };
        for (status, needs_action) in [
            (BatchStatus::Completed, true),
            (BatchStatus::InProgress, true),
            (BatchStatus::Failed, false),
        ] {
            let found = Orphans {
                unknown: vec![labelled(status.clone())],
                ..Orphans::default()
            };
            assert_eq!(found.needs_action(), needs_action, "{status}");
        }
    }
}
