//! The one state machine behind every lmbatch run: plan, stage, create, poll, fetch, output.
//!
//! [`Engine`] takes a [`RequestSource`] through any provider and reads back exactly one outcome per
//! request. [`LMInvoker`] puts the six operations on top of it for requests in memory. No provider is
//! known here.

mod adopt;
mod answer;
mod attach;
mod audit;
mod calls;
mod clean;
mod clock;
mod create;
mod draft;
mod engine;
mod event;
mod fetch;
mod finished;
mod index;
mod invoker;
mod joiner;
mod memory;
mod named;
mod operations;
mod outcomes;
mod owned;
mod pages;
mod places;
mod plan;
mod policy;
mod poll;
mod prepared;
mod reader;
mod refill;
mod requeue;
mod run;
mod seen;
mod source;
mod spool;
mod structured;
mod update;

pub use adopt::Labelled;
pub use answer::{AnswerView, Answered, Structured};
pub use audit::{Answers, BatchAccount, undelivered};
pub use calls::{Create, Invoke};
pub use clean::Left;
pub use clock::{SystemClock, SystemRng};
pub use engine::{Engine, RunOptions};
pub use event::{Event, Observer};
pub use finished::Finished;
pub use invoker::LMInvoker;
pub use memory::MemoryLedger;
pub use named::{Run, RunOutput};
pub use operations::BatchOperations;
pub use outcomes::{OutcomeStream, Outcomes};
pub use plan::{BadInput, BadRequest, Checked, HandleParts, Plan, PlanError, SHOWN, check};
pub use policy::{
    BatchLimit, DEFAULT_STATUS_CHECK_INTERVAL, Decision, DoubtPolicy, MAX_STATUS_CHECK_INTERVAL,
    OnDoubt, PollingPolicy, RetryPolicy,
};
pub use prepared::Prepared;
pub use reader::OutcomeReader;
pub use source::{Entry, IdView, RequestSource, Sourced};
pub use spool::{FolderSpool, TemporarySpool};
pub use update::Changes;
