//! Circles of files inside a crate: files that name each other can only be read together.
//!
//! A file names another by a path: `crate::run::poll::Poll`, `super::Shared`, a `use` of either, or the path of
//! one of its own modules. A name that another file exports again leads to the file that defines it. Tests inside
//! a file do not count.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path as FilePath;
use std::str::FromStr as _;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// Path of a module from the root of its crate; empty for the root.
type Module = Vec<String>;

/// Words of a path in a source.
type Words = Vec<String>;

/// Paths to other files in one file.
#[derive(Default)]
struct File {
    /// Paths in it.
    named: Vec<Words>,
    /// Paths that it exports again, by the name that they have there.
    exported: BTreeMap<String, Words>,
}

/// Circles of the crates whose sources are among `files`, each as a sentence.
pub(crate) fn circles(files: &str) -> Vec<String> {
    let mut crates: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for path in files.lines().filter(|path| path.ends_with(".rs")) {
        if let Some((folder, _)) = path.split_once("/src/") {
            crates.entry(folder).or_default().push(path);
        }
    }
    let mut found = Vec::new();
    for (folder, paths) in crates {
        let mut sources = BTreeMap::new();
        for path in paths {
            let name = path[folder.len() + "/src/".len()..].to_owned();
            if let Ok(text) = fs::read_to_string(FilePath::new(path)) {
                sources.insert(name, text);
            }
        }
        // The words of core explain each other: an error holds handles, and reading a handle may fail.
        let is_vocabulary = folder == "crates/core";
        for circle in of_crate(&sources, is_vocabulary) {
            found.push(format!(
                "{folder}/src: {} name each other",
                circle.join(", ")
            ));
        }
    }
    found
}

/// Circles of one crate, by the names of its files below `src`. Where the crate is a vocabulary, names that its
/// root exports may be used anywhere.
fn of_crate(sources: &BTreeMap<String, String>, is_vocabulary: bool) -> Vec<Vec<String>> {
    let mut files: BTreeMap<Module, (String, File)> = BTreeMap::new();
    for (name, text) in sources {
        let tokens = TokenStream::from_str(text).unwrap_or_default();
        let mut file = File::default();
        read(&tokens.into_iter().collect::<Vec<_>>(), &mut file);
        files.insert(module_of(name), (name.clone(), file));
    }
    let mut names: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (module, (name, file)) in &files {
        for words in &file.named {
            let to = leads_to(&files, module, words, is_vocabulary);
            if let Some((to, _)) = to
                .and_then(|to| files.get(&to))
                .filter(|(to, _)| to != name)
            {
                names.entry(name).or_default().insert(to);
            }
        }
    }
    let mut circles: Vec<Vec<String>> = Vec::new();
    for name in sources.keys().map(String::as_str) {
        let reached = reach(&names, name);
        if !reached.contains(name) || circles.iter().flatten().any(|known| known == name) {
            continue;
        }
        let back = |other: &&&str| reach(&names, other).contains(name);
        circles.push(
            reached
                .iter()
                .filter(back)
                .map(ToString::to_string)
                .collect(),
        );
    }
    circles
}

/// Files that are named by a file, by those, and so on.
fn reach<'a>(names: &BTreeMap<&'a str, BTreeSet<&'a str>>, from: &str) -> BTreeSet<&'a str> {
    let (mut reached, mut open) = (BTreeSet::new(), vec![from]);
    while let Some(name) = open.pop() {
        for to in names.get(name).into_iter().flatten() {
            if reached.insert(*to) {
                open.push(to);
            }
        }
    }
    reached
}

fn module_of(name: &str) -> Module {
    let mut module: Module = name
        .trim_end_matches(".rs")
        .split('/')
        .map(str::to_owned)
        .collect();
    if module
        .last()
        .is_some_and(|last| ["mod", "lib", "main"].contains(&last.as_str()))
    {
        module.pop();
    }
    module
}

/// The module that a path leads to, as seen from another.
fn leads_to(
    files: &BTreeMap<Module, (String, File)>,
    from: &Module,
    words: &[String],
    is_vocabulary: bool,
) -> Option<Module> {
    let (mut module, rest) = match words.first()?.as_str() {
        "crate" => (Module::new(), &words[1..]),
        "self" => (from.clone(), &words[1..]),
        "super" => {
            let ups = words.iter().take_while(|word| *word == "super").count();
            (
                from[..from.len().saturating_sub(ups)].to_vec(),
                &words[ups..],
            )
        }
        first => {
            let mut child = from.clone();
            child.push(first.to_owned());
            files.contains_key(&child).then_some(())?;
            (from.clone(), words)
        }
    };
    let mut names = rest.iter();
    for name in names.by_ref() {
        let mut deeper = module.clone();
        deeper.push(name.clone());
        if files.contains_key(&deeper) {
            module = deeper;
            continue;
        }
        let (_, file) = files.get(&module)?;
        let Some(again) = file.exported.get(name) else {
            break;
        };
        if is_vocabulary && module.is_empty() {
            return None;
        }
        let mut whole = again.clone();
        whole.extend(names.cloned());
        return leads_to(files, &module, &whole, is_vocabulary);
    }
    Some(module)
}

/// Reads the paths of a source.
fn read(tokens: &[TokenTree], file: &mut File) {
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        match token {
            TokenTree::Punct(hash) if hash.as_char() == '#' && is_test(tokens.get(at + 1)) => {
                at += 2;
                if is_word(tokens.get(at), "mod") {
                    at += 3;
                }
                continue;
            }
            TokenTree::Ident(word) if word == "use" => {
                let end = (at..tokens.len()).find(|at| is_punct(tokens.get(*at), ';'));
                let end = end.unwrap_or(tokens.len());
                let is_export = at > 0
                    && (is_word(tokens.get(at - 1), "pub")
                        || is_group(tokens.get(at - 1), Delimiter::Parenthesis));
                tree(&tokens[at + 1..end], &[], &mut |words, name| {
                    if is_export {
                        file.exported.insert(name, words);
                    } else {
                        file.named.push(words);
                    }
                });
                at = end;
            }
            // What may see an item is no use of it.
            TokenTree::Ident(word)
                if word == "pub"
                    && is_group(tokens.get(at + 1), Delimiter::Parenthesis)
                    && !is_word(tokens.get(at + 2), "use") =>
            {
                at += 1;
            }
            TokenTree::Ident(word) if word == "pub" => {}
            TokenTree::Ident(word) => {
                let mut words = vec![word.to_string()];
                while let Some(TokenTree::Ident(word)) = after_colons(tokens, at + 1) {
                    words.push(word.to_string());
                    at += 3;
                }
                if words.len() > 1 {
                    file.named.push(words);
                }
            }
            TokenTree::Group(group) => {
                read(&group.stream().into_iter().collect::<Vec<_>>(), file);
            }
            _ => {}
        }
        at += 1;
    }
}

/// Reads the tree of a `use`, and gives each path with the name that it has here.
fn tree(tokens: &[TokenTree], before: &[String], give: &mut impl FnMut(Words, String)) {
    let mut words = before.to_vec();
    let mut name = None;
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        match token {
            TokenTree::Ident(word) if word == "as" => {
                name = tokens.get(at + 1).map(ToString::to_string);
                at += 1;
            }
            TokenTree::Ident(word) if word == "self" && !words.is_empty() => {}
            TokenTree::Ident(word) => words.push(word.to_string()),
            TokenTree::Group(group) => {
                let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                for part in inner.split(|token| is_punct(Some(token), ',')) {
                    if !part.is_empty() {
                        tree(part, &words, give);
                    }
                }
                return;
            }
            _ => {}
        }
        at += 1;
    }
    let last = words.last().cloned().unwrap_or_default();
    give(words, name.unwrap_or(last));
}

fn after_colons(tokens: &[TokenTree], at: usize) -> Option<&TokenTree> {
    (is_punct(tokens.get(at), ':') && is_punct(tokens.get(at + 1), ':'))
        .then(|| tokens.get(at + 2))
        .flatten()
}

fn is_punct(token: Option<&TokenTree>, sign: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == sign)
}

fn is_word(token: Option<&TokenTree>, word: &str) -> bool {
    matches!(token, Some(TokenTree::Ident(ident)) if ident == word)
}

fn is_group(token: Option<&TokenTree>, delimiter: Delimiter) -> bool {
    matches!(token, Some(TokenTree::Group(group)) if group.delimiter() == delimiter)
}

/// Reports whether a token is the rest of `#[cfg(test)]`.
fn is_test(token: Option<&TokenTree>) -> bool {
    let Some(TokenTree::Group(group)) = token else {
        return false;
    };
    let text = group.stream().to_string().replace(' ', "");
    text == "cfg(test)"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_name_each_other_are_found_however_they_do() {
        type Files = &'static [(&'static str, &'static str)];
        let cases: [(&str, Files, &[&[&str]]); 10] = [
            (
                "imports",
                &[
                    ("a.rs", "use crate::b::B;"),
                    ("b.rs", "use crate::a::{A, X};"),
                ],
                &[&["a.rs", "b.rs"]],
            ),
            (
                "a path in a body",
                &[
                    ("a.rs", "fn f() { g(vec![crate::b::B]) }"),
                    ("b.rs", "use crate::a::A;"),
                ],
                &[&["a.rs", "b.rs"]],
            ),
            (
                "a name that the root exports again",
                &[
                    (
                        "lib.rs",
                        "mod a; mod b; pub use a::A; pub use crate::b::B as C;",
                    ),
                    ("a.rs", "use crate::C;"),
                    ("b.rs", "use crate::A;"),
                ],
                &[&["a.rs", "b.rs"]],
            ),
            (
                "a child and its parent",
                &[
                    ("a/mod.rs", "mod b; fn f() { b::g() }"),
                    ("a/b.rs", "use super::A;"),
                ],
                &[&["a/b.rs", "a/mod.rs"]],
            ),
            (
                "three in a ring, and one beside it",
                &[
                    ("a.rs", "use crate::b;"),
                    ("b.rs", "use crate::c::C;"),
                    ("c.rs", "use crate::{a::A, d::D};"),
                    ("d.rs", ""),
                ],
                &[&["a.rs", "b.rs", "c.rs"]],
            ),
            (
                "one way",
                &[("a.rs", "use crate::b::B;"), ("b.rs", "use std::fmt;")],
                &[],
            ),
            (
                "siblings of one folder",
                &[
                    ("a/mod.rs", "pub(crate) mod b; pub(crate) mod c;"),
                    ("a/b.rs", "use super::c::C;"),
                    ("a/c.rs", "pub(in crate::a) struct C;"),
                ],
                &[],
            ),
            (
                "tests",
                &[
                    ("a.rs", "use crate::b::B;"),
                    ("b.rs", "#[cfg(test)] mod tests { use crate::a::A; }"),
                ],
                &[],
            ),
            (
                "comments and texts",
                &[
                    ("a.rs", "use crate::b::B;"),
                    (
                        "b.rs",
                        "/// As crate::a::A does.\nconst C: &str = \"crate::a::A\";",
                    ),
                ],
                &[],
            ),
            (
                "a parent that only declares and exports",
                &[
                    ("a/mod.rs", "mod b; pub use b::B; pub struct A;"),
                    ("a/b.rs", "use crate::a::A;"),
                ],
                &[],
            ),
        ];
        for (case, files, expected) in cases {
            let sources = files
                .iter()
                .map(|(name, text)| (name.to_string(), text.to_string()));
            assert_eq!(of_crate(&sources.collect(), false), expected, "{case}");
        }
    }

    #[test]
    fn words_of_a_vocabulary_may_name_each_other_through_its_root_only() {
        let through_root = [
            ("lib.rs", "mod a; mod b; pub use a::A; pub use b::B;"),
            ("a.rs", "use crate::B;"),
            ("b.rs", "use crate::A;"),
        ];
        let by_files = [("a.rs", "use crate::b::B;"), ("b.rs", "use crate::a::A;")];
        for (files, circles) in [(&through_root[..], 0), (&by_files[..], 1)] {
            let sources = files
                .iter()
                .map(|(name, text)| (name.to_string(), text.to_string()));
            assert_eq!(of_crate(&sources.collect(), true).len(), circles);
        }
    }
}
