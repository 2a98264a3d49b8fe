//! The words of lmbatch: types, traits and errors that every other crate speaks.
//!
//! No runtime, no HTTP, no provider's name. Users meet [`LMInput`], [`LMOutput`] and [`Outcome`];
//! authors of adapters meet [`BatchCodec`] and [`BatchProvider`], and the borrowed views that those
//! read and write.
//!
//! Every name is exported here, and once more by who meets it: [`user`], [`adapter`], [`record`], [`format`](mod@format).

pub mod adapter;
mod clock;
pub mod format;
pub mod record;
pub mod user;

pub use adapter::*;
pub use clock::{Clock, Rng};
pub use format::*;
pub use record::*;
pub use user::*;
