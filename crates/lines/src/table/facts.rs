//! Facts about a table that are known once it is read.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::column_type::{ColumnType, Declared};

/// Facts about a table that are known once it is read.
///
/// ```
/// let facts = lmbatch_lines::TableFacts::default();
/// assert!(facts.kept().is_empty() && facts.skipped() == 0);
/// ```
#[derive(Debug, Default)]
pub struct TableFacts {
    kept: OnceLock<Vec<String>>,
    types: OnceLock<Types>,
    skipped: AtomicU64,
    with_nulls: AtomicU64,
}

/// Types of the kept columns.
#[derive(Debug, Default)]
struct Types {
    of_kept: Vec<ColumnType>,
    as_text: Vec<(String, &'static str)>,
}

impl TableFacts {
    /// Returns the names of the kept columns in their order. Those of JSON Lines with [`KeptColumns::All`](crate::KeptColumns::All) are the
    /// members of the first row.
    pub fn kept(&self) -> &[String] {
        self.kept.get().map_or(&[], Vec::as_slice)
    }

    /// Returns the types of the kept columns in their order, as Parquet declares them; empty for every other format.
    ///
    /// ```
    /// assert!(lmbatch_lines::TableFacts::default().kept_types().is_empty());
    /// ```
    pub fn kept_types(&self) -> &[ColumnType] {
        self.types.get().map_or(&[], |types| &types.of_kept)
    }

    /// Returns the kept columns of Parquet that are texts in a table, since their type is not that of single values: each
    /// by name, with its values, such as "lists".
    ///
    /// ```
    /// assert!(lmbatch_lines::TableFacts::default().kept_as_text().is_empty());
    /// ```
    pub fn kept_as_text(&self) -> &[(String, &'static str)] {
        self.types.get().map_or(&[], |types| &types.as_text)
    }

    /// Returns the number of invalid rows that were left out.
    pub fn skipped(&self) -> u64 {
        self.skipped.load(Ordering::Relaxed)
    }

    /// Returns the number of rows for which a template prints a null value, as `null`.
    ///
    /// ```
    /// assert_eq!(lmbatch_lines::TableFacts::default().rows_with_nulls(), 0);
    /// ```
    pub fn rows_with_nulls(&self) -> u64 {
        self.with_nulls.load(Ordering::Relaxed)
    }

    /// Records the kept columns, unless they are known.
    pub(super) fn keep<'n>(&self, names: impl Iterator<Item = &'n str>) {
        self.kept.get_or_init(|| names.map(str::to_owned).collect());
    }

    /// Records the types of the kept columns, of all columns of a table.
    pub(super) fn declare(&self, columns: &[String], declared: &[Declared]) {
        let mut types = Types::default();
        for name in self.kept() {
            let column = columns.iter().position(|column| column == name);
            let found = column.and_then(|place| declared.get(place));
            types.of_kept.push(match found {
                Some(Declared::Type(of_input)) => *of_input,
                Some(Declared::Other(values)) => {
                    types.as_text.push((name.clone(), *values));
                    ColumnType::Text
                }
                None => ColumnType::Text,
            });
        }
        self.types.get_or_init(|| types);
    }

    /// Counts an invalid row that was left out.
    pub(super) fn count_skipped(&self) {
        self.skipped.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a row for which a template prints a null value.
    pub(super) fn count_with_nulls(&self) {
        self.with_nulls.fetch_add(1, Ordering::Relaxed);
    }
}
