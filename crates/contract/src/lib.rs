//! What every lmbatch adapter must do, as tests.
//!
//! The author of an adapter implements one trait, [`Wire`]: how the provider says things. The kit then
//! plays that provider, on this machine, with every fault that providers have been seen to have, and holds
//! the adapter to each [clause](clauses) by a test of its own:
//!
//! ```ignore
//! // tests/contract.rs, the whole file but for the words of the provider
//! struct AcmeWire;
//! impl lmbatch_contract::Wire for AcmeWire { /* … */ }
//! lmbatch_contract::contract_tests!(AcmeWire, edition = "2026-11");
//! ```
//!
//! An adapter keeps the clauses of the [edition](contract_tests) that its tests name; a later edition adds
//! clauses and changes none of those before it. [`Wire::full_row`] and [`Wire::takes`] are optional: the more
//! they say, the more mistakes are caught.
//!
//! [`serve`] plays the provider from the same trait for as long as its author wants, so that a command of their own
//! can be tried without a key.
//!
//! The guide "Write an adapter in an afternoon" (`docs/guide/adapter.md`) goes through a whole one, and the
//! documentation of the clauses says what each asks for. No clause is ever skipped: where a provider lacks a
//! capability, the clause says what the adapter does instead, which is to say so
//! ([`Unsupported`](lmbatch_core::ErrorKind::Unsupported)) and to send nothing. What the provider has no word for (a
//! status, counts, a sign of its results) the wire says, and the clause then checks that nothing is made up.
//!
//! The kit owns its runtime; an adapter needs `lmbatch-contract` and `serde_json` among its dev-dependencies
//! and nothing else. `wiremock`, whose requests a wire reads, is [here](wiremock).

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
mod serve;
mod table;
mod wire;

use table::{both, first};

pub use chat::{chat_completion, chat_row};
pub use full_row::{End, FullAnswer, FullRow, Piece, Tokens};
pub use kit::Kit;
pub use mangle::odd_values;
pub use serve::{Served, serve};
pub use table::{CLAUSES, Clause, clause, runtime};
pub use wire::{
    Call, CallKind, Described, DescribedFile, ListPage, Part, Row, Sent, Shape, Why, Wire,
};
pub use wiremock;
