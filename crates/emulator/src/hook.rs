//! A test's function that runs in the middle of calls.

use std::fmt;
use std::sync::Arc;

use crate::faults::Operation;

/// Moment of a call at which a hook runs, while the client waits for the response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Moment {
    /// The call has arrived and is not performed yet.
    Received,
    /// The provider has performed the call and not responded yet. Not reached by a call that a fault refuses.
    Performed,
}

type Function = dyn Fn(Operation, Moment) + Send + Sync;

/// The function of the test, if there is one.
#[derive(Clone, Default)]
pub(crate) struct Hook(Option<Arc<Function>>);

impl Hook {
    pub(crate) fn new(function: impl Fn(Operation, Moment) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(function)))
    }

    pub(crate) fn notify(&self, operation: Operation, moment: Moment) {
        if let Some(function) = &self.0 {
            function(operation, moment);
        }
    }
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hook")
    }
}
