//! Durable record of runs in SQLite: one file in one folder.
//!
//! Requests are not rows: the data of requests is in the spool of their run. Each transition is
//! compare-and-set, and durable before it returns. Any number of processes may use a folder at the same time;
//! each run is advanced by the process that holds its claim.

mod folder;
mod live;
mod lock;
mod migrate;
mod owner;
mod query;
mod read_only;
mod reserve;
mod rows;
mod schema;
mod seal;
mod sqlite;
mod structure;

pub use folder::{FoundFolder, StateFolder, own_folders, runs_with_creates};
pub use live::{LiveCounts, LiveFolder};
pub use lock::RunHolder;
pub use sqlite::SqliteLedger;
