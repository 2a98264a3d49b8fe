//! Types and traits that authors of ledgers and stores meet: records of runs and shards, and the traits that
//! keep them.

pub(crate) mod account;
pub(crate) mod format_version;
pub(crate) mod ledger;
pub(crate) mod run_record;
pub(crate) mod search;
pub(crate) mod shard_cost;
pub(crate) mod shard_record;

pub use account::{Account, AccountMatch, same_account};
pub use format_version::FormatVersion;
pub use ledger::{Change, Ledger, RunClaim, Spool, SpoolFile, SpoolWriter};
pub use run_record::{Cleaned, Order, RunFilter, RunRecord};
pub use search::{Progress, Search, SearchPhase};
pub use shard_cost::ShardCost;
pub use shard_record::{
    Closed, LateAcknowledgement, Locations, Segment, ShardKey, ShardRecord, ShardState,
    ShardTables, StoredTable,
};
