//! Ids of requests, runs and batches.

use lmbatch_core::{Label, Nonce, RequestId};

/// Whose ids travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IdChoice {
    /// Ours, which restore order without a map.
    Ours,
    /// The caller's, where the provider takes them all.
    Callers,
}

/// The caller's key out of an id's JSON: a string's characters, or a number as it was written.
pub(crate) fn request_id(json: &[u8]) -> RequestId {
    match serde_json::from_slice::<String>(json) {
        Ok(text) => RequestId::new(text),
        Err(_) => RequestId::new(String::from_utf8_lossy(json).into_owned()),
    }
}

/// Returns the id of a new run of a nonce, which the names of its spool files begin with: the whole nonce, so
/// that among ten million runs an equal id is as likely as one in 68,000.
pub fn run_id(nonce: &str) -> Box<str> {
    format!("r-{nonce}").into()
}

/// Returns the id that earlier versions gave the run of a nonce. Records under it stay valid.
pub fn former_run_id(nonce: &str) -> Box<str> {
    format!("r-{}", nonce.get(..6).unwrap_or(nonce)).into()
}

/// Our mark on a batch: the nonce that its requests carry, and its number in the run.
pub(crate) fn label(nonce: &Nonce, number: u32) -> Label {
    Label::new(format!("lmbatch-{}-{number}", nonce.as_str()))
}
