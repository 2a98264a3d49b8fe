//! Trait of the part of an adapter that exchanges messages with its provider.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::{
    AccountId, BatchClass, BatchCodec, BatchId, BatchSnapshot, Cursor, Error, Found, Intent,
    KeyHint, ListOptions, Page, RemoteObject, Result, ResultPart, ResultSet, RowStream, Shard,
    Staged, Upload,
};

/// Batch service of a provider. Each method makes one exchange with the provider: it never retries, sleeps or
/// follows pages, which the engine does.
#[async_trait]
pub trait BatchProvider: fmt::Debug + Send + Sync + 'static {
    /// Returns the codec, which translates requests and results.
    fn codec(&self) -> &dyn BatchCodec;

    /// Returns the account id: a digest of base URL, organisation, project and workspace. The key is not part
    /// of it, so that the id stays the same when the key is rotated.
    fn account(&self) -> AccountId;

    /// Returns a short digest of the key, which is recorded with the account; `None` where the adapter gives
    /// none.
    fn key_hint(&self) -> Option<KeyHint> {
        None
    }

    /// Returns the account id as earlier versions of the adapter computed it, so that older records are
    /// recognised; `None` for an adapter without earlier versions.
    fn former_account(&self) -> Option<AccountId> {
        None
    }

    /// Checks the key and the model by a call that costs nothing. Succeeds without a call where the provider
    /// has no such call.
    async fn probe(&self, model: &str) -> Result<()> {
        let _ = model;
        Ok(())
    }

    /// Uploads what a create needs, without cost. The engine calls it again with the returned value as
    /// `prior` until that is ready.
    async fn stage(&self, shard: &Shard, prior: Option<Staged>) -> Result<Staged> {
        let _ = (shard, prior);
        Ok(Staged::ready())
    }

    /// Creates the batch. No other method can cost money.
    async fn create(&self, shard: &Shard, intent: &Intent) -> Result<BatchId>;

    /// Searches one page of the provider's batches for the one that the intent may have created.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) by default.
    async fn find(&self, intent: &Intent, page: Option<Cursor>) -> Result<Found> {
        let _ = (intent, page);
        Err(Error::unsupported("searching for the batch of a create"))
    }

    /// Makes a create that is still under way fail, by deleting the upload that it needs.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) by default.
    async fn fence(&self, staged: &Staged) -> Result<()> {
        let _ = staged;
        Err(Error::unsupported("fencing a create"))
    }

    /// Returns the state of a batch. A batch that failed is `Ok`; an error means that the state could not be
    /// read.
    async fn status(&self, batch: &BatchId) -> Result<BatchSnapshot>;

    /// Returns the parts of a batch's results: references to them, not the rows.
    ///
    /// `class` is the class under which the batch was created, where the caller knows it from the record of a
    /// run or from a handle. It is `None` where only the id of the batch is known; the adapter then finds the
    /// results through the batch itself. The adapter must not use its own configured route or endpoint here,
    /// because the batch may have been created with others.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) where there are no results under `class`
    /// and the batch itself shows another route or endpoint; [`BatchClass::other_route`] creates that error.
    /// An empty set would look like a batch without answers.
    async fn results(&self, class: Option<&BatchClass>, batch: &BatchId) -> Result<ResultSet>;

    /// Reads a part of the results, from byte `from` where the provider supports ranges.
    async fn read(&self, part: &ResultPart, from: u64) -> Result<RowStream>;

    /// Returns one page of batches, newest first.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) by default.
    async fn list(&self, options: &ListOptions) -> Result<Page<BatchSnapshot>> {
        let _ = options;
        Err(Error::unsupported("listing batches"))
    }

    /// Returns one page of the files with labels of lmbatch.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) by default.
    async fn uploads(&self, page: Option<Cursor>) -> Result<Page<Upload>> {
        let _ = page;
        Err(Error::unsupported("listing files"))
    }

    /// Requests the cancellation of a batch. No error for a batch that has ended.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) by default.
    async fn cancel(&self, batch: &BatchId) -> Result<()> {
        let _ = batch;
        Err(Error::unsupported("cancelling a batch"))
    }

    /// Deletes a file or batch that lmbatch made at the provider. No error where it does not exist any more.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) by default.
    async fn discard(&self, remote_object: &RemoteObject) -> Result<()> {
        let _ = remote_object;
        Err(Error::unsupported(
            "deleting files and batches at the provider",
        ))
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
    async fn discard(&self, remote_object: &RemoteObject) -> Result<()> {
        (**self).discard(remote_object).await
    }
}
