//! Twins: a second batch of the provider under the label of a batch of this run.
//!
//! A create that was sent again after a search found nothing, and two copies of one record, can each leave
//! two batches that are paid for. When a run ends, the provider's list is looked at once more.

use std::collections::{HashMap, HashSet};
use std::pin::pin;

use futures::TryStreamExt as _;
use lmbatch_core::{
    BatchId, BatchStatus, Closed, CreateProof, Cursor, Label, ListOptions, Result, ShardState,
};

use crate::context::Context;
use crate::event::Event;
use crate::pages::pages;
use crate::results::finished::Twin;
use crate::run::job::Job;

/// Most pages that are looked at for the twins of creates that were sent twice.
const MOST_PAGES: usize = 100;

/// A batch of a run that has ended.
pub(crate) struct Known {
    pub(crate) label: Label,
    /// `None` where the create was given up: there may be a batch after all.
    pub(crate) batch: Option<BatchId>,
    pub(crate) sent_twice: bool,
}

impl Job<'_> {
    /// The batches of the run, as they are looked for in the provider's list.
    pub(crate) fn known_batches(&self) -> Vec<Known> {
        let known = self.works.iter().filter_map(|work| {
            let batch = match &work.record.state {
                ShardState::Sealed { snapshot, .. } => Some(snapshot.id.clone()),
                ShardState::Closed(Closed::Abandoned { .. }) => None,
                _ => return None,
            };
            Some(Known {
                label: work.planned.shard.label.clone(),
                batch,
                sent_twice: work.record.sent_twice,
            })
        });
        known.collect()
    }
}

impl Context {
    /// Finds batches that carry a label of a run beside the batch that the run knows. Where no create was
    /// sent twice, only the newest page is looked at.
    ///
    /// A list that cannot be read tells nothing; it is reported where a twin is likely.
    pub(crate) async fn find_twins(&self, known: Vec<Known>) -> Vec<Twin> {
        let capabilities = self.provider.codec().capabilities();
        let labelled = capabilities.create == CreateProof::Labelled && capabilities.list;
        if !labelled || !self.is_durable() {
            return Vec::new();
        }
        let is_likely = known
            .iter()
            .any(|known| known.sent_twice || known.batch.is_none());
        let twins = match self.twins(&known).await {
            Ok(twins) => twins,
            Err(error) => {
                if is_likely {
                    let message = format!(
                        "a create was sent twice, and the provider's list could not be looked at for a second batch: {error}"
                    );
                    self.tell(&Event::Warning { message: &message });
                }
                return Vec::new();
            }
        };
        for twin in &twins {
            let message = match &twin.batch {
                Some(batch) => format!(
                    "{} carries the same label as {batch}, which belongs to this run: both may be paid for",
                    twin.twin
                ),
                None => format!(
                    "{} carries the label of a create that was given up: it may be paid for",
                    twin.twin
                ),
            };
            self.tell(&Event::Warning { message: &message });
        }
        twins
    }

    async fn twins(&self, known: &[Known]) -> Result<Vec<Twin>> {
        let ours = known.iter().map(|known| (&known.label, &known.batch));
        let ours: HashMap<&Label, &Option<BatchId>> = ours.collect();
        let twice = known.iter().filter(|known| known.sent_twice);
        let mut unseen: HashSet<&BatchId> =
            twice.filter_map(|known| known.batch.as_ref()).collect();
        let given_up = known.iter().any(|known| known.batch.is_none());
        let is_likely = !unseen.is_empty() || given_up;
        let ask = |page: Option<Cursor>| async move {
            let options = ListOptions { limit: None, page };
            // A look that is likely to show nothing holds up no outcomes.
            match is_likely {
                true => self.retrying(|| self.provider.list(&options)).await,
                false => self.provider.list(&options).await,
            }
        };
        let mut pages = pin!(pages(ask));
        let (mut twins, mut looked, mut is_last) = (Vec::new(), 0, !is_likely);
        while let Some(page) = pages.try_next().await? {
            for snapshot in &page.items {
                let own = snapshot.label.as_ref().and_then(|label| ours.get(label));
                if let Some(own) = own
                    && own.as_ref() != Some(&snapshot.id)
                    && snapshot.status != BatchStatus::Failed
                {
                    twins.push(Twin {
                        batch: (*own).clone(),
                        twin: snapshot.id.clone(),
                    });
                }
                unseen.remove(&snapshot.id);
            }
            looked += 1;
            if is_last || looked == MOST_PAGES {
                break;
            }
            // A twin may be older than the batch that is known: one page more.
            is_last = unseen.is_empty();
        }
        Ok(twins)
    }
}
