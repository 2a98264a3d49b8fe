//! A run: shards become batches, batches are polled until they end, results are sealed. Each step
//! is recorded before the next, so that any process can resume the run at any step.

pub(crate) mod account;
pub(crate) mod adopt;
pub(crate) mod begin;
pub(crate) mod bounds;
pub(crate) mod budget;
pub(crate) mod cancel;
pub(crate) mod claim;
pub(crate) mod clean;
mod close;
pub(crate) mod compare;
pub(crate) mod convert;
pub(crate) mod create;
#[cfg(test)]
mod exchanges;
mod fenced;
pub(crate) mod fetch;
pub(crate) mod job;
mod late;
pub(crate) mod pilot;
pub(crate) mod poll;
pub(crate) mod recover;
pub(crate) mod repair;
pub(crate) mod repair_message;
pub(crate) mod requeue;
pub(crate) mod resume;
pub(crate) mod retrieve;
mod row_report;
pub(crate) mod scope;
mod seal;
pub(crate) mod search;
pub(crate) mod single;
pub(crate) mod step;
mod transfer;
pub(crate) mod update;
pub(crate) mod work;
