//! Check of key, model and connection by a free call.

use futures::FutureExt as _;
use futures::future::BoxFuture;
use lmbatch_core::Result;

use crate::client::call::Call;
use crate::client::invoker::LMInvoker;

impl LMInvoker {
    /// Checks that the provider can be reached, that it accepts the key and, where a call without cost can tell, that it
    /// knows the model. A web service makes this call when it starts. Succeeds without a call for a provider that has no
    /// such call; the providers of lmbatch have one.
    ///
    /// # Errors
    /// [`ErrorKind::ProviderAuth`](lmbatch_core::ErrorKind::ProviderAuth),
    /// [`ErrorKind::ModelNotFound`](lmbatch_core::ErrorKind::ModelNotFound),
    /// [`ErrorKind::Connection`](lmbatch_core::ErrorKind::Connection), and other errors of a call. Temporary ones are
    /// returned after the call was repeated by the [retry policy](LMInvoker::retries).
    ///
    /// ```no_run
    /// # async fn example(invoker: lmbatch_engine::LMInvoker) -> lmbatch_core::Result<()> {
    /// invoker.check().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn check(&self) -> BoxFuture<'static, Result<()>> {
        let call = Call::new(self.clone());
        async move {
            let context = call.context()?;
            let probe = || context.provider.probe(&call.invoker.model);
            context.retrying(probe).await
        }
        .boxed()
    }
}
