//! Every file of a folder of tests that is built as one program is a module of that program. A file that is not is never
//! compiled, and its tests never run.

use std::fs;

/// Folders whose manifests turn the discovery of test files off.
const FOLDERS: &[&str] = &["tests", "crates/engine"];

/// Returns a breach for each file that neither `tests/main.rs` nor the manifest names.
pub(crate) fn test_files(files: &str) -> Vec<String> {
    let read = |path: String| fs::read_to_string(path).unwrap_or_default();
    let found = FOLDERS.iter().flat_map(|folder| {
        let manifest = read(format!("{folder}/Cargo.toml"));
        let program = read(format!("{folder}/tests/main.rs"));
        unnamed(folder, files, &manifest, &program)
    });
    found.collect()
}

fn unnamed(folder: &str, files: &str, manifest: &str, program: &str) -> Vec<String> {
    let names = files.lines().filter_map(|path| {
        let name = path.strip_prefix(folder)?.strip_prefix("/tests/")?;
        name.strip_suffix(".rs").filter(|name| !name.contains('/'))
    });
    let is_named = |name: &&str| {
        program.lines().any(|line| line == format!("mod {name};"))
            || manifest.contains(&format!("path = \"tests/{name}.rs\""))
    };
    let unnamed = names.filter(|name| !is_named(name));
    let breaches = unnamed.map(|name| {
        format!("{folder}/tests/{name}.rs: is in no program; add `mod {name};` to {folder}/tests/main.rs")
    });
    breaches.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_tests_that_is_in_no_program_is_found() {
        let files = "tests/tests/a.rs\ntests/tests/b.rs\ntests/tests/main.rs\ntests/tests/a/c.rs\ntests/src/lib.rs";
        let manifest = "[[test]]\npath = \"tests/main.rs\"\n";
        for (program, count) in [
            ("mod a;\nmod b;\n", 0),
            ("mod a;\n", 1),
            ("mod a;\n// mod b;\n", 1),
        ] {
            let found = unnamed("tests", files, manifest, program);
            assert_eq!(found.len(), count, "{found:?}");
        }
    }
}
