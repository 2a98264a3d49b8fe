//! Rules of language: docs, comments, strings, names of tests and documents in plain English.

mod scan;
mod words;

use scan::{Kind, Piece, pieces};
use words::{BANNED, OPENINGS, STORED_NAMES};

/// Folder of the rules themselves, whose tables and examples hold the words.
const RULES_FOLDER: &str = "xtask/src/language/";

/// Generated table of clauses, whose last section lists names that are no longer used.
const CLAUSES: &str = "docs/contract.md";

/// Fewest words of a doc comment.
const FEWEST_WORDS: usize = 3;

/// One rule: returns what is wrong with a line, if anything.
struct Rule {
    finds: fn(&Line<'_>) -> Option<String>,
}

/// Every rule; each has an example in the tests below.
const RULES: &[Rule] = &[
    Rule { finds: opening },
    Rule { finds: short },
    Rule { finds: banned },
    Rule { finds: flag },
];

/// Part of a file that a reader reads.
struct Line<'a> {
    /// Path of its file from the root of the repository.
    path: &'a str,
    place: Place,
    text: &'a str,
}

/// Place of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// First line of a doc comment, and whether it is the only one.
    FirstOfDoc { is_only: bool },
    /// A later line of a doc comment.
    Doc,
    /// A comment that is no doc comment.
    Comment,
    /// A string literal; in the tests inside a source or not.
    Text { is_test: bool },
    /// Name of a private function, such as a test, with spaces between its words.
    Name,
    /// A line of a document.
    Document,
}

/// Returns the breaches of the language rules in one file.
pub(crate) fn language(path: &str, text: &str) -> Vec<String> {
    if path.starts_with(RULES_FOLDER) || path == CLAUSES {
        return Vec::new();
    }
    breaches(path, text)
}

fn breaches(path: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut check = |number: usize, place: Place, text: &str| {
        let line = Line { path, place, text };
        let broken = RULES.iter().filter_map(|rule| (rule.finds)(&line));
        found.extend(broken.map(|what| format!("{path}:{number}: {what}")));
    };
    if path.ends_with(".md") {
        let mut is_code = false;
        for (number, line) in (1..).zip(text.lines()) {
            is_code ^= line.starts_with("```");
            if !is_code {
                check(number, Place::Document, line);
            }
        }
    } else if path.ends_with(".rs") {
        rust(text, &mut check);
    }
    found
}

/// Gives each comment, string literal and private function's name of a Rust source to `check`.
fn rust(source: &str, check: &mut impl FnMut(usize, Place, &str)) {
    let tests = first_line_of_tests(source);
    let pieces = pieces(source);
    let is_doc_of = |piece: Option<&Piece<'_>>, line: usize| {
        piece.is_some_and(|piece| piece.kind == Kind::Doc && piece.line == line)
    };
    let mut is_code = false;
    for (at, piece) in pieces.iter().enumerate() {
        let place = match piece.kind {
            Kind::Comment => Place::Comment,
            Kind::Text => Place::Text {
                is_test: piece.line >= tests,
            },
            Kind::Doc => {
                let before = at.checked_sub(1).and_then(|at| pieces.get(at));
                let is_first = !is_doc_of(before, piece.line - 1);
                let is_fence = piece.text.trim_start().starts_with("```");
                is_code = (is_code && !is_first) ^ is_fence;
                match is_first {
                    _ if is_code || is_fence => continue,
                    true => Place::FirstOfDoc {
                        is_only: !is_doc_of(pieces.get(at + 1), piece.line + 1),
                    },
                    false => Place::Doc,
                }
            }
        };
        check(piece.line, place, piece.text.trim_start());
    }
    for (number, line) in (1..).zip(source.lines()) {
        let line = line.trim_start();
        let line = line.strip_prefix("async ").unwrap_or(line);
        if let Some(rest) = line.strip_prefix("fn ") {
            let name = rest.split(['(', '<']).next().unwrap_or_default();
            check(number, Place::Name, &name.replace('_', " "));
        }
    }
}

/// Returns the number of the line at which the tests inside a source begin, or a number beyond its end.
fn first_line_of_tests(source: &str) -> usize {
    let lines: Vec<&str> = source.lines().collect();
    let is_start = |pair: &[&str]| pair[0] == "#[cfg(test)]" && pair[1].contains("mod ");
    let start = lines.windows(2).position(is_start);
    start.unwrap_or(lines.len()) + 1
}

fn opening(line: &Line<'_>) -> Option<String> {
    let Place::FirstOfDoc { .. } = line.place else {
        return None;
    };
    let first = line.text.split(|of: char| !of.is_alphanumeric()).next()?;
    OPENINGS.contains(&first).then(|| {
        format!("a doc comment opens with \"{first}\"; name the item, or say in the third person what it does")
    })
}

fn short(line: &Line<'_>) -> Option<String> {
    let is_short = line.place == Place::FirstOfDoc { is_only: true }
        && line.text.split_whitespace().count() < FEWEST_WORDS;
    is_short.then(|| {
        format!(
            "\"{}\" is a doc comment of fewer than three words",
            line.text
        )
    })
}

fn banned(line: &Line<'_>) -> Option<String> {
    if STORED_NAMES.contains(&line.text) {
        return None;
    }
    let lower = line.text.to_lowercase();
    let word = BANNED.iter().find(|word| has_words(&lower, word))?;
    Some(format!(
        "\"{word}\" is on the list of words that are not used here"
    ))
}

/// Reports whether a text has some words, not as parts of other words.
fn has_words(text: &str, words: &str) -> bool {
    let is_inside = |of: Option<char>| of.is_some_and(|of| of.is_alphanumeric() || of == '_');
    text.match_indices(words).any(|(at, _)| {
        !is_inside(text[..at].chars().next_back())
            && !is_inside(text[at + words.len()..].chars().next())
    })
}

fn flag(line: &Line<'_>) -> Option<String> {
    let is_library = line.path.starts_with("crates/")
        && line.path.contains("/src/")
        && !line.path.starts_with("crates/cli/");
    if !is_library || line.place != (Place::Text { is_test: false }) {
        return None;
    }
    let names_flag = line.text.match_indices("--").any(|(at, _)| {
        let before = line.text[..at].chars().next_back();
        let after = line.text[at + 2..].chars().next();
        before.is_none_or(|before| before.is_whitespace() || "(`'\"".contains(before))
            && after.is_some_and(|after| after.is_ascii_lowercase())
    });
    names_flag.then(|| {
        "a string of a library names a flag of the command; the command adds such hints".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_language_rule_finds_its_breach_and_nothing_else() {
        let library = "crates/core/src/a.rs";
        let command = "crates/cli/src/a.rs";
        for (path, text, finds) in [
            (library, "/// How much chance there is.\nstruct A;", 2),
            (library, "//! Whether it holds.", 1),
            (library, "    /// It's the second one.\nstruct A;", 1),
            (
                library,
                "/// Returns the batches.\n/// What is newer stands first.\nfn f() {}",
                0,
            ),
            (library, "// What it says.\nstruct A;", 0),
            (library, "/// Whichever of the two.\nstruct A;", 0),
            (library, "/// Number.\nstruct A;", 1),
            (library, "/// Number of batches.\nstruct A;", 0),
            (library, "/// Number.\n///\n/// In requests.\nstruct A;", 0),
            (library, "// Left to whoever asks.", 1),
            (library, "/// The run goes on at once.\nstruct A;", 1),
            (library, "const A: &str = \"nobody answered\";", 1),
            (library, "const A: &str = r#\"nobody\"#;", 1),
            (library, "#[test]\nfn the_run_is_gone_on_with() {}", 1),
            (library, "async fn a_run_that_goes_on() {}", 1),
            (library, "#[serde(rename = \"strangers\")]\nstruct A;", 0),
            (library, "const A: &str = \"two strangers\";", 1),
            (library, "/// ```\n/// let ours = whatever();\n/// ```", 0),
            (library, "let ours = 1;", 0),
            (library, "/// Hours and goes_on and mending2.", 0),
            ("docs/a.md", "Nobody pays twice.", 1),
            ("docs/a.md", "```\nnobody\n```\nnobody", 1),
            (library, "const A: &str = \"add --force\";", 1),
            (command, "const A: &str = \"add --force\";", 0),
            ("tests/tests/a.rs", "const A: &str = \"--force\";", 0),
            (library, "// As `--force` does.", 0),
            (library, "const A: &str = \"a--b and -- c\";", 0),
            (
                library,
                "#[cfg(test)]\nmod tests {\n const A: &str = \"--force\"; }",
                0,
            ),
        ] {
            let found = breaches(path, text);
            assert_eq!(found.len(), finds, "{path}: {text}: {found:?}");
        }
    }

    #[test]
    fn every_banned_word_and_every_opening_is_found() {
        for word in BANNED {
            let text = format!("// About {word}.");
            assert_eq!(breaches("a.rs", &text).len(), 1, "{word}");
        }
        for word in OPENINGS {
            let text = format!("/// {word} the batches are.");
            assert!(breaches("a.rs", &text)[0].contains("opens with"), "{word}");
        }
    }

    #[test]
    fn a_breach_names_its_file_and_its_line() {
        let found = breaches("a.rs", "struct A;\n\n// whoever asks");
        assert!(found[0].starts_with("a.rs:3: \"whoever\""), "{found:?}");
    }
}
