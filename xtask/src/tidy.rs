//! The house's invariants, each checked by a machine. What is found is printed with its place.

use std::fs;

use serde_json::Value;

use crate::circles::circles;
use crate::dependencies::unused;
use crate::dockerfile::dockerfile;
use crate::language::language;
use crate::sh::output;
use crate::test_files::test_files;
use crate::{cases, contract, toolchain};

/// Words that only adapters, the emulator, the facade and the command may say.
const PROVIDERS: &[&str] = &[
    "openai",
    "anthropic",
    "claude",
    "gemini",
    "mistral",
    "bedrock",
    "vertex",
];

/// Files of every provider crate.
const SHAPE: &[&str] = &[
    "lib.rs",
    "config.rs",
    "builder.rs",
    "factory.rs",
    "provider.rs",
    "client.rs",
    "wire.rs",
    "error.rs",
];

const MAX_LINES: usize = 700;

/// The sources of the adapter that lives outside of our crates.
const EXAMPLE_SOURCES: &str = "examples/third-party-adapter/src/";
const MAX_EXAMPLE_LINES: usize = 450;

pub(crate) fn tidy() -> Result<(), String> {
    let mut found = Vec::new();
    edges(&mut found)?;
    found.extend(unused()?);
    let files = output(
        "git",
        &["ls-files", "--cached", "--others", "--exclude-standard"],
    )?;
    let mut sources = Vec::new();
    for path in files.lines() {
        if let Ok(text) = fs::read_to_string(path) {
            found.extend(file(path, &text));
            found.extend(language(path, &text));
            if path == "README.md" || (path.starts_with("docs/") && path.ends_with(".md")) {
                found.extend(dead_paths(path, &text, |named| {
                    fs::exists(named).unwrap_or(false)
                }));
            }
            if path.ends_with(".rs") && !path.starts_with("xtask/") {
                sources.push(text);
            }
        }
    }
    let texts: Vec<&str> = sources.iter().map(String::as_str).collect();
    found.extend(cases::missing(&texts));
    let ours = |path: &&str| path.starts_with("crates/providers/");
    let manifests = files.lines().filter(|path| path.ends_with("Cargo.toml"));
    for manifest in manifests.filter(|path| ours(path) || path.starts_with(contract::EXAMPLE)) {
        let folder = manifest.trim_end_matches("Cargo.toml");
        let tests = fs::read_to_string(format!("{folder}tests/contract.rs")).unwrap_or_default();
        if !tests.contains("contract_tests!(") {
            found.push(format!(
                "{folder}tests/contract.rs: every adapter is held to the contract"
            ));
        }
        for name in SHAPE.iter().filter(|_| ours(&manifest)) {
            if !fs::exists(format!("{folder}src/{name}")).unwrap_or(false) {
                found.push(format!("{folder}src/{name}: every provider crate has it"));
            }
        }
    }
    found.extend(example(&files));
    found.extend(image());
    found.extend(circles(&files));
    found.extend(test_files(&files));
    found.extend(contract::missing_rows());
    if found.is_empty() {
        println!("tidy");
        return Ok(());
    }
    Err(format!(
        "{} things are not tidy:\n  {}",
        found.len(),
        found.join("\n  ")
    ))
}

/// Checks the dependencies between crates.
fn edges(found: &mut Vec<String>) -> Result<(), String> {
    let text = output(
        "cargo",
        &["metadata", "--locked", "--format-version", "1", "--no-deps"],
    )?;
    let metadata: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let name = package["name"].as_str().unwrap_or_default();
        let provider = package["manifest_path"]
            .as_str()
            .unwrap_or_default()
            .contains("/providers/");
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let to = dependency["name"].as_str().unwrap_or_default();
            if let Some(why) = strange(name, dependency["kind"].as_str(), to) {
                found.push(format!("{name} depends on {to}: {why}"));
            }
            if dependency["kind"].is_string() {
                continue;
            }
            if let Some(why) = forbidden(name, provider, to) {
                found.push(format!("{name} depends on {to}: {why}"));
            }
        }
    }
    let core = output(
        "cargo",
        &[
            "tree",
            "--locked",
            "--package",
            "lmbatch-core",
            "--edges",
            "normal",
            "--prefix",
            "none",
        ],
    )?;
    for name in core.lines().filter_map(|line| line.split(' ').next()) {
        if ["tokio", "hyper", "reqwest", "axum"].contains(&name) {
            found.push(format!(
                "lmbatch-core depends on {name}: it has no runtime and no HTTP"
            ));
        }
    }
    let all = output(
        "cargo",
        &[
            "tree",
            "--locked",
            "--workspace",
            "--edges",
            "normal",
            "--prefix",
            "none",
        ],
    )?;
    for name in ["aws-lc-sys", "openssl-sys", "native-tls"] {
        if all.lines().any(|line| line.split(' ').next() == Some(name)) {
            found.push(format!("{name} is in the tree: there is one TLS stack"));
        }
    }
    Ok(())
}

fn forbidden(from: &str, from_is_provider: bool, to: &str) -> Option<&'static str> {
    match (from, to) {
        ("lmbatch-core", to) if to.starts_with("lmbatch") => Some("core is at the bottom"),
        ("lmbatch-engine", "lmbatch-schema") => None,
        ("lmbatch-engine" | "lmbatch-ledger" | "lmbatch-http", to)
            if to.starts_with("lmbatch-") && !["lmbatch-core", "lmbatch-runtime"].contains(&to) =>
        {
            Some("it knows core and the check of the runtime only")
        }
        ("lmbatch-runtime", to) if to.starts_with("lmbatch-") && to != "lmbatch-core" => {
            Some("the check of the runtime knows core only")
        }
        ("lmbatch-lines", to) if to.starts_with("lmbatch-") && to != "lmbatch-core" => {
            Some("lines know core only")
        }
        ("lmbatch-prices", to) if to.starts_with("lmbatch-") && to != "lmbatch-core" => {
            Some("prices know core only")
        }
        ("lmbatch-schema", to) if to.starts_with("lmbatch-") && to != "lmbatch-core" => {
            Some("schemas of answers know core only")
        }
        ("lmbatch-contract", to)
            if to.starts_with("lmbatch")
                && !["lmbatch-core", "lmbatch-engine", "lmbatch-testing"].contains(&to) =>
        {
            Some("the contract knows core, engine and the doubles of tests")
        }
        ("lmbatch-cli", to)
            if to.starts_with("lmbatch-")
                && !["lmbatch-emulator", "lmbatch-lines"].contains(&to) =>
        {
            Some("the command is written on the facade, as any program can be")
        }
        (from, "lmbatch-contract") if from != "acme-wire" => Some("the contract is for tests"),
        (from, "reqwest") if from != "lmbatch-http" => Some("only lmbatch-http speaks HTTP"),
        (_, to)
            if from_is_provider
                && to.starts_with("lmbatch")
                && !["lmbatch-core", "lmbatch-http"].contains(&to) =>
        {
            Some("a provider knows core and http only")
        }
        _ => None,
    }
}

/// Returns an error where an example depends on a crate that another project could not, or would not, use.
fn strange(from: &str, kind: Option<&str>, to: &str) -> Option<&'static str> {
    let ours = to.starts_with("lmbatch") || to.starts_with("acme");
    let allowed: &[&str] = match (from, kind) {
        ("acme-batch", None) => &["lmbatch-core", "lmbatch-http", "lmbatch-openai"],
        ("acme-batch", Some("dev")) => &["lmbatch-contract", "acme-wire"],
        ("acme-wire", None) => &["acme-batch", "lmbatch-contract", "lmbatch-core"],
        ("acme-cli", None) => &["acme-batch", "acme-wire", "lmbatch-cli"],
        ("acme-batch" | "acme-wire" | "acme-cli", _) => &[],
        _ => return None,
    };
    let why = "an example shows how little an adapter, and its command, depend on";
    (ours && !allowed.contains(&to)).then_some(why)
}

/// Returns the breaches in the Dockerfile.
fn image() -> Vec<String> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let promised = toolchain::promised(&read("Cargo.toml"));
    dockerfile(&read("Dockerfile"), &promised.unwrap_or_default(), |path| {
        fs::exists(path).unwrap_or(false)
    })
}

/// The example of an adapter is short enough for an afternoon.
fn example(files: &str) -> Vec<String> {
    let sources = files
        .lines()
        .filter(|path| path.starts_with(EXAMPLE_SOURCES));
    let texts = sources.filter_map(|path| fs::read_to_string(path).ok());
    let lines: usize = texts.map(|text| text.lines().count()).sum();
    let found = match lines {
        0 => format!("{EXAMPLE_SOURCES}: the example of an adapter is not there"),
        1..MAX_EXAMPLE_LINES => return Vec::new(),
        _ => format!("{EXAMPLE_SOURCES}: {lines} lines; under {MAX_EXAMPLE_LINES} are promised"),
    };
    vec![found]
}

/// First words of the names that files of the spool have.
const SPOOL_NAMES: &[&str] = &[
    "body",
    "rows",
    "echo",
    "sent",
    "order",
    "segment",
    "locations",
    "posting",
    "created",
];

/// Calls of the engine that wait: for a permit, for a pause, for another attempt, or at most until a time.
const WAITS: [&str; 8] = [
    ".retrying(",
    ".retrying_as(",
    ".exchange(",
    ".readable(",
    "self.known(&",
    ".fetched(",
    ".sleep_outside_steps(",
    "within(&*",
];

/// Files of the engine that may wait, below its `src`: operations outside of steps. No step is among them.
const MAY_WAIT: [&str; 14] = [
    "client/check.rs",
    "client/wait_all.rs",
    "clock.rs",
    "context.rs",
    "driver/retrying.rs",
    "run/account.rs",
    "run/adopt.rs",
    "run/bounds.rs",
    "run/claim.rs",
    "run/clean.rs",
    "run/retrieve.rs",
    "run/single.rs",
    "services/origin.rs",
    "services/duplicate_batches.rs",
];

/// The one file of the engine that spells names of files of the spool.
const LAYOUT: &str = "crates/engine/src/spool/layout.rs";

/// Reports whether a line has a literal that is, or begins like, the name of a file of the spool.
fn names_a_spool_file(line: &str) -> bool {
    SPOOL_NAMES.iter().any(|name| {
        let whole = ["create", "open", "name", "verify", "remove"];
        let mut calls = whole.iter();
        line.contains(&format!("\"{name}-"))
            || calls.any(|call| line.contains(&format!(".{call}(\"{name}\")")))
    })
}

/// Returns the breaches in one file.
fn file(path: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    if path.ends_with(".rs") && text.lines().count() > MAX_LINES {
        found.push(format!("{path}: over {MAX_LINES} lines; split it by noun"));
    }
    let neutral = ["core", "engine", "contract"]
        .iter()
        .any(|name| path.starts_with(&format!("crates/{name}/src")));
    let is_engine = path.starts_with("crates/engine/src");
    let may_wait = MAY_WAIT
        .iter()
        .any(|name| path.strip_prefix("crates/engine/src/") == Some(name));
    // Of the engine only the driver waits; clocks are what it waits by.
    let sleeps = ["driver.rs", "driver/retrying.rs", "clock.rs"]
        .map(|name| format!("crates/engine/src/{name}"));
    let may_sleep = !path.starts_with("crates/engine/src") || sleeps.iter().any(|of| of == path);
    // This file names what it looks for.
    let rust = path.ends_with(".rs") && path != "xtask/src/tidy.rs";
    for (number, line) in text.lines().enumerate() {
        let lower = line.to_ascii_lowercase();
        let mut tell = |what: &str| found.push(format!("{path}:{}: {what}", number + 1));
        if neutral && PROVIDERS.iter().any(|word| lower.contains(word)) {
            tell("core, engine and contract name no provider");
        }
        if !may_sleep && (line.contains(".sleep(") || line.contains(".reached(")) {
            tell("only the driver sleeps; a step returns when it is due again");
        }
        if is_engine && !may_wait && WAITS.iter().any(|call| line.contains(call)) {
            tell("only operations outside of steps wait; a step returns when it is due again");
        }
        if path.starts_with("crates/engine/src") && path != LAYOUT && names_a_spool_file(line) {
            tell("names of files of the spool stand in spool/layout.rs");
        }
        if rust {
            for bad in [
                "todo!(",
                "unimplemented!(",
                "dbg!(",
                "#[allow(",
                "#![allow(",
                "serde(untagged",
                "serde(flatten",
            ] {
                if line.contains(bad) {
                    tell(&format!("{bad} is not our style"));
                }
            }
        }
    }
    // The programs for the fuzzer are a workspace of their own, for another compiler.
    if path.ends_with("Cargo.toml")
        && !["Cargo.toml", "fuzz/Cargo.toml"].contains(&path)
        && !text.contains("[lints]\nworkspace = true")
    {
        found.push(format!("{path}: it takes the workspace's lints"));
    }
    found
}

/// Paths in backticks that lead nowhere: documents name no dead.
fn dead_paths(path: &str, text: &str, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let named = text.split('`').skip(1).step_by(2);
    let paths = named.filter(|word| {
        ["crates/", "docs/", "xtask/", "tests/", "examples/"]
            .iter()
            .any(|root| word.starts_with(root))
    });
    let dead = paths.filter(|word| !word.contains(['*', ' ', '|']) && !exists(word));
    dead.map(|word| format!("{path}: {word} is not there"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_finds_its_breach_and_nothing_else() {
        let long = "\n".repeat(MAX_LINES + 1);
        for (path, text, finds) in [
            ("crates/core/src/a.rs", "// as OpenAI does", 1),
            ("crates/cli/src/a.rs", "// as OpenAI does", 0),
            ("crates/cli/src/a.rs", "#[allow(dead_code)]", 1),
            (
                "crates/cli/src/a.rs",
                "#[expect(dead_code, reason = \"r\")]",
                0,
            ),
            ("crates/cli/src/a.rs", "todo!()", 1),
            ("crates/cli/src/a.rs", long.as_str(), 1),
            ("crates/engine/src/run/x.rs", "clock.sleep(time)", 1),
            ("crates/engine/src/driver.rs", "clock.sleep(time)", 0),
            ("crates/engine/src/run/work.rs", "context.retrying(|| x)", 1),
            ("crates/engine/src/run/work.rs", "within(&*clock, at, x)", 1),
            ("crates/engine/src/run/adopt.rs", "self.retrying(|| x)", 0),
            ("crates/cli/src/a.rs", "context.retrying(|| x)", 0),
            ("crates/cli/src/a.rs", "clock.sleep(time)", 0),
            ("crates/engine/src/a.rs", "format!(\"body-{n}\")", 1),
            ("crates/engine/src/a.rs", "files.create(\"echo\")?", 1),
            ("crates/engine/src/a.rs", "layout::body(n)", 0),
            (LAYOUT, "format!(\"body-{n}\")", 0),
            ("crates/engine/tests/a.rs", "format!(\"body-{n}\")", 0),
            ("crates/cli/Cargo.toml", "[package]", 1),
            ("crates/cli/Cargo.toml", "[lints]\nworkspace = true", 0),
        ] {
            assert_eq!(file(path, text).len(), finds, "{path}: {text:.30}");
        }
    }

    #[test]
    fn an_arrow_that_points_up_is_found() {
        for (from, provider, to, bad) in [
            ("lmbatch-core", false, "lmbatch-engine", true),
            ("lmbatch-core", false, "serde", false),
            ("lmbatch-engine", false, "lmbatch-http", true),
            ("lmbatch-engine", false, "lmbatch-core", false),
            ("lmbatch-engine", false, "lmbatch-runtime", false),
            ("lmbatch-ledger", false, "lmbatch-engine", true),
            ("lmbatch-runtime", false, "lmbatch-http", true),
            ("lmbatch-engine", false, "lmbatch-schema", false),
            ("lmbatch-prices", false, "lmbatch-lines", true),
            ("lmbatch-prices", false, "lmbatch-core", false),
            ("lmbatch-schema", false, "lmbatch-engine", true),
            ("lmbatch-schema", false, "lmbatch-core", false),
            ("lmbatch-acme", true, "lmbatch-engine", true),
            ("lmbatch-acme", true, "lmbatch-http", false),
            ("lmbatch-acme", true, "reqwest", true),
            ("lmbatch-acme", true, "lmbatch-contract", true),
            ("lmbatch-cli", false, "lmbatch-engine", true),
            ("lmbatch-cli", false, "lmbatch-lines", false),
            ("lmbatch-cli", false, "lmbatch", false),
            ("acme-wire", false, "lmbatch-contract", false),
            ("acme-cli", false, "lmbatch-contract", true),
            ("lmbatch-contract", false, "lmbatch-engine", false),
            ("lmbatch-contract", false, "lmbatch-openai", true),
            ("lmbatch-http", false, "reqwest", false),
        ] {
            assert_eq!(
                forbidden(from, provider, to).is_some(),
                bad,
                "{from} to {to}"
            );
        }
    }

    #[test]
    fn an_example_depends_only_on_published_crates() {
        for (from, kind, to, bad) in [
            ("acme-batch", None, "lmbatch-http", false),
            ("acme-batch", None, "serde", false),
            ("acme-batch", None, "lmbatch-openai", false),
            ("acme-batch", None, "acme-wire", true),
            ("acme-batch", None, "lmbatch-engine", true),
            ("acme-batch", None, "lmbatch-contract", true),
            ("acme-batch", Some("dev"), "lmbatch-contract", false),
            ("acme-batch", Some("dev"), "lmbatch-testing", true),
            ("acme-batch", Some("dev"), "acme-wire", false),
            ("acme-wire", None, "lmbatch-contract", false),
            ("acme-wire", None, "lmbatch-engine", true),
            ("acme-cli", None, "acme-batch", false),
            ("acme-cli", None, "acme-wire", false),
            ("acme-cli", None, "lmbatch", true),
            ("acme-cli", Some("dev"), "lmbatch-emulator", true),
            ("lmbatch-engine", None, "lmbatch-core", false),
        ] {
            assert_eq!(strange(from, kind, to).is_some(), bad, "{from} to {to}");
        }
    }

    #[test]
    fn a_path_that_leads_nowhere_is_found() {
        let text = "see `crates/core`, `crates/gone` and `cargo xtask ci`";
        assert_eq!(
            dead_paths("README.md", text, |path| path == "crates/core"),
            ["README.md: crates/gone is not there"]
        );
    }
}
