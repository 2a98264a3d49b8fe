//! The one state machine behind every lmbatch run: plan, stage, create, poll, fetch, output.
//!
//! [`Engine`] takes a [`RequestSource`] through any provider and reads back exactly one outcome per
//! request. [`LMInvoker`] puts the six operations on top of it for requests in memory. No provider is
//! known here.

mod account;
mod adopt;
mod answer;
mod arena;
mod attach;
mod audit;
mod bounds;
mod calls;
mod claim;
mod clean;
mod clock;
mod collect;
mod content;
mod delivered;
mod draft;
mod driver;
mod engine;
mod event;
mod feed;
mod finished;
mod handles;
mod index;
mod invoker;
mod joiner;
mod local_file;
mod lookup;
mod marks;
mod memory;
mod named;
mod operations;
mod origin;
mod outcomes;
mod owned;
mod pages;
mod places;
mod plan;
mod policy;
mod prepared;
mod reader;
mod refill;
mod requeue;
mod results;
mod row_cutter;
mod run;
mod schema;
mod seen;
mod source;
mod spool;
mod structured;
mod temporary;
mod twins;
mod update;

pub use adopt::{Inventory, Labelled, Recognised};
pub use answer::{AnswerView, Answered, Structured};
pub use audit::{Answers, BatchAccount, undelivered};
pub use calls::{Create, Invoke};
pub use clean::Left;
pub use clock::{SystemClock, SystemRng};
pub use engine::{Engine, RunOptions};
pub use event::{Event, Observer};
pub use finished::{CountMismatch, Finished, Twin};
pub use handles::CreatedHandle;
pub use invoker::LMInvoker;
pub use memory::MemoryLedger;
pub use named::{Run, RunOutput};
pub use operations::BatchOperations;
pub use outcomes::{OutcomeStream, Outcomes};
pub use plan::{
    BadInput, BadRequest, Checked, HandleParts, Plan, PlanError, SHOWN, check, check_within,
    former_run_id, run_id,
};
pub use policy::{
    BatchLimit, DEFAULT_STATUS_CHECK_INTERVAL, Decision, DoubtPolicy, MAX_STATUS_CHECK_INTERVAL,
    OnDoubt, PollingPolicy, RetryPolicy,
};
pub use prepared::Prepared;
pub use reader::OutcomeReader;
pub use run::step::StepLimits;
pub use schema::check_schema;
pub use source::{Entry, IdView, RequestSource, Sourced};
pub use spool::FolderSpool;
pub use temporary::TemporarySpool;
pub use update::Changes;
