//! The operations of an invoker.

use std::future::{Future, IntoFuture};

use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt as _, StreamExt as _, TryFutureExt as _, TryStreamExt as _};
use lmbatch_core::{
    BatchHandle, BatchId, BatchSnapshot, Error, Request, RequestId, ResponseSchema, Result,
};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::client::call::Call;
use crate::client::calls::{Create, Invoke};
use crate::client::invoker::LMInvoker;
use crate::client::outcomes::{self, OutcomeStream, Outcomes};
use crate::client::run::Run;
use crate::client::typed::typed;
use crate::client::wait::Wait;
use crate::client::wait_all::WaitAll;
use crate::context::Context;

impl LMInvoker {
    /// Returns the operations: create, status, retrieve, list, cancel, invoke, wait, and runs under a name.
    pub fn batch(&self) -> BatchOperations {
        BatchOperations {
            invoker: self.clone(),
        }
    }
}

/// The operations of an invoker. Each returns a future, or a builder that becomes one when it is awaited. All are
/// `'static` and `Send`: they can be spawned, joined and stored. Dropping a future cancels nothing at the provider.
///
/// ```no_run
/// # async fn example(invoker: lmbatch_engine::LMInvoker) -> lmbatch_core::Result<()> {
/// let batch = invoker.batch();
/// let handle = batch.create([("a", "Hello!")]).await?;
/// println!("{}", batch.status(&handle).await?.status);
/// batch.cancel(&handle).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct BatchOperations {
    invoker: LMInvoker,
}

impl BatchOperations {
    fn call(&self) -> Call {
        Call::new(self.invoker.clone())
    }

    /// Returns a future that owns the context of its call.
    fn with<T, F>(
        &self,
        work: impl FnOnce(Context) -> F + Send + 'static,
    ) -> BoxFuture<'static, Result<T>>
    where
        T: 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let call = self.call();
        async move { work(call.context()?).await }.boxed()
    }

    /// Creates a batch and returns its handle, with which any process can continue. The handle is plain data.
    /// [`prepare`](Create::prepare) stops before the create. The iterator is consumed immediately.
    pub fn create<R: Into<Request>>(&self, requests: impl IntoIterator<Item = R>) -> Create {
        Create {
            call: self.call(),
            requests: requests.into_iter().map(Into::into).collect(),
        }
    }

    /// Creates a batch as [`create`](Self::create) does, whose requests all ask for answers in the JSON Schema of `T`.
    /// [`retrieve_as`](Self::retrieve_as) and [`wait_as`](Self::wait_as) read its answers.
    ///
    /// ```no_run
    /// # async fn example(invoker: lmbatch_engine::LMInvoker) -> lmbatch_core::Result<()> {
    /// #[derive(serde::Deserialize, schemars::JsonSchema)]
    /// struct Sum { number: i64 }
    ///
    /// let handle = invoker.batch().create_as::<Sum>([("a", "What is 2 + 2?")]).await?;
    /// let sums = invoker.batch().wait_as::<Sum>(&handle).await?;
    /// println!("{}", sums["a"].as_result()?.number);
    /// # Ok(())
    /// # }
    /// ```
    pub fn create_as<T: JsonSchema>(
        &self,
        requests: impl IntoIterator<Item = impl Into<Request>>,
    ) -> Create {
        self.create(requests)
            .response_schema(ResponseSchema::of::<T>())
    }

    /// Returns the status of a batch. The argument is the id or the handle of the batch.
    pub fn status(&self, batch: impl AsRef<BatchId>) -> BoxFuture<'static, Result<BatchSnapshot>> {
        let batch = batch.as_ref().clone();
        self.with(|context| async move { context.status(&batch).await })
    }

    /// Waits until a batch has ended, and returns one outcome for each request of its handle.
    ///
    /// ```no_run
    /// # async fn example(invoker: lmbatch_engine::LMInvoker) -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    ///
    /// let handle = serde_json::from_slice(&std::fs::read("handle.json")?)?;
    /// let outcomes = invoker.batch().wait(&handle).timeout(Duration::from_secs(3600)).await?;
    /// println!("{} outcomes", outcomes.len());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Timeout`](lmbatch_core::ErrorKind::Timeout) if the batch has not ended within the timeout or
    /// the maximum number of polls of the call; otherwise those of [`retrieve`](Self::retrieve). The error carries the
    /// handle.
    pub fn wait(&self, handle: &BatchHandle) -> Wait {
        Wait::new(self.call(), handle.clone(), std::convert::identity)
    }

    /// Waits as [`wait`](Self::wait) does, and reads the answers as values of `T`.
    pub fn wait_as<T: DeserializeOwned + Send + 'static>(&self, handle: &BatchHandle) -> Wait<T> {
        Wait::new(self.call(), handle.clone(), typed)
    }

    /// Waits for many batches in one loop, and returns the outcomes of each as it ends, on a stream. An error of one batch
    /// does not end the wait for the others.
    ///
    /// ```no_run
    /// # async fn example(invoker: lmbatch_engine::LMInvoker, handles: Vec<lmbatch_core::BatchHandle>) {
    /// use futures::StreamExt as _;
    ///
    /// let mut ended = invoker.batch().wait_all(handles).stream();
    /// while let Some((handle, outcomes)) = ended.next().await {
    ///     println!("{}: {}", handle.batch, outcomes.is_ok());
    /// }
    /// # }
    /// ```
    pub fn wait_all(&self, handles: impl IntoIterator<Item = BatchHandle>) -> WaitAll {
        WaitAll::new(self.call(), handles.into_iter().collect())
    }

    /// Returns the outcomes of a batch that has ended: exactly one for each request of the handle.
    ///
    /// # Errors
    /// [`ErrorKind::NotEnded`](lmbatch_core::ErrorKind::NotEnded) if the batch has not ended, and
    /// [`ErrorKind::Timeout`](lmbatch_core::ErrorKind::Timeout) if it does not show all of its results in time, both
    /// temporary; [`ErrorKind::OtherAccount`](lmbatch_core::ErrorKind::OtherAccount)
    /// if the handle was created under another account.
    pub fn retrieve(&self, handle: &BatchHandle) -> BoxFuture<'static, Result<Outcomes>> {
        self.retrieve_with(handle, std::convert::identity)
    }

    fn retrieve_with<T: Send + 'static>(
        &self,
        handle: &BatchHandle,
        convert: fn(Outcomes) -> Outcomes<T>,
    ) -> BoxFuture<'static, Result<Outcomes<T>>> {
        let handle = handle.clone();
        self.with(move |context| async move {
            let finished = context.retrieve(&handle).await?;
            Outcomes::read(&context, finished, convert).await
        })
    }

    /// Returns the outcomes of a batch that has ended, with answers as values of `T`. An answer that holds no `T`
    /// is an error, as for [`invoke_as`](Self::invoke_as).
    ///
    /// # Errors
    /// Those of [`retrieve`](Self::retrieve).
    pub fn retrieve_as<T: DeserializeOwned + Send + 'static>(
        &self,
        handle: &BatchHandle,
    ) -> BoxFuture<'static, Result<Outcomes<T>>> {
        self.retrieve_with(handle, typed)
    }

    /// Returns the outcomes of a batch that has ended as a stream, for more outcomes than fit into memory.
    ///
    /// # Errors
    /// Those of [`retrieve`](Self::retrieve).
    pub fn retrieve_stream(
        &self,
        handle: &BatchHandle,
    ) -> BoxFuture<'static, Result<OutcomeStream>> {
        let handle = handle.clone();
        self.with(|context| async move {
            let finished = context.retrieve(&handle).await?;
            outcomes::stream(&context, &finished, 0)
        })
    }

    /// Returns the rows of a batch without its handle, under the ids on the wire. Requests that the results do not
    /// name are not reported as missing: prefer [`retrieve`](Self::retrieve).
    /// Rows that name no request get the ids `row-without-id-1`, `row-without-id-2`, … in the order of the results.
    /// If another row of the batch has an id with that prefix, more hyphens are added, so that no two rows share an
    /// id.
    pub fn retrieve_rows(
        &self,
        batch: impl AsRef<BatchId>,
    ) -> BoxFuture<'static, Result<Outcomes>> {
        self.retrieve_rows_as(batch, Vec::<RequestId>::new())
    }

    /// Returns the rows of a batch as [`retrieve_rows`](Self::retrieve_rows) does, and gives the caller's ids to rows
    /// that name no request, in the order of the results. No provider promises that order.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](lmbatch_core::ErrorKind::InvalidInput) if one of the caller's ids is the id
    /// of another row.
    pub fn retrieve_rows_as<I: Into<RequestId>>(
        &self,
        batch: impl AsRef<BatchId>,
        custom_request_ids: impl IntoIterator<Item = I>,
    ) -> BoxFuture<'static, Result<Outcomes>> {
        let batch = batch.as_ref().clone();
        let names = custom_request_ids.into_iter().map(Into::into).collect();
        self.with(|context| async move {
            let finished = context.retrieve_rows(&batch, names).await?;
            Outcomes::read(&context, finished, std::convert::identity).await
        })
    }

    /// Lists the batches of the account, newest first, from all pages of the provider's list.
    ///
    /// ```no_run
    /// # async fn example(invoker: lmbatch_engine::LMInvoker) -> lmbatch_core::Result<()> {
    /// for batch in invoker.batch().list().limit(10).await? {
    ///     println!("{}: {}", batch.id, batch.status);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn list(&self) -> List {
        List {
            call: self.call(),
            limit: usize::MAX,
        }
    }

    /// Asks the provider to cancel a batch. The argument is the id or the handle of the batch. Requests that are
    /// answered before the batch ends are still billed.
    pub fn cancel(&self, batch: impl AsRef<BatchId>) -> BoxFuture<'static, Result<()>> {
        let batch = batch.as_ref().clone();
        self.with(|context| async move { context.cancel(&batch).await })
    }

    /// Asks the provider to cancel every batch of a [named run](Self::run), and returns the number of these batches. No
    /// further batches of the run are created. Requests that are answered before a batch ends are still billed, and
    /// every process that waits for the run fetches their outcomes.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](lmbatch_core::ErrorKind::InvalidInput) if no run has this name.
    ///
    /// ```no_run
    /// # async fn example(invoker: lmbatch_engine::LMInvoker) -> lmbatch_core::Result<()> {
    /// let batches = invoker.batch().cancel_run("sums").await?;
    /// println!("{batches} batches are being cancelled");
    /// # Ok(())
    /// # }
    /// ```
    pub fn cancel_run(&self, name: impl Into<String>) -> BoxFuture<'static, Result<u64>> {
        let name = name.into();
        self.with(|context| async move {
            let run = context.find_named(&name).await?;
            let unknown = || Error::invalid_input(format!("there is no run {name:?}"));
            context.cancel_run(&run.ok_or_else(unknown)?).await
        })
    }

    /// Creates a batch, waits until it has ended, and returns one outcome for each request. The iterator is
    /// consumed immediately; [`run`](Self::run) takes a stream.
    ///
    /// An error after the create carries the [handle](lmbatch_core::Error::handle) of the batch, with which its
    /// outcomes can be retrieved later. An observer receives the handle in [`Event::Created`](crate::Event::Created),
    /// even if the future is dropped. The caller's ids are sent if the provider accepts all of them and keeps labels,
    /// by which a batch is recognised; otherwise lmbatch sends ids of its own, which the handle maps to the caller's.
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
    pub fn invoke<R: Into<Request>>(&self, requests: impl IntoIterator<Item = R>) -> Invoke {
        let requests = requests.into_iter().map(Into::into).collect();
        Invoke::new(self.call(), requests, std::convert::identity)
    }

    /// Returns a run under a name in the [record](LMInvoker::record): for more requests than fit into memory, and for
    /// outcomes that can be read again. The same name with the same requests is the same run: the run is resumed,
    /// or read back if it was answered, and never paid for twice.
    ///
    /// ```no_run
    /// # async fn example(invoker: lmbatch_engine::LMInvoker) -> lmbatch_core::Result<()> {
    /// use futures::TryStreamExt as _;
    /// use lmbatch_core::Request;
    ///
    /// let requests = (0..1_000_000).map(|n| Request::new(format!("q{n}"), format!("What is {n} + {n}?")));
    /// let run = invoker.batch().run("sums").requests(requests).max_attempts(3).await?;
    /// let mut outcomes = run.outcomes()?;
    /// while let Some((id, outcome)) = outcomes.try_next().await? {
    ///     println!("{id}: {}", outcome.status());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn run(&self, name: impl Into<String>) -> Run {
        Run::new(self.call(), name.into())
    }

    /// Runs requests as [`invoke`](Self::invoke) does, with typed answers: every request asks for an answer in the
    /// JSON Schema of `T`. An answer that holds no `T` is an error: of the kind `invalid_structured` if the answer
    /// does not fit the schema, and of the kind `generation_failed` if the model refused, was truncated or was
    /// stopped. The error names the [problem](lmbatch_core::RequestError::problem), and
    /// [`output`](Outcomes::output) gives the answer itself.
    ///
    /// ```no_run
    /// # async fn example(invoker: lmbatch_engine::LMInvoker) -> lmbatch_core::Result<()> {
    /// #[derive(serde::Deserialize, schemars::JsonSchema)]
    /// struct Sum { number: i64 }
    ///
    /// let sums = invoker.batch().invoke_as::<Sum>([("a", "What is 2 + 2?")]).await?;
    /// println!("{}", sums["a"].as_result()?.number);
    /// # Ok(())
    /// # }
    /// ```
    pub fn invoke_as<T: JsonSchema + DeserializeOwned + Send + 'static>(
        &self,
        requests: impl IntoIterator<Item = impl Into<Request>>,
    ) -> Invoke<T> {
        let requests = requests.into_iter().map(Into::into).collect();
        Invoke::new(self.call(), requests, typed).response_schema(ResponseSchema::of::<T>())
    }
}

/// List of the account's batches, which is requested when it is awaited.
///
/// ```no_run
/// # use lmbatch_engine as lmbatch;
/// # async fn example(invoker: lmbatch::LMInvoker) -> lmbatch_core::Result<()> {
/// for batch in invoker.batch().list().limit(10).await? {
///     println!("{} {}", batch.id, batch.status);
/// }
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is asked until it is awaited"]
pub struct List {
    call: Call,
    limit: usize,
}

impl std::fmt::Debug for List {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("List")
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

impl List {
    /// Sets the maximum number of batches; unlimited by default. No further pages are read.
    pub fn limit(mut self, batches: usize) -> Self {
        self.limit = batches;
        self
    }

    /// Returns the batches as a stream, which requests each page when it is needed.
    pub fn stream(self) -> BoxStream<'static, Result<BatchSnapshot>> {
        let limit = self.limit;
        let batches = async move { Ok(self.call.context()?.list(None)) };
        batches.try_flatten_stream().take(limit).boxed()
    }
}

impl IntoFuture for List {
    type Output = Result<Vec<BatchSnapshot>>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        self.stream().try_collect().boxed()
    }
}
