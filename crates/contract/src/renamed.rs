//! Old and new names of the clauses that were renamed.

/// Edition of the clause names. Edition 2 renamed most clauses, without a change to any promise; names are stable from
/// then on. [`renamed`] returns the old and new names, which `docs/contract.md` lists as a table.
pub const NAMES_EDITION: u32 = 2;

/// Lines of the form `old_name new_name`, in the order of the clauses.
const RENAMED: &str = include_str!("renamed.txt");

/// Returns the old and the new name of each clause that [`NAMES_EDITION`] 2 renamed, in the order of the clauses. Test
/// filters and lists of expected failures that mention an old name need the new one.
///
/// ```
/// let mut renamed = lmbatch_contract::renamed();
/// assert!(renamed.any(|(old, new)| old == "counts_are_read" && new == "request_counts_are_read"));
/// ```
pub fn renamed() -> impl Iterator<Item = (&'static str, &'static str)> {
    RENAMED.lines().filter_map(|line| line.split_once(' '))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::CLAUSES;

    #[test]
    fn renamed_clauses_exist_under_their_new_names_only() {
        assert!(renamed().count() > 0);
        for (old, new) in renamed() {
            assert!(CLAUSES.iter().any(|clause| clause.name == new), "{new}");
            assert!(!CLAUSES.iter().any(|clause| clause.name == old), "{old}");
        }
    }

    #[test]
    #[should_panic(expected = "it is named request_counts_are_read since edition 2")]
    fn an_old_name_leads_to_the_new_one() {
        let _ = crate::clause("counts_are_read");
    }
}
