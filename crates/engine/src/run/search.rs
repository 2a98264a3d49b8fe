//! One search for the batch of a create, in the provider's list.

use std::pin::pin;
use std::time::Duration;

use futures::TryStreamExt as _;
use lmbatch_core::{
    BatchId, Candidate, Certainty, CreateProof, Cursor, Error, Intent, Result, ShardKey,
    ShardRecord, ShardState,
};

use crate::context::Context;
use crate::pages::pages;

/// Result of one search, newest batches first.
pub(crate) enum SearchResult {
    /// Batches that were certainly created by the create.
    Proved(Vec<Candidate>),
    /// Batches that may have been created by it.
    Fitting(Vec<Candidate>),
    /// Batches that may have been created by it, or by another create whose outcome is unknown.
    Contested(Vec<Candidate>),
    /// No batch of either kind.
    Nothing,
}

impl Context {
    /// Returns the wait before a search.
    pub(super) fn look_after(&self, looks: u32) -> Duration {
        let wait = self.doubt.waits.get(looks as usize);
        wait.copied().unwrap_or_default()
    }

    /// Returns whether the provider recognises a repeated create.
    pub(crate) fn repeats(&self, intent: &Intent) -> bool {
        let capabilities = self.provider.codec().capabilities();
        let age = intent
            .posted_at
            .map(|at| self.clock.now().duration_since(at));
        let is_kept = match (capabilities.token_lifetime, age) {
            (None, _) => true,
            // A clock that was set back gives no age.
            (Some(lifetime), Some(Ok(age))) => age + self.doubt.total_wait() < lifetime,
            (Some(_), _) => false,
        };
        capabilities.create == CreateProof::Token && is_kept
    }

    /// Makes one search over every page that may hold the batch of a create. A list that fails is
    /// not an empty list. `shard` is the shard of the create, where one is recorded.
    pub(crate) async fn search(
        &self,
        intent: &Intent,
        shard: Option<&ShardKey>,
    ) -> Result<SearchResult> {
        let (mut proved, mut fitting, mut whole) = (Vec::new(), Vec::new(), true);
        let ask = |page: Option<Cursor>| async move { self.provider.find(intent, page).await };
        let mut pages = pin!(pages(ask));
        let mut past_watermark = false;
        while let Some(found) = pages.try_next().await? {
            whole = past_watermark || found.next.is_none();
            let candidates = found.candidates.into_iter();
            let candidates = candidates.filter(|one| !intent.foreign_batches.contains(&one.batch));
            for candidate in candidates {
                match candidate.certainty {
                    Certainty::Token | Certainty::Proved => proved.push(candidate),
                    Certainty::Presumed => fitting.push(candidate),
                    Certainty::Unknown => {}
                }
            }
            // Batches of one second come in any order, so that one more page is read.
            if past_watermark {
                break;
            }
            past_watermark = found.reached_watermark;
        }
        // Of the creates that may have made a batch on these pages, each is found here or has its
        // batch below: the order of the two reads matters.
        let is_contested = !fitting.is_empty() && self.has_rival(intent, shard).await?;
        // A batch that is known as that of another shard is excluded, even if it matches.
        let fit: Vec<BatchId> = fitting.iter().map(|one| one.batch.clone()).collect();
        let taken = self.known_batches(&fit).await?;
        fitting.retain(|one: &Candidate| !taken.contains(&one.batch));
        match (proved.is_empty(), fitting.is_empty()) {
            (false, _) => Ok(SearchResult::Proved(proved)),
            _ if !whole => Err(Error::malformed("the list of batches repeats a page")),
            (true, false) if is_contested => Ok(SearchResult::Contested(fitting)),
            (true, false) => Ok(SearchResult::Fitting(fitting)),
            (true, true) => Ok(SearchResult::Nothing),
        }
    }

    /// Returns whether another shard of the account, of any run and process, has as many requests
    /// and a create whose outcome is not known.
    async fn has_rival(&self, intent: &Intent, shard: Option<&ShardKey>) -> Result<bool> {
        let account = self.account().id;
        for ledger in [&self.ledger, &self.ephemeral_ledger] {
            let doubtful = ledger.doubtful(&account, intent.count).await?;
            let is_rival = |rival: &ShardRecord| {
                let (ShardState::Posting(sent) | ShardState::Doubt(sent)) = &rival.state else {
                    return false;
                };
                Some(&rival.key) != shard && !sent.is_long_before_create(intent)
            };
            if doubtful.iter().any(is_rival) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
