//! Checks the documents: pages of the table of contents, links, anchors, and languages of fences.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::sh::{has, output, run};

/// Languages that a fence may name. `tests/tests/book.rs` says what happens to a block of each.
const LANGUAGES: &[&str] = &[
    "console", "crontab", "csv", "json", "jsonl", "python", "rust", "sh", "text", "toml", "yaml",
];

const SUMMARY: &str = "docs/SUMMARY.md";

/// Parts of a page that are checked, each with its line.
#[derive(Debug, Default)]
struct Page {
    anchors: HashSet<String>,
    links: Vec<(usize, String)>,
    fences: Vec<(usize, String)>,
    /// Line of a fence without an end.
    unclosed: Option<usize>,
}

/// Checks every document, and builds the book where mdBook is installed.
pub(crate) fn book() -> Result<(), String> {
    let arguments = [
        "ls-files",
        "--cached",
        "--others",
        "--exclude-standard",
        "--",
        "docs",
        "README.md",
        "CONTRIBUTING.md",
    ];
    let files = output("git", &arguments)?;
    let mut pages = BTreeMap::new();
    for path in files.lines().filter(|path| path.ends_with(".md")) {
        // A deleted file is listed until its deletion is committed.
        if let Ok(text) = fs::read_to_string(path) {
            pages.insert(path.to_owned(), parse(&text));
        }
    }
    let found = problems(&pages, |path| fs::exists(path).unwrap_or(false));
    if !found.is_empty() {
        return Err(format!(
            "{} problems in documents:\n  {}",
            found.len(),
            found.join("\n  ")
        ));
    }
    println!("{} documents", pages.len());
    if has("mdbook") {
        return run("mdbook", &["build", "docs"]);
    }
    if std::env::var_os("LMBATCH_REQUIRE_MDBOOK").is_some() {
        return Err("mdbook is not installed; `.ci/run` installs it".to_owned());
    }
    println!("mdbook is not installed: the pages were checked, and not rendered");
    Ok(())
}

/// Returns the problems of all pages, each with its file and line.
fn problems(pages: &BTreeMap<String, Page>, exists: impl Fn(&Path) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for (path, page) in pages {
        for (line, info) in &page.fences {
            let language = info.split(',').next().unwrap_or_default().trim();
            if !LANGUAGES.contains(&language) {
                found.push(format!("{path}:{line}: unknown language {language:?}"));
            }
        }
        if let Some(line) = page.unclosed {
            found.push(format!("{path}:{line}: the fence has no end"));
        }
        for (line, link) in &page.links {
            if let Some(problem) = dead(path, link, pages, &exists) {
                found.push(format!("{path}:{line}: {problem}"));
            }
        }
    }
    found.extend(unlisted(pages));
    found
}

/// Returns the problem of a link, if it has one. Links to other sites are not checked.
fn dead(
    from: &str,
    link: &str,
    pages: &BTreeMap<String, Page>,
    exists: impl Fn(&Path) -> bool,
) -> Option<String> {
    if link.contains("://") || link.starts_with("mailto:") {
        return None;
    }
    let (file, anchor) = match link.split_once('#') {
        Some((file, anchor)) => (file, Some(anchor)),
        None => (link, None),
    };
    let target = match file {
        "" => PathBuf::from(from),
        file => target(from, file),
    };
    if !exists(&target) {
        return Some(format!("{link} is not there"));
    }
    let page = pages.get(target.to_str()?)?;
    let anchor = anchor.filter(|anchor| !page.anchors.contains(*anchor))?;
    Some(format!("{} has no heading #{anchor}", target.display()))
}

/// Returns the path of a link, relative to the root of the repository.
fn target(from: &str, file: &str) -> PathBuf {
    let mut path = Path::new(from).parent().unwrap_or(Path::new("")).to_owned();
    for part in Path::new(file).components() {
        match part {
            Component::ParentDir => {
                path.pop();
            }
            Component::Normal(name) => path.push(name),
            _ => {}
        }
    }
    path
}

/// Returns the pages below `docs` that the table of contents does not list: mdBook does not render them.
fn unlisted(pages: &BTreeMap<String, Page>) -> Vec<String> {
    let links = pages
        .get(SUMMARY)
        .map_or(&[][..], |summary| &summary.links[..]);
    let listed: HashSet<PathBuf> = links
        .iter()
        .map(|(_, link)| target(SUMMARY, link))
        .collect();
    let below = pages.keys().filter(|path| path.starts_with("docs/"));
    below
        .filter(|path| *path != SUMMARY && !listed.contains(Path::new(path)))
        .map(|path| format!("{SUMMARY} does not list {path}"))
        .collect()
}

fn parse(text: &str) -> Page {
    let mut page = Page::default();
    let mut uses: HashMap<String, usize> = HashMap::new();
    for (at, line) in text.lines().enumerate() {
        let number = at + 1;
        if let Some(info) = line.trim_start().strip_prefix("```") {
            match page.unclosed {
                Some(_) => page.unclosed = None,
                None => {
                    page.unclosed = Some(number);
                    page.fences.push((number, info.to_owned()));
                }
            }
            continue;
        }
        if page.unclosed.is_some() {
            continue;
        }
        let heading = line.trim_start_matches('#');
        if heading.len() < line.len() && heading.starts_with(' ') {
            let anchor = anchor(heading.trim());
            let before = uses.entry(anchor.clone()).or_default();
            page.anchors.insert(match *before {
                0 => anchor,
                before => format!("{anchor}-{before}"),
            });
            *before += 1;
        }
        let links = links(line).into_iter();
        page.links.extend(links.map(|link| (number, link)));
    }
    page
}

/// Returns the anchor that GitHub and mdBook derive from a heading.
fn anchor(heading: &str) -> String {
    let letters = heading.chars().filter_map(|letter| match letter {
        ' ' => Some('-'),
        '-' | '_' => Some(letter),
        _ => letter.is_alphanumeric().then_some(letter),
    });
    letters.flat_map(char::to_lowercase).collect()
}

/// Returns the targets of the links of one line, those in code left out.
fn links(line: &str) -> Vec<String> {
    let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
    let targets = prose.split("](").skip(1);
    let targets = targets.filter_map(|rest| rest.split([')', ' ']).next());
    targets.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems_of(files: &[(&str, &str)]) -> Vec<String> {
        let pages: BTreeMap<String, Page> = files
            .iter()
            .map(|(path, text)| ((*path).to_owned(), parse(text)))
            .collect();
        problems(&pages, |path| {
            path.to_str().is_some_and(|path| pages.contains_key(path))
        })
    }

    #[test]
    fn links_anchors_and_fences_that_resolve_are_accepted() {
        let found = problems_of(&[
            (
                "README.md",
                "[a](docs/guide/a.md#two-words) [b](https://x.test/#y)",
            ),
            (SUMMARY, "- [A](guide/a.md)\n- [B](b.md)"),
            (
                "docs/guide/a.md",
                "# Two `words`\n```sh,not-run\n[x](none.md)\n```\n[b](../b.md) `[x](no.md)`",
            ),
            ("docs/b.md", "## Once\n## Once\n[again](#once-1)"),
        ]);
        assert!(found.is_empty(), "{found:?}");
    }

    #[test]
    fn dead_links_unknown_languages_and_unlisted_pages_are_reported() {
        for (page, problem) in [
            ("[x](none.md)", "docs/a.md:1: none.md is not there"),
            (
                "\n[x](#none)",
                "docs/a.md:2: docs/a.md has no heading #none",
            ),
            ("```ruby\n```", "docs/a.md:1: unknown language \"ruby\""),
            ("```\n```", "docs/a.md:1: unknown language \"\""),
            ("```sh\n", "docs/a.md:1: the fence has no end"),
        ] {
            let found = problems_of(&[(SUMMARY, "[A](a.md)"), ("docs/a.md", page)]);
            assert_eq!(found, [problem]);
        }
        let found = problems_of(&[(SUMMARY, ""), ("docs/a.md", "")]);
        assert_eq!(found, ["docs/SUMMARY.md does not list docs/a.md"]);
    }
}
