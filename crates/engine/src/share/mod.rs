//! State that the runs of one account share within a process: permits for steps, pauses that the
//! provider asks for, and the sweep that polls their batches. Each driver has a handle. Nothing in
//! this module waits; a driver is woken when it is its turn.

mod handle;
mod message;
mod polls;
mod sweep;
#[cfg(test)]
mod tests;

pub(crate) use handle::{AccountShare, DriverHandle, PageRead, Permit};
pub(crate) use message::News;
pub(crate) use polls::{Live, Verdict};
