//! Kept columns of a run, with the types that its input declares for them.

use lmbatch::record::RunRecord;
use lmbatch_lines::{ColumnType, OutcomeTable, TableFacts};

use crate::output_format::Rows;
use crate::terminal;

/// Names of the notes in a run's record.
const NAMES: &str = "keep";
const TYPES: &str = "keep_types";

/// Columns that the metadata of each request holds, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TypedColumns {
    pub(crate) names: Vec<String>,
    /// Types of the columns in Parquet; empty if the input declares none, and in records of earlier versions.
    types: Vec<ColumnType>,
    /// Columns that are texts in Parquet though the input declares another type, with their values.
    as_text: Vec<(String, &'static str)>,
}

impl TypedColumns {
    /// Returns the kept columns of an input that was read to its end.
    pub(crate) fn of(facts: &TableFacts) -> Self {
        Self {
            names: facts.kept().to_vec(),
            types: facts.kept_types().to_vec(),
            as_text: facts.kept_as_text().to_vec(),
        }
    }

    /// Reads the columns in a run's record.
    pub(crate) fn read(run: &RunRecord) -> Self {
        let note = |name: &str| run.notes.get(name).map(ToString::to_string);
        let names = note(NAMES).and_then(|text| serde_json::from_str(&text).ok());
        let types = note(TYPES).and_then(|text| serde_json::from_str(&text).ok());
        Self {
            names: names.unwrap_or_default(),
            types: types.unwrap_or_default(),
            as_text: Vec::new(),
        }
    }

    /// Returns the notes of a run's record: names and values.
    pub(crate) fn notes(&self) -> impl Iterator<Item = (&'static str, String)> {
        let names = Some(&self.names).filter(|names| !names.is_empty());
        let names = names.and_then(|names| serde_json::to_string(names).ok());
        let types = Some(&self.types).filter(|types| !types.is_empty());
        let types = types.and_then(|types| serde_json::to_string(types).ok());
        let names = names.map(|names| (NAMES, names));
        names.into_iter().chain(types.map(|types| (TYPES, types)))
    }

    /// Gives the kept columns of a table their types.
    pub(crate) fn typed(&self, table: OutcomeTable) -> OutcomeTable {
        table.with_kept_types(self.types.iter().copied())
    }

    /// Warns of columns that an output of these rows has as texts.
    pub(crate) fn warn(&self, rows: Rows) {
        if rows != Rows::Parquet || self.as_text.is_empty() {
            return;
        }
        let columns = self.as_text.iter();
        let columns: Vec<String> = columns
            .map(|(name, values)| format!("{name} ({values})"))
            .collect();
        terminal::warn(&format!(
            "kept columns that the output has as text: {}; JSON Lines keep lists and structs",
            columns.join(", ")
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_recorded_only_where_the_input_declares_them() {
        let names = || vec!["n".to_owned()];
        let typed = TypedColumns {
            names: names(),
            types: vec![ColumnType::Int64],
            as_text: Vec::new(),
        };
        let untyped = TypedColumns {
            names: names(),
            ..TypedColumns::default()
        };
        for (columns, expected) in [
            (
                typed,
                vec![("keep", r#"["n"]"#), ("keep_types", r#"["int64"]"#)],
            ),
            (untyped, vec![("keep", r#"["n"]"#)]),
            (TypedColumns::default(), Vec::new()),
        ] {
            let notes: Vec<(&str, String)> = columns.notes().collect();
            let notes: Vec<(&str, &str)> =
                notes.iter().map(|(name, text)| (*name, &**text)).collect();
            assert_eq!(notes, expected);
        }
    }
}
