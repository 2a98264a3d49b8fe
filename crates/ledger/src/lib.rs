//! The durable record of runs, on SQLite: one file in one folder.
//!
//! Requests are not rows: the data of each request lies in the spool of its run. A transition is
//! compare-and-set and durable before it returns. Any number of processes may use a folder at once; each run
//! is advanced by the one that holds its claim.

mod folder;
mod lock;
mod migrate;
mod owner;
mod query;
mod reserve;
mod rows;
mod schema;
mod seal;
mod sqlite;

pub use folder::{FoundFolder, StateFolder, marked_runs};
pub use sqlite::SqliteLedger;
