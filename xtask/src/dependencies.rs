//! Dependencies that a manifest declares and no source names.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::str::FromStr as _;

use proc_macro2::{TokenStream, TokenTree};
use serde_json::Value;

use crate::sh::output;

/// Dependencies that no source has to name: package, dependency, reason.
const EXCEPTIONS: &[(&str, &str, &str)] = &[];

/// Returns a breach for each dependency that is declared in vain, by a package or by the workspace.
pub(crate) fn unused() -> Result<Vec<String>, String> {
    let text = output(
        "cargo",
        &["metadata", "--locked", "--format-version", "1", "--no-deps"],
    )?;
    let metadata: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    let (mut found, mut declared) = (Vec::new(), BTreeSet::new());
    let mut exceptions: BTreeSet<_> = EXCEPTIONS.iter().map(|(of, to, _)| (*of, *to)).collect();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let name = package["name"].as_str().unwrap_or_default();
        let manifest = package["manifest_path"].as_str().unwrap_or_default();
        let folder = Path::new(manifest).parent().unwrap_or(Path::new("."));
        let (normal, all) = named(folder)?;
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let to = dependency["name"].as_str().unwrap_or_default();
            declared.insert(to.to_owned());
            let word = dependency["rename"].as_str().unwrap_or(to);
            let word = word.replace('-', "_");
            let is_named = match dependency["kind"].is_null() {
                true => normal.contains(&word),
                false => all.contains(&word),
            };
            if !is_named && !exceptions.remove(&(name, to)) {
                found.push(format!("{name} depends on {to}, and no source names it"));
            }
        }
    }
    for (of, to) in exceptions {
        found.push(format!(
            "xtask/src/dependencies.rs: {of} needs no exception for {to}"
        ));
    }
    let manifest = fs::read_to_string("Cargo.toml").map_err(|error| error.to_string())?;
    let shared = of_workspace(&manifest);
    let unused = shared.iter().filter(|name| !declared.contains(**name));
    found.extend(unused.map(|name| format!("Cargo.toml: no package depends on {name}")));
    Ok(found)
}

/// Returns the names in `[workspace.dependencies]` of a manifest.
fn of_workspace(manifest: &str) -> Vec<&str> {
    let lines = manifest.lines();
    let lines = lines.skip_while(|line| *line != "[workspace.dependencies]");
    let lines = lines.skip(1).take_while(|line| !line.starts_with('['));
    let names = lines.filter(|line| !line.starts_with('#'));
    names
        .filter_map(|line| Some(line.split_once([' ', '=', '.'])?.0))
        .filter(|name| !name.is_empty())
        .collect()
}

/// Returns the words before `::` or after `use` in the sources of a package: without its tests, and with them.
fn named(folder: &Path) -> Result<(BTreeSet<String>, BTreeSet<String>), String> {
    let (mut normal, mut all) = (BTreeSet::new(), BTreeSet::new());
    for (part, is_normal) in [
        ("src", true),
        ("tests", false),
        ("benches", false),
        ("examples", false),
    ] {
        let mut files = Vec::new();
        rust_files(&folder.join(part), &mut files);
        for file in files {
            let text = fs::read_to_string(&file)
                .map_err(|error| format!("{}: {error}", file.display()))?;
            if is_normal {
                words(&text, false, &mut normal);
            }
            words(&text, true, &mut all);
            // Examples in docs, and in documents that are included as docs, are tests as well.
            let docs = text.lines().filter_map(|line| {
                let line = line.trim_start();
                line.strip_prefix("///").or(line.strip_prefix("//!"))
            });
            docs.for_each(|line| words_of_line(line, &mut all));
            let beside = file.parent().unwrap_or(folder);
            for included in included(&text) {
                let document = fs::read_to_string(beside.join(included)).unwrap_or_default();
                let lines = document.lines();
                lines.for_each(|line| words_of_line(line, &mut all));
            }
        }
    }
    Ok((normal, all))
}

/// Returns the paths of the documents that a source includes.
fn included(source: &str) -> impl Iterator<Item = &str> {
    let calls = source.split("include_str!(\"").skip(1);
    let paths = calls.filter_map(|rest| Some(rest.split_once('"')?.0));
    paths.filter(|path| path.ends_with(".md"))
}

/// Adds the words before each `::` of a line.
fn words_of_line(line: &str, found: &mut BTreeSet<String>) {
    let parts: Vec<_> = line.split("::").collect();
    let before = parts.split_last().map_or(&[][..], |(_, before)| before);
    for part in before {
        let mut words = part.rsplit(|of: char| !of.is_alphanumeric() && of != '_');
        found.extend(words.next().map(str::to_owned));
    }
}

fn rust_files(folder: &Path, files: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            rust_files(&path, files);
        } else if path.extension().is_some_and(|of| of == "rs") {
            files.push(path);
        }
    }
}

/// Adds the words of a source that may be names of crates.
fn words(source: &str, with_tests: bool, found: &mut BTreeSet<String>) {
    let tokens = TokenStream::from_str(source).unwrap_or_default();
    read(&tokens.into_iter().collect::<Vec<_>>(), with_tests, found);
}

fn read(tokens: &[TokenTree], with_tests: bool, found: &mut BTreeSet<String>) {
    let is_sign = |at: Option<&TokenTree>, sign: char| matches!(at, Some(TokenTree::Punct(punct)) if punct.as_char() == sign);
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        match token {
            TokenTree::Group(group) => {
                let is_test = at > 0
                    && is_sign(tokens.get(at - 1), '#')
                    && group.stream().to_string().replace(' ', "") == "cfg(test)";
                if is_test && !with_tests {
                    // The item after the attribute, up to its body or its semicolon.
                    while let Some(token) = tokens.get(at + 1) {
                        at += 1;
                        let is_body = matches!(token, TokenTree::Group(group)
                            if group.delimiter() == proc_macro2::Delimiter::Brace);
                        if is_body || is_sign(Some(token), ';') {
                            break;
                        }
                    }
                } else {
                    let inner: Vec<_> = group.stream().into_iter().collect();
                    read(&inner, with_tests, found);
                }
            }
            TokenTree::Ident(word) => {
                let is_first = at < 2 || !is_sign(tokens.get(at - 1), ':') || !is_sign(tokens.get(at - 2), ':')
                    // `::name::…` begins at the root.
                    || !matches!(tokens.get(at.wrapping_sub(3)), Some(TokenTree::Ident(_)));
                let opens = is_sign(tokens.get(at + 1), ':') && is_sign(tokens.get(at + 2), ':');
                let is_used = matches!(tokens.get(at.wrapping_sub(1)), Some(TokenTree::Ident(before)) if before == "use");
                if (is_first && opens) || is_used {
                    found.insert(word.to_string());
                }
            }
            _ => {}
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(source: &str, with_tests: bool) -> Vec<String> {
        let mut found = BTreeSet::new();
        words(source, with_tests, &mut found);
        found.into_iter().collect()
    }

    #[test]
    fn a_crate_is_named_by_a_path_or_a_use() {
        for (source, expected) in [
            ("use serde::Serialize;", &["serde"][..]),
            ("use serde;", &["serde"]),
            (
                "fn f() { let x = ::serde_json::json!({}); }",
                &["serde_json"],
            ),
            ("#[async_trait::async_trait] trait A {}", &["async_trait"]),
            ("fn f(bytes: u8) -> u8 { bytes }", &[]),
            ("fn f() { a::bytes::b() }", &["a"]),
            ("// use tracing;\n/// tracing::info\nstruct A;", &[]),
            (
                "macro_rules! m { () => { $crate::a::B; bytes::Bytes } }",
                &["bytes", "crate"],
            ),
        ] {
            assert_eq!(found(source, false), expected, "{source}");
        }
    }

    #[test]
    fn an_example_in_a_document_uses_dependencies_for_tests() {
        let source = "#[doc = include_str!(\"../../a.md\")] mod guide {}";
        assert_eq!(included(source).collect::<Vec<_>>(), ["../../a.md"]);
        let mut found = BTreeSet::new();
        words_of_line(
            "#[derive(serde::Deserialize, schemars::JsonSchema)]",
            &mut found,
        );
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["schemars", "serde"]);
    }

    #[test]
    fn tests_inside_a_source_use_dependencies_for_tests() {
        let source = "#[cfg(test)]\nmod tests { use mockall::automock; }\nuse serde::Serialize;";
        assert_eq!(found(source, false), ["serde"]);
        assert_eq!(found(source, true), ["mockall", "serde"]);
    }

    #[test]
    fn names_of_the_workspace_s_dependencies_are_read() {
        let manifest = "[workspace]\na = 1\n[workspace.dependencies]\n# First.\nserde = { version = \"1\" }\n\nurl = \"2\"\n[lints]\nb = 1";
        assert_eq!(of_workspace(manifest), ["serde", "url"]);
    }
}
