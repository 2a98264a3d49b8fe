//! The README and each page of the book run: the shell blocks of a page one after the other, in a folder of its own,
//! against the emulator.
//!
//! | fence | what happens |
//! |---|---|
//! | ` ```sh ` | run by `sh -eu`; the page fails where a command does |
//! | ` ```sh,exit=3 ` | the block must end with this exit code |
//! | ` ```console ` | a session: each line after `$ ` is run, and its output is compared; `[..]` stands for any text |
//! | ` ```jsonl,file=NAME `, any language | the block is written to a file |
//! | any fence after `<!-- file: NAME -->` | the same, on a page that rustdoc reads too, which warns of `=` in a fence |
//! | ` ```sh,not-run ` | nothing: it needs a network, a key or minutes |
//! | ` ```rust ` | a doctest of a crate, which must include the page |
//! | ` ```rust ` after `<!-- examples/… -->` | an excerpt: each of its lines stands in the sources of the examples |
//! | ` ```python ` | its syntax is checked, where there is Python |
//! | ` ```text `, other data | nothing |
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use lmbatch_tests::{Emulating, lmbatch};

/// One fenced block of a page.
struct Block {
    line: usize,
    /// Words of the fence, separated by commas: language, then options.
    info: Vec<String>,
    text: String,
    is_excerpt: bool,
    /// Name of the file to write, from a comment before the fence.
    file: Option<String>,
}

impl Block {
    fn language(&self) -> &str {
        self.info.first().map_or("", String::as_str)
    }

    fn option(&self, name: &str) -> Option<&str> {
        let mut options = self.info.iter();
        options.find_map(|one| one.strip_prefix(name)?.strip_prefix('='))
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = page.lines().enumerate();
    let mut before = "";
    while let Some((at, line)) = lines.next() {
        let comment = std::mem::replace(&mut before, line);
        let Some(info) = line.strip_prefix("```") else {
            continue;
        };
        let mut text = String::new();
        for (_, line) in lines.by_ref().take_while(|(_, line)| *line != "```") {
            writeln!(text, "{line}").unwrap();
        }
        blocks.push(Block {
            line: at + 1,
            info: info.split(',').map(|one| one.trim().to_owned()).collect(),
            text,
            is_excerpt: comment.starts_with("<!-- examples/"),
            file: comment
                .strip_prefix("<!-- file: ")
                .and_then(|rest| rest.strip_suffix(" -->"))
                .map(str::to_owned),
        });
    }
    blocks
}

/// A folder for one page, in which `lmbatch` is the command, pointed at an emulator.
struct Page {
    name: String,
    emulating: Emulating,
    folder: tempfile::TempDir,
}

impl Page {
    fn new(name: &str) -> Self {
        let page = Self {
            name: name.to_owned(),
            emulating: Emulating::start(),
            folder: tempfile::tempdir().unwrap(),
        };
        let tools = page.folder.path().join(".tools");
        std::fs::create_dir(&tools).unwrap();
        // A reader waits for minutes, a test does not.
        let script = format!(
            "#!/bin/sh\ncase \"$1 $*\" in\n  *--poll-interval*|*--help*) ;;\n  run\\ *|resume\\ *|requeue\\ *) set -- \"$@\" --poll-interval 20ms ;;\nesac\nexec '{}' \"$@\"\n",
            lmbatch().display()
        );
        write_program(&tools.join("lmbatch"), &script);
        page
    }

    fn sh(&self, script: &str) -> Output {
        let tools = self.folder.path().join(".tools");
        let path = std::env::var("PATH").unwrap_or_default();
        let mut shell = self.emulating.shell("openai", self.folder.path());
        shell
            .env("ANTHROPIC_API_KEY", lmbatch_tests::KEY)
            .env("PATH", format!("{}:{path}", tools.display()))
            .env_remove("LMBATCH_LOG")
            // A page may write configuration files of its own.
            .env_remove("LMBATCH_CONFIG")
            .env("XDG_CONFIG_HOME", self.folder.path().join(".config"));
        shell.args(["-euc", script]).output().unwrap()
    }

    /// Runs a block, and returns what is wrong with it.
    fn run(&self, block: &Block) -> Result<(), String> {
        if let Some(file) = block.option("file").or(block.file.as_deref()) {
            let path = self.folder.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, &block.text).unwrap();
        }
        match block.language() {
            "sh" if block.info.iter().any(|one| one == "not-run") => Ok(()),
            "sh" => {
                let expected: i32 = block.option("exit").unwrap_or("0").parse().unwrap();
                let output = self.sh(&block.text);
                match output.status.code() == Some(expected) {
                    true => Ok(()),
                    false => Err(format!(
                        "exit {:?}, not {expected}: {}",
                        output.status.code(),
                        lmbatch_tests::said(&output)
                    )),
                }
            }
            "console" => self.session(&block.text),
            "python" => self.python(&block.text),
            "rust" if block.is_excerpt => is_excerpt(&block.text),
            "rust" => self.is_doctest(),
            "" | "text" | "json" | "jsonl" | "csv" | "toml" | "yaml" | "crontab" => Ok(()),
            other => Err(format!("no rule for a block of {other:?}")),
        }
    }

    /// Runs the commands of a session, and compares what they print.
    fn session(&self, text: &str) -> Result<(), String> {
        let mut commands: Vec<(&str, String)> = Vec::new();
        for line in text.lines() {
            match (line.strip_prefix("$ "), commands.last_mut()) {
                (Some(command), _) => commands.push((command, String::new())),
                (None, Some((_, printed))) => writeln!(printed, "{line}").unwrap(),
                (None, None) => return Err("a session begins with a command".to_owned()),
            }
        }
        for (command, expected) in commands {
            let output = self.sh(&format!("exec 2>&1\n{command}"));
            // Commands that are printed repeat the option of the script above.
            let printed =
                String::from_utf8_lossy(&output.stdout).replace(" --poll-interval 20ms", "");
            let fits = fits(&expected, &printed);
            if !fits {
                return Err(format!(
                    "{command}\nprinted:\n{printed}\nand not:\n{expected}"
                ));
            }
        }
        Ok(())
    }

    fn python(&self, text: &str) -> Result<(), String> {
        std::fs::write(self.folder.path().join("block.py"), text).unwrap();
        let check = "import ast, sys; ast.parse(open('block.py').read())";
        let mut python = Command::new("python3");
        let python = python.current_dir(self.folder.path()).args(["-c", check]);
        match python.output() {
            Ok(output) if !output.status.success() => Err(lmbatch_tests::said(&output)),
            // Without Python nothing is checked.
            _ => Ok(()),
        }
    }

    fn is_doctest(&self) -> Result<(), String> {
        let included = format!("/{}\")", self.name);
        let crates = ["crates/lmbatch", "crates/emulator"];
        let includes = |one: &&str| {
            let source = std::fs::read_to_string(root().join(one).join("src/lib.rs"));
            source.unwrap().contains(&included)
        };
        match crates.iter().any(includes) {
            true => Ok(()),
            false => Err("no crate includes the page, so its Rust is not compiled".to_owned()),
        }
    }
}

/// Checks that each line of an excerpt stands in the sources of the examples; lines with three dots do not count.
fn is_excerpt(text: &str) -> Result<(), String> {
    let mut sources = String::new();
    read_all(&root().join("examples"), &mut sources);
    let known: std::collections::HashSet<&str> = sources.lines().map(str::trim).collect();
    let lines = text.lines().map(str::trim);
    let mut lines = lines.filter(|line| !line.is_empty() && !line.contains('…'));
    match lines.find(|line| !known.contains(line)) {
        None => Ok(()),
        Some(line) => Err(format!("no example has the line {line:?}")),
    }
}

fn read_all(folder: &Path, all: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_all(&path, all);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            all.push_str(&std::fs::read_to_string(path).unwrap());
        }
    }
}

fn write_program(path: &Path, script: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(path, script).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// Returns whether a text is the expected one. In that, `[..]` stands for any text within a line, and a line of three
/// dots for any number of lines.
fn fits(expected: &str, printed: &str) -> bool {
    if expected.trim().is_empty() {
        return printed.trim().is_empty();
    }
    let mut pattern = String::from("^");
    for line in expected.trim_end().lines() {
        if line.trim() == "..." {
            pattern.push_str("(?:.*\n)*?");
            continue;
        }
        let parts: Vec<String> = line
            .trim_end()
            .split("[..]")
            .map(regex_lite::escape)
            .collect();
        pattern.push_str(&parts.join(".*"));
        pattern.push_str(" *\n");
    }
    pattern.push('$');
    let printed = format!("{}\n", printed.trim_end());
    regex_lite::Regex::new(&pattern).unwrap().is_match(&printed)
}

/// The README, and every page of the book from its table of contents.
fn pages() -> Vec<String> {
    let summary = std::fs::read_to_string(root().join("docs/SUMMARY.md")).unwrap();
    let links = summary.lines().filter_map(|line| {
        let (_, link) = line.split_once("](")?;
        Some(format!("docs/{}", link.strip_suffix(')')?))
    });
    std::iter::once("README.md".to_owned())
        .chain(links)
        .collect()
}

fn run_pages(names: impl Iterator<Item = String>) {
    let mut wrong = String::new();
    for name in names {
        let text = std::fs::read_to_string(root().join(&name)).unwrap();
        let page = Page::new(&name);
        for block in blocks(&text) {
            if let Err(why) = page.run(&block) {
                writeln!(wrong, "{name}:{}: {why}", block.line).unwrap();
                break;
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn each_page_of_the_book_runs() {
    let pages = pages();
    assert!(pages.len() > 10, "{pages:?}");
    run_pages(pages.into_iter());
}

#[test]
fn the_output_of_a_session_is_compared_with_wildcards() {
    for (expected, printed, fit) in [
        ("a [..] c\n", "a b c\n", true),
        ("a [..] c\n", "a b d\n", false),
        ("...\nend\n", "one\ntwo\nend\n", true),
        ("one\n...\n", "one\ntwo\n", true),
        ("one\n", "one\ntwo\n", false),
        ("1.5 s\n", "1x5 s\n", false),
    ] {
        assert_eq!(fits(expected, printed), fit, "{expected:?}: {printed:?}");
    }
}

#[test]
fn the_page_on_troubleshooting_explains_each_kind_of_error_once() {
    let page = std::fs::read_to_string(root().join("docs/guide/troubleshooting.md")).unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    let first_cells: Vec<&str> = rows.filter_map(|row| row.split('|').nth(1)).collect();
    for kind in lmbatch_core::ErrorKind::ALL {
        let cell = format!("`{}`", kind.as_str());
        let rows = first_cells.iter().filter(|one| one.contains(&cell));
        assert_eq!(rows.count(), 1, "rows of {cell}");
    }
    let named: usize = first_cells
        .iter()
        .map(|cell| cell.matches('`').count() / 2)
        .sum();
    assert_eq!(named, lmbatch_core::ErrorKind::ALL.len(), "{first_cells:?}");
}
