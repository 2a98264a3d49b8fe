//! Results: rows are cut, joined to their requests, laid over one another by attempt, and read back.

pub(crate) mod collect;
pub(crate) mod delivered;
pub(crate) mod finished;
pub(crate) mod joiner;
pub(crate) mod locations;
pub(crate) mod merge;
pub(crate) mod reader;
pub(crate) mod reading;
pub(crate) mod row_cutter;
pub(crate) mod rows;
pub(crate) mod scan;
pub(crate) mod structured;
pub(crate) mod tally;
