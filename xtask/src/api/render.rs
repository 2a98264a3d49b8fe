//! Renders types and signatures of rustdoc's JSON as Rust.

use std::cell::RefCell;
use std::collections::BTreeSet;

use serde_json::Value;

/// Crates of the toolchain, whose types need no prefix.
const TOOLCHAIN: &[&str] = &["std", "core", "alloc", "proc_macro"];

/// Renderer of the signatures of one crate.
pub(super) struct Render<'a> {
    /// The crate's documentation as JSON.
    pub(super) doc: &'a Value,
    /// Prefix of the names of the workspace's crates.
    pub(super) own: &'a str,
    /// Crates from outside the workspace that the signatures name.
    pub(super) foreign: &'a RefCell<BTreeSet<String>>,
}

/// Returns the text of a JSON value, or nothing.
fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Returns the entries of a JSON array, or none.
pub(super) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

impl Render<'_> {
    /// Renders a type.
    pub(super) fn ty(&self, of: &Value) -> String {
        let Some((kind, inner)) = of.as_object().and_then(|of| of.iter().next()) else {
            return "_".to_owned();
        };
        match kind.as_str() {
            "resolved_path" => self.path(inner),
            "generic" => text(inner).to_owned(),
            "primitive" if inner == "never" => "!".to_owned(),
            "primitive" => text(inner).to_owned(),
            "tuple" => format!("({})", self.types(inner)),
            "slice" => format!("[{}]", self.ty(inner)),
            "array" => format!("[{}; {}]", self.ty(&inner["type"]), text(&inner["len"])),
            "borrowed_ref" => {
                let lifetime = inner["lifetime"].as_str();
                let lifetime = lifetime.map_or(String::new(), |name| format!("{name} "));
                let mutable = if inner["is_mutable"] == true {
                    "mut "
                } else {
                    ""
                };
                format!("&{lifetime}{mutable}{}", self.ty(&inner["type"]))
            }
            "raw_pointer" => format!("*{}", self.ty(&inner["type"])),
            "impl_trait" => format!("impl {}", self.bounds(inner)),
            "dyn_trait" => {
                let traits = list(&inner["traits"]).iter();
                let traits = traits.map(|of| self.path(&of["trait"]));
                let lifetime = inner["lifetime"].as_str().map(str::to_owned);
                let parts: Vec<_> = traits.chain(lifetime).collect();
                format!("dyn {}", parts.join(" + "))
            }
            "qualified_path" => {
                let of = self.ty(&inner["self_type"]);
                match inner["trait"]["path"].as_str() {
                    None | Some("") => format!("{of}::{}", text(&inner["name"])),
                    Some(_) => {
                        let of_trait = self.path(&inner["trait"]);
                        format!("<{of} as {of_trait}>::{}", text(&inner["name"]))
                    }
                }
            }
            "function_pointer" => format!("fn{}", self.signature(&inner["sig"])),
            _ => "_".to_owned(),
        }
    }

    fn types(&self, of: &Value) -> String {
        let types: Vec<_> = list(of).iter().map(|of| self.ty(of)).collect();
        types.join(", ")
    }

    /// Renders the path of a type or a trait with its arguments, and notes the crate that it comes from.
    pub(super) fn path(&self, of: &Value) -> String {
        let as_written = text(&of["path"]).rsplit("::").next().unwrap_or_default();
        let known = &self.doc["paths"][of["id"].to_string()];
        let name = match list(&known["path"]) {
            [from, .., name] => {
                let (from, name) = (text(from), text(name));
                if from.starts_with(self.own) || TOOLCHAIN.contains(&from) {
                    name.to_owned()
                } else {
                    self.foreign.borrow_mut().insert(from.to_owned());
                    format!("{from}::{name}")
                }
            }
            _ => as_written.to_owned(),
        };
        format!("{name}{}", self.arguments(&of["args"]))
    }

    fn arguments(&self, of: &Value) -> String {
        if let Some(inner) = of.get("parenthesized") {
            let output = match inner["output"].is_null() {
                true => String::new(),
                false => format!(" -> {}", self.ty(&inner["output"])),
            };
            return format!("({}){output}", self.types(&inner["inputs"]));
        }
        let inner = &of["angle_bracketed"];
        let arguments = list(&inner["args"]).iter().map(|argument| {
            match (argument.get("type"), argument.get("lifetime")) {
                (Some(of), _) => self.ty(of),
                (_, Some(name)) => text(name).to_owned(),
                _ => text(&argument["const"]["expr"]).to_owned(),
            }
        });
        let constraints = list(&inner["constraints"]).iter().map(|of| {
            let name = text(&of["name"]);
            match of["binding"].get("constraint") {
                Some(bounds) => format!("{name}: {}", self.bounds(bounds)),
                None => format!("{name} = {}", self.ty(&of["binding"]["equality"]["type"])),
            }
        });
        let all: Vec<_> = arguments.chain(constraints).collect();
        match all.is_empty() {
            true => String::new(),
            false => format!("<{}>", all.join(", ")),
        }
    }

    /// Renders bounds, joined by `+`.
    pub(super) fn bounds(&self, of: &Value) -> String {
        let bounds = list(of).iter().map(|bound| {
            let of_trait = &bound["trait_bound"];
            match bound["outlives"].as_str() {
                Some(lifetime) => lifetime.to_owned(),
                None if of_trait["modifier"] == "maybe" => {
                    format!("?{}", self.path(&of_trait["trait"]))
                }
                None => self.path(&of_trait["trait"]),
            }
        });
        bounds.collect::<Vec<_>>().join(" + ")
    }

    /// Renders generic parameters in angle brackets, or nothing.
    pub(super) fn parameters(&self, generics: &Value) -> String {
        let parameters = list(&generics["params"]).iter().filter_map(|of| {
            let (name, kind) = (text(&of["name"]), &of["kind"]);
            if let Some(of) = kind.get("const") {
                return Some(format!("const {name}: {}", self.ty(&of["type"])));
            }
            let Some(of) = kind.get("type") else {
                return Some(name.to_owned());
            };
            if of["is_synthetic"] == true {
                return None;
            }
            let bounds = self.bounds(&of["bounds"]);
            let bounds = if bounds.is_empty() {
                bounds
            } else {
                format!(": {bounds}")
            };
            let default = match of["default"].is_null() {
                true => String::new(),
                false => format!(" = {}", self.ty(&of["default"])),
            };
            Some(format!("{name}{bounds}{default}"))
        });
        let all: Vec<_> = parameters.collect();
        match all.is_empty() {
            true => String::new(),
            false => format!("<{}>", all.join(", ")),
        }
    }

    /// Renders a `where` with its predicates, or nothing.
    pub(super) fn predicates(&self, generics: &Value) -> String {
        let predicates = list(&generics["where_predicates"]).iter().map(|of| {
            if let Some(of) = of.get("bound_predicate") {
                return format!("{}: {}", self.ty(&of["type"]), self.bounds(&of["bounds"]));
            }
            let of = &of["lifetime_predicate"];
            let outlives: Vec<_> = list(&of["outlives"]).iter().map(text).collect();
            format!("{}: {}", text(&of["lifetime"]), outlives.join(" + "))
        });
        let all: Vec<_> = predicates.collect();
        match all.is_empty() {
            true => String::new(),
            false => format!(" where {}", all.join(", ")),
        }
    }

    /// Renders the inputs and the output of a function.
    fn signature(&self, of: &Value) -> String {
        let inputs = list(&of["inputs"]).iter().map(|input| {
            let (name, of) = (text(&input[0]), &input[1]);
            let rendered = self.ty(of);
            match (name, rendered.as_str()) {
                ("self", "Self") => "self".to_owned(),
                ("self", "&Self") => "&self".to_owned(),
                ("self", "&mut Self") => "&mut self".to_owned(),
                ("_", _) => rendered,
                _ => format!("{name}: {rendered}"),
            }
        });
        let inputs = inputs.collect::<Vec<_>>().join(", ");
        match of["output"].is_null() {
            true => format!("({inputs})"),
            false => format!("({inputs}) -> {}", self.ty(&of["output"])),
        }
    }

    /// Renders a function under a name.
    pub(super) fn function(&self, name: &str, of: &Value) -> String {
        let mut words = String::new();
        for (flag, word) in [
            ("is_const", "const "),
            ("is_async", "async "),
            ("is_unsafe", "unsafe "),
        ] {
            if of["header"][flag] == true {
                words.push_str(word);
            }
        }
        format!(
            "{words}fn {name}{}{}{}",
            self.parameters(&of["generics"]),
            self.signature(&of["sig"]),
            self.predicates(&of["generics"])
        )
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_signature_is_rendered_as_rust_and_names_crates_from_outside() {
        let doc = json!({"paths": {
            "1": {"path": ["bytes", "bytes", "Bytes"]},
            "2": {"path": ["lmbatch_core", "user", "Error"]},
            "3": {"path": ["core", "result", "Result"]},
            "4": {"path": ["core", "convert", "Into"]},
        }});
        let foreign = RefCell::default();
        let render = Render {
            doc: &doc,
            own: "lmbatch",
            foreign: &foreign,
        };
        let path =
            |id: u8, args: Value| json!({"resolved_path": {"path": "x", "id": id, "args": args}});
        let bytes = path(1, Value::Null);
        let arguments = json!({"angle_bracketed": {
            "args": [{"type": bytes}, {"type": path(2, Value::Null)}], "constraints": []
        }});
        let into = json!({"trait_bound": {"modifier": "none", "trait": {"id": 4, "path": "Into", "args":
            {"angle_bracketed": {"args": [{"type": {"generic": "T"}}], "constraints": []}}}}});
        let function = json!({
            "header": {"is_async": true},
            "generics": {
                "params": [{"name": "T", "kind": {"type": {"bounds": [], "default": null}}}],
                "where_predicates": [],
            },
            "sig": {
                "inputs": [
                    ["self", {"borrowed_ref": {"lifetime": null, "is_mutable": true, "type": {"generic": "Self"}}}],
                    ["from", {"impl_trait": [into]}],
                    ["parts", {"slice": {"tuple": [{"primitive": "u8"}, {"primitive": "bool"}]}}],
                ],
                "output": path(3, arguments),
            },
        });
        assert_eq!(
            render.function("Run::go", &function),
            "async fn Run::go<T>(&mut self, from: impl Into<T>, parts: [(u8, bool)]) -> Result<bytes::Bytes, Error>"
        );
        assert_eq!(foreign.into_inner(), BTreeSet::from(["bytes".to_owned()]));
    }
}
