//! Twins: second batches of the provider under the label of a batch of a run.
//!
//! A create that was sent again after a search found nothing, and two copies of one record, can
//! each leave two billed batches. When a run ends, the provider's list is therefore
//! searched once more.

use std::collections::{HashMap, HashSet};
use std::pin::pin;

use futures::TryStreamExt as _;
use lmbatch_core::{
    BatchId, BatchStatus, Closed, CreateProof, Cursor, Label, ListOptions, Result, ShardState,
};

use crate::context::Context;
use crate::event::Event;
use crate::pages::pages;
use crate::results::finished::DuplicateBatch;
use crate::run::job::Job;

/// Maximum number of pages that are searched for duplicate_batches of creates that were sent twice.
const MOST_PAGES: usize = 100;

/// Batch of a run that has ended.
pub(crate) struct EndedBatch {
    pub(crate) label: Label,
    /// Id of the batch; `None` if the create was abandoned, so that a batch may still exist.
    pub(crate) batch: Option<BatchId>,
    pub(crate) sent_twice: bool,
}

impl Job<'_> {
    /// Returns the batches of the run, for the search in the provider's list.
    pub(crate) fn ended_batches(&self) -> Vec<EndedBatch> {
        let known = self.works.iter().filter_map(|work| {
            let batch = match &work.record.state {
                ShardState::Sealed { snapshot, .. } => Some(snapshot.id.clone()),
                ShardState::Closed(Closed::Abandoned { .. }) => None,
                _ => return None,
            };
            Some(EndedBatch {
                label: work.planned.shard.label.clone(),
                batch,
                sent_twice: work.record.sent_twice,
            })
        });
        known.collect()
    }
}

impl Context {
    /// Finds batches that carry a label of a run in addition to the batch that the run records.
    /// Only the newest page is read, unless a create was sent twice.
    ///
    /// A list that cannot be read gives no information; the failure is reported if a duplicate_batch is
    /// likely.
    pub(crate) async fn find_duplicate_batches(
        &self,
        known: Vec<EndedBatch>,
    ) -> Vec<DuplicateBatch> {
        let capabilities = self.provider.codec().capabilities();
        let labelled = capabilities.create == CreateProof::Labelled && capabilities.list;
        if !labelled || !self.is_durable() {
            return Vec::new();
        }
        let is_likely = known
            .iter()
            .any(|known| known.sent_twice || known.batch.is_none());
        let duplicate_batches = match self.duplicate_batches(&known).await {
            Ok(duplicate_batches) => duplicate_batches,
            Err(error) => {
                if is_likely {
                    let message = format!(
                        "a create may have created a second batch, but the provider's list could not be searched for it: {error}"
                    );
                    self.report(&Event::Warning { message: &message });
                }
                return Vec::new();
            }
        };
        for duplicate_batch in &duplicate_batches {
            let message = match &duplicate_batch.batch {
                Some(batch) => format!(
                    "{} carries the same label as {batch}, which belongs to this run: both may be paid for",
                    duplicate_batch.duplicate
                ),
                None => format!(
                    "{} carries the label of an abandoned create: it may be billed",
                    duplicate_batch.duplicate
                ),
            };
            self.report(&Event::Warning { message: &message });
        }
        duplicate_batches
    }

    async fn duplicate_batches(&self, known: &[EndedBatch]) -> Result<Vec<DuplicateBatch>> {
        let own = known.iter().map(|known| (&known.label, &known.batch));
        let own: HashMap<&Label, &Option<BatchId>> = own.collect();
        let twice = known.iter().filter(|known| known.sent_twice);
        let mut unseen: HashSet<&BatchId> =
            twice.filter_map(|known| known.batch.as_ref()).collect();
        let given_up = known.iter().any(|known| known.batch.is_none());
        let is_likely = !unseen.is_empty() || given_up;
        let ask = |page: Option<Cursor>| async move {
            let options = ListOptions { limit: None, page };
            // A search that will probably find nothing must not delay the outcomes: it is not
            // repeated.
            match is_likely {
                true => self.retrying(|| self.provider.list(&options)).await,
                false => self.provider.list(&options).await,
            }
        };
        let mut pages = pin!(pages(ask));
        let (mut duplicate_batches, mut looked, mut is_last) = (Vec::new(), 0, !is_likely);
        while let Some(page) = pages.try_next().await? {
            for snapshot in &page.items {
                let labelled = snapshot.label.as_ref().and_then(|label| own.get(label));
                if let Some(batch) = labelled
                    && batch.as_ref() != Some(&snapshot.id)
                    && snapshot.status != BatchStatus::Failed
                {
                    duplicate_batches.push(DuplicateBatch {
                        batch: (*batch).clone(),
                        duplicate: snapshot.id.clone(),
                    });
                }
                unseen.remove(&snapshot.id);
            }
            looked += 1;
            if is_last || looked == MOST_PAGES {
                break;
            }
            // A duplicate_batch may be older than the recorded batch, so that one more page is read.
            is_last = unseen.is_empty();
        }
        Ok(duplicate_batches)
    }
}
