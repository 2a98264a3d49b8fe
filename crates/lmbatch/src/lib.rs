#![cfg_attr(feature = "openai", doc = include_str!("../README.md"))]
//!
//! # Handles
//! `create` returns a handle with which any process can continue:
//!
//! ```no_run
//! # async fn example(invoker: lmbatch::LMInvoker) -> Result<(), Box<dyn std::error::Error>> {
//! let handle = invoker.batch().create([("a", "Hello!")]).await?;
//! let outcomes = invoker.batch().wait(&handle).await?;
//! println!("{} outcomes", outcomes.len());
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//! No feature is on by default. Each one builds only the crates that it needs.
//!
//! | feature | adds |
//! |---|---|
//! | `anthropic`, `google`, `openai`, `all-providers` | providers |
//! | `durable` | runs that survive their process, recorded on SQLite |
//! | `prices` | a dated table of prices, for costs and cost limits |
//! | `schema` | a check of structured answers against their JSON Schema |
//!
//! # Calls
//! Calls own what they need. Their futures are `'static` and `Send`, so that they can be spawned and joined:
//!
//! ```no_run
//! # async fn example(invoker: lmbatch::LMInvoker) -> Result<(), Box<dyn std::error::Error>> {
//! use std::future::IntoFuture;
//!
//! let call = invoker.batch().invoke([("a", "Hello!")]).system("Be brief.").into_future();
//! let outcomes = tokio::spawn(call).await??;
//! # Ok(())
//! # }
//! ```
//!
//! # Layers
//! The root of the crate exports the names that most programs use. Three modules export every name of their layer:
//! [`engine`] for programs that drive runs themselves, [`adapter`] for authors of providers, and [`record`] for
//! authors of ledgers and spools.
//!
//! # Runtime and files
//! Calls need a Tokio runtime with timers and I/O, of either flavour; outside of one they return an error of the kind
//! [`Unsupported`](ErrorKind::Unsupported), and send nothing. Requests and results of runs that are not recorded are kept in memory,
//! up to 256 KiB a run; larger runs use one file without a name in the folder for temporary files.

pub use lmbatch_core::user::*;
pub use lmbatch_core::{BatchClass, BatchHandle, Clock, FormatVersion, IdRule, JsonBuf, Rng};
pub use lmbatch_engine::{
    BatchLimit, BatchOperations, Changes, CostLimit, Costs, CountMismatch, Create, CreatedHandle,
    DEFAULT_STATUS_CHECK_INTERVAL, Decision, DoubtPolicy, Engine, Event, IntoRequests, Invoke,
    LMInvoker, List, MAX_STATUS_CHECK_INTERVAL, Observer, OnDoubt, OutcomeStream, Outcomes,
    PollingPolicy, Prepared, Progress, ProgressStream, Requests, RetryPolicy, Run, RunOutput,
    RunSnapshot, StepLimits, Wait,
};
/// The version of the crate whose `JsonSchema` typed calls take.
///
/// ```
/// use lmbatch::ResponseSchema;
/// use lmbatch::schemars::JsonSchema;
///
/// fn schema_of<T: JsonSchema>() -> ResponseSchema {
///     ResponseSchema::of::<T>()
/// }
/// assert!(schema_of::<Vec<u8>>().schema.as_str().contains("array"));
/// ```
pub use schemars;

/// Every name of the engine: plans, runs, batches and their outcomes, for programs that drive runs themselves.
///
/// ```
/// use lmbatch::engine::{Engine, RunOptions};
/// use lmbatch::record::RunFilter;
///
/// async fn resume_all(engine: &Engine) -> lmbatch::Result<()> {
///     let unfinished = RunFilter { unfinished: true, ..RunFilter::default() };
///     for run in engine.ledger().all_runs(unfinished).await? {
///         engine.resume(&run, RunOptions::default()).await?;
///     }
///     Ok(())
/// }
/// ```
pub mod engine {
    pub use lmbatch_engine::*;
}

/// Every name for authors of adapters: the traits of a provider, and the borrowed views that adapters read and write.
///
/// ```
/// use lmbatch::adapter::{BatchProvider, Capabilities};
///
/// fn can_list(provider: &dyn BatchProvider) -> bool {
///     let capabilities: &Capabilities = provider.codec().capabilities();
///     capabilities.list
/// }
/// ```
pub mod adapter {
    pub use lmbatch_core::adapter::*;
}

/// Every name for authors of records: the traits of ledger and spool, and the records that they store.
///
/// ```
/// use lmbatch::record::{Ledger, RunFilter};
///
/// async fn names(ledger: &dyn Ledger) -> lmbatch::Result<Vec<Option<Box<str>>>> {
///     let runs = ledger.all_runs(RunFilter::default()).await?;
///     Ok(runs.into_iter().map(|run| run.name).collect())
/// }
/// ```
pub mod record {
    pub use lmbatch_core::record::*;
}

/// Runs that survive their process.
///
/// ```no_run
/// # async fn example(invoker: lmbatch::LMInvoker) -> lmbatch::Result<()> {
/// use lmbatch::durable::Durable as _;
///
/// let invoker = invoker.durable("state").await?;
/// // The run is paid for once, however often it is started and wherever it is interrupted.
/// let outcomes = invoker.batch().invoke([("a", "Hello!")]).named("nightly-2026-11-23").max_attempts(3).await?;
/// # Ok(())
/// # }
/// ```
#[cfg(feature = "durable")]
pub mod durable {
    use std::path::PathBuf;
    use std::sync::Arc;

    pub use lmbatch_engine::FolderSpool;
    pub use lmbatch_ledger::{
        FoundFolder, LiveCounts, LiveFolder, RunHolder, SqliteLedger, StateFolder, own_folders,
        runs_with_creates,
    };

    /// Records runs in a state folder.
    pub trait Durable: Sized {
        /// Opens the folder, makes it where it is missing, and records runs in it from now on. The
        /// returned value owns its handles to the folder. Each run is claimed separately, so that other processes may
        /// use the folder at the same time.
        ///
        /// ```no_run
        /// # async fn example(engine: lmbatch::Engine) -> lmbatch::Result<()> {
        /// use lmbatch::durable::Durable as _;
        /// use lmbatch::record::RunFilter;
        ///
        /// let engine = engine.durable("state").await?;
        /// println!("{} runs", engine.ledger().all_runs(RunFilter::default()).await?.len());
        /// # Ok(())
        /// # }
        /// ```
        ///
        /// # Errors
        /// [`ErrorKind::Local`](crate::ErrorKind::Local) where the folder cannot be made or read, is damaged or
        /// incomplete, belongs to another user, or lies on a network file system.
        fn durable(
            self,
            folder: impl Into<PathBuf> + Send,
        ) -> impl Future<Output = crate::Result<Self>> + Send;
    }

    impl Durable for crate::LMInvoker {
        async fn durable(self, folder: impl Into<PathBuf> + Send) -> crate::Result<Self> {
            let (ledger, spool) = open(folder.into()).await?;
            Ok(self.record(ledger, spool))
        }
    }

    impl Durable for crate::Engine {
        async fn durable(self, folder: impl Into<PathBuf> + Send) -> crate::Result<Self> {
            let (ledger, spool) = open(folder.into()).await?;
            Ok(self.with_record(ledger, spool))
        }
    }

    async fn open(folder: PathBuf) -> crate::Result<(Arc<SqliteLedger>, Arc<FolderSpool>)> {
        let state = StateFolder::write(folder)?;
        let spool = FolderSpool::new(state.spool());
        Ok((Arc::new(state.ledger().await?), Arc::new(spool)))
    }
}

/// Dated prices of models, for the cost of answers and for cost limits.
///
/// ```no_run
/// # async fn example(invoker: lmbatch::LMInvoker) -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::Arc;
/// use lmbatch::Cost;
/// use lmbatch::prices::PriceTable;
///
/// let limit: Cost = "5.00".parse()?;
/// let invoker = invoker.max_output_tokens(300).max_cost(limit, Arc::new(PriceTable::bundled()));
/// let outcomes = invoker.batch().invoke([("a", "Hello!")]).await?;
/// println!("{}", outcomes.costs().charged);
/// # Ok(())
/// # }
/// ```
#[cfg(feature = "prices")]
pub mod prices {
    pub use lmbatch_prices::*;
}

/// Anthropic's message batches.
#[cfg(feature = "anthropic")]
pub mod anthropic {
    pub use lmbatch_anthropic::{
        Anthropic, AnthropicBuilder, AnthropicCodec, AnthropicConfig, Auth, DEFAULT_BASE_URL,
        DEFAULT_MAX_TOKENS, factory,
    };
}

/// The Gemini Developer API.
#[cfg(feature = "google")]
pub mod google {
    pub use lmbatch_google::{
        DEFAULT_BASE_URL, Google, GoogleBuilder, GoogleCodec, GoogleConfig, Route, SafetySetting,
        SchemaField, factory,
    };
}

/// OpenAI, and services with a compatible API.
#[cfg(feature = "openai")]
pub mod openai {
    pub use lmbatch_openai::{
        DEFAULT_BASE_URL, Endpoint, OpenAi, OpenAiBuilder, OpenAiCodec, OpenAiConfig, factory,
    };
}

/// The examples of the guide compile.
#[cfg(all(doctest, feature = "openai", feature = "durable"))]
mod guide {
    #[doc = include_str!("../../../docs/guide/library.md")]
    mod library {}
    #[doc = include_str!("../../../docs/guide/testing-your-code.md")]
    mod testing_your_code {}
    #[doc = include_str!("../../../docs/guide/web-backend.md")]
    mod web_backend {}
}
