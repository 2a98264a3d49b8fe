//! The half of an adapter that talks to its provider.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::{
    AccountId, BatchClass, BatchCodec, BatchId, BatchSnapshot, Cursor, Error, Found, Intent,
    KeyHint, ListOptions, Page, Remnant, Result, ResultPart, ResultSet, RowStream, Shard, Staged,
    Upload,
};

/// A provider's batch service. One exchange a method: it never retries, sleeps or pages; the engine does.
#[async_trait]
pub trait BatchProvider: fmt::Debug + Send + Sync + 'static {
    /// How it says things.
    fn codec(&self) -> &dyn BatchCodec;

    /// Returns a digest of base URL, organisation, project and workspace. The key is left out, so that the
    /// account outlives a key rotation.
    fn account(&self) -> AccountId;

    /// Returns a short digest of the key, recorded beside the account; `None` where the adapter gives none.
    fn key_hint(&self) -> Option<KeyHint> {
        None
    }

    /// Returns the account id as earlier versions of the adapter computed it, by which older records are
    /// recognised; `None` for an adapter without earlier versions.
    fn former_account(&self) -> Option<AccountId> {
        None
    }

    /// Proves key and model by a free call. A provider that lacks one says yes.
    async fn probe(&self, model: &str) -> Result<()> {
        let _ = model;
        Ok(())
    }

    /// Uploads what a create needs. Free; repeated with what it gave until that is ready.
    async fn stage(&self, shard: &Shard, prior: Option<Staged>) -> Result<Staged> {
        let _ = (shard, prior);
        Ok(Staged::ready())
    }

    /// Creates the batch: the only call that can cost money.
    async fn create(&self, shard: &Shard, intent: &Intent) -> Result<BatchId>;

    /// Looks for the batch that the intent may have made: one page.
    async fn find(&self, intent: &Intent, page: Option<Cursor>) -> Result<Found> {
        let _ = (intent, page);
        Err(Error::unsupported("finding a batch again"))
    }

    /// Makes a late create fail, by deleting what it needs.
    async fn fence(&self, staged: &Staged) -> Result<()> {
        let _ = staged;
        Err(Error::unsupported("fencing a create"))
    }

    /// Where the batch stands. `Ok` for a batch that failed; an error means "could not ask".
    async fn status(&self, batch: &BatchId) -> Result<BatchSnapshot>;

    /// Returns the parts of a batch's results: where they are, not the rows.
    ///
    /// `class` is the class under which the batch was created, where the caller knows it: from the record of a
    /// run, or from a handle. It is `None` where only the id of the batch is known. The adapter then finds the
    /// results from the batch itself. The route and the endpoint that the adapter is configured with say nothing
    /// about the batch and are never used here.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) where no results are found under `class` and the
    /// batch itself shows another route or endpoint; [`BatchClass::other_route`] makes that error. An empty set
    /// would pass for a batch without answers.
    async fn results(&self, class: Option<&BatchClass>, batch: &BatchId) -> Result<ResultSet>;

    /// Reads a part, from a byte of it where the provider can.
    async fn read(&self, part: &ResultPart, from: u64) -> Result<RowStream>;

    /// One page of batches, newest first.
    async fn list(&self, options: &ListOptions) -> Result<Page<BatchSnapshot>> {
        let _ = options;
        Err(Error::unsupported("listing batches"))
    }

    /// One page of the files that carry our labels.
    async fn uploads(&self, page: Option<Cursor>) -> Result<Page<Upload>> {
        let _ = page;
        Err(Error::unsupported("listing files"))
    }

    /// Asks the provider to cancel. No error for a batch that has ended.
    async fn cancel(&self, batch: &BatchId) -> Result<()> {
        let _ = batch;
        Err(Error::unsupported("cancelling a batch"))
    }

    /// Deletes something of ours at the provider. No error if it is gone.
    async fn discard(&self, remnant: &Remnant) -> Result<()> {
        let _ = remnant;
        Err(Error::unsupported("deleting at the provider"))
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl<T: BatchProvider + ?Sized> BatchProvider for Arc<T> {
    fn codec(&self) -> &dyn BatchCodec {
        (**self).codec()
    }
    fn account(&self) -> AccountId {
        (**self).account()
    }
    fn key_hint(&self) -> Option<KeyHint> {
        (**self).key_hint()
    }
    fn former_account(&self) -> Option<AccountId> {
        (**self).former_account()
    }
    async fn probe(&self, model: &str) -> Result<()> {
        (**self).probe(model).await
    }
    async fn stage(&self, shard: &Shard, prior: Option<Staged>) -> Result<Staged> {
        (**self).stage(shard, prior).await
    }
    async fn create(&self, shard: &Shard, intent: &Intent) -> Result<BatchId> {
        (**self).create(shard, intent).await
    }
    async fn find(&self, intent: &Intent, page: Option<Cursor>) -> Result<Found> {
        (**self).find(intent, page).await
    }
    async fn fence(&self, staged: &Staged) -> Result<()> {
        (**self).fence(staged).await
    }
    async fn status(&self, batch: &BatchId) -> Result<BatchSnapshot> {
        (**self).status(batch).await
    }
    async fn results(&self, class: Option<&BatchClass>, batch: &BatchId) -> Result<ResultSet> {
        (**self).results(class, batch).await
    }
    async fn read(&self, part: &ResultPart, from: u64) -> Result<RowStream> {
        (**self).read(part, from).await
    }
    async fn list(&self, options: &ListOptions) -> Result<Page<BatchSnapshot>> {
        (**self).list(options).await
    }
    async fn uploads(&self, page: Option<Cursor>) -> Result<Page<Upload>> {
        (**self).uploads(page).await
    }
    async fn cancel(&self, batch: &BatchId) -> Result<()> {
        (**self).cancel(batch).await
    }
    async fn discard(&self, remnant: &Remnant) -> Result<()> {
        (**self).discard(remnant).await
    }
}
