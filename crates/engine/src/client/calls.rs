//! Calls with requests in memory, which start when they are awaited.

use std::fmt;
use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use lmbatch_core::{
    BatchCodec, BatchHandle, CreateProof, Error, LMOutput, Request, RequestSource, Result,
};

use crate::blocking::blocking;
use crate::client::call::{
    Call, UNREAD, attempt_methods, cost_methods, observer_methods, option_methods, waiting_methods,
};
use crate::client::outcomes::Outcomes;
use crate::client::prepared::Prepared;
use crate::client::progress::ProgressStream;
use crate::client::run::Choice;
use crate::context::Context;
use crate::plan::Plan;
use crate::plan::ids::IdChoice;

/// Chooses the ids on the wire. The caller's own ids are sent if the provider allows all of them, so that the batch
/// can be read without its handle.
fn ids(codec: &dyn BatchCodec, requests: &[Request]) -> IdChoice {
    let rule = codec.capabilities().wire_ids;
    let mut ids = requests.iter().map(|request| request.id.as_str());
    if ids.all(|id| rule.allows(id)) {
        IdChoice::Callers
    } else {
        IdChoice::Ordinal
    }
}

/// Chooses the ids of a run that reads its own results. If a provider recognises a batch only by its number of
/// requests, the ids in the rows prove that a batch belongs to a create whose response was lost. Ids of the caller,
/// such as "1" and "2", may also occur in another batch, whose answers would be mistaken for those of this one.
fn ids_of_run(codec: &dyn BatchCodec, requests: &[Request]) -> IdChoice {
    match codec.capabilities().create {
        CreateProof::CountAndTime => IdChoice::Ordinal,
        CreateProof::Token | CreateProof::Labelled => ids(codec, requests),
    }
}

/// Chooses the ids of many requests off the async threads. Returns the requests as a source.
async fn with_ids(
    call: &Call,
    requests: Vec<Request>,
    choose: fn(&dyn BatchCodec, &[Request]) -> IdChoice,
) -> Result<(Box<dyn RequestSource>, IdChoice)> {
    let provider = Arc::clone(call.invoker.engine.provider());
    let work = move || {
        let ids = choose(provider.codec(), &requests);
        (requests, ids)
    };
    let (requests, ids) = blocking(work).await?;
    Ok((source(call, requests), ids))
}

fn source(call: &Call, requests: Vec<Request>) -> Box<dyn RequestSource> {
    call.source(requests.into_iter().map(Ok))
}

/// Create of a batch, which starts when it is awaited. Its future is `'static` and can be spawned.
///
/// ```no_run
/// # use lmbatch_engine as lmbatch;
/// # async fn example(invoker: lmbatch::LMInvoker) -> Result<(), Box<dyn std::error::Error>> {
/// let handle = invoker.batch().create([("a", "Hello!")]).system("Be brief.").await?;
/// std::fs::write("handle.json", serde_json::to_string(&handle)?)?;
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is sent until it is awaited"]
pub struct Create {
    pub(crate) call: Call,
    pub(crate) requests: Vec<Request>,
}

impl fmt::Debug for Create {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Create")
            .field("requests", &self.requests.len())
            .field("options", &self.call.options)
            .finish_non_exhaustive()
    }
}

impl Create {
    option_methods!();
    observer_methods!();
    cost_methods!();

    /// Sets the timeout of the whole call, from its first step to the response of the create; unlimited by default. It
    /// covers reading the requests, the upload, the create, and searches after a lost response. After it the call fails
    /// with [`Timeout`](lmbatch_core::ErrorKind::Timeout). Where the create was being sent, the error's
    /// [delivery](lmbatch_core::Error::delivery) is unknown and it has a [label](lmbatch_core::Error::label): search
    /// for that batch before the requests are sent again, or use [`prepare`](Self::prepare), which makes the create
    /// repeatable.
    ///
    /// ```no_run
    /// # async fn example(invoker: lmbatch_engine::LMInvoker) -> lmbatch_core::Result<()> {
    /// use std::time::Duration;
    ///
    /// let minute = Duration::from_secs(60);
    /// let handle = invoker.batch().create([("a", "Hello!")]).timeout(minute).await?;
    /// println!("{}", handle.batch);
    /// # Ok(())
    /// # }
    /// ```
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.call.run.deadline = Some(timeout);
        self
    }

    /// Plans the requests within the timeout of the call.
    async fn plan(call: &Call, requests: Vec<Request>, context: &Context) -> Result<Plan> {
        let plan = async {
            let (source, ids) = with_ids(call, requests, ids).await?;
            context.plan_with(source, ids).await.map_err(Error::from)
        };
        context.in_time(call.run.deadline, UNREAD, plan).await
    }

    /// Performs every free step, such as the upload, and stops before the create: see [`Prepared`].
    pub fn prepare(self) -> BoxFuture<'static, Result<Prepared>> {
        async move {
            let context = &self.call.context()?.ephemeral();
            let plan = Self::plan(&self.call, self.requests, context).await?;
            let (plan, parts) = plan.with_handle_parts().await?;
            let intent = context.prepare(&plan);
            let intent = context
                .create_in_time(self.call.run.deadline, &plan, intent)
                .await?;
            Ok(Prepared::new(&plan, parts, intent))
        }
        .boxed()
    }

    /// Returns the batch of `prepared`, for the same requests. The batch is created at once if the create was never
    /// sent, and searched for first if it may have been, see [`Prepared`].
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](lmbatch_core::ErrorKind::InvalidInput) if the requests or the account are
    /// not those that were prepared; [`ErrorKind::Doubt`](lmbatch_core::ErrorKind::Doubt) as for every create.
    pub fn find_or_create(self, prepared: Prepared) -> BoxFuture<'static, Result<BatchHandle>> {
        async move {
            let context = &self.call.context()?.ephemeral();
            let (ids, nonce) = prepared.ids();
            let source = source(&self.call, self.requests);
            let limit = self.call.run.deadline;
            let plan = context.plan_under(source, ids, nonce);
            let plan = async { plan.await.map_err(Error::from) };
            let plan = context.in_time(limit, UNREAD, plan).await?;
            let found = prepared.find_or_create(context, &plan);
            context.create_in_time(limit, &plan, found).await
        }
        .boxed()
    }
}

impl IntoFuture for Create {
    type Output = Result<BatchHandle>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        async move {
            let context = &self.call.context()?.ephemeral();
            let plan = Self::plan(&self.call, self.requests, context).await?;
            context.create_batch(plan, self.call.run.deadline).await
        }
        .boxed()
    }
}

/// Run from requests to outcomes, which starts when it is awaited. Its future is `'static` and can be spawned.
///
/// ```no_run
/// # async fn example(invoker: lmbatch_engine::LMInvoker) -> lmbatch_core::Result<()> {
/// use std::future::IntoFuture;
///
/// let batch = invoker.batch();
/// let runs = ["Hello!", "Good evening!"].map(|prompt| batch.invoke([("a", prompt)]).into_future());
/// for outcomes in futures::future::join_all(runs).await {
///     println!("{}", outcomes?["a"].as_result()?.text());
/// }
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is sent until it is awaited"]
pub struct Invoke<T = LMOutput> {
    call: Call,
    requests: Vec<Request>,
    name: Option<String>,
    convert: fn(Outcomes) -> Outcomes<T>,
}

impl<T> fmt::Debug for Invoke<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invoke")
            .field("requests", &self.requests.len())
            .field("options", &self.call.run)
            .finish_non_exhaustive()
    }
}

impl<T> Invoke<T> {
    pub(crate) fn new(
        call: Call,
        requests: Vec<Request>,
        convert: fn(Outcomes) -> Outcomes<T>,
    ) -> Self {
        Self {
            call,
            requests,
            name: None,
            convert,
        }
    }

    option_methods!();
    observer_methods!();
    waiting_methods!();
    attempt_methods!();
    cost_methods!();

    /// Sets a name under which the run is [recorded](crate::LMInvoker::record). The same name with the same
    /// requests is the same run: the run is resumed, or read back if it was answered, and never paid for twice.
    /// An invoker without a record refuses the name.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }
}

impl<T: Send + 'static> Invoke<T> {
    /// Starts the run as a stream of its progress, which ends with the outcomes.
    pub fn progress(self) -> ProgressStream<Outcomes<T>> {
        let outer_observer = self.call.effective_observer();
        ProgressStream::new(outer_observer, |watch| self.observer(watch).into_future())
    }
}

impl<T: Send + 'static> IntoFuture for Invoke<T> {
    type Output = Result<Outcomes<T>>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        async move {
            let mut context = self.call.context()?;
            let options = self.call.run;
            let limit = options.deadline;
            let (finished, handles) = match &self.name {
                Some(name) => {
                    let source = source(&self.call, self.requests);
                    let named = context.named(name, Some(source), Choice::default(), options);
                    (named.await?.1, None)
                }
                None => {
                    context = context.ephemeral();
                    let (source, ids) = with_ids(&self.call, self.requests, ids_of_run).await?;
                    let plan = async { context.plan_with(source, ids).await.map_err(Error::from) };
                    let plan = context.in_time(limit, UNREAD, plan).await?;
                    let handles = Arc::clone(&plan.handles);
                    (context.run(plan, options).await?, Some(handles))
                }
            };
            let read = Outcomes::read(&context, finished, self.convert);
            let read = context
                .in_time(limit, "the outcomes were not read", read)
                .await;
            read.map_err(|error| match &handles {
                Some(handles) => handles.attach(error),
                None => error,
            })
        }
        .boxed()
    }
}
