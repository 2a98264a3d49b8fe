//! Text of a failure: the promise of the clause, what was found, the last exchange, and the methods of the wire that the
//! clause uses.

use crate::panics::{Faults, cut};

/// Sources of the clauses by their topics, in the order of the table.
pub(crate) const SOURCES: &[(&str, &str)] = &[
    ("create", include_str!("clauses/create.rs")),
    ("doubt", include_str!("clauses/doubt.rs")),
    ("secrets", include_str!("clauses/secrets.rs")),
    ("status", include_str!("clauses/status.rs")),
    ("outcomes", include_str!("clauses/outcomes.rs")),
    ("results", include_str!("clauses/results.rs")),
    ("calls", include_str!("clauses/calls.rs")),
    ("refusals", include_str!("clauses/refusals.rs")),
    ("redirects", include_str!("clauses/redirects.rs")),
    ("content", include_str!("clauses/content.rs")),
    ("options", include_str!("clauses/options.rs")),
    ("answers", include_str!("clauses/answers.rs")),
    ("tokens", include_str!("clauses/tokens.rs")),
    ("records", include_str!("clauses/records.rs")),
    ("lists", include_str!("clauses/lists.rs")),
    ("rows", include_str!("clauses/rows.rs")),
    ("contradictions", include_str!("clauses/contradictions.rs")),
];

/// Methods of the wire behind what clauses call.
const BEHIND: &[(&str, &[&str])] = &[
    (".open_three(", &["sent", "batch", "row", "part"]),
    (".open(", &["sent", "batch", "row", "part"]),
    (".create(", &["staged", "created"]),
    (".full(", &["full_row"]),
    (".status(", &["batch"]),
    (".list(", &["page", "list_page"]),
    (".deletions", &["deleted"]),
    (".question(", &["sent", "takes"]),
    (".arrives", &["sent", "takes"]),
    (".must_arrive(", &["sent", "takes"]),
];

/// The text of a clause that is not kept.
pub(crate) fn message(topic: &str, name: &str, found: &str, faults: &Faults) -> String {
    let source = source_of(topic);
    let mut said = format!("{}\n\n{found}", promise(source, name));
    if let Some(last) = faults.last_exchange() {
        said.push_str(&format!("\n\nlast exchange: {last}"));
    }
    let methods = methods(source, name).into_iter();
    let methods: Vec<_> = methods.map(|method| format!("Wire::{method}")).collect();
    said.push_str(&format!("\nuses: {}", methods.join(", ")));
    cut(&said)
}

pub(crate) fn source_of(topic: &str) -> &'static str {
    let source = SOURCES.iter().find(|(of, _)| *of == topic);
    source.map_or("", |(_, source)| source)
}

/// The documentation of a clause, on one line.
pub(crate) fn promise(source: &str, name: &str) -> String {
    let Some(at) = source.find(&format!("pub async fn {name}(")) else {
        return name.replace('_', " ");
    };
    let mut lines: Vec<&str> = Vec::new();
    for line in source[..at].lines().rev() {
        match line.strip_prefix("///") {
            Some(line) => lines.push(line.trim()),
            None => break,
        }
    }
    lines.reverse();
    lines.join(" ")
}

/// Methods of the wire that a clause and the functions beside it use, sorted.
pub(crate) fn methods(source: &str, name: &str) -> Vec<String> {
    let mut found = vec!["adapter".to_owned(), "call".to_owned()];
    let (mut left, mut seen) = (vec![name.to_owned()], Vec::new());
    while let Some(one) = left.pop() {
        let Some(body) = body_of(source, &one) else {
            continue;
        };
        seen.push(one);
        for called in body.split("wire.").skip(1) {
            found.extend(called.split('(').next().map(str::to_owned));
        }
        for (helper, behind) in BEHIND {
            if body.contains(helper) {
                found.extend(behind.iter().map(|method| (*method).to_owned()));
            }
        }
        for called in body.split('(') {
            let word = called.rsplit(|c: char| !c.is_alphanumeric() && c != '_');
            let word = word.into_iter().next().unwrap_or_default();
            if !word.is_empty() && !seen.iter().any(|one| one == word) {
                left.push(word.to_owned());
            }
        }
    }
    found.retain(|method| method.chars().all(|c| c.is_ascii_lowercase() || c == '_'));
    found.sort_unstable();
    found.dedup();
    found
}

/// The body of a function at the top of a source.
fn body_of<'s>(source: &'s str, name: &str) -> Option<&'s str> {
    let at = source.find(&format!("fn {name}("))?;
    let is_top = source[..at].rsplit('\n').next()?;
    let body = &source[at..];
    (!is_top.starts_with(' ')).then(|| body.find("\n}").map_or(body, |end| &body[..end]))
}
