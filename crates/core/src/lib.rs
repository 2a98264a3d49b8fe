//! Types, traits and errors that every other crate of lmbatch uses.
//!
//! The crate has no runtime, no HTTP client and no provider's name. Library users meet [`LMInput`],
//! [`LMOutput`] and [`Outcome`]; authors of adapters meet [`BatchCodec`] and [`BatchProvider`], and the
//! borrowed views that those traits read and write.
//!
//! Every name is exported from the root, and again from the module of its readers: [`user`], [`adapter`],
//! [`record`], [`format`](mod@format).

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
