//! The clauses: promises that every adapter keeps, each named by a sentence.

pub mod answers;
pub mod calls;
pub mod content;
pub mod contradictions;
pub mod create;
pub mod doubt;
pub mod lists;
pub mod options;
pub mod outcomes;
pub mod records;
pub mod redirects;
pub mod refusals;
pub mod results;
pub mod rows;
pub mod secrets;
pub mod status;
pub mod tokens;
