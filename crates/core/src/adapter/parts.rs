//! Parts of the results of a batch, and streams of their rows.

use bytes::Bytes;
use futures::stream::BoxStream;
use serde::{Deserialize, Serialize};

use crate::{BatchId, Error, Result};

/// Content of a part of the results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PartRole {
    /// The part holds answers only.
    Output,
    /// The part holds errors only.
    Errors,
    /// The part holds answers and errors.
    Mixed,
}

/// One source of results of a batch, such as a file at the provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultPart {
    /// Batch that the results belong to.
    pub batch: BatchId,
    /// Name of the part at the provider, such as a file id.
    pub name: Box<str>,
    /// Content of the part.
    pub role: PartRole,
    /// Format of the rows, as a word that only the adapter interprets.
    pub shape: Box<str>,
    /// Size of the part in bytes; `None` where it is not known.
    pub bytes: Option<u64>,
}

impl ResultPart {
    /// Creates a part that holds answers and errors.
    pub fn mixed(batch: &BatchId, name: &str, shape: &str) -> Self {
        Self::of(PartRole::Mixed, batch, name, shape)
    }

    /// Creates a part that holds answers only.
    pub fn output(batch: &BatchId, name: &str, shape: &str) -> Self {
        Self::of(PartRole::Output, batch, name, shape)
    }

    /// Creates a part that holds errors only.
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

/// Results of a batch, as references to their parts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResultSet {
    /// Parts of the results.
    pub parts: Vec<ResultPart>,
    /// `true` where these are all parts, and no further ones will appear.
    pub complete: bool,
}

/// Piece of a part that is being read.
#[derive(Debug)]
pub enum Chunk {
    /// Bytes of rows, each terminated by LF. Pieces may end within a row.
    Bytes(Bytes),
    /// The part that follows, where the results come in pages.
    Next(ResultPart),
}

/// Stream of the pieces of a part.
pub type RowStream = BoxStream<'static, Result<Chunk, Error>>;
