//! Ids of requests, runs and batches.

use lmbatch_core::{Label, Nonce, RequestId};

/// Choice of the ids on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IdChoice {
    /// Ids of lmbatch, from which the order is restored without a map.
    Ordinal,
    /// Ids of the caller, where the provider accepts all of them.
    Callers,
}

/// Returns the caller's id from its JSON: the characters of a string, or a number as it was
/// written.
pub(crate) fn request_id(json: &[u8]) -> RequestId {
    match serde_json::from_slice::<String>(json) {
        Ok(text) => RequestId::new(text),
        Err(_) => RequestId::new(String::from_utf8_lossy(json).into_owned()),
    }
}

/// Returns the id of the run of a nonce, with which the names of its spool files begin. It holds
/// the whole nonce, so that among ten million runs the probability of two equal ids is 1 in 68,000.
pub fn run_id(nonce: &str) -> Box<str> {
    format!("r-{nonce}").into()
}

/// Returns the id that earlier versions gave to the run of a nonce. Records under such an id stay
/// valid.
pub fn former_run_id(nonce: &str) -> Box<str> {
    format!("r-{}", nonce.get(..6).unwrap_or(nonce)).into()
}

/// Returns the label of a batch: the nonce of its run, and the number of its shard.
pub(crate) fn label(nonce: &Nonce, number: u32) -> Label {
    Label::new(format!("lmbatch-{}-{number}", nonce.as_str()))
}
