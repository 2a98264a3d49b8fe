//! Times of the calls, by phase.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Upload,
    Create,
    Poll,
    Download,
}

/// First and last moment of each phase, in microseconds since 1970.
#[derive(Debug, Default)]
pub(super) struct Times(BTreeMap<Phase, (u64, u64)>);

impl Times {
    #[expect(clippy::disallowed_methods, reason = "the fake provider has no Clock")]
    pub(super) fn note(&mut self, phase: Phase) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |since| since.as_micros() as u64);
        let times = self.0.entry(phase).or_insert((now, now));
        times.1 = now;
    }

    pub(super) fn json(&self) -> String {
        let phase = |phase| match self.0.get(&phase) {
            Some((first, last)) => json!([first, last]),
            None => Value::Null,
        };
        json!({
            "upload": phase(Phase::Upload),
            "create": phase(Phase::Create),
            "poll": phase(Phase::Poll),
            "download": phase(Phase::Download),
        })
        .to_string()
    }
}
