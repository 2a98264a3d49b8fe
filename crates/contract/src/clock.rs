//! The time at which everything in the kit happens.

use std::time::{Duration, SystemTime};

/// Start time of every clause, 2026-11-01T09:00:00Z.
pub(crate) fn today() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_793_523_600)
}
