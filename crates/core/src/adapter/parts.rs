//! The results of a batch: parts, and the bytes of their rows.

use bytes::Bytes;
use futures::stream::BoxStream;
use serde::{Deserialize, Serialize};

use crate::{BatchId, Error, Result};

/// What a part of the results holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PartRole {
    /// Answers.
    Output,
    /// Errors.
    Errors,
    /// Both.
    Mixed,
}

/// One source of results of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultPart {
    /// The batch.
    pub batch: BatchId,
    /// Its name at the provider, such as a file id.
    pub name: Box<str>,
    /// What it holds.
    pub role: PartRole,
    /// What its rows look like; the adapter's word.
    pub shape: Box<str>,
    /// Its bytes, where known.
    pub bytes: Option<u64>,
}

impl ResultPart {
    /// A part of answers and errors.
    pub fn mixed(batch: &BatchId, name: &str, shape: &str) -> Self {
        Self::of(PartRole::Mixed, batch, name, shape)
    }

    /// Returns a part that holds answers only.
    pub fn output(batch: &BatchId, name: &str, shape: &str) -> Self {
        Self::of(PartRole::Output, batch, name, shape)
    }

    /// Returns a part that holds errors only.
    pub fn errors(batch: &BatchId, name: &str, shape: &str) -> Self {
        Self::of(PartRole::Errors, batch, name, shape)
    }

    fn of(role: PartRole, batch: &BatchId, name: &str, shape: &str) -> Self {
        Self {
            batch: batch.clone(),
            name: name.into(),
            role,
            shape: shape.into(),
            bytes: None,
        }
    }
}

/// The results of a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResultSet {
    /// Where they are.
    pub parts: Vec<ResultPart>,
    /// Whether those are all.
    pub complete: bool,
}

/// What reading a part yields.
#[derive(Debug)]
pub enum Chunk {
    /// Rows, each ended by LF, cut anywhere.
    Bytes(Bytes),
    /// The part that follows, where results come in pages.
    Next(ResultPart),
}

/// A part as it is read.
pub type RowStream = BoxStream<'static, Result<Chunk, Error>>;
