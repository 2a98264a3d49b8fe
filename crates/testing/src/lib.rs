//! Test doubles for lmbatch: a clock, chance that repeats, and a provider in memory.
//!
//! [`TestClock`] never waits: a sleep moves it on, so that a test reads a day's schedule off a list.
//! [`MemoryProvider`] answers by echo and keeps a bill; its [`Script`] makes it fail as you wish.
//! [`ledger::clauses`] holds any ledger to what every ledger must do.
//!
//! [`MemoryFleet`] is an account with many batches that take their time, whose list stands in for status calls.
//!
//! For several drivers of one run there are [`MemoryAccount`], which each of them reaches over a connection of its
//! own, and [`Gate`], which stops a driver before or after a chosen call.

mod account;
mod clock;
mod conversations;
mod fleet;
mod gate;
pub mod ledger;
mod provider;
mod schema_table;
mod show;
mod spool;

pub use account::{Accepted, AccountRules, Connection, MemoryAccount};
pub use clock::{TestClock, TestRng};
pub use conversations::conversations;
pub use fleet::{FleetRules, Listing, MemoryFleet};
pub use gate::{Gate, Gated, Point};
pub use provider::{Call, MemoryProvider, Script};
pub use schema_table::schema_table;
pub use show::{outcome_value, show_requests, show_rows};
pub use spool::MemorySpool;
