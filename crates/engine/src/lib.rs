//! The one state machine behind every lmbatch run: plan, stage, create, poll, fetch, output.
//!
//! [`Engine`] takes a [`RequestSource`] through any provider and reads back exactly one outcome per
//! request. [`LMInvoker`] puts the six operations on top of it for requests in memory. No provider is
//! known here.

#[cfg(not(unix))]
compile_error!(
    "lmbatch runs on Linux and macOS; for Windows, locks that end with their process, durable renames in folders and stops by signal are missing"
);

mod blocking;
mod client;
mod clock;
mod context;
mod driver;
mod engine;
mod event;
mod memory;
mod pages;
mod plan;
mod policy;
mod results;
mod run;
mod schema;
mod services;
mod share;
mod source;
mod spool;
mod trouble;

pub use client::calls::{Create, Invoke};
pub use client::invoker::LMInvoker;
pub use client::operations::BatchOperations;
pub use client::outcomes::{OutcomeStream, Outcomes};
pub use client::prepared::Prepared;
pub use client::run::{Run, RunOutput};
pub use clock::{SystemClock, SystemRng};
pub use engine::Engine;
pub use event::{Event, Observer};
pub use memory::MemoryLedger;
pub use plan::error::{BadInput, BadRequest, PlanError, SHOWN};
pub use plan::handle_parts::HandleParts;
pub use plan::handles::CreatedHandle;
pub use plan::ids::{former_run_id, run_id};
pub use plan::{Checked, Plan, check, check_within};
pub use policy::{
    BatchLimit, DEFAULT_STATUS_CHECK_INTERVAL, Decision, DoubtPolicy, MAX_STATUS_CHECK_INTERVAL,
    OnDoubt, PollingPolicy, RetryPolicy, RunOptions, StepLimits,
};
pub use results::answer::{AnswerView, Answered, Structured};
pub use results::finished::{CountMismatch, Finished, Twin};
pub use results::reader::OutcomeReader;
pub use run::adopt::{Inventory, Labelled, Recognised};
pub use run::clean::Left;
pub use run::update::Changes;
pub use schema::check_schema;
pub use services::audit::{Answers, BatchAccount, undelivered};
pub use source::{Entry, IdView, RequestSource, Sourced};
pub use spool::folder::FolderSpool;
pub use spool::temporary::TemporarySpool;
