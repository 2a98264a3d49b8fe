//! Handles of batches that a call created before it failed.

use std::fmt;

use crate::{BatchHandle, Result};

/// Source of the handles of the batches that a call has created.
///
/// A handle names every request of its batch, and a run may have thousands of batches. Handles are therefore
/// read from the files of the run on demand, and not copied into each error.
///
/// ```
/// # use lmbatch_core as lmbatch;
/// use lmbatch::{BatchHandle, HandleSource, Result};
///
/// /// Source of handles that are in memory.
/// #[derive(Debug)]
/// struct Known(Vec<BatchHandle>);
///
/// impl HandleSource for Known {
///     fn handles(&self) -> Result<Vec<BatchHandle>> {
///         Ok(self.0.clone())
///     }
/// }
/// ```
pub trait HandleSource: fmt::Debug + Send + Sync + 'static {
    /// Reads the handles of all batches, in the order of their creation. Reads files and blocks: do not call
    /// it on an async thread for a large run.
    ///
    /// # Errors
    /// [`ErrorKind::Local`](crate::ErrorKind::Local) where the files of the run cannot be read.
    fn handles(&self) -> Result<Vec<BatchHandle>>;
}
