//! Lists every public item that users reach through one crate, with its signature.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::render::{Render, list};

/// An item: the name of its crate, and its id there.
type Item = (String, String);

/// Public items of one crate, and of the crates that it exports again.
pub(super) struct Listing<'a> {
    /// rustdoc's JSON of each crate of the workspace, by the name of the crate.
    docs: &'a BTreeMap<String, Value>,
    own: &'a str,
    /// First path of each item that is listed.
    listed: BTreeMap<Item, String>,
    lines: BTreeSet<String>,
    foreign: RefCell<BTreeSet<String>>,
    without_example: BTreeSet<String>,
}

/// Result of listing a crate.
pub(super) struct Listed {
    /// Lines of the listing, sorted.
    pub(super) lines: Vec<String>,
    /// Crates from outside that the lines name.
    pub(super) foreign: BTreeSet<String>,
    /// Paths of the items at the root of the crate whose documentation has no example.
    pub(super) without_example: Vec<String>,
}

/// Lists the public items of a crate.
pub(super) fn listing(docs: &BTreeMap<String, Value>, facade: &str, own: &str) -> Listed {
    let mut listing = Listing {
        docs,
        own,
        listed: BTreeMap::new(),
        lines: BTreeSet::new(),
        foreign: RefCell::default(),
        without_example: BTreeSet::new(),
    };
    let root = docs.get(facade).map(|doc| doc["root"].to_string());
    if let Some(root) = root {
        listing.module(facade, &root, facade);
    }
    Listed {
        lines: listing.lines.into_iter().collect(),
        foreign: listing.foreign.into_inner(),
        without_example: listing.without_example.into_iter().collect(),
    }
}

impl<'a> Listing<'a> {
    fn item(&self, of: &str, id: &str) -> Option<&'a Value> {
        let item = self.docs.get(of)?["index"].get(id)?;
        (item["crate_id"] == 0).then_some(item)
    }

    /// Returns the item that an id leads to, through any number of `use`s and into other crates.
    fn resolve(&self, of: &str, id: &str) -> Option<Item> {
        if let Some(item) = self.item(of, id) {
            return match item["inner"].get("use") {
                Some(again) => self.resolve(of, &again["id"].to_string()),
                None => Some((of.to_owned(), id.to_owned())),
            };
        }
        let known = &self.docs.get(of)?["paths"][id];
        let to = known["path"][0].as_str()?;
        let paths = self.docs.get(to)?["paths"].as_object()?;
        let is_it = |candidate: &Value| {
            candidate["crate_id"] == 0
                && candidate["path"] == known["path"]
                && candidate["kind"] == known["kind"]
        };
        let (id, _) = paths.iter().find(|(_, candidate)| is_it(candidate))?;
        Some((to.to_owned(), id.clone()))
    }

    /// Lists the public items of a module under a path.
    fn module(&mut self, of: &str, id: &str, path: &str) {
        let Some(module) = self.item(of, id) else {
            return;
        };
        for id in list(&module["inner"]["module"]["items"]) {
            let id = id.to_string();
            let Some(item) = self.item(of, &id) else {
                continue;
            };
            if item["visibility"] != "public" && item["inner"].get("macro").is_none() {
                continue;
            }
            let again = &item["inner"]["use"];
            let name = again["name"].as_str().or(item["name"].as_str());
            let path_of_item = format!("{path}::{}", name.unwrap_or_default());
            match self.resolve(of, &id) {
                Some((of, id)) if again["is_glob"] == true => self.module(&of, &id, path),
                Some((of, id)) => self.list(&of, &id, &path_of_item),
                None => {
                    let source = again["source"].as_str().unwrap_or_default();
                    let from = source.split("::").next().unwrap_or_default();
                    self.foreign.borrow_mut().insert(from.to_owned());
                    self.lines.insert(format!("{path_of_item} = {source}"));
                }
            }
        }
    }

    /// Lists one item, and its members.
    fn list(&mut self, of: &str, id: &str, path: &str) {
        let Some(item) = self.item(of, id) else {
            return;
        };
        let key = (of.to_owned(), id.to_owned());
        if let Some(first) = self.listed.get(&key) {
            self.lines.insert(format!("{path} = {first}"));
            return;
        }
        self.listed.insert(key, path.to_owned());
        let Some((kind, inner)) = item["inner"].as_object().and_then(|of| of.iter().next()) else {
            return;
        };
        if kind == "module" {
            self.lines.insert(format!("{path}: mod"));
            self.module(of, id, path);
            return;
        }
        let is_at_root = path.rsplit_once("::").is_some_and(|(of, _)| of == self.own);
        if is_at_root && !item["docs"].as_str().unwrap_or_default().contains("```") {
            self.without_example.insert(path.to_owned());
        }
        let lines = self.lines_of(of, item, kind, inner, path);
        self.lines.extend(lines);
    }

    fn lines_of(
        &self,
        of: &str,
        item: &Value,
        kind: &str,
        inner: &Value,
        path: &str,
    ) -> Vec<String> {
        let Some(doc) = self.docs.get(of) else {
            return Vec::new();
        };
        let render = Render {
            doc,
            own: self.own,
            foreign: &self.foreign,
        };
        let name = path.rsplit("::").next().unwrap_or_default();
        let parameters = render.parameters(&inner["generics"]);
        let predicates = render.predicates(&inner["generics"]);
        let open = if is_open(item) {
            "#[non_exhaustive] "
        } else {
            ""
        };
        let mut lines = Vec::new();
        match kind {
            "struct" | "union" => {
                let fields = &inner["kind"]["plain"];
                let members = match (inner["kind"].get("tuple"), fields.is_object()) {
                    (Some(tuple), _) => format!("({})", self.tuple(&render, of, tuple)),
                    (None, true) if fields["has_stripped_fields"] == true => " { .. }".to_owned(),
                    (None, true) => " {}".to_owned(),
                    (None, false) => String::new(),
                };
                lines.push(format!(
                    "{path}: {open}{kind} {name}{parameters}{members}{predicates}"
                ));
                for (field, of_field) in self.fields(&render, of, &fields["fields"]) {
                    lines.push(format!("{path}.{field}: {of_field}"));
                }
            }
            "enum" => {
                lines.push(format!("{path}: {open}enum {name}{parameters}{predicates}"));
                for variant in self.items(of, &inner["variants"]) {
                    let variant_name = variant["name"].as_str().unwrap_or_default();
                    let kind = &variant["inner"]["variant"]["kind"];
                    let members = match (kind.get("tuple"), kind.get("struct")) {
                        (Some(tuple), _) => format!("({})", self.tuple(&render, of, tuple)),
                        (_, Some(plain)) => {
                            let fields = self.fields(&render, of, &plain["fields"]);
                            let fields = fields.map(|(name, of)| format!("{name}: {of}"));
                            format!(" {{ {} }}", fields.collect::<Vec<_>>().join(", "))
                        }
                        _ => String::new(),
                    };
                    let open = if is_open(variant) {
                        "#[non_exhaustive] "
                    } else {
                        ""
                    };
                    lines.push(format!("{path}::{variant_name}: {open}variant{members}"));
                }
            }
            "trait" => {
                let bounds = render.bounds(&inner["bounds"]);
                let bounds = if bounds.is_empty() {
                    bounds
                } else {
                    format!(": {bounds}")
                };
                lines.push(format!(
                    "{path}: trait {name}{parameters}{bounds}{predicates}"
                ));
                lines.extend(self.members(&render, of, &inner["items"], path, false));
            }
            "function" => lines.push(format!("{path}: {}", render.function(name, inner))),
            "type_alias" => {
                let to = render.ty(&inner["type"]);
                lines.push(format!("{path}: type {name}{parameters} = {to}"));
            }
            "constant" | "static" => {
                lines.push(format!("{path}: {kind} {}", render.ty(&inner["type"])));
            }
            _ => lines.push(format!("{path}: {kind}")),
        }
        for found in self.items(of, &inner["impls"]) {
            let found = &found["inner"]["impl"];
            if found["is_synthetic"] == true || !found["blanket_impl"].is_null() {
                continue;
            }
            if found["trait"].is_null() {
                lines.extend(self.members(&render, of, &found["items"], path, true));
            } else {
                lines.push(format!(
                    "{path}: impl{} {} for {}{}",
                    render.parameters(&found["generics"]),
                    render.path(&found["trait"]),
                    render.ty(&found["for"]),
                    render.predicates(&found["generics"])
                ));
            }
        }
        lines
    }

    fn items(&self, of: &str, ids: &'a Value) -> impl Iterator<Item = &'a Value> {
        let items = list(ids).iter().map(|id| self.item(of, &id.to_string()));
        items.flatten().collect::<Vec<_>>().into_iter()
    }

    /// Returns the types between the parentheses of a tuple, with `_` for private ones.
    fn tuple(&self, render: &Render<'_>, of: &str, ids: &Value) -> String {
        let fields = list(ids).iter().map(|id| {
            let field = self.item(of, &id.to_string());
            field.map_or("_".to_owned(), |field| {
                render.ty(&field["inner"]["struct_field"])
            })
        });
        fields.collect::<Vec<_>>().join(", ")
    }

    /// Returns the names and types of the public fields among some ids.
    fn fields(
        &self,
        render: &Render<'_>,
        of: &str,
        ids: &'a Value,
    ) -> impl Iterator<Item = (String, String)> {
        let fields = self.items(of, ids).map(|field| {
            let name = field["name"].as_str().unwrap_or_default().to_owned();
            (name, render.ty(&field["inner"]["struct_field"]))
        });
        fields.collect::<Vec<_>>().into_iter()
    }

    /// Returns the lines of the functions, constants and types of a trait or of an inherent `impl`.
    fn members(
        &self,
        render: &Render<'_>,
        of: &str,
        ids: &'a Value,
        path: &str,
        is_inherent: bool,
    ) -> Vec<String> {
        let members = self.items(of, ids);
        let members = members.filter(|member| !is_inherent || member["visibility"] == "public");
        let lines = members.filter_map(|member| {
            let name = member["name"].as_str().unwrap_or_default();
            let (kind, inner) = member["inner"].as_object()?.iter().next()?;
            Some(match kind.as_str() {
                "function" => {
                    let is_provided = !is_inherent && inner["has_body"] == true;
                    let provided = if is_provided { " { .. }" } else { "" };
                    format!("{path}::{name}: {}{provided}", render.function(name, inner))
                }
                "assoc_type" => {
                    format!("{path}::{name}: type {}", render.bounds(&inner["bounds"]))
                }
                _ => format!("{path}::{name}: const {}", render.ty(&inner["type"])),
            })
        });
        lines.collect()
    }
}

/// Reports whether an item may gain members without notice.
fn is_open(item: &Value) -> bool {
    list(&item["attrs"]).iter().any(|of| of == "non_exhaustive")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_item_of_another_crate_is_listed_under_the_path_of_the_facade() {
        let facade = json!({
            "root": 0,
            "index": {
                "0": {"crate_id": 0, "name": "facade", "inner": {"module": {"items": [1, 2]}}},
                "1": {"crate_id": 0, "visibility": "public",
                    "inner": {"use": {"name": "Outcome", "source": "facade_core::Outcome", "id": 9}}},
                "2": {"crate_id": 0, "visibility": "public",
                    "inner": {"use": {"name": "Value", "source": "serde_json::Value", "id": 8}}},
            },
            "paths": {
                "8": {"crate_id": 3, "path": ["serde_json", "value", "Value"], "kind": "enum"},
                "9": {"crate_id": 2, "path": ["facade_core", "user", "Outcome"], "kind": "struct"},
            },
        });
        let core = json!({
            "root": 0,
            "index": {
                "5": {"crate_id": 0, "name": "Outcome", "visibility": "public", "attrs": ["non_exhaustive"],
                    "inner": {"struct": {"generics": {}, "impls": [7],
                        "kind": {"plain": {"fields": [6], "has_stripped_fields": true}}}}},
                "6": {"crate_id": 0, "name": "id", "visibility": "public",
                    "inner": {"struct_field": {"primitive": "u64"}}},
                "7": {"crate_id": 0, "inner": {"impl": {"trait": {"path": "Clone", "id": 99, "args": null},
                    "for": {"generic": "Outcome"}, "blanket_impl": null, "generics": {}, "items": []}}},
            },
            "paths": {"5": {"crate_id": 0, "path": ["facade_core", "user", "Outcome"], "kind": "struct"}},
        });
        let docs = BTreeMap::from([
            ("facade".to_owned(), facade),
            ("facade_core".to_owned(), core),
        ]);
        let listed = listing(&docs, "facade", "facade");
        assert_eq!(
            listed.lines,
            [
                "facade::Outcome.id: u64",
                "facade::Outcome: #[non_exhaustive] struct Outcome { .. }",
                "facade::Outcome: impl Clone for Outcome",
                "facade::Value = serde_json::Value",
            ]
        );
        assert_eq!(listed.foreign, BTreeSet::from(["serde_json".to_owned()]));
        assert_eq!(listed.without_example, ["facade::Outcome"]);
    }

    #[test]
    fn an_item_at_the_root_needs_an_example_and_one_in_a_module_does_not() {
        let constant = |name: &str, docs: &str| {
            json!({"crate_id": 0, "name": name, "visibility": "public", "docs": docs,
                "inner": {"constant": {"type": {"primitive": "u64"}}}})
        };
        let facade = json!({
            "root": 0,
            "index": {
                "0": {"crate_id": 0, "name": "facade", "inner": {"module": {"items": [1, 2, 3]}}},
                "1": constant("SHOWN", "Limit.\n\n```\nassert!(facade::SHOWN > 0);\n```"),
                "2": constant("BARE", "Limit."),
                "3": {"crate_id": 0, "name": "inner", "visibility": "public", "inner": {"module": {"items": [4]}}},
                "4": constant("IN_A_MODULE", "Limit."),
            },
            "paths": {},
        });
        let docs = BTreeMap::from([("facade".to_owned(), facade)]);
        let listed = listing(&docs, "facade", "facade");
        assert_eq!(listed.without_example, ["facade::BARE"]);
    }
}
