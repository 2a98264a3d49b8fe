//! The README's loop, in functions with every result type that a program may use.

use std::error::Error;
use std::fs;

use lmbatch::{Outcome, RequestError, Result};

/// The README's loop without printing.
macro_rules! println {
    ($($said:tt)*) => { drop(format!($($said)*)) };
}

/// The loop over results that the function owns, as in the README.
macro_rules! reads_in {
    ($($name:ident -> $result:ty),+ $(,)?) => {$(
        fn $name(results: Vec<(&'static str, Outcome)>) -> $result {
            for (id, outcome) in &results { println!("{id}: {}", outcome.as_result()?.text()); }
            for (_, outcome) in results {
                outcome.into_result()?;
            }
            Ok(())
        }
    )+};
}

reads_in! {
    in_ours -> Result<()>,
    in_anyhow -> anyhow::Result<()>,
    in_boxed -> std::result::Result<(), Box<dyn Error>>,
    in_boxed_for_threads -> std::result::Result<(), Box<dyn Error + Send + Sync>>,
    in_the_requests_own -> std::result::Result<(), RequestError>,
}

#[test]
fn the_loop_of_the_readme_compiles_in_every_result() {
    let readme = fs::read_to_string("../README.md").unwrap_or_default();
    let here = fs::read_to_string("tests/question_mark.rs").unwrap_or_default();
    let shown = readme
        .find("for (id, outcome) in &results")
        .and_then(|start| readme[start..].split_inclusive("\n    }\n").next());
    let shown = shown.unwrap_or_else(|| panic!("the README shows no loop"));
    let bare = |text: &str| text.split_whitespace().collect::<String>();
    assert!(bare(&here).contains(&bare(shown)), "{shown}");

    let missing = || vec![("a", Outcome::Missing)];
    let said = [
        in_ours(missing()).map_err(|error| error.to_string()),
        in_anyhow(missing()).map_err(|error| error.to_string()),
        in_boxed(missing()).map_err(|error| error.to_string()),
        in_boxed_for_threads(missing()).map_err(|error| error.to_string()),
        in_the_requests_own(missing()).map_err(|error| error.to_string()),
    ];
    for said in said {
        let said = said.expect_err("a missing answer");
        assert!(
            said.starts_with("the provider gave no result for it"),
            "{said}"
        );
    }
}
