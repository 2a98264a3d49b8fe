//! What the runs of one account share within a process: places for steps, pauses that the provider asks for, and
//! the sweep that polls their batches. Each driver has a seat. Nothing here waits; a driver whose turn it is gets
//! woken.

mod letter;
mod polls;
mod seat;
#[cfg(test)]
mod tests;
mod walk;

pub(crate) use letter::News;
pub(crate) use polls::{Live, Verdict};
pub(crate) use seat::{AccountShare, PageRead, Place, Seat};
