//! Facts about a table that are known once it is read.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Facts about a table that are known once it is read.
///
/// ```
/// let facts = lmbatch_lines::TableFacts::default();
/// assert!(facts.kept().is_empty() && facts.skipped() == 0);
/// ```
#[derive(Debug, Default)]
pub struct TableFacts {
    kept: OnceLock<Vec<String>>,
    skipped: AtomicU64,
}

impl TableFacts {
    /// Returns the names of the kept columns in their order. Those of JSON Lines with [`KeptColumns::All`](crate::KeptColumns::All) are the
    /// members of the first row.
    pub fn kept(&self) -> &[String] {
        self.kept.get().map_or(&[], Vec::as_slice)
    }

    /// Returns the number of invalid rows that were left out.
    pub fn skipped(&self) -> u64 {
        self.skipped.load(Ordering::Relaxed)
    }

    /// Records the kept columns, unless they are known.
    pub(super) fn keep<'n>(&self, names: impl Iterator<Item = &'n str>) {
        self.kept.get_or_init(|| names.map(str::to_owned).collect());
    }

    /// Counts an invalid row that was left out.
    pub(super) fn count_skipped(&self) {
        self.skipped.fetch_add(1, Ordering::Relaxed);
    }
}
