//! Test doubles for lmbatch: clocks, random numbers, and providers in memory.
//!
//! # Which double to use
//!
//! | test | double |
//! |---|---|
//! | code that sleeps, polls or expires | [`TestClock`]: a sleep moves it forward at once, so that a day of polling takes no time |
//! | code that uses random numbers | [`TestRng`]: a seed determines the sequence |
//! | one run at one provider, with scripted errors, lost responses or late results | [`MemoryProvider`] with a [`Script`] |
//! | many batches in progress, with pages of a list instead of status calls | [`MemoryFleet`] |
//! | several drivers at one account, with creates whose responses are lost | [`MemoryAccount`], with one [`Connection`] for each driver |
//! | a driver that stops or dies before or after a chosen call | [`Gate`] and [`Gated`] |
//! | a plan of requests with one prompt each | [`TestRequests`] |
//! | temporary files without a disk | [`MemorySpool`] |
//! | a ledger of your own | [`ledger::clauses`], the promises that every ledger keeps |
//! | a spool of your own | [`spool::clauses`], the promises that every spool keeps |
//! | the requests and outcomes of an adapter | [`conversations`] with [`show_requests`] and [`show_rows`], for snapshots |
//! | a benchmark of an adapter's codec | [`CodecWork`] |
//! | the HTTP behaviour of an adapter | the crate `lmbatch-contract`, which plays the provider |
//! | a whole program over HTTP, with the providers' own formats, faults and a bill | the crate `lmbatch-emulator` |
//!
//! [`MemoryProvider`], [`MemoryAccount`] and [`MemoryFleet`] answer every prompt with its echo and record each [`Call`].
//! The answer to a prompt `usage 7 5 9` used 7 input and 5 output tokens, of at most 9; any other answer used one each.
//! [`schema_table`] writes the table of supported schemas for the documentation of an adapter.

mod account;
mod clock;
mod codec_work;
mod conversations;
mod fleet;
mod gate;
pub mod ledger;
mod provider;
mod requests;
mod schema_table;
mod show;
pub mod spool;

pub use account::{Accepted, AccountRules, Connection, MemoryAccount};
pub use clock::{TestClock, TestRng};
pub use codec_work::CodecWork;
pub use conversations::conversations;
pub use fleet::{FleetRules, Listing, MemoryFleet};
pub use gate::{Gate, Gated, Point};
pub use provider::{Call, MemoryProvider, Script};
pub use requests::{TestRequest, TestRequests};
pub use schema_table::schema_table;
pub use show::{outcome_value, show_requests, show_rows};
pub use spool::MemorySpool;
