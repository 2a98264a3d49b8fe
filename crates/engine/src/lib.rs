//! The one state machine behind every lmbatch run: plan, stage, create, poll, fetch, output.
//!
//! [`Engine`] takes the requests of a [`RequestSource`] through any provider and reads back exactly
//! one outcome per request. [`LMInvoker`] offers the six operations for requests in memory. This
//! crate knows no provider.

#[cfg(not(unix))]
compile_error!(
    "lmbatch runs on Linux and macOS; for Windows, locks that end with their process, durable renames in folders and stops by signal are missing"
);

mod blocking;
mod client;
mod clock;
mod context;
mod cost;
mod counted;
mod driver;
mod engine;
mod event;
mod last_failure;
mod memory;
mod pages;
mod plan;
mod policy;
mod results;
mod run;
mod schema;
mod services;
mod share;
mod spool;

pub use client::calls::{Create, Invoke};
pub use client::invoker::LMInvoker;
pub use client::operations::{BatchOperations, List};
pub use client::outcomes::{OutcomeStream, Outcomes};
pub use client::prepared::Prepared;
pub use client::progress::{Progress, ProgressStream, RunSnapshot};
pub use client::requests::{IntoRequests, Requests, form};
pub use client::run::{Run, RunOutput};
pub use client::wait::Wait;
pub use clock::{SystemClock, SystemRng};
pub use cost::{CostLimit, Costs, NO_OUTPUT_MAXIMUM};
pub use engine::Engine;
pub use event::{Event, Observer};
pub use memory::MemoryLedger;
pub use plan::error::{BadInput, BadRequest, MAX_SHOWN_REQUESTS, PlanError};
pub use plan::handle_parts::HandleParts;
pub use plan::handles::CreatedHandle;
pub use plan::ids::{check_run_name, former_run_id, run_id};
pub use plan::planned_request::PlannedRequest;
pub use plan::{Checked, Plan, check, check_each, check_within};
pub use policy::{
    BatchLimit, DEFAULT_STATUS_CHECK_INTERVAL, Decision, DoubtPolicy, MAX_STATUS_CHECK_INTERVAL,
    OnDoubt, PollingPolicy, RetryPolicy, RunOptions, StepLimits,
};
pub use results::finished::{CountMismatch, DuplicateBatch, RunResults};
pub use results::reader::OutcomeReader;
pub use run::adopt::{Inventory, LabelledBatch, RecognisedBatches};
pub use run::clean::RemainingData;
pub use run::compare::Changes;
pub use schema::check_schema;
pub use services::audit::{Answers, BatchTotals, RunAudit, undelivered};
pub use services::orphans::{OrphanSearch, Orphans, UnusedUpload};
pub use services::progress::{AnswerCount, RunState, ShardPhase, has_failed, is_refused};
pub use services::purge::{
    SpooledFile, delete_run, delete_unowned, ended_before, files_of_run, spooled_files,
    unowned_files,
};
pub use services::retention::{DeletedAnswers, delete_answers};
pub use services::same_run::{
    EndRefused, INPUT_FILE, OnKnownRun, REQUEST_SETTINGS, RunConflict, RunQuery, SameRun,
};
pub use services::selection::{OutcomeKind, RequestFilter, SelectedRequests};
pub use spool::folder::FolderSpool;
pub use spool::temporary::TemporarySpool;

pub use lmbatch_core::{
    AnswerCost, AnswerView, AnsweredRequest, IdView, RequestEntry, RequestSource, SourcedRequest,
    Structured,
};
