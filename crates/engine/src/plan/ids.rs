//! Ids of requests, runs and batches.

use lmbatch_core::{Error, Label, Nonce, RequestId, Result};

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

/// Maximum number of characters in the name of a run.
const MAX_NAME: usize = 200;

/// Checks the name of a new run: 1 to 200 characters, no control characters, and not `r-` with up to 12 lowercase letters
/// and digits, the form of an id.
///
/// # Errors
/// [`ErrorKind::InvalidInput`](lmbatch_core::ErrorKind::InvalidInput) with the name and the rule that it breaks.
pub fn check_run_name(name: &str) -> Result<()> {
    let of_id = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_id = name
        .strip_prefix("r-")
        .is_some_and(|rest| rest.len() <= 12 && rest.chars().all(of_id));
    let reason = if name.trim().is_empty() {
        "is empty"
    } else if name.chars().count() > MAX_NAME {
        "has more than 200 characters"
    } else if name.chars().any(char::is_control) {
        "has a control character, such as a line break"
    } else if is_id {
        "has the form of the id of a run"
    } else {
        return Ok(());
    };
    let shown: String = name.chars().take(40).collect();
    Err(Error::invalid_input(format!(
        "the name {shown:?} of the run {reason}; choose another name; nothing was sent"
    )))
}

/// Returns the label of a batch: the nonce of its run, and the number of its shard.
pub(crate) fn label(nonce: &Nonce, number: u32) -> Label {
    Label::new(format!("lmbatch-{}-{number}", nonce.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_runs_are_short_printable_texts_unlike_ids() {
        let longest = "ü".repeat(200);
        for name in [
            "nightly",
            "a b",
            "ü",
            "r-nightly-2026",
            "R-npph",
            "r-",
            &longest,
        ] {
            let wanted = name != "r-";
            assert_eq!(check_run_name(name).is_ok(), wanted, "{name:?}");
        }
        for (name, reason) in [
            ("", "is empty"),
            ("  ", "is empty"),
            (" x\ny", "has a control character"),
            ("a\u{9b}", "has a control character"),
            ("r-npphdfnh3qdp", "has the form of the id of a run"),
            ("r-npph", "has the form of the id of a run"),
            (&"x".repeat(201), "has more than 200 characters"),
        ] {
            let said = check_run_name(name).unwrap_err().to_string();
            assert!(said.contains(reason), "{said}");
        }
    }
}
