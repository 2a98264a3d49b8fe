//! Waiting for a batch by its handle.

use std::fmt;
use std::future::IntoFuture;
use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use lmbatch_core::{BatchHandle, HandleSource, LMOutput, Result};

use crate::client::call::{Call, observer_methods, waiting_methods};
use crate::client::outcomes::Outcomes;
use crate::client::progress::ProgressStream;

/// Wait for an existing batch, which starts when it is awaited. Its future is `'static` and can be spawned.
///
/// ```no_run
/// # use lmbatch_engine as lmbatch;
/// # async fn example(invoker: lmbatch::LMInvoker, handle: lmbatch_core::BatchHandle) -> lmbatch_core::Result<()> {
/// use std::time::Duration;
///
/// let outcomes = invoker.batch().wait(&handle).timeout(Duration::from_secs(3600)).await?;
/// println!("{} outcomes", outcomes.len());
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is asked until it is awaited"]
pub struct Wait<T = LMOutput> {
    call: Call,
    handle: BatchHandle,
    convert: fn(Outcomes) -> Outcomes<T>,
}

impl<T> fmt::Debug for Wait<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wait")
            .field("batch", &self.handle.batch)
            .field("options", &self.call.run)
            .finish_non_exhaustive()
    }
}

impl<T> Wait<T> {
    pub(crate) fn new(
        call: Call,
        handle: BatchHandle,
        convert: fn(Outcomes) -> Outcomes<T>,
    ) -> Self {
        Self {
            call,
            handle,
            convert,
        }
    }

    observer_methods!();
    waiting_methods!();
}

impl<T: Send + 'static> Wait<T> {
    /// Starts the wait as a stream of its progress, which ends with the outcomes.
    pub fn progress(self) -> ProgressStream<Outcomes<T>> {
        let outer_observer = self.call.effective_observer();
        ProgressStream::new(outer_observer, |watch| self.observer(watch).into_future())
    }
}

impl<T: Send + 'static> IntoFuture for Wait<T> {
    type Output = Result<Outcomes<T>>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        async move {
            let context = self.call.context()?;
            let options = self.call.run;
            let ended = async {
                let finished = context.wait_for(&self.handle, &options).await?;
                Outcomes::read(&context, finished, self.convert).await
            };
            let doing = "the batch had not ended, or its outcomes were not read,";
            let ended = Box::pin(context.in_time(options.deadline, doing, ended)).await;
            ended.map_err(|error| {
                error
                    .with_batch(self.handle.batch.clone())
                    .with_handles(Arc::new(Known(self.handle)))
            })
        }
        .boxed()
    }
}

/// Source of the caller's own handle.
#[derive(Debug)]
pub(crate) struct Known(pub(crate) BatchHandle);

impl HandleSource for Known {
    fn handles(&self) -> Result<Vec<BatchHandle>> {
        Ok(vec![self.0.clone()])
    }
}
