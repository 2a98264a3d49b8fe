//! Features of the facade, of the line formats and of the command: each builds, and builds only what it names.

use serde_json::Value;

use crate::sh::{output, run};

/// Crates that cost time to build, or that speak to somewhere; each comes with a feature.
const OPTIONAL: &[&str] = &[
    "arrow-array",
    "jsonschema",
    "libsqlite3-sys",
    "lmbatch-anthropic",
    "lmbatch-google",
    "lmbatch-http",
    "lmbatch-ledger",
    "lmbatch-openai",
    "lmbatch-prices",
    "lmbatch-schema",
    "object_store",
    "parquet",
    "reqwest",
    "sqlx",
];

/// Features of a package, separated by commas, and the optional crates that they bring.
type Matrix = &'static [(&'static str, &'static [&'static str])];

/// Packages with features.
const PACKAGES: [(&str, Matrix); 3] = [
    ("lmbatch", FACADE),
    ("lmbatch-lines", LINES),
    ("lmbatch-cli", COMMAND),
];

const LINES: Matrix = &[("", &[]), ("parquet", &["arrow-array", "parquet"])];

/// Crates of every build of the command, with the crates of a feature.
macro_rules! with_base {
    ([$($first:literal),*] $(, $last:literal)*) => {
        &[
            $($first,)*
            "jsonschema",
            "libsqlite3-sys",
            "lmbatch-anthropic",
            "lmbatch-google",
            "lmbatch-http",
            "lmbatch-ledger",
            "lmbatch-openai",
            "lmbatch-prices",
            "lmbatch-schema",
            $($last,)*
            "reqwest",
            "sqlx",
        ]
    };
}

const COMMAND: Matrix = &[
    ("", with_base!([])),
    ("parquet", with_base!(["arrow-array"], "parquet")),
    ("remote", with_base!([], "object_store")),
];

const FACADE: Matrix = &[
    ("", &[]),
    (
        "anthropic",
        &["lmbatch-anthropic", "lmbatch-http", "reqwest"],
    ),
    ("google", &["lmbatch-google", "lmbatch-http", "reqwest"]),
    ("openai", &["lmbatch-http", "lmbatch-openai", "reqwest"]),
    ("durable", &["libsqlite3-sys", "lmbatch-ledger", "sqlx"]),
    ("schema", &["jsonschema", "lmbatch-schema"]),
    ("prices", &["lmbatch-prices"]),
    ("tracing", &[]),
    (
        "all-providers",
        &[
            "lmbatch-anthropic",
            "lmbatch-google",
            "lmbatch-http",
            "lmbatch-openai",
            "reqwest",
        ],
    ),
];

/// Compares the tree of each row of each matrix with its crates, and builds each row.
pub(crate) fn features() -> Result<(), String> {
    for (package, matrix) in PACKAGES {
        let mut found = Vec::new();
        found.extend(without_row(&declared(package)?, matrix));
        for (features, expected) in matrix {
            let tree = ["tree", "--locked", "--package", package];
            let form = ["--edges", "normal", "--prefix", "none"];
            let with = ["--no-default-features", "--features", features];
            let tree = output("cargo", &[&tree[..], &form, &with].concat())?;
            found.extend(breach(features, expected, &tree));
        }
        if !found.is_empty() {
            return Err(format!("features of {package}:\n  {}", found.join("\n  ")));
        }
    }
    for (package, matrix) in PACKAGES {
        for (features, _) in matrix {
            let check = ["check", "--locked", "--package", package, "--lib"];
            let with = ["--no-default-features", "--features", features];
            run("cargo", &[&check[..], &with].concat())?;
        }
    }
    Ok(())
}

/// Returns the names of a package's features, as its manifest has them.
fn declared(package: &str) -> Result<Vec<String>, String> {
    let text = output(
        "cargo",
        &["metadata", "--locked", "--format-version", "1", "--no-deps"],
    )?;
    let metadata: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let named = packages.filter(|found| found["name"] == package);
    let features = named.filter_map(|package| package["features"].as_object());
    Ok(features.flat_map(|of| of.keys().cloned()).collect())
}

/// Returns a breach for each feature that the matrix has no row for.
fn without_row(declared: &[String], matrix: Matrix) -> Vec<String> {
    let has_row = |name: &str| matrix.iter().any(|(features, _)| *features == name);
    let without = declared
        .iter()
        .filter(|name| *name != "default" && !has_row(name));
    without
        .map(|name| format!("{name} has no row in xtask/src/features.rs"))
        .collect()
}

/// Compares the optional crates in a tree with those that are expected.
fn breach(features: &str, expected: &[&str], tree: &str) -> Option<String> {
    let is_there = |name: &&&str| {
        tree.lines()
            .any(|line| line.split(' ').next() == Some(name))
    };
    let brought: Vec<&str> = OPTIONAL.iter().filter(is_there).copied().collect();
    (brought != expected)
        .then(|| format!("{features:?} brings {brought:?}; {expected:?} is expected"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feature_that_brings_more_or_less_than_it_names_is_found() {
        let bare = "lmbatch v0.1.0 (/x)\njsonschema-value v0.61.2\nserde v1.0.229 (*)";
        let with = "lmbatch v0.1.0 (/x)\njsonschema v0.61.2\nserde v1.0.229 (*)";
        for (expected, tree, bad) in [
            (&[][..], bare, false),
            (&[], with, true),
            (&["jsonschema"], with, false),
            (&["jsonschema"], bare, true),
        ] {
            assert_eq!(breach("x", expected, tree).is_some(), bad, "{tree}");
        }
    }

    #[test]
    fn a_feature_without_a_row_is_found() {
        let declared = ["default", "schema", "parquet"].map(str::to_owned);
        assert_eq!(without_row(&declared, FACADE).len(), 1);
    }
}
