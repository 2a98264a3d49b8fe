//! The public API as users reach it through `lmbatch`: a listing in `docs/public-api.txt`, the crates from outside
//! that may stand in it, and the examples of its items.
//!
//! The listing is made from rustdoc's JSON, which a stable rustdoc writes only with `RUSTC_BOOTSTRAP`. This
//! program stands in for rustdoc and sets the variable for that one program: set for cargo, the variable would
//! have every dependency built anew.

mod listing;
mod render;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::{Command, ExitCode};

use serde_json::Value;

use self::listing::Listed;
use crate::sh::{output, run_with};

/// The crate that users depend on.
const FACADE: &str = "lmbatch";

/// Document that holds the listing.
const DOCUMENT: &str = "docs/public-api.txt";

const HEAD: &str = "# Every public item that users reach through `lmbatch`, with all features.
# Written by `cargo xtask api --write`; `cargo xtask ci` fails where the sources say something else.
";

/// Set where this program stands in for rustdoc.
const AS_RUSTDOC: &str = "LMBATCH_XTASK_AS_RUSTDOC";

/// Most lines of a difference that are shown.
const MOST_SHOWN: usize = 40;

/// Crates from outside whose types may stand in the public API, each with a reason. A new major version of any of
/// them is a new major version of lmbatch.
const ALLOWED: &[(&str, &str)] = &[
    ("bytes", "bodies and rows are shared without a copy"),
    ("futures_core", "`Stream` and `BoxStream`"),
    ("schemars", "a response schema is derived from a type"),
    ("secrecy", "keys of providers, which are never printed"),
    ("serde_core", "the traits of serde"),
    ("serde_json", "JSON as a value"),
];

/// Runs rustdoc where this program stands in for it.
pub(crate) fn as_rustdoc() -> Option<ExitCode> {
    let rustdoc = std::env::var_os(AS_RUSTDOC)?;
    let mut command = Command::new(rustdoc);
    command
        .args(std::env::args_os().skip(1))
        .env("RUSTC_BOOTSTRAP", "1");
    let is_success = command.status().is_ok_and(|status| status.success());
    Some(if is_success {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Compares the listing of the public API with the document, or writes the document.
pub(crate) fn api(args: &[String]) -> Result<(), String> {
    let docs = docs()?;
    let Listed {
        lines,
        foreign,
        without_example,
    } = listing::listing(&docs, FACADE, FACADE);
    if lines.is_empty() {
        return Err(format!("rustdoc lists no item of {FACADE}"));
    }
    let unexpected = unexpected(&foreign);
    if !unexpected.is_empty() {
        return Err(format!(
            "types of {} stand in the public API; hide them, or add them to ALLOWED in xtask/src/api/mod.rs with a reason",
            unexpected.join(", ")
        ));
    }
    if !without_example.is_empty() {
        return Err(format!(
            "the documentation of each item at the root of {FACADE} has an example; these have none: {}",
            without_example.join(", ")
        ));
    }
    let unneeded: Vec<_> = ALLOWED
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| !foreign.contains(*name))
        .collect();
    if !unneeded.is_empty() {
        return Err(format!(
            "{} stand in ALLOWED of xtask/src/api/mod.rs, and no signature names them",
            unneeded.join(", ")
        ));
    }
    let new = format!("{HEAD}{}\n", lines.join("\n"));
    if args.iter().any(|arg| arg == "--write") {
        return fs::write(DOCUMENT, new).map_err(|error| format!("{DOCUMENT}: {error}"));
    }
    let old = fs::read_to_string(DOCUMENT).unwrap_or_default();
    match difference(&old, &new) {
        changes if changes.is_empty() => {
            println!("{} public items, as {DOCUMENT} lists them", lines.len());
            Ok(())
        }
        changes => Err(format!(
            "the public API is not the one in {DOCUMENT}; if that is meant, note it in CHANGELOG.md and run `cargo xtask api --write`:\n{}",
            changes.join("\n")
        )),
    }
}

/// Returns the crates from outside that may not stand in the public API.
fn unexpected(foreign: &BTreeSet<String>) -> Vec<&str> {
    let is_allowed = |name: &str| ALLOWED.iter().any(|(allowed, _)| *allowed == name);
    foreign
        .iter()
        .map(String::as_str)
        .filter(|name| !is_allowed(name))
        .collect()
}

/// Returns lines that only one of two texts has, marked by `-` for the old one and `+` for the new one.
fn difference(old: &str, new: &str) -> Vec<String> {
    let (old, new): (BTreeSet<_>, BTreeSet<_>) = (old.lines().collect(), new.lines().collect());
    let gone = old.difference(&new).map(|line| format!("- {line}"));
    let come = new.difference(&old).map(|line| format!("+ {line}"));
    let mut lines: Vec<_> = gone.chain(come).collect();
    if lines.len() > MOST_SHOWN {
        let rest = lines.len() - MOST_SHOWN;
        lines.truncate(MOST_SHOWN);
        lines.push(format!("… and {rest} more"));
    }
    lines
}

/// Returns rustdoc's JSON of the facade and of the crates below it, by name.
fn docs() -> Result<BTreeMap<String, Value>, String> {
    let text = output(
        "cargo",
        &["metadata", "--locked", "--format-version", "1", "--no-deps"],
    )?;
    let metadata: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    let names = below(&metadata, FACADE);
    let mut line = vec!["doc", "--locked", "--all-features", "--no-deps"];
    for name in &names {
        line.extend(["--package", name]);
    }
    let this = std::env::current_exe().map_err(|error| error.to_string())?;
    let this = this.to_str().ok_or("a path that is not UTF-8")?;
    let rustdoc = std::env::var("RUSTDOC").unwrap_or_else(|_| "rustdoc".to_owned());
    let variables = [
        ("RUSTDOC", this),
        (AS_RUSTDOC, &rustdoc),
        ("RUSTDOCFLAGS", "-Zunstable-options --output-format json"),
    ];
    run_with("cargo", &line, &variables)?;
    let folder = metadata["target_directory"].as_str().unwrap_or("target");
    let read = |name: &String| {
        let name = name.replace('-', "_");
        let path = format!("{folder}/doc/{name}.json");
        let text = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        let doc = serde_json::from_str(&text).map_err(|error| format!("{path}: {error}"))?;
        Ok((name, doc))
    };
    names.iter().map(read).collect()
}

/// Returns a package of the workspace and those that it depends on, directly or not.
fn below(metadata: &Value, package: &str) -> BTreeSet<String> {
    let packages = metadata["packages"].as_array();
    let packages = packages.map_or(&[][..], Vec::as_slice);
    let (mut names, mut open) = (BTreeSet::new(), vec![package.to_owned()]);
    while let Some(name) = open.pop() {
        let Some(package) = packages.iter().find(|of| of["name"] == name.as_str()) else {
            continue;
        };
        if names.insert(name) {
            let dependencies = package["dependencies"].as_array();
            let dependencies = dependencies.map_or(&[][..], Vec::as_slice).iter();
            let normal = dependencies.filter(|of| of["kind"].is_null());
            open.extend(normal.filter_map(|of| of["name"].as_str().map(str::to_owned)));
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_type_of_a_crate_that_is_not_allowed_is_found() {
        let foreign = ["serde_json", "reqwest"].map(str::to_owned);
        assert_eq!(unexpected(&BTreeSet::from(foreign)), ["reqwest"]);
    }

    #[test]
    fn a_changed_item_is_shown_before_and_after() {
        assert_eq!(
            difference("# head\na: fn a()\nb: mod", "# head\na: fn a(u8)\nb: mod"),
            ["- a: fn a()", "+ a: fn a(u8)"]
        );
        let many: Vec<String> = (0..50).map(|number| number.to_string()).collect();
        let shown = difference("", &many.join("\n"));
        assert_eq!(shown.last().map(String::as_str), Some("… and 10 more"));
    }

    #[test]
    fn packages_below_the_facade_are_found_without_those_for_its_tests() {
        let metadata = json!({"packages": [
            {"name": "a", "dependencies": [{"name": "b", "kind": null}, {"name": "d", "kind": "dev"}]},
            {"name": "b", "dependencies": [{"name": "c", "kind": null}, {"name": "serde", "kind": null}]},
            {"name": "c", "dependencies": []},
            {"name": "d", "dependencies": []},
        ]});
        let expected = ["a", "b", "c"].map(str::to_owned);
        assert_eq!(below(&metadata, "a"), BTreeSet::from(expected));
    }
}
