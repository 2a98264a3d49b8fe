//! The table of adapters and the clauses of the contract that they keep.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

/// Document that holds the table.
pub(crate) const TABLE: &str = "docs/contract.md";
/// Folder of the example of an adapter by a third party.
pub(crate) const EXAMPLE: &str = "examples/third-party-adapter/";
/// Old and new names of renamed clauses, a pair on each line.
const RENAMED: &str = "crates/contract/src/renamed.txt";
const CLAUSES: &str = "crates/contract/src/table.rs";

const HEAD: &str = "# The contract

The promises that every adapter keeps, and the test result of each adapter. `cargo xtask contract` runs the tests of
all adapters and writes this page. A clause is never skipped: where a provider lacks a capability, the adapter reports
so and sends nothing. The documentation of `lmbatch-contract` explains each clause. Acme is a fictional provider: the
example adapter in `examples/third-party-adapter`.
";

/// Runs the contract tests of every adapter and writes the table; with `--check`, compares it. With `--mutants`,
/// prints which clause of the kit catches which mistake of an adapter.
pub(crate) fn contract(args: &[String]) -> Result<(), String> {
    if args.iter().any(|arg| arg == "--mutants") {
        return mutants();
    }
    let source = fs::read_to_string(CLAUSES).map_err(|error| format!("{CLAUSES}: {error}"))?;
    let (clauses, mut columns) = (clauses(&source), Columns::new());
    for adapter in adapters()? {
        for line in outcome_of(&format!("lmbatch-{adapter}"))?.lines() {
            note(&adapter, line, &clauses, &mut columns);
        }
    }
    // The adapter of a third party keeps them too.
    for line in outcome_of("acme-batch")?.lines() {
        note("acme", line, &clauses, &mut columns);
    }
    let mut table = table(&clauses, &columns);
    let names = fs::read_to_string(RENAMED).map_err(|error| format!("{RENAMED}: {error}"))?;
    table.push_str(&renamed(&names));
    println!("{table}");
    let kept = fs::read_to_string(TABLE).unwrap_or_default();
    if args.iter().any(|arg| arg == "--check") {
        return match kept == table {
            true => Ok(()),
            false => Err(format!("{TABLE} is stale: run cargo xtask contract")),
        };
    }
    fs::write(TABLE, &table).map_err(|error| format!("{TABLE}: {error}"))?;
    match all_kept(&table) {
        true => Ok(()),
        false => Err("a clause is not kept".to_owned()),
    }
}

/// Clauses that the table of the documents lacks: `tidy` asks, and runs nothing.
pub(crate) fn missing_rows() -> Vec<String> {
    let source = fs::read_to_string(CLAUSES).unwrap_or_default();
    let kept = fs::read_to_string(TABLE).unwrap_or_default();
    let missing = clauses(&source).into_iter();
    let missing = missing.filter(|(_, name)| !kept.contains(&format!("| {} |", sentence(name))));
    missing
        .map(|(_, name)| format!("{TABLE}: {name} is not there; run cargo xtask contract"))
        .collect()
}

fn adapters() -> Result<Vec<String>, String> {
    let folders = fs::read_dir("crates/providers").map_err(|error| error.to_string())?;
    let mut names: Vec<String> = folders
        .filter_map(|folder| folder.ok()?.file_name().into_string().ok())
        .collect();
    names.sort_unstable();
    Ok(names)
}

/// The test of the kit that plants mistakes, whose table it prints.
const MISTAKES: &str = "mistakes_are_caught_by_the_clauses_of_the_table";

fn mutants() -> Result<(), String> {
    let line = [
        "test",
        "--locked",
        "--package",
        "lmbatch-contract",
        "--test",
        "mutants",
        "--",
        "--exact",
        "--nocapture",
        MISTAKES,
    ];
    let output = Command::new("cargo").args(line).output();
    let output = output.map_err(|error| format!("cargo {}: {error}", line.join(" ")))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let rows: Vec<&str> = text.lines().filter_map(row_of).collect();
    println!("{}", rows.join("\n"));
    let caught = rows.iter().skip(2).filter(|row| !row.contains("| none: "));
    println!(
        "\n{} of {} mistakes are caught.",
        caught.count(),
        rows.len().saturating_sub(2)
    );
    match output.status.success() && rows.len() > 2 {
        true => Ok(()),
        false => {
            let errors = String::from_utf8_lossy(&output.stderr);
            Err(format!("a mistake is not caught by its clause:\n{errors}"))
        }
    }
}

/// A row of a table; the first comes behind the name of the test.
fn row_of(line: &str) -> Option<&str> {
    let row = line
        .find("| ")
        .or_else(|| line.find("|---"))
        .map(|at| &line[at..])?;
    row.ends_with('|').then_some(row)
}

fn outcome_of(package: &str) -> Result<String, String> {
    let line = [
        "test",
        "--locked",
        "--package",
        package,
        "--test",
        "contract",
    ];
    let output = Command::new("cargo")
        .args(line)
        .arg("--no-fail-fast")
        .output();
    let output = output.map_err(|error| format!("cargo {}: {error}", line.join(" ")))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Column, then clause, then whether it is kept.
type Columns = BTreeMap<String, BTreeMap<String, bool>>;

/// Reads `test inline::a_name ... ok`. Tests of the adapter that are no clauses make no column: they stand in the same
/// program, often outside of the modules of its ways.
fn note(adapter: &str, line: &str, clauses: &[(String, String)], columns: &mut Columns) {
    let Some((path, outcome)) = line
        .strip_prefix("test ")
        .and_then(|rest| rest.split_once(" ... "))
    else {
        return;
    };
    let (way, name) = path.rsplit_once("::").unwrap_or(("", path));
    if !clauses.iter().any(|(_, clause)| clause == name) {
        return;
    }
    let column = format!("{adapter} {}", sentence(way));
    let column = columns.entry(column.trim_end().to_owned()).or_default();
    column.insert(name.to_owned(), outcome == "ok");
}

/// Topic and name of each clause, as the macro lists them: `create::a_name,`.
fn clauses(source: &str) -> Vec<(String, String)> {
    let lines = source.lines().filter_map(|line| {
        let line = line.strip_prefix("            ")?.strip_suffix(',')?;
        let (topic, name) = line.split_once("::")?;
        let plain = |word: &str| {
            word.chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        };
        (plain(topic) && plain(name)).then(|| (topic.to_owned(), name.to_owned()))
    });
    lines.collect()
}

fn sentence(name: &str) -> String {
    name.replace('_', " ")
}

fn table(clauses: &[(String, String)], columns: &Columns) -> String {
    let names: Vec<&str> = columns.keys().map(String::as_str).collect();
    let mut text = format!("{HEAD}\n| topic | clause | {} |\n", names.join(" | "));
    text.push_str(&format!("|---|---|{}\n", "---|".repeat(names.len())));
    for (topic, name) in clauses {
        let marks = columns.values().map(|column| match column.get(name) {
            Some(true) => "yes",
            Some(false) => "no",
            None => "not tested",
        });
        let marks: Vec<&str> = marks.collect();
        text.push_str(&format!(
            "| {topic} | {} | {} |\n",
            sentence(name),
            marks.join(" | ")
        ));
    }
    text.push_str(&format!("\n{} clauses.\n", clauses.len()));
    text
}

/// The section about renamed clauses, from lines of the form `old_name new_name`.
fn renamed(names: &str) -> String {
    let mut text = "
## Edition 2 of the clause names

Most clauses were renamed once, before the first release. Their promises did not change. Test filters and lists of
expected failures that mention an old name need the new one.

| old name | new name |
|---|---|
"
    .to_owned();
    for (old, new) in names.lines().filter_map(|line| line.split_once(' ')) {
        text.push_str(&format!("| {} | {} |\n", sentence(old), sentence(new)));
    }
    text
}

/// Reports whether a table says yes everywhere. Clauses may begin with "no".
fn all_kept(table: &str) -> bool {
    !table.contains("| no |") && !table.contains("| not tested |")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_mistakes_are_found_in_what_a_test_prints() {
        for (line, expected) in [
            (
                "test a ... | mistake | clause |",
                Some("| mistake | clause |"),
            ),
            ("|---|---|", Some("|---|---|")),
            ("| a | none: why |", Some("| a | none: why |")),
            ("running 1 test", None),
            ("test result: ok. 1 passed; 0 failed", None),
        ] {
            assert_eq!(row_of(line), expected, "{line}");
        }
    }

    #[test]
    fn a_table_has_a_row_for_each_clause_and_a_column_for_each_way() {
        let source = "            create::a_b,\n            doubt::c_1,\nfn x(a::b,\n";
        let (clauses, mut columns) = (clauses(source), Columns::new());
        for line in ["test a_b ... ok", "test c_1 ... FAILED", "running 2 tests"] {
            note("acme", line, &clauses, &mut columns);
        }
        // A test of the adapter itself is no clause, in whichever module.
        for path in ["by_file::a_b", "of_its_own", "by_hand::of_its_own"] {
            let line = format!("test {path} ... ok");
            note("zenith", &line, &clauses, &mut columns);
        }
        let table = table(&clauses, &columns);
        assert!(
            table.contains("| topic | clause | acme | zenith by file |\n"),
            "{table}"
        );
        assert!(table.contains("| create | a b | yes | yes |\n"), "{table}");
        assert!(
            table.contains("| doubt | c 1 | no | not tested |\n"),
            "{table}"
        );
        assert!(!all_kept(&table));
        assert!(all_kept(
            "| results | no results are no error | yes | yes |\n"
        ));
        assert!(!all_kept(
            "| results | no results are no error | yes | no |\n"
        ));
    }
}
