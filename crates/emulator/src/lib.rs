//! The providers' batch APIs, served on localhost: for tests without a network, a key or a bill.
//!
//! Each provider's dialect is one module: OpenAI's, Anthropic's and Gemini's, all on one port. Answers are the same each time: an echo
//! of the user's words, an instance of the JSON Schema that was asked for, or a call to a tool that
//! is forced. Words in the user's text make a request go wrong, see [`magic`]. [`Fault`]s make calls go
//! wrong. [`Bill`] counts what a provider would charge for.
//!
//! ```no_run
//! # async fn example() -> std::io::Result<()> {
//! let emulator = lmbatch_emulator::Emulator::builder().start().await?;
//! println!("{}", emulator.openai_base_url());
//! # Ok(())
//! # }
//! ```

mod anthropic;
mod batch;
mod exchange;
mod faults;
mod google;
mod gzip;
mod hook;
mod late;
mod limits;
pub mod magic;
mod model;
mod names;
mod openai;
mod results;
mod schema;
mod server;
mod spoil;
mod state;
mod time;

pub use faults::{Fault, FaultKind, Operation};
pub use hook::Moment;
pub use late::Late;
pub use limits::Limits;
pub use server::{Emulator, EmulatorBuilder};
pub use spoil::Spoil;
pub use state::{Bill, BilledBatch, RecordedCall};
pub use time::Pace;

/// The examples of the guide compile.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/guide/emulator.md")]
mod guide {}
