//! Reasons why an input cannot be planned: all invalid requests are counted, the first few named.

use std::fmt;

use lmbatch_core::Error;

/// Maximum number of invalid requests that an error shows.
pub const MAX_SHOWN_REQUESTS: usize = 20;

/// Reason why an input cannot be planned. Nothing was sent.
#[derive(Debug)]
pub enum PlanError {
    /// Some requests are invalid.
    Input(BadInput),
    /// The input cannot be read, or has too many requests.
    Failed(Error),
}

impl From<Error> for PlanError {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<PlanError> for Error {
    fn from(error: PlanError) -> Self {
        match error {
            PlanError::Failed(error) => error,
            PlanError::Input(bad) => Self::invalid_input(bad.to_string()),
        }
    }
}

/// Invalid requests of an input: all counted, the first few named.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct BadInput {
    /// Number of all invalid requests.
    pub count: u64,
    /// The first [`MAX_SHOWN_REQUESTS`] invalid requests, by position.
    pub first: Vec<BadRequest>,
}

impl BadInput {
    /// Counts an invalid request and keeps the first ones by position; all but duplicates arrive in
    /// that order.
    pub(crate) fn note(&mut self, bad: BadRequest) {
        self.count += 1;
        self.first.push(bad);
        if self.first.len() > 2 * MAX_SHOWN_REQUESTS {
            self.trim();
        }
    }

    pub(crate) fn trim(&mut self) {
        self.first.sort_by_key(|bad| bad.position);
        self.first.truncate(MAX_SHOWN_REQUESTS);
    }
}

/// One invalid request of an input.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BadRequest {
    /// Position in the source, from 1.
    pub position: u64,
    /// Caller's id, if it could be read.
    pub id: Option<String>,
    /// Reason why the request is invalid.
    pub reason: String,
}

impl fmt::Display for BadInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.count == 1 {
            "request is"
        } else {
            "requests are"
        };
        write!(f, "{} {plural} not valid", self.count)?;
        for bad in &self.first {
            match &bad.id {
                Some(id) => write!(f, "; {id:?} (number {}): {}", bad.position, bad.reason)?,
                None => write!(f, "; number {}: {}", bad.position, bad.reason)?,
            }
        }
        Ok(())
    }
}
