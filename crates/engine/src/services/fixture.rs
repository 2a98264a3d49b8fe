//! Recorded runs for tests of the services.

use std::collections::BTreeMap;

use lmbatch_core::{IdRule, Nonce, RunRecord};

/// Returns a run `r-1` with equal requests under the test account, started with the files `in` and `out`.
pub(crate) fn recorded_run(name: Option<&str>) -> RunRecord {
    let notes = [("input", "in"), ("output", "out")];
    RunRecord {
        id: "r-1".into(),
        name: name.map(Into::into),
        digest: "equal".into(),
        provider: "p".into(),
        account: "mine".into(),
        key_hint: None,
        ids: IdRule::Verbatim,
        nonce: Nonce::parse("abcdefghijkl").unwrap(),
        requests: 3,
        pilot_of: None,
        attempt: 0,
        requested_attempt: 0,
        order: None,
        created_at: None,
        finished: false,
        cancelled: false,
        cleaned: None,
        answers_deleted_at: None,
        checksums: BTreeMap::new(),
        notes: notes.map(|(name, text)| (name.into(), text.into())).into(),
        epoch: 0,
    }
}
