//! The clauses: what every adapter must do, each by a name that is a sentence.

pub mod calls;
pub mod create;
pub mod doubt;
pub mod outcomes;
pub mod redirects;
pub mod refusals;
pub mod results;
pub mod secrets;
pub mod status;
