//! Parts of every call: the invoker, and the settings that override the invoker's for this call.

use std::sync::Arc;
use std::time::Duration;

use lmbatch_core::{Error, GenerateOptions, Prices, Request, RequestSource, Result};

use crate::client::convert::OwnedSource;
use crate::client::invoker::LMInvoker;
use crate::context::Context;
use crate::cost::CostLimit;
use crate::event::Observer;
use crate::policy::{PollingPolicy, RunOptions};

/// Error message of a call whose timeout expires before anything is sent.
pub(crate) const UNREAD: &str = "the requests were not read, and nothing was sent,";

/// Settings of one call, and the invoker that makes it. Owned, so that the future of the call is `'static`.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) invoker: LMInvoker,
    pub(crate) options: GenerateOptions,
    pub(crate) run: RunOptions,
    pub(crate) polling: Option<Duration>,
    pub(crate) observer: Option<Arc<dyn Observer>>,
    pub(crate) cost_limit: Option<(CostLimit, Arc<dyn Prices>)>,
}

impl Call {
    pub(crate) fn new(invoker: LMInvoker) -> Self {
        Self {
            invoker,
            options: GenerateOptions::default(),
            run: RunOptions::default(),
            polling: None,
            observer: None,
            cost_limit: None,
        }
    }

    /// Returns the context of this call, whose timeout starts now.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](lmbatch_core::ErrorKind::Unsupported) outside of a Tokio runtime;
    /// [`ErrorKind::InvalidInput`](lmbatch_core::ErrorKind::InvalidInput) if no polls or no attempts are
    /// allowed.
    pub(crate) fn context(&self) -> Result<Context> {
        self.invoker.engine.context.clock.check()?;
        if self.run.max_polls == Some(0) {
            return Err(Error::invalid_input(
                "max_iterations must be at least 1; nothing was sent",
            ));
        }
        if self.run.max_attempts == Some(0) {
            return Err(Error::invalid_input(
                "max_attempts must be at least 1; nothing was sent",
            ));
        }
        let mut context = self.invoker.engine.context.clone().for_call();
        if let Some(interval) = self.polling {
            context.polling = PollingPolicy::every(interval);
        }
        if let Some(observer) = &self.observer {
            context.observer = Arc::clone(observer);
        }
        if let Some((limit, prices)) = &self.cost_limit {
            context.cost_limit = Some(*limit);
            context.prices = Some(Arc::clone(prices));
        }
        Ok(context)
    }

    /// Returns the requests with the options of the call, merged over the invoker's.
    pub(crate) fn source(
        &self,
        requests: impl Iterator<Item = Result<Request>> + Send + 'static,
    ) -> Box<dyn RequestSource> {
        OwnedSource::new(
            Box::new(requests),
            self.invoker.model.clone(),
            self.options.with_defaults(&self.invoker.options),
        )
    }

    /// Returns the observer of the call, or else the invoker's.
    pub(crate) fn effective_observer(&self) -> Arc<dyn Observer> {
        let of_invoker = &self.invoker.engine.context.observer;
        Arc::clone(self.observer.as_ref().unwrap_or(of_invoker))
    }
}

/// Defines methods that set generation options, for a builder with a `call`.
macro_rules! option_methods {
    () => {
        /// Sets options of this call, merged over those set before and over the invoker's. Options of a request
        /// take precedence over both.
        pub fn options(
            mut self,
            options: impl std::borrow::Borrow<lmbatch_core::GenerateOptions>,
        ) -> Self {
            self.call.options = options.borrow().with_defaults(&self.call.options);
            self
        }
        /// Sets hyperparameters of this call, merged over those set before and over the invoker's.
        pub fn hyperparameters(
            mut self,
            hyperparameters: impl std::borrow::Borrow<lmbatch_core::Hyperparameters>,
        ) -> Self {
            let options = &mut self.call.options;
            options.hyperparameters = hyperparameters
                .borrow()
                .with_defaults(&options.hyperparameters);
            self
        }
        /// Sets the system instruction of every request of this call that has none of its own.
        pub fn system(mut self, system: impl Into<String>) -> Self {
            self.call.options.system = Some(system.into());
            self
        }
        /// Sets the tools that the model may call, in place of the invoker's.
        pub fn tools(mut self, tools: impl IntoIterator<Item = lmbatch_core::Tool>) -> Self {
            self.call.options.tools = Some(tools.into_iter().collect());
            self
        }
        /// Sets whether the model may, must or must not call a tool, or which tool it must call.
        pub fn tool_choice(mut self, choice: lmbatch_core::ToolChoice) -> Self {
            self.call.options.tool_choice = Some(choice);
            self
        }
        /// Sets the JSON Schema of the answers. With the feature `schema` every answer is checked against it.
        pub fn response_schema(mut self, schema: lmbatch_core::ResponseSchema) -> Self {
            self.call.options.schema = Some(schema);
            self
        }
        /// Sets the treatment of a schema that the provider accepts only in part.
        pub fn schema_mode(mut self, mode: lmbatch_core::SchemaMode) -> Self {
            self.call.options.schema_mode = Some(mode);
            self
        }
        /// Sets the amount of thinking, as an effort or as a budget of tokens.
        pub fn thinking(mut self, thinking: lmbatch_core::ThinkingOptions) -> Self {
            self.call.options.thinking = Some(thinking);
            self
        }
    };
}

/// Defines methods that set the observer, for a builder with a `call`.
macro_rules! observer_methods {
    () => {
        /// Sets a closure that receives each event of this call, in place of the invoker's observer. The closure
        /// runs between the steps of the call, and must not block.
        pub fn observe(
            self,
            observer: impl Fn(&crate::event::Event<'_>) + Send + Sync + 'static,
        ) -> Self {
            self.observer(std::sync::Arc::new(observer))
        }
        /// Sets an observer of this call, in place of the invoker's.
        pub fn observer(mut self, observer: std::sync::Arc<dyn crate::event::Observer>) -> Self {
            self.call.observer = Some(crate::event::Guarded::new(observer));
            self
        }
    };
}

/// Defines methods that limit waiting, for a builder with a `call` that waits for batches.
macro_rules! waiting_methods {
    () => {
        /// Sets a fixed interval between two status calls of a batch. By default the interval grows from
        /// [`DEFAULT_STATUS_CHECK_INTERVAL`](crate::DEFAULT_STATUS_CHECK_INTERVAL).
        pub fn status_check_interval(mut self, interval: std::time::Duration) -> Self {
            self.call.polling = Some(interval);
            self
        }
        /// Sets the maximum number of status calls per batch, at least 1; unlimited by default. After that the
        /// call fails with [`Timeout`](lmbatch_core::ErrorKind::Timeout). The batch continues at the provider,
        /// and the error carries its [handle](lmbatch_core::Error::handle).
        pub fn max_iterations(mut self, polls: u32) -> Self {
            self.call.run.max_polls = Some(polls);
            self
        }
        /// Sets the timeout of the whole call, from its first step to the last outcome; unlimited by default. It
        /// covers reading the requests, uploads, creates, searches after a lost create response, polls and
        /// downloads. After it the call fails with [`Timeout`](lmbatch_core::ErrorKind::Timeout). Batches
        /// continue at the provider, and the error carries the [handles](lmbatch_core::Error::handles) of those
        /// that exist. Where a create was being sent, the error's [delivery](lmbatch_core::Error::delivery) is
        /// unknown and it has a [label](lmbatch_core::Error::label); a named run that is started again
        /// searches for that batch.
        pub fn timeout(mut self, timeout: std::time::Duration) -> Self {
            self.call.run.deadline = Some(timeout);
            self
        }
    };
}

/// Defines the method that limits attempts, for a builder with a `call`.
macro_rules! attempt_methods {
    () => {
        /// Sets the maximum number of times that a request is sent, if its failure is retryable or it expired; 1 by
        /// default.
        pub fn max_attempts(mut self, attempts: u32) -> Self {
            self.call.run.max_attempts = Some(attempts);
            self
        }

        /// Sets the maximum number of times that an answer which does not fit its schema is sent back to be
        /// corrected, with the place and the reason; 0 by default. These repairs come after all other attempts and
        /// beyond [`max_attempts`](Self::max_attempts), and each is paid for. The last answer counts, unless a repair
        /// fails.
        ///
        /// The call fails before anything is sent: with [`Unsupported`](lmbatch_core::ErrorKind::Unsupported) where
        /// the provider's adapter cannot continue a conversation, and with
        /// [`InvalidInput`](lmbatch_core::ErrorKind::InvalidInput) where no request has a schema.
        ///
        /// ```no_run
        /// # async fn example(invoker: lmbatch_engine::LMInvoker, schema: lmbatch_core::ResponseSchema) -> lmbatch_core::Result<()> {
        /// let invoker = invoker.response_schema(schema);
        /// let outcomes = invoker.batch().invoke([("a", "Mood of: thank you!")]).repair(2).await?;
        /// # Ok(())
        /// # }
        /// ```
        pub fn repair(mut self, repairs: u32) -> Self {
            self.call.run.repairs = repairs;
            self
        }
    };
}

/// Defines the method that limits the cost, for a builder with a `call`.
macro_rules! cost_methods {
    () => {
        /// Sets a limit on the cost of the call by a table of prices, in place of the invoker's. A batch whose largest
        /// cost does not fit into the limit is not created; see [`CostLimit`](crate::CostLimit). The call then fails
        /// with [`CostLimit`](lmbatch_core::ErrorKind::CostLimit) after the results of its other batches are fetched.
        ///
        /// ```no_run
        /// # async fn example(invoker: lmbatch_engine::LMInvoker, prices: std::sync::Arc<dyn lmbatch_core::Prices>) -> lmbatch_core::Result<()> {
        /// use lmbatch_core::Cost;
        /// let dollar: Cost = "1.00".parse().expect("an amount");
        /// let invoker = invoker.max_output_tokens(300);
        /// let outcomes = invoker.batch().invoke([("a", "Hi")]).max_cost(dollar, prices).await?;
        /// println!("{}", outcomes.costs().charged);
        /// # Ok(())
        /// # }
        /// ```
        pub fn max_cost(
            mut self,
            limit: impl Into<crate::cost::CostLimit>,
            prices: std::sync::Arc<dyn lmbatch_core::Prices>,
        ) -> Self {
            self.call.cost_limit = Some((limit.into(), prices));
            self
        }
    };
}

pub(crate) use {attempt_methods, cost_methods, observer_methods, option_methods, waiting_methods};
