//! Types for readers and writers of formats: requests as a source reads them, and outcomes as they are read back.

pub(crate) mod answer;
pub(crate) mod source;

pub use answer::{AnswerView, Answered, Structured};
pub use source::{Entry, IdView, RequestSource, Sourced};
