//! Handles of batches that a call created before it failed.

use std::fmt;

use crate::{BatchHandle, Result};

/// Source of the handles of the batches that a call has created.
///
/// A handle names every request of its batch, and a run may have thousands of batches: they are read from the
/// files of the run when they are asked for, and not copied into each error.
pub trait HandleSource: fmt::Debug + Send + Sync + 'static {
    /// Reads the handles of all batches, in the order of their creation. Reads files: not for an async thread
    /// where the run is large.
    ///
    /// # Errors
    /// [`ErrorKind::Local`](crate::ErrorKind::Local) where the files of the run cannot be read.
    fn handles(&self) -> Result<Vec<BatchHandle>>;
}
