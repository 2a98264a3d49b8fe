//! Results: rows are cut, assigned to their requests, merged over the attempts, and read back.

pub(crate) mod bits;
pub(crate) mod collect;
pub(crate) mod delivered;
pub(crate) mod finished;
pub(crate) mod id_map;
pub(crate) mod locations;
pub(crate) mod merge;
pub(crate) mod pieces;
pub(crate) mod reader;
pub(crate) mod reading;
pub(crate) mod row_cutter;
pub(crate) mod rows;
pub(crate) mod scan;
pub(crate) mod settle;
pub(crate) mod structured;
pub(crate) mod tally;
