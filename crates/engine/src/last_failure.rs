//! The last failure of a run, named by the error of a run that ends early.

use std::sync::{Arc, Mutex, PoisonError};

use lmbatch_core::Error;

use crate::event::Event;

/// The last failure of a run that was not followed by a success.
#[derive(Debug, Clone, Default)]
pub(crate) struct LastFailure(Arc<Mutex<Option<Error>>>);

impl LastFailure {
    pub(crate) fn note(&self, event: &Event<'_>) {
        let last = match event {
            Event::Retrying { error, .. } => Some((*error).clone()),
            Event::Created { .. } | Event::Polled { .. } | Event::Fetching { .. } => None,
            _ => return,
        };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = last;
    }

    pub(crate) fn last(&self) -> Option<Error> {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.clone()
    }
}
