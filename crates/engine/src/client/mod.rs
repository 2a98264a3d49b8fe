//! The client: requests in memory, the six operations, and named runs.

pub(crate) mod call;
pub(crate) mod calls;
pub(crate) mod check;
pub(crate) mod convert;
pub(crate) mod feed;
pub(crate) mod invoker;
pub(crate) mod operations;
pub(crate) mod outcomes;
pub(crate) mod prepared;
pub(crate) mod progress;
pub(crate) mod requests;
pub(crate) mod run;
pub(crate) mod stored;
pub(crate) mod typed;
pub(crate) mod wait;
pub(crate) mod wait_all;

#[cfg(test)]
mod tests;
