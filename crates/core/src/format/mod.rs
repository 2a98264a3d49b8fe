//! Types for readers and writers of formats: requests that a source reads, and outcomes read back from results.

pub(crate) mod answer;
pub(crate) mod source;

pub use answer::{AnswerCost, AnswerView, AnsweredRequest, Structured};
pub use source::{IdView, RequestEntry, RequestSource, SourcedRequest};
