//! The files of a run: when they are read, what earlier versions left, and how requests are cut
//! into shards.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod former;
mod order;
mod shards;
mod start;
mod world;
