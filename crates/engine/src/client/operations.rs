//! The six operations for requests in memory.

use futures::TryStreamExt as _;
use futures::stream::BoxStream;
use lmbatch_core::{
    BatchHandle, BatchId, BatchSnapshot, Request, RequestId, ResponseSchema, Result,
};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::client::calls::{Call, Create, Invoke};
use crate::client::invoker::LMInvoker;
use crate::client::outcomes::{self, OutcomeStream, Outcomes};
use crate::client::run::Run;

impl LMInvoker {
    /// The operations: create, status, retrieve, list, cancel, invoke, and runs under a name.
    pub fn batch(&self) -> BatchOperations<'_> {
        BatchOperations { invoker: self }
    }
}

/// The six operations of an invoker. Dropping a future cancels nothing at the provider.
///
/// ```no_run
/// # async fn example(invoker: lmbatch_engine::LMInvoker) -> lmbatch_core::Result<()> {
/// let handle = invoker.batch().create([("a", "Hello!")]).await?;
/// println!("{}", invoker.batch().status(&handle.batch).await?.status);
/// invoker.batch().cancel(&handle.batch).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy)]
pub struct BatchOperations<'a> {
    pub(crate) invoker: &'a LMInvoker,
}

impl<'a> BatchOperations<'a> {
    /// Creates a batch and gives back what any process needs to go on with it. Stop before the create
    /// with [`prepare`](Create::prepare).
    pub fn create<R: Into<Request>>(self, requests: impl IntoIterator<Item = R>) -> Create<'a> {
        Create {
            call: Call::new(self.invoker, requests),
        }
    }

    /// Where a batch stands.
    pub async fn status(self, batch: &BatchId) -> Result<BatchSnapshot> {
        self.invoker.engine.status(batch).await
    }

    /// The outcomes of a batch that has ended: exactly one for each request of the handle.
    ///
    /// # Errors
    /// [`ErrorKind::Timeout`](lmbatch_core::ErrorKind::Timeout), which is temporary, where the batch has not
    /// ended or does not show all of its results in time; [`ErrorKind::InvalidInput`](lmbatch_core::ErrorKind::InvalidInput) where the handle was made under
    /// another account.
    pub async fn retrieve(self, handle: &BatchHandle) -> Result<Outcomes> {
        let engine = &self.invoker.engine;
        Outcomes::read(&engine.context, engine.retrieve(handle).await?).await
    }

    /// The same, one after the other: for more than fit into memory.
    pub async fn retrieve_stream(self, handle: &BatchHandle) -> Result<OutcomeStream> {
        let engine = &self.invoker.engine;
        outcomes::stream(&engine.context, &engine.retrieve(handle).await?, 0)
    }

    /// The rows of a batch that was made elsewhere, under the ids they were sent with. What it
    /// does not name cannot be told from what was never asked: prefer [`retrieve`](Self::retrieve).
    /// Rows that name no request get the ids `row-without-id-1`, `row-without-id-2`, … in the order in which they
    /// came. Where a row of the batch bears an id that begins so, more hyphens follow, so that no two rows share an
    /// id.
    pub async fn retrieve_rows(self, batch: &BatchId) -> Result<Outcomes> {
        self.retrieve_rows_as(batch, Vec::<RequestId>::new()).await
    }

    /// The same, with ids of your own for rows that name no request, in the order in which those come.
    /// No provider keeps that order for certain.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](lmbatch_core::ErrorKind::InvalidInput) where an id of yours is that of another
    /// row.
    pub async fn retrieve_rows_as<I: Into<RequestId>>(
        self,
        batch: &BatchId,
        custom_request_ids: impl IntoIterator<Item = I>,
    ) -> Result<Outcomes> {
        let engine = &self.invoker.engine;
        let names = custom_request_ids.into_iter().map(Into::into).collect();
        Outcomes::read(&engine.context, engine.retrieve_rows(batch, names).await?).await
    }

    /// All batches that the provider lists, newest first, from every page.
    pub async fn list(self) -> Result<Vec<BatchSnapshot>> {
        self.list_stream().try_collect().await
    }

    /// The same, page by page as they are asked for.
    pub fn list_stream(self) -> BoxStream<'a, Result<BatchSnapshot>> {
        self.invoker.engine.list(None)
    }

    /// Asks the provider to cancel a batch. What is answered by then is still paid for.
    pub async fn cancel(self, batch: &BatchId) -> Result<()> {
        self.invoker.engine.cancel(batch).await
    }

    /// Asks the provider to cancel every batch of a [named run](Self::run), and creates no more of them; how
    /// many are asked for. Whoever waits for the run, here or in another process, sees it and fetches what
    /// was answered by then, which is still paid for.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](lmbatch_core::ErrorKind::InvalidInput) where there is no such run.
    ///
    /// ```no_run
    /// # async fn example(invoker: lmbatch_engine::LMInvoker) -> lmbatch_core::Result<()> {
    /// let batches = invoker.batch().cancel_run("sums").await?;
    /// println!("{batches} batches are being cancelled");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn cancel_run(self, name: &str) -> Result<u64> {
        let engine = &self.invoker.engine;
        let run = engine.context.find_named(name).await?;
        let unknown = || lmbatch_core::Error::invalid_input(format!("there is no run {name:?}"));
        engine.cancel_run(&run.ok_or_else(unknown)?).await
    }

    /// Creates a batch, waits until it has ended, and gives back one outcome for each request. The iterator is
    /// read at once; [`run`](Self::run) takes a stream.
    ///
    /// An error after the create carries the [handle](lmbatch_core::Error::handle) of the batch, under which its
    /// outcomes can be retrieved later; [`Event::Created`](crate::Event::Created) gives it to an observer, also
    /// where the future is dropped. The caller's ids are sent where the provider takes them all and keeps labels,
    /// by which a batch is known; else ids of lmbatch, which the handle leads back to the caller's.
    ///
    /// ```no_run
    /// # async fn example(invoker: lmbatch_engine::LMInvoker) -> lmbatch_core::Result<()> {
    /// use std::time::Duration;
    ///
    /// let hour = Duration::from_secs(3600);
    /// let outcomes = match invoker.batch().invoke([("a", "Hello!")]).timeout(hour).await {
    ///     Err(error) if error.handle().is_some() => {
    ///         println!("later: {:?}", error.handles()?);
    ///         return Ok(());
    ///     }
    ///     other => other?,
    /// };
    /// println!("{} outcomes", outcomes.len());
    /// # Ok(())
    /// # }
    /// ```
    pub fn invoke<R: Into<Request>>(self, requests: impl IntoIterator<Item = R>) -> Invoke<'a> {
        Invoke::plain(Call::new(self.invoker, requests))
    }

    /// A run under a name in its [record](LMInvoker::record): for more requests than memory holds, and for
    /// outcomes that can be read again. The same name with the same requests is the same run: it is gone on
    /// with, or read back if it was answered, and never paid for twice.
    ///
    /// ```no_run
    /// # async fn example(invoker: lmbatch_engine::LMInvoker) -> lmbatch_core::Result<()> {
    /// use futures::{TryStreamExt as _, stream};
    /// use lmbatch_core::Request;
    ///
    /// let requests = (0..1_000_000).map(|n| Request::new(format!("q{n}"), format!("What is {n} + {n}?")));
    /// let requests = stream::iter(requests.map(Ok::<_, std::io::Error>));
    /// let run = invoker.batch().run("sums").requests(requests).max_attempts(3).await?;
    /// let mut outcomes = run.outcomes()?;
    /// while let Some((id, outcome)) = outcomes.try_next().await? {
    ///     println!("{id}: {}", outcome.status());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn run(self, name: impl Into<String>) -> Run<'a> {
        Run::new(self.invoker, name.into())
    }

    /// Runs requests as [`invoke`](Self::invoke) does, with typed answers: every request is asked for the JSON
    /// Schema of `T`. An answer that holds no `T` is an error: of the kind `invalid_structured` where it does
    /// not fit, and of the kind `generation_failed` where the model refused, was cut off or was stopped. The
    /// error says which [problem](lmbatch_core::RequestError::problem) it was, and
    /// [`output`](Outcomes::output) gives the answer itself.
    ///
    /// ```no_run
    /// # async fn example(invoker: lmbatch_engine::LMInvoker) -> lmbatch_core::Result<()> {
    /// #[derive(serde::Deserialize, schemars::JsonSchema)]
    /// struct Sum { number: i64 }
    ///
    /// let sums = invoker.batch().invoke_as::<Sum, _>([("a", "What is 2 + 2?")]).await?;
    /// println!("{}", sums["a"].value()?.number);
    /// # Ok(())
    /// # }
    /// ```
    pub fn invoke_as<T, R>(self, requests: impl IntoIterator<Item = R>) -> Invoke<'a, T>
    where
        T: JsonSchema + DeserializeOwned,
        R: Into<Request>,
    {
        let mut call = Call::new(self.invoker, requests);
        call.options.schema = Some(ResponseSchema::of::<T>());
        Invoke::typed(call)
    }
}
