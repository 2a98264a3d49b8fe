//! The contract of lmbatch adapters, as tests.
//!
//! The author of an adapter implements one trait, [`Wire`], which writes the provider's responses. The kit then plays
//! that provider on localhost, with every fault that providers have been seen to have, and checks the adapter against
//! each [clause](clauses) with a test of its own:
//!
//! ```ignore
//! // tests/contract.rs: the whole file, except for the methods of the trait
//! struct AcmeWire;
//! impl lmbatch_contract::Wire for AcmeWire { /* … */ }
//! lmbatch_contract::contract_tests!(AcmeWire, edition = "2026-11");
//! ```
//!
//! An adapter keeps the clauses of the [edition](contract_tests) that its tests name; a later edition adds clauses and
//! changes no earlier one. [`Wire::full_row`] and [`Wire::takes`] are optional: the more of them the author writes, the
//! more mistakes the kit catches.
//!
//! [`serve`] plays the provider from the same trait outside of tests, so that a command-line tool can be tried without
//! a key.
//!
//! The guide "Write an adapter in an afternoon" (`docs/guide/adapter.md`) develops a complete adapter, and each clause
//! documents its promise. No clause is ever skipped: where a provider lacks a capability, the clause checks that the
//! adapter reports [`Unsupported`](lmbatch_core::ErrorKind::Unsupported) and sends nothing. Where the provider lacks a
//! status, counts or a sign of its results, the wire declares so, and the clause checks that the adapter invents
//! nothing.
//!
//! The names of the clauses are stable since [edition 2](NAMES_EDITION); [`renamed`] returns the earlier ones.
//!
//! The kit creates its own runtime; an adapter needs only `lmbatch-contract` and `serde_json` among its
//! dev-dependencies. The kit re-exports [`wiremock`], whose requests a wire reads.

mod canary;
mod capped;
mod chat;
pub mod clauses;
mod clock;
mod desk;
mod failure;
mod full_row;
mod kit;
mod mangle;
mod panics;
mod relay;
mod renamed;
mod serve;
mod table;
mod wire;

use table::{both, first};

pub use chat::{chat_completion, chat_row};
pub use full_row::{End, FullAnswer, FullRow, Piece, Tokens};
pub use kit::Kit;
pub use mangle::odd_values;
pub use renamed::{NAMES_EDITION, renamed};
pub use serve::{Served, serve};
pub use table::{CLAUSES, Clause, clause, runtime};
pub use wire::{
    Call, CallKind, Described, DescribedFile, ListPage, Part, Row, Sent, Shape, Why, Wire,
};
pub use wiremock;
