//! The providers' batch APIs on localhost, for tests without a network, a key or a bill.
//!
//! One port serves the dialects of OpenAI, Anthropic and Gemini, each in a module of its own. Answers are deterministic:
//! an echo of the user's text, an instance of the requested JSON Schema, or a call to a required tool. Words of
//! [`magic`] in the user's text control the outcome of a request, and [`Fault`]s make calls fail. [`Bill`] counts the
//! charges of a provider.
//!
//! ```no_run
//! # async fn example() -> std::io::Result<()> {
//! let emulator = lmbatch_emulator::Emulator::builder().start().await?;
//! println!("{}", emulator.openai_base_url());
//! # Ok(())
//! # }
//! ```

mod answers;
mod anthropic;
mod batch;
mod damage;
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
mod state;
mod time;

pub use answers::Prompt;
pub use damage::Damage;
pub use faults::{Fault, FaultKind, Operation};
pub use hook::Moment;
pub use late::Late;
pub use limits::Limits;
pub use server::{Emulator, EmulatorBuilder};
pub use state::{Bill, BilledBatch, RecordedCall};
pub use time::Pace;

/// The examples of the guide compile.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/guide/emulator.md")]
mod guide {}
