//! Batch inference for language models: exactly one outcome per request.
//!
//! ```no_run
//! # #[cfg(feature = "openai")]
//! # async fn example() -> lmbatch::Result<()> {
//! use std::time::Duration;
//! use lmbatch::LMInvoker;
//! use lmbatch::openai::OpenAi;
//!
//! let invoker = LMInvoker::new(OpenAi::from_env()?, "gpt-5-mini").system("Be brief.").max_output_tokens(300);
//! let results = invoker.batch().invoke([("sum", "What is 2 + 2?"), ("capital", "Capital of France?")])
//!     .status_check_interval(Duration::from_secs(30)).max_iterations(100).await?;
//! for (id, outcome) in &results { println!("{id}: {}", outcome.value()?.text()); }
//! # Ok(())
//! # }
//! ```
//!
//! `create` gives a handle that any process can go on with:
//!
//! ```no_run
//! # async fn example(invoker: lmbatch::LMInvoker) -> Result<(), Box<dyn std::error::Error>> {
//! let handle = invoker.batch().create([("a", "Hello!")]).await?;
//! let snapshot = invoker.batch().status(&handle.batch).await?;
//! if snapshot.status.is_terminal() {
//!     let outcomes = invoker.batch().retrieve(&handle).await?;
//!     println!("{} outcomes", outcomes.len());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//! Each builds only what it names; none is on unless it is asked for.
//!
//! | feature | adds |
//! |---|---|
//! | `anthropic`, `google`, `openai`, `all-providers` | providers |
//! | `durable` | runs that survive their process, recorded on SQLite |
//! | `schema` | a check of structured answers against their JSON Schema |
//!
//! # Runtime and files
//! Calls need a Tokio runtime with time and I/O. Requests and results of runs that are not recorded are kept in
//! memory, up to 256 KiB a run; what is beyond lies in one file without a name in the folder for temporary files.

pub use lmbatch_core::{
    AccountId, Attachment, AttachmentError, AttachmentKind, AttachmentSource, BatchHandle, BatchId,
    BatchSnapshot, BatchStatus, Contents, Delivery, Effort, Error, ErrorKind, FinishReason,
    GenerateOptions, Hyperparameters, JsonBuf, KeyHint, LMInput, LMOutput, Label, Message,
    MessageContent, Outcome, OutcomeStatus, OutputItem, Problem, ProviderId, Request,
    RequestCounts, RequestError, RequestId, ResponseSchema, Result, Retry, Role, SchemaError,
    SchemaMode, StructuredError, Thinking, ThinkingOptions, TokenUsage, Tool, ToolCall, ToolChoice,
    ToolResult,
};
pub use lmbatch_engine::{
    BatchLimit, BatchOperations, Changes, CountMismatch, Create, CreatedHandle,
    DEFAULT_STATUS_CHECK_INTERVAL, DoubtPolicy, Engine, Event, Invoke, LMInvoker, Observer,
    OnDoubt, OutcomeStream, Outcomes, PollingPolicy, Prepared, RetryPolicy, Run, RunOutput,
    StepLimits,
};

/// What authors of adapters implement.
pub mod provider {
    pub use lmbatch_core::{BatchCodec, BatchProvider, Capabilities, Limits};
}

/// Runs that survive their process.
///
/// ```no_run
/// # async fn example(invoker: lmbatch::LMInvoker) -> lmbatch::Result<()> {
/// use std::sync::Arc;
/// use lmbatch::durable::{FolderSpool, StateFolder};
///
/// let state = StateFolder::write("state")?;
/// let spool = Arc::new(FolderSpool::new(state.spool()));
/// let invoker = invoker.record(Arc::new(state.ledger().await?), spool);
/// // However often this is run, and wherever it is cut off, it is paid for once.
/// let outcomes = invoker.batch().invoke([("a", "Hello!")]).named("nightly-2026-11-23").max_attempts(3).await?;
/// # Ok(())
/// # }
/// ```
#[cfg(feature = "durable")]
pub mod durable {
    pub use lmbatch_engine::FolderSpool;
    pub use lmbatch_ledger::{FoundFolder, SqliteLedger, StateFolder};
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

/// OpenAI, and services that imitate it.
#[cfg(feature = "openai")]
pub mod openai {
    pub use lmbatch_openai::{
        DEFAULT_BASE_URL, Endpoint, OpenAi, OpenAiBuilder, OpenAiCodec, OpenAiConfig, factory,
    };
}

/// The guide's examples compile.
#[cfg(all(doctest, feature = "openai", feature = "durable"))]
#[doc = include_str!("../../../docs/guide/library.md")]
mod guide {}
