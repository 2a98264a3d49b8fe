//! Lines that the tests run, by cargo-llvm-cov or, where its tools are lacking, by cargo-tarpaulin.

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;

use crate::sh::{self, has, run};

/// Packages with the tests to run.
const PACKAGES: [&str; 9] = [
    "lmbatch-core",
    "lmbatch-http",
    "lmbatch-engine",
    "lmbatch-ledger",
    "lmbatch-anthropic",
    "lmbatch-google",
    "lmbatch-openai",
    "lmbatch",
    "lmbatch-tests",
];

/// Filter of the tests: those that run in one process, since a killed process reports no lines.
const TESTS: [&str; 17] = [
    "ambiguous",
    "contract",
    "conversations",
    "corpus",
    "crash",
    "faults",
    "kinds",
    "ledger",
    "library",
    "operations",
    "record",
    "run",
    "runs",
    "simulation",
    "sizes",
    "transport",
    "weaknesses",
];

/// Names in the report, each with the folder of its sources.
const REPORTED: [&str; 4] = [
    "crates/core/src",
    "crates/http/src",
    "crates/engine/src",
    "crates/providers",
];

/// The least, in percent.
const WANTED: u64 = 90;

/// Lines of a file: those that ran, and all that could.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Lines {
    ran: u64,
    all: u64,
}

impl Lines {
    fn percent(self) -> f64 {
        self.ran as f64 * 100.0 / self.all.max(1) as f64
    }
    fn is_enough(self) -> bool {
        self.ran * 100 >= self.all * WANTED
    }
    fn add(&mut self, other: Self) {
        self.ran += other.ran;
        self.all += other.all;
    }
}

type Files = BTreeMap<String, Lines>;

/// Runs the tests and says which lines they ran; an error where too few were.
pub(crate) fn coverage() -> Result<(), String> {
    let files = measured()?;
    let (table, lacking) = judged(&files);
    println!("{table}");
    match lacking.as_slice() {
        [] => Ok(()),
        lacking => Err(format!("below {WANTED} %: {}", lacking.join(", "))),
    }
}

fn measured() -> Result<Files, String> {
    let tests: Vec<&str> = ["--locked", "--all-features", "--lib"]
        .into_iter()
        .chain(PACKAGES.iter().flat_map(|name| ["--package", *name]))
        .chain(TESTS.iter().flat_map(|name| ["--test", *name]))
        .collect();
    // It may be there, and lack the part of the compiler that reads profiles.
    if has("cargo-llvm-cov") && sh::output("cargo", &["llvm-cov", "report"]).is_ok() {
        let report = "target/llvm-cov.json";
        let line = [
            "llvm-cov",
            "--json",
            "--summary-only",
            "--output-path",
            report,
        ];
        run("cargo", &[&line, &tests[..]].concat())?;
        return read(report, llvm_cov);
    }
    if has("cargo-tarpaulin") {
        let line = [
            "tarpaulin",
            "--engine",
            "llvm",
            "--skip-clean",
            "--target-dir",
            "target/tarpaulin",
            "--timeout",
            "900",
        ];
        let out = ["--out", "Json", "--output-dir", "target"];
        run("cargo", &[&line, &out[..], &tests[..]].concat())?;
        return read("target/tarpaulin-report.json", tarpaulin);
    }
    Err(
        "cargo-llvm-cov cannot be used: cargo install cargo-llvm-cov, and rustup component add \
         llvm-tools; or cargo install cargo-tarpaulin"
            .to_owned(),
    )
}

fn read(report: &str, parse: fn(&Value) -> Option<Files>) -> Result<Files, String> {
    let text = fs::read_to_string(report).map_err(|error| format!("{report}: {error}"))?;
    let parsed = serde_json::from_str(&text).map_err(|error| format!("{report}: {error}"))?;
    parse(&parsed).ok_or_else(|| format!("{report} has another shape"))
}

fn llvm_cov(report: &Value) -> Option<Files> {
    let files = report["data"][0]["files"].as_array()?.iter();
    let files = files.filter_map(|file| {
        let lines = &file["summary"]["lines"];
        let (ran, all) = (lines["covered"].as_u64()?, lines["count"].as_u64()?);
        Some((within(file["filename"].as_str()?)?, Lines { ran, all }))
    });
    Some(files.collect())
}

fn tarpaulin(report: &Value) -> Option<Files> {
    let files = report["files"].as_array()?.iter();
    let files = files.filter_map(|file| {
        let parts: Vec<&str> = file["path"]
            .as_array()?
            .iter()
            .filter_map(Value::as_str)
            .collect();
        let (ran, all) = (file["covered"].as_u64()?, file["coverable"].as_u64()?);
        Some((within(&parts.join("/"))?, Lines { ran, all }))
    });
    Some(files.collect())
}

/// The path within the repository, if it is a source that is reported.
fn within(path: &str) -> Option<String> {
    let path = &path[path.rfind("/crates/")? + 1..];
    let is_test = ["/tests/", "/tests.rs"]
        .iter()
        .any(|part| path.contains(part));
    let known = REPORTED.iter().any(|folder| path.starts_with(folder));
    (known && !is_test).then(|| path.to_owned())
}

/// Groups that must be covered together: what translates, what judges errors, and the engine as one.
fn unit(path: &str) -> Option<String> {
    let (folder, rest) = path.split_once("/src/")?;
    match rest.split('/').next()? {
        _ if folder == "crates/engine" => Some(folder.to_owned()),
        "translate" | "translate.rs" => Some(format!("{folder}/src/translate")),
        "error.rs" => Some(path.to_owned()),
        _ => None,
    }
}

/// The table, and what is below the least.
fn judged(files: &Files) -> (String, Vec<String>) {
    let (mut crates, mut units) = (Files::new(), Files::new());
    for (path, lines) in files {
        let of = path.split("/src/").next().unwrap_or_default();
        crates.entry(of.to_owned()).or_default().add(*lines);
        if let Some(unit) = unit(path) {
            units.entry(unit).or_default().add(*lines);
        }
    }
    let mut table = String::new();
    for (title, rows) in [
        ("file", files),
        ("crate", &crates),
        ("at least 90 %", &units),
    ] {
        table.push_str(&format!(
            "\n| {title} | lines | run | |\n|---|---|---|---|\n"
        ));
        for (name, lines) in rows {
            let (percent, ran, all) = (lines.percent(), lines.ran, lines.all);
            table.push_str(&format!("| {name} | {all} | {ran} | {percent:.1} % |\n"));
        }
    }
    let lacking = units.into_iter().filter(|(_, lines)| !lines.is_enough());
    (table, lacking.map(|(name, _)| name).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_below_ninety_percent_is_named_and_tests_do_not_count() {
        let files: Vec<Value> = [
            ("crates/engine/src/run.rs", 95, 100),
            ("crates/engine/src/poll.rs", 80, 100),
            ("crates/providers/openai/src/translate/outcome.rs", 90, 100),
            ("crates/providers/openai/src/translate/tests.rs", 0, 100),
            ("crates/providers/openai/src/error.rs", 91, 100),
            ("crates/http/src/url.rs", 1, 100),
            ("crates/cli/src/lib.rs", 1, 100),
        ]
        .iter()
        .map(|(name, covered, count)| {
            serde_json::json!({"filename": format!("/x/{name}"), "summary": {"lines": {"covered": covered, "count": count}}})
        })
        .collect();
        let report = serde_json::json!({"data": [{"files": files}]});
        let (table, lacking) = judged(&llvm_cov(&report).unwrap());
        assert_eq!(lacking, ["crates/engine"]);
        for row in [
            "| crates/engine | 200 | 175 | 87.5 % |",
            "| crates/providers/openai/src/translate | 100 | 90 | 90.0 % |",
            "| crates/http | 100 | 1 | 1.0 % |",
        ] {
            assert!(table.contains(row), "{table}");
        }
        assert!(!table.contains("crates/cli"));
    }
}
