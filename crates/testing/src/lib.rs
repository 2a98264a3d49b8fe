//! Test doubles for lmbatch: a clock, chance that repeats, and a provider in memory.
//!
//! [`TestClock`] never waits: a sleep moves it on, so that a test reads a day's schedule off a list.
//! [`MemoryProvider`] answers by echo and keeps a bill; its [`Script`] makes it fail as you wish.
//! [`ledger::clauses`] holds any ledger to what every ledger must do.

mod clock;
mod conversations;
pub mod ledger;
mod provider;
mod schema_table;
mod show;
mod spool;

pub use clock::{TestClock, TestRng};
pub use conversations::conversations;
pub use provider::{Call, MemoryProvider, Script};
pub use schema_table::schema_table;
pub use show::{outcome_value, show_requests, show_rows};
pub use spool::MemorySpool;
