//! Parts of a handle, before the batch exists.

use lmbatch_core::{BatchClass, BatchHandle, BatchId, IdRule, KeyHint, ProviderId, RequestId};
use serde::{Deserialize, Serialize};

use crate::plan::ids::IdChoice;

/// Handle without the id of its batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HandleParts {
    pub(crate) provider: ProviderId,
    pub(crate) account: lmbatch_core::AccountId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key_hint: Option<KeyHint>,
    pub(crate) class: BatchClass,
    pub(crate) ids: IdRule,
    pub(crate) requests: Vec<RequestId>,
}

impl HandleParts {
    /// Returns whether requests have the caller's ids on the wire or those of lmbatch.
    pub(crate) fn id_choice(&self) -> IdChoice {
        match self.ids {
            IdRule::Verbatim => IdChoice::Callers,
            IdRule::Ordinal(_) | IdRule::Part { .. } => IdChoice::Ordinal,
        }
    }

    /// Account and key under which the batch is or will be created.
    pub(crate) fn account(&self) -> (&lmbatch_core::AccountId, Option<&KeyHint>) {
        (&self.account, self.key_hint.as_ref())
    }

    /// Returns the handle of `batch`.
    pub fn with_batch(self, batch: BatchId) -> BatchHandle {
        let mut handle = BatchHandle::new(
            self.provider,
            self.account,
            batch,
            self.class,
            self.requests,
        );
        (handle.key_hint, handle.ids) = (self.key_hint, self.ids);
        handle
    }
}
