//! The guide to writing an adapter shows the code of the examples, and nothing else.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Lines without the white space around them: excerpts are less indented than where they come from.
fn plain(text: &str) -> Vec<&str> {
    text.lines().map(str::trim).collect()
}

fn stands_in(lines: &[&str], source: &[&str]) -> bool {
    source.windows(lines.len()).any(|window| window == lines)
}

#[test]
fn every_piece_of_rust_in_the_guide_stands_in_the_file_that_it_names() {
    let guide = fs::read_to_string(root().join("docs/guide/adapter.md")).expect("the guide");
    let mut pieces = guide.split("```rust\n");
    let mut before = pieces.next().expect("an introduction");
    let mut count = 0;
    for piece in pieces {
        let (code, after) = piece.split_once("\n```").expect("an end of the piece");
        let named = before.trim_end().rsplit('\n').next();
        let named = named.and_then(|line| line.strip_prefix("<!-- ")?.strip_suffix(" -->"));
        let named = named.unwrap_or_else(|| panic!("no file is named before:\n{code}"));
        assert!(named.starts_with("examples/"), "{named} is no example");
        let source = fs::read_to_string(root().join(named));
        let source = source.unwrap_or_else(|error| panic!("{named}: {error}"));
        assert!(
            stands_in(&plain(code), &plain(&source)),
            "this does not stand in {named}:\n{code}"
        );
        before = after;
        count += 1;
    }
    assert!(count > 10, "{count} pieces");
    assert!(!guide.contains("```rust,"), "every piece is checked");
}

#[test]
fn a_piece_that_was_changed_is_found() {
    let source = plain("fn a() {\n    b();\n}\n");
    assert!(stands_in(&plain("fn a() {\n  b();"), &source));
    assert!(!stands_in(&plain("fn a() {\n  c();"), &source));
}
