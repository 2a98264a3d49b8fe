//! Why there is no plan: bad requests, all counted, the first few named.

use std::fmt;

use lmbatch_core::Error;

/// How many bad requests an error shows.
pub const SHOWN: usize = 20;

/// Why there is no plan. Nothing was sent.
#[derive(Debug)]
pub enum PlanError {
    /// Some requests are bad.
    Input(BadInput),
    /// The input could not be read, or does not fit.
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

/// The bad requests of an input: all counted, the first few named.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BadInput {
    /// How many there are.
    pub count: u64,
    /// The first [`SHOWN`].
    pub first: Vec<BadRequest>,
}

impl BadInput {
    /// Counts one more, and keeps the first by place: they come in that order but for duplicates.
    pub(crate) fn note(&mut self, bad: BadRequest) {
        self.count += 1;
        self.first.push(bad);
        if self.first.len() > 2 * SHOWN {
            self.trim();
        }
    }

    pub(crate) fn trim(&mut self) {
        self.first.sort_by_key(|bad| bad.place);
        self.first.truncate(SHOWN);
    }
}

/// One bad request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadRequest {
    /// Where it stands, from 1.
    pub place: u64,
    /// Its id, if it could be read.
    pub id: Option<String>,
    /// What is wrong with it.
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
                Some(id) => write!(f, "; {id:?} (number {}): {}", bad.place, bad.reason)?,
                None => write!(f, "; number {}: {}", bad.place, bad.reason)?,
            }
        }
        Ok(())
    }
}
