//! Batches that fail because their input was deleted, to prevent a create whose outcome is unknown.
//! They never ran, and cost nothing.

use lmbatch_core::{
    BatchSnapshot, BatchStatus, Candidate, Result, Search, SearchPhase, ShardState,
};

use crate::context::Context;
use crate::run::search::SearchResult;
use crate::run::step::Next;
use crate::run::work::Work;

impl Work {
    /// Returns whether a batch of the shard may have failed because lmbatch deleted its input to
    /// prevent a late create.
    pub(super) fn may_lack_input(&self, context: &Context) -> bool {
        let search = self.record.progress.search.as_ref();
        let is_fenced = self.record.progress.fenced || search.is_some_and(|search| search.fenced);
        context.provider.codec().capabilities().fence && (is_fenced || self.record.sent_twice)
    }

    /// Returns whether a batch failed for want of an input that lmbatch deleted: it never ran, and
    /// costs nothing.
    pub(super) fn lacked_input(&self, snapshot: &BatchSnapshot) -> bool {
        let progress = &self.record.progress;
        let search = progress.search.as_ref();
        let is_own = progress.fenced || search.is_some_and(|search| search.fenced);
        let own = match &self.record.state {
            ShardState::Staged(staged) => staged.file(),
            _ => self
                .record
                .doubted
                .as_ref()
                .and_then(|intent| intent.staged.file()),
        };
        // The input of an earlier create was deleted before this one was uploaded.
        let is_earlier = || {
            snapshot
                .input_file
                .as_deref()
                .is_some_and(|file| Some(file) != own)
        };
        snapshot.status == BatchStatus::Failed && (is_own || self.record.sent_twice && is_earlier())
    }

    /// Returns what a search has found, without batches that failed for want of their input.
    pub(super) async fn with_input(
        &self,
        context: &Context,
        found: SearchResult,
    ) -> Result<SearchResult> {
        let (batches, kind): (Vec<Candidate>, fn(_) -> SearchResult) = match found {
            SearchResult::Proved(batches) => (batches, SearchResult::Proved),
            SearchResult::Fitting(batches) => (batches, SearchResult::Fitting),
            SearchResult::Contested(batches) => (batches, SearchResult::Contested),
            SearchResult::Nothing => return Ok(SearchResult::Nothing),
        };
        let mut kept = Vec::with_capacity(batches.len());
        for candidate in batches {
            let snapshot = context.provider.status(&candidate.batch).await;
            let snapshot = snapshot.map_err(|error| error.with_batch(candidate.batch.clone()))?;
            if !self.lacked_input(&snapshot) {
                kept.push(candidate);
            }
        }
        Ok(match kept.is_empty() {
            true => SearchResult::Nothing,
            false => kind(kept),
        })
    }

    /// Returns the shard to doubt after its batch failed for want of the input that was deleted to
    /// prevent the create. Where no other create was sent, the shard can be created again at once.
    pub(super) async fn reject_failed(
        &mut self,
        context: &Context,
        snapshot: &BatchSnapshot,
    ) -> Result<Next> {
        let Some(mut intent) = self.record.doubted.clone() else {
            return Ok(Next::NOW);
        };
        let message = format!(
            "{} was created after its input was deleted, and failed without an answer; it costs nothing",
            snapshot.id
        );
        context.warn(self.subject(), &message);
        intent.foreign_batches.push(snapshot.id.clone());
        self.marked = true;
        self.handle.reject_presumed(&snapshot.id);
        (self.poll, self.fetch) = (None, None);
        // Without a time the intent was never sent: an earlier create made the batch.
        let is_only = !self.record.sent_twice || intent.posted_at.is_none();
        let search = Search {
            phase: match is_only {
                true => SearchPhase::Absent,
                false => SearchPhase::Searching,
            },
            is_repeated: !is_only,
            fenced: is_only,
            ..Search::default()
        };
        let mut next = self.record.clone().advanced(ShardState::Doubt(intent));
        next.progress.search = Some(search);
        self.put(context, next).await?;
        Ok(Next::NOW)
    }
}
