//! Cost limit of a run: reservations before creates, settlement by usage, and a bill that never exceeds the limit.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod repairs;
mod rules;
mod simulated;
pub(crate) mod vendor;
mod world;
