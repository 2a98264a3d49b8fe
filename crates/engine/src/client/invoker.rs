//! Invoker: a model at a provider, with defaults for every request.

use std::borrow::Borrow;
use std::sync::Arc;

use lmbatch_core::{
    BatchProvider, Clock, Effort, GenerateOptions, Hyperparameters, Ledger, Prices, ResponseSchema,
    Rng, SchemaMode, Spool, ThinkingOptions, Tool, ToolChoice,
};

use crate::cost::CostLimit;
use crate::engine::Engine;
use crate::event::{Event, Observer};
use crate::policy::{BatchLimit, DoubtPolicy, OnDoubt, RetryPolicy, StepLimits};

/// A model at a provider, with defaults for every request. Options of a call are merged over the defaults,
/// and options of a request over both.
///
/// ```no_run
/// # async fn example(provider: impl lmbatch_core::BatchProvider) -> lmbatch_core::Result<()> {
/// use lmbatch_engine::LMInvoker;
/// let invoker = LMInvoker::new(provider, "a-model").system("Be brief.").max_output_tokens(300);
/// let results = invoker.batch().invoke([("sum", "What is 2 + 2?")]).await?;
/// println!("{}", results["sum"].as_result()?.text());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct LMInvoker {
    pub(crate) engine: Engine,
    pub(crate) model: String,
    pub(crate) options: GenerateOptions,
}

impl LMInvoker {
    /// Creates an invoker of a model. `model` is the provider's name of the model.
    pub fn new(provider: impl BatchProvider, model: impl Into<String>) -> Self {
        Self::shared(Arc::new(provider), model)
    }

    /// Creates an invoker over a provider that other invokers share.
    pub fn shared(provider: Arc<dyn BatchProvider>, model: impl Into<String>) -> Self {
        Self {
            engine: Engine::new(provider),
            model: model.into(),
            options: GenerateOptions::default(),
        }
    }

    /// Sets the system instruction of every request.
    pub fn system(mut self, system: impl Into<String>) -> Self {
        self.options.system = Some(system.into());
        self
    }
    /// Sets the maximum number of output tokens per answer, thinking included.
    pub fn max_output_tokens(mut self, tokens: u32) -> Self {
        self.options.hyperparameters.max_output_tokens = Some(tokens);
        self
    }
    /// Sets the sampling temperature, 0.0 to 2.0 at most providers; higher is more random.
    pub fn temperature(mut self, temperature: f64) -> Self {
        self.options.hyperparameters.temperature = Some(temperature);
        self
    }
    /// Sets hyperparameters, merged over those set before.
    pub fn hyperparameters(mut self, hyperparameters: impl Borrow<Hyperparameters>) -> Self {
        let options = &mut self.options;
        options.hyperparameters = hyperparameters
            .borrow()
            .with_defaults(&options.hyperparameters);
        self
    }
    /// Sets options of every request, merged over those set before.
    pub fn options(mut self, options: impl Borrow<GenerateOptions>) -> Self {
        self.options = options.borrow().with_defaults(&self.options);
        self
    }
    /// Sets the tools that the model may call.
    pub fn tools(mut self, tools: impl IntoIterator<Item = Tool>) -> Self {
        self.options.tools = Some(tools.into_iter().collect());
        self
    }
    /// Sets whether the model may, must or must not call a tool, or which tool it must call.
    pub fn tool_choice(mut self, choice: ToolChoice) -> Self {
        self.options.tool_choice = Some(choice);
        self
    }
    /// Sets the JSON Schema of every answer. With the feature `schema` every answer is checked against it.
    pub fn response_schema(mut self, schema: ResponseSchema) -> Self {
        self.options.schema = Some(schema);
        self
    }
    /// Sets the treatment of a schema that the provider accepts only in part, for every request and every typed
    /// call: the request is refused before anything is sent, or the accepted part of the schema is sent.
    pub fn schema_mode(mut self, mode: SchemaMode) -> Self {
        self.options.schema_mode = Some(mode);
        self
    }
    /// Sets the amount of thinking as an effort. Replaces the value set by [`thinking`](Self::thinking).
    pub fn effort(self, effort: Effort) -> Self {
        self.thinking(ThinkingOptions {
            effort: Some(effort),
            ..ThinkingOptions::default()
        })
    }
    /// Sets the amount of thinking, as an effort or as a budget of tokens.
    pub fn thinking(mut self, thinking: ThinkingOptions) -> Self {
        self.options.thinking = Some(thinking);
        self
    }
    /// Sets the policy for retries of HTTP calls. A create whose outcome is unknown is never retried.
    pub fn retries(mut self, retries: RetryPolicy) -> Self {
        self.engine = self.engine.with_retries(retries);
        self
    }
    /// Sets the policy for the search for a batch after the response to its create was lost.
    pub fn doubt(mut self, doubt: DoubtPolicy) -> Self {
        self.engine = self.engine.with_doubt(doubt);
        self
    }
    /// Sets the treatment of a create whose outcome stays unknown after the search.
    pub fn on_doubt(mut self, on_doubt: OnDoubt) -> Self {
        self.engine = self.engine.with_on_doubt(on_doubt);
        self
    }
    /// Sets limits on the size of one batch; the provider's own limits hold as well.
    pub fn batch_limit(mut self, limit: BatchLimit) -> Self {
        self.engine = self.engine.with_batch_limit(limit);
        self
    }
    /// Sets the maximum numbers of concurrent uploads, creates, polls and downloads.
    pub fn limits(mut self, limits: StepLimits) -> Self {
        self.engine = self.engine.with_limits(limits);
        self
    }
    /// Sets a durable record, which outlives the process, for [named](crate::Invoke::named) runs.
    pub fn record(mut self, ledger: Arc<dyn Ledger>, spool: Arc<dyn Spool>) -> Self {
        self.engine = self.engine.with_record(ledger, spool);
        self
    }
    /// Sets a closure that receives each event of every call. The closure runs between the steps of a call, and must
    /// not block.
    ///
    /// ```
    /// # fn example(invoker: lmbatch_engine::LMInvoker) -> lmbatch_engine::LMInvoker {
    /// use lmbatch_engine::Event;
    ///
    /// invoker.observe(|event| {
    ///     if let Event::Created { batch, .. } = event {
    ///         println!("{batch}");
    ///     }
    /// })
    /// # }
    /// ```
    pub fn observe(self, observer: impl Fn(&Event<'_>) + Send + Sync + 'static) -> Self {
        self.observer(Arc::new(observer))
    }
    /// Sets the observer of every call.
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.engine = self.engine.with_observer(observer);
        self
    }
    /// Sets a table of prices, from which the cost of each answer is computed.
    pub fn prices(mut self, prices: Arc<dyn Prices>) -> Self {
        self.engine = self.engine.with_prices(prices);
        self
    }
    /// Sets a limit on the cost of each call that creates batches, by a table of prices; see [`CostLimit`].
    pub fn max_cost(mut self, limit: impl Into<CostLimit>, prices: Arc<dyn Prices>) -> Self {
        self.engine = self.engine.with_cost_limit(limit.into(), prices);
        self
    }
    /// Sets the source of time, for tests.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.engine = self.engine.with_clock(clock);
        self
    }
    /// Sets the source of random numbers, for tests.
    pub fn rng(mut self, rng: Arc<dyn Rng>) -> Self {
        self.engine = self.engine.with_rng(rng);
        self
    }

    /// Returns the engine, for tasks that the operations do not cover.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }
}
