//! The durable record of runs, on SQLite: one file in one folder, one writer at a time.
//!
//! Requests are not rows: what a run knows of each lies in its spool. A transition is compare-and-set and
//! durable before it returns.

mod folder;
mod sqlite;

pub use folder::StateFolder;
pub use sqlite::SqliteLedger;
